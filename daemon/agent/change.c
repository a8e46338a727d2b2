// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * change.c - something is not what it was: an owner says so, or an answer shows it.
 *
 * The order is always the same: first the record of the lower inode (a file STALE, a directory
 * populated no longer), on a worker, then the kernel's memory.  Nothing is fetched here but what a
 * directory shows (look.c): the next access asks, and names.c switches or removes.  Loop thread only.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/log.h"
#include "base/seeded.h"
#include "wire/bytes.h"

#define MARK_AGAIN_NS	1000000000ull
#define TREE_MAX 1000000	/* entries below a directory that is removed in one go */
#define TOLD_MAX 16384		/* changes remembered for answers that are not names yet */

/* ---- what is told of something while answers about it are not names yet ---- */

struct told { u8 key[AUGUR_OID_LEN]; u64 no, tag; };

void change_init(struct vol *v)
{
	list_init(&v->changes);
	list_init(&v->change_waits);
	map_init(&v->told, offsetof(struct told, key), AUGUR_OID_LEN);
}

static void told_drop(struct vol *v)
{
	struct told *t;
	size_t it = 0;

	while ((t = map_next(&v->told, &it)))
		free(t);
	map_free(&v->told);
	map_init(&v->told, offsetof(struct told, key), AUGUR_OID_LEN);
}

void change_naming_begin(struct vol *v)
{
	v->naming++;
}

void change_naming_end(struct vol *v)
{
	if (!--v->naming && v->told.live)
		told_drop(v);
}

static void name_key(u8 key[AUGUR_OID_LEN], const u8 *parent, const char *name, size_t len)
{
	put_le64(key, get_le64(parent) ^ dir_name_hash(name, len));
	memcpy(key + 8, parent + 8, AUGUR_OID_LEN - 8);
}

/* Too many: what came before now counts as overtaken. */
static void told_put(struct vol *v, const u8 *key, u64 tag)
{
	struct told *t = map_get(&v->told, key);

	v->last_change++;
	if (!t && v->told.live >= TOLD_MAX) {
		told_drop(v);
		v->told_lost = v->last_change;
	}
	if (!t) {
		t = xcalloc(1, sizeof(*t));
		memcpy(t->key, key, AUGUR_OID_LEN);
		map_put(&v->told, t);
	}
	t->no = v->last_change;
	t->tag = tag;
}

/* @tag: of the state that the object has since; 0: not known. */
static void told_note(struct vol *v, u32 kind, const u8 *oid, u64 tag, const u8 *parent, const char *name, size_t len)
{
	u8 key[AUGUR_OID_LEN];

	if (!v->naming)
		return;
	if (kind != AUGUR_INVAL_ENTRY)
		told_put(v, oid, tag);
	if (parent && name) {
		name_key(key, parent, name, len);
		told_put(v, key, 0);
	}
}

bool change_of_object(const struct vol *v, const u8 *oid, u64 tag, u64 since)
{
	const struct told *t = map_get(&v->told, oid);

	return since < v->told_lost || (t && t->no > since && (!t->tag || t->tag != tag));
}

bool change_of_name(const struct vol *v, const u8 *parent, const char *name, size_t len, u64 since)
{
	const struct told *t;
	u8 key[AUGUR_OID_LEN];

	name_key(key, parent, name, len);
	t = map_get(&v->told, key);
	return since < v->told_lost || (t && t->no > since);
}

/* ---- marking ---- */

struct change {
	struct io_op	op;
	struct list	link;		/* of vol.changes, until the kernel is told */
	u64		no;
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

/* Everybody who waited for this one and those before it goes on. */
static void waits_end(struct vol *v)
{
	vol_get(v);
	while (!list_empty(&v->change_waits)) {
		struct change_wait *w = list_first(&v->change_waits, struct change_wait, link);

		if (!list_empty(&v->changes) && list_first(&v->changes, struct change, link)->no <= w->upto)
			break;
		list_del(&w->link);
		w->fn(w);
	}
	vol_put(v);
}

void change_wait(struct vol *v, struct change_wait *w, void (*fn)(struct change_wait *w))
{
	w->upto = v->last_change;
	w->fn = fn;
	list_add_tail(&v->change_waits, &w->link);
	waits_end(v);
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

	if (ch->told)
		return;
	if (v->m) {
		if (ch->is_dir) {
			upcall_inval(v->m, AUGUR_INVAL_DIR, ch->oid, NULL, 0);
			upcall_inval(v->m, AUGUR_INVAL_ATTR, ch->oid, NULL, 0);
		} else if (ch->kind != AUGUR_INVAL_ENTRY) {
			upcall_inval(v->m, AUGUR_INVAL_DATA, ch->oid, NULL, 0);
		}
		if (ch->name_len)
			upcall_inval(v->m, AUGUR_INVAL_ENTRY, ch->parent, ch->name, ch->name_len);
	}
	ch->told = true;
	list_del(&ch->link);
	if (ch->is_dir)
		look_dir(v, ch->oid);
	if (ch->done)
		ch->done(ch->arg);
	waits_end(v);
}

static void mark_object(struct change *ch, struct cobj *o)
{
	ch->known = true;
	ch->is_dir = cobj_is_dir(o);
	ch->fh = o->fh;
	if (ch->is_dir)
		o->flags &= ~COBJ_COMPLETE;
	else
		o->flags |= COBJ_STALE;
}

/*
 * Another inode may have taken the object's place while the old one was marked, or the object
 * was not in the index and is now.  Whether what is there is of before or after the change is
 * not known; the kernel will call it stale by its oid, so its record has to say so, too.
 */
static bool mark_moved(struct change *ch)
{
	bool want = ch->kind != AUGUR_INVAL_ENTRY && !ch->v->dead;
	struct cobj *o = want ? cobj_peek_any(ch->v->c, ch->oid) : NULL;

	if (!o || (ch->known && (ch->is_dir || fh_equal(&o->fh, &ch->fh))))
		return false;
	mark_object(ch, o);
	mark_queue(ch);
	return true;
}

/* Who read a directory's claim before it was taken back may have brought it into memory again, or is about to. */
static void claim_is_gone(struct change *ch)
{
	struct cobj *o = ch->is_dir && !ch->v->dead ? cobj_peek_any(ch->c, ch->oid) : NULL;

	if (ch->is_dir)
		ch->c->evictions++;
	if (o)
		o->flags &= ~COBJ_COMPLETE;
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
	claim_is_gone(ch);
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
	if (o)
		o->gen++;
	if (o && ch->kind != AUGUR_INVAL_ENTRY)
		mark_object(ch, o);
	else if (o)
		ch->fh = o->fh;
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
	self = cobj_peek_any(ch->v->c, ch->oid);
	if (self)
		mark_start(ch, self);
	else
		cobj_load_any(ch->v->c, ch->oid, obj_loaded, ch);
}

void change_mark(struct vol *v, u32 kind, const u8 *oid, const u8 *parent, const char *name, size_t name_len,
		 void (*done)(void *arg), void *arg)
{
	struct change *ch = xcalloc(1, sizeof(*ch));

	ch->v = vol_get(v);
	ch->no = ++v->last_change;
	list_add_tail(&v->changes, &ch->link);
	ch->kind = kind;
	memcpy(ch->oid, oid, AUGUR_OID_LEN);
	ch->done = done;
	ch->arg = arg;
	log_debug("event=change kind=%u oid=%llx name=%s", kind, (unsigned long long)get_le64(oid), name ? log_esc(name, name_len) : "");
	if (parent && name && name_len <= AUGUR_NAME_MAX) {
		memcpy(ch->parent, parent, AUGUR_OID_LEN);
		memcpy(ch->name, name, name_len);
		ch->name_len = name_len;
		cobj_load_any(v->c, parent, parent_loaded, ch);
	} else {
		/* Always through the index: done() must not come from inside. */
		cobj_load_any(v->c, oid, obj_loaded, ch);
	}
}

void change_apply(struct vol *v, u32 kind, const u8 *oid, const u8 *parent, const char *name, size_t name_len,
		  void (*done)(void *arg), void *arg)
{
	told_note(v, kind, oid, 0, parent, name, name_len);
	change_mark(v, kind, oid, parent, name, name_len, done, arg);
}

/* ---- what an owner tells ---- */

int change_parse_item(struct wire_in in, struct change_item *it)
{
	struct wire_val val;
	int err;

	memset(it, 0, sizeof(*it));
	it->shard = ~0u;
	while ((err = wire_next(&in, &val)) == 1) {
		err = 0;
		switch (val.tag) {
		case WF_SHARD_ID:
			err = wire_get_u32(&val, &it->shard);
			break;
		case WF_SEQ:
			err = wire_get_u64(&val, &it->seq);
			break;
		case WF_KIND:
			err = wire_get_u32(&val, &it->kind);
			break;
		case WF_TAG:
			err = wire_get_u64(&val, &it->tag);
			break;
		case WF_OID:
			err = val.len == AUGUR_OID_LEN ? 0 : -EBADMSG;
			it->oid = val.p;
			break;
		case WF_PARENT_OID:
			err = val.len == AUGUR_OID_LEN ? 0 : -EBADMSG;
			it->parent = val.p;
			break;
		case WF_NAME:
			err = augur_name_check((const char *)val.p, val.len);
			it->name = (const char *)val.p;
			it->name_len = val.len;
			break;
		}
		if (err)
			return -EBADMSG;
	}
	if (err || !it->oid || it->kind < AUGUR_INVAL_ATTR || it->kind > AUGUR_INVAL_DIR)
		return -EBADMSG;
	return 0;
}

/*
 * A change is told twice, when it happens and with the next renewal.  Numbers count within one
 * shard: that of the directory for a name, of the object for all else.  One that an answer has
 * shown to us comes with the tag of that answer's state: it is no news if that state is here.
 * Such a one is told with the renewal only, after the names that changed behind it, so what is
 * known of a directory's names says nothing of the directory.
 */
static bool was_told(struct cobj *o, const struct change_item *it, bool name)
{
	u64 *seq = name ? &o->names_seq : &o->inval_seq;

	if (o->inval_shard != it->shard)
		o->inval_seq = o->names_seq = 0;
	o->inval_shard = it->shard;
	if (*seq >= it->seq)
		return true;
	*seq = it->seq;
	return false;
}

void change_told(struct vol *v, const struct change_item *it)
{
	bool name = it->kind == AUGUR_INVAL_ENTRY && it->parent;
	struct cobj *o = cobj_peek(v->c, name ? it->parent : it->oid);

	if ((o && was_told(o, it, name)) || seeded(SEEDED_STALE_LEASE))
		return;
	/* No news to what is here may be news to an answer that is not here yet. */
	told_note(v, it->kind, it->oid, it->tag, it->parent, it->name, it->name_len);
	if (!o || !it->tag || o->tag != it->tag)
		change_mark(v, it->kind, it->oid, it->parent, it->name, it->name_len, NULL, NULL);
}

void change_push(struct vol *v, struct peer *p, struct wire_in body)
{
	struct change_item it;
	struct wire_val val;

	while (wire_next(&body, &val) == 1) {
		if (val.tag != WF_ITEM)
			continue;
		if (change_parse_item((struct wire_in){ val.p, val.p + val.len }, &it)) {
			log_err("event=bad_answer what=inval proxy=%s", p->addr);
			return;
		}
		change_told(v, &it);
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

/*
 * Children before their directory.  It says first that it is not complete: after a power cut half of
 * its names may be gone, and it may be as it was at the owner, who has only put it somewhere else.
 */
static int collect(struct removal *rm, const struct fh *dir, int depth)
{
	struct lower_name *names;
	size_t n;
	int err;

	if (depth > 128)
		return -ELOOP;
	err = lower_record_flags(rm->c, dir, NULL, AUGUR_REC_STUB, AUGUR_REC_COMPLETE);
	if (err == -EIO || err == -EROFS)
		return err;	/* it may have no record, or a damaged one: then it says nothing */
	err = lower_list(rm->c, dir, &names, &n);
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

static void collected(struct io_op *op, int res)
{
	struct removal *rm = container_of(op, struct removal, op);
	struct vol *v = rm->v;

	cache_worked(rm->c);
	for (size_t i = 0; i < rm->n; i++) {
		struct gone *g = &rm->g[i];

		if (!res && !v->dead) {
			if (v->m && g->valid)
				res = upcall_remove(v->m, &g->parent, g->name, strlen(g->name), &g->fh, false);
			else
				res = lower_remove(v->c, &g->parent, g->name);
			if (res == -ENOENT)
				res = 0;
			if (res)
				log_notice("event=remove_refused name=%s error=\"%s\"", log_esc(g->name, strlen(g->name)), strerror(-res));
			else if (g->valid)
				cobj_forget_inode(v->c, g->oid, &g->fh, !lower_lives(v->c, &g->fh));
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
