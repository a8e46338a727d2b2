// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * peer.c - the dialling side brings a connection up: resolve, connect to one address after
 * the other, HELLO; and what happens when it does not come up.
 *
 * A dial starts when a call needs it.  When it fails, the calls that waited fail with it, and
 * for the back-off after it new calls fail at once, so nobody waits a time-out for a host that
 * has just been found dead.  Cancelled operations end in a later step; a new dial waits for
 * them (want_dial), except for a resolver that hangs: that counts as one more failed dial.
 */
#include "base/log.h"
#include "xfer/client.h"

#define CONNECT_NS	5000000000ULL
#define CALL_NS		30000000000ULL
#define QUIET_NS	1000000000ULL
#define ATTEMPT_MIN_NS	1000000000ULL	/* for one address of several */
#define BACKOFF_NS	100000000ULL
#define BACKOFF_MAX_NS	2000000000ULL

static void connected(struct io_op *op, int res);

void peer_try_free(struct xfer_peer *p)
{
	if (!p->freed || p->kick.busy || p->connect.busy || p->dial_timer.busy || p->call_timer.busy ||
	    p->lookup.op.busy || !list_empty(&p->links) || !list_empty(&p->failed))
		return;
	free((char *)p->cfg.addr);
	free((char *)p->cfg.volume);
	free((char *)p->cfg.peer_id);
	free(p);
}

/* An operation of a dial that is over has ended. */
static void dial_leftover(struct xfer_peer *p)
{
	if (p->freed)
		peer_try_free(p);
	else if (p->want_dial && p->state == PEER_IDLE)
		peer_dial(p);
}

/* What callers know how to treat; the cause itself is in the log. */
static int dial_errno(int err)
{
	switch (err) {
	case -ECONNREFUSED: case -ENETUNREACH: case -ENOENT: case -EAGAIN: case -EADDRNOTAVAIL: case -ENETDOWN:
	case -EHOSTDOWN: case -EAFNOSUPPORT:
		return -EHOSTUNREACH;
	default:
		return err;
	}
}

static u64 backoff(struct xfer_peer *p)
{
	u64 ns = BACKOFF_NS << min(p->failures - 1, 5U);
	u8 r;

	p->io->ops->random(p->io, &r, 1);
	ns = min(ns, BACKOFF_MAX_NS);
	return ns - ns / 4 + ns / 512 * r;	/* 0.75 to 1.25, so that hosts do not dial in step */
}

void peer_dial_failed(struct xfer_peer *p, int err)
{
	p->state = PEER_IDLE;
	p->failures++;
	p->stats.errors++;
	p->last_err = dial_errno(err);
	p->stats.err = p->last_err;
	p->retry_ns = io_now(p->io) + backoff(p);
	if (p->failures == 1)
		log_warn("event=xfer_dial_failed peer=%s error=%d note=\"%s\"", p->cfg.addr, err, strerror(-err));
	else
		log_debug("event=xfer_dial_failed peer=%s error=%d times=%u", p->cfg.addr, err, p->failures);
	p->io->ops->cancel(p->io, &p->dial_timer);
	p->io->ops->cancel(p->io, &p->connect);
	p->io->ops->cancel(p->io, &p->lookup.op);
	client_fail_waiting(p, p->last_err);
	if (p->cfg.failed && !p->freed)
		p->cfg.failed(p->cfg.ctx, p, p->last_err);
}

/* ---- connect ---- */

/* Starts the time limit of this stage of the dial; one that runs is cancelled and its end comes here again. */
static void arm_dial_timer(struct xfer_peer *p)
{
	u64 ns = p->cfg.connect_timeout_ns;

	if (p->state == PEER_CONNECTING && p->addr_turn + 1 < p->naddrs)
		ns = max(ns / p->naddrs, min(ns, ATTEMPT_MIN_NS));
	if (p->dial_timer.busy)
		p->io->ops->cancel(p->io, &p->dial_timer);
	else
		p->io->ops->timer(p->io, &p->dial_timer, io_now(p->io) + ns);
}

static void next_address(struct xfer_peer *p)
{
	struct addr *a = &p->lookup.list[p->addr_turn];

	p->state = PEER_CONNECTING;
	p->io->ops->connect(p->io, &p->connect, (struct sockaddr *)&a->ss, a->len);
	arm_dial_timer(p);
}

static void looked_up(struct addr_lookup *lookup, int res)
{
	struct xfer_peer *p = container_of(lookup, struct xfer_peer, lookup);

	if (p->freed || p->state != PEER_RESOLVING) {
		dial_leftover(p);
		return;
	}
	if (res <= 0) {
		peer_dial_failed(p, res ? res : -ENOENT);
		return;
	}
	p->naddrs = res;
	p->addr_turn = 0;
	next_address(p);
}

static void send_hello(struct client_link *l)
{
	struct xfer_peer *p = l->peer;
	struct wire_hdr h = { .type = WIRE_HELLO, .stream = l->next_stream++ };
	struct wire_out w;

	wire_out_init(&w);
	wire_put_u32(&w, WF_PROTO, WIRE_PROTO);
	wire_put_u64(&w, WF_FEATURES, p->cfg.features);
	wire_put_u32(&w, WF_ROLE, p->cfg.role);
	wire_put_str(&w, WF_PEER_ID, p->cfg.peer_id);
	wire_put_str(&w, WF_VOLUME, p->cfg.volume);
	wire_put(&w, WF_CLIENT_ID, p->cfg.client_id, sizeof(p->cfg.client_id));
	h.body_len = w.len;
	l->hello_sent_ns = io_now(p->io);
	conn_send(l->conn, &h, w.buf);
}

static void connected(struct io_op *op, int res)
{
	struct xfer_peer *p = container_of(op, struct xfer_peer, connect);

	if (p->freed || p->state != PEER_CONNECTING) {
		if (res >= 0)
			p->io->ops->close(p->io, res);
		dial_leftover(p);
		return;
	}
	if (res < 0 && ++p->addr_turn < p->naddrs) {
		next_address(p);
		return;
	}
	if (res < 0) {
		peer_dial_failed(p, res);
		return;
	}
	p->state = PEER_HELLO;
	p->cur = client_link_new(p, res);
	send_hello(p->cur);
	arm_dial_timer(p);
}

static void dial_timer_done(struct io_op *op, int res)
{
	struct xfer_peer *p = container_of(op, struct xfer_peer, dial_timer);

	if (p->freed || p->state == PEER_IDLE || p->state == PEER_UP)
		dial_leftover(p);
	else if (res)
		arm_dial_timer(p);
	else if (p->state == PEER_CONNECTING && p->addr_turn + 1 < p->naddrs)
		p->io->ops->cancel(p->io, &p->connect);	/* its end tries the next address */
	else if (p->state == PEER_HELLO)
		conn_fail(p->cur->conn, -ETIMEDOUT);	/* its end fails the dial */
	else
		peer_dial_failed(p, -ETIMEDOUT);
}

void peer_dial(struct xfer_peer *p)
{
	p->want_dial = p->dial_timer.busy || p->connect.busy;
	if (p->want_dial)
		return;
	p->stats.dials++;
	if (p->lookup.op.busy) {
		peer_dial_failed(p, -ETIMEDOUT);
		return;
	}
	p->state = PEER_RESOLVING;
	p->naddrs = 0;
	arm_dial_timer(p);
	p->lookup.text = p->text;
	addr_lookup_start(p->io, &p->lookup);
}

void xfer_peer_connect(struct xfer_peer *p)
{
	if (!p->freed && p->state == PEER_IDLE && !p->want_dial && io_now(p->io) >= p->retry_ns)
		peer_dial(p);
}

/* ---- HELLO ---- */

static void hello_refused(struct client_link *l, int status)
{
	struct xfer_peer *p = l->peer;

	if (p->refusal != status)
		log_warn("event=xfer_refused peer=%s volume=%s error=%d note=\"%s\"", p->cfg.addr, p->cfg.volume, status,
			 strerror(-status));
	p->refusal = status;
	if (p->cfg.refused)
		p->cfg.refused(p->cfg.ctx, p, status);
	conn_fail(l->conn, status);
}

int peer_hello_frame(struct client_link *l, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct xfer_peer *p = l->peer;
	struct wire_in in = { body->data, body->data + body->len };
	u64 features;
	u32 proto;
	int err;

	if (h->type != WIRE_HELLO || h->stream != 1 || !(h->flags & WIRE_LAST))
		return -EPROTO;
	err = conn_read_hello(in, &proto, &features);
	if (err)
		return err;
	if (proto != WIRE_PROTO) {
		log_err("event=xfer_proto peer=%s have=%u want=%u note=\"install the same version on both sides\"",
			p->cfg.addr, proto, WIRE_PROTO);
		return -EPROTO;
	}
	if (h->status) {
		hello_refused(l, h->status);
		return 0;
	}
	l->conn->features = features & p->cfg.features;
	p->hello_rtt_ns = io_now(p->io) - l->hello_sent_ns;
	err = p->cfg.hello ? p->cfg.hello(p->cfg.ctx, p, in) : 0;
	if (err < 0 || p->freed || l->conn->dead)
		return err < 0 ? err : 0;
	p->state = PEER_UP;
	p->failures = 0;
	p->refusal = 0;
	p->stats.up = true;
	p->stats.err = 0;
	p->io->ops->cancel(p->io, &p->dial_timer);
	log_info("event=xfer_up peer=%s rtt_us=%llu", p->cfg.addr, (unsigned long long)p->hello_rtt_ns / 1000);
	client_send_waiting(p);
	return 0;
}

/* ---- begin and end ---- */

struct xfer_peer *xfer_peer_new(struct io *io, const struct xfer_peer_cfg *cfg)
{
	struct xfer_peer *p = xcalloc(1, sizeof(*p));

	p->io = io;
	p->cfg = *cfg;
	p->cfg.addr = xstrdup(cfg->addr);
	p->cfg.volume = xstrdup(cfg->volume ? cfg->volume : "");
	p->cfg.peer_id = xstrdup(cfg->peer_id ? cfg->peer_id : "");
	if (!p->cfg.features)
		p->cfg.features = XFER_FEATURES;
	if (!p->cfg.connect_timeout_ns)
		p->cfg.connect_timeout_ns = CONNECT_NS;
	if (!p->cfg.call_timeout_ns)
		p->cfg.call_timeout_ns = CALL_NS;
	if (!p->cfg.quiet_ns)
		p->cfg.quiet_ns = QUIET_NS;
	p->lookup.done = looked_up;
	p->connect.done = connected;
	p->dial_timer.done = dial_timer_done;
	p->call_timer.done = client_call_timer_done;
	p->timer_at = UINT64_MAX;
	p->kick.done = client_kick_done;
	list_init(&p->links);
	list_init(&p->waiting);
	list_init(&p->failed);
	/* A bad address is found here and told by every call: there is nobody else to tell. */
	if (addr_parse(cfg->addr, WIRE_PORT, &p->text) || !*p->text.host) {
		log_err("event=bad_address addr=\"%s\" note=\"want HOST:PORT or [V6]:PORT\"",
			log_esc(cfg->addr, strlen(cfg->addr)));
		p->last_err = -EINVAL;
		p->stats.err = -EINVAL;
		p->retry_ns = UINT64_MAX;
	}
	return p;
}

void xfer_peer_free(struct xfer_peer *p)
{
	struct list *pos, *tmp;

	if (!p || p->freed)
		return;
	p->freed = true;
	p->stats.up = false;
	list_for_each_safe(pos, tmp, &p->links) {
		struct client_link *l = container_of(pos, struct client_link, link);

		conn_goodbye(l->conn);
		conn_fail(l->conn, -ECANCELED);
	}
	client_fail_waiting(p, -ECANCELED);
	p->io->ops->cancel(p->io, &p->lookup.op);
	p->io->ops->cancel(p->io, &p->connect);
	p->io->ops->cancel(p->io, &p->dial_timer);
	p->io->ops->cancel(p->io, &p->call_timer);
	client_kick(p);
}

void xfer_peer_stats(const struct xfer_peer *p, struct xfer_stats *st)
{
	*st = p->stats;
	st->dialling = p->want_dial || (p->state != PEER_IDLE && p->state != PEER_UP);
	st->rtt_ns = p->hello_rtt_ns;
	if (st->up && p->cur) {
		u64 rtt = sock_rtt_ns(p->cur->conn->fd);

		if (rtt)
			st->rtt_ns = rtt;
	}
}

const char *xfer_peer_addr(const struct xfer_peer *p)
{
	return p->cfg.addr;
}

void *xfer_peer_ctx(const struct xfer_peer *p)
{
	return p->cfg.ctx;
}

u64 xfer_peer_features(const struct xfer_peer *p)
{
	return p->state == PEER_UP ? p->cur->conn->features : 0;
}
