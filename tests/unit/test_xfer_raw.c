// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Peers of the transfer engine that cheat, cut off or stall: a raw socket, driven between the
 * steps of the loop, plays the one side.  The other lives on, lets go, and ends its calls once.
 */
#include "xfer_rig.h"

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

/* Silence is asked whether there is anybody: an answer is enough, and without one the calls end. */
static void test_silence(void **st)
{
	struct wire_hdr h, pong;
	char addr[64];
	int lfd = raw_listen(addr), fd;
	struct call *c = xcalloc(1, sizeof(*c));
	struct xfer_peer *p;

	quiet_ns = 100 * MSEC;
	p = dial(addr);
	quiet_ns = 0;
	echo_start(p, c, "x", 1);
	fd = raw_accept(lfd);
	raw_answer_hello(fd);
	raw_read(fd, &h);
	assert_int_equal(h.type, WIRE_STATUS);
	for (int i = 0; i < 6; i++) {		/* longer than it would wait for one answer */
		raw_read(fd, &h);
		assert_int_equal(h.type, WIRE_PING);
		pong = (struct wire_hdr){ .type = WIRE_PING, .flags = WIRE_REPLY | WIRE_LAST, .stream = h.stream };
		raw_frame(fd, &pong, NULL);
	}
	assert_false(c->ended);
	assert_int_equal(downs, 0);
	raw_read(fd, &h);
	assert_int_equal(h.type, WIRE_PING);
	assert_true(run_until(&all_ended, 5000));
	assert_int_equal(c->status, -ETIMEDOUT);
	assert_int_equal(downs, 1);
	call_free(c);
	close(fd);
	peer_stop(p);
	close(lfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
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
		cmocka_unit_test(test_silence),
	};

	return cmocka_run_group_tests_name("xfer_raw", tests, setup, teardown);
}
