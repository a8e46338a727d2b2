// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shards as seen by agents: a sequence number raised by every change, a ring of the last
 * changes, and the answers to lease renewals.  Loop thread.
 *
 * A renewal names the last number its agent has seen.  If all later changes are in the ring
 * they are the answer, else RESET: the agent trusts nothing of the shard until it asked.
 * Between renewals changes are pushed to the connections that asked for the object; a
 * connection that renews with a number from before (it has a cache of which this process
 * knows nothing) gets all of the shard's.  Numbers start at the wall clock in microseconds,
 * so that those of the next owner process are larger.
 */
#include "base/log.h"
#include "origin/impl.h"
#include "place/place.h"

#define FUTURE_US	(365ULL * 86400 * 1000000)
#define ANSWER_MAX	200		/* changes in one answer; beyond: RESET */
#define PUSH_FULL	(32 * 1024)

static u64 real_us(struct origin *o)
{
	return o->io->ops->real_ns(o->io) / 1000;
}

static struct origin_shard *shard_of(const struct origin *o, u32 pu, int *index)
{
	int s;

	if (!o->map)
		return NULL;
	s = place_shard(o->map, pu);
	if (s < 0 || !o->shard[s].owned)
		return NULL;
	*index = s;
	return &o->shard[s];
}

u64 origin_seq(const struct origin *o, u32 pu)
{
	int i;
	struct origin_shard *s = shard_of(o, pu, &i);

	return s ? s->seq : 0;
}

static void ring_clear(struct origin_shard *s)
{
	for (u32 i = 0; s->ring && i < ORIGIN_RING; i++)
		free(s->ring[i].name);
	free(s->ring);
	s->ring = NULL;
	s->first = s->seq + 1;
}

/* A shard that becomes ours starts with an empty ring and a larger number than any before. */
void origin_shards_update(struct origin *o)
{
	for (u32 i = 0; i < META_SHARDS_MAX; i++) {
		struct origin_shard *s = &o->shard[i];
		bool own = i < o->map->nshards && o->self >= 0 && o->map->shards[i].proxy == o->self;

		if (own && !s->owned) {
			s->seq = max(real_us(o), s->seq + 1);
			ring_clear(s);
		}
		s->owned = own;
	}
}

void origin_shards_free(struct origin *o)
{
	for (u32 i = 0; i < META_SHARDS_MAX; i++)
		ring_clear(&o->shard[i]);
	free(o->shard);
}

/* ---- pushing ---- */

static void change_put(struct wire_out *w, u16 tag, u32 shard, const struct origin_change *c)
{
	size_t mark = wire_nest(w, tag);

	wire_put_u32(w, WF_SHARD_ID, shard);
	wire_put_u64(w, WF_SEQ, c->seq);
	wire_put_u32(w, WF_KIND, c->kind);
	wire_put(w, WF_OID, c->oid, AUGUR_OID_LEN);
	if (c->tag)
		wire_put_u64(w, WF_TAG, c->tag);
	if (c->name) {
		wire_put(w, WF_PARENT_OID, c->parent, AUGUR_OID_LEN);
		wire_put(w, WF_NAME, c->name, c->name_len);
	}
	wire_nest_end(w, mark);
}

static void client_flush(struct origin_client *cl)
{
	if (!cl->push.len)
		return;
	cl->o->n.pushes++;
	xfer_push(cl->conn, WIRE_INVAL, &cl->push);
	wire_out_init(&cl->push);
}

static void push_done(struct io_op *op, int res)
{
	struct origin *o = container_of(op, struct origin, push_op);
	struct list *p, *tmp;

	list_for_each_safe(p, tmp, &o->clients)
		client_flush(container_of(p, struct origin_client, link));
}

/*
 * A connection that is far behind gets no more: what it misses is told by RESET at its next
 * renewal, as it could not know that a number was left out.
 */
static void client_push(struct origin_client *cl, u32 shard, const struct origin_change *c)
{
	struct origin *o = cl->o;

	if (bit_test(cl->reset, shard))
		return;
	if (xfer_conn_backlog(cl->conn) > 2 * ORIGIN_BACKLOG_MAX) {
		bit_set(cl->reset, shard);
		return;
	}
	change_put(&cl->push, WF_ITEM, shard, c);
	if (cl->push.len > PUSH_FULL)
		client_flush(cl);
	else if (!o->push_op.busy) {
		o->push_op.done = push_done;
		o->io->ops->timer(o->io, &o->push_op, io_now(o->io));
	}
}

void origin_change(struct origin *o, u32 pu, u64 mask, const struct origin_client *skip,
		   const struct origin_change *ch)
{
	struct origin_change *slot;
	struct origin_shard *s;
	struct list *p, *tmp;
	int i;

	s = shard_of(o, pu, &i);
	if (!s)
		return;
	if (!s->ring)
		s->ring = xcalloc(ORIGIN_RING, sizeof(*s->ring));
	s->seq++;
	slot = &s->ring[s->seq % ORIGIN_RING];
	free(slot->name);
	*slot = *ch;
	slot->seq = s->seq;
	slot->name = ch->name ? xmemdup(ch->name, ch->name_len) : NULL;
	if (s->seq - s->first >= ORIGIN_RING)
		s->first = s->seq - ORIGIN_RING + 1;
	o->n.changes++;
	list_for_each_safe(p, tmp, &o->clients) {
		struct origin_client *cl = container_of(p, struct origin_client, link);

		if (cl != skip && (mask >> cl->slot & 1 || bit_test(cl->wild, i)))
			client_push(cl, i, slot);
	}
}

void origin_reset_all(struct origin *o)
{
	struct list *p, *tmp;

	o->n.resets++;
	for (u32 i = 0; i < META_SHARDS_MAX; i++) {
		if (!o->shard[i].owned)
			continue;
		o->shard[i].seq++;
		ring_clear(&o->shard[i]);
	}
	list_for_each_safe(p, tmp, &o->clients)
		memset(container_of(p, struct origin_client, link)->reset, 0xff, META_SHARDS_MAX / 8);
}

/* ---- renewals ---- */

static bool must_reset(struct origin *o, struct origin_client *cl, struct origin_shard *s, u32 i, u64 seq)
{
	u64 limit = real_us(o) + FUTURE_US;

	if (seq > s->seq) {
		/* From a process whose clock was ahead: numbers must not go back. */
		if (seq < limit) {
			s->seq = seq + 1;
			ring_clear(s);
		}
		return true;
	}
	return !seq || bit_test(cl->reset, i) || seq + 1 < s->first || s->seq - seq > ANSWER_MAX;
}

/* One shard's answer: the changes since, or RESET. */
static void lease_put(struct origin *o, struct origin_client *cl, struct wire_out *w, u32 i, u64 seq)
{
	struct origin_shard *s = i < META_SHARDS_MAX ? &o->shard[i] : NULL;
	bool own = s && s->owned, reset = own && must_reset(o, cl, s, i, seq);
	size_t mark, start = w->len;

	mark = wire_nest(w, WF_ITEM);
	wire_put_u32(w, WF_SHARD_ID, i);
	wire_put_u32(w, WF_STATUS, (u32)(own ? 0 : -EREMCHG));
	wire_put_u64(w, WF_SEQ, own ? s->seq : 0);
	if (own)
		wire_put_u32(w, WF_RESET, reset);
	for (u64 n = seq + 1; own && !reset && n <= s->seq; n++)
		change_put(w, WF_INVAL, i, &s->ring[n % ORIGIN_RING]);
	if (wire_nest_end(w, mark)) {	/* too much to tell: RESET says it all */
		w->len = start;
		bit_set(cl->reset, i);
		lease_put(o, cl, w, i, seq);
		return;
	}
	if (!own)
		return;
	if (reset) {
		o->n.resets++;
		bit_clear(cl->reset, i);
		bit_clear(cl->wild, i);
	} else if (!bit_test(cl->leased, i)) {
		bit_set(cl->wild, i);
	}
	bit_set(cl->leased, i);
}

static int lease_item(struct wire_in in, u32 *shard, u64 *seq)
{
	bool have = false;
	struct wire_val v;
	int err;

	*seq = 0;
	while ((err = wire_next(&in, &v)) == 1) {
		err = 0;
		if (v.tag == WF_SHARD_ID) {
			err = wire_get_u32(&v, shard);
			have = true;
		} else if (v.tag == WF_SEQ) {
			err = wire_get_u64(&v, seq);
		}
		if (err)
			return -EBADMSG;
	}
	return err || !have ? -EBADMSG : 0;
}

void origin_lease_request(struct origin_client *cl, const struct wire_hdr *h, struct wire_in body)
{
	struct origin *o = cl->o;
	struct wire_val v;
	struct wire_out w;
	u32 shard, n = 0;
	u64 seq;
	int err;

	if (!o->map) {
		origin_reply_status(cl, h->stream, h->type, -EAGAIN, 0);
		return;
	}
	o->n.lease++;
	/* Pushed before the answer: numbers reach the agent in order. */
	client_flush(cl);
	wire_out_init(&w);
	wire_put_u64(&w, WF_MAP_VERSION, o->map->version);
	while ((err = wire_next(&body, &v)) == 1) {
		if (v.tag != WF_ITEM)
			continue;
		err = ++n > META_SHARDS_MAX ? -E2BIG : lease_item((struct wire_in){ v.p, v.p + v.len }, &shard, &seq);
		if (err)
			break;
		if (w.len > WIRE_BODY_MAX - 70000)
			bit_set(cl->reset, shard % META_SHARDS_MAX);
		lease_put(o, cl, &w, shard, seq);
	}
	if (err) {
		wire_out_free(&w);
		origin_reply_status(cl, h->stream, h->type, err, 0);
		return;
	}
	xfer_reply(cl->conn, h->stream, h->type, WIRE_LAST, 0, 0, &w);
}
