// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * client.c - calls: sending them, matching answers by stream, time limits, and their end,
 * which comes exactly once.
 *
 * A call is in one place at a time: waiting (no connection yet), in the map of the connection
 * it was sent on, or on the failed list, whose members end in the next step.  Frames of a
 * stream that is in no map belong to a call that was given up, and are dropped; a stream that
 * was never used is the peer's mistake and ends the connection.
 *
 * A connection may be cut without a word, and TCP's own pauses grow with the cut: it stays silent
 * for as long again when the network is whole.  So while something is asked on it, silence is
 * answered by a PING, which the other side's engine answers whatever its handlers do; when that
 * is not answered either, the connection is given up and its calls may be sent on another.
 */
#include "base/log.h"
#include "base/seeded.h"
#include "xfer/client.h"

#define STREAM_LAST	0xfffffff0U	/* a connection this old is replaced before numbers repeat */
#define DEAD_AFTER	4		/* times as long as it may be quiet: no answer to a PING, nor any other */

/* ---- the end of a call ---- */

static void call_end(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *body)
{
	c->peer->stats.errors += !h;
	c->peer = NULL;
	c->conn = NULL;
	wire_out_free(&c->req);
	c->done(c, status, h, body);
}

/* From wherever it is to the failed list. */
static void call_fail(struct xfer_call *c, int err)
{
	struct xfer_peer *p = c->peer;
	struct client_link *l = c->conn;

	if (c->err)
		return;
	if (l)
		map_del(&l->calls, &c->stream);
	else
		list_del(&c->link);
	c->conn = NULL;
	c->err = err;
	list_add_tail(&p->failed, &c->link);
	client_kick(p);
}

static void end_failed(struct xfer_peer *p)
{
	struct list now;

	/* Those that a callback adds come in the next step. */
	list_init(&now);
	while (!list_empty(&p->failed)) {
		struct list *first = p->failed.next;

		list_del(first);
		list_add_tail(&now, first);
	}
	while (!list_empty(&now)) {
		struct xfer_call *c = list_first(&now, struct xfer_call, link);

		list_del(&c->link);
		call_end(c, c->err, NULL, NULL);
	}
}

void client_kick(struct xfer_peer *p)
{
	if (!p->kick.busy)
		p->io->ops->timer(p->io, &p->kick, 0);
}

void client_kick_done(struct io_op *op, int res)
{
	struct xfer_peer *p = container_of(op, struct xfer_peer, kick);

	end_failed(p);
	peer_try_free(p);
}

void client_fail_waiting(struct xfer_peer *p, int err)
{
	while (!list_empty(&p->waiting))
		call_fail(list_first(&p->waiting, struct xfer_call, link), err);
}

/* ---- a connection ---- */

/* No new calls on it; it goes when the last answer has come. */
static void link_retire(struct client_link *l)
{
	struct xfer_peer *p = l->peer;

	if (p->cur == l) {
		p->cur = NULL;
		p->state = PEER_IDLE;
		p->stats.up = false;
		p->stats.err = -ESHUTDOWN;
		if (!p->freed && p->cfg.down)
			p->cfg.down(p->cfg.ctx, p, -ESHUTDOWN);
	}
	if (!l->calls.live)
		conn_fail(l->conn, -ESHUTDOWN);
}

static int stream0_frame(struct client_link *l, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct xfer_peer *p = l->peer;
	struct wire_in in = { body->data, body->data + body->len };

	if (h->type == WIRE_GOODBYE)
		link_retire(l);
	else if (p->cfg.push)
		p->cfg.push(p->cfg.ctx, p, h, in);
	return 0;
}

/* A seeded mistake: an answer goes to another question of the same kind. */
static struct xfer_call *other_call(struct client_link *l, struct xfer_call *c)
{
	struct xfer_call *o;
	size_t i = 0;

	while ((o = map_next(&l->calls, &i)))
		if (o != c && o->type == c->type)
			return o;
	return c;
}

static int answer_frame(struct client_link *l, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct xfer_conn *conn = l->conn;
	struct xfer_call *c;

	c = map_get(&l->calls, &h->stream);
	if (!c)		/* given up, or never asked */
		return h->stream < l->next_stream && (h->flags & WIRE_REPLY) ? 0 : -EPROTO;
	if (!(h->flags & WIRE_REPLY) || h->type != c->type)
		return -EPROTO;
	if (seeded(SEEDED_WRONG_REPLY) && h->flags & WIRE_DATA)
		c = other_call(l, c);
	if (!(h->flags & WIRE_LAST)) {
		c->last_ns = conn->last_rx_ns;
		if (c->frame)
			c->frame(c, h, body);
		return 0;
	}
	map_del(&l->calls, &h->stream);
	if (l->peer->cur != l && !l->calls.live)
		conn_fail(conn, -ESHUTDOWN);
	call_end(c, h->status, h, body);
	return 0;
}

static int client_frame(struct xfer_conn *conn, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct client_link *l = conn->owner;
	struct xfer_peer *p = l->peer;
	int err;

	if (p->freed)
		return 0;
	if (p->cur == l && p->state == PEER_HELLO)
		return peer_hello_frame(l, h, body);
	err = h->stream ? answer_frame(l, h, body) : stream0_frame(l, h, body);
	if (!p->freed && p->cur == l && l->next_stream >= STREAM_LAST)
		link_retire(l);
	return err;
}

static void client_down(struct xfer_conn *conn, int err)
{
	struct client_link *l = conn->owner;
	struct xfer_peer *p = l->peer;
	bool was_up = p->cur == l && p->state == PEER_UP;
	struct xfer_call *c;
	size_t i = 0;

	while ((c = map_next(&l->calls, &i)))
		if (!seeded(SEEDED_LOST_WAITER) || p->freed)
			call_fail(c, p->freed ? -ECANCELED : err);
	if (p->cur == l)
		p->cur = NULL;
	list_del(&l->link);
	map_free(&l->calls);
	free(l);
	xfer_conn_put(conn);
	if (p->freed) {
		peer_try_free(p);
		return;
	}
	if (was_up) {
		log_notice("event=xfer_down peer=%s error=%d", p->cfg.addr, err);
		p->state = PEER_IDLE;
		p->stats.up = false;
		p->stats.err = err;
		p->stats.errors++;
		if (p->cfg.down)
			p->cfg.down(p->cfg.ctx, p, err);
	} else if (!p->cur && p->state == PEER_HELLO) {
		peer_dial_failed(p, err);
	}
}

static const struct conn_ops client_conn_ops = { .frame = client_frame, .down = client_down };

struct client_link *client_link_new(struct xfer_peer *p, int fd)
{
	struct client_link *l = xcalloc(1, sizeof(*l));

	l->peer = p;
	l->next_stream = 1;
	map_init(&l->calls, offsetof(struct xfer_call, stream), sizeof(u32));
	l->conn = conn_new(p->io, fd, &client_conn_ops, l, &p->stats);
	list_add_tail(&p->links, &l->link);
	conn_start(l->conn);
	return l;
}

/* ---- sending ---- */

static void arm_timer(struct xfer_peer *p, u64 at);

static void send_on(struct client_link *l, struct xfer_call *c)
{
	struct wire_hdr h = { .type = c->type, .stream = l->next_stream++, .body_len = c->req.len };
	u8 *body = c->req.buf;

	if (!l->calls.live) {
		u64 now = io_now(l->peer->io);

		/* Calls that were given up do not make a silence shorter. */
		if (l->conn->last_rx_ns >= l->asked_ns)
			l->asked_ns = now;
		arm_timer(l->peer, now + l->peer->cfg.quiet_ns);
	}
	c->conn = l;
	c->stream = h.stream;
	map_put(&l->calls, c);
	wire_out_init(&c->req);
	conn_send(l->conn, &h, body);
}

void client_send_waiting(struct xfer_peer *p)
{
	while (p->cur && p->state == PEER_UP && !list_empty(&p->waiting)) {
		struct xfer_call *c = list_first(&p->waiting, struct xfer_call, link);

		list_del(&c->link);
		send_on(p->cur, c);
	}
}

/* ---- time limits ---- */

static u64 deadline_of(const struct xfer_call *c)
{
	return c->deadline_ns ? c->deadline_ns : c->last_ns + c->peer->cfg.call_timeout_ns;
}

static void arm_timer(struct xfer_peer *p, u64 at)
{
	if (at >= p->timer_at || p->freed)
		return;
	p->timer_at = at;
	if (p->call_timer.busy)
		p->io->ops->cancel(p->io, &p->call_timer);	/* its end looks at all calls and arms anew */
	else
		p->io->ops->timer(p->io, &p->call_timer, at);
}

static void check_call(struct xfer_call *c, u64 now, u64 *next)
{
	u64 at = deadline_of(c);

	if (at > now)
		*next = min(*next, at);
	else
		call_fail(c, -ETIMEDOUT);
}

static void ping(struct client_link *l, u64 now)
{
	struct wire_hdr h = { .type = WIRE_PING, .stream = l->next_stream++ };

	l->ping_ns = now;
	conn_send(l->conn, &h, NULL);	/* its answer is in no map: that something came is all */
}

/* Did nothing come for @ns?  The engine is not told of every byte, and does not read when its buffers are full. */
static bool is_quiet(const struct client_link *l, u64 now, u64 ns)
{
	return now - max(l->conn->last_rx_ns, l->asked_ns) >= ns && !l->conn->rx_stalled && sock_quiet_ns(l->conn->fd) >= ns;
}

static void check_silence(struct client_link *l, u64 now, bool late, u64 *next)
{
	bool asked = l->ping_ns > max(l->conn->last_rx_ns, l->asked_ns);
	u64 quiet = l->peer->cfg.quiet_ns;

	/* With all its streams taken the server reads no more, so it answers no PING: only what was asked. */
	if (!l->calls.live || l->conn->dead || l->calls.live >= XFER_STREAMS)
		return;
	*next = min(*next, now + quiet);
	if (late)
		return;
	if (asked && now - l->ping_ns >= DEAD_AFTER * quiet && is_quiet(l, now, DEAD_AFTER * quiet)) {
		log_notice("event=xfer_silent peer=%s calls=%zu", l->peer->cfg.addr, l->calls.live);
		conn_fail(l->conn, -ETIMEDOUT);
		return;
	}
	if (!asked && is_quiet(l, now, quiet))
		ping(l, now);
}

static void check_link(struct client_link *l, u64 now, bool late, u64 *next)
{
	struct xfer_call *c;
	size_t i = 0;

	while ((c = map_next(&l->calls, &i)))
		check_call(c, now, next);
	if (l->peer->cur != l && !l->calls.live)
		conn_fail(l->conn, -ETIMEDOUT);
	else
		check_silence(l, now, late, next);
}

void client_call_timer_done(struct io_op *op, int res)
{
	struct xfer_peer *p = container_of(op, struct xfer_peer, call_timer);
	u64 now = io_now(p->io), next = UINT64_MAX;
	/* It was us who slept (a stopped process): what came meanwhile has not been looked at yet. */
	bool late = now > p->cfg.quiet_ns && now - p->cfg.quiet_ns > p->timer_at;
	struct list *pos, *tmp;

	p->timer_at = UINT64_MAX;
	if (p->freed) {
		peer_try_free(p);
		return;
	}
	list_for_each_safe(pos, tmp, &p->waiting)
		check_call(container_of(pos, struct xfer_call, link), now, &next);
	list_for_each_safe(pos, tmp, &p->links)
		check_link(container_of(pos, struct client_link, link), now, late, &next);
	if (next != UINT64_MAX)
		arm_timer(p, next);
}

/* ---- calls ---- */

void xfer_call(struct xfer_peer *p, struct xfer_call *c, u16 type)
{
	u64 now = io_now(p->io);

	c->peer = p;
	c->conn = NULL;
	c->type = type;
	c->stream = 0;
	c->err = 0;
	c->last_ns = now;
	p->stats.calls++;
	list_add_tail(&p->waiting, &c->link);
	if (p->freed)
		call_fail(c, -ECANCELED);
	else if (c->req.len > WIRE_BODY_MAX)
		call_fail(c, -EMSGSIZE);
	else if (p->state == PEER_IDLE && now < p->retry_ns)
		call_fail(c, p->last_err);
	if (c->err)
		return;
	arm_timer(p, deadline_of(c));
	if (p->state == PEER_UP)
		client_send_waiting(p);
	else if (p->state == PEER_IDLE && !p->want_dial)
		peer_dial(p);
}

void xfer_call_cancel(struct xfer_call *c)
{
	if (c->peer)
		call_fail(c, -ECANCELED);
}
