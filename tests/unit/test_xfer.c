// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The transfer engine over loopback through the real I/O table: client and server share one
 * loop.  Looked for everywhere: each call ends exactly once, bytes arrive as they were sent.
 * test_xfer_raw.c has the peers that cheat.
 */
#include "xfer_rig.h"

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

static struct xfer_stats stats_of(const struct xfer_peer *p)
{
	struct xfer_stats st;

	xfer_peer_stats(p, &st);
	return st;
}

/* Steps until a dial has ended, well or not. */
static void dial_over(struct xfer_peer *p)
{
	u64 end = io_now(io) + 5 * SEC;

	while (stats_of(p).dialling && io_now(io) < end)
		run_ms(2);
	assert_false(stats_of(p).dialling);
}

/* A dial that nobody's call needs, and what is known of a peer meanwhile and after. */
static void test_connect(void **st)
{
	struct srv s;
	struct xfer_peer *p;

	srv_start(&s, 0);
	p = dial(s.addr);
	assert_false(stats_of(p).up || stats_of(p).dialling || stats_of(p).err);
	xfer_peer_connect(p);
	assert_true(stats_of(p).dialling);
	assert_int_equal(stats_of(p).err, 0);
	xfer_peer_connect(p);
	dial_over(p);
	assert_true(stats_of(p).up);
	assert_int_equal(stats_of(p).err, 0);
	xfer_peer_connect(p);
	assert_int_equal(stats_of(p).dials, 1);
	srv_stop(&s);
	assert_false(stats_of(p).up);
	assert_int_not_equal(stats_of(p).err, 0);
	assert_int_equal(dial_fails, 0);	/* that was a connection */
	peer_stop(p);

	p = dial("127.0.0.1:1");
	xfer_peer_connect(p);
	assert_int_equal(dial_fails, 0);
	dial_over(p);
	assert_int_equal(dial_fails, 1);
	assert_int_equal(stats_of(p).err, -EHOSTUNREACH);
	peer_stop(p);

	srv_start(&s, 0);
	s.refuse = -EACCES;
	p = dial(s.addr);
	xfer_peer_connect(p);
	dial_over(p);
	assert_int_equal(dial_fails, 1);
	assert_int_equal(stats_of(p).err, -EACCES);
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
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_unreachable_fails_fast),
		cmocka_unit_test(test_bad_address),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_silence_times_out),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_cancel_midstream),
		cmocka_unit_test(test_server_dies_midstream),
		cmocka_unit_test(test_client_dies_midstream),
	};

	return cmocka_run_group_tests_name("xfer", tests, setup, teardown);
}
