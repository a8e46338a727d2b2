// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * settle.c - presence claims, lazily and in groups (R1): sync the data, then write the claim,
 * then tell the kernel that memory and disk agree.
 *
 * A round: the objects with new bytes are taken together with a copy of their maps; a worker
 * syncs their files (or the whole filesystem, when they are many) and writes the records of
 * those that became complete; the map rows of the partial ones are written in one job; then
 * settled() for each.  Bytes that land meanwhile belong to the next round.  A failed sync is
 * final for that inode (R8): its pages may be marked clean and dropped, and what is read then is not
 * what was written.  It is never claimed again, and whoever serves it is told.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "cache/index.h"

#define SYNC_EACH_MAX	16	/* more files than this: one syncfs */

struct settle_item {
	u8	oid[AUGUR_OID_LEN];
	struct fh fh;
	u64	version, tag, present;
	u8	*map;
	size_t	map_len;
	bool	complete;
	bool	lost;			/* the sync failed */
	int	res;
};

struct settle {
	struct io_op	op;
	struct cache	*c;
	struct settle_item *items;
	size_t		n;
	void		(*done)(void *arg);
	void		*arg;
};

/* A pass that was asked for while claims are held. */
struct settle_pass { struct settle_pass *next; void (*done)(void *arg); void *arg; };

static void round_start(struct cache *c, void (*done)(void *arg), void *arg);
static bool may_start(const struct cache *c);

/* ---- worker ---- */

/* The seeded bug that tests/powercut has to find: a claim of bytes that nobody made durable. */
#ifdef AUGUR_SEED_NO_SYNC
#define fdatasync(fd) 0
#define syncfs(fd) 0
#endif

static int sync_one(struct cache *c, struct settle_item *it)
{
	CLEANUP_CLOSE int fd = fh_open(c->top_fd, &it->fh, O_RDONLY | O_NOFOLLOW);

	if (fd < 0)
		return fd;
	return fdatasync(fd) ? -errno : 0;
}

static int claim_one(struct cache *c, struct settle_item *it)
{
	CLEANUP_CLOSE int fd = fh_open(c->top_fd, &it->fh, O_RDONLY | O_NOFOLLOW);
	struct augur_rec rec;
	int err;

	if (fd < 0)
		return fd;
	lower_record_lock();
	err = lower_record_read(fd, &rec);
	if (!err && (memcmp(rec.oid, it->oid, AUGUR_OID_LEN) || rec.version != it->version))
		err = -ESTALE;
	rec.flags = (rec.flags & ~AUGUR_REC_STUB) | AUGUR_REC_COMPLETE;
	if (!err)
		err = lower_record_write(fd, &rec);
	lower_record_unlock();
	return err;
}

static int round_work(void *arg)
{
	struct settle *s = arg;
	int all = 1;

	if (s->n > SYNC_EACH_MAX)
		all = syncfs(s->c->top_fd) ? -errno : 0;
	for (size_t i = 0; i < s->n; i++) {
		struct settle_item *it = &s->items[i];

		it->res = all == 1 ? sync_one(s->c, it) : all;
		it->lost = it->res && it->res != -ESTALE;
		if (!it->res && it->complete)
			it->res = claim_one(s->c, it);
	}
	return 0;
}

/* ---- loop ---- */

static void hold_give(struct cache *c)
{
	void (*fn)(void *arg) = c->hold;

	if (!fn || c->settling)
		return;
	c->hold = NULL;
	c->held = true;
	fn(c->hold_arg);
}

static void round_end(struct settle *s, int res)
{
	struct cache *c = s->c;
	void (*done)(void *) = s->done;
	void *arg = s->arg;

	for (size_t i = 0; i < s->n; i++) {
		struct settle_item *it = &s->items[i];
		struct cobj *o = map_get(&c->objs, it->oid);

		if (o && fh_equal(&o->fh, &it->fh)) {
			if (!it->res && !res) {
				o->settled = it->present;
				if (it->complete) {
					free(o->map);
					free(o->fly);
					o->map = o->fly = NULL;
				}
			} else if (it->res && it->res != -ESTALE) {
				log_err("event=settle error=\"%s\" effect=\"this file is not claimed, and is fetched again\" hint=\"check the cache disk\"",
					strerror(-it->res));
				o->flags |= COBJ_SUSPECT;
				c->suspects++;
			}
		}
		if (!it->res && !res && c->settled)
			c->settled(c->settled_ctx, it->oid, it->complete, it->present);
		if (it->lost && c->lost && (!o || fh_equal(&o->fh, &it->fh)))
			c->lost(c->settled_ctx, it->oid);
		free(it->map);
	}
	if (res)
		log_err("event=claims_write error=\"%s\" effect=\"fetched again after a restart\"", strerror(-res));
	c->settling = NULL;
	free(s->items);
	free(s);
	if (done)
		done(arg);
	hold_give(c);
}

static void maps_stored(void *arg, int res)
{
	round_end(arg, res);
}

static void synced(struct io_op *op, int res)
{
	struct settle *s = container_of(op, struct settle, op);
	struct map_row *rows = xcalloc(s->n ? s->n : 1, sizeof(*rows));
	size_t n = 0;

	cache_worked(s->c);
	for (size_t i = 0; i < s->n; i++) {
		struct settle_item *it = &s->items[i];
		struct map_row *r = &rows[n];

		if (it->res)
			continue;
		memcpy(r->oid, it->oid, AUGUR_OID_LEN);
		r->fh = it->fh;
		r->version = it->version;
		r->tag = it->tag;
		r->present = it->present;
		r->drop = it->complete;
		r->map = it->map;
		r->len = it->map_len;
		it->map = NULL;
		n++;
	}
	index_maps_store(s->c, rows, n, maps_stored, s);
}

static void round_start(struct cache *c, void (*done)(void *arg), void *arg)
{
	struct settle *s = xcalloc(1, sizeof(*s));
	struct list *p, *t;
	size_t cap = 0;

	s->c = c;
	s->done = done;
	s->arg = arg;
	c->settling = s;
	c->unsettled_bytes = 0;
	list_for_each_safe(p, t, &c->unsettled) {
		struct cobj *o = container_of(p, struct cobj, unsettled);
		struct settle_item *it;

		if (o->streamed && !(o->flags & COBJ_STALE))
			continue;	/* waits until only what stays is left */
		list_del(&o->unsettled);
		if (o->flags & (COBJ_SUSPECT | COBJ_STALE))
			continue;
		if (s->n == cap) {
			cap = cap ? cap * 2 : 64;
			s->items = xrealloc(s->items, cap * sizeof(*s->items));
		}
		it = &s->items[s->n++];
		memset(it, 0, sizeof(*it));
		memcpy(it->oid, o->oid, AUGUR_OID_LEN);
		it->fh = o->fh;
		it->version = o->version;
		it->tag = o->tag;
		it->present = cobj_present_bytes(o);
		it->complete = o->flags & COBJ_COMPLETE;
		if (!it->complete && o->map) {
			it->map_len = augur_map_bytes(o->size, o->shift);
			it->map = xmemdup(o->map, it->map_len);
		}
	}
	s->op.done = synced;
	cache_work(c, &s->op, round_work, s);
}

static void settle_arm(struct cache *c, u64 delay_ns);

static bool may_start(const struct cache *c)
{
	return !c->settling && !c->held && !c->hold;
}

static void settle_due(struct io_op *op, int res)
{
	struct cache *c = container_of(op, struct cache, settle_op);

	if (c->closing)
		return;
	if (may_start(c) && !list_empty(&c->unsettled))
		round_start(c, NULL, NULL);
	settle_arm(c, CACHE_SETTLE_NS);
}

static void settle_arm(struct cache *c, u64 delay_ns)
{
	if (c->settle_op.busy || c->closing)
		return;
	c->settle_op.done = settle_due;
	c->io->ops->timer(c->io, &c->settle_op, io_now(c->io) + delay_ns);
}

void settle_start(struct cache *c)
{
	settle_arm(c, CACHE_SETTLE_NS);
}

void settle_add(struct cache *c, struct cobj *o, u64 bytes)
{
	if (list_empty(&o->unsettled))
		list_add_tail(&c->unsettled, &o->unsettled);
	c->unsettled_bytes += bytes;
	if (c->unsettled_bytes >= CACHE_SETTLE_BYTES && may_start(c) && !c->closing)
		round_start(c, NULL, NULL);
}

/* ---- a pass on demand ---- */

struct pass { struct cache *c; void (*done)(void *arg); void *arg; void (*then)(void *arg); void *then_arg; };

static void pass_after(void *arg)
{
	struct pass *p = arg;

	if (p->then)
		p->then(p->then_arg);
	round_start(p->c, p->done, p->arg);
	free(p);
}

void settle_now(struct cache *c, void (*done)(void *arg), void *arg)
{
	struct pass *p;

	if (c->held || c->hold) {
		struct settle_pass *sp = xcalloc(1, sizeof(*sp));

		sp->done = done;
		sp->arg = arg;
		sp->next = c->passes;
		c->passes = sp;
		return;
	}
	if (!c->settling) {
		round_start(c, done, arg);
		return;
	}
	p = xcalloc(1, sizeof(*p));
	p->c = c;
	p->done = done;
	p->arg = arg;
	p->then = c->settling->done;
	p->then_arg = c->settling->arg;
	c->settling->done = pass_after;
	c->settling->arg = p;
}

/* ---- while claims are taken back ---- */

void settle_hold(struct cache *c, void (*fn)(void *arg), void *arg)
{
	c->hold = fn;
	c->hold_arg = arg;
	hold_give(c);
}

void settle_release(struct cache *c)
{
	struct settle_pass *sp = c->passes, *next;

	c->held = false;
	c->passes = NULL;
	for (; sp; sp = next) {
		next = sp->next;
		settle_now(c, sp->done, sp->arg);
		free(sp);
	}
}
