// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * change.c - something is not what it was: an owner says so, or an answer shows it.
 *
 * The order is always the same: first the record of the lower inode (a file STALE, a directory
 * populated no longer), on a worker, then the kernel's memory.  Nothing is fetched here: the
 * next access asks, and names.c switches or removes.  Loop thread only.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/log.h"
#include "base/seeded.h"

#define MARK_AGAIN_NS	1000000000ull
#define TREE_MAX 1000000	/* entries below a directory that is removed in one go */

/* ---- marking ---- */

struct change {
	struct io_op	op;
	struct vol	*v;
	struct cache	*c;
	u32		kind;
	u8		oid[AUGUR_OID_LEN], parent[AUGUR_OID_LEN];
	struct fh	fh, parent_fh;
	bool		is_dir, known, told, unmarked;
	char		name[AUGUR_NAME_MAX + 1];
	size_t		name_len;
	void		(*done)(void *arg);
	void		*arg;
};

static int mark_work(void *arg)
{
	struct change *ch = arg;
	struct cache *c = ch->c;
	struct lower_name ln = { .name = ch->name };
	int err = 0;

	if (ch->known && ch->is_dir)
		err = lower_record_flags(c, &ch->fh, ch->oid, AUGUR_REC_STUB, AUGUR_REC_COMPLETE);
	else if (ch->known)
		err = lower_record_flags(c, &ch->fh, ch->oid, AUGUR_REC_STALE, 0);
	if (ch->name_len && ch->parent_fh.len) {
		CLEANUP_CLOSE int fd = fh_open(c->top_fd, &ch->parent_fh, O_RDONLY | O_DIRECTORY);

		/* The inode at the name, whatever it is: every name of it asks from now on. */
		if (fd >= 0 && !lower_look(fd, &ln) && ln.valid)
			lower_record_flags(c, &ln.fh, NULL, AUGUR_REC_STALE, 0);
	}
	return err;
}

static void mark_queue(struct change *ch);

static void change_free(struct change *ch)
{
	struct vol *v = ch->v;

	/* One that was never made is told again to the next daemon, as its number was not kept. */
	if (ch->unmarked && !v->dead)
		v->unmarked--;
	free(ch);
	vol_put(v);
}

static void mark_again(struct io_op *op, int res)
{
	struct change *ch = container_of(op, struct change, op);
	struct vol *v = ch->v;

	if (v->dead)
		change_free(ch);
	else
		mark_queue(ch);
}

/*
 * The kernel is told at once, mark or not.  A record that does not say what the kernel knows
 * would make it ask for ever, so the mark is tried until the disk takes it.
 */
static void mark_tell(struct change *ch)
{
	struct vol *v = ch->v;

	if (v->m && !ch->told) {
		if (ch->is_dir) {
			upcall_inval(v->m, AUGUR_INVAL_DIR, ch->oid, NULL, 0);
			upcall_inval(v->m, AUGUR_INVAL_ATTR, ch->oid, NULL, 0);
		} else if (ch->kind != AUGUR_INVAL_ENTRY) {
			upcall_inval(v->m, AUGUR_INVAL_DATA, ch->oid, NULL, 0);
		}
		if (ch->name_len)
			upcall_inval(v->m, AUGUR_INVAL_ENTRY, ch->parent, ch->name, ch->name_len);
	}
	if (ch->done && !ch->told)
		ch->done(ch->arg);
	ch->told = true;
}

/*
 * Another inode may have taken the object's place while the old one was marked.  Whether it
 * is of before or after the change is not known; the kernel will call it stale by its oid, so
 * its record has to say so, too.
 */
static bool mark_moved(struct change *ch)
{
	struct cobj *o = ch->known && !ch->is_dir && !ch->v->dead ? cobj_peek(ch->v->c, ch->oid) : NULL;

	if (!o || fh_equal(&o->fh, &ch->fh))
		return false;
	ch->fh = o->fh;
	o->flags |= COBJ_STALE;
	mark_queue(ch);
	return true;
}

static void mark_done(struct io_op *op, int res)
{
	struct change *ch = container_of(op, struct change, op);
	struct vol *v = ch->v;
	bool failed = res && res != -ESTALE && res != -ENOENT;

	cache_worked(ch->c);
	if (failed && !ch->told) {
		ch->unmarked = true;
		v->unmarked++;
		log_warn("event=mark error=\"%s\" action=retry hint=\"check the cache disk\"", strerror(-res));
	}
	if (mark_moved(ch))
		return;
	mark_tell(ch);
	if (failed && !v->dead) {
		ch->op.done = mark_again;
		v->io->ops->timer(v->io, &ch->op, io_now(v->io) + MARK_AGAIN_NS);
		return;
	}
	change_free(ch);
}

static void mark_queue(struct change *ch)
{
	ch->op.done = mark_done;
	cache_work(ch->c, &ch->op, mark_work, ch);
}

static void mark_start(struct change *ch, struct cobj *o)
{
	if (o) {
		ch->known = ch->kind != AUGUR_INVAL_ENTRY;
		ch->is_dir = ch->known && cobj_is_dir(o);
		ch->fh = o->fh;
		o->gen++;
		if (ch->is_dir)
			o->flags &= ~COBJ_COMPLETE;
		else if (ch->known)
			o->flags |= COBJ_STALE;
	}
	ch->c = ch->v->c;
	mark_queue(ch);
}

static void obj_loaded(void *arg, struct cobj *o)
{
	mark_start(arg, o);
}

static void parent_loaded(void *arg, struct cobj *o)
{
	struct change *ch = arg;
	struct cobj *self;

	if (o) {
		ch->parent_fh = o->fh;
		o->gen++;
	}
	self = cobj_peek(ch->v->c, ch->oid);
	if (self)
		mark_start(ch, self);
	else
		cobj_load(ch->v->c, ch->oid, obj_loaded, ch);
}

void change_apply(struct vol *v, u32 kind, const u8 *oid, const u8 *parent, const char *name, size_t name_len,
		  void (*done)(void *arg), void *arg)
{
	struct change *ch = xcalloc(1, sizeof(*ch));

	ch->v = vol_get(v);
	ch->kind = kind;
	memcpy(ch->oid, oid, AUGUR_OID_LEN);
	ch->done = done;
	ch->arg = arg;
	log_debug("event=change kind=%u name=%s", kind, name ? log_esc(name, name_len) : "");
	if (parent && name && name_len <= AUGUR_NAME_MAX) {
		memcpy(ch->parent, parent, AUGUR_OID_LEN);
		memcpy(ch->name, name, name_len);
		ch->name_len = name_len;
		cobj_load(v->c, parent, parent_loaded, ch);
	} else {
		/* Always through the index: done() must not come from inside. */
		cobj_load(v->c, oid, obj_loaded, ch);
	}
}

/* ---- what an owner tells ---- */

int change_parse_item(struct wire_in in, u32 *shard, u64 *seq, u32 *kind, const u8 **oid, const u8 **parent,
		      const char **name, size_t *name_len)
{
	struct wire_val val;
	int err;

	*shard = ~0u;
	*seq = 0;
	*kind = 0;
	*oid = *parent = NULL;
	*name = NULL;
	*name_len = 0;
	while ((err = wire_next(&in, &val)) == 1) {
		err = 0;
		switch (val.tag) {
		case WF_SHARD_ID:
			err = wire_get_u32(&val, shard);
			break;
		case WF_SEQ:
			err = wire_get_u64(&val, seq);
			break;
		case WF_KIND:
			err = wire_get_u32(&val, kind);
			break;
		case WF_OID:
			err = val.len == AUGUR_OID_LEN ? 0 : -EBADMSG;
			*oid = val.p;
			break;
		case WF_PARENT_OID:
			err = val.len == AUGUR_OID_LEN ? 0 : -EBADMSG;
			*parent = val.p;
			break;
		case WF_NAME:
			err = augur_name_check((const char *)val.p, val.len);
			*name = (const char *)val.p;
			*name_len = val.len;
			break;
		}
		if (err)
			return -EBADMSG;
	}
	if (err || !*oid || *kind < AUGUR_INVAL_ATTR || *kind > AUGUR_INVAL_DIR)
		return -EBADMSG;
	return 0;
}

/*
 * A change is told twice, when it happens and with the next renewal.  Numbers count within one
 * shard: that of the directory for a name, of the object for all else.
 */
bool change_is_news(struct vol *v, u32 kind, u32 shard, u64 seq, const u8 *oid, const u8 *parent)
{
	struct cobj *o = cobj_peek(v->c, kind == AUGUR_INVAL_ENTRY && parent ? parent : oid);

	if (!o)
		return true;
	if (o->inval_shard == shard && o->inval_seq >= seq)
		return false;
	o->inval_shard = shard;
	o->inval_seq = seq;
	return true;
}

static void push_marked(void *arg)
{
	struct vol *v = arg;

	v->pushed--;
}

void change_push(struct vol *v, struct peer *p, struct wire_in body)
{
	const u8 *oid, *parent;
	struct wire_val val;
	const char *name;
	size_t name_len;
	u32 shard, kind;
	u64 seq;

	while (wire_next(&body, &val) == 1) {
		if (val.tag != WF_ITEM)
			continue;
		if (change_parse_item((struct wire_in){ val.p, val.p + val.len }, &shard, &seq, &kind, &oid, &parent,
				      &name, &name_len)) {
			log_err("event=bad_answer what=inval proxy=%s", p->addr);
			return;
		}
		if (!change_is_news(v, kind, shard, seq, oid, parent) || seeded(SEEDED_STALE_LEASE))
			continue;
		v->pushed++;
		change_apply(v, kind, oid, parent, name, name_len, push_marked, v);
	}
}

/* ---- removing ---- */

struct gone { struct fh parent, fh; char *name; u8 oid[AUGUR_OID_LEN]; bool valid; };

struct removal {
	struct io_op	op;
	struct vol	*v;
	struct cache	*c;
	struct fh	parent, fh;
	char		name[AUGUR_NAME_MAX + 1];
	bool		is_dir;
	struct gone	*g;
	size_t		n, cap;
	void		(*done)(void *arg, int err);
	void		*arg;
};

static int gone_add(struct removal *rm, const struct fh *parent, const struct lower_name *ln)
{
	struct gone *g;

	if (rm->n == TREE_MAX)
		return -E2BIG;
	if (rm->n == rm->cap) {
		rm->cap = rm->cap ? rm->cap * 2 : 16;
		rm->g = xrealloc(rm->g, rm->cap * sizeof(*rm->g));
	}
	g = &rm->g[rm->n++];
	g->parent = *parent;
	g->fh = ln->fh;
	g->name = xstrdup(ln->name);
	memcpy(g->oid, ln->oid, AUGUR_OID_LEN);
	g->valid = ln->valid;
	return 0;
}

/* Children before their directory. */
static int collect(struct removal *rm, const struct fh *dir, int depth)
{
	struct lower_name *names;
	size_t n;
	int err = depth > 128 ? -ELOOP : lower_list(rm->c, dir, &names, &n);

	if (err)
		return err;
	for (size_t i = 0; i < n && !err; i++) {
		if (names[i].is_dir)
			err = collect(rm, &names[i].fh, depth + 1);
		if (!err)
			err = gone_add(rm, dir, &names[i]);
	}
	lower_names_free(names, n);
	return err;
}

static int collect_work(void *arg)
{
	struct removal *rm = arg;
	struct lower_name top = { .name = rm->name, .fh = rm->fh };
	CLEANUP_CLOSE int fd = fh_open(rm->c->top_fd, &rm->parent, O_RDONLY | O_DIRECTORY);
	int err = fd < 0 ? fd : lower_look(fd, &top);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (!fh_equal(&top.fh, &rm->fh))
		return -ESTALE;
	if (top.is_dir)
		err = collect(rm, &rm->fh, 0);
	return err ? err : gone_add(rm, &rm->parent, &top);
}

/* The object may live on under another name, in another inode. */
static void forget_inode(struct vol *v, const struct gone *g)
{
	struct cobj *o = cobj_peek(v->c, g->oid);

	if (o && fh_equal(&o->fh, &g->fh) && o->nlink < 2)
		cobj_forget(v->c, g->oid);
}

static void collected(struct io_op *op, int res)
{
	struct removal *rm = container_of(op, struct removal, op);
	struct vol *v = rm->v;

	cache_worked(rm->c);
	for (size_t i = 0; i < rm->n; i++) {
		struct gone *g = &rm->g[i];

		if (!res && !v->dead) {
			if (v->m && g->valid)
				res = upcall_remove(v->m, &g->parent, g->name, strlen(g->name), &g->fh);
			else
				res = lower_remove(v->c, &g->parent, g->name);
			if (res == -ENOENT)
				res = 0;
			if (res)
				log_notice("event=remove_refused name=%s error=\"%s\"", log_esc(g->name, strlen(g->name)), strerror(-res));
			else if (g->valid)
				forget_inode(v, g);
		}
		free(g->name);
	}
	rm->done(rm->arg, res);
	free(rm->g);
	free(rm);
	vol_put(v);
}

void change_remove(struct vol *v, const struct fh *parent, const char *name, const struct fh *fh, bool is_dir,
		   void (*done)(void *arg, int err), void *arg)
{
	struct removal *rm = xcalloc(1, sizeof(*rm));

	rm->v = vol_get(v);
	rm->c = v->c;
	rm->parent = *parent;
	rm->fh = *fh;
	strncpy(rm->name, name, AUGUR_NAME_MAX);
	rm->is_dir = is_dir;
	rm->done = done;
	rm->arg = arg;
	rm->op.done = collected;
	cache_work(rm->c, &rm->op, collect_work, rm);
}
