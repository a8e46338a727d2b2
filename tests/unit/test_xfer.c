// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The transfer engine over loopback through the real I/O table: client and server share one
 * loop, and a raw peer (blocking socket driven between the steps) plays the one that cheats.
 * What is looked for everywhere: each call ends exactly once, bytes arrive as they were sent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/addr.h"
#include "base/log.h"
#include "xfer/conn.h"

#define MSEC	1000000ULL
#define SEC	1000000000ULL

static struct io *io;

/* ---- the loop ---- */

static void ticked(struct io_op *op, int res) { }

/* Steps until *flag or until ms have passed; a timer bounds every step. */
static bool run_until(const bool *flag, unsigned int ms)
{
	struct io_op t = { .done = ticked };
	u64 end = io_now(io) + ms * MSEC;

	while (!*flag && io_now(io) < end) {
		if (!t.busy)
			io->ops->timer(io, &t, min(end, io_now(io) + 5 * MSEC));
		assert_int_equal(io->ops->step(io), 0);
	}
	io->ops->cancel(io, &t);
	while (t.busy)
		io->ops->step(io);
	return *flag;
}

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

static int hellos, downs, last_down;

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

static struct xfer_peer *dial_with(const char *addr, u64 features, u64 connect_ns, u64 call_ns)
{
	struct xfer_peer_cfg cfg = {
		.addr = addr, .volume = "/v", .peer_id = "t", .role = WIRE_ROLE_AGENT, .hello = cl_hello,
		.down = cl_down, .features = features, .connect_timeout_ns = connect_ns, .call_timeout_ns = call_ns,
	};

	hellos = downs = last_down = 0;
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

/* ---- tests: the good ways ---- */

static void test_echo(void **st)
{
	struct srv s;
	struct xfer_peer *p;
	struct call *c = xcalloc(1, sizeof(*c));
	struct xfer_stats stats;

	srv_start(&s, 0);
	p = dial(s.addr);
	echo_start(p, c, "hello", 5);
	assert_true(run_until(&all_ended, 2000));
	assert_int_equal(c->status, 0);
	assert_false(c->wrong);
	assert_int_equal(hellos, 1);
	xfer_peer_stats(p, &stats);
	assert_true(stats.up);
	assert_true(stats.rtt_ns > 0);
	call_free(c);
	peer_stop(p);
	assert_int_equal(s.gone, 1);
	srv_stop(&s);
}

static void file_transfer(u64 features)
{
	struct srv s;
	struct xfer_peer *p;
	struct call *c = xcalloc(1, sizeof(*c));

	srv_start(&s, 0);
	xfer_server_features(s.s, XFER_FEATURES | WIRE_F_SUM);
	p = dial_with(s.addr, features, 0, 0);
	read_start(p, c, 0, 1ULL << 40);	/* more than there is: ends at the end of the file */
	assert_true(run_until(&all_ended, 10000));
	assert_int_equal(c->status, 0);
	assert_false(c->wrong);
	assert_int_equal(c->got, FILE_BYTES);
	call_free(c);
	peer_stop(p);
	srv_stop(&s);
}

static void test_file(void **st) { file_transfer(0); }
static void test_file_sums(void **st) { file_transfer(XFER_FEATURES | WIRE_F_SUM); }

static void test_many_streams(void **st)
{
	enum { N = 600 };
	static struct call *c[N];
	struct srv s;
	struct xfer_peer *p;
	u8 big[50000];
	int i;

	srv_start(&s, 0);
	p = dial(s.addr);
	memcpy(big, file_data, sizeof(big));
	for (i = 0; i < N; i++) {
		c[i] = xcalloc(1, sizeof(*c[i]));
		if (i % 3 == 0)
			read_start(p, c[i], (i * 7919ULL) % FILE_BYTES, i % 2 ? 1000 : 700000);
		else if (i % 3 == 1)
			echo_start(p, c[i], big, i % 5 ? (size_t)i : sizeof(big));
		else {
			wire_out_init(&c[i]->x.req);
			call_start(p, c[i], i % 2 ? WIRE_LIST : WIRE_PING);
		}
	}
	assert_true(run_until(&all_ended, 30000));
	for (i = 0; i < N; i++) {
		assert_int_equal(c[i]->status, 0);
		assert_false(c[i]->wrong);
		if (i % 3 == 0)
			assert_int_equal(c[i]->got, min((u64)(i % 2 ? 1000 : 700000),
							FILE_BYTES - (i * 7919ULL) % FILE_BYTES));
		call_free(c[i]);
	}
	peer_stop(p);
	srv_stop(&s);
}

/* A small answer asked for while large streams run comes long before they end. */
static void test_small_first(void **st)
{
	struct srv s;
	struct xfer_peer *p;
	struct call *big[4], *small = xcalloc(1, sizeof(*small));
	u64 left = 0;
	int i;

	srv_start(&s, 0);
	p = dial(s.addr);
	for (i = 0; i < 4; i++) {
		big[i] = xcalloc(1, sizeof(*big[i]));
		read_start(p, big[i], 0, FILE_BYTES);
	}
	echo_start(p, small, "x", 1);
	assert_true(run_until(&small->ended, 5000));
	for (i = 0; i < 4; i++)
		left += FILE_BYTES - big[i]->got;
	assert_true(left > 3ULL * FILE_BYTES);
	assert_true(run_until(&all_ended, 10000));
	for (i = 0; i < 4; i++) {
		assert_false(big[i]->wrong);
		call_free(big[i]);
	}
	call_free(small);
	peer_stop(p);
	srv_stop(&s);
}

/* While buffers are kept the connection stops; giving them back sets it going. */
static void test_back_pressure(void **st)
{
	struct srv s;
	struct xfer_peer *p;
	struct call *c = xcalloc(1, sizeof(*c));
	u64 stopped_at;
	unsigned int i;

	srv_start(&s, 0);
	p = dial(s.addr);
	c->keep_max = 64;
	read_start(p, c, 0, FILE_BYTES);
	run_ms(300);
	assert_false(c->ended);
	stopped_at = c->got;
	assert_in_range(c->nkeep, XFER_BUFS - 1, XFER_BUFS + 1);
	run_ms(50);
	assert_int_equal(c->got, stopped_at);
	c->keep_max = 0;
	for (i = 0; i < c->nkeep; i++)
		xfer_buf_put(c->keep[i]);
	assert_true(run_until(&all_ended, 5000));
	assert_int_equal(c->got, FILE_BYTES);
	assert_false(c->wrong);
	call_free(c);
	peer_stop(p);
	srv_stop(&s);
}

/* A kept buffer outlives its connection and its peer. */
static void test_buffer_outlives(void **st)
{
	struct srv s;
	struct xfer_peer *p;
	struct call *c = xcalloc(1, sizeof(*c));

	srv_start(&s, 0);
	p = dial(s.addr);
	c->keep_max = 1;
	read_start(p, c, 0, 300000);
	assert_true(run_until(&all_ended, 2000));
	peer_stop(p);
	srv_stop(&s);
	assert_memory_equal(c->keep[0]->data, file_data, c->keep[0]->len);
	xfer_buf_put(c->keep[0]);
	call_free(c);
}

static void test_goodbye_and_redial(void **st)
{
	struct srv s;
	struct xfer_peer *p;
	struct call *c = xcalloc(1, sizeof(*c));
	u16 port;
	int i;

	srv_start(&s, 0);
	port = xfer_server_port(s.s);
	p = dial(s.addr);
	echo_start(p, c, "a", 1);
	assert_true(run_until(&all_ended, 2000));
	call_free(c);
	srv_stop(&s);
	assert_int_equal(downs, 1);
	srv_start(&s, port);
	/* Within the back-off it may fail at once; soon it works again. */
	for (i = 0; i < 100; i++) {
		c = xcalloc(1, sizeof(*c));
		echo_start(p, c, "b", 1);
		assert_true(run_until(&all_ended, 5000));
		if (!c->status)
			break;
		call_free(c);
		run_ms(50);
	}
	assert_int_equal(c->status, 0);
	assert_int_equal(hellos, 2);
	call_free(c);
	peer_stop(p);
	srv_stop(&s);
}

/* ---- tests: calls that end badly, each once ---- */

static void test_unreachable_fails_fast(void **st)
{
	struct xfer_peer *p = dial("127.0.0.1:1");
	struct call *c = xcalloc(1, sizeof(*c)), *d = xcalloc(1, sizeof(*d));
	u64 t;

	echo_start(p, c, "x", 1);
	assert_true(run_until(&all_ended, 2000));
	assert_int_equal(c->status, -EHOSTUNREACH);
	t = io_now(io);
	echo_start(p, d, "x", 1);
	assert_true(run_until(&all_ended, 2000));
	assert_int_equal(d->status, -EHOSTUNREACH);
	assert_true(io_now(io) - t < 20 * MSEC);
	call_free(c);
	call_free(d);
	peer_stop(p);
}

static void test_bad_address(void **st)
{
	struct xfer_peer *p = dial("host:notaport");
	struct call *c = xcalloc(1, sizeof(*c));

	echo_start(p, c, "x", 1);
	assert_true(run_until(&all_ended, 1000));
	assert_int_equal(c->status, -EINVAL);
	call_free(c);
	peer_stop(p);
}

static void test_refused(void **st)
{
	struct srv s;
	struct xfer_peer *p;
	struct call *c = xcalloc(1, sizeof(*c));

	srv_start(&s, 0);
	s.refuse = -EACCES;
	p = dial(s.addr);
	echo_start(p, c, "x", 1);
	assert_true(run_until(&all_ended, 3000));
	assert_int_equal(c->status, -EACCES);
	call_free(c);
	peer_stop(p);
	srv_stop(&s);
}

static void test_silence_times_out(void **st)
{
	struct srv s;
	struct xfer_peer *p;
	struct call *a = xcalloc(1, sizeof(*a)), *b = xcalloc(1, sizeof(*b));

	srv_start(&s, 0);
	s.silent = true;
	p = dial_with(s.addr, 0, 0, 400 * MSEC);
	echo_start(p, a, "x", 1);
	echo_start(p, b, "x", 1);
	b->x.deadline_ns = 0;
	assert_true(run_until(&all_ended, 3000));
	assert_int_equal(a->status, -ETIMEDOUT);
	assert_int_equal(b->status, -ETIMEDOUT);
	call_free(a);
	call_free(b);
	peer_stop(p);
	srv_stop(&s);
}

static void test_deadline(void **st)
{
	struct srv s;
	struct xfer_peer *p;
	struct call *a = xcalloc(1, sizeof(*a)), *b = xcalloc(1, sizeof(*b));
	u64 t;

	srv_start(&s, 0);
	s.silent = true;
	p = dial(s.addr);
	echo_start(p, a, "x", 1);	/* arms the 30 s limit first */
	run_ms(30);
	t = io_now(io);
	b->x.deadline_ns = t + 150 * MSEC;
	echo_start(p, b, "x", 1);
	assert_true(run_until(&b->ended, 2000));
	assert_int_equal(b->status, -ETIMEDOUT);
	assert_in_range(io_now(io) - t, 149 * MSEC, 600 * MSEC);
	assert_false(a->ended);
	xfer_call_cancel(&a->x);
	assert_false(a->ended);
	assert_true(run_until(&all_ended, 100));
	assert_int_equal(a->status, -ECANCELED);
	xfer_call_cancel(&a->x);	/* late: nothing */
	call_free(a);
	call_free(b);
	peer_stop(p);
	srv_stop(&s);
}

/* Frames of a cancelled stream are dropped and the connection lives on. */
static void test_cancel_midstream(void **st)
{
	struct srv s;
	struct xfer_peer *p;
	struct call *a = xcalloc(1, sizeof(*a)), *b = xcalloc(1, sizeof(*b));

	srv_start(&s, 0);
	p = dial(s.addr);
	read_start(p, a, 0, FILE_BYTES);
	while (!a->frames)
		run_ms(1);
	xfer_call_cancel(&a->x);
	echo_start(p, b, "x", 1);
	assert_true(run_until(&all_ended, 3000));
	assert_int_equal(a->status, -ECANCELED);
	assert_int_equal(b->status, 0);
	run_ms(50);
	assert_int_equal(hellos, 1);
	assert_int_equal(downs, 0);
	call_free(a);
	call_free(b);
	peer_stop(p);
	srv_stop(&s);
}

static void test_server_dies_midstream(void **st)
{
	enum { N = 50 };
	struct call *c[N];
	struct srv s;
	struct xfer_peer *p;
	int i;

	srv_start(&s, 0);
	p = dial(s.addr);
	for (i = 0; i < N; i++) {
		c[i] = xcalloc(1, sizeof(*c[i]));
		read_start(p, c[i], 0, FILE_BYTES);
	}
	while (!c[0]->frames)
		run_ms(1);
	srv_stop(&s);
	assert_true(run_until(&all_ended, 3000));
	for (i = 0; i < N; i++) {
		assert_true(c[i]->status == -ECONNRESET || !c[i]->status);
		call_free(c[i]);
	}
	assert_int_equal(downs, 1);
	peer_stop(p);
}

static void test_client_dies_midstream(void **st)
{
	enum { N = 20 };
	struct call *c[N];
	struct srv s;
	struct xfer_peer *p;
	int i;

	srv_start(&s, 0);
	p = dial(s.addr);
	for (i = 0; i < N; i++) {
		c[i] = xcalloc(1, sizeof(*c[i]));
		read_start(p, c[i], 0, FILE_BYTES);
	}
	while (!c[0]->frames)
		run_ms(1);
	xfer_peer_free(p);
	assert_false(all_ended);
	assert_true(run_until(&all_ended, 3000));
	for (i = 0; i < N; i++) {
		assert_int_equal(c[i]->status, -ECANCELED);
		call_free(c[i]);
	}
	run_ms(50);
	assert_int_equal(s.gone, 1);
	srv_stop(&s);
}

/* ---- tests: a client that cheats, by hand ---- */

static int raw_connect(struct srv *s)
{
	struct addr_text t;
	struct addr list[ADDR_LIST_MAX];
	int fd;

	assert_int_equal(addr_parse(s->addr, 0, &t), 0);
	assert_true(addr_resolve(&t, false, true, list) > 0);
	fd = socket(list[0].ss.ss_family, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&list[0].ss, list[0].len), 0);
	return fd;
}

static void raw_frame(int fd, const struct wire_hdr *h, const void *body)
{
	u8 hdr[WIRE_HDR_LEN];

	wire_hdr_encode(h, hdr);
	assert_int_equal(send(fd, hdr, sizeof(hdr), MSG_NOSIGNAL), sizeof(hdr));
	if (body)
		assert_int_equal(send(fd, body, h->body_len, MSG_NOSIGNAL), h->body_len);
}

static void raw_hello(int fd)
{
	struct wire_hdr h = { .type = WIRE_HELLO, .stream = 1 };
	struct wire_out w;

	wire_out_init(&w);
	wire_put_u32(&w, WF_PROTO, WIRE_PROTO);
	wire_put_u64(&w, WF_FEATURES, 0);
	h.body_len = w.len;
	raw_frame(fd, &h, w.buf);
	wire_out_free(&w);
}

/* The server has closed: everything it sent is read and then the end comes. */
static bool closed_within(int fd, unsigned int ms)
{
	struct pollfd pf = { .fd = fd, .events = POLLIN };
	u64 end = io_now(io) + ms * MSEC;
	u8 buf[4096];

	while (io_now(io) < end) {
		run_ms(5);
		while (poll(&pf, 1, 0) == 1)
			if (recv(fd, buf, sizeof(buf), 0) <= 0)
				return true;
	}
	return false;
}

/* A frame of the server's: header into @h, body (if any) thrown away. */
static void raw_read(int fd, struct wire_hdr *h)
{
	struct pollfd pf = { .fd = fd, .events = POLLIN };
	u8 hdr[WIRE_HDR_LEN], body[4096];
	int i;

	for (i = 0; i < 400 && poll(&pf, 1, 0) != 1; i++)
		run_ms(5);
	assert_int_equal(recv(fd, hdr, sizeof(hdr), MSG_WAITALL), sizeof(hdr));
	assert_int_equal(wire_hdr_decode(hdr, h), 0);
	assert_true(h->body_len <= sizeof(body));
	if (h->body_len)
		assert_int_equal(recv(fd, body, h->body_len, MSG_WAITALL), h->body_len);
}

static void test_bad_headers(void **st)
{
	static const struct wire_hdr bad[] = {
		{ .type = 0, .stream = 2 },
		{ .type = 60000, .stream = 2 },
		{ .type = WIRE_PING, .stream = 0 },
		{ .type = WIRE_PING, .stream = 2, .flags = 0x8000 },
		{ .type = WIRE_PING, .stream = 2, .flags = WIRE_REPLY },
		{ .type = WIRE_PING, .stream = 2, .flags = WIRE_DATA },
		{ .type = WIRE_PING, .stream = 2, .status = 1 },
		{ .type = WIRE_PING, .stream = 1 },			/* used before */
		{ .type = WIRE_HELLO, .stream = 2 },			/* twice */
		{ .type = WIRE_STATUS, .stream = 2, .body_len = WIRE_BODY_MAX + 1 },
		{ .type = WIRE_STATUS, .stream = 2, .body_len = 0xffffffff },
		{ .type = WIRE_READ, .stream = 2, .flags = WIRE_REPLY | WIRE_DATA, .body_len = WIRE_DATA_MAX + 1 },
	};
	struct wire_hdr h;
	struct srv s;
	size_t i;
	int fd;

	srv_start(&s, 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		fd = raw_connect(&s);
		raw_hello(fd);
		raw_read(fd, &h);
		assert_int_equal(h.status, 0);
		raw_frame(fd, &bad[i], NULL);
		if (!closed_within(fd, 1000))
			fail_msg("bad header %zu was accepted", i);
		close(fd);
	}
	assert_int_equal(s.requests, 0);
	assert_int_equal(s.gone, (int)ARRAY_SIZE(bad));
	srv_stop(&s);
}

static void test_before_hello(void **st)
{
	struct wire_hdr ping = { .type = WIRE_PING, .stream = 1 };
	struct wire_hdr big = { .type = WIRE_HELLO, .stream = 1, .body_len = WIRE_HELLO_MAX + 1 };
	struct wire_hdr other = { .type = WIRE_HELLO, .stream = 1, .body_len = 8 }, h;
	struct wire_out w;
	struct srv s;
	int fd;

	srv_start(&s, 0);
	fd = raw_connect(&s);
	raw_frame(fd, &ping, NULL);
	assert_true(closed_within(fd, 1000));
	close(fd);
	fd = raw_connect(&s);
	raw_frame(fd, &big, NULL);
	assert_true(closed_within(fd, 1000));
	close(fd);
	fd = raw_connect(&s);
	assert_int_equal(send(fd, "GET / HTTP/1.0\r\nHost: somewhere\r\n\r\n", 36, 0), 36);
	assert_true(closed_within(fd, 1000));
	close(fd);
	/* Another protocol is told so, and then the connection ends. */
	wire_out_init(&w);
	wire_put_u32(&w, WF_PROTO, WIRE_PROTO + 1);
	fd = raw_connect(&s);
	raw_frame(fd, &other, w.buf);
	wire_out_free(&w);
	raw_read(fd, &h);
	assert_int_equal(h.status, -EPROTO);
	assert_true(closed_within(fd, 3500));
	close(fd);
	assert_int_equal(s.gone, 0);
	srv_stop(&s);
}

static void test_no_hello(void **st)
{
	struct srv s;
	u64 t;
	int fd;

	srv_start(&s, 0);
	t = io_now(io);
	fd = raw_connect(&s);
	assert_true(closed_within(fd, 8000));
	assert_in_range(io_now(io) - t, 4 * SEC, 7 * SEC);
	close(fd);
	srv_stop(&s);
}

/* Frames byte by byte, and one cut off by the end of the connection. */
static void test_cut_frames(void **st)
{
	struct wire_hdr ping = { .type = WIRE_PING, .stream = 2 }, h;
	struct wire_hdr status = { .type = WIRE_STATUS, .stream = 3, .body_len = 1000 };
	u8 buf[WIRE_HDR_LEN];
	struct srv s;
	int fd, i;

	srv_start(&s, 0);
	fd = raw_connect(&s);
	raw_hello(fd);
	raw_read(fd, &h);
	wire_hdr_encode(&ping, buf);
	for (i = 0; i < WIRE_HDR_LEN; i++) {
		assert_int_equal(send(fd, buf + i, 1, 0), 1);
		run_ms(2);
	}
	raw_read(fd, &h);
	assert_int_equal(h.stream, 2);
	raw_frame(fd, &status, NULL);
	assert_int_equal(send(fd, buf, 10, 0), 10);
	run_ms(20);
	close(fd);
	run_ms(50);
	assert_int_equal(s.requests, 0);
	assert_int_equal(s.gone, 1);
	srv_stop(&s);
}

/* A client that asks and never reads: the server holds a bounded amount for it. */
static void test_stalled_reader(void **st)
{
	struct wire_hdr list = { .type = WIRE_LIST, .stream = 2 }, h;
	struct wire_hdr read_hdr = { .type = WIRE_READ };
	struct wire_out w;
	struct srv s;
	int fd, i;

	srv_start(&s, 0);
	fd = raw_connect(&s);
	raw_hello(fd);
	raw_read(fd, &h);
	for (i = 0; i < 500; i++, list.stream++)
		raw_frame(fd, &list, NULL);
	run_ms(300);
	assert_true(s.requests < 200);		/* 0.9 MB of answer each */
	/* Others are served meanwhile. */
	{
		struct xfer_peer *p = dial(s.addr);
		struct call *c = xcalloc(1, sizeof(*c));

		echo_start(p, c, "x", 1);
		assert_true(run_until(&all_ended, 1000));
		assert_int_equal(c->status, 0);
		call_free(c);
		peer_stop(p);
	}
	close(fd);
	run_ms(100);
	assert_int_equal(s.gone, 2);
	/* The same with files under way when the client goes. */
	fd = raw_connect(&s);
	raw_hello(fd);
	raw_read(fd, &h);
	wire_out_init(&w);
	wire_put_u64(&w, WF_OFF, 0);
	wire_put_u64(&w, WF_LEN, FILE_BYTES);
	read_hdr.body_len = w.len;
	for (i = 0; i < 20; i++) {
		read_hdr.stream = 2 + i;
		raw_frame(fd, &read_hdr, w.buf);
	}
	wire_out_free(&w);
	run_ms(100);
	close(fd);
	run_ms(100);
	assert_int_equal(s.gone, 3);
	srv_stop(&s);
}

/* No more than XFER_STREAMS requests of one connection are open at the handler. */
static void test_stream_cap(void **st)
{
	struct wire_hdr h, req = { .type = WIRE_LEASE, .stream = 2 };
	struct srv s;
	int fd, i;

	srv_start(&s, 0);
	s.silent = true;
	fd = raw_connect(&s);
	raw_hello(fd);
	raw_read(fd, &h);
	for (i = 0; i < XFER_STREAMS + 500; i++, req.stream++)
		raw_frame(fd, &req, NULL);
	run_ms(200);
	assert_int_equal(s.requests, XFER_STREAMS);
	for (i = 0; i < 300; i++)
		xfer_reply(s.held[i].c, s.held[i].stream, WIRE_LEASE, WIRE_LAST, 0, 0, NULL);
	run_ms(200);
	assert_int_equal(s.requests, XFER_STREAMS + 300);
	close(fd);
	run_ms(50);
	/* Answers to a connection that has gone are dropped. */
	for (i = 300; i < 320; i++)
		xfer_reply(s.held[i].c, s.held[i].stream, WIRE_LEASE, WIRE_LAST, 0, 0, NULL);
	srv_stop(&s);
}

/* Good beginnings with damaged bytes after them: whatever comes, the server lives and lets go. */
static void test_garbage(void **st)
{
	struct wire_hdr h, req = { .type = WIRE_STATUS, .stream = 2, .body_len = 64 };
	u8 buf[WIRE_HDR_LEN + 64];
	u64 x = 1234567;
	struct srv s;
	int fd, i, k;

	srv_start(&s, 0);
	for (i = 0; i < 200; i++) {
		fd = raw_connect(&s);
		if (i % 4)
			raw_hello(fd);
		for (k = 0; k < 20; k++) {
			req.stream = 2 + k;
			memset(buf, k, sizeof(buf));
			wire_hdr_encode(&req, buf);
			x = x * 6364136223846793005ULL + 1442695040888963407ULL;
			if (k == 19 - i % 10)
				buf[(x >> 33) % (i % 2 ? WIRE_HDR_LEN : 8)] ^= 1 << (x >> 60) % 8;
			if (send(fd, buf, sizeof(buf) - (k == 19 ? x >> 58 : 0), MSG_NOSIGNAL) < 0)
				break;
		}
		io->ops->wake(io);
		io->ops->step(io);
		close(fd);
	}
	run_ms(50);
	fd = raw_connect(&s);
	raw_hello(fd);
	raw_read(fd, &h);
	assert_int_equal(h.status, 0);
	close(fd);
	run_ms(50);
	srv_stop(&s);
}

/* ---- tests: a server that cheats ---- */

static int raw_listen(char addr[64])
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	getsockname(fd, (struct sockaddr *)&sa, &len);
	snprintf(addr, 64, "127.0.0.1:%u", ntohs(sa.sin_port));
	return fd;
}

static int raw_accept(int lfd)
{
	struct pollfd pf = { .fd = lfd, .events = POLLIN };
	int i;

	for (i = 0; i < 200 && poll(&pf, 1, 0) != 1; i++)
		run_ms(5);
	return accept(lfd, NULL, NULL);
}

static void raw_answer_hello(int fd)
{
	struct wire_hdr h;
	struct wire_out w;

	raw_read(fd, &h);
	assert_int_equal(h.type, WIRE_HELLO);
	wire_out_init(&w);
	wire_put_u32(&w, WF_PROTO, WIRE_PROTO);
	h = (struct wire_hdr){ .type = WIRE_HELLO, .flags = WIRE_REPLY | WIRE_LAST, .stream = h.stream, .body_len = w.len };
	raw_frame(fd, &h, w.buf);
	wire_out_free(&w);
}

/* One wrong answer each; the call ends with an error, once. */
static void test_bad_answers(void **st)
{
	static const struct wire_hdr bad[] = {
		{ .type = WIRE_STATUS, .flags = WIRE_REPLY | WIRE_LAST, .stream = 9 },	/* never asked */
		{ .type = WIRE_LIST, .flags = WIRE_REPLY | WIRE_LAST, .stream = 2 },	/* another type */
		{ .type = WIRE_STATUS, .flags = 0, .stream = 2 },			/* no answer */
		{ .type = WIRE_STATUS, .flags = WIRE_REPLY | WIRE_LAST, .stream = 2, .status = -5000 },
		{ .type = WIRE_STATUS, .flags = WIRE_REPLY, .stream = 2, .body_len = 0x7fffffff },
		{ .type = WIRE_STATUS, .flags = WIRE_REPLY | WIRE_SUM, .stream = 2, .sum = 1 },
	};
	char addr[64];
	int lfd = raw_listen(addr), fd;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct xfer_peer *p = dial(addr);
		struct call *c = xcalloc(1, sizeof(*c));
		struct wire_hdr h;

		echo_start(p, c, "x", 1);
		fd = raw_accept(lfd);
		raw_answer_hello(fd);
		raw_read(fd, &h);
		assert_int_equal(h.stream, 2);
		raw_frame(fd, &bad[i], NULL);
		if (!run_until(&all_ended, 1000))
			fail_msg("bad answer %zu was accepted", i);
		assert_true(c->status < 0);
		call_free(c);
		close(fd);
		peer_stop(p);
	}
	close(lfd);
}

static void test_server_never_answers_hello(void **st)
{
	char addr[64];
	int lfd = raw_listen(addr), fd;
	struct xfer_peer *p = dial_with(addr, 0, 300 * MSEC, 0);
	struct call *c = xcalloc(1, sizeof(*c));

	echo_start(p, c, "x", 1);
	fd = raw_accept(lfd);
	assert_true(run_until(&all_ended, 2000));
	assert_int_equal(c->status, -ETIMEDOUT);
	call_free(c);
	close(fd);
	peer_stop(p);
	close(lfd);
}

/* A large frame is cut off in the middle of its body. */
static void test_lost_in_body(void **st)
{
	struct wire_hdr h, data = { .type = WIRE_READ, .flags = WIRE_REPLY | WIRE_DATA, .stream = 2, .body_len = WIRE_DATA_MAX };
	char addr[64];
	int lfd = raw_listen(addr), fd;
	struct xfer_peer *p = dial(addr);
	struct call *c = xcalloc(1, sizeof(*c));

	read_start(p, c, 0, FILE_BYTES);
	fd = raw_accept(lfd);
	raw_answer_hello(fd);
	raw_read(fd, &h);
	raw_frame(fd, &data, NULL);
	assert_true(send(fd, file_data, 100000, 0) > 0);
	run_ms(30);
	close(fd);
	assert_true(run_until(&all_ended, 1000));
	assert_int_equal(c->status, -ECONNRESET);
	assert_int_equal(c->frames, 0);
	call_free(c);
	peer_stop(p);
	close(lfd);
}

/* GOODBYE: what was asked is still answered there, what is new goes to a new connection. */
static void test_goodbye_keeps_calls(void **st)
{
	struct wire_hdr h, bye = { .type = WIRE_GOODBYE };
	struct wire_hdr ok = { .type = WIRE_PING, .flags = WIRE_REPLY | WIRE_LAST, .stream = 2 };
	char addr[64];
	int lfd = raw_listen(addr), fd, fd2;
	struct xfer_peer *p = dial(addr);
	struct call *a = xcalloc(1, sizeof(*a)), *b = xcalloc(1, sizeof(*b));

	call_start(p, a, WIRE_PING);
	fd = raw_accept(lfd);
	raw_answer_hello(fd);
	raw_read(fd, &h);
	raw_frame(fd, &bye, NULL);
	run_ms(20);
	assert_false(a->ended);
	assert_int_equal(downs, 1);
	call_start(p, b, WIRE_PING);
	fd2 = raw_accept(lfd);
	raw_answer_hello(fd2);
	raw_read(fd2, &h);
	raw_frame(fd, &ok, NULL);
	assert_true(run_until(&a->ended, 1000));
	assert_int_equal(a->status, 0);
	assert_true(closed_within(fd, 1000));
	raw_frame(fd2, &ok, NULL);
	assert_true(run_until(&all_ended, 1000));
	assert_int_equal(b->status, 0);
	call_free(a);
	call_free(b);
	close(fd);
	close(fd2);
	peer_stop(p);
	close(lfd);
}

/* ---- frame ---- */

static int setup(void **st)
{
	u64 x = 88172645463325252ULL;
	size_t i;

	log_open("test", getenv("TEST_LOG") ? LOG_L_DEBUG : LOG_L_ERR - 1);
	io = io_uring_new();
	if (!io) {
		fprintf(stderr, "no io_uring: %s\n", strerror(errno));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_file_sums),
		cmocka_unit_test(test_many_streams),
		cmocka_unit_test(test_small_first),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_buffer_outlives),
		cmocka_unit_test(test_goodbye_and_redial),
		cmocka_unit_test(test_unreachable_fails_fast),
		cmocka_unit_test(test_bad_address),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_silence_times_out),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_cancel_midstream),
		cmocka_unit_test(test_server_dies_midstream),
		cmocka_unit_test(test_client_dies_midstream),
		cmocka_unit_test(test_bad_headers),
		cmocka_unit_test(test_before_hello),
		cmocka_unit_test(test_no_hello),
		cmocka_unit_test(test_cut_frames),
		cmocka_unit_test(test_stalled_reader),
		cmocka_unit_test(test_stream_cap),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_bad_answers),
		cmocka_unit_test(test_server_never_answers_hello),
		cmocka_unit_test(test_lost_in_body),
		cmocka_unit_test(test_goodbye_keeps_calls),
	};

	return cmocka_run_group_tests_name("xfer", tests, setup, teardown);
}
