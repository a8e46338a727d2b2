/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fh.h - a file handle as it crosses the upcall: handle type (u32, host order), then the
 * handle's bytes.  A handle names an inode of one filesystem, whatever its names are.
 * Any thread.
 */
#ifndef AUGUR_BASE_FH_H
#define AUGUR_BASE_FH_H

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "common/types.h"
#include <linux/augurfs.h>

struct fh {
	u8	len;			/* bytes used of b; 0: none */
	u8	b[AUGUR_FH_MAX];
};

static inline bool fh_equal(const struct fh *a, const struct fh *b)
{
	return a->len == b->len && !memcmp(a->b, b->b, a->len);
}

/* Takes bytes from elsewhere: 0 or -EINVAL. */
static inline int fh_set(struct fh *fh, const void *p, size_t len)
{
	if (len < 5 || len > AUGUR_FH_MAX)
		return -EINVAL;
	fh->len = len;
	memcpy(fh->b, p, len);
	return 0;
}

/* Handle of @name in @dirfd (links are not followed), or of @dirfd itself if @name is "". */
static inline int fh_of(int dirfd, const char *name, struct fh *fh)
{
	union { struct file_handle h; char room[sizeof(struct file_handle) + 128]; } u;
	int mnt;
	u32 type;

	u.h.handle_bytes = 128;
	if (name_to_handle_at(dirfd, name, &u.h, &mnt, *name ? 0 : AT_EMPTY_PATH))
		return -errno;
	type = u.h.handle_type;
	memcpy(fh->b, &type, 4);
	memcpy(fh->b + 4, u.h.f_handle, u.h.handle_bytes);
	fh->len = 4 + u.h.handle_bytes;
	return 0;
}

/*
 * As open_by_handle_at().  While the number of a handle's inode is being given to a new file, ext4
 * says ENOMEM; a moment later it can say ESTALE, so it is asked again.  A lack of memory stays one.
 */
static inline int fh_open_raw(int mount_fd, struct file_handle *h, int flags)
{
	int fd, tries = 0;

	do {
		fd = open_by_handle_at(mount_fd, h, flags | O_CLOEXEC);
	} while (fd < 0 && errno == ENOMEM && ++tries < 100 && !usleep(100));
	return fd;
}

/* Opens the inode; @mount_fd is any descriptor on its filesystem. Descriptor or -errno. */
static inline int fh_open(int mount_fd, const struct fh *fh, int flags)
{
	union { struct file_handle h; char room[sizeof(struct file_handle) + 128]; } u;
	u32 type;
	int fd;

	if (fh->len < 5)
		return -ESTALE;
	memcpy(&type, fh->b, 4);
	u.h.handle_type = type;
	u.h.handle_bytes = fh->len - 4;
	memcpy(u.h.f_handle, fh->b + 4, fh->len - 4);
	fd = fh_open_raw(mount_fd, &u.h, flags);
	return fd < 0 ? -errno : fd;
}

#endif
