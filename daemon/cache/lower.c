// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lower.c - small things done to inodes of the lower filesystem.  Worker: every function may
 * block and uses only descriptors and constants of struct cache.
 *
 * Objects are opened by handle, names only as one checked component relative to a directory
 * opened by handle, never followed: whatever a peer says, nothing outside the cache is touched.
 */
#include <pthread.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <linux/fs.h>
#include <linux/openat2.h>

#include "base/log.h"
#include "cache/cache.h"

#ifndef O_PATH
#define O_PATH 010000000
#endif

int lower_record_read(int fd, struct augur_rec *rec)
{
	u8 buf[AUGUR_RECORD_LEN + 1];
	ssize_t n = fgetxattr(fd, AUGUR_XATTR_NAME, buf, sizeof(buf));

	if (n < 0)
		return errno == ERANGE ? -EBADMSG : -errno;
	return augur_rec_decode(buf, n, rec);
}

int lower_record_write(int fd, const struct augur_rec *rec)
{
	u8 buf[AUGUR_RECORD_LEN];

	augur_rec_encode(rec, buf);
	return fsetxattr(fd, AUGUR_XATTR_NAME, buf, sizeof(buf), 0) ? -errno : 0;
}

/* Symbolic links and device nodes cannot be opened for their attributes: by path of the O_PATH descriptor. */
static int path_record(int fd, struct augur_rec *rec, bool write)
{
	u8 buf[AUGUR_RECORD_LEN + 1];
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (write) {
		augur_rec_encode(rec, buf);
		return setxattr(path, AUGUR_XATTR_NAME, buf, AUGUR_RECORD_LEN, 0) ? -errno : 0;
	}
	n = getxattr(path, AUGUR_XATTR_NAME, buf, sizeof(buf));
	if (n < 0)
		return errno == ERANGE ? -EBADMSG : -errno;
	return augur_rec_decode(buf, n, rec);
}

int lower_record_look(int fd, struct augur_rec *rec)
{
	return path_record(fd, rec, false);
}

static pthread_mutex_t record_mutex = PTHREAD_MUTEX_INITIALIZER;

void lower_record_lock(void)
{
	pthread_mutex_lock(&record_mutex);
}

void lower_record_unlock(void)
{
	pthread_mutex_unlock(&record_mutex);
}

static int record_flags(int fd, const u8 *oid, u8 set, u8 clear)
{
	struct augur_rec rec;
	u8 flags;
	int err = path_record(fd, &rec, false);

	if (err)
		return err;
	if (oid && memcmp(rec.oid, oid, AUGUR_OID_LEN))
		return -ESTALE;
	flags = (rec.flags & ~clear) | set;
	if (flags == rec.flags)
		return 0;
	rec.flags = flags;
	return path_record(fd, &rec, true);
}

int lower_record_flags(struct cache *c, const struct fh *fh, const u8 *oid, u8 set, u8 clear)
{
	CLEANUP_CLOSE int fd = fh_open(c->top_fd, fh, O_PATH | O_NOFOLLOW);
	int err;

	if (fd < 0)
		return fd;
#ifdef AUGUR_SEED_NO_STALE	/* a seeded bug that tests/powercut has to find */
	set &= ~AUGUR_REC_STALE;
#endif
	lower_record_lock();
	err = record_flags(fd, oid, set, clear);
	lower_record_unlock();
	return err;
}

/* ---- times ---- */

void lower_times(const struct wire_attr *a, struct timespec ts[2])
{
	ts[0] = ts[1] = (struct timespec){ a->mtime_sec, a->mtime_nsec };
}

int lower_noatime(int fd)
{
	int flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		return -errno;
	if (flags & FS_NOATIME_FL)
		return 0;
	flags |= FS_NOATIME_FL;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) ? -errno : 1;
}

/* ---- listing ---- */

int lower_look(int dirfd, struct lower_name *ln)
{
	CLEANUP_CLOSE int fd = openat(dirfd, ln->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct augur_rec rec;
	struct stat st;
	int err;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		return -errno;
	err = fh_of(fd, "", &ln->fh);
	if (err)
		return err;
	ln->is_dir = S_ISDIR(st.st_mode);
	ln->valid = !path_record(fd, &rec, false);
	if (ln->valid) {
		memcpy(ln->oid, rec.oid, AUGUR_OID_LEN);
		ln->size = rec.size;
		ln->pu = rec.pu;
		ln->complete = rec.flags & AUGUR_REC_COMPLETE;
		ln->stale = rec.flags & AUGUR_REC_STALE;
	}
	return 0;
}

int lower_list_names(int dirfd, struct lower_name **names, size_t *n)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
	struct lower_name *a = NULL;
	size_t cap = 0;
	struct dirent *de;
	DIR *d;

	*names = NULL;
	*n = 0;
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		int err = -errno;

		if (fd >= 0)
			close(fd);
		return err;
	}
	while ((de = readdir(d))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (*n == cap) {
			cap = cap ? cap * 2 : 64;
			a = xrealloc(a, cap * sizeof(*a));
		}
		memset(&a[*n], 0, sizeof(*a));
		a[(*n)++].name = xstrdup(de->d_name);
	}
	closedir(d);
	*names = a;
	return 0;
}

int lower_list(struct cache *c, const struct fh *dir, struct lower_name **names, size_t *n)
{
	CLEANUP_CLOSE int fd = fh_open(c->top_fd, dir, O_RDONLY | O_DIRECTORY);
	size_t all, kept = 0;
	int err;

	*names = NULL;
	*n = 0;
	if (fd < 0)
		return fd;
	err = lower_list_names(fd, names, &all);
	for (size_t i = 0; !err && i < all; i++) {
		struct lower_name *ln = &(*names)[i];

		if (lower_look(fd, ln))
			free(ln->name);
		else
			(*names)[kept++] = *ln;
	}
	*n = kept;
	return err;
}

void lower_names_free(struct lower_name *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i].name);
	free(names);
}

/* 0 if the directory has the name with a valid record; -ENOENT, -ESTALE (marked), another -errno. Quick: not a worker. */
int lower_has(struct cache *c, const struct fh *dir, const char *name, u8 oid[AUGUR_OID_LEN])
{
	CLEANUP_CLOSE int fd = fh_open(c->top_fd, dir, O_RDONLY | O_DIRECTORY);
	struct lower_name ln = { .name = (char *)name };
	int err;

	if (fd < 0)
		return fd;
	err = lower_look(fd, &ln);
	memcpy(oid, ln.oid, AUGUR_OID_LEN);
	return err ? err : !ln.valid ? -ENOENT : ln.stale ? -ESTALE : 0;
}

/* ---- where an inode is ---- */

static int beneath(int root, const char *rel)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd = syscall(SYS_openat2, root, *rel ? rel : ".", &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

static int fd_path(int fd, char *buf, size_t cap)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buf, cap - 1);
	if (n < 0)
		return -errno;
	if ((size_t)n >= cap - 1)
		return -ENAMETOOLONG;
	buf[n] = 0;
	return 0;
}

int lower_parent(struct cache *c, const struct fh *fh, u8 parent_oid[AUGUR_OID_LEN], struct fh *parent_fh,
		 char *name, size_t cap)
{
	CLEANUP_CLOSE int fd = fh_open(c->top_fd, fh, O_PATH | O_NOFOLLOW);
	CLEANUP_CLOSE int dir = -1;
	CLEANUP_FREE char *path = xmalloc(2 * 8192);
	char *root = path + 8192, *rel, *slash;
	struct augur_rec rec;
	size_t len;
	int err;

	if (fd < 0)
		return fd;
	err = fd_path(fd, path, 8192);
	if (!err)
		err = fd_path(c->root_fd, root, 8192);
	if (err)
		return err;
	len = strlen(root);
	if (strncmp(path, root, len) || path[len] != '/')
		return -ENOENT;
	rel = path + len + 1;
	slash = strrchr(rel, '/');
	if (strlen(slash ? slash + 1 : rel) >= cap)
		return -ENAMETOOLONG;
	strcpy(name, slash ? slash + 1 : rel);
	if (slash)
		*slash = 0;
	else
		*rel = 0;
	dir = beneath(c->root_fd, rel);
	if (dir < 0)
		return dir;
	err = lower_record_read(dir, &rec);
	if (err)
		return err;
	memcpy(parent_oid, rec.oid, AUGUR_OID_LEN);
	return fh_of(dir, "", parent_fh);
}

bool lower_lives(struct cache *c, const struct fh *fh)
{
	CLEANUP_CLOSE int fd = fh_open(c->top_fd, fh, O_PATH | O_NOFOLLOW);
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) && st.st_nlink;
}

/* ---- names while no kernel serves the cache ---- */

int lower_unlink_tmp(struct cache *c, const char *name)
{
	if (!unlinkat(c->tmp_fd, name, 0))
		return 0;
	return unlinkat(c->tmp_fd, name, AT_REMOVEDIR) ? -errno : 0;
}

int lower_switch(struct cache *c, const struct fh *dir, const char *name, const char *tmp)
{
	CLEANUP_CLOSE int fd = fh_open(c->top_fd, dir, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return fd;
	return renameat(c->tmp_fd, tmp, fd, name) ? -errno : 0;
}

int lower_remove(struct cache *c, const struct fh *dir, const char *name)
{
	CLEANUP_CLOSE int fd = fh_open(c->top_fd, dir, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return fd;
	if (!unlinkat(fd, name, 0))
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	return unlinkat(fd, name, AT_REMOVEDIR) ? -errno : 0;
}
