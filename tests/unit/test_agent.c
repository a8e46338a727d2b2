// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The agent between a fake kernel and two real proxies on loopback: names and bytes arrive,
 * what was fetched ahead is granted and ended, changes at the origin are switched in, a proxy
 * that goes and comes is waited for, and lost rows of the index are found again; pins are of
 * objects, whatever becomes of their names; what is said
 * of proxies that are up, down or being dialled.  Needs root.
 *
 * long file: one volume through its life, one test after another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "agent/agent.h"
#include "cache/index.h"
#include "base/log.h"
#include "fake_kernel.h"
#include "role.h"

static struct io *io;
static char top[64];
static struct agent ag;
static struct vol *v;
static pid_t proxies[2];

/* ---- what main.c has ---- */

int role_enter_netns(const char *name)
{
	return -ENOSYS;
}

void role_ready(struct role_cfg *cfg)
{
	if (write(cfg->ready_fd, "1", 1) != 1)
		abort();
}

/* ---- a disk that has no room for one file beyond so much of it ---- */

static struct { pthread_mutex_t lock; ino_t ino; u64 room; unsigned int refused; bool counted; u64 inodes; } disk = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

/* A worker that has met the fifth directory of "all" waits, if it is to. */
static struct { bool armed, met, go; int seen; } hold;

static void hold_here(int flags, const char *path)
{
	if (!hold.armed || !(flags & O_PATH) || path[0] != 'e' || strlen(path) != 2 ||
	    __atomic_add_fetch(&hold.seen, 1, __ATOMIC_SEQ_CST) != 5)
		return;
	__atomic_store_n(&hold.met, true, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&hold.go, __ATOMIC_SEQ_CST))
		usleep(1000);
}

/* With so many inodes, if they are counted. */
int openat(int fd, const char *path, int flags, ...)
{
	bool makes = (flags & O_CREAT) && (flags & O_EXCL);
	mode_t mode = 0;
	bool none;
	va_list ap;

	if (flags & O_CREAT) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	hold_here(flags, path);
	pthread_mutex_lock(&disk.lock);
	none = makes && disk.counted && !disk.inodes && faccessat(fd, path, F_OK, AT_SYMLINK_NOFOLLOW);
	if (makes && disk.counted && !none)
		disk.inodes -= disk.inodes && faccessat(fd, path, F_OK, AT_SYMLINK_NOFOLLOW);
	disk.refused += none;
	pthread_mutex_unlock(&disk.lock);
	errno = ENOSPC;
	return none ? -1 : syscall(SYS_openat, fd, path, flags, mode);
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t off)
{
	struct stat st;
	ssize_t n = -1;

	pthread_mutex_lock(&disk.lock);
	if (disk.ino && !fstat(fd, &st) && st.st_ino == disk.ino) {
		u64 used = (u64)st.st_blocks * 512;

		len = min((u64)len, used < disk.room ? disk.room - used : 0);
		disk.refused += !len;
	}
	if (len)
		n = syscall(SYS_pwrite64, fd, p, len, off);
	else
		errno = ENOSPC;
	pthread_mutex_unlock(&disk.lock);
	return n;
}

/* The file that the disk cannot keep. */
static ino_t bad_ino;

int fdatasync(int fd)
{
	struct stat st;

	if (bad_ino && !fstat(fd, &st) && st.st_ino == bad_ino) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_fdatasync, fd);
}

int fstatvfs(int fd, struct statvfs *sv)
{
	struct statfs sf;

	if (fstatfs(fd, &sf))
		return -1;
	*sv = (struct statvfs){ .f_bsize = sf.f_bsize, .f_frsize = sf.f_frsize, .f_blocks = sf.f_blocks,
				.f_bfree = disk.ino ? 0 : sf.f_bfree, .f_bavail = disk.ino ? 0 : sf.f_bavail,
				.f_files = disk.counted ? 1000 : sf.f_files,
				.f_ffree = sf.f_ffree, .f_favail = disk.counted ? disk.inodes : sf.f_ffree };
	return 0;
}

/* ---- places ---- */

static char *at(const char *fmt, ...)
{
	static char buf[8][512];
	static int i;
	va_list ap;
	int n;

	i = (i + 1) % 8;
	n = snprintf(buf[i], sizeof(buf[i]), "%s/", top);
	va_start(ap, fmt);
	vsnprintf(buf[i] + n, sizeof(buf[i]) - n, fmt, ap);
	va_end(ap);
	return buf[i];
}

static void put(const char *path, size_t len, int seed)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	u8 *buf = xmalloc(len ? len : 1);

	assert_true(fd >= 0);
	for (size_t i = 0; i < len; i++)
		buf[i] = (i * 2654435761u >> 13) + seed;
	assert_int_equal(write(fd, buf, len), len);
	close(fd);
	free(buf);
}

static bool same_bytes(const char *a, const char *b)
{
	char cmd[1100];

	snprintf(cmd, sizeof(cmd), "cmp -s %s %s", a, b);
	return !system(cmd);
}

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	return remove(path);
}

/* ---- the loop ---- */

static void tick(struct io_op *op, int res)
{
}

/* Steps until cond, at most so long. */
#define until(ms, cond) ({							\
	u64 end_ = io_now(io) + (ms) * 1000000ull;				\
	while (!(cond) && io_now(io) < end_) {					\
		struct io_op op_ = { .done = tick };				\
		io->ops->timer(io, &op_, io_now(io) + 2000000);			\
		while (op_.busy)						\
			assert_int_equal(io->ops->step(io), 0);			\
	}									\
	(cond);									\
})

static u64 ask(u32 op, const u8 *oid, const struct fh *fh, const char *name, u64 off, u64 len, u32 flags)
{
	struct upcall_req rq = { .id = ++fake.last_req, .op = op, .flags = flags, .fh = *fh, .off = off, .len = len,
				 .want = len, .name = name, .name_len = name ? strlen(name) : 0, .open_id = 1 };

	memcpy(rq.oid, oid, AUGUR_OID_LEN);
	memset(&fake.replies[rq.id % ARRAY_SIZE(fake.replies)], 0, sizeof(struct fake_reply));
	agent_upcall_ops.request(&ag, &fake.m, &rq);
	return rq.id;
}

static const struct fake_reply *reply_of(u64 id)
{
	return &fake.replies[id % ARRAY_SIZE(fake.replies)];
}

static int wait_reply(u64 id)
{
	assert_true(until(20000, reply_of(id)->come));
	return reply_of(id)->status;
}

/* An object as the kernel sees it: by its name in the lower tree. */
struct seen { u8 oid[AUGUR_OID_LEN]; struct fh fh; struct augur_rec rec; struct stat st; };

static int look(const char *rel, struct seen *s)
{
	u8 buf[AUGUR_RECORD_LEN + 1];
	char *path = at("cache/root/%s", rel);
	ssize_t n = lgetxattr(path, AUGUR_XATTR_NAME, buf, sizeof(buf));

	if (n < 0 || augur_rec_decode(buf, n, &s->rec) || lstat(path, &s->st) || fh_of(AT_FDCWD, path, &s->fh))
		return -ENOENT;
	memcpy(s->oid, s->rec.oid, AUGUR_OID_LEN);
	return 0;
}

static int populate(const char *rel)
{
	struct seen s;

	assert_int_equal(look(rel, &s), 0);
	return wait_reply(ask(AUGUR_OP_POPULATE, s.oid, &s.fh, NULL, 0, 0, 0));
}

static int lookup(const char *dir, const char *name)
{
	struct seen s;

	assert_int_equal(look(dir, &s), 0);
	return wait_reply(ask(AUGUR_OP_LOOKUP, s.oid, &s.fh, name, 0, 0, 0));
}

static u64 fetch_start(const char *rel, u64 off, u64 len)
{
	struct seen s;
	u64 chunk;

	assert_int_equal(look(rel, &s), 0);
	chunk = 1ull << s.rec.chunk_shift;
	len = (off % chunk + len + chunk - 1) / chunk * chunk;
	off = off / chunk * chunk;
	return ask(AUGUR_OP_FETCH, s.oid, &s.fh, NULL, off, min(len, s.rec.size - off), 0);
}

static int fetch(const char *rel, u64 off, u64 len)
{
	return wait_reply(fetch_start(rel, off, len));
}

/* ---- set-up ---- */

static void run_proxy(int i)
{
	int fds[2];
	char c;

	assert_int_equal(pipe(fds), 0);
	proxies[i] = fork();
	if (!proxies[i]) {
		struct role_cfg cfg = {
			.id = i ? "p2" : "p1", .insecure = true, .ready_fd = fds[1], .log_level = LOG_L_ERR,
			.listen = i ? "127.0.0.1:17502" : "127.0.0.1:17501", .ctl = at("p%d.sock", i + 1),
			.proxies = "p1=127.0.0.1:17501,p2=127.0.0.1:17502", .seed = 1, .lease_ms = 3000,
			.exports = { { "vol", at("origin") } }, .nexports = 1,
		};

		/* The cache's lock is not ours. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		cfg.ready_fd = dup2(fds[1], 3);
		close_range(4, ~0U, 0);
		if (i)
			cfg.join = "127.0.0.1:17501";
		else
			cfg.store = at("store.db");
		_exit(role_proxy_run(&cfg));
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
}

static void make_origin(void)
{
	assert_int_equal(mkdir(at("origin"), 0755), 0);
	for (int d = 0; d < 8; d++) {
		assert_int_equal(mkdir(at("origin/d%d", d), 0755), 0);
		for (int f = 0; f < 20; f++)
			put(at("origin/d%d/f%d", d, f), 1000 + 997 * f, d * 100 + f);
	}
	assert_int_equal(mkdir(at("origin/big"), 0755), 0);
	for (int f = 0; f < 600; f++)
		put(at("origin/big/n%03d", f), 10, f);
	assert_int_equal(mkdir(at("origin/all"), 0755), 0);
	for (int d = 0; d < 5; d++) {
		assert_int_equal(mkdir(at("origin/all/e%d", d), 0755), 0);
		for (int f = 0; f < 6; f++)
			put(at("origin/all/e%d/f%d", d, f), 2000 + f, d * 10 + f);
	}
	put(at("origin/large"), 9 << 20, 5);
	put(at("origin/jumps"), 12 << 20, 6);
	put(at("origin/empty"), 0, 0);
	assert_int_equal(symlink("d0/f1", at("origin/link")), 0);
	assert_int_equal(link(at("origin/d0/f2"), at("origin/d1/hard")), 0);
	usleep(50000);		/* past the age in which a state is too young to be trusted */
}

static void ready(void *arg, int err)
{
	*(int *)arg = err ? err : 1;
}

static void attach(void)
{
	enum ctl_error cause;
	int ok = 0;

	assert_int_equal(vol_new(&ag, "127.0.0.1:17501,127.0.0.1:17502:/vol", at("cache"), &v, &cause), 0);
	vol_when_ready(v, io_now(io) + 10000000000ull, ready, &ok);
	assert_true(until(10000, ok));
	assert_int_equal(ok, 1);
	fake.top_fd = v->c->top_fd;
	fake.m.user = v;
	fake.m.session++;
	v->m = &fake.m;
	lease_mount(v);
}

static void closed(void *arg)
{
	*(bool *)arg = true;
}

static void detach(void)
{
	bool done = false;

	agent_upcall_ops.gone(&ag, &fake.m);
	vol_close(v, closed, &done);
	assert_true(until(10000, done));
}

/* ---- tests, in this order: one volume ---- */

static void names_arrive(void **state)
{
	struct seen s;

	assert_int_equal(populate(""), 0);
	assert_true(reply_of(fake.last_req)->flags & AUGUR_RP_COMPLETE);
	assert_int_equal(look("", &s), 0);
	assert_true(s.rec.flags & AUGUR_REC_COMPLETE);
	assert_int_equal(look("large", &s), 0);
	assert_int_equal(s.st.st_size, 9 << 20);
	assert_int_equal(s.rec.flags, AUGUR_REC_STUB);
	assert_int_equal(look("empty", &s), 0);
	assert_int_equal(s.rec.flags, AUGUR_REC_COMPLETE);
	assert_int_equal(look("link", &s), 0);
	assert_true(S_ISLNK(s.st.st_mode));

	/* A small directory comes whole with the first name asked for, and says so. */
	assert_int_equal(lookup("d0", "f7"), 0);
	assert_true(reply_of(fake.last_req)->flags & AUGUR_RP_COMPLETE);
	assert_int_equal(look("d0/f19", &s), 0);
	assert_int_equal(lookup("d0", "nothing"), -ENOENT);
	assert_true(reply_of(fake.last_req)->flags & AUGUR_RP_COMPLETE);
}

static void a_big_directory(void **state)
{
	struct seen s, d;
	u64 ids[6];

	assert_int_equal(lookup("big", "n001"), 0);
	assert_false(reply_of(fake.last_req)->flags & AUGUR_RP_COMPLETE);
	assert_int_equal(look("big/n001", &s), 0);
	assert_int_equal(look("big/n002", &s), -ENOENT);
	assert_int_equal(lookup("big", "absent"), -ENOENT);
	assert_int_equal(look("big", &d), 0);
	for (int i = 0; i < 6; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%03d", 100 + i);
		ids[i] = ask(AUGUR_OP_LOOKUP, d.oid, &d.fh, strdupa(name), 0, 0, 0);
	}
	for (int i = 0; i < 6; i++)
		assert_int_equal(wait_reply(ids[i]), 0);
	assert_int_equal(populate("big"), 0);
	assert_int_equal(look("big/n599", &s), 0);
}

static void hard_links_meet(void **state)
{
	struct seen a, b;

	assert_int_equal(populate("d1"), 0);
	assert_int_equal(look("d0/f2", &a), 0);
	assert_int_equal(look("d1/hard", &b), 0);
	assert_int_equal(a.st.st_ino, b.st.st_ino);
	assert_int_equal(a.rec.nlink, 2);
}

/*
 * An answer shows another version by a name that is new here, and nobody has told of the change:
 * the inode at the other name is marked, the kernel is told.
 */
static void another_version_by_another_name(void **state)
{
	unsigned int n;
	struct seen a, b;

	assert_int_equal(mkdir(at("origin/late"), 0755), 0);
	assert_int_equal(link(at("origin/d0/f3"), at("origin/late/other")), 0);
	assert_true(until(5000, !look("d0/f3", &a) && (a.rec.flags & AUGUR_REC_STALE)));
	usleep(50000);
	assert_int_equal(lookup("d0", "f3"), 0);
	assert_int_equal(lookup("", "late"), 0);
	assert_int_equal(look("d0/f3", &a), 0);
	assert_false(a.rec.flags & AUGUR_REC_STALE);
	assert_true(until(5000, !v->look_call));	/* which would see it */
	cobj_peek(v->c, a.oid)->tag++;
	n = fake.invals[AUGUR_INVAL_DATA];
	assert_int_equal(populate("late"), 0);
	assert_int_equal(look("late/other", &b), 0);
	assert_memory_equal(a.oid, b.oid, AUGUR_OID_LEN);
	assert_int_not_equal(a.st.st_ino, b.st.st_ino);
	assert_false(b.rec.flags & AUGUR_REC_STALE);
	assert_int_equal(look("d0/f3", &a), 0);
	assert_true(a.rec.flags & AUGUR_REC_STALE);
	assert_int_equal(fake.invals[AUGUR_INVAL_DATA], n + 1);
	/* Its other name gets the same inode, when it is asked for. */
	assert_int_equal(lookup("d0", "f3"), 0);
	assert_int_equal(look("d0/f3", &a), 0);
	assert_int_equal(a.st.st_ino, b.st.st_ino);
}

static void bytes_arrive(void **state)
{
	struct seen s;

	assert_int_equal(fetch("d0/f5", 0, 1), 0);
	assert_true(reply_of(fake.last_req)->flags & AUGUR_RP_COMPLETE);
	assert_true(same_bytes(at("origin/d0/f5"), at("cache/root/d0/f5")));
	assert_int_equal(look("d0/f5", &s), 0);
	assert_int_equal(s.st.st_atim.tv_nsec, ({ struct stat o; stat(at("origin/d0/f5"), &o); o.st_mtim.tv_nsec; }));
	/* Beyond the end, or of a directory: refused. */
	assert_int_equal(wait_reply(ask(AUGUR_OP_FETCH, s.oid, &s.fh, NULL, 1 << 20, 1, 0)), -ESTALE);
	assert_int_equal(look("d0", &s), 0);
	assert_int_equal(wait_reply(ask(AUGUR_OP_FETCH, s.oid, &s.fh, NULL, 0, 1, 0)), -EINVAL);
}

static void small_files_come_along(void **state)
{
	struct augur_event open = { .op = AUGUR_EV_OPEN };
	u64 brought = v->ahead_brought, used = v->ahead_used;
	struct seen s;
	unsigned int ends = fake.ends;

	assert_int_equal(populate("d2"), 0);
	assert_int_equal(fetch("d2/f0", 0, 1), 0);
	assert_int_equal(fetch("d2/f1", 0, 1), 0);
	assert_true(until(5000, fake.ends - ends >= 18));
	assert_int_equal(fake.begins, fake.ends);
	for (int f = 0; f < 20; f++)
		assert_true(same_bytes(at("origin/d2/f%d", f), at("cache/root/d2/f%d", f)));
	/* What came along counts as used when it is opened, once. */
	assert_true(v->ahead_brought - brought > 0);
	assert_int_equal(v->ahead_used, used);
	assert_int_equal(look("d2/f9", &s), 0);
	memcpy(open.oid, s.oid, AUGUR_OID_LEN);
	ahead_event(v, &open);
	ahead_event(v, &open);
	assert_int_equal(v->ahead_used - used, s.st.st_size);
	/* The kernel did not know: it is told without a question to anybody. */
	assert_int_equal(fetch("d2/f9", 0, 1), 0);
	assert_int_equal(v->ahead_bytes, 0);
}

/* The nth name of a listed directory in the order the lower filesystem gives them. */
/* Two files here and two there, of directories that are never read on: what comes unasked is no more than what is read. */
static void a_picker_pays_little(void **state)
{
	u64 brought = v->small_brought, before = v->small_brought - v->small_used;

	for (int d = 0; d < 12; d++) {
		assert_int_equal(mkdir(at("origin/pick%d", d), 0755), 0);
		for (int i = 0; i < 40; i++)
			put(at("origin/pick%d/f%02d", d, i), 30000, i);
	}
	usleep(50000);
	assert_true(until(8000, !lookup(".", "pick11") && !populate(".")));
	for (int d = 0; d < 12; d++) {
		char *dir = xasprintf("pick%d", d), *a = xasprintf("pick%d/f20", d), *b = xasprintf("pick%d/f30", d);

		assert_int_equal(populate(dir), 0);
		assert_int_equal(fetch(a, 0, 1), 0);
		assert_int_equal(fetch(b, 0, 1), 0);
		assert_true(until(8000, !v->ahead_bytes));
		free(dir);
		free(a);
		free(b);
	}
	assert_true(v->small_brought - brought >= 12 * 30000);
	assert_true(v->small_brought - v->small_used - before <= AGENT_DIR_TRUST + v->small_asked + v->small_used + 512 * 1024);
}

static const char *nth(const char *dir, int n)
{
	static char rel[PATH_MAX];
	DIR *d = opendir(at("cache/root/%s", dir));
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && !n--)
			break;
	assert_non_null(e);
	snprintf(rel, sizeof(rel), "%s/%s", dir, e->d_name);
	closedir(d);
	return rel;
}

static bool all_came(int d)
{
	for (int f = 0; f < 6; f++)
		if (!same_bytes(at("origin/all/e%d/f%d", d, f), at("cache/root/all/e%d/f%d", d, f)))
			return false;
	return true;
}

/* Its reader asks for a directory that was listed ahead (names_arrive listed them all). */
static int populate_ahead(const char *rel)
{
	struct seen s;

	assert_int_equal(look(rel, &s), 0);
	cobj_peek(v->c, s.oid)->flags |= COBJ_AHEAD;
	return populate(rel);
}

/* Who begins directory after directory with its first file gets the next ones' before a miss. */
static void a_reader_of_everything(void **state)
{
	v->scan = 0;
	assert_int_equal(fetch(nth("all/e0", 0), 0, 1), 0);
	assert_true(until(5000, v->scan == 1));
	assert_int_equal(fetch(nth("all/e1", 0), 0, 1), 0);
	assert_true(until(5000, v->scan == 2 && all_came(1)));	/* at its first miss */
	assert_int_equal(populate_ahead("all/e2"), 0);
	assert_true(until(5000, all_came(2)));		/* before it */
	assert_true(until(5000, !v->ahead_bytes));
	/* No more than that much may lie unused. */
	v->ahead_brought += AGENT_STREAM_MAX;
	assert_int_equal(populate_ahead("all/e3"), 0);
	assert_false(until(300, all_came(3)));
	v->ahead_brought -= AGENT_STREAM_MAX;
	/* One that is begun elsewhere ends it. */
	assert_int_equal(fetch(nth("all/e3", 3), 0, 1), 0);
	assert_true(until(5000, !v->scan));
	assert_int_equal(populate_ahead("all/e4"), 0);
	assert_false(until(300, all_came(4)));
}

static void a_large_file_in_order(void **state)
{
	struct augur_event close = { .op = AUGUR_EV_CLOSE, .off = cpu_to_le64(1 << 20) };
	u64 fetches = 0, used = v->ahead_used;
	struct seen s;

	for (u64 off = 0; off < 9 << 20; off += 131072, fetches++)
		assert_int_equal(fetch("large", off, 131072), 0);
	assert_true(until(5000, fake.begins == fake.ends));
	assert_true(same_bytes(at("origin/large"), at("cache/root/large")));
	assert_true(v->n_ahead > 0);
	/* Used of it is as much as was read, and no more than there is. */
	assert_int_equal(look("large", &s), 0);
	memcpy(close.oid, s.oid, AUGUR_OID_LEN);
	ahead_event(v, &close);
	assert_int_equal(v->ahead_used - used, 1 << 20);
	for (int i = 0; i < 12; i++)
		ahead_event(v, &close);
	assert_true(v->ahead_used - used < 9 << 20);
	assert_int_equal(v->ahead_used <= v->ahead_brought, 1);
}

/* A reader that jumps about in a large file has the rest filled behind it, not at its first miss. */
static void a_large_file_in_no_order(void **state)
{
	u64 off;

	for (unsigned int i = 0; i < AGENT_BEHIND_AFTER - 1; i++) {
		off = (i * 7 + 5) % 96 * 131072;
		assert_int_equal(fetch("jumps", off, 4096), 0);
	}
	assert_int_equal(v->behind_brought, 0);
	for (unsigned int i = 0; i < 96; i++)
		assert_int_equal(fetch("jumps", (i * 41 + 3) % 96 * 131072, 4096), 0);
	assert_true(until(5000, fake.begins == fake.ends && !v->ahead_bytes));
	assert_true(v->behind_brought > 6 << 20);
	assert_true(same_bytes(at("origin/jumps"), at("cache/root/jumps")));
}

/* Misses that took so long, as many as are judged together. */
static u64 misses_of(struct fwork *f, unsigned int n, u64 ms)
{
	struct fill fl = { .f = f, .len = 1 << 16 };

	while (n--) {
		fl.begun_ns = io_now(io) - ms * 1000000;
		behind_asked(f, &fl);
	}
	return f->behind_window;
}

/* As much is filled behind as delays nobody noticeably. */
static void who_waits_is_not_delayed(void **state)
{
	struct cobj o = { .shift = 16 };
	struct fwork f = { .v = v, .o = &o, .behind_window = 128 << 10 };

	assert_int_equal(misses_of(&f, 3, 8000), 1 << 20);	/* no delay known yet: doubles */
	assert_int_equal(misses_of(&f, 1, 8300), 2 << 20);
	assert_int_equal(misses_of(&f, 1, 17000), 1792 << 10);	/* the first that is delayed ends that */
	assert_int_equal(misses_of(&f, 4, 14000), 1792 << 10);	/* that much is the price */
	assert_int_equal(misses_of(&f, 3, 8000), 1792 << 10);	/* one or a few may be luck */
	assert_int_equal(misses_of(&f, 1, 8000), 3584 << 10);
	assert_int_equal(misses_of(&f, 1, 17000), 3136 << 10);
	assert_int_equal(misses_of(&f, 4, 11000), 3520 << 10);	/* hardly delayed */
	assert_int_equal(misses_of(&f, 400, 20000), 128 << 10);
	assert_int_equal(misses_of(&f, 4, 11000), 192 << 10);
	/* After a pause it is another way, perhaps. */
	f.asked_last_ns -= 1500000000;
	assert_int_equal(misses_of(&f, 1, 20000), 256 << 10);
	assert_int_equal(misses_of(&f, 1, 20000), 512 << 10);
	/* A chunk that is larger than all of this comes whole. */
	o.shift = 20;
	f.behind_window = 128 << 10;
	f.asked_last_ns = 0;
	assert_int_equal(misses_of(&f, 2, 8000), 512 << 10);
	assert_int_equal(misses_of(&f, 1, 17000), 128 << 10);
	assert_int_equal(misses_of(&f, 4, 11000), 1152 << 10);
}

static void claims_settle(void **state)
{
	struct seen s;

	assert_true(until(6000, !look("large", &s) && (s.rec.flags & AUGUR_REC_COMPLETE)));
	assert_true(until(3000, fake.settles > 0));
}

/* A sync that failed may have left pages that say they are clean: the name gets another inode. */
static void what_was_not_kept_is_brought_again(void **state)
{
	unsigned int n = fake.invals[AUGUR_INVAL_DATA];
	struct seen s, t;

	put(at("origin/unkept"), 300000, 3);
	usleep(50000);
	assert_true(until(5000, lookup("", "unkept") == 0));
	assert_int_equal(look("unkept", &s), 0);
	bad_ino = s.st.st_ino;
	assert_int_equal(fetch("unkept", 0, 300000), 0);
	assert_true(until(10000, !look("unkept", &t) && (t.rec.flags & AUGUR_REC_STALE)));
	assert_true(until(10000, fake.invals[AUGUR_INVAL_DATA] > n));
	assert_false(t.rec.flags & AUGUR_REC_COMPLETE);
	assert_int_equal(lookup("", "unkept"), 0);
	assert_int_equal(look("unkept", &t), 0);
	assert_int_not_equal(t.st.st_ino, bad_ino);
	bad_ino = 0;
	assert_int_equal(fetch("unkept", 0, 300000), 0);
	assert_true(same_bytes(at("origin/unkept"), at("cache/root/unkept")));
	assert_true(until(10000, !look("unkept", &t) && (t.rec.flags & AUGUR_REC_COMPLETE)));
}

/* ---- bytes that go again ---- */

static struct { struct evict_result res; bool over; struct seen at_evict; int looked; u64 fetch; } ev;

static void evict_over(void *arg, const struct evict_result *res)
{
	ev.res = *res;
	ev.over = true;
}

/* The moment the kernel agrees: the claim is gone, the bytes are not; somebody comes and asks. */
static void agreed(void)
{
	ev.looked = look("d0/f5", &ev.at_evict);
	ev.fetch = fetch_start("d0/f5", 0, 1);
}

static void evict(const char *rel)
{
	struct seen s;

	memset(&ev, 0, sizeof(ev));
	assert_int_equal(look(rel, &s), 0);
	evict_objects(v, (const u8 (*)[AUGUR_OID_LEN])s.oid, 1, evict_over, NULL);
	assert_true(until(10000, ev.over));
}

static void settle_all(void)
{
	bool done = false;

	settle_now(v->c, closed, &done);
	assert_true(until(10000, done));
}

static void bytes_go_again(void **state)
{
	unsigned int asks = fake.asks, evicts = fake.evicts;
	struct seen s;

	settle_all();
	assert_int_equal(look("d0/f5", &s), 0);
	assert_int_equal(s.rec.flags, AUGUR_REC_COMPLETE);
	assert_true(s.st.st_blocks > 0);

	/* Refused when it is asked: nothing was touched. */
	fake.evict_busy = AUGUR_BUSY_OPEN;
	evict("d0/f5");
	assert_int_equal(ev.res.evicted, 0);
	assert_int_equal(ev.res.refused[AUGUR_BUSY_OPEN], 1);
	assert_int_equal(fake.asks, asks + 1);
	assert_int_equal(look("d0/f5", &s), 0);
	assert_int_equal(s.rec.flags, AUGUR_REC_COMPLETE);

	/* Refused when it is meant, the claim being gone by then: it keeps its bytes and is claimed again. */
	fake.evict_busy = AUGUR_BUSY_MAPPED;
	fake.ask_only = true;
	evict("d0/f5");
	fake.ask_only = false;
	fake.evict_busy = 0;
	assert_int_equal(ev.res.evicted, 0);
	assert_int_equal(ev.res.refused[AUGUR_BUSY_MAPPED], 1);
	settle_all();
	assert_int_equal(look("d0/f5", &s), 0);
	assert_int_equal(s.rec.flags, AUGUR_REC_COMPLETE);
	assert_true(same_bytes(at("origin/d0/f5"), at("cache/root/d0/f5")));

	/* It goes: claim, leave, hole, in that order; who asks in between waits and gets the bytes. */
	fake.evicted = agreed;
	evict("d0/f5");
	fake.evicted = NULL;
	assert_int_equal(fake.evicts, evicts + 1);
	assert_int_equal(ev.res.evicted, 1);
	assert_true(ev.res.freed > 0);
	assert_int_equal(ev.looked, 0);
	assert_int_equal(ev.at_evict.rec.flags, AUGUR_REC_STUB);
	assert_true(ev.at_evict.st.st_blocks > 0);
	assert_int_equal(wait_reply(ev.fetch), 0);
	assert_true(same_bytes(at("origin/d0/f5"), at("cache/root/d0/f5")));
	settle_all();
	assert_int_equal(look("d0/f5", &s), 0);
	assert_int_equal(s.rec.flags, AUGUR_REC_COMPLETE);

	/* What has no bytes is no work. */
	evict("d0/f5");
	assert_int_equal(ev.res.evicted, 1);
	assert_int_equal(look("d0/f5", &s), 0);
	assert_int_equal(s.st.st_blocks, 0);
	assert_int_equal(fetch("d0/f5", 0, 1), 0);
	assert_true(same_bytes(at("origin/d0/f5"), at("cache/root/d0/f5")));
}

/* Its bytes come and are not to stay, and the kernel does not let them go. */
static void streamed(const char *rel)
{
	evict(rel);
	fake.evict_busy = AUGUR_BUSY_READING;
	v->space.state = SPACE_STREAMING;
	assert_int_equal(fetch(rel, 0, 1), 0);
	assert_true(v->space.stream_bytes > 0);
}

/* What was streamed goes when its inode is gone, and is kept when there is room; who reads on and on is no matter. */
static void streams_end_with_their_cause(void **state)
{
	u64 reserve = v->space.reserve;

	v->space.reserve = UINT64_MAX / 4;	/* no disk has room for so much */
	streamed("d0/f5");
	fake.evict_err = -ESTALE;
	fake.evict_busy = 0;
	assert_true(until(10000, !v->space.stream_bytes));
	fake.evict_err = 0;

	streamed("d0/f5");
	v->space.reserve = reserve;
	assert_true(until(10000, !v->space.stream_bytes && v->space.state == SPACE_OK));
	fake.evict_busy = 0;
	settle_all();
	assert_true(same_bytes(at("origin/d0/f5"), at("cache/root/d0/f5")));
}

static u64 allocated(const char *rel)
{
	struct seen s;

	assert_int_equal(look(rel, &s), 0);
	return (u64)s.st.st_blocks * 512;
}

/* Streams from now on through so much, of a disk that has no more for this file. */
static void disk_full(const char *rel, u64 room)
{
	struct seen s;

	assert_int_equal(look(rel, &s), 0);
	disk.ino = s.st.st_ino;
	disk.room = room;
	disk.refused = 0;
	v->space.reserve = room;
	v->space.exhausted_ns = io_now(io);
	v->space.state = SPACE_STREAMING;
	fake.whole_busy = AUGUR_BUSY_OPEN;	/* nothing else makes room */
	fake.m.timeout_ms = 60000;
}

static void disk_has_room(u64 reserve)
{
	disk.ino = 0;
	fake.whole_busy = 0;
	fake.m.timeout_ms = 5000;
	v->space.reserve = reserve;
	assert_true(until(10000, !v->space.stream_bytes && v->space.state == SPACE_OK));
}

/* A request for more than can be streamed is refused at once and costs nobody else room. */
static void a_large_request_is_refused(void **state)
{
	u64 reserve = v->space.reserve;

	evict("large");
	assert_int_equal(allocated("large"), 0);
	disk_full("large", 2 << 20);
	assert_int_equal(fetch("large", 0, 9 << 20), -ENOSPC);
	assert_int_equal(v->space.stream_fly + v->space.stream_bytes, 0);
	assert_int_equal(allocated("large"), 0);
	assert_int_equal(disk.refused, 0);

	/* As much as there is: all of it. */
	v->space.state = SPACE_STREAMING;
	assert_int_equal(fetch("large", 0, 2 << 20), 0);
	assert_int_equal(v->space.stream_bytes, 2 << 20);
	assert_int_equal(disk.refused, 0);
	disk_has_room(reserve);
}

/* What fits is streamed while it fits: a fill that is under way has its room, whoever comes next waits. */
static void streams_have_their_room(void **state)
{
	u64 reserve = v->space.reserve, a, b;

	evict("large");
	disk_full("large", 2 << 20);
	a = fetch_start("large", 0, 3 << 19);
	b = fetch_start("large", 4 << 20, 1 << 20);
	assert_int_equal(v->space.stream_fly, 3 << 19);
	assert_int_equal(wait_reply(a), 0);
	assert_int_equal(wait_reply(b), 0);
	assert_int_equal(disk.refused, 0);
	disk_has_room(reserve);
}

/* The disk took a part of it: that goes again, streamed or not, and the next reader has the room. */
static void what_was_refused_is_given_back(void **state)
{
	u64 reserve = v->space.reserve, id;

	for (int streams = 0; streams < 2; streams++) {
		evict("large");
		disk_full("large", 300 << 10);
		v->space.reserve = 2 << 20;
		if (!streams)
			v->space.state = SPACE_OK;
		id = fetch_start("large", 0, 1 << 20);
		assert_true(until(10000, disk.refused && !v->space.stream_fly && !list_empty(&v->space.files)));
		assert_false(reply_of(id)->come);
		assert_int_equal(allocated("large"), 0);
		disk.ino = 0;
		assert_int_equal(wait_reply(id), 0);
		disk_has_room(reserve);
	}
	settle_all();
	assert_int_equal(fetch("large", 0, 9 << 20), 0);
	assert_true(same_bytes(at("origin/large"), at("cache/root/large")));
}

static void leases_are_had(void **state)
{
	assert_true(until(10000, fake.leases >= 64));
}

static int reval(const char *rel)
{
	struct seen s;

	assert_int_equal(look(rel, &s), 0);
	return wait_reply(ask(AUGUR_OP_REVAL, s.oid, &s.fh, NULL, 0, 0, 0));
}

static void changes_are_told(void **state)
{
	struct seen old, now;
	unsigned int n = fake.invals[AUGUR_INVAL_DATA];

	assert_int_equal(reval("d0/f5"), 0);
	assert_int_equal(look("d0/f5", &old), 0);
	put(at("origin/d0/f5"), 5000, 77);
	assert_true(until(5000, fake.invals[AUGUR_INVAL_DATA] > n));
	assert_int_equal(look("d0/f5", &now), 0);
	assert_true(now.rec.flags & AUGUR_REC_STALE);
	usleep(50000);
	assert_int_equal(lookup("d0", "f5"), 0);
	assert_int_equal(look("d0/f5", &now), 0);
	assert_int_equal(now.rec.flags, AUGUR_REC_STUB);
	assert_int_not_equal(now.st.st_ino, old.st.st_ino);
	assert_int_equal(now.st.st_size, 5000);
	assert_int_equal(fetch("d0/f5", 0, 1), 0);
	assert_true(same_bytes(at("origin/d0/f5"), at("cache/root/d0/f5")));
	/* A reader of the old inode is told. */
	assert_int_equal(wait_reply(ask(AUGUR_OP_FETCH, old.oid, &old.fh, NULL, 0, 1000, 0)), -ESTALE);
}

/* What an answer has shown comes with the renewal, behind changes of names that are newer: it is news all the same. */
static void a_name_is_not_its_directory(void **state)
{
	struct change_item it = { .seq = 1ull << 62, .kind = AUGUR_INVAL_ENTRY, .name = "none", .name_len = 4 };
	unsigned int n;
	struct seen s;

	assert_int_equal(populate("d0"), 0);
	assert_int_equal(look("d0", &s), 0);
	it.shard = cobj_peek(v->c, s.oid)->inval_shard;
	it.oid = it.parent = s.oid;
	n = fake.invals[AUGUR_INVAL_ENTRY];
	change_told(v, &it);
	assert_true(until(5000, fake.invals[AUGUR_INVAL_ENTRY] > n));
	it = (struct change_item){ .shard = it.shard, .seq = it.seq - 1, .kind = AUGUR_INVAL_DIR, .oid = s.oid, .tag = 1 };
	n = fake.invals[AUGUR_INVAL_DIR];
	change_told(v, &it);
	assert_true(until(5000, fake.invals[AUGUR_INVAL_DIR] > n));
	assert_false(cobj_peek(v->c, s.oid)->flags & COBJ_COMPLETE);
	/* Told again, it is none. */
	n = fake.invals[AUGUR_INVAL_DIR];
	change_told(v, &it);
	assert_int_equal(populate("d0"), 0);
	assert_int_equal(fake.invals[AUGUR_INVAL_DIR], n);
	cobj_peek(v->c, s.oid)->inval_seq = cobj_peek(v->c, s.oid)->names_seq = 0;
}

static void names_go_and_change(void **state)
{
	struct seen s;

	assert_int_equal(rename(at("origin/d0/f6"), at("origin/d0/renamed")), 0);
	assert_int_equal(unlink(at("origin/d0/f7")), 0);
	assert_int_equal(unlink(at("origin/d0/f8")), 0);
	assert_int_equal(mkdir(at("origin/d0/f8"), 0755), 0);
	assert_int_equal(mkdir(at("origin/d0/f8/sub"), 0755), 0);
	put(at("origin/d0/f8/inner"), 100, 1);
	put(at("origin/d0/f8/sub/x"), 100, 1);
	assert_true(until(5000, !look("d0", &s) && !(s.rec.flags & AUGUR_REC_COMPLETE)));
	usleep(50000);
	assert_int_equal(lookup("d0", "f7"), -ENOENT);
	assert_true(until(8000, populate("d0") == 0 && look("d0/f6", &s) && look("d0/f7", &s) && !look("d0/renamed", &s) &&
				!look("d0/f8", &s) && S_ISDIR(s.st.st_mode)));
	assert_int_equal(populate("d0/f8"), 0);
	assert_int_equal(fetch("d0/f8/inner", 0, 1), 0);
	assert_int_equal(fetch("d0/renamed", 0, 1), 0);
	assert_true(same_bytes(at("origin/d0/renamed"), at("cache/root/d0/renamed")));

	/* A directory with things in it goes elsewhere, and a file takes its place. */
	assert_int_equal(populate("d0/f8/sub"), 0);
	assert_int_equal(look("d0/f8/sub", &s), 0);
	assert_true(s.rec.flags & AUGUR_REC_COMPLETE);
	assert_int_equal(rename(at("origin/d0/f8"), at("origin/went8")), 0);
	put(at("origin/d0/f8"), 300, 2);
	usleep(50000);
	assert_true(until(8000, populate("d0") == 0 && !look("d0/f8", &s) && S_ISREG(s.st.st_mode)));
	assert_int_equal(fetch("d0/f8", 0, 1), 0);
	assert_true(same_bytes(at("origin/d0/f8"), at("cache/root/d0/f8")));
	assert_int_equal(fake.removes_complete, 0);
}

/*
 * A directory that is known from its parent alone shows a change without being listed, if the
 * same proxy owns both: the other one does not know that it is shown here.
 */
static void directories_show_changes(void **state)
{
	struct seen root, s;
	struct stat st;

	for (int i = 0; i < 8; i++)
		assert_int_equal(mkdir(at("origin/shown%d", i), 0755), 0);
	usleep(50000);
	assert_true(until(8000, !lookup(".", "shown7") && !populate(".")));
	for (int i = 0; i < 8; i++)
		assert_int_equal(mkdir(at("origin/shown%d/sub", i), 0700), 0);
	assert_int_equal(look(".", &root), 0);
	for (int i = 0; i < 8; i++) {
		char *name = xasprintf("shown%d", i);

		assert_int_equal(stat(at("origin/%s", name), &st), 0);
		assert_int_equal(look(name, &s), 0);
		if (place_owner(v->map, s.rec.pu) == place_owner(v->map, root.rec.pu)) {
			assert_true(until(8000, !look(name, &s) && s.rec.nlink == 3));
			assert_int_equal(s.st.st_atim.tv_nsec, st.st_mtim.tv_nsec);
			assert_false(s.rec.flags & AUGUR_REC_COMPLETE);
		}
		free(name);
	}
}

/* The row of a killed agent's directory was lost, and what is told of it is shown all the same. */
static void a_half_directory_shows_changes(void **state)
{
	struct seen s;

	assert_int_equal(populate("shown0"), 0);
	assert_int_equal(look("shown0", &s), 0);
	cobj_peek(v->c, s.oid)->flags |= COBJ_HALF;
	change_apply(v, AUGUR_INVAL_DIR, s.oid, NULL, NULL, 0, NULL, NULL);
	assert_int_equal(chmod(at("origin/shown0"), 0711), 0);
	assert_true(until(8000, !look("shown0", &s) && (s.st.st_mode & 07777) == 0711));
}

static void cancel(u64 id)
{
	size_t live = v->reqs.live;

	agent_upcall_ops.cancel(&ag, &fake.m, id);
	assert_true(reply_of(id)->come);
	assert_int_equal(reply_of(id)->status, -EINTR);
	assert_int_equal(v->reqs.live, live - 1);
	agent_upcall_ops.cancel(&ag, &fake.m, id);	/* unknown by now */
}

/* Whoever was killed is gone at once, and the others of the same question are not. */
static void cancelled_ones_go(void **state)
{
	u64 a, b, c, d, e, f;
	struct seen s;

	assert_int_equal(mkdir(at("origin/wide"), 0755), 0);
	assert_int_equal(mkdir(at("origin/small"), 0755), 0);
	for (int i = 0; i < 600; i++)
		put(at("origin/wide/n%03d", i), 10, i);
	put(at("origin/small/f"), 10, 1);
	usleep(50000);
	assert_true(until(8000, !lookup(".", "wide") && !lookup(".", "small")));
	assert_int_equal(lookup("wide", "n001"), 0);	/* now it is known to be large: names one by one */
	for (int i = 0; i < 2; i++)
		kill(proxies[i], SIGSTOP);
	assert_int_equal(look("wide", &s), 0);
	a = ask(AUGUR_OP_LOOKUP, s.oid, &s.fh, "n002", 0, 0, 0);
	b = ask(AUGUR_OP_LOOKUP, s.oid, &s.fh, "n003", 0, 0, 0);
	assert_int_equal(look("small", &s), 0);
	c = ask(AUGUR_OP_POPULATE, s.oid, &s.fh, NULL, 0, 0, 0);
	d = ask(AUGUR_OP_POPULATE, s.oid, &s.fh, NULL, 0, 0, 0);
	e = ask(AUGUR_OP_LOOKUP, s.oid, &s.fh, "f", 0, 0, 0);
	f = ask(AUGUR_OP_REVAL, s.oid, &s.fh, NULL, 0, 0, 0);
	until(50, false);
	cancel(a);
	cancel(c);
	cancel(e);
	cancel(f);
	until(50, false);
	assert_false(reply_of(b)->come || reply_of(d)->come);
	for (int i = 0; i < 2; i++)
		kill(proxies[i], SIGCONT);
	assert_int_equal(wait_reply(b), 0);
	assert_int_equal(wait_reply(d), 0);
	assert_int_equal(look("small/f", &s), 0);
	assert_int_equal(look("wide/n003", &s), 0);
	assert_true(until(5000, !v->reqs.live && !v->dirs.live));
}

static void proxies_go_and_come(void **state)
{
	u64 a, b;

	assert_int_equal(populate("d3"), 0);
	assert_int_equal(populate("d4"), 0);
	for (int i = 0; i < 2; i++) {
		kill(proxies[i], SIGKILL);
		waitpid(proxies[i], NULL, 0);
	}
	a = fetch_start("d3/f3", 0, 1);
	b = fetch_start("d4/f4", 0, 1);
	assert_false(until(700, reply_of(a)->come || reply_of(b)->come));
	run_proxy(0);
	run_proxy(1);
	assert_int_equal(wait_reply(a), 0);
	assert_int_equal(wait_reply(b), 0);
	assert_true(same_bytes(at("origin/d3/f3"), at("cache/root/d3/f3")));

	/* Nobody comes back in time: an error, not a hang. */
	for (int i = 0; i < 2; i++)
		kill(proxies[i], SIGSTOP);
	fake.m.timeout_ms = 1000;
	a = fetch_start("d3/f13", 0, 1);
	assert_true(until(60000, reply_of(a)->come));
	assert_int_equal(reply_of(a)->status, -EIO);
	fake.m.timeout_ms = 5000;
	for (int i = 0; i < 2; i++)
		kill(proxies[i], SIGCONT);
	assert_int_equal(fetch("d3/f13", 0, 1), 0);
}

static void lost_rows_are_found(void **state)
{
	struct seen s;
	sqlite3 *sq;

	assert_int_equal(populate("d5"), 0);
	detach();
	assert_int_equal(sqlite3_open(at("cache/.augur/db"), &sq), SQLITE_OK);
	assert_int_equal(sqlite3_exec(sq, "DELETE FROM obj", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(sq);
	attach();
	assert_int_equal(fetch("d5/f5", 0, 1), 0);
	assert_true(same_bytes(at("origin/d5/f5"), at("cache/root/d5/f5")));
	assert_int_equal(look("d5/f5", &s), 0);
	memset(s.oid, 0xee, sizeof(s.oid));
	assert_int_equal(wait_reply(ask(AUGUR_OP_FETCH, s.oid, &s.fh, NULL, 0, 1, 0)), -ESTALE);
}

/* A killed daemon has claimed nothing and written no row; what it filled the kernel says to the next one. */
static void the_kernel_remembers(void **state)
{
	struct seen s;

	assert_int_equal(fetch("d5/f6", 0, 1), 0);
	settle_all();
	for (int evicts = 0; evicts < 2; evicts++) {
		unsigned int asked = fake.inodes;

		assert_int_equal(look("d5/f6", &s), 0);
		assert_true(s.rec.flags & AUGUR_REC_COMPLETE);
		assert_int_equal(lower_record_flags(v->c, &s.fh, s.oid, AUGUR_REC_STUB, AUGUR_REC_COMPLETE), 0);
		cobj_forget(v->c, s.oid);
		assert_null(cobj_peek_any(v->c, s.oid));
		fake.ahead = (struct upcall_inode){ .fh = s.fh, .state = AUGUR_IS_COMPLETE, .chunk_shift = s.rec.chunk_shift, .size = s.rec.size };
		memcpy(fake.ahead.oid, s.oid, AUGUR_OID_LEN);
		recover_inodes(v);
		v->c->evictions += evicts;	/* something went meanwhile, it may be of this one */
		assert_true(until(10000, !look("d5/f6", &s) && (s.rec.flags & AUGUR_REC_COMPLETE)));
		assert_int_equal(fake.inodes - asked, 1 + evicts);
	}
	fake.ahead.fh.len = 0;
}

static void sql(const char *text)
{
	sqlite3 *sq;

	assert_int_equal(sqlite3_open(at("cache/.augur/db"), &sq), SQLITE_OK);
	assert_int_equal(sqlite3_exec(sq, text, NULL, NULL, NULL), SQLITE_OK);
	assert_true(sqlite3_changes(sq) > 0);
	sqlite3_close(sq);
}

static bool dir_is(const char *rel)
{
	char cmd[2100];

	if (populate(rel))
		return false;
	snprintf(cmd, sizeof(cmd), "test \"$(ls -A %s)\" = \"$(ls -A %s)\"", at("origin/%s", rel), at("cache/root/%s", rel));
	return !system(cmd);
}

/* Rows were lost, others are of inodes that are not there, the origin is another: all is found again. */
static void after_a_power_cut(void **state)
{
	struct seen a, b;

	assert_int_equal(populate("d3"), 0);
	assert_int_equal(populate("d4"), 0);
	assert_int_equal(fetch("d3/f1", 0, 1), 0);
	detach();
	sql("UPDATE meta SET value = x'00' WHERE key = 'clean'");
	sql("UPDATE meta SET value = CAST('another boot' AS BLOB) WHERE key = 'boot_id'");
	sql("DELETE FROM obj WHERE name IN (CAST('f3' AS BLOB), CAST('f4' AS BLOB), CAST('d4' AS BLOB))");
	sql("UPDATE obj SET fh = x'010000000100000001000000' WHERE name IN (CAST('f2' AS BLOB), CAST('f1' AS BLOB))");
	put(at("origin/d3/f1"), 3000, 9);
	assert_int_equal(rename(at("origin/d4"), at("origin/d4new")), 0);
	assert_int_equal(unlink(at("origin/d0/f3")), 0);
	usleep(50000);
	attach();
	assert_true(until(8000, dir_is("")));
	assert_true(until(8000, dir_is("d0")));
	assert_true(until(8000, dir_is("d1")));
	assert_true(until(8000, dir_is("d3")));
	assert_true(until(8000, dir_is("d4new")));
	for (int f = 0; f < 20; f++) {
		assert_true(until(8000, !lookup("d3", at("f%d", f) + strlen(top) + 1) && !fetch(at("d3/f%d", f) + strlen(top) + 1, 0, 1)));
		assert_true(same_bytes(at("origin/d3/f%d", f), at("cache/root/d3/f%d", f)));
	}
	/* A name that is marked asks, whatever its directory says. */
	assert_int_equal(lookup("d0", "f2"), 0);
	assert_int_equal(lookup("d1", "hard"), 0);
	assert_int_equal(look("d0/f2", &a), 0);
	assert_int_equal(look("d1/hard", &b), 0);
	assert_false((a.rec.flags | b.rec.flags) & AUGUR_REC_STALE);
	assert_int_equal(a.st.st_ino, b.st.st_ino);
}

/* ---- names that go to make room ---- */

static void forget(u64 want)
{
	forget_names(v, want);
	assert_true(until(20000, !v->space.forget));
}

static unsigned int rows(const char *name)
{
	CLEANUP_FREE char *text = xasprintf("SELECT count(*) FROM obj WHERE name = CAST('%s' AS BLOB)", name);
	sqlite3_stmt *st;
	unsigned int n;
	sqlite3 *sq;

	assert_int_equal(sqlite3_open(at("cache/.augur/db"), &sq), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(sq, text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(sq);
	return n;
}

/* All that nobody uses goes, and the directories after it; a claim never outlives a name. What is asked for is the same as before. */
static void names_are_forgotten(void **state)
{
	struct seen kept, was, is;
	u64 gone = v->c->names_forgotten;

	for (int e = 0; e < 5; e++)
		assert_int_equal(populate(at("all/e%d", e) + strlen(top) + 1), 0);
	assert_int_equal(fetch("all/e1/f2", 0, 1), 0);
	settle_all();
	assert_int_equal(look("all/e1/f2", &kept), 0);
	assert_int_equal(look("all/e2/f5", &was), 0);
	assert_int_equal(look("all/e1", &is), 0);
	assert_true(is.rec.flags & AUGUR_REC_COMPLETE);

	/* Few are wanted: the longest unused go, and not all. */
	forget(10);
	assert_true(v->c->names_forgotten >= gone + 10);
	assert_int_equal(look("all/e1/f2", &is), 0);

	fake.keeps = "f2";
	fake.forgets = 0;
	forget(1 << 20);
	assert_true(fake.forgets > 20);
	assert_int_equal(fake.forgets_claimed, 0);
	assert_int_equal(look("all/e1/f2", &is), 0);
	assert_true(fh_equal(&is.fh, &kept.fh));
	assert_int_equal(look("all/e1/f3", &is), -ENOENT);
	assert_int_equal(look("all/e1", &is), 0);
	assert_false(is.rec.flags & AUGUR_REC_COMPLETE);

	fake.keeps = NULL;
	forget(1 << 20);		/* e1 and the others are empty: they are names of "all" now */
	forget(1 << 20);
	assert_int_equal(fake.forgets_claimed, 0);
	assert_int_equal(look("all/e2", &is), -ENOENT);
	assert_int_equal(look("all", &is), -ENOENT);
	index_flush(v->c);
	assert_true(until(3000, !rows("e2")));

	assert_int_equal(lookup("", "all"), 0);
	assert_int_equal(lookup("all", "e2"), 0);
	assert_int_equal(lookup("all/e2", "f5"), 0);
	assert_int_equal(look("all/e2/f5", &is), 0);
	assert_memory_equal(is.oid, was.oid, AUGUR_OID_LEN);
	assert_false(fh_equal(&is.fh, &was.fh));
	assert_int_equal(fetch("all/e2/f5", 0, 1), 0);
	assert_true(same_bytes(at("origin/all/e2/f5"), at("cache/root/all/e2/f5")));
	assert_int_equal(lookup("all/e2", "nowhere"), -ENOENT);
	assert_true(until(8000, dir_is("all")));
	assert_true(until(8000, dir_is("")));
}

/* The claims of directories are read for a listing of the one above, and taken back before that is through. */
static void a_claim_taken_back_stays_so(void **state)
{
	struct seen a, e;
	u64 id;

	forget(1 << 20);
	assert_int_equal(lookup("", "all"), 0);
	assert_int_equal(populate("all"), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(populate(at("all/e%d", i) + strlen(top) + 1), 0);
	settle_all();
	assert_int_equal(look("all", &a), 0);
	change_apply(v, AUGUR_INVAL_DIR, a.oid, NULL, NULL, 0, NULL, NULL);
	assert_true(until(3000, !(cobj_peek(v->c, a.oid)->flags & COBJ_COMPLETE)));
	hold.armed = true;
	id = ask(AUGUR_OP_POPULATE, a.oid, &a.fh, NULL, 0, 0, 0);
	assert_true(until(5000, __atomic_load_n(&hold.met, __ATOMIC_SEQ_CST)));
	forget(1 << 20);
	__atomic_store_n(&hold.go, true, __ATOMIC_SEQ_CST);
	assert_int_equal(wait_reply(id), 0);
	hold.armed = false;
	for (int i = 0; i < 5; i++) {
		CLEANUP_FREE char *d = xstrdup(at("all/e%d", i) + strlen(top) + 1);

		if (!look(d, &e))
			assert_int_equal(lookup(d, "f5"), 0);
	}
}

/* Of two inodes of an object, the old one by one name and the new one by another, the old one is forgotten. */
static void the_other_inode_is_known(void **state)
{
	struct seen old, now;
	char from[600];

	assert_int_equal(mkdir(at("origin/rx"), 0755), 0);
	assert_int_equal(mkdir(at("origin/ry"), 0755), 0);
	snprintf(from, sizeof(from), "%s", at("origin/rx/x1"));
	put(from, 3000, 1);
	assert_int_equal(link(from, at("origin/ry/x2")), 0);
	assert_true(until(10000, populate("") == 0 && !look("ry", &now) && !look("rx", &now)));
	assert_int_equal(populate("rx"), 0);
	assert_int_equal(populate("ry"), 0);
	assert_int_equal(look("rx/x1", &old), 0);
	put(from, 4000, 2);
	assert_true(until(10000, lookup("ry", "x2") == 0 && !look("ry/x2", &now) && !fh_equal(&old.fh, &now.fh)));
	settle_all();
	fake.keeps = "x2";	/* in use */
	/* A round passes over a directory that is being asked about, as the other owner tells of the change. */
	assert_true(until(10000, (forget(1 << 20), look("rx/x1", &old))));
	fake.keeps = NULL;
	assert_int_equal(look("ry/x2", &now), 0);
	index_flush(v->c);
	assert_true(until(3000, rows("x1") + rows("x2") > 0));
	put(from, 5000, 3);
	assert_true(until(10000, !look("ry/x2", &now) && (now.rec.flags & AUGUR_REC_STALE)));
}

static void freed(const char *name)
{
	disk.inodes++;
}

/* Whoever needs an inode waits for names that go; if none may, he is told so in time. */
static void a_name_waits_for_an_inode(void **state)
{
	struct seen s;
	u64 gone, id;

	forget(1 << 20);
	assert_int_equal(lookup("", "d5"), 0);
	assert_int_equal(populate("d5"), 0);
	assert_int_equal(lookup("", "all"), 0);
	assert_int_equal(lookup("all", "e3"), 0);
	assert_int_equal(look("all/e3/f1", &s), -ENOENT);
	disk.counted = true;
	disk.inodes = disk.refused = 0;
	gone = v->c->names_forgotten;
	fake.removing = freed;
	assert_int_equal(lookup("all/e3", "f1"), 0);
	assert_true(disk.refused > 0);
	assert_int_equal(look("all/e3/f1", &s), 0);
	assert_true(v->c->names_forgotten > gone);

	forget(1 << 20);
	fake.removing = NULL;
	disk.counted = false;
	assert_int_equal(lookup("", "d5"), 0);
	disk.counted = true;
	disk.inodes = 0;
	assert_int_equal(look("d5", &s), 0);
	id = ask(AUGUR_OP_LOOKUP, s.oid, &s.fh, "f1", 0, 0, 0);
	assert_true(until(10000, v->space.state == SPACE_FULL));
	assert_false(reply_of(id)->come);
	assert_int_equal(wait_reply(id), -ENOSPC);
	disk.counted = false;
	assert_int_equal(lookup("d5", "f1"), 0);
	assert_true(until(10000, v->space.state == SPACE_OK));
}

/* It is as at the origin, or whoever comes asks. */
static bool true_or_asks(const char *rel)
{
	bool there = !access(at("origin/%s", rel), F_OK);
	struct seen s;

	if (look(rel, &s))
		return true;
	return (s.rec.flags & AUGUR_REC_STALE) ||
	       (there && ({ struct stat o; stat(at("origin/%s", rel), &o); (u64)o.st_size == s.rec.size; }));
}

/* Whose name is held by what has to go first waits for that, too: what is there is not what the owner has. */
static void what_is_in_the_way_is_no_answer(void **state)
{
	struct seen d, s;
	u64 id;

	fake.removing = NULL;
	assert_int_equal(mkdir(at("origin/iw"), 0755), 0);
	put(at("origin/iw/a"), 100, 1);
	assert_true(until(5000, lookup("", "iw") == 0));
	assert_int_equal(lookup("iw", "a"), 0);
	assert_int_equal(unlink(at("origin/iw/a")), 0);
	assert_int_equal(mkdir(at("origin/iw/a"), 0755), 0);
	put(at("origin/iw/b"), 100, 1);
	assert_true(until(5000, !look("iw/a", &s) && (s.rec.flags & AUGUR_REC_STALE)));
	assert_true(until(5000, !v->dirs.live && !looks_pending(v)));
	usleep(50000);
	assert_int_equal(look("iw", &d), 0);
	disk.counted = true;
	disk.inodes = disk.refused = 0;
	id = ask(AUGUR_OP_LOOKUP, d.oid, &d.fh, "a", 0, 0, 0);
	assert_true(until(10000, disk.refused > 3));
	assert_false(reply_of(id)->come);
	disk.counted = false;
	assert_int_equal(wait_reply(id), 0);
	assert_int_equal(look("iw/a", &s), 0);
	assert_true(S_ISDIR(s.st.st_mode));
	assert_int_equal(look("iw/b", &s), 0);
}

/* Files of a split directory have owners of their own, who are asked as well: they tell of changes. */
static void names_of_a_split_directory(void **state)
{
	struct seen d, s;
	struct cobj *o;
	char rel[32];
	int n = 299;

	assert_int_equal(lookup("", "big"), 0);
	assert_int_equal(look("big", &d), 0);
	do {
		snprintf(rel, sizeof(rel), "big/n%03d", ++n);
	} while (n < 600 && place_owner(v->map, place_pu_name(d.oid, rel + 4, 4)) == place_owner(v->map, place_pu_dir(d.oid)));
	assert_true(n < 600);
	assert_int_equal(lookup("big", rel + 4), 0);
	assert_int_equal(look(rel, &s), 0);
	o = cobj_peek(v->c, s.oid);
	assert_non_null(o);
	assert_int_equal(o->pu, place_pu_name(d.oid, rel + 4, 4));
	assert_true(until(5000, !looks_pending(v)));
	put(at("origin/%s", rel), 5555, 1);
	assert_true(until(5000, !look(rel, &s) && (s.rec.flags & AUGUR_REC_STALE)));
	assert_int_equal(lookup("big", rel + 4), 0);
	assert_int_equal(look(rel, &s), 0);
	assert_int_equal(s.rec.size, 5555);
}

/* What is told of an object or a name between the answer and the making of the name is not lost. */
static void told_while_it_waits(void **state)
{
	static const char *const names[] = { "n201", "n202", "n203", "n204" };
	u64 ids[ARRAY_SIZE(names)];
	unsigned int leases;
	struct dwork *dw;
	struct seen d, s;

	fake.removing = NULL;
	/* A directory that something is said of meanwhile is passed over. */
	assert_true(until(10000, (forget(1 << 20), look("big", &s))));
	assert_int_equal(lookup("", "big"), 0);
	assert_int_equal(look("big", &d), 0);
	fake.m.timeout_ms = 60000;
	disk.counted = true;
	disk.inodes = 1;
	disk.refused = 0;
	/* The first shows that the directory is large; of the others each has an answer of its own, and one waits. */
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		ids[i] = ask(AUGUR_OP_LOOKUP, d.oid, &d.fh, names[i], 0, 0, 0);
	assert_int_equal(wait_reply(ids[0]), 0);
	dw = map_get(&v->dirs, d.oid);
	assert_true(until(10000, disk.refused && !dw->singles && dw->running));
	put(at("origin/big/n202"), 7777, 1);
	assert_int_equal(rename(at("origin/big/n203"), at("origin/big/x203")), 0);
	put(at("origin/big/n203"), 8888, 1);
	assert_int_equal(rename(at("origin/big/n204"), at("origin/big/x204")), 0);
	assert_true(until(5000, v->told.live >= 4));
	/* And again with a renewal: no more after that. */
	leases = fake.leases;
	assert_true(until(10000, fake.leases >= leases + 4 * v->map->nshards));
	for (size_t i = 1; i < ARRAY_SIZE(names); i++)
		assert_false(reply_of(ids[i])->come);
	disk.counted = false;
	for (size_t i = 1; i < ARRAY_SIZE(names); i++)
		assert_int_equal(wait_reply(ids[i]), 0);
	for (size_t i = 1; i < ARRAY_SIZE(names); i++) {
		CLEANUP_FREE char *rel = xstrdup(at("big/%s", names[i]) + strlen(top) + 1);

		assert_true(until(5000, true_or_asks(rel)));
	}
	assert_int_equal(lookup("big", "n202"), 0);
	assert_int_equal(look("big/n202", &s), 0);
	assert_int_equal(s.rec.size, 7777);
	assert_int_equal(lookup("big", "n203"), 0);
	assert_int_equal(look("big/n203", &s), 0);
	assert_int_equal(s.rec.size, 8888);
	assert_int_equal(lookup("big", "n204"), -ENOENT);
	assert_int_equal(look("big/n204", &s), -ENOENT);
	assert_true(until(5000, !v->naming));
	assert_int_equal(v->told.live, 0);
	fake.m.timeout_ms = 5000;
}

/* xfs has no number of inodes but the most that it may have. */
static void inodes_of_free_blocks(void **state)
{
	bool was = v->c->inodes_of_blocks;
	struct cache_space cs;

	v->c->inodes_of_blocks = true;
	disk.counted = true;
	disk.inodes = 1ull << 50;
	cache_space(v->c, &cs);
	assert_int_equal(cs.inodes, 0);
	disk.inodes = 3;
	cache_space(v->c, &cs);
	assert_int_equal(cs.inodes, 1000);
	assert_int_equal(cs.inodes_free, 3);
	v->c->inodes_of_blocks = was;
	disk.counted = false;
}

static void nothing_leaks(void **state)
{
	until(3000, v->reqs.live == 0 && v->dirs.live == 0 && fake.begins == fake.ends);
	assert_int_equal(v->reqs.live, 0);
	assert_int_equal(v->dirs.live, 0);
	assert_int_equal(fake.begins, fake.ends);
	assert_int_equal(v->ahead_bytes, 0);
	detach();
}

/* ---- proxies and what is said of them: volumes of their own ---- */

static struct vol *w;
static int w_ok;

static const char *state_of(const char *id)
{
	static char state[16];
	json_t *list = health_proxies(w), *p;
	size_t i;

	state[0] = 0;
	json_array_foreach(list, i, p)
		if (!strcmp(json_string_value(json_object_get(p, "id")), id))
			snprintf(state, sizeof(state), "%s", json_string_value(json_object_get(p, "state")));
	if (json_array_size(list) != 2)
		snprintf(state, sizeof(state), "%zu told", json_array_size(list));
	json_decref(list);
	return state;
}

/* The doctor's line of that name that has the words. */
static bool doctor_says(const char *name, const char *state, const char *words)
{
	json_t *list = json_array(), *c;
	bool said = false;
	size_t i;

	health_check(list, w);
	json_array_foreach(list, i, c)
		said |= !strcmp(json_string_value(json_object_get(c, "name")), name) &&
			!strcmp(json_string_value(json_object_get(c, "state")), state) &&
			strstr(json_string_value(json_object_get(c, "detail")), words);
	json_decref(list);
	return said;
}

static void w_new(const char *source)
{
	static int n;
	enum ctl_error cause;
	char *dir = at("w%d", n++);

	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(vol_new(&ag, source, dir, &w, &cause), 0);
	w_ok = 0;
	vol_when_connected(w, io_now(io) + 20000000000ull, ready, &w_ok);
}

/* Who attaches again is shown how it is now. */
static bool up_when_attached_again(const char *id)
{
	w_ok = 0;
	vol_when_connected(w, io_now(io) + 20000000000ull, ready, &w_ok);
	assert_true(until(10000, w_ok));
	return !strcmp(state_of(id), "up");
}

static void w_close(void)
{
	bool done = false;

	vol_close(w, closed, &done);
	assert_true(until(10000, done));
}

/* ---- events: what is told to whoever listens ---- */

struct listening { int fd; char *buf; size_t len; };

static void listen_to(struct listening *l, const char *path, const char *request)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	memset(l, 0, sizeof(*l));
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(l->fd, (void *)&sun, sizeof(sun)), 0);
	assert_int_equal(write(l->fd, request, strlen(request)), strlen(request));
}

static bool heard(struct listening *l, const char *words)
{
	ssize_t n;

	do {
		l->buf = xrealloc(l->buf, l->len + 65537);
		n = read(l->fd, l->buf + l->len, 65536);
		l->len += max(n, (ssize_t)0);
	} while (n > 0);
	l->buf[l->len] = 0;
	return strstr(l->buf, words);
}

static u64 times(const struct listening *l, const char *words)
{
	u64 n = 0;

	for (const char *p = l->buf; (p = strstr(p, words)); p++)
		n++;
	return n;
}

/* The state, a mark, changes; a reader that does not read holds nobody up and is told how much it missed. */
static void events_are_told(void **state)
{
	struct history_found f = { .session = 0xabc, .comm = "find", .files = 1, .dirs = 40 };
	struct listening one, slow, brief;
	const u64 many = 30000;
	char *path = at("ctl"), *p;
	int err;

	ag.ctl = ctl_server_new(io, path, agent_verbs, &ag, &err);
	assert_non_null(ag.ctl);
	listen_to(&brief, path, "{\"verb\":\"events\"}\n");
	listen_to(&one, path, "{\"verb\":\"events\",\"follow\":true}\n");
	listen_to(&slow, path, "{\"verb\":\"events\",\"follow\":true}\n");
	assert_true(until(10000, heard(&one, "\"now\"")));
	assert_true(until(10000, heard(&brief, "\"ok\"")));
	assert_int_equal(times(&brief, "\"event\":\"is\""), times(&one, "\"event\":\"is\""));
	assert_non_null(strstr(one.buf, "\"kind\":\"mount\""));
	assert_int_equal(times(&one, "\"kind\":\"proxy\""), 2);
	events_scanner(v, &f);
	assert_true(until(10000, heard(&one, "\"session\":\"0000000000000abc\"")));
	kill(proxies[1], SIGKILL);
	waitpid(proxies[1], NULL, 0);
	assert_true(until(20000, heard(&one, "\"event\":\"change\"") && strstr(one.buf, "\"state\":\"down\"")));
	for (u64 i = 0; i < many; i++)
		events_scanner(v, &f);
	assert_true(until(20000, heard(&slow, "\"dropped\",\"count\":") || heard(&slow, "\"count\":")));
	p = strstr(slow.buf, "\"count\":");
	assert_int_equal(times(&slow, "\"kind\":\"scanner\"") + strtoull(p + 8, NULL, 10), many + 1);
	run_proxy(1);
	assert_true(until(20000, heard(&one, "\"state\":\"up\",\"event\"") || times(&one, "\"event\":\"change\"") > 1));
	ctl_server_free(ag.ctl);
	ag.ctl = NULL;
	assert_true(until(10000, list_empty(&ag.listeners)));
	close(one.fd);
	close(slow.fd);
	close(brief.fd);
	free(one.buf);
	free(slow.buf);
	free(brief.buf);
}

/* Seeds that the map names otherwise are the same proxies; all of them are up when attach answers. */
static void each_proxy_is_told_once(void **state)
{
	struct meta_proxy mp = { .id = "p2", .addr = "10.9.0.2:7433" };
	struct peer p = { .addr = "10.9.0.2" };

	w_new("127.0.0.1:17501,localhost:17502:/vol");
	assert_true(until(10000, w_ok));
	assert_int_equal(w_ok, 1);
	assert_string_equal(state_of("p1"), "up");
	assert_string_equal(state_of("p2"), "up");
	assert_true(doctor_says("volume", "ok", ": 2 of 2 proxies up, map"));
	w_close();
	/* The usual port need not be said. */
	assert_true(peer_is(&p, &mp));
	strcpy(p.addr, "10.9.0.22");
	assert_false(peer_is(&p, &mp));
	strcpy(p.addr, "10.9.0.2:17433");
	assert_false(peer_is(&p, &mp));
}

/* A refused connection is an answer, and attach waits for it. */
static void a_dead_proxy_is_down(void **state)
{
	kill(proxies[1], SIGKILL);
	waitpid(proxies[1], NULL, 0);
	w_new("127.0.0.1:17501,localhost:17502:/vol");
	assert_true(until(10000, w_ok));
	assert_int_equal(w_ok, 1);
	assert_string_equal(state_of("p1"), "up");
	assert_string_equal(state_of("p2"), "down");
	assert_true(doctor_says("proxy", "warn", "p2 (127.0.0.1:17502): "));
	assert_true(doctor_says("volume", "ok", ": 1 of 2 proxies up, map"));
	run_proxy(1);
	assert_true(until(20000, up_when_attached_again("p2")));
	w_close();
}

/* One that says nothing is being connected to until its time is up, and down then; attach does not wait for that. */
static void a_silent_proxy_is_connecting(void **state)
{
	kill(proxies[1], SIGSTOP);
	w_new("127.0.0.1:17501,localhost:17502:/vol");
	assert_true(until(10000, w->map));
	assert_string_equal(state_of("p2"), "connecting");
	assert_true(doctor_says("volume", "ok", ": 1 of 2 proxies up, 1 connecting, map"));
	assert_true(until(10000, w_ok));
	assert_int_equal(w_ok, 1);
	assert_true(until(20000, !strcmp(state_of("p2"), "down")));
	assert_true(doctor_says("proxy", "warn", "p2 (127.0.0.1:17502): "));
	kill(proxies[1], SIGCONT);
	assert_true(until(20000, up_when_attached_again("p2")));
	w_close();
}

static int group_setup(void **state)
{
	make_origin();
	assert_int_equal(mkdir(at("cache"), 0755), 0);
	run_proxy(0);
	run_proxy(1);
	io = io_new(getenv("TEST_IO"));
	ag.io = io;
	ag.id = "test";
	list_init(&ag.vols);
	list_init(&ag.listeners);
	umask(0);
	attach();
	return 0;
}

/* ---- pins ---- */

/* What the agent says to a request, to be freed. */
static char *told(const char *request)
{
	struct listening l;
	char *path = at("pinctl");
	int err;

	ag.ctl = ctl_server_new(io, path, agent_verbs, &ag, &err);
	assert_non_null(ag.ctl);
	listen_to(&l, path, request);
	assert_true(until(10000, heard(&l, "\"ok\"")));
	close(l.fd);
	ctl_server_free(ag.ctl);
	ag.ctl = NULL;
	return l.buf;
}

/* Is this in the answer? */
static bool says(const char *request, const char *words)
{
	CLEANUP_FREE char *text = told(request);

	if (!strstr(text, words))
		printf("%s: %s", request, text);
	return strstr(text, words);
}

/* The command looks at what it is given, as anybody does who comes by: an old version is replaced then. */
static bool comes_by(const char *rel)
{
	CLEANUP_FREE char *dir = xstrdup(rel);
	char *slash = strrchr(dir, '/');
	struct seen s;

	if (slash)
		*slash = 0;
	return !look(slash ? dir : "", &s) && !lookup(slash ? dir : "", slash ? slash + 1 : rel);
}

/* Of what has just changed at the origin a new version may be on its way. */
static bool says_soon(const char *request, const char *rel)
{
	bool said = false;

	return until(5000, said || (comes_by(rel), said = says(request, "\"errors\":0")));
}

#define PIN(path)	assert_true(says_soon("{\"verb\":\"pin\",\"paths\":[\"/m/" path "\"]}\n", path))
#define UNPIN(path)	assert_true(says_soon("{\"verb\":\"unpin\",\"paths\":[\"/m/" path "\"]}\n", path))
#define PINS(words)	assert_true(says("{\"verb\":\"pins\"}\n", words))

static bool pinned(const char *rel)
{
	struct seen s;

	assert_int_equal(look(rel, &s), 0);
	return s.rec.flags & AUGUR_REC_PINNED;
}

/* Until the directory shows that a name has come, or gone. */
static void shows(const char *dir, const char *rel, bool there)
{
	struct seen s;

	assert_true(until(10000, populate(dir) == 0 && !look(rel, &s) == there));
}

static void mounted_at(const char *point)
{
	FILE *f = fopen(at("mountinfo"), "w");

	fprintf(f, "36 25 0:45 / %s ro,relatime shared:1 - augurfs p1:/vol ro,cache=%s\n", point, at("cache"));
	fclose(f);
}

static void pins_begin(void)
{
	static const char *const dirs[] = { "pa", "pb", "pc", "pc/sub" };

	mounted_at("/m");
	ag.mountinfo = xstrdup(at("mountinfo"));
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		assert_int_equal(mkdir(at("origin/%s", dirs[i]), 0755), 0);
		for (int k = 1; k < 4; k++)
			put(at("origin/%s/f%d", dirs[i], k), 3000, k);
	}
	assert_int_equal(link(at("origin/pa/f1"), at("origin/pb/hard")), 0);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		shows("", dirs[i], true);
		assert_int_equal(populate(dirs[i]), 0);
	}
	shows("pb", "pb/hard", true);
}

/* As long as one of its names, or a directory above, is pinned. */
static void pins_of_several_names(void **state)
{
	pins_begin();
	PIN("pa");
	PIN("pb");
	UNPIN("pa");
	assert_false(pinned("pa/f2"));
	assert_true(pinned("pb/hard"));
	PINS("\"path\":\"/m/pb\"");
	UNPIN("pb");
	assert_false(pinned("pb/hard"));
	/* Both at once: neither holds the other's. */
	PIN("pa");
	PIN("pb");
	assert_true(says("{\"verb\":\"unpin\",\"paths\":[\"/m/pb\",\"/m/pa\"]}\n", "\"errors\":0"));
	assert_false(pinned("pb/hard"));
	/* By its own name, and by that of its directory. */
	PIN("pa/f1");
	PIN("pb");
	UNPIN("pb");
	assert_true(pinned("pb/hard"));
	UNPIN("pa/f1");
	PIN("pc");
	assert_true(says("{\"verb\":\"unpin\",\"paths\":[\"/m/pc/sub\"]}\n", "\"kept\":1,\"above\":\"/m/pc\""));
	assert_true(pinned("pc/sub/f1"));
	PINS("\"pins\":1");
}

/* Renamed at the origin: the pin goes along, and so does the list. */
static void pins_follow_names(void **state)
{
	assert_int_equal(rename(at("origin/pc"), at("origin/pd")), 0);
	shows("", "pd", true);
	assert_int_equal(populate("pd"), 0);
	assert_true(pinned("pd/f2"));
	PINS("\"path\":\"/m/pd\",\"volume\":\"vol\",\"here\":true,\"named\":\"/m/pc\"");
	UNPIN("pc");
	assert_false(pinned("pd/f2"));
	PINS("\"pins\":0");

	PIN("pa/f2");
	assert_int_equal(rename(at("origin/pa/f2"), at("origin/pb/g2")), 0);
	shows("pb", "pb/g2", true);
	assert_true(pinned("pb/g2"));
	PINS("\"path\":\"/m/pb/g2\"");
	/* Still so in the next daemon. */
	PIN("pa/f3");
	detach();
	attach();
	assert_int_equal(rename(at("origin/pa/f3"), at("origin/pa/g3")), 0);
	shows("pa", "pa/g3", true);
	assert_true(pinned("pa/g3"));
	UNPIN("pa/g3");
	PINS("\"pins\":1");
}

/* What is saved by a rename is pinned as what was there; what is removed can be let go by the name that is listed. */
static void pins_of_what_is_no_more(void **state)
{
	struct seen old, now;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(look("pb/g2", &old), 0);
		put(at("origin/pb/new"), 5000, i);
		assert_int_equal(rename(at("origin/pb/new"), at("origin/pb/g2")), 0);
		assert_true(until(10000, populate("pb") == 0 && !look("pb/g2", &now) && memcmp(now.oid, old.oid, AUGUR_OID_LEN)));
		assert_true(pinned("pb/g2"));
		PINS("\"pins\":1");
	}
	/* Those that were there before are not kept for ever. */
	assert_true(until(5000, v->c->pins.live <= 2));
	assert_int_equal(unlink(at("origin/pb/g2")), 0);
	shows("pb", "pb/g2", false);
	PINS("\"here\":false");
	assert_true(says("{\"verb\":\"pin\",\"paths\":[\"/m/pa/f2\"]}\n", "AUGUR_E_NOT_MOUNTED"));
	UNPIN("pa/f2");
	PINS("\"pins\":0");
	assert_int_equal(v->c->pins.live, 0);
	assert_true(says("{\"verb\":\"unpin\",\"paths\":[\"/m/pa/f2\"]}\n", "AUGUR_E_NOT_MOUNTED"));
	/* A link has no bytes. */
	assert_true(says("{\"verb\":\"pin\",\"paths\":[\"/m/link\"]}\n", "AUGUR_E_USAGE"));
	assert_true(says("{\"verb\":\"evict\",\"paths\":[\"/m/link\"]}\n", "\"errors\":0"));
	PINS("\"pins\":0");
}

/* One of two names goes: what is left is pinned by itself, by its directory, or no more. */
static void pins_of_the_last_name(void **state)
{
	static const char *const names[] = { "x", "y", "z" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CLEANUP_FREE char *from = xstrdup(at("origin/pa/%s", names[i]));

		put(from, 3000, i);
		assert_int_equal(link(from, at("origin/pb/%s", names[i])), 0);
	}
	shows("pa", "pa/z", true);
	shows("pb", "pb/z", true);
	PIN("pa/x");
	PIN("pb/y");
	PIN("pa");
	assert_true(pinned("pb/z"));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(unlink(at("origin/pa/%s", names[i])), 0);
	shows("pa", "pa/z", false);
	assert_true(until(10000, lookup("pb", "z") == 0 && !pinned("pb/z")));
	for (size_t i = 0; i < 2; i++) {
		struct seen now;

		assert_true(until(10000, lookup("pb", names[i]) == 0 && !look(i ? "pb/y" : "pb/x", &now) && now.rec.nlink == 1));
		assert_true(now.rec.flags & AUGUR_REC_PINNED);
	}
	PINS("\"path\":\"/m/pb/x\",\"volume\":\"vol\",\"here\":true,\"named\":\"/m/pa/x\"");
	UNPIN("pb/x");
	UNPIN("pb/y");
	UNPIN("pa");
	assert_false(pinned("pb/x"));
	PINS("\"pins\":0");
}

/* Made anew where something was pinned, with or without the directories above: as long as the path is not unpinned. */
static void pins_follow_paths(void **state)
{
	for (int i = 0; i < 2; i++) {
		put(at("origin/pb/k"), 5000, i);
		shows("pb", "pb/k", true);
		if (!i)
			PIN("pb/k");
		assert_true(pinned("pb/k"));
		PINS("\"pins\":1");
		assert_int_equal(unlink(at("origin/pb/k")), 0);
		shows("pb", "pb/k", false);
		PINS("\"here\":false");
	}
	/* An editor that puts the old one aside first. */
	put(at("origin/pb/k"), 5000, 3);
	shows("pb", "pb/k", true);
	assert_int_equal(rename(at("origin/pb/k"), at("origin/pb/k~")), 0);
	shows("pb", "pb/k~", true);
	shows("pb", "pb/k", false);
	put(at("origin/pb/k"), 5000, 4);
	shows("pb", "pb/k", true);
	assert_true(pinned("pb/k"));
	assert_true(pinned("pb/k~"));
	PINS("\"pins\":2");
	/* No other of that name. */
	put(at("origin/pa/k"), 5000, 4);
	shows("pa", "pa/k", true);
	assert_false(pinned("pa/k"));
	UNPIN("pb/k");
	assert_false(pinned("pb/k"));
	assert_true(pinned("pb/k~"));
	PINS("\"path\":\"/m/pb/k~\",\"volume\":\"vol\",\"here\":true}");
	assert_int_equal(unlink(at("origin/pb/k")), 0);
	shows("pb", "pb/k", false);
	put(at("origin/pb/k"), 5000, 5);
	shows("pb", "pb/k", true);
	assert_false(pinned("pb/k"));
	UNPIN("pb/k~");
	PINS("\"pins\":0");

	for (int i = 0; i < 2; i++) {
		assert_int_equal(mkdir(at("origin/pe"), 0755), 0);
		assert_int_equal(mkdir(at("origin/pe/dir"), 0755), 0);
		put(at("origin/pe/dir/f"), 3000, i);
		put(at("origin/pe/one"), 3000, i);
		put(at("origin/pe/two"), 3000, i);
		shows("", "pe", true);
		shows("pe", "pe/two", true);
		shows("pe/dir", "pe/dir/f", true);
		if (!i) {
			PIN("pe/dir");
			PIN("pe/one");
		}
		assert_true(pinned("pe/dir"));
		assert_true(pinned("pe/dir/f"));
		assert_true(pinned("pe/one"));
		assert_false(pinned("pe/two"));
		PINS("\"pins\":2");
		nftw(at("origin/pe"), rm_one, 16, FTW_DEPTH | FTW_PHYS);
		shows("", "pe", false);
		/* Known to the next daemon, too. */
		detach();
		attach();
	}
	/* By the mount point that it was named by; also what came in between, and what is below it. */
	mounted_at("/n");
	assert_int_equal(mkdir(at("origin/pe"), 0755), 0);
	assert_int_equal(mkdir(at("origin/pe/dir"), 0755), 0);
	put(at("origin/pe/dir/f"), 3000, 3);
	put(at("origin/pe/one"), 3000, 3);
	shows("", "pe", true);
	shows("pe", "pe/one", true);
	shows("pe/dir", "pe/dir/f", true);
	assert_false(pinned("pe/dir/f"));
	assert_false(pinned("pe/one"));
	mounted_at("/m");
	put(at("origin/pe/three"), 3000, 3);
	shows("pe", "pe/three", true);
	assert_true(until(10000, pinned("pe/dir/f") && pinned("pe/one")));
	UNPIN("pe/dir");
	UNPIN("pe/one");
	PINS("\"pins\":0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_arrive), cmocka_unit_test(a_big_directory), cmocka_unit_test(hard_links_meet),
		cmocka_unit_test(another_version_by_another_name), cmocka_unit_test(bytes_arrive), cmocka_unit_test(small_files_come_along), cmocka_unit_test(a_picker_pays_little),
		cmocka_unit_test(a_reader_of_everything), cmocka_unit_test(a_large_file_in_order),
		cmocka_unit_test(a_large_file_in_no_order), cmocka_unit_test(who_waits_is_not_delayed),
		cmocka_unit_test(claims_settle), cmocka_unit_test(what_was_not_kept_is_brought_again), cmocka_unit_test(bytes_go_again),
		cmocka_unit_test(streams_end_with_their_cause), cmocka_unit_test(a_large_request_is_refused),
		cmocka_unit_test(streams_have_their_room), cmocka_unit_test(what_was_refused_is_given_back),
		cmocka_unit_test(leases_are_had),
		cmocka_unit_test(changes_are_told), cmocka_unit_test(a_name_is_not_its_directory),
		cmocka_unit_test(names_go_and_change),
		cmocka_unit_test(directories_show_changes), cmocka_unit_test(a_half_directory_shows_changes), cmocka_unit_test(cancelled_ones_go),
		cmocka_unit_test(pins_of_several_names), cmocka_unit_test(pins_follow_names),
		cmocka_unit_test(pins_of_what_is_no_more), cmocka_unit_test(pins_of_the_last_name), cmocka_unit_test(pins_follow_paths),
		cmocka_unit_test(proxies_go_and_come), cmocka_unit_test(events_are_told), cmocka_unit_test(lost_rows_are_found), cmocka_unit_test(the_kernel_remembers),
		cmocka_unit_test(after_a_power_cut), cmocka_unit_test(names_are_forgotten),
		cmocka_unit_test(a_claim_taken_back_stays_so), cmocka_unit_test(the_other_inode_is_known), cmocka_unit_test(a_name_waits_for_an_inode),
		cmocka_unit_test(what_is_in_the_way_is_no_answer), cmocka_unit_test(names_of_a_split_directory), cmocka_unit_test(told_while_it_waits),
		cmocka_unit_test(inodes_of_free_blocks), cmocka_unit_test(nothing_leaks),
		cmocka_unit_test(each_proxy_is_told_once), cmocka_unit_test(a_dead_proxy_is_down),
		cmocka_unit_test(a_silent_proxy_is_connecting),
	};
	int failed;

	strcpy(top, "/tmp/augur-test-agent.XXXXXX");
	if (geteuid() || !mkdtemp(top) || setxattr(top, "trusted.augur.probe", "1", 1, 0)) {
		printf("needs root and trusted extended attributes in /tmp\n");
		return 77;
	}
	log_open("test_agent", getenv("V") ? LOG_L_DEBUG : LOG_L_ERR);
	failed = cmocka_run_group_tests(tests, group_setup, NULL);
	for (int i = 0; i < 2; i++)
		if (proxies[i] > 0) {
			kill(proxies[i], SIGKILL);
			waitpid(proxies[i], NULL, 0);
		}
	nftw(top, rm_one, 16, FTW_DEPTH | FTW_PHYS);
	return failed;
}
