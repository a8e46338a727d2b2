// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * server.c - the accepting side: HELLO before anything else and within 5 s, requests handed
 * to the handler, answers taken from it (send.c, file.c).
 *
 * A connection that is refused is told why and then lingers: it is read and ignored until the
 * peer closes or a second has passed, because closing over unread bytes would make the
 * kernel throw the explanation away.  One tick a second looks for what has overstayed.
 */
#include <netinet/in.h>

#include "base/addr.h"
#include "base/log.h"
#include "xfer/conn.h"

#define HELLO_NS	5000000000ULL
#define LINGER_NS	1000000000ULL
#define TICK_NS		1000000000ULL
#define TX_STALL_NS	60000000000ULL	/* for one piece */
#define CONNS_MAX	4096
#define CONNS_NEW_MAX	256		/* without HELLO */

struct xfer_server {
	struct io	*io;
	const struct xfer_server_ops *ops;
	void		*ctx;
	int		fd;
	u16		port;
	u64		features;
	struct io_op	accept, tick;
	struct list	conns;
	unsigned int	nconns, nnew;
	bool		freed;
	struct xfer_stats stats;
};

static void server_unref(struct xfer_server *s)
{
	if (s->freed && !s->accept.busy && !s->tick.busy && list_empty(&s->conns))
		free(s);
}

/* ---- frames ---- */

static void refuse(struct xfer_conn *c, const struct wire_hdr *h, int err)
{
	struct wire_out out;

	log_notice("event=xfer_refused peer=%s error=%d", c->peer, err);
	wire_out_init(&out);
	wire_put_u32(&out, WF_PROTO, WIRE_PROTO);
	xfer_reply(c, h->stream, WIRE_HELLO, WIRE_LAST, err, 0, &out);
	c->closing = true;
	c->linger_ns = io_now(c->io) + LINGER_NS;
}

static int take_hello(struct xfer_server *s, struct xfer_conn *c, const struct wire_hdr *h, struct wire_in in)
{
	struct wire_out out;
	u64 features;
	u32 proto;
	int err;

	if (h->type != WIRE_HELLO || h->flags || !h->stream)
		return -EPROTO;
	err = conn_read_hello(in, &proto, &features);
	if (err)
		return err;
	if (proto != WIRE_PROTO) {
		refuse(c, h, -EPROTO);
		return 0;
	}
	wire_out_init(&out);
	wire_put_u32(&out, WF_PROTO, WIRE_PROTO);
	wire_put_u64(&out, WF_FEATURES, features & s->features);
	err = s->ops->hello(s->ctx, c, in, &out);
	if (err < 0) {
		wire_out_free(&out);
		refuse(c, h, err);
		return 0;
	}
	c->hello_done = true;
	s->nnew--;
	c->last_stream = h->stream;
	c->body_limit = WIRE_BODY_MAX;
	xfer_reply(c, h->stream, WIRE_HELLO, WIRE_LAST, 0, 0, &out);
	c->features = features & s->features;	/* sums start with the next frame */
	return 0;
}

static int server_frame(struct xfer_conn *c, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct xfer_server *s = c->owner;
	struct wire_in in = { body->data, body->data + body->len };

	if (c->closing)
		return 0;
	if (!c->hello_done)
		return take_hello(s, c, h, in);
	if (h->type == WIRE_GOODBYE && !h->stream) {
		conn_fail(c, -ECONNRESET);
		return 0;
	}
	/* Requests only, numbered upwards, so a number in use never comes again. */
	if ((h->flags & ~WIRE_SUM) || !h->stream || (s32)(h->stream - c->last_stream) <= 0 || h->type == WIRE_HELLO)
		return -EPROTO;
	c->last_stream = h->stream;
	c->streams++;
	s->stats.calls++;
	if (h->type == WIRE_PING)
		xfer_reply(c, h->stream, WIRE_PING, WIRE_LAST, 0, 0, NULL);
	else
		s->ops->request(s->ctx, c, h, in);
	return 0;
}

static void server_down(struct xfer_conn *c, int err)
{
	struct xfer_server *s = c->owner;

	list_del(&c->link);
	s->nconns--;
	if (!c->hello_done)
		s->nnew--;
	if (err != -ECONNRESET)
		s->stats.errors++;
	log_debug("event=xfer_conn_gone peer=%s error=%d", c->peer, err);
	if (!s->freed && c->hello_done)
		s->ops->gone(s->ctx, c);
	xfer_conn_put(c);
	server_unref(s);
}

static const struct conn_ops server_conn_ops = { .frame = server_frame, .down = server_down };

/* ---- accepting ---- */

static void add_conn(struct xfer_server *s, int fd)
{
	struct xfer_conn *c;

	if (s->nconns >= CONNS_MAX || s->nnew >= CONNS_NEW_MAX) {
		log_warn("event=xfer_conn_limit open=%u new=%u", s->nconns, s->nnew);
		s->stats.errors++;
		s->io->ops->close(s->io, fd);
		return;
	}
	c = conn_new(s->io, fd, &server_conn_ops, s, &s->stats);
	c->server = true;
	c->body_limit = WIRE_HELLO_MAX;
	list_add_tail(&s->conns, &c->link);
	s->nconns++;
	s->nnew++;
	conn_start(c);
	if (!s->tick.busy)
		s->io->ops->timer(s->io, &s->tick, io_now(s->io) + TICK_NS);
}

static void accepted(struct io_op *op, int res)
{
	struct xfer_server *s = container_of(op, struct xfer_server, accept);

	if (s->freed) {
		if (res >= 0)
			s->io->ops->close(s->io, res);
		server_unref(s);
		return;
	}
	if (res >= 0) {
		add_conn(s, res);
	} else if (io_exhausted(res)) {
		/* The queue stays full, so accepting again at once would spin: the tick does it. */
		log_err("event=xfer_accept_failed error=%d note=\"%s\"", res, strerror(-res));
		s->stats.errors++;
		if (!s->tick.busy)
			s->io->ops->timer(s->io, &s->tick, io_now(s->io) + TICK_NS);
		return;
	}
	s->io->ops->accept(s->io, &s->accept, s->fd);
}

static void check_conn(struct xfer_conn *c, u64 now)
{
	if (!c->hello_done && !c->closing && now - c->born_ns >= HELLO_NS)
		conn_fail(c, -ETIMEDOUT);
	else if (c->closing && now >= c->linger_ns)
		conn_fail(c, -ECONNABORTED);
	else if (c->tx_since_ns && now - c->tx_since_ns >= TX_STALL_NS)
		conn_fail(c, -ETIMEDOUT);
}

static void ticked(struct io_op *op, int res)
{
	struct xfer_server *s = container_of(op, struct xfer_server, tick);
	struct list *pos, *tmp;
	u64 now = io_now(s->io);

	if (s->freed) {
		server_unref(s);
		return;
	}
	list_for_each_safe(pos, tmp, &s->conns)
		check_conn(container_of(pos, struct xfer_conn, link), now);
	if (!s->accept.busy)
		s->io->ops->accept(s->io, &s->accept, s->fd);
	if (!list_empty(&s->conns))
		s->io->ops->timer(s->io, &s->tick, now + TICK_NS);
}

/* ---- begin and end ---- */

static int listen_on(struct io *io, const char *addr)
{
	struct addr list[ADDR_LIST_MAX];
	struct addr_text text;
	int n, i, fd;

	n = addr_parse(addr, WIRE_PORT, &text);
	if (n)
		return n;
	/* Every address: V6 takes V4 with it where there is V6 at all. */
	if (!*text.host) {
		strcpy(text.host, "::");
		n = addr_resolve(&text, true, true, list);
		fd = n > 0 ? io->ops->listen(io, (struct sockaddr *)&list[0].ss, list[0].len) : -ENOENT;
		if (fd >= 0)
			return fd;
		text.host[0] = 0;
	}
	n = addr_resolve(&text, true, false, list);
	for (i = 0, fd = n; i < n; i++) {
		fd = io->ops->listen(io, (struct sockaddr *)&list[i].ss, list[i].len);
		if (fd >= 0)
			break;
	}
	return fd;
}

static u16 port_of(int fd)
{
	struct sockaddr_in6 sa = { 0 };
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len))
		return 0;
	return ntohs(sa.sin6_port);	/* at the same place in sockaddr_in */
}

struct xfer_server *xfer_server_new(struct io *io, const char *addr, const struct xfer_server_ops *ops, void *ctx, int *err)
{
	struct xfer_server *s;
	int fd = listen_on(io, addr);

	if (fd < 0) {
		log_err("event=listen_failed addr=%s error=%d note=\"%s\"", log_esc(addr, strlen(addr)), fd,
			fd == -EINVAL ? "want HOST:PORT or [V6]:PORT" : strerror(-fd));
		*err = fd;
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	s->io = io;
	s->ops = ops;
	s->ctx = ctx;
	s->fd = fd;
	s->port = port_of(fd);
	s->features = XFER_FEATURES;
	s->accept.done = accepted;
	s->tick.done = ticked;
	list_init(&s->conns);
	io->ops->accept(io, &s->accept, fd);
	*err = 0;
	return s;
}

void xfer_server_free(struct xfer_server *s)
{
	struct list *pos, *tmp;

	if (!s)
		return;
	s->freed = true;
	list_for_each_safe(pos, tmp, &s->conns) {
		struct xfer_conn *c = container_of(pos, struct xfer_conn, link);

		if (c->hello_done) {
			conn_goodbye(c);
			s->ops->gone(s->ctx, c);
		}
		conn_fail(c, -ECANCELED);
	}
	s->io->ops->close(s->io, s->fd);
	s->io->ops->cancel(s->io, &s->accept);
	s->io->ops->cancel(s->io, &s->tick);
	server_unref(s);
}

void xfer_server_features(struct xfer_server *s, u64 features)
{
	s->features = features;
}

u16 xfer_server_port(const struct xfer_server *s)
{
	return s->port;
}

void xfer_server_stats(const struct xfer_server *s, struct xfer_stats *st)
{
	*st = s->stats;
	st->up = true;
}
