// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * recover.c - an object the kernel knows and the index does not.
 *
 * Rows are written lazily, so a power cut or a killed daemon can lose the newest.  The lower
 * tree still has the inode: its place there gives the parent, and the parent's listing at the
 * owner gives everything back.  The parent may be lost as well: up to the root.  Loop thread.
 */
#include "agent/agent.h"
#include "base/log.h"

struct recovery {
	struct io_op	op;
	struct vol	*v;
	struct cache	*c;
	u8		oid[AUGUR_OID_LEN], parent[AUGUR_OID_LEN];
	struct fh	fh, parent_fh;
	char		name[AUGUR_NAME_MAX + 1];
	vol_obj_fn	*fn;
	void		*arg;
};

static void give(struct recovery *rc, int err)
{
	struct cobj *o = err || rc->v->dead ? NULL : cobj_peek(rc->v->c, rc->oid);

	if (o && rc->fh.len && !fh_equal(&o->fh, &rc->fh)) {
		o = NULL;	/* an inode that was switched away */
		err = -ESTALE;
	}
	rc->fn(rc->arg, o, o ? 0 : err ? err : -ESTALE);
	vol_put(rc->v);
	free(rc);
}

static void parent_listed(void *arg, int err)
{
	give(arg, err);
}

static void parent_found(void *arg, struct cobj *o, int err)
{
	struct recovery *rc = arg;

	if (!o || !cobj_is_dir(o)) {
		give(rc, err ? err : -ESTALE);
		return;
	}
	o->flags &= ~COBJ_COMPLETE;	/* ask, even if all names are here */
	dir_populate(rc->v, o, false, parent_listed, rc);
}

static int where_work(void *arg)
{
	struct recovery *rc = arg;

	return lower_parent(rc->c, &rc->fh, rc->parent, &rc->parent_fh, rc->name, sizeof(rc->name));
}

static void where_done(struct io_op *op, int res)
{
	struct recovery *rc = container_of(op, struct recovery, op);

	cache_worked(rc->c);
	if (res || rc->v->dead) {
		give(rc, res == -ENOENT || res == -ENODATA ? -ESTALE : res ? res : -ECANCELED);
		return;
	}
	log_info("event=recover_object volume=%s name=%s", rc->v->volume, log_esc(rc->name, strlen(rc->name)));
	vol_object(rc->v, rc->parent, &rc->parent_fh, parent_found, rc);
}

static void root_ready(void *arg, int err)
{
	give(arg, err);
}

void recover_object(struct vol *v, const u8 *oid, const struct fh *fh, vol_obj_fn *fn, void *arg)
{
	struct recovery *rc = xcalloc(1, sizeof(*rc));

	rc->v = vol_get(v);
	rc->c = v->c;
	memcpy(rc->oid, oid, AUGUR_OID_LEN);
	if (fh)
		rc->fh = *fh;
	rc->fn = fn;
	rc->arg = arg;
	if (!memcmp(oid, v->c->root_oid, AUGUR_OID_LEN)) {
		/* The root comes with HELLO. */
		vol_when_ready(v, io_now(v->io) + vol_timeout_ns(v), root_ready, rc);
		return;
	}
	rc->op.done = where_done;
	cache_work(rc->c, &rc->op, where_work, rc);
}
