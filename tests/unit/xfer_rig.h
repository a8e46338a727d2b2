/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xfer_rig.h - client and server of the transfer engine in one loop over loopback, for the
 * two programs that test it.  The server's READ streams a file, LIST answers in large frames
 * and a small one, STATUS echoes.
 */
#ifndef XFER_RIG_H
#define XFER_RIG_H

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/addr.h"
#include "base/log.h"
#include "loop.h"
#include "xfer/conn.h"

static void run_ms(unsigned int ms)
{
	bool never = false;

	run_until(&never, ms);
}

/* ---- a server: READ streams a file, LIST answers in small frames, STATUS echoes ---- */

#define FILE_BYTES	(9 * 1024 * 1024 + 123)

static int file_fd;
static u8 *file_data;

struct srv {
	struct xfer_server *s;
	char	addr[64];
	int	gone, requests;
	int	refuse;
	bool	silent;		/* requests are taken and not answered */
	struct { struct xfer_conn *c; u32 stream; } held[4096];
	unsigned int nheld;
};

static int srv_hello(void *ctx, struct xfer_conn *c, struct wire_in body, struct wire_out *out)
{
	struct srv *s = ctx;

	wire_put_str(out, WF_PEER_ID, "p1");
	return s->refuse;
}

struct one_file { struct xfer_file f; struct xfer_conn *c; u32 stream; };

static void file_sent(struct xfer_file *f, s64 res)
{
	struct one_file *o = container_of(f, struct one_file, f);
	struct wire_out w;

	wire_out_init(&w);
	wire_put_u64(&w, WF_SIZE, res > 0 ? res : 0);
	xfer_reply(o->c, o->stream, WIRE_READ, WIRE_LAST, res < 0 ? (int)res : 0, 0, &w);
	xfer_conn_put(o->c);
	free(o);
}

static void serve_read(struct xfer_conn *c, const struct wire_hdr *h, struct wire_in in)
{
	struct one_file *o = xcalloc(1, sizeof(*o));
	struct wire_val v;

	while (wire_next(&in, &v) == 1) {
		if (v.tag == WF_OFF)
			wire_get_u64(&v, &o->f.off);
		else if (v.tag == WF_LEN)
			wire_get_u64(&v, &o->f.len);
	}
	o->f.fd = file_fd;
	o->f.may_hang = h->stream % 2;	/* both ways of reading */
	o->f.done = file_sent;
	o->c = c;
	o->stream = h->stream;
	xfer_conn_get(c);
	xfer_reply_file(c, h->stream, WIRE_READ, &o->f);
}

static void srv_request(void *ctx, struct xfer_conn *c, const struct wire_hdr *h, struct wire_in in)
{
	struct srv *s = ctx;
	struct wire_out w;
	int i;

	s->requests++;
	if (s->silent) {
		xfer_conn_get(c);
		s->held[s->nheld].c = c;
		s->held[s->nheld++].stream = h->stream;
		return;
	}
	wire_out_init(&w);
	switch (h->type) {
	case WIRE_READ:
		serve_read(c, h, in);
		return;
	case WIRE_LIST:		/* large frames, then a small one: the order must hold */
		for (i = 0; i < 5; i++) {
			wire_out_init(&w);
			wire_put_u32(&w, WF_SEQ, i);
			for (int k = 0; k < 3; k++)
				wire_put(&w, WF_JSON, file_data, 60000);
			xfer_reply(c, h->stream, WIRE_LIST, 0, 0, 0, &w);
		}
		wire_out_init(&w);
		wire_put_u32(&w, WF_SEQ, i);
		xfer_reply(c, h->stream, WIRE_LIST, WIRE_LAST, 0, 0, &w);
		return;
	case WIRE_STATUS:
		w.len = in.end - in.p;
		w.buf = xmemdup(in.p, w.len);
		xfer_reply(c, h->stream, WIRE_STATUS, WIRE_LAST, 0, 0, &w);
		return;
	default:
		xfer_reply(c, h->stream, h->type, WIRE_LAST, -EOPNOTSUPP, 0, NULL);
	}
}

static void srv_gone(void *ctx, struct xfer_conn *c)
{
	struct srv *s = ctx;

	s->gone++;
}

static const struct xfer_server_ops srv_ops = { srv_hello, srv_request, srv_gone };

static void srv_start(struct srv *s, u16 port)
{
	int err;

	memset(s, 0, sizeof(*s));
	snprintf(s->addr, sizeof(s->addr), "127.0.0.1:%u", port);
	if (!port) {
		/* "0" is no port for people: take a free one by hand. */
		struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		socklen_t len = sizeof(sa);
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
		getsockname(fd, (struct sockaddr *)&sa, &len);
		close(fd);
		snprintf(s->addr, sizeof(s->addr), "127.0.0.1:%u", ntohs(sa.sin_port));
	}
	s->s = xfer_server_new(io, s->addr, &srv_ops, s, &err);
	assert_non_null(s->s);
}

static void srv_stop(struct srv *s)
{
	unsigned int i;

	xfer_server_free(s->s);
	for (i = 0; i < s->nheld; i++)
		xfer_conn_put(s->held[i].c);
	s->nheld = 0;
	run_ms(30);
}

/* ---- a client ---- */

static int hellos, downs, last_down, dial_fails;

static int cl_hello(void *ctx, struct xfer_peer *p, struct wire_in body)
{
	hellos++;
	return 0;
}

static void cl_down(void *ctx, struct xfer_peer *p, int err)
{
	downs++;
	last_down = err;
}

static void cl_failed(void *ctx, struct xfer_peer *p, int err)
{
	dial_fails++;
}

static u64 quiet_ns;	/* of the next dial; 0: the engine's own */

static struct xfer_peer *dial_with(const char *addr, u64 features, u64 connect_ns, u64 call_ns)
{
	struct xfer_peer_cfg cfg = {
		.addr = addr, .volume = "/v", .peer_id = "t", .role = WIRE_ROLE_AGENT, .hello = cl_hello,
		.down = cl_down, .failed = cl_failed, .features = features, .connect_timeout_ns = connect_ns, .call_timeout_ns = call_ns,
		.quiet_ns = quiet_ns,
	};

	hellos = downs = last_down = dial_fails = 0;
	return xfer_peer_new(io, &cfg);
}

static struct xfer_peer *dial(const char *addr)
{
	return dial_with(addr, 0, 0, 0);
}

struct call {
	struct xfer_call x;
	bool	ended;
	int	status, ends;
	u64	off, next, got;		/* READ: range asked, next byte expected */
	u32	frames;
	bool	wrong;
	u8	*echo;
	size_t	echo_len;
	struct xfer_buf *keep[64];
	unsigned int nkeep, keep_max;
};

static unsigned int pending;
static bool all_ended;

static void call_frame(struct xfer_call *x, const struct wire_hdr *h, struct xfer_buf *b)
{
	struct call *c = container_of(x, struct call, x);

	c->frames++;
	if (h->type == WIRE_READ) {
		if (h->off != c->next || memcmp(b->data, file_data + h->off, b->len))
			c->wrong = true;
		c->next += b->len;
		c->got += b->len;
	}
	if (h->type == WIRE_LIST) {
		struct wire_in in = { b->data, b->data + b->len };
		struct wire_val v;
		u32 seq = 99;

		if (wire_next(&in, &v) != 1 || wire_get_u32(&v, &seq) || seq != c->frames - 1)
			c->wrong = true;
	}
	if (c->nkeep < c->keep_max) {
		xfer_buf_get(b);
		c->keep[c->nkeep++] = b;
	}
}

static void call_done(struct xfer_call *x, int status, const struct wire_hdr *h, struct xfer_buf *b)
{
	struct call *c = container_of(x, struct call, x);

	c->ended = true;
	c->ends++;
	c->status = status;
	if (c->echo && !status && (b->len != c->echo_len || memcmp(b->data, c->echo, b->len)))
		c->wrong = true;
	if (!--pending)
		all_ended = true;
}

static void call_start(struct xfer_peer *p, struct call *c, u16 type)
{
	c->x.frame = call_frame;
	c->x.done = call_done;
	pending++;
	all_ended = false;
	xfer_call(p, &c->x, type);
	assert_int_equal(c->ends, 0);	/* never before it returns */
}

static void read_start(struct xfer_peer *p, struct call *c, u64 off, u64 len)
{
	wire_out_init(&c->x.req);
	wire_put_u64(&c->x.req, WF_OFF, off);
	wire_put_u64(&c->x.req, WF_LEN, len);
	c->off = c->next = off;
	call_start(p, c, WIRE_READ);
}

static void echo_start(struct xfer_peer *p, struct call *c, const void *data, size_t len)
{
	wire_out_init(&c->x.req);
	wire_put(&c->x.req, WF_JSON, data, len);
	c->echo = xmemdup(c->x.req.buf, c->x.req.len);
	c->echo_len = c->x.req.len;
	call_start(p, c, WIRE_STATUS);
}

static void call_free(struct call *c)
{
	assert_int_equal(c->ends, 1);
	free(c->echo);
	free(c);
}

static void peer_stop(struct xfer_peer *p)
{
	xfer_peer_free(p);
	run_ms(20);
}

/* ---- frame ---- */

static int setup(void **st)
{
	u64 x = 88172645463325252ULL;
	size_t i;

	log_open("test", getenv("TEST_LOG") ? LOG_L_DEBUG : LOG_L_ERR - 1);
	io = io_new(getenv("TEST_IO"));
	if (!io) {
		fprintf(stderr, "no I/O table: %s\n", strerror(errno));
		return -1;
	}
	file_data = xmalloc(FILE_BYTES);
	for (i = 0; i < FILE_BYTES; i++) {
		x ^= x << 13; x ^= x >> 7; x ^= x << 17;
		file_data[i] = x;
	}
	file_fd = memfd_create("file", 0);
	assert_int_equal(write(file_fd, file_data, FILE_BYTES), FILE_BYTES);
	return 0;
}

static int teardown(void **st)
{
	io->ops->destroy(io);
	xfer_pool_drain();
	close(file_fd);
	free(file_data);
	return 0;
}

#endif
