// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * walk.c - listings ahead of a walk (find, git status, a build looking for headers).
 *
 * When a second child of a directory is listed on demand, its other children are listed
 * ahead, and theirs after them, as long as demand goes on: AGENT_WALK_FLY at a time and no
 * more than AGENT_WALK_CREDIT beyond the last demand.  Loop thread only.
 */
#include "agent/agent.h"
#include "base/log.h"

#define HOT_NS		(2ull * 1000000000)
#define QUEUE_MAX	4096

struct walk_dir { struct list link; struct vol *v; u8 oid[AUGUR_OID_LEN]; bool loading; };

static void listed_ahead(void *arg, int err)
{
	struct walk_dir *w = arg;
	struct vol *v = w->v;
	struct hint *h;

	v->walk_fly--;
	if (!err && !v->dead && v->m && io_now(v->io) - v->walk_ns < HOT_NS) {
		h = hint_get(v, w->oid);
		h->want_dirs = true;
		hint_go(h);
		if (scanning(v))
			stream_push(h, false);
	}
	free(w);
	if (!v->dead)
		walk_more(v);
	vol_put(v);
}

static void loaded(void *arg, struct cobj *o)
{
	struct walk_dir *w = arg;
	struct vol *v = w->v;

	if (!o || v->dead || !v->m || !cobj_is_dir(o)) {
		listed_ahead(w, -ENOENT);
		return;
	}
	if (o->flags & COBJ_COMPLETE) {
		listed_ahead(w, 0);
		return;
	}
	v->n_ahead++;
	dir_populate(v, o, true, listed_ahead, w);
}

void walk_more(struct vol *v)
{
	while (v->walk_fly < AGENT_WALK_FLY && v->walk_credit && !list_empty(&v->walkq) && !space_names_tight(v)) {
		struct walk_dir *w = list_first(&v->walkq, struct walk_dir, link);
		struct cobj *o;

		list_del(&w->link);
		v->nwalkq--;
		vol_get(v);
		v->walk_fly++;
		v->walk_credit--;
		o = cobj_peek(v->c, w->oid);
		if (o)
			loaded(w, o);
		else
			cobj_load(v->c, w->oid, loaded, w);
	}
}

void walk_child(struct dwork *d, const u8 *oid)
{
	if (d->nsubs == d->subs_cap) {
		d->subs_cap = d->subs_cap ? 2 * d->subs_cap : 16;
		d->subs = xrealloc(d->subs, d->subs_cap * AUGUR_OID_LEN);
	}
	memcpy(d->subs + d->nsubs++ * AUGUR_OID_LEN, oid, AUGUR_OID_LEN);
}

static void subs_take(struct hint *h, u8 *subs, size_t n)
{
	free(h->subs);
	h->subs = subs;
	h->nsubs = n;
	h->sub_cursor = 0;
	h->subs_known = true;
}

/* What was just listed needs no look at the lower directory. */
void walk_children(struct dwork *d)
{
	subs_take(hint_get(d->v, d->oid), d->subs, d->nsubs);
	d->subs = NULL;
	d->nsubs = d->subs_cap = 0;
}

void walk_subs(struct hint *h)
{
	u8 *subs = xmalloc(h->n ? h->n * AUGUR_OID_LEN : 1);
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++)
		if (h->names[i].is_dir && !h->names[i].tried)
			memcpy(subs + n++ * AUGUR_OID_LEN, h->names[i].oid, AUGUR_OID_LEN);
	subs_take(h, subs, n);
}

/* The sub-directories of a hint's directory that nobody has listed. */
void walk_push(struct hint *h)
{
	struct vol *v = h->v;

	for (; h->sub_cursor < h->nsubs && v->nwalkq < QUEUE_MAX; h->sub_cursor++) {
		struct walk_dir *w = xcalloc(1, sizeof(*w));

		w->v = v;
		memcpy(w->oid, h->subs + h->sub_cursor * AUGUR_OID_LEN, AUGUR_OID_LEN);
		list_add_tail(&v->walkq, &w->link);
		v->nwalkq++;
	}
	walk_more(v);
}

void walk_note(struct vol *v, struct cobj *dir)
{
	struct hint *h;

#ifdef AUGUR_SEED_NO_BATCH	/* the seeded bug of tests/accept lines speed, cold */
	return;
#endif
	if (!v->m || !memcmp(dir->oid, dir->parent, AUGUR_OID_LEN))
		return;
	dir->flags &= ~COBJ_AHEAD;
	v->walk_ns = io_now(v->io);
	v->walk_credit = AGENT_WALK_CREDIT;
	h = hint_get(v, dir->parent);
	if (++h->walked < 2) {
		walk_more(v);
		return;
	}
	h->want_dirs = true;
	hint_go(h);
	/* It goes down as well: the children of what was just listed. */
	h = hint_get(v, dir->oid);
	h->want_dirs = true;
	hint_go(h);
	if (scanning(v))
		stream_push(h, true);
}

void walk_drop(struct vol *v)
{
	while (!list_empty(&v->walkq)) {
		struct walk_dir *w = list_first(&v->walkq, struct walk_dir, link);

		list_del(&w->link);
		free(w);
	}
	v->nwalkq = 0;
}
