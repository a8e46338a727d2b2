// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * passthrough.c - a read-only FUSE pass-through that lets the kernel keep names, absences,
 * attributes, listings and pages for a day: what FUSE costs at its best, for comparison.
 *
 *	passthrough SOURCE MOUNTPOINT
 *
 * Only built inside the benchmark's guest (tests/bench/systems/fuse-cached.sh).  One thread:
 * the guest has one processor.
 */
#define FUSE_USE_VERSION 34
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY	86400.0
#define BUCKETS	65536

/* One inode the kernel knows; an O_PATH descriptor stands for it. */
struct node {
	struct node	*next;
	int		fd;
	ino_t		ino;
	uint64_t	lookups;
};

static struct node root, *nodes[BUCKETS];

static struct node *node(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &root : (struct node *)ino;
}

static int entry(fuse_ino_t parent, const char *name, struct fuse_entry_param *e)
{
	int fd = openat(node(parent)->fd, name, O_PATH | O_NOFOLLOW);
	struct node *n;

	memset(e, 0, sizeof(*e));
	e->attr_timeout = e->entry_timeout = DAY;
	if (fd < 0)
		return errno;
	if (fstat(fd, &e->attr)) {
		close(fd);
		return errno;
	}
	for (n = nodes[e->attr.st_ino % BUCKETS]; n && n->ino != e->attr.st_ino; n = n->next)
		;
	if (n) {
		close(fd);
	} else {
		n = calloc(1, sizeof(*n));
		if (!n) {
			close(fd);
			return ENOMEM;
		}
		n->fd = fd;
		n->ino = e->attr.st_ino;
		n->next = nodes[n->ino % BUCKETS];
		nodes[n->ino % BUCKETS] = n;
	}
	n->lookups++;
	e->ino = (fuse_ino_t)n;
	return 0;
}

static void forget_one(fuse_ino_t ino, uint64_t count)
{
	struct node *n = node(ino), **p;

	if (n == &root)
		return;
	n->lookups -= count;
	if (n->lookups)
		return;
	for (p = &nodes[n->ino % BUCKETS]; *p != n; p = &(*p)->next)
		;
	*p = n->next;
	close(n->fd);
	free(n);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	int error = entry(parent, name, &e);

	if (error && error != ENOENT)
		fuse_reply_err(req, error);
	else
		fuse_reply_entry(req, &e);	/* inode 0: it is not there, and may be believed */
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	forget_one(ino, count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		forget_one(forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	if (fstat(node(ino)->fd, &st))
		fuse_reply_err(req, errno);
	else
		fuse_reply_attr(req, &st, DAY);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char to[4097];
	ssize_t n = readlinkat(node(ino)->fd, "", to, sizeof(to) - 1);

	if (n < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	to[n] = 0;
	fuse_reply_readlink(req, to);
}

static int reopen(fuse_ino_t ino, int flags)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", node(ino)->fd);
	return open(name, flags);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int fd;

	if ((fi->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EROFS);
		return;
	}
	fd = reopen(ino, O_RDONLY);
	if (fd < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	fi->fh = fd;
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fuse_bufvec buf = FUSE_BUFVEC_INIT(size);

	buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	buf.buf[0].fd = fi->fh;
	buf.buf[0].pos = off;
	fuse_reply_data(req, &buf, FUSE_BUF_SPLICE_MOVE);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	close(fi->fh);
	fuse_reply_err(req, 0);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int fd = reopen(ino, O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		fuse_reply_err(req, errno);
		return;
	}
	fi->fh = (uintptr_t)d;
	fi->keep_cache = fi->cache_readdir = 1;
	fuse_reply_open(req, fi);
}

/* The names of one buffer, each with its attributes. */
static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	DIR *d = (DIR *)(uintptr_t)fi->fh;
	char *buf = calloc(1, size);
	size_t at = 0, n;
	struct dirent *de;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	seekdir(d, off);
	while ((de = readdir(d))) {
		struct fuse_entry_param e = { .attr.st_ino = de->d_ino, .attr.st_mode = (mode_t)de->d_type << 12 };
		int dots = !strcmp(de->d_name, ".") || !strcmp(de->d_name, "..");

		if (!dots && entry(ino, de->d_name, &e))
			continue;
		n = fuse_add_direntry_plus(req, buf + at, size - at, de->d_name, &e, de->d_off);
		if (n > size - at) {
			if (!dots)
				forget_one(e.ino, 1);
			break;
		}
		at += n;
	}
	fuse_reply_buf(req, buf, at);
	free(buf);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	closedir((DIR *)(uintptr_t)fi->fh);
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = op_lookup, .forget = op_forget, .forget_multi = op_forget_multi, .getattr = op_getattr,
	.readlink = op_readlink, .open = op_open, .read = op_read, .release = op_release,
	.opendir = op_opendir, .readdirplus = op_readdirplus, .releasedir = op_releasedir,
};

int main(int argc, char **argv)
{
	char *mount_args[] = { argv[0], "-o", "fsname=passthrough" };
	struct fuse_args args = FUSE_ARGS_INIT(3, mount_args);
	struct fuse_session *se;

	if (argc != 3)
		errx(2, "usage: passthrough SOURCE MOUNTPOINT");
	root.fd = open(argv[1], O_PATH | O_DIRECTORY);
	if (root.fd < 0)
		err(1, "%s", argv[1]);
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!se || fuse_session_mount(se, argv[2]))
		errx(1, "cannot be mounted at %s", argv[2]);
	fuse_daemonize(0);
	fuse_session_loop(se);
	fuse_session_unmount(se);
	fuse_session_destroy(se);
	return 0;
}
