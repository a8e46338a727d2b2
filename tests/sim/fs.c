// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fs.c - the system calls that jobs make on files, linked in front of the real ones (--wrap).
 *
 * The files are real, in a tmpfs that belongs to the run.  What would be another value each time
 * is made the same: the generation in a file handle is cut out and put back, ctime is a virtual
 * one that the editor of the origin sets, the filesystem's id is fixed, the number of blocks is
 * made of change time and size, so that whoever has those can tell it.  And a disk may fail:
 * full, EIO, short, slow.  Faults hit only inside of a node's job.
 */
#include <stdarg.h>
#include <stdio.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>

#include "sim.h"

#define INOS	(1 << 16)

struct disk disks[NODES];

static u64 trouble[NODES];
static const char *cache_mount;
static u32 gens[2][INOS];	/* by filesystem: origin, cache */
static u64 ctimes[INOS];

void fs_begin(const char *cache)
{
	cache_mount = cache;
	memset(gens, 0, sizeof(gens));
	memset(ctimes, 0, sizeof(ctimes));
}

u64 now_real(void)
{
	return SIM_REAL + sim_now;
}

void fs_changed(u64 ino)
{
	ctimes[ino % INOS] = now_real() / TICK_NS * TICK_NS;
}

u64 fs_ctime(u64 ino)
{
	return ctimes[ino % INOS];
}

/* From none to more than the size. */
u64 fs_blocks(u64 ctime, u64 size)
{
	return (ctime / TICK_NS * 2654435761u ^ size) % ((size + 511) / 512 + 2);
}

u64 disk_delay(int node)
{
	const struct disk *d = &disks[node];

	if (d->fault == DISK_SLOW && d->until > sim_now && chance(d->permille)) {
		hits[HIT_SLOW]++;
		return between(10 * MSEC, 900 * MSEC);
	}
	return between(5000, 150000);
}

/* Does one of the disk, of this kind, hit the job that runs now? */
static bool hit(enum disk_fault kind, enum hit h)
{
	const struct disk *d = running ? &disks[running->id] : NULL;

	if (!d || d->until <= sim_now || d->fault != kind || !chance(d->permille))
		return false;
	hits[h]++;
	return true;
}

static int read_error(void)
{
	return hit(DISK_EIO, HIT_EIO) ? EIO : 0;
}

/* An operation that takes room. */
static int room_error(void)
{
	return hit(DISK_FULL, HIT_ENOSPC) ? ENOSPC : read_error();
}

/* Of a read or write of data: less than was asked for. */
static size_t some_of(size_t len)
{
	return len > 1 && hit(DISK_SHORT, HIT_SHORT) ? between(1, len - 1) : len;
}

/* ---- room ---- */

static void resize(const char *what, u64 n)
{
	char opts[32];

	snprintf(opts, sizeof(opts), "%s=%lu", what, n);
	if (mount("sim", cache_mount, "tmpfs", MS_REMOUNT, opts))
		violated("the cache's disk does not take %s: %s", opts, strerror(errno));
}

void disk_squeeze(u64 room)
{
	struct statvfs sv;
	u64 used;

	if (statvfs(cache_mount, &sv))
		violated("the cache's disk: %s", strerror(errno));
	used = (u64)(sv.f_blocks - sv.f_bfree) * sv.f_frsize;
	hits[HIT_SQUEEZE]++;
	note("the cache's disk: %lu bytes, %lu of them free", used + room, room);
	resize("size", max(used + room, (u64)sv.f_frsize));
}

void disk_squeeze_inodes(u64 room)
{
	struct statvfs sv;

	if (statvfs(cache_mount, &sv))
		violated("the cache's disk: %s", strerror(errno));
	hits[HIT_INODES]++;
	note("the cache's disk: %lu inodes, %lu of them free", (u64)(sv.f_files - sv.f_ffree) + room, room);
	resize("nr_inodes", sv.f_files - sv.f_ffree + room);
}

void disk_release(void)
{
	resize("size", SIM_DISK);
	resize("nr_inodes", SIM_INODES);
}

void disk_trouble(int node, u64 until)
{
	trouble[node] = max(trouble[node], until);
}

u64 disk_trouble_until(int node)
{
	return trouble[node];
}

/* The watermarks of the mount: percent free. */
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	static const struct { const char *name, *value; } knobs[] = { { "run", "30" }, { "cull", "20" }, { "stop", "10" },
		{ "inode_run", "30" }, { "inode_cull", "20" }, { "inode_stop", "10" } };
	const char *name = strncmp(path, "/sys/fs/augurfs/", 16) ? NULL : strrchr(path, '/') + 1;
	mode_t mode = 0;
	va_list ap;
	int fd;

	if (flags & O_CREAT) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if (!name)
		return __real_open(path, flags, mode);
	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++) {
		if (strcmp(name, knobs[i].name))
			continue;
		fd = memfd_create(name, MFD_CLOEXEC);
		if (fd < 0 || dprintf(fd, "%s", knobs[i].value) < 0 || lseek(fd, 0, SEEK_SET))
			violated("a knob: %s", strerror(errno));
		return fd;
	}
	errno = ENOENT;
	return -1;
}

#define FAIL_IF(e) do { int e_ = (e); if (e_) { errno = e_; return -1; } } while (0)

/* ---- handles: {generation, inode low, inode high} of tmpfs ---- */

int __real_name_to_handle_at(int fd, const char *name, struct file_handle *h, int *mnt, int flags);
int __real_open_by_handle_at(int fd, struct file_handle *h, int flags);

/* The origin and the caches are two filesystems; handles of both pass here, told apart by the generation of a pair. */
static u32 *gen_of(u32 ino, u32 gen, bool learn)
{
	for (int i = 0; i < 2 && learn; i++) {
		u32 *g = &gens[i][ino % INOS];

		if (*g == gen)
			return g;
		if (!*g) {
			*g = gen;
			return g;
		}
	}
	return NULL;
}

static void cut_handle(struct file_handle *h)
{
	u32 *w = (u32 *)h->f_handle;
	u32 *g = gen_of(w[1], w[0], true);

	if (!g)
		violated("two inodes with number %u", w[1]);
	w[0] = g == &gens[0][w[1] % INOS] ? 1 : 2;
}

int __wrap_name_to_handle_at(int fd, const char *name, struct file_handle *h, int *mnt, int flags)
{
	int r = __real_name_to_handle_at(fd, name, h, mnt, flags);

	if (!r)
		cut_handle(h);
	return r;
}

int __wrap_open_by_handle_at(int fd, struct file_handle *h, int flags)
{
	union { struct file_handle h; char room[sizeof(struct file_handle) + 128]; } u;
	u32 *w = (u32 *)u.h.f_handle;

	FAIL_IF(read_error());
	if (h->handle_bytes > 128 || h->handle_bytes < 12) {
		errno = EINVAL;
		return -1;
	}
	memcpy(&u, h, sizeof(*h) + h->handle_bytes);
	if (w[0] < 1 || w[0] > 2) {
		errno = ESTALE;
		return -1;
	}
	w[0] = gens[w[0] - 1][w[1] % INOS];
	return __real_open_by_handle_at(fd, &u.h, flags);
}

/* ---- what differs from run to run ---- */

int __real_statx(int fd, const char *name, int flags, unsigned int mask, struct statx *st);
int __wrap_statx(int fd, const char *name, int flags, unsigned int mask, struct statx *st)
{
	u64 t;
	int r;

	FAIL_IF(read_error());
	r = __real_statx(fd, name, flags, mask, st);
	if (r)
		return r;
	t = ctimes[st->stx_ino % INOS];
	st->stx_ctime.tv_sec = t / SEC;
	st->stx_ctime.tv_nsec = t % SEC;
	st->stx_blocks = fs_blocks(t, st->stx_size);
	return 0;
}

int __real_fstatfs(int fd, struct statfs *sf);
int __wrap_fstatfs(int fd, struct statfs *sf)
{
	int r = __real_fstatfs(fd, sf);

	memset(&sf->f_fsid, 0x5a, sizeof(sf->f_fsid));
	return r;
}

int __wrap_clock_getres(clockid_t id, struct timespec *ts)
{
	*ts = (struct timespec){ 0, TICK_NS };
	return 0;
}

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned int flags)
{
	memset(buf, 0x11, len);		/* the seed of the maps: order of walks */
	return len;
}

time_t __wrap_time(time_t *t)
{
	time_t now = now_real() / SEC;

	if (t)
		*t = now;
	return now;
}

/* Events of the origin carry handles. */
static void cut_events(u8 *p, ssize_t len)
{
	struct fanotify_event_metadata m;

	for (; len >= (ssize_t)sizeof(m); p += m.event_len, len -= m.event_len) {
		memcpy(&m, p, sizeof(m));
		for (size_t at = m.metadata_len; at + sizeof(struct fanotify_event_info_header) < m.event_len;) {
			struct fanotify_event_info_fid *f = (void *)(p + at);
			struct file_handle *h = (void *)f->handle;

			if (h->handle_bytes >= 12)
				cut_handle(h);
			at += f->hdr.len;
		}
	}
}

/* A number that is closed twice is somebody else's the second time. */
int __real_close(int fd);
int __wrap_close(int fd)
{
	int r = __real_close(fd);

	if (r && errno == EBADF)
		violated("descriptor %d is closed, and it is not open", fd);
	return r;
}

ssize_t __real_read(int fd, void *buf, size_t len);
ssize_t __wrap_read(int fd, void *buf, size_t len)
{
	ssize_t n = __real_read(fd, buf, len);

	if (n > 0 && len == 64 * 1024 && running && running->id != AGENT)
		cut_events(buf, n);
	return n;
}

/* ---- faults ---- */

ssize_t __real_pread(int fd, void *buf, size_t len, off_t off);
ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t off)
{
	FAIL_IF(read_error());
	return __real_pread(fd, buf, some_of(len), off);
}

ssize_t __real_pwrite(int fd, const void *buf, size_t len, off_t off);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	FAIL_IF(room_error());
	return __real_pwrite(fd, buf, some_of(len), off);
}

#define WRAP(ret, name, error, params, args)			\
	ret __real_##name params;				\
	ret __wrap_##name params				\
	{							\
		FAIL_IF(error);					\
		return __real_##name args;			\
	}

WRAP(int, fdatasync, room_error(), (int fd), (fd))
WRAP(int, syncfs, room_error(), (int fd), (fd))
WRAP(int, ftruncate, room_error(), (int fd, off_t len), (fd, len))
WRAP(int, mkdirat, room_error(), (int fd, const char *name, mode_t mode), (fd, name, mode))
WRAP(int, symlinkat, room_error(), (const char *to, int fd, const char *name), (to, fd, name))
WRAP(int, linkat, room_error(), (int a, const char *x, int b, const char *y, int flags), (a, x, b, y, flags))
WRAP(int, fsetxattr, room_error(), (int fd, const char *n, const void *v, size_t len, int fl), (fd, n, v, len, fl))
WRAP(int, setxattr, room_error(), (const char *p, const char *n, const void *v, size_t len, int fl), (p, n, v, len, fl))
WRAP(int, lsetxattr, room_error(), (const char *p, const char *n, const void *v, size_t len, int fl), (p, n, v, len, fl))
WRAP(int, utimensat, room_error(), (int fd, const char *n, const struct timespec ts[2], int fl), (fd, n, ts, fl))
WRAP(int, futimens, room_error(), (int fd, const struct timespec ts[2]), (fd, ts))
WRAP(ssize_t, fgetxattr, read_error(), (int fd, const char *n, void *v, size_t len), (fd, n, v, len))

int __real_openat(int fd, const char *name, int flags, ...);
int __wrap_openat(int fd, const char *name, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if (flags & O_CREAT) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
		FAIL_IF(room_error());
	} else {
		FAIL_IF(read_error());
	}
	return __real_openat(fd, name, flags, mode);
}
