// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lease.c - read leases: while one holds, opens of present objects of a shard ask nobody.
 *
 * Every sixth of a lease each owner is asked for its shards, with the last change seen of
 * each.  It answers with the changes since, which are applied first, or with RESET: then all
 * that the cache has of the shard is compared with the owner (a sweep) before the kernel gets
 * the lease.  The lease runs from the sending of the question.  Loop thread only.
 */
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/log.h"
#include "base/seeded.h"
#include "common/lease.h"
#include "wire/bytes.h"

#define SWEEP_ITEMS	512
#define SWEEP_UNCLEAR	3	/* sweeps that are tried again before what the owner cannot look at counts as changed */
#define LEASE_RENEWALS	6	/* in the time of a lease: what is left when a daemon dies is most of it */
#define LEASE_MS_DEF	10000
#define LEASE_MS_MIN	500

static void lease_arm(struct peer *p, u64 delay_ns);

static u32 lease_ms(const struct vol *v)
{
	u32 ms = v->lease_ms ? v->lease_ms : LEASE_MS_DEF;

	if (v->m && v->m->lease_ms)
		ms = min(ms, v->m->lease_ms);
	if (v->ag->lease_ms)
		ms = min(ms, v->ag->lease_ms);
	return max(ms, (u32)LEASE_MS_MIN);
}

/* ---- giving it to the kernel ---- */

static void lease_push(struct vol *v, u32 shard)
{
	struct shard_lease *l = &v->leases[shard];

#ifdef AUGUR_SEED_NO_LEASE	/* the seeded bug of tests/accept cache warm-far: every open asks */
	return;
#endif
	if (v->m && l->state == LS_OK && l->sent_ns)
		upcall_lease(v->m, shard, l->seq, augur_lease_deadline(l->sent_ns, lease_ms(v)));
}

static void lease_stop(struct vol *v, u32 shard)
{
	if (v->m)
		upcall_lease(v->m, shard, v->leases[shard].seq, 0);
}

/*
 * The last change whose mark is made, and what it shows is here; until then, what was kept before
 * stays: the next daemon is told again, and nothing is lost.  One without a row was not marked.
 */
static void seq_keep(struct vol *v, u32 shard)
{
	if (!v->unmarked && list_empty(&v->changes) && !looks_pending(v) && !v->c->rows_lost)
		cache_seq_store(v->c, shard, 0, v->leases[shard].seq);
}

/* ---- sweep ---- */

struct sweep {
	struct vol	*v;
	struct meta_map	*map;
	u8		shards[META_SHARDS_MAX / 8];
	struct cobj_brief *b;
	size_t		n, at, first;
	u8		seen[SWEEP_ITEMS / 8];	/* of the question under way: answered */
	struct change_wait w;
	bool		unclear, failed;
	u64		changed;
	struct ask	a;
};

static void sweep_next(struct sweep *s);

static bool sweep_want(void *arg, u32 pu)
{
	struct sweep *s = arg;
	int shard = place_shard(s->map, pu);

	return shard >= 0 && bit_test(s->shards, shard);
}

static void sweep_end(struct change_wait *w)
{
	struct sweep *s = container_of(w, struct sweep, w);
	struct vol *v = s->v;

	for (u32 i = 0; i < s->map->nshards; i++) {
		struct shard_lease *l = &v->leases[i];

		if (!bit_test(s->shards, i) || l->state != LS_SWEEP)
			continue;
		l->state = s->failed || v->dead ? LS_NONE : LS_OK;
		l->unclear = l->state == LS_OK ? 0 : min(l->unclear + s->unclear, SWEEP_UNCLEAR);
		if (l->state != LS_OK) {
			l->seq = 0;
			continue;
		}
		seq_keep(v, i);
		lease_push(v, i);
	}
	if (s->n)
		log_info("event=swept volume=%s objects=%zu changed=%llu ok=%d", v->volume, s->n,
			 (unsigned long long)s->changed, !s->failed);
	meta_map_put(s->map);
	free(s->b);
	free(s);
	vol_put(v);
}

/*
 * What the owner could not look at (its disk gives errors) was not compared: no lease, and the
 * next renewal sweeps again.  One object that stays so must not keep the shard without a lease
 * for ever: then it counts as changed, and whoever opens it asks for it alone.
 */
static bool sweep_unclear(struct sweep *s, const struct cobj_brief *b)
{
	int shard = place_shard(s->map, b->pu);

	if (shard >= 0 && s->v->leases[shard].unclear >= SWEEP_UNCLEAR)
		return false;
	s->unclear = s->failed = true;
	return true;
}

static void sweep_changed(struct sweep *s, const struct cobj_brief *b)
{
	s->changed++;
	change_apply(s->v, S_ISDIR(b->mode) ? AUGUR_INVAL_DIR : AUGUR_INVAL_DATA, b->oid, NULL, NULL, 0, NULL, NULL);
}

static void sweep_answer(struct sweep *s, const struct reval_res *res)
{
	for (size_t i = s->first; i < s->at; i++) {
		const struct cobj_brief *b = &s->b[i];
		size_t k = i - s->first;

		if (bit_test(s->seen, k) || memcmp(b->oid, res->oid, AUGUR_OID_LEN))
			continue;
		bit_set(s->seen, k);
		if (!res->status || (res->status != -ESTALE && res->status != -ENOENT && sweep_unclear(s, b)))
			return;
		sweep_changed(s, b);
		return;
	}
}

static void sweep_done(struct ask *a, int status, struct wire_in body)
{
	struct sweep *s = container_of(a, struct sweep, a);
	struct reval_res res;
	struct wire_val val;

	while (!status && !s->v->dead && wire_next(&body, &val) == 1)
		if (val.tag == WF_ITEM && !reval_item_parse((struct wire_in){ val.p, val.p + val.len }, &res))
			sweep_answer(s, &res);
	/* One that has no answer was not compared. */
	for (size_t k = 0; k < s->at - s->first; k++)
		if (!bit_test(s->seen, k))
			s->failed = true;
	sweep_next(s);
}

static void sweep_next(struct sweep *s)
{
	struct ask *a = &s->a;
	int owner = -1;

	if (s->at >= s->n || s->failed || s->v->dead) {
		change_wait(s->v, &s->w, sweep_end);	/* what it found is marked first */
		return;
	}
	memset(a, 0, sizeof(*a));
	a->v = s->v;
	a->type = WIRE_REVAL;
	a->done = sweep_done;
	wire_out_init(&a->body);
	s->first = s->at;
	memset(s->seen, 0, sizeof(s->seen));
	while (s->at < s->n && s->at - s->first < SWEEP_ITEMS) {
		struct cobj_brief *b = &s->b[s->at];
		size_t mark;

		if (owner >= 0 && place_owner(s->map, b->pu) != owner)
			break;
		owner = place_owner(s->map, b->pu);
		a->pu = b->pu;
		log_debug("event=sweep_ask oid=%llx pu=%u", (unsigned long long)get_le64(b->oid), b->pu);
		mark = wire_nest(&a->body, WF_ITEM);
		wire_put(&a->body, WF_OID, b->oid, AUGUR_OID_LEN);
		wire_put(&a->body, WF_LOCATOR, b->loc, b->loc_len);
		wire_put_u64(&a->body, WF_VERSION, b->version);
		wire_put_u64(&a->body, WF_TAG, b->tag);
		wire_nest_end(&a->body, mark);
		s->at++;
	}
	ask_start(a);
}

static void sweep_listed(void *arg, struct cobj_brief *b, size_t n)
{
	struct sweep *s = arg;

	s->b = b;
	/* Of one known by half there is nothing to be compared: it counts as changed. */
	for (size_t i = 0; i < n; i++) {
		if (!b[i].half)
			b[s->n++] = b[i];
		else if (!s->v->dead)
			sweep_changed(s, &b[i]);
	}
	sweep_next(s);
}

/* ---- renewals ---- */

struct renewal {
	struct xfer_call c;
	struct vol	*v;
	struct peer	*p;
	u64		sent_ns;
	struct change_wait w;
	bool		any_sweep;
	u8		sweep[META_SHARDS_MAX / 8], ok[META_SHARDS_MAX / 8];
	u64		asked[META_SHARDS_MAX], seqs[META_SHARDS_MAX];
};

static void renewal_end(struct change_wait *w)
{
	struct renewal *r = container_of(w, struct renewal, w);
	struct vol *v = r->v;
	struct sweep *s;

	for (u32 i = 0; v->map && i < v->map->nshards && !v->dead; i++) {
		struct shard_lease *l = &v->leases[i];

		/* NONE: a sweep failed while this waited. */
		if (!bit_test(r->ok, i) || l->state == LS_NONE)
			continue;
		l->sent_ns = r->sent_ns;
		if (r->seqs[i] != l->seq) {
			l->seq = r->seqs[i];
			if (l->state == LS_OK)
				seq_keep(v, i);
		}
		lease_push(v, i);
	}
	if (r->any_sweep && !v->dead && v->map) {
		s = xcalloc(1, sizeof(*s));
		s->v = vol_get(v);
		s->map = meta_map_get(v->map);
		memcpy(s->shards, r->sweep, sizeof(s->shards));
		cobj_briefs(v->c, sweep_want, sweep_listed, s);
	}
	free(r);
	vol_put(v);
}

static void shard_reset(struct renewal *r, u32 shard, u64 seq)
{
	struct shard_lease *l = &r->v->leases[shard];

	log_debug("event=reset shard=%u seq=%llu state=%d", shard, (unsigned long long)seq, l->state);
	lease_stop(r->v, shard);
	l->seq = seq;
	if (l->state == LS_SWEEP)
		return;		/* one is under way; the next renewal tells whether that was enough */
	l->state = LS_SWEEP;
	r->any_sweep = true;
	bit_set(r->sweep, shard);
}

static void shard_answer(struct renewal *r, struct wire_in in)
{
	struct wire_in again = in;
	struct change_item it;
	u32 shard = ~0u, status = 0, reset = 0;
	struct wire_val val;
	u64 seq = 0;
	int got = 0, err = 0;

	while (!err && (got = wire_next(&in, &val)) == 1) {
		if (val.tag == WF_SHARD_ID)
			err = wire_get_u32(&val, &shard);
		else if (val.tag == WF_STATUS)
			err = wire_get_u32(&val, &status);
		else if (val.tag == WF_RESET)
			err = wire_get_u32(&val, &reset);
		else if (val.tag == WF_SEQ)
			err = wire_get_u64(&val, &seq);
	}
	if (err || got < 0 || shard >= META_SHARDS_MAX || !r->v->map || shard >= r->v->map->nshards) {
		log_err("event=bad_answer what=lease proxy=%s", r->p->addr);
		return;
	}
	if (status) {
		map_want(r->v);
		return;
	}
	/* Asked before a sweep failed: "nothing since" says nothing of what was to be compared. */
	if (!reset && r->v->leases[shard].state == LS_NONE && r->v->leases[shard].seq != r->asked[shard])
		return;
	bit_set(r->ok, shard);
	r->seqs[shard] = seq;
	if (reset) {
		shard_reset(r, shard, seq);
		return;
	}
	if (r->v->leases[shard].state == LS_NONE)
		r->v->leases[shard].state = LS_OK;
	while (wire_next(&again, &val) == 1) {
		if (val.tag != WF_INVAL)
			continue;
		if (change_parse_item((struct wire_in){ val.p, val.p + val.len }, &it)) {
			log_err("event=bad_answer what=inval proxy=%s", r->p->addr);
			bit_clear(r->ok, shard);	/* no lease over a change that is not understood */
			return;
		}
		change_told(r->v, &it);
	}
}

static void renewal_done(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct renewal *r = container_of(c, struct renewal, c);
	struct vol *v = r->v;
	struct peer *p = r->p;
	struct wire_in in = { NULL, NULL };
	struct wire_val val;

	if (v->dead) {
		free(r);
		vol_put(v);
		return;
	}
	p->lease_flying = false;
	if (!status && body)
		in = (struct wire_in){ body->data, body->data + body->len };
	while (in.p && wire_next(&in, &val) == 1)
		if (val.tag == WF_ITEM)
			shard_answer(r, (struct wire_in){ val.p, val.p + val.len });
	lease_arm(p, status ? 200000000ull : lease_ms(v) * 1000000ull / LEASE_RENEWALS);
	change_wait(v, &r->w, renewal_end);	/* no lease before the kernel knows of all changes told so far */
}

/* Index of the peer in the map, or -1. */
static int proxy_index(const struct vol *v, const struct peer *p)
{
	for (u32 i = 0; v->map && i < v->map->nproxies; i++)
		if (peer_is(p, &v->map->proxies[i]))
			return i;
	return -1;
}

static void renew(struct peer *p)
{
	struct vol *v = p->v;
	int self = proxy_index(v, p);
	struct renewal *r;
	u32 n = 0;

	/* What has no row would not be compared, nor marked when its owner tells of a change. */
	if (self < 0 || !v->m || p->lease_flying || v->c->unclean)
		return;
	r = xcalloc(1, sizeof(*r));
	wire_out_init(&r->c.req);
	for (u32 i = 0; i < v->map->nshards; i++) {
		size_t mark;

		if (v->map->shards[i].proxy != self)
			continue;
		mark = wire_nest(&r->c.req, WF_ITEM);
		wire_put_u32(&r->c.req, WF_SHARD_ID, i);
		r->asked[i] = v->leases[i].seq;
		wire_put_u64(&r->c.req, WF_SEQ, r->asked[i]);
		wire_nest_end(&r->c.req, mark);
		n++;
	}
	if (!n) {
		wire_out_free(&r->c.req);
		free(r);
		return;
	}
	r->v = vol_get(v);
	r->p = p;
	r->c.done = renewal_done;
	r->c.deadline_ns = io_now(v->io) + lease_ms(v) * 1000000ull;
	r->sent_ns = io_now(v->io);
	p->lease_flying = true;
	xfer_call(p->x, &r->c, WIRE_LEASE);
}

static void lease_due(struct io_op *op, int res)
{
	struct peer *p = container_of(op, struct peer, lease_op);
	struct vol *v = p->v;

	p->lease_armed = false;
	if (!v->dead) {
		renew(p);
		if (!p->lease_flying)
			lease_arm(p, lease_ms(v) * 1000000ull / LEASE_RENEWALS);
	}
	vol_put(v);
}

static void lease_arm(struct peer *p, u64 delay_ns)
{
	if (p->lease_armed || p->v->dead)
		return;
	p->lease_armed = true;
	vol_get(p->v);
	p->lease_op.done = lease_due;
	p->v->io->ops->timer(p->v->io, &p->lease_op, io_now(p->v->io) + delay_ns);
}

/* Now, whatever the timer says. */
static void lease_now(struct peer *p)
{
	if (p->lease_armed)
		renew(p);
	else
		lease_arm(p, 0);
}

void lease_start(struct peer *p)
{
	lease_now(p);
}

void lease_all(struct vol *v)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &v->peers)
		lease_now(container_of(p, struct peer, link));
}

void lease_mount(struct vol *v)
{
	u16 groups[META_SLOTS];

	if (!v->m || !v->map)
		return;
	for (u32 i = 0; i < META_SLOTS; i++)
		groups[i] = place_shard(v->map, i + 1) < 0 ? AUGUR_GROUP_NONE : place_shard(v->map, i + 1);
	upcall_pu_table(v->m, 1, groups, META_SLOTS, v->map->version);
	for (u32 i = 0; i < v->map->nshards; i++)
		lease_push(v, i);
	lease_all(v);
}
