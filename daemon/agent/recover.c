// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * recover.c - an object the kernel knows and the index does not; bytes that it knows to be here
 * and nobody has claimed.
 *
 * Rows are written lazily, so a power cut or a killed daemon can lose the newest.  The lower
 * tree still has the inode: its place there gives the parent, and the parent's listing at the
 * owner gives everything back.  The parent may be lost as well: up to the root.  Loop thread.
 */
#include "agent/agent.h"
#include "base/log.h"
#include "wire/bytes.h"

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

/* ---- what the last daemon had filled and not yet claimed: the kernel remembers ---- */

struct ahead { struct vol *v; struct upcall_inode in; u8 *map; u64 evictions; };

static void ahead_end(struct ahead *a)
{
	struct vol *v = a->v;

	free(a->map);
	free(a);
	if (--v->inodes_loading == 0 && v->inodes_again && !v->dead && v->m)
		recover_inodes(v);
	vol_put(v);
}

/* Without its object it stays in the kernel's memory, unclaimed, until it is unmounted. */
static void ahead_known(void *arg, struct cobj *o, int err)
{
	struct ahead *a = arg;
	struct vol *v = a->v;
	size_t n;

	if (!o || !cobj_is_file(o) || !fh_equal(&o->fh, &a->in.fh) || v->dead) {
		if (err && err != -ESTALE && err != -ECANCELED)
			log_notice("event=unclaimed oid=%llx effect=\"its bytes are fetched again after a remount\" error=\"%s\"",
				   (unsigned long long)get_le64(a->in.oid), strerror(-err));
		ahead_end(a);
		return;
	}
	n = augur_map_bytes(o->size, o->shift);
	if (a->evictions != v->c->evictions) {
		v->inodes_again = true;		/* some of it may be gone since: asked anew */
	} else if (a->in.state & AUGUR_IS_COMPLETE) {
		cobj_present(v->c, o, 0, o->size);
	} else if (a->map && a->in.map_len == n && a->in.chunk_shift == o->shift) {
		cobj_map_need(o);
		for (size_t i = 0; i < n; i++)
			o->map[i] |= a->map[i];
		settle_add(v->c, o, 0);
	}
	ahead_end(a);
}

static void ahead_loaded(void *arg, struct cobj *o)
{
	struct ahead *a = arg;

	/* A row lost with the last daemon: the tree and the owner know the object. */
	if (o || a->v->dead)
		ahead_known(a, o, 0);
	else
		recover_object(a->v, a->in.oid, &a->in.fh, ahead_known, a);
}

static void inode_ahead(void *arg, const struct upcall_inode *in)
{
	struct ahead *a = xcalloc(1, sizeof(*a));

	a->v = vol_get(arg);
	a->v->inodes_loading++;
	a->in = *in;
	a->evictions = a->v->c->evictions;
	a->map = in->map ? xmemdup(in->map, in->map_len) : NULL;
	cobj_load_any(a->v->c, a->in.oid, ahead_loaded, a);
}

void recover_inodes(struct vol *v)
{
	v->inodes_again = false;
	v->inodes_loading++;
	upcall_inodes(v->m, inode_ahead, v);
	v->inodes_loading--;
}
