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
	struct augur_event_who w = { .op = AUGUR_EV_WHO, .session_key = cpu_to_le64(0xdeadbeefcafef00dULL),
				      .pid = cpu_to_le32(8), .tgid = cpu_to_le32(7), .open_id = cpu_to_le32(5) };
	struct augur_event e;

	memcpy(w.comm, comm, strlen(comm));
	memcpy(&e, &w, sizeof(e));
	return e;
}

struct got { bool done; int err; size_t n; struct history_row first, last; char path[256]; s64 upto; };

static void on_rows(void *arg, const struct history_result *res)
{
	struct got *g = arg;

	g->done = true;
	g->err = res->err;
	g->n = res->n;
	g->upto = res->upto;
	if (!g->n)
		return;
	g->first = res->rows[0];
	g->last = res->rows[g->n - 1];
	snprintf(g->path, sizeof(g->path), "%.*s", (int)g->first.path_len, g->first.path);
}

static struct got ask(const struct history_query *q)
{
	struct got g = { 0 };

	history_read(h, q, on_rows, &g);
	for (int i = 0; i < 1000 && !g.done; i++)
		assert_int_equal(io->ops->step(io), 0);
	assert_true(g.done);
	assert_int_equal(g.err, 0);
	return g;
}

static struct got rows(s64 after, u32 limit)
{
	struct history_query q = { .after = after, .limit = limit };

	return ask(&q);
}

static struct history_limits lim;

static void open_log(void)
{
	assert_int_equal(history_open(io, path, &lim, &h), 0);
	history_set_namer(h, namer, NULL);
}

static void remove_all(void)
{
	static const char *const part[] = { "", "-wal", "-shm", ".lock", ".clean", ".aside", ".aside-wal", ".aside-shm" };
	char name[96];

	for (size_t i = 0; i < ARRAY_SIZE(part); i++) {
		snprintf(name, sizeof(name), "%s%s", path, part[i]);
		unlink(name);
	}
}

static int setup(void **state)
{
	lim = (struct history_limits){ .age_ns = UINT64_MAX };
	snprintf(path, sizeof(path), "/tmp/augur-test-log.%d", (int)getpid());
	remove_all();
	open_log();
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
	if (h)
		close_log();
	remove_all();
	return 0;
}

static void is_private(const char *part)
{
	char name[96];
	struct stat sb;

	snprintf(name, sizeof(name), "%s%s", path, part);
	assert_int_equal(stat(name, &sb), 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
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
	assert_string_equal(g.last.comm, "make");	/* by the open that it belongs to */
	assert_int_equal(rows(g.first.id, 100).n, 2);
	assert_int_equal(rows(-1, 1).first.op, AUGUR_EV_CLOSE);
	assert_int_equal(stat(path, &sb), 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
	is_private("-wal");
	is_private("-shm");
	history_add(h, 0, 5, 17, ev, 1);
	history_add(h, 1, 1, 3, ev, 1);
	history_add(h, 0, 6, 17, ev, 1);
	assert_int_equal(rows(-1, 100).n, 6);
	history_stats(h, &st);
	assert_int_equal(st.dropped_ring, 20);
	assert_int_equal(history_dropped(&st), 20);
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
	open_log();
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

/* ---- losses ---- */

static void losses(void **state)
{
	struct augur_event ev[2] = { event(AUGUR_EV_OPEN, file, 0, 0), event(AUGUR_EV_READ, file, 0, 0) };
	struct augur_event bad = event(16, file, 0, 0), alone = who("cat");
	struct history_stats st;

	history_add(h, 3, 100, 0, ev, 2);
	history_add(h, 3, 107, 0, ev, 2);	/* five did not come */
	history_add(h, 3, 0, 2, ev, 2);		/* another mount: it has dropped two */
	history_add(h, 3, 2, 2, &bad, 1);
	history_add(h, 3, 3, 2, &alone, 1);	/* after no open */
	assert_int_equal(rows(-1, 100).n, 6);
	history_stats(h, &st);
	assert_int_equal(st.accepted, 6);
	assert_int_equal(st.dropped_lost, 5);
	assert_int_equal(st.dropped_ring, 2);
	assert_int_equal(st.dropped_write, 2);
	assert_int_equal(st.dropped_queue, 0);
}

/* Produced faster than anything is written: the queue is bounded, the rest dropped, the sum exact. */
static void overload(void **state)
{
	static struct augur_event ev[1000];
	struct history_stats st;
	u64 n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ev); i++)
		ev[i] = event(AUGUR_EV_READ, file, i, 1);
	for (int i = 0; i < 600; i++, n += ARRAY_SIZE(ev))	/* the loop does not turn meanwhile */
		history_add(h, 0, n, 0, ev, ARRAY_SIZE(ev));
	rows(-1, 1);
	history_stats(h, &st);
	assert_true(st.dropped_queue > 0);
	assert_int_equal(st.accepted + history_dropped(&st), n);
	assert_int_equal(st.rows, st.accepted);
	assert_int_equal(rows(-1, 10000).n, 10000);
}

/* ---- short segments ---- */

static void merged(void **state)
{
	struct augur_event ev = event(AUGUR_EV_READ, file, 0, 1);
	struct history_stats st;

	for (int i = 0; i < 2500; i++) {
		ev.off = cpu_to_le64(i);
		history_add(h, 0, i, 0, &ev, 1);
		if (i % 100 == 99)
			assert_int_equal(rows(-1, 1).first.off, i);	/* written as a short one */
	}
	history_stats(h, &st);
	assert_int_equal(st.rows, 2500);
	assert_int_equal(st.segments, 2 + 5);
	for (s64 after = 0; after < 2500; after += 500)
		assert_int_equal(rows(after, 10000).first.off, after);
	assert_int_equal(rows(0, 10000).n, 2500);
	close_log();
	open_log();
	assert_int_equal(rows(0, 10000).n, 2500);
}

static void exists(const char *part, bool is)
{
	char name[96];

	snprintf(name, sizeof(name), "%s%s", path, part);
	assert_int_equal(!access(name, F_OK), is);
}

static void overwrite(off_t at, size_t len)
{
	FILE *f = fopen(path, "r+");

	assert_non_null(f);
	fseek(f, at, SEEK_SET);
	while (len--)
		fputc(0x5a, f);
	fclose(f);
}

/* ---- questions ---- */

static void questions(void **state)
{
	struct augur_event ev[] = { event(AUGUR_EV_OPEN, file, 0, 0), who("make"), event(AUGUR_EV_READ, dir, 7, 8),
				    event(AUGUR_EV_OPEN, dir, 0, 0), who("find"), event(AUGUR_EV_CLOSE, file, 1, 2) };
	struct history_query q = { .after = -1, .limit = 10 };

	ev[0].open_id = cpu_to_le32(1);
	((struct augur_event_who *)&ev[1])->open_id = cpu_to_le32(1);
	ev[2].session_key = cpu_to_le64(77);
	ev[2].time_ns = cpu_to_le64(2000000);
	history_add(h, 0, 0, 0, ev, 6);
	assert_int_equal(ask(&q).n, 4);
	q.ops = 1u << AUGUR_EV_READ | 1u << AUGUR_EV_CLOSE;
	assert_int_equal(ask(&q).n, 2);
	q.ops = 0;
	q.by_session = true;
	q.session = 77;
	assert_int_equal(ask(&q).first.off, 7);
	q.by_session = false;
	q.since_ns = 2000000;
	assert_int_equal(ask(&q).n, 1);
	q.since_ns = 0;
	q.until_ns = 1999999;
	assert_int_equal(ask(&q).n, 3);
	q.until_ns = 0;
	strcpy(q.comm, "make");
	assert_int_equal(ask(&q).n, 1);
	q.comm[0] = 0;
	q.path = "/usr/l\xffs";
	q.path_len = strlen(q.path);
	assert_int_equal(ask(&q).n, 2);
	q.path_len--;		/* not below it: another name */
	assert_int_equal(ask(&q).n, 0);
	q.path = "/usr/";
	q.path_len = 5;
	assert_int_equal(ask(&q).n, 4);
	q.after = 1;
	q.limit = 1;
	assert_int_equal(ask(&q).first.off, 7);
}

static void offline(void **state)
{
	struct augur_event ev = event(AUGUR_EV_READ, file, 3, 4);
	struct history_query q = { .after = -1, .limit = 10 };
	struct got g = { 0 };

	history_add(h, 0, 0, 0, &ev, 1);
	rows(-1, 1);
	assert_int_equal(history_file_read(path, &q, on_rows, &g), 0);	/* while it is open */
	assert_int_equal(g.n, 1);
	close_log();
	memset(&g, 0, sizeof(g));
	assert_int_equal(history_file_read(path, &q, on_rows, &g), 0);
	assert_int_equal(g.n, 1);
	assert_string_equal(g.path, "/usr/l\xffs");
	assert_int_equal(history_file_read("/nowhere/log.db", &q, on_rows, &g), -ENOENT);
	assert_int_equal(history_file_read("/proc/self/status", &q, on_rows, &g), -EPROTONOSUPPORT);	/* empty, as a size goes */
	overwrite(0, 100);
	assert_int_equal(history_file_read(path, &q, on_rows, &g), -EUCLEAN);
}

/* ---- what is kept ---- */

static u8 *many_oid(u8 *oid, u32 i)
{
	memset(oid, 0, AUGUR_OID_LEN);
	oid[0] = 77;
	memcpy(oid + 4, &i, sizeof(i));
	return oid;
}

static void settle(void)
{
	struct io_op op = { .done = tick };

	for (int i = 0; i < 20; i++) {
		rows(-1, 1);
		io->ops->timer(io, &op, io_now(io) + 1000000);
		while (op.busy)
			assert_int_equal(io->ops->step(io), 0);
	}
}

/* The oldest go by number, the dictionary with them, and what stays has its names. */
static void kept_rows(void **state)
{
	struct augur_event ev = event(AUGUR_EV_READ, file, 0, 1);
	struct history_stats st;
	u8 oid[AUGUR_OID_LEN];
	struct got g;

	close_log();
	lim.rows = 3000;
	open_log();
	for (u32 i = 0; i < 10000; i++) {
		ev.off = cpu_to_le64(i);
		memcpy(ev.oid, many_oid(oid, i), AUGUR_OID_LEN);
		history_add(h, 0, i, 0, &ev, 1);
		history_name(h, oid, dir, "many", 4);
	}
	ev = event(AUGUR_EV_READ, file, 10000, 1);
	history_add(h, 0, 10000, 0, &ev, 1);
	for (int i = 0; i < 100; i++) {
		settle();
		history_stats(h, &st);
		if (st.paths <= 4100)
			break;
	}
	assert_in_range(st.rows, 2000, 3000);
	assert_int_equal(st.accepted, 10001);
	assert_in_range(st.paths, st.rows, 4100);
	g = rows(0, 10000);
	assert_int_equal(g.n, st.rows);
	assert_int_equal(g.last.off, 10000);
	assert_string_equal(g.path, "/usr/many");
	close_log();
	open_log();
	history_stats(h, &st);
	assert_in_range(st.paths, st.rows, 4100);
	assert_string_equal(rows(0, 1).path, "/usr/many");
}

/* By age; and a file that was large is made shorter. */
static void kept_time(void **state)
{
	static struct augur_event ev[1000];
	struct history_stats st;
	u64 most;

	for (size_t i = 0; i < ARRAY_SIZE(ev); i++) {
		ev[i] = event(AUGUR_EV_READ, file, i * 1000003, i * i * 77777);
		ev[i].session_key = cpu_to_le64(i * 0x9e3779b97f4a7c15ull);
	}
	for (int i = 0; i < 300; i++) {
		history_add(h, 0, i * 1000, 0, ev, ARRAY_SIZE(ev));
		if (i % 100 == 99)
			rows(-1, 1);
	}
	rows(-1, 1);
	history_stats(h, &st);
	assert_int_equal(st.rows, 300000);
	most = st.bytes;
	close_log();
	lim.age_ns = 86400ull * 1000000000;	/* they are of 1970 */
	open_log();
	ev[0].time_ns = cpu_to_le64(io->ops->real_ns(io));
	history_add(h, 0, 300000, 0, ev, 1);
	for (int i = 0; i < 2000; i++) {
		settle();
		history_stats(h, &st);
		if (st.rows == 1 && st.bytes < most / 2)
			break;
	}
	assert_int_equal(st.rows, 1);
	assert_true(st.bytes < most / 2);
}

/* ---- a file that cannot be used ---- */

static void damaged_at_start(void **state)
{
	struct augur_event ev = event(AUGUR_EV_READ, file, 0, 1);
	char mark[96];

	for (int i = 0; i < 3000; i++)
		history_add(h, 0, i, 0, &ev, 1);
	rows(-1, 1);
	close_log();
	snprintf(mark, sizeof(mark), "%s.clean", path);
	unlink(mark);		/* so it is looked at */
	overwrite(4096, 4096);
	open_log();
	exists(".aside", true);
	assert_int_equal(rows(-1, 1).n, 0);
	history_add(h, 0, 0, 0, &ev, 1);
	assert_string_equal(rows(-1, 1).path, "/usr/l\xffs");
	close_log();
	overwrite(0, 100);
	open_log();
	assert_int_equal(rows(-1, 1).n, 0);
}

/* Found in the middle of work: what was under way is dropped and counted, and it goes on. */
static void damaged_later(void **state)
{
	struct augur_event ev = event(AUGUR_EV_READ, file, 0, 1);
	struct history_query q = { .after = -1, .limit = 10000 };
	struct history_stats st;
	struct got g = { 0 };
	u64 n = 0;

	for (; n < 5000; n++) {
		ev.off = cpu_to_le64(n * 1000003);
		history_add(h, 0, n, 0, &ev, 1);
	}
	rows(-1, 1);
	close_log();
	open_log();
	/* Behind its back; the header and the schema are read already. */
	overwrite(4096, 60000);
	for (int i = 0; i < 3000; i++, n++)
		history_add(h, 0, n, 0, &ev, 1);
	history_read(h, &q, on_rows, &g);
	for (int i = 0; i < 1000 && !g.done; i++)
		assert_int_equal(io->ops->step(io), 0);
	assert_true(g.done);
	settle();
	exists(".aside", true);
	history_stats(h, &st);
	assert_true(history_dropped(&st) > 0);
	history_add(h, 0, n, 0, &ev, 1);
	assert_string_equal(rows(-1, 1).path, "/usr/l\xffs");
	history_stats(h, &st);
	assert_int_equal(st.accepted + history_dropped(&st), 3001);
}

static void other_version(void **state)
{
	sqlite3 *sq;

	close_log();
	assert_int_equal(sqlite3_open(path, &sq), SQLITE_OK);
	assert_int_equal(sqlite3_exec(sq, "PRAGMA user_version=1", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(sq);
	open_log();
	exists(".aside", true);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(in_and_out), T(many_and_restart), T(unknown_names), T(losses), T(overload), T(merged), T(questions), T(offline),
		T(kept_rows), T(kept_time), T(damaged_at_start), T(damaged_later), T(other_version),
	};
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
