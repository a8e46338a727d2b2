// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * conn.c - receiving frames, and the life of a connection.
 *
 * Bytes are received into a stage from which any number of small frames is parsed.  The body
 * of a large frame is received straight into its buffer, whose slack takes the header that
 * follows, so a stream of full DATA frames costs one receive a piece and copies 32 bytes.
 * Every length is checked before a buffer is taken for it.
 */
#include <xxhash.h>

#include "base/log.h"
#include "xfer/conn.h"

#define BODY_SLACK	512	/* received past a large body: the next header and small frames */

static void rx_done(struct io_op *op, int res);
static void kick_done(struct io_op *op, int res);

void xfer_conn_get(struct xfer_conn *c)
{
	c->refs++;
}

static void conn_free(struct xfer_conn *c)
{
	conn_tx_drop(c);
	files_free(c);
	free(c->stage);
	free(c->tx_stage);
	free(c);
}

void xfer_conn_put(struct xfer_conn *c)
{
	if (!--c->refs)
		conn_free(c);
}

struct xfer_conn *conn_new(struct io *io, int fd, const struct conn_ops *ops, void *owner, struct xfer_stats *stats)
{
	struct xfer_conn *c = xcalloc(1, sizeof(*c));

	c->io = io;
	c->fd = fd;
	c->ops = ops;
	c->owner = owner;
	c->stats = stats;
	c->refs = 1;
	c->body_limit = WIRE_BODY_MAX;
	c->stage = xmalloc(STAGE_SIZE);
	c->tx_stage = xmalloc(TX_STAGE_SIZE);
	c->rx.done = rx_done;
	c->tx.done = conn_tx_done;
	c->kick.done = kick_done;
	c->small.tail = &c->small.head;
	c->large.tail = &c->large.head;
	c->born_ns = c->last_rx_ns = io_now(io);
	list_init(&c->link);
	files_init(c);
	sock_tune(fd);
	sock_name(fd, true, c->peer, sizeof(c->peer));
	return c;
}

void conn_kick(struct xfer_conn *c)
{
	if (c->kick.busy)
		return;
	xfer_conn_get(c);
	c->io->ops->timer(c->io, &c->kick, 0);
}

void conn_fail(struct xfer_conn *c, int err)
{
	if (c->dead)
		return;
	c->dead = true;
	c->err = err;
	c->io->ops->close(c->io, c->fd);
	c->fd = -1;
	conn_kick(c);
}

/* ---- receiving ---- */

/* A client never waits for its own sends: the server may be waiting for it to read. */
static bool held_back(const struct xfer_conn *c)
{
	if (c->kept_bytes >= (u64)XFER_BUFS * WIRE_DATA_MAX)
		return true;
	return c->server && (c->streams >= XFER_STREAMS || c->tx_bytes >= XFER_TX_HIGH);
}

void conn_rx_resume(struct xfer_conn *c)
{
	if (!c->rx_stalled || c->dead || held_back(c))
		return;
	if (!c->server || c->tx_bytes <= TX_LOW)
		conn_kick(c);
}

static void rx_more(struct xfer_conn *c)
{
	size_t left;

	if (c->dead || c->rx.busy || c->rx_stalled)
		return;
	xfer_conn_get(c);
	if (c->body) {
		left = c->body->len - c->body_got;
		c->io->ops->recv(c->io, &c->rx, c->fd, c->body->data + c->body_got,
				 left + min(c->body->cap - c->body->len, (size_t)BODY_SLACK), left);
	} else {
		c->io->ops->recv(c->io, &c->rx, c->fd, c->stage + c->stage_len, STAGE_SIZE - c->stage_len, 1);
	}
}

static bool sum_ok(const struct xfer_conn *c, const struct wire_hdr *h, const struct xfer_buf *b)
{
	if (h->flags & WIRE_SUM)
		return XXH3_64bits(b->data, b->len) == h->sum;
	return !(c->features & WIRE_F_SUM) || !b->len;
}

static int deliver(struct xfer_conn *c, struct xfer_buf *b)
{
	int err = -EBADMSG;

	c->stats->rx_frames++;
	if (sum_ok(c, &c->hdr, b))
		err = c->ops->frame(c, &c->hdr, b);
	else
		log_warn("event=xfer_bad_sum peer=%s type=%u len=%zu", c->peer, c->hdr.type, b->len);
	xfer_buf_put(b);
	return err;
}

/* Takes the next header and what is there of its body from the stage. 1: a frame was done. */
static int parse_one(struct xfer_conn *c)
{
	size_t left = c->stage_len - c->stage_pos, n;
	struct xfer_buf *b;
	int err;

	if (left < WIRE_HDR_LEN)
		return 0;
	err = wire_hdr_decode(c->stage + c->stage_pos, &c->hdr);
	if (!err && c->hdr.body_len > c->body_limit)
		err = -EMSGSIZE;
	if (err)
		return err;
	c->stage_pos += WIRE_HDR_LEN;
	b = buf_new(c, c->hdr.body_len);
	n = min(left - WIRE_HDR_LEN, b->len);
	memcpy(b->data, c->stage + c->stage_pos, n);
	c->stage_pos += n;
	if (n < b->len) {
		c->body = b;
		c->body_got = n;
		return 0;
	}
	err = deliver(c, b);
	return err ? err : 1;
}

static void parse(struct xfer_conn *c)
{
	int r = 1;

	while (r == 1 && !c->dead && !c->rx_stalled) {
		if (held_back(c))
			c->rx_stalled = true;
		else
			r = parse_one(c);
	}
	if (r < 0 && !c->dead) {
		log_warn("event=xfer_bad_frame peer=%s error=%d type=%u flags=%#x len=%u", c->peer, r, c->hdr.type,
			 c->hdr.flags, c->hdr.body_len);
		conn_fail(c, r);
	}
	c->stage_len -= c->stage_pos;
	memmove(c->stage, c->stage + c->stage_pos, c->stage_len);
	c->stage_pos = 0;
}

/* The body is whole; what came after it goes to the stage, which is empty. */
static int end_body(struct xfer_conn *c)
{
	struct xfer_buf *b = c->body;

	c->stage_len = c->body_got - b->len;
	memcpy(c->stage, b->data + b->len, c->stage_len);
	c->body = NULL;
	return deliver(c, b);
}

static void received(struct xfer_conn *c, size_t n)
{
	int err = 0;

	c->stats->rx_bytes += n;
	c->last_rx_ns = io_now(c->io);
	if (!c->body) {
		c->stage_len += n;
	} else {
		c->body_got += n;
		if (c->body_got < c->body->len)
			return;
		err = end_body(c);
	}
	if (err && !c->dead)
		conn_fail(c, err);
	if (!c->dead)
		parse(c);
}

static void rx_done(struct io_op *op, int res)
{
	struct xfer_conn *c = container_of(op, struct xfer_conn, rx);

	if (res > 0 && !c->dead)
		received(c, res);
	else if (!c->dead && res != -EINTR && res != -EAGAIN)
		conn_fail(c, res && res != -EPIPE ? res : -ECONNRESET);
	if (c->dead)
		conn_kick(c);	/* what waited for this operation to end */
	rx_more(c);
	xfer_conn_put(c);
}

void conn_start(struct xfer_conn *c)
{
	rx_more(c);
}

/* ---- the kick ---- */

static void tell_down(struct xfer_conn *c)
{
	static struct xfer_stats nowhere;

	if (c->body) {
		struct xfer_buf *b = c->body;

		if (c->rx.busy)		/* still being written to; rx_done kicks once more */
			return;
		c->body = NULL;
		xfer_buf_put(b);
	}
	files_fail(c);
	if (c->down_told)
		return;
	c->down_told = true;
	/* Operations that are still to come back find the owner, whose counters these are, gone. */
	c->stats = &nowhere;
	c->ops->down(c, c->err);
}

static void kick_done(struct io_op *op, int res)
{
	struct xfer_conn *c = container_of(op, struct xfer_conn, kick);

	if (!c->dead)
		files_settle(c);
	if (!c->dead && c->rx_stalled && !held_back(c)) {
		c->rx_stalled = false;
		parse(c);
		rx_more(c);
	}
	if (c->dead)
		tell_down(c);
	xfer_conn_put(c);
}

/* ---- accessors ---- */

bool xfer_conn_alive(const struct xfer_conn *c)
{
	return !c->dead && !c->closing;
}

void xfer_conn_set(struct xfer_conn *c, void *user)
{
	c->user = user;
}

void *xfer_conn_user(const struct xfer_conn *c)
{
	return c->user;
}

const char *xfer_conn_peer(const struct xfer_conn *c)
{
	return c->peer;
}

u64 xfer_conn_features(const struct xfer_conn *c)
{
	return c->features;
}

u64 xfer_conn_backlog(const struct xfer_conn *c)
{
	return c->tx_bytes;
}

/* ---- HELLO, of either side ---- */

int conn_read_hello(struct wire_in in, u32 *proto, u64 *features)
{
	struct wire_val v;
	int r, err = 0;

	*proto = 0;
	*features = 0;
	while (!err && (r = wire_next(&in, &v)) == 1) {
		if (v.tag == WF_PROTO)
			err = wire_get_u32(&v, proto);
		else if (v.tag == WF_FEATURES)
			err = wire_get_u64(&v, features);
	}
	return err ? err : r;
}
