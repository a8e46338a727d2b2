// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * attach.c - a cache directory is opened, checked, bound to a volume, and closed.
 *
 * The directory's own identity (filesystem, handle) is written into it when it is stamped and
 * compared at every later attach: a copy or a restored image has other inodes than the index
 * says, so it is refused (R10).  The lock file keeps a second daemon out.  Blocks shortly:
 * attaching is rare and happens before anything is served.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "base/seeded.h"
#include "cache/index.h"

#define BALLAST_MIN	(256ull << 10)
#define BALLAST_MAX	(1ull << 20)
#define INODE_MAX	2048	/* bytes; xfs has none that are larger */

#define FS_EXT4		0xEF53
#define FS_XFS		0x58465342
#define FS_BTRFS	0x9123683E
#define FS_TMPFS	0x01021994

static const char *const private_dirs[] = { "tmp", "staged", "maps", "dirty", "conflict", "quarantine" };

/* What makes this directory this directory. */
struct identity { u64 fstype, fsid; struct fh dir, root; } __attribute__((packed));

static int fail(enum cache_fault *fault, enum cache_fault f, int err, const char *dir, const char *step)
{
	*fault = f;
	log_err("event=cache_refused cache=%s step=%s error=\"%s\"", dir, step, strerror(-err));
	return err;
}

static int open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (at == AT_FDCWD ? 0 : O_NOFOLLOW));

	return fd < 0 ? -errno : fd;
}

static int make_dir(int at, const char *name, mode_t mode)
{
	if (mkdirat(at, name, mode) && errno != EEXIST)
		return -errno;
	return open_dir(at, name);
}

static bool fs_allowed(int fd)
{
	struct statfs sf;

	if (fstatfs(fd, &sf))
		return false;
	switch ((u32)sf.f_type) {
	case FS_EXT4:
	case FS_XFS:
	case FS_BTRFS:
	case FS_TMPFS:
		return true;
	}
	return false;
}

static int identity_of(struct cache *c, struct identity *id)
{
	struct statfs sf;
	int err;

	memset(id, 0, sizeof(*id));
	if (fstatfs(c->top_fd, &sf))
		return -errno;
	id->fstype = (u32)sf.f_type;
	c->inodes_of_blocks = id->fstype == FS_XFS;
	/* xfs and tmpfs derive theirs from the device number, which may change with a reboot. */
	if (id->fstype != FS_XFS && id->fstype != FS_TMPFS)
		memcpy(&id->fsid, &sf.f_fsid, min(sizeof(id->fsid), sizeof(sf.f_fsid)));
	err = fh_of(c->top_fd, "", &id->dir);
	return err ? err : fh_of(c->root_fd, "", &id->root);
}

void cache_boot_id(char buf[40])
{
	CLEANUP_CLOSE int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, 36);

	buf[n > 0 ? n : 0] = 0;
}

/* The owner's mtime lies in the atime of our inodes (stub.c): nobody else is to move it. */
static int guard_times(struct cache *c)
{
	int err = lower_noatime(c->root_fd);

	if (err >= 0)
		err = lower_noatime(c->tmp_fd);
	if (err < 0)
		log_warn("event=cache_atime cache=%s error=\"%s\" effect=\"reading below root/ by hand moves times that the mount shows\" hint=\"mount the cache's filesystem with noatime\"",
			 c->dir, strerror(-err));
	return err;
}

/* @fd: a file made just now, in tmp/. */
static void probe_times(struct cache *c, int fd)
{
	const struct timespec ts[2] = { { 1, 123456789 }, { 1, 123456789 } };
	struct stat st;

	c->noatime_each = lower_noatime(fd) == 1;
	if (futimens(fd, ts) || fstat(fd, &st) || st.st_atim.tv_nsec != ts[0].tv_nsec)
		log_warn("event=cache_times cache=%s effect=\"times are cut to whole seconds\" hint=\"mkfs.ext4 -I 256\"", c->dir);
}

/* Can we do here what stubs need? Said at attach instead of at the first miss. */
static int probe(struct cache *c)
{
	static const char name[] = "probe";
	char path[64];
	struct fh fh = { 0 };
	int fd, err = 0, guarded = guard_times(c);

	unlinkat(c->tmp_fd, name, 0);
	fd = openat(c->tmp_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (guarded >= 0)
		probe_times(c, fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (setxattr(path, AUGUR_XATTR_NAME ".probe", "1", 1, 0))
		err = -errno;
	if (!err)
		err = fh_of(fd, "", &fh);
	close(fd);
	if (!err) {
		fd = fh_open(c->top_fd, &fh, O_RDONLY);
		if (fd < 0)
			err = fd;
		else
			close(fd);
	}
	unlinkat(c->tmp_fd, name, 0);
	return err;
}

static void sweep_tmp(struct cache *c)
{
	int fd = openat(c->priv_fd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	unsigned int n = 0;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			n += !lower_unlink_tmp(c, de->d_name);
	closedir(d);
	if (n)
		log_info("event=swept_tmp cache=%s entries=%u", c->dir, n);
}

/* ---- steps of the attach ---- */

/* The names of one cache are not the place for another. */
static int nested(int top_fd)
{
	CLEANUP_CLOSE int fd = openat(top_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st, last = { 0 };

	while (fd >= 0) {
		int up;

		if (fstat(fd, &st))
			return -errno;
		if (st.st_ino == last.st_ino && st.st_dev == last.st_dev)
			return 0;		/* the top of everything */
		if (!faccessat(fd, ".augur/lock", F_OK, AT_SYMLINK_NOFOLLOW))
			return -EEXIST;
		last = st;
		up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = up;
	}
	return -errno;
}

static int open_layout(struct cache *c, enum cache_fault *fault)
{
	struct stat st;
	int err;

	c->top_fd = open_dir(AT_FDCWD, c->dir);
	if (c->top_fd < 0)
		return fail(fault, CACHE_F_MISSING, c->top_fd, c->dir, "open");
	if (!fs_allowed(c->top_fd))
		return fail(fault, CACHE_F_FS, -EINVAL, c->dir, "statfs");
	err = nested(c->top_fd);
	if (err)
		return fail(fault, err == -EEXIST ? CACHE_F_NESTED : CACHE_F_INTERNAL, err, c->dir, "..");
	c->priv_fd = make_dir(c->top_fd, ".augur", 0700);
	if (c->priv_fd < 0)
		return fail(fault, c->priv_fd == -EROFS || c->priv_fd == -EACCES ? CACHE_F_READONLY :
			    CACHE_F_INTERNAL, c->priv_fd, c->dir, ".augur");
	c->lock_fd = openat(c->priv_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (c->lock_fd < 0)
		return fail(fault, CACHE_F_READONLY, -errno, c->dir, "lock");
	if (flock(c->lock_fd, LOCK_EX | LOCK_NB))
		return fail(fault, CACHE_F_BUSY, -errno, c->dir, "lock");
	for (size_t i = 0; i < ARRAY_SIZE(private_dirs); i++) {
		int fd = make_dir(c->priv_fd, private_dirs[i], 0700);

		if (fd < 0)
			return fail(fault, CACHE_F_READONLY, fd, c->dir, private_dirs[i]);
		if (i == 0)
			c->tmp_fd = fd;
		else
			close(fd);
	}
	c->root_fd = make_dir(c->top_fd, "root", 0755);
	if (c->root_fd < 0 || fstat(c->root_fd, &st))
		return fail(fault, CACHE_F_READONLY, c->root_fd < 0 ? c->root_fd : -errno, c->dir, "root");
	c->root_dev = ((u64)major(st.st_dev) << 20) | minor(st.st_dev);
	c->root_ino = st.st_ino;
	err = probe(c);
	if (err)
		return fail(fault, err == -EOPNOTSUPP || err == -ESTALE ? CACHE_F_FS :
			    err == -EPERM || err == -EROFS ? CACHE_F_READONLY : CACHE_F_INTERNAL, err, c->dir, "probe");
	return 0;
}

static int check_identity(struct cache *c, enum cache_fault *fault)
{
	struct identity now, then;
	size_t len = sizeof(then);
	char boot[40], old_boot[40] = "";
	u8 clean = 0;
	int err = identity_of(c, &now);

	if (err)
		return fail(fault, CACHE_F_FS, err, c->dir, "handle");
	err = index_meta_get(c, "identity", &then, &len);
	if (err == -ENOENT)
		return 0;
	if (err)
		return fail(fault, CACHE_F_INTERNAL, err, c->dir, "identity");
	if (len != sizeof(then) || memcmp(&now, &then, sizeof(now)))
		return fail(fault, CACHE_F_COPIED, -EXDEV, c->dir, "identity");
	len = sizeof(c->volume_id);
	if (index_meta_get(c, "volume_id", c->volume_id, &len) || len != sizeof(c->volume_id))
		return 0;		/* never got as far as a volume */
	len = sizeof(c->root_oid);
	if (index_meta_get(c, "root_oid", c->root_oid, &len) || len != sizeof(c->root_oid))
		return 0;
	len = sizeof(c->volume) - 1;
	if (!index_meta_get(c, "volume", c->volume, &len))
		c->volume[len] = 0;
	c->stamped = true;
	len = sizeof(old_boot) - 1;
	if (!index_meta_get(c, "boot_id", old_boot, &len))
		old_boot[len] = 0;
	len = 1;
	if (index_meta_get(c, "clean", &clean, &len))
		clean = 0;
	cache_boot_id(boot);
	c->unclean = !clean && !seeded(SEEDED_LOST_ROWS);
	c->cut = c->unclean && strcmp(boot, old_boot);
	if (c->cut)
		log_notice("event=unclean_stop cache=%s effect=\"the tree is compared with the index, unsettled bytes are fetched again\"", c->dir);
	else if (c->unclean)
		log_notice("event=unclean_stop cache=%s effect=\"the tree is compared with the index while it is used\"", c->dir);
	return 0;
}

static int mark_in_use(struct cache *c, enum cache_fault *fault)
{
	struct identity now;
	char boot[40];
	u8 clean = 0;
	int err = identity_of(c, &now);

	cache_boot_id(boot);
	if (!err)
		err = index_meta_put(c, "identity", &now, sizeof(now));
	/* After a power cut the boot is noted when the tree has been compared (check.c). */
	if (!err && !c->cut)
		err = index_meta_put(c, "boot_id", boot, strlen(boot));
	if (!err)
		err = index_meta_put(c, "clean", &clean, 1);
	return err ? fail(fault, CACHE_F_INTERNAL, err, c->dir, "index") : 0;
}

static void close_fds(struct cache *c)
{
	int *fds[] = { &c->tmp_fd, &c->root_fd, &c->priv_fd, &c->lock_fd, &c->top_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (*fds[i] >= 0)
			close(*fds[i]);
	free(c->dir);
	free(c);
}

/* Claims are taken back by the index, on a disk that may have nothing left. */
static void ballast(struct cache *c)
{
	struct statvfs sv;
	u64 total = fstatvfs(c->top_fd, &sv) ? 0 : (u64)sv.f_blocks * sv.f_frsize;

	db_ballast(c->db, min(max(total / 64, BALLAST_MIN), BALLAST_MAX));
}

int cache_attach(struct io *io, const char *dir, struct cache **out, enum cache_fault *fault)
{
	struct cache *c = xcalloc(1, sizeof(*c));
	CLEANUP_FREE char *path = xasprintf("%s/.augur/db", dir);
	mode_t mask;
	int err;

	c->io = io;
	c->dir = xstrdup(dir);
	c->top_fd = c->root_fd = c->priv_fd = c->tmp_fd = c->lock_fd = -1;
	c->chunk_shift = AUGUR_CHUNK_SHIFT_DEF;
	mask = umask(0);
	umask(mask);
	c->modes_stay = !mask;
	index_init(c);
	err = open_layout(c, fault);
	if (!err) {
		err = db_open(io, path, DB_FULL, index_schema, INDEX_VERSION, &c->db);
		if (err)
			fail(fault, CACHE_F_INTERNAL, err, dir, "index");
		else
			ballast(c);
	}
	if (!err)
		err = check_identity(c, fault);
	if (!err && pins_load(c))
		err = fail(fault, CACHE_F_INTERNAL, -EIO, dir, "pins");
	if (!err)
		err = mark_in_use(c, fault);
	if (err) {
		if (c->db)
			db_close(c->db);
		pins_exit(c);
		close_fds(c);
		return err;
	}
	sweep_tmp(c);
	cache_disk(c);
	settle_start(c);
	*out = c;
	return 0;
}

/* ---- binding to a volume ---- */

static int stamp_root(struct cache *c, const struct wire_entry *root)
{
	const struct wire_attr *a = &root->attr;
	struct augur_rec rec;
	bool known;
	struct fh fh;
	int err;

	if (!S_ISDIR(a->mode))
		return -ENOTDIR;
	known = !lower_record_read(c->root_fd, &rec) && !memcmp(rec.oid, a->oid, AUGUR_OID_LEN);
	if (!known)
		rec = (struct augur_rec){ .flags = AUGUR_REC_STUB, .chunk_shift = c->chunk_shift };
	else if (rec.ctime_sec != a->ctime_sec || rec.ctime_nsec != a->ctime_nsec || rec.version != a->version)
		rec.flags = (rec.flags & ~AUGUR_REC_COMPLETE) | AUGUR_REC_STUB;
	memcpy(rec.oid, a->oid, AUGUR_OID_LEN);
	rec.version = a->version;
	rec.size = a->size;
	rec.pu = a->pu;
	rec.nlink = a->nlink;
	rec.ctime_sec = a->ctime_sec;
	rec.ctime_nsec = a->ctime_nsec;
	err = attrs_dir(c->root_fd, a, root->xattrs, root->xattrs_len);
	if (!err)
		err = lower_record_write(c->root_fd, &rec);
	if (!err)
		err = fh_of(c->root_fd, "", &fh);
	if (!err)
		cobj_update(c, a, root->locator, root->locator_len, a->oid, "", 0, &fh, c->chunk_shift, 0);
	return err;
}

int cache_stamp(struct cache *c, const char *volume, const u8 id[16], const struct wire_entry *root)
{
	int err;

	if (c->stamped && (memcmp(c->volume_id, id, 16) || memcmp(c->root_oid, root->attr.oid, AUGUR_OID_LEN)))
		return -EXDEV;
	err = stamp_root(c, root);
	if (err || c->stamped)
		return err;
	/* Names of other users' files lie below: nobody needs to pass through here but root. */
	if (fchmod(c->top_fd, 0700))
		log_warn("event=cache_mode cache=%s error=\"%s\"", c->dir, strerror(errno));
	snprintf(c->volume, sizeof(c->volume), "%s", volume);
	memcpy(c->volume_id, id, 16);
	memcpy(c->root_oid, root->attr.oid, AUGUR_OID_LEN);
	err = index_meta_put(c, "volume", c->volume, strlen(c->volume));
	if (!err)
		err = index_meta_put(c, "root_oid", c->root_oid, AUGUR_OID_LEN);
	if (!err)
		err = index_meta_put(c, "volume_id", c->volume_id, 16);
	if (!err)
		c->stamped = true;
	return err;
}

/* ---- the end ---- */

struct closing { struct cache *c; void (*done)(void *arg); void *arg; struct io_op tick; };

/* What comes back may have more of them. */
static bool rows_written(struct cache *c)
{
	for (int i = 0; i < 3 && (!i || c->batch || c->uses.live); i++) {
		use_flush(c);
		index_flush(c);
		db_drain(c->db);
	}
	return !c->batch && !c->uses.live && !c->rows_lost;
}

/* The end is called clean last: a row that the disk refuses leaves it unclean, and the next start finds it. */
static void close_now(struct cache *c, bool clean)
{
	u8 one = 1;

	c->closing = true;
	cache_check_stop(c);
	if (c->settle_op.busy)
		c->io->ops->cancel(c->io, &c->settle_op);
	if (c->use_op.busy)
		c->io->ops->cancel(c->io, &c->use_op);
	if (c->batch_op.busy)
		c->io->ops->cancel(c->io, &c->batch_op);
	if (rows_written(c) && clean)
		index_meta_put(c, "clean", &one, 1);
	else
		log_notice("event=unclean_close cache=%s effect=\"the next start compares the tree with the index\"", c->dir);
	db_close(c->db);
	c->db = NULL;
}

static void close_last(struct io_op *op, int res)
{
	struct closing *cl = container_of(op, struct closing, tick);

	/* Until jobs on workers and cancelled timers have come back. */
	if (cl->c->busy || cl->c->batch_op.busy || cl->c->use_op.busy || cl->c->settle_op.busy || cl->c->settling ||
	    cl->c->checking) {
		cl->c->io->ops->timer(cl->c->io, op, io_now(cl->c->io) + 10000000);
		return;
	}
	index_exit(cl->c);
	close_fds(cl->c);
	if (cl->done)
		cl->done(cl->arg);
	free(cl);
}

static int close_sync(void *arg)
{
	struct cache *c = arg;

	return syncfs(c->top_fd) ? -errno : 0;
}

static void close_synced(struct io_op *op, int res)
{
	struct closing *cl = container_of(op, struct closing, tick);

	cache_worked(cl->c);
	close_now(cl->c, !res && !cl->c->unclean);
	cl->tick.done = close_last;
	cl->c->io->ops->timer(cl->c->io, &cl->tick, io_now(cl->c->io) + 1000000);
}

/*
 * A clean end is believed: its marks and switched names have to be durable before the word that
 * says so, which goes another way to the disk.
 */
static void close_settled(void *arg)
{
	struct closing *cl = arg;

	cl->tick.done = close_synced;
	cache_work(cl->c, &cl->tick, close_sync, cl->c);
}

void cache_close(struct cache *c, void (*done)(void *arg), void *arg)
{
	struct closing *cl = xcalloc(1, sizeof(*cl));

	cl->c = c;
	cl->done = done;
	cl->arg = arg;
	c->settled = NULL;
	if (done)
		settle_now(c, close_settled, cl);
	else
		close_settled(cl);
}

void cache_space(const struct cache *c, struct cache_space *s)
{
	struct statvfs sv;

	memset(s, 0, sizeof(*s));
	if (fstatvfs(c->top_fd, &sv))
		return;
	s->free = (u64)sv.f_bavail * sv.f_frsize;
	s->used = (u64)(sv.f_blocks - sv.f_bfree) * sv.f_frsize;
	s->total = s->free + s->used;
	/*
	 * xfs makes inodes of free blocks, unless there are as many as it may have: then fewer are free than
	 * these blocks would hold.  btrfs has no number of them.
	 */
	if (c->inodes_of_blocks && sv.f_favail >= s->free / INODE_MAX)
		return;
	s->inodes = sv.f_files;
	s->inodes_free = sv.f_favail;
}
