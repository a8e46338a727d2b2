// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The access log: what goes in comes out with its path and program, what is lost is counted,
 * and a restart goes on where it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "history/history.h"

static struct io *io;
static char path[64];
static struct history *h;

static const u8 root[AUGUR_OID_LEN] = { 1 }, dir[AUGUR_OID_LEN] = { 2 }, file[AUGUR_OID_LEN] = { 3 };

static void namer(void *ctx, const u8 *oid)
{
	if (!memcmp(oid, root, AUGUR_OID_LEN))
		history_name(h, oid, root, "", 0);
	else if (!memcmp(oid, dir, AUGUR_OID_LEN))
		history_name(h, oid, root, "usr", 3);
	else if (!memcmp(oid, file, AUGUR_OID_LEN))
		history_name(h, oid, dir, "l\xffs", 3);
}

static struct augur_event event(u8 op, const u8 *oid, u64 off, u64 len)
{
	struct augur_event e = { .time_ns = cpu_to_le64(1234567), .session_key = cpu_to_le64(0xdeadbeefcafef00dULL),
				 .off = cpu_to_le64(off), .len = cpu_to_le64(len), .open_id = cpu_to_le32(5),
				 .latency_us = cpu_to_le32(42), .op = op };

	memcpy(e.oid, oid, AUGUR_OID_LEN);
	return e;
}

static struct augur_event who(const char *comm)
{
	struct augur_event_who w = { .op = AUGUR_EV_WHO, .pid = cpu_to_le32(8), .tgid = cpu_to_le32(7), .open_id = cpu_to_le32(5) };
	struct augur_event e;

	memcpy(w.comm, comm, strlen(comm));
	memcpy(&e, &w, sizeof(e));
	return e;
}

struct got { bool done; int err; size_t n; struct history_row first, last; char path[256]; };

static void on_rows(void *arg, int err, struct history_row *rows, size_t n)
{
	struct got *g = arg;

	g->done = true;
	g->err = err;
	g->n = n;
	if (!n)
		return;
	g->first = rows[0];
	g->last = rows[n - 1];
	snprintf(g->path, sizeof(g->path), "%.*s", (int)rows[0].path_len, rows[0].path);
}

static struct got rows(s64 after, u32 limit)
{
	struct got g = { 0 };

	history_read(h, after, limit, on_rows, &g);
	for (int i = 0; i < 1000 && !g.done; i++)
		assert_int_equal(io->ops->step(io), 0);
	assert_true(g.done);
	assert_int_equal(g.err, 0);
	return g;
}

static int setup(void **state)
{
	snprintf(path, sizeof(path), "/tmp/augur-test-log.%d", (int)getpid());
	unlink(path);
	assert_int_equal(history_open(io, path, &h), 0);
	history_set_namer(h, namer, NULL);
	return 0;
}

static void tick(struct io_op *op, int res)
{
}

static void close_log(void)
{
	struct io_op op = { .done = tick };

	history_close(h);
	/* What was in flight comes back before this. */
	io->ops->timer(io, &op, io_now(io) + 20000000);
	while (op.busy)
		assert_int_equal(io->ops->step(io), 0);
	h = NULL;
}

static int teardown(void **state)
{
	char side[80];

	if (h)
		close_log();
	unlink(path);
	snprintf(side, sizeof(side), "%s-wal", path);
	unlink(side);
	snprintf(side, sizeof(side), "%s-shm", path);
	unlink(side);
	return 0;
}

static void in_and_out(void **state)
{
	struct augur_event ev[] = { event(AUGUR_EV_OPEN, file, 0, 0), who("make"), event(AUGUR_EV_MISS, file, 4096, 8192),
				    event(AUGUR_EV_CLOSE, file, 1, 2) };
	struct history_stats st;
	struct stat sb;
	struct got g;

	history_add(h, 0, 1, 0, ev, 4);
	g = rows(-1, 100);
	assert_int_equal(g.n, 3);
	assert_string_equal(g.path, "/usr/l\xffs");
	assert_string_equal(g.first.comm, "make");
	assert_int_equal(g.first.pid, 7);
	assert_int_equal(g.first.session, 0xdeadbeefcafef00dULL);
	assert_int_equal(g.last.op, AUGUR_EV_CLOSE);
	assert_int_equal(g.last.latency_us, 42);
	assert_int_equal(rows(g.first.id, 100).n, 2);
	assert_int_equal(rows(-1, 1).first.op, AUGUR_EV_CLOSE);
	assert_int_equal(stat(path, &sb), 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
	history_add(h, 0, 5, 17, ev, 1);
	history_add(h, 1, 1, 3, ev, 1);
	history_add(h, 0, 6, 17, ev, 1);
	assert_int_equal(rows(-1, 100).n, 6);
	history_stats(h, &st);
	assert_int_equal(st.dropped, 20);
	assert_int_equal(st.accepted, 7);
}

static void many_and_restart(void **state)
{
	struct augur_event ev[500];
	struct got g;
	s64 last;

	for (int i = 0; i < 500; i++)
		ev[i] = event(AUGUR_EV_READ, i % 2 ? file : dir, i, 1);
	for (int i = 0; i < 10; i++)
		history_add(h, 0, 1 + 500 * i, 0, ev, 500);
	g = rows(-1, 10000);
	assert_int_equal(g.n, 5000);
	last = g.last.id;
	close_log();
	assert_int_equal(history_open(io, path, &h), 0);
	history_set_namer(h, namer, NULL);
	history_add(h, 0, 1, 0, ev + 1, 1);
	g = rows(last, 10);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.first.id, last + 1);
	assert_string_equal(g.path, "/usr/l\xffs");
}

static void unknown_names(void **state)
{
	const u8 stranger[AUGUR_OID_LEN] = { 9 };
	struct augur_event ev = event(AUGUR_EV_OPEN, stranger, 0, 0);

	history_add(h, 0, 1, 0, &ev, 1);
	assert_string_equal(rows(-1, 1).path, "/?");
	history_name(h, stranger, dir, "late", 4);
	assert_string_equal(rows(-1, 1).path, "/usr/late");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(in_and_out), T(many_and_restart), T(unknown_names) };
	int failed;

	log_open("test_history", LOG_L_ERR);
	io = io_new(getenv("TEST_IO"));
	if (!io) {
		printf("no I/O table here\n");
		return 77;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	io->ops->destroy(io);
	return failed;
}
