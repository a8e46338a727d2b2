// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * evict.c - drops the bytes of objects, in batches, one batch at a time in a volume.
 *
 * The kernel is asked first whether it would agree, so that no claim is taken back for what
 * somebody reads.  Then: claims taken back, durably; EVICT; the hole.  From the first to the last
 * step the object is marked EVICTING: requests for it wait and nothing fills it.  What the kernel
 * refuses after all keeps its bytes and is claimed again.  Loop thread only.
 */
#include "agent/agent.h"
#include "base/log.h"

struct evict_batch {
	struct list	link;		/* vol.evicts; the first runs */
	struct vol	*v;
	u8		oids[EVICT_BATCH][AUGUR_OID_LEN];
	size_t		noids;
	unsigned int	loading;
	struct evict_job job;
	struct evict_item it[EVICT_BATCH];
	struct cobj	*o[EVICT_BATCH];
	struct evict_result res;
	void		(*done)(void *arg, const struct evict_result *res);
	void		*arg;
};

static void batch_start(struct evict_batch *b);

static void batch_end(struct evict_batch *b)
{
	struct vol *v = b->v;

	list_del(&b->link);
	b->done(b->arg, &b->res);
	if (!list_empty(&v->evicts))
		batch_start(list_first(&v->evicts, struct evict_batch, link));
	free(b);
	vol_put(v);
}

/* ---- the hole ---- */

static void batch_punched(struct evict_job *j)
{
	struct evict_batch *b = j->user;
	struct vol *v = b->v;

	for (size_t i = 0; i < j->n; i++) {
		struct evict_item *it = &b->it[i];
		struct cobj *o = b->o[i];

		o->flags &= ~COBJ_EVICTING;
		b->res.freed += it->freed;
		if (!it->res) {
			struct hint *h = map_get(&v->hints, o->parent);

			b->res.evicted++;
			use_gone(v->c, it->oid);
			/* Its directory's small files are worth bringing again. */
			if (h)
				h->listed = false;
		}
		if (!v->dead)
			file_kick(v, o);
		cobj_put(v->c, o);
	}
	batch_end(b);
}

/* ---- the kernel's leave ---- */

/* It keeps its bytes: the claim is written again. */
static void reclaim(struct cache *c, struct cobj *o, const struct evict_item *it)
{
	if (it->changed)
		o->flags |= COBJ_COMPLETE;
	if ((o->flags & COBJ_COMPLETE) || o->map)
		settle_add(c, o, 0);
}

static void batch_unclaimed(struct evict_job *j)
{
	struct evict_batch *b = j->user;
	struct vol *v = b->v;

	/* Whoever read a record before this may have read a claim that is no more. */
	v->c->evictions++;
	for (size_t i = 0; i < j->n; i++) {
		struct evict_item *it = &b->it[i];
		struct cobj *o = b->o[i];
		u32 why = 0;

		if (!it->res)
			it->res = v->m && fh_equal(&o->fh, &it->fh) ?
				upcall_evict(v->m, it->oid, &it->fh, 0, 0, false, &why) : -ENOTCONN;
		if (it->res) {
			b->res.refused[why]++;
			if (fh_equal(&o->fh, &it->fh))
				reclaim(v->c, o, it);
			continue;
		}
		b->res.bytes += cobj_present_bytes(o);
		list_del(&o->unsettled);
		cobj_drop_presence(o);
		o->flags &= ~(COBJ_COMPLETE | COBJ_AHEAD);
		o->ahead_left = 0;
		stream_forget(v, o);
	}
	j->done = batch_punched;
	cache_punch(j);
}

/* ---- who may go ---- */

static u32 busy_here(struct vol *v, const struct cobj *o)
{
	const struct fwork *f = map_get(&v->files, o->oid);

	/* Punching would strip them (fill.c), and there are few. */
	if (o->flags & COBJ_CAPS)
		return EVICT_CAPABILITY;
	return (f && !fwork_idle(f)) || (o->flags & COBJ_EVICTING) ? AUGUR_BUSY_FILLING : 0;
}

static void batch_take(struct evict_batch *b, struct cobj *o)
{
	struct vol *v = b->v;
	struct evict_item *it = &b->it[b->job.n];
	u32 why = busy_here(v, o);
	int err = why ? -EBUSY : !v->m ? -ENOTCONN :
		  upcall_evict(v->m, o->oid, &o->fh, 0, 0, true, &why);

	/* Asked again when it is unpinned. */
	if (err == -ESTALE || err == -ENOENT || why == AUGUR_BUSY_PINNED)
		use_gone(v->c, o->oid);
	if (err) {
		b->res.refused[why]++;
		return;
	}
	memset(it, 0, sizeof(*it));
	memcpy(it->oid, o->oid, AUGUR_OID_LEN);
	it->fh = o->fh;
	o->flags |= COBJ_EVICTING;
	cobj_get(o);
	b->o[b->job.n++] = o;
}

static void batch_go(struct evict_batch *b)
{
	struct vol *v = b->v;

	for (size_t i = 0; i < b->noids && !v->dead; i++) {
		struct cobj *o = cobj_peek_any(v->c, b->oids[i]);

		if (o && cobj_is_file(o) && o->size && !(o->flags & COBJ_STALE))
			batch_take(b, o);
		else
			use_gone(v->c, b->oids[i]);
	}
	if (!b->job.n) {
		batch_end(b);
		return;
	}
	b->job.c = v->c;
	b->job.it = b->it;
	b->job.user = b;
	b->job.done = batch_unclaimed;
	cache_unclaim(&b->job);
}

static void batch_loaded(void *arg, struct cobj *o)
{
	struct evict_batch *b = arg;

	if (!--b->loading)
		batch_go(b);
}

static void batch_start(struct evict_batch *b)
{
	struct cache *c = b->v->c;

	/* One at least, so that nothing is called from inside. */
	b->loading = b->noids;
	for (size_t i = 0; i < b->noids; i++)
		cobj_load_any(c, b->oids[i], batch_loaded, b);
}

void evict_objects(struct vol *v, const u8 (*oids)[AUGUR_OID_LEN], size_t n,
		   void (*done)(void *arg, const struct evict_result *res), void *arg)
{
	struct evict_batch *b = xcalloc(1, sizeof(*b));
	bool first = list_empty(&v->evicts);

	b->v = vol_get(v);
	b->noids = min(n, (size_t)EVICT_BATCH);
	memcpy(b->oids, oids, b->noids * AUGUR_OID_LEN);
	b->done = done;
	b->arg = arg;
	list_add_tail(&v->evicts, &b->link);
	if (first)
		batch_start(b);
}

void evict_result_add(struct evict_result *sum, const struct evict_result *res)
{
	sum->freed += res->freed;
	sum->bytes += res->bytes;
	sum->evicted += res->evicted;
	for (size_t i = 0; i < ARRAY_SIZE(sum->refused); i++)
		sum->refused[i] += res->refused[i];
}
