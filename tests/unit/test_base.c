// SPDX-License-Identifier: GPL-2.0-or-later
/* The leaf room: map, addresses, databases. */
#include <fcntl.h>
#include <stdio.h>
#include <signal.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/addr.h"
#include "base/db.h"
#include "base/fh.h"
#include "base/log.h"
#include "loop.h"

static char dir[64];

/* ---- map ---- */

struct item { u32 x, key; bool in; };

static void test_map(void **st)
{
	enum { N = 5000 };
	struct item *it = xcalloc(N, sizeof(*it));
	size_t i, iter = 0, seen = 0, live = 0;
	u32 r = 1, k;
	struct map m;

	map_init(&m, offsetof(struct item, key), sizeof(u32));
	k = 7;
	assert_null(map_get(&m, &k));
	assert_null(map_del(&m, &k));
	for (i = 0; i < N; i++)
		it[i].key = i * 2654435761U;
	for (i = 0; i < 200000; i++) {
		struct item *v = &it[(r = r * 1664525 + 1013904223) % N];

		assert_ptr_equal(map_get(&m, &v->key), v->in ? v : NULL);
		if (r & 0x10000)
			assert_ptr_equal(map_put(&m, v), v->in ? v : NULL);
		else
			assert_ptr_equal(map_del(&m, &v->key), v->in ? v : NULL);
		v->in = r & 0x10000;
	}
	for (i = 0; i < N; i++)
		live += it[i].in;
	assert_int_equal(m.live, live);
	assert_true(m.cap < 16 * N);		/* tombstones do not make it grow */
	for (struct item *v; (v = map_next(&m, &iter)); seen++) {
		assert_true(v->in);
		assert_ptr_equal(map_del(&m, &v->key), v);	/* allowed while walking */
	}
	assert_int_equal(seen, live);
	assert_int_equal(m.live, 0);
	map_free(&m);
	free(it);
}

static void test_log_esc(void **st)
{
	char big[2000];

	assert_string_equal(log_esc("a/b", 3), "a/b");
	assert_string_equal(log_esc("a\n\"\0\xff", 5), "a\\x0a\\x22\\x00\\xff");
	memset(big, 'x', sizeof(big));
	assert_true(strlen(log_esc(big, sizeof(big))) < 512);
}

/* ---- addresses ---- */

static void test_addr(void **st)
{
	static const struct { const char *in, *host, *port; } good[] = {
		{ "h", "h", "7433" }, { "h:1", "h", "1" }, { "192.0.2.1:65535", "192.0.2.1", "65535" },
		{ "[::1]", "::1", "7433" }, { "[2001:db8::2]:22", "2001:db8::2", "22" }, { "::1", "::1", "7433" },
		{ "*:80", "", "80" }, { ":80", "", "80" }, { "*", "", "7433" }, { "h:007", "h", "7" },
	};
	static const char *const bad[] = {
		"h:", "h:0", "h:65536", "h:1x", "h:-1", "[::1", "[]:1", "[::1]x", "[::1]:", "h: 1", "h:123456",
	};
	struct addr list[ADDR_LIST_MAX];
	struct addr_text t;
	char buf[ADDR_STR_LEN], big[400];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(addr_parse(good[i].in, 7433, &t), 0);
		assert_string_equal(t.host, good[i].host);
		assert_string_equal(t.port, good[i].port);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (addr_parse(bad[i], 7433, &t) != -EINVAL)
			fail_msg("%s was accepted", bad[i]);
	memset(big, 'a', sizeof(big));
	big[399] = 0;
	assert_int_equal(addr_parse(big, 1, &t), -EINVAL);
	assert_int_equal(addr_parse("[::1]:9", 1, &t), 0);
	assert_int_equal(addr_resolve(&t, false, true, list), 1);
	assert_string_equal(addr_str((struct sockaddr *)&list[0].ss, buf), "[::1]:9");
	assert_int_equal(addr_parse("name.invalid:9", 1, &t), 0);
	assert_int_equal(addr_resolve(&t, false, true, list), -ENOENT);
}

struct lookup { struct addr_lookup l; bool ended; int res; };

static void looked_up(struct addr_lookup *l, int res)
{
	struct lookup *k = container_of(l, struct lookup, l);

	k->ended = true;
	k->res = res;
}

static void test_lookup(void **st)
{
	struct lookup a = { .l.done = looked_up }, b = { .l.done = looked_up };
	struct addr list[ADDR_LIST_MAX];
	int direct;

	addr_parse("127.0.0.1:5", 1, &a.l.text);
	addr_parse("localhost:5", 1, &b.l.text);
	addr_lookup_start(io, &a.l);
	addr_lookup_start(io, &b.l);
	assert_false(a.ended);
	step_until(&a.ended);
	step_until(&b.ended);
	assert_int_equal(a.res, 1);
	/* A system without /etc/hosts knows no name at all. */
	direct = addr_resolve(&b.l.text, false, false, list);
	assert_true(direct > 0 ? b.res > 0 : b.res == direct);
}

/* ---- databases ---- */

struct row { struct db_job j; int id, fail; bool ended; };

static int insert(sqlite3 *sq, struct db_job *j)
{
	struct row *r = container_of(j, struct row, j);
	sqlite3_stmt *s = db_stmt(sq, "INSERT INTO t(id) VALUES (?1)");

	assert_non_null(s);
	sqlite3_bind_int(s, 1, r->id);
	if (sqlite3_step(s) != SQLITE_DONE)
		return db_errno(sqlite3_errcode(sq));
	return r->fail;
}

static int count_rows(sqlite3 *sq, struct db_job *j)
{
	sqlite3_stmt *s = db_stmt(sq, "SELECT count(*) FROM t");

	return sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int(s, 0) : -EIO;
}

static void row_done(struct db_job *j, int res)
{
	container_of(j, struct row, j)->ended = true;
}

#define SCHEMA "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY) STRICT"

static int how_nice(sqlite3 *sq, struct db_job *j)
{
	errno = 0;
	return getpriority(PRIO_PROCESS, 0);	/* of the calling thread */
}

/* Whoever waits for a row of the index goes before whoever writes the log. */
static void test_db_log_yields(void **st)
{
	int own = getpriority(PRIO_PROCESS, 0);
	char path[128];

	for (int log = 0; log < 2; log++) {
		struct row r = { .j.fn = how_nice, .j.done = row_done };
		struct db *db;

		snprintf(path, sizeof(path), "%s/nice%d", dir, log);
		assert_int_equal(db_open(io, path, log ? DB_NORMAL : DB_FULL, SCHEMA, 1, &db), 0);
		db_queue(db, &r.j);
		step_until(&r.ended);
		assert_int_equal(r.j.res, log && own < 10 ? 10 : own);
		db_close(db);
	}
}

static void test_db(void **st)
{
	enum { N = 400 };
	static struct row r[N];
	struct row cnt = { .j.fn = count_rows };
	struct db *db, *other;
	char path[128], mark[160];
	struct stat sb;
	int i, fd;

	snprintf(path, sizeof(path), "%s/db", dir);
	snprintf(mark, sizeof(mark), "%s.clean", path);
	assert_int_equal(db_open(io, path, DB_FULL, SCHEMA, 3, &db), 0);
	assert_int_equal(stat(path, &sb), 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
	assert_int_not_equal(access(mark, F_OK), 0);
	assert_int_equal(db_open(io, path, DB_FULL, SCHEMA, 3, &other), -EBUSY);
	for (i = 0; i < N; i++) {
		r[i] = (struct row){ .j.fn = insert, .j.done = row_done, .id = i / 2, .fail = i % 8 ? 0 : -EPERM };
		db_queue(db, &r[i].j);
	}
	for (i = 0; i < N; i++)
		step_until(&r[i].ended);
	/* Of each pair one got the id; a job that failed left nothing behind. */
	for (i = 0; i < N; i += 2) {
		assert_int_equal(r[i].j.res, i % 8 ? 0 : -EPERM);
		assert_int_equal(r[i + 1].j.res, i % 8 ? -EEXIST : 0);
	}
	assert_int_equal(db_call(db, &cnt.j), N / 2);
	db_close(db);
	assert_int_equal(access(mark, F_OK), 0);
	/* Another version is refused and left alone. */
	assert_int_equal(db_open(io, path, DB_FULL, SCHEMA, 4, &db), -EPROTONOSUPPORT);
	assert_int_equal(db_open(io, path, DB_NORMAL, SCHEMA, 3, &db), 0);
	assert_int_equal(db_call(db, &cnt.j), N / 2);
	db_close(db);
	/* No mark and damage: found. With the mark it is believed. */
	unlink(mark);
	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &sb), 0);
	for (off_t o = 4096; o < sb.st_size; o += 4096)
		assert_int_equal(pwrite(fd, "garbage garbage", 15, o), 15);
	close(fd);
	assert_int_equal(db_open(io, path, DB_FULL, SCHEMA, 3, &db), -EUCLEAN);
	fd = open(path, O_RDWR | O_TRUNC);
	assert_int_equal(write(fd, "this is no database, but it is long enough to be looked at", 58), 58);
	close(fd);
	assert_int_equal(db_open(io, path, DB_FULL, SCHEMA, 3, &db), -EUCLEAN);
	/* It may be anything, named by mistake: not even its mode changes. */
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(db_open(io, path, DB_FULL, SCHEMA, 3, &db), -EUCLEAN);
	assert_int_equal(stat(path, &sb), 0);
	assert_int_equal(sb.st_mode & 0777, 0644);
	assert_int_equal(sb.st_size, 58);
	unlink(path);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_int_equal(db_open(io, path, DB_FULL, SCHEMA, 3, &db), -EUCLEAN);
	unlink(path);
	assert_int_equal(db_open(io, "/nonexistent/db", DB_FULL, SCHEMA, 3, &db), -ENOENT);
}

/* Transactions that fail of @n, each with one row more, on a disk that has nothing left. */
static int failed_when_full(const char *path, u64 ballast, int n)
{
	CLEANUP_FREE char *fill = xasprintf("%s.fill", path);
	static const char zeros[4096];
	struct db *db;
	int failed = 0, fd;

	assert_int_equal(db_open(io, path, DB_FULL, SCHEMA, 1, &db), 0);
	if (ballast)
		db_ballast(db, ballast);
	for (int i = 0; i <= n; i++) {
		struct row r = { .j.fn = insert, .j.done = row_done, .id = i };

		db_queue(db, &r.j);
		step_until(&r.ended);
		failed += r.j.res == -ENOSPC;
		assert_true(!r.j.res || (i && r.j.res == -ENOSPC));
		if (i)
			continue;
		fd = open(fill, O_WRONLY | O_CREAT, 0600);
		while (write(fd, zeros, sizeof(zeros)) > 0)
			;
		assert_int_equal(errno, ENOSPC);
		close(fd);
	}
	unlink(fill);
	db_close(db);
	return failed;
}

static void test_db_full_disk(void **st)
{
	CLEANUP_FREE char *mnt = xasprintf("%s/full", dir), *with = xasprintf("%s/with", mnt), *without = xasprintf("%s/without", mnt);

	if (geteuid()) {
		print_message("[  SKIPPED  ] a small filesystem is mounted by root only\n");
		skip();
	}
	assert_int_equal(mkdir(mnt, 0700), 0);
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("none", mnt, "tmpfs", 0, "size=4m"), 0);
	assert_int_equal(failed_when_full(with, 256 << 10, 300), 0);
	assert_true(failed_when_full(without, 0, 300) > 0);
	assert_int_equal(umount(mnt), 0);
	rmdir(mnt);
}

/* What is queued when it is closed is done first. */
static void test_db_close_drains(void **st)
{
	static struct row r[50];
	struct db *db;
	char path[128];
	int i;

	snprintf(path, sizeof(path), "%s/db2", dir);
	assert_int_equal(db_open(io, path, DB_NORMAL, SCHEMA, 1, &db), 0);
	for (i = 0; i < 50; i++) {
		r[i] = (struct row){ .j.fn = insert, .j.done = row_done, .id = i };
		db_queue(db, &r[i].j);
	}
	db_close(db);
	for (i = 0; i < 50; i++)
		assert_true(r[i].ended && !r[i].j.res);
	db_close(NULL);
}

/* ---- frame ---- */

static int setup(void **st)
{
	log_open("test", getenv("TEST_LOG") ? LOG_L_DEBUG : LOG_L_ERR - 1);
	snprintf(dir, sizeof(dir), "/tmp/test_base.XXXXXX");
	io = io_new(getenv("TEST_IO"));
	return io && mkdtemp(dir) ? 0 : -1;
}

static void ticked(struct io_op *op, int res)
{
	*(bool *)op->p2 = true;
}

/* A closed database frees its last part in a later step. */
static int teardown(void **st)
{
	bool ended = false;
	struct io_op tick = { .done = ticked, .p2 = &ended };
	CLEANUP_FREE char *cmd = xasprintf("rm -rf '%s'", dir);

	io->ops->timer(io, &tick, io_now(io) + 20 * MSEC);
	step_until(&ended);
	io->ops->destroy(io);
	return system(cmd);
}

/* The file at one name is replaced for ever, so that inode numbers come again. */
static pid_t replacer(int dir)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!renameat(dir, "new", dir, "f") || errno == ENOENT)
		close(openat(dir, "new", O_CREAT | O_WRONLY, 0600));
	_exit(1);
}

/* A handle leads to its inode or is stale, whatever its number is being used for. */
static void test_handles_of_reused_numbers(void **st)
{
	char top[] = "/tmp/augur-base.XXXXXX";
	struct fh fh[16] = { 0 };
	unsigned int opened = 0;
	int dir, fd;
	pid_t pid;

	if (geteuid())
		skip();
	assert_non_null(mkdtemp(top));
	dir = open(top, O_RDONLY | O_DIRECTORY);
	close(openat(dir, "f", O_CREAT | O_WRONLY, 0600));
	pid = replacer(dir);
	for (unsigned int i = 0; i < 60000; i++) {
		if (!(i % 8) && fh_of(dir, "f", &fh[i / 8 % ARRAY_SIZE(fh)]))
			continue;
		fd = fh_open(dir, &fh[i % ARRAY_SIZE(fh)], O_RDONLY);
		if (fd < 0 && fd != -ESTALE)
			fail_msg("a handle gave %s", strerror(-fd));
		opened += fd >= 0;
		if (fd >= 0)
			close(fd);
	}
	assert_true(opened);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlinkat(dir, "f", 0);
	unlinkat(dir, "new", 0);
	close(dir);
	rmdir(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_log_esc),
		cmocka_unit_test(test_addr),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_db), cmocka_unit_test(test_db_log_yields),
		cmocka_unit_test(test_db_close_drains), cmocka_unit_test(test_db_full_disk),
		cmocka_unit_test(test_handles_of_reused_numbers),
	};

	return cmocka_run_group_tests_name("base", tests, setup, teardown);
}
