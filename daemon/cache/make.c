// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * make.c - makes one inode of the lower tree from an entry of its owner: type, size, owner, mode,
 * attributes and times first, its record last.  Worker.
 *
 * Everything in an entry came from a peer: attributes outside the list of attrs.c are not applied.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/seeded.h"
#include "cache/make.h"

struct make_spot make_spot(int fd)
{
	struct make_spot sp = { .fd = fd, .group = true };
	struct augur_rec rec;
	char path[64];
	struct stat st;

	if (!fstat(fd, &st))
		sp.group = st.st_gid != 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	sp.acl = getxattr(path, "system.posix_acl_default", NULL, 0) > 0;
	sp.pinned = !lower_record_read(fd, &rec) && (rec.flags & AUGUR_REC_PINNED);
	return sp;
}

/* Nothing is absent of an empty file, a link or a node. */
static bool is_partial(const struct stub_ent *s)
{
	return S_ISDIR(s->attr.mode) || (S_ISREG(s->attr.mode) && s->attr.size);
}

static void rec_of(const struct stub_ent *s, struct augur_rec *rec)
{
	memset(rec, 0, sizeof(*rec));
	memcpy(rec->oid, s->attr.oid, AUGUR_OID_LEN);
	rec->version = s->attr.version;
	rec->size = s->attr.size;
	rec->pu = s->attr.pu;
	rec->nlink = s->attr.nlink;
	rec->ctime_sec = s->attr.ctime_sec;
	rec->ctime_nsec = s->attr.ctime_nsec;
	rec->chunk_shift = s->shift;
	rec->holes = seeded(SEEDED_LOST_HOLES) ? 0 : s->attr.holes;
	rec->flags = (is_partial(s) ? AUGUR_REC_STUB : AUGUR_REC_COMPLETE) | (s->pinned ? AUGUR_REC_PINNED : 0);
}

/* A regular file stays open in *out: the rest is done through it. */
static int make_inode(int dir, const char *name, struct stub_ent *s, int *out)
{
	mode_t mode = s->attr.mode;
	int fd;

	switch (mode & S_IFMT) {
	case S_IFDIR:
		return mkdirat(dir, name, 0700) ? -errno : 0;
	case S_IFLNK:
		if (!s->link || !s->link_len)
			return -EBADMSG;
		return symlinkat(s->link, dir, name) ? -errno : 0;
	case S_IFREG:
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0777);
		if (fd < 0)
			return -errno;
		*out = fd;
		return s->attr.size && ftruncate(fd, s->attr.size) ? -errno : 0;
	case S_IFIFO:
	case S_IFSOCK:
		return mknodat(dir, name, (mode & S_IFMT) | 0600, 0) ? -errno : 0;
	case S_IFCHR:
	case S_IFBLK:
		return mknodat(dir, name, (mode & S_IFMT) | 0600, s->attr.rdev) ? -errno : 0;
	}
	return -EBADMSG;
}

/* On a filesystem where inodes do not get the flag from their directory. */
static int set_noatime(int dir, const char *name, mode_t mode)
{
	CLEANUP_CLOSE int fd = -1;

	if (!S_ISREG(mode) && !S_ISDIR(mode))
		return 0;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return min(lower_noatime(fd), 0);
}

/* dress_inode() of a regular file that was just made: each look at a name costs as much as what is done. */
static int dress_file(struct cache *c, const struct make_spot *sp, const char *name, struct stub_ent *s, int fd)
{
	char path[64 + AUGUR_NAME_MAX];
	u8 buf[AUGUR_RECORD_LEN];
	struct augur_rec rec;
	struct timespec ts[2];
	bool caps = false;
	int err;

	err = c->noatime_each ? min(lower_noatime(fd), 0) : 0;
	if (err)
		return err;
	if ((s->attr.uid || s->attr.gid || sp->group || geteuid()) && fchown(fd, s->attr.uid, s->attr.gid))
		return -errno;
	/* After the owner: changing it strips set-id bits. */
	if ((!c->modes_stay || sp->acl || (s->attr.mode & 07000)) && fchmod(fd, s->attr.mode & 07777))
		return -errno;
	if (sp->acl || s->xattrs_len) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", sp->fd, name);
		err = (sp->acl ? attrs_replace : attrs_set)(path, s->xattrs, s->xattrs_len, &caps);
		if (err)
			return err;
		if (caps)
			s->flags |= COBJ_CAPS;
	}
	lower_times(&s->attr, ts);
	if (futimens(fd, ts))
		return -errno;
	rec_of(s, &rec);
	augur_rec_encode(&rec, buf);
	if (fsetxattr(fd, AUGUR_XATTR_NAME, buf, sizeof(buf), 0))
		return -errno;
	return fh_of(fd, "", &s->fh);
}

/* Owner, mode, attributes, times of an inode that has no valid record yet; then the record. */
static int dress_inode(struct cache *c, const struct make_spot *sp, const char *name, struct stub_ent *s)
{
	bool link = S_ISLNK(s->attr.mode), caps = false;
	struct timespec ts[2];
	int dir = sp->fd;
	char path[64 + AUGUR_NAME_MAX];
	u8 buf[AUGUR_RECORD_LEN];
	struct augur_rec rec;
	int err;

	if (c->noatime_each) {
		err = set_noatime(dir, name, s->attr.mode);
		if (err)
			return err;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
	if ((s->attr.uid != 0 || s->attr.gid != 0 || sp->group || geteuid()) &&
	    fchownat(dir, name, s->attr.uid, s->attr.gid, AT_SYMLINK_NOFOLLOW))
		return -errno;
	/* After the owner: changing it strips set-id bits. */
	if (!link && fchmodat(dir, name, s->attr.mode & 07777, 0))
		return -errno;
	err = (sp->acl && !link ? attrs_replace : attrs_set)(path, s->xattrs, s->xattrs_len, &caps);
	if (err)
		return err;
	if (caps)
		s->flags |= COBJ_CAPS;
	lower_times(&s->attr, ts);
	if (utimensat(dir, name, ts, AT_SYMLINK_NOFOLLOW))
		return -errno;
	rec_of(s, &rec);
	augur_rec_encode(&rec, buf);
	if (lsetxattr(path, AUGUR_XATTR_NAME, buf, sizeof(buf), 0))
		return -errno;
	return fh_of(dir, name, &s->fh);
}

/*
 * A name for an inode of this object and version that exists already.  Not for one that is marked
 * stale, whatever the index knows: its names ask for ever.
 */
static int link_inode(struct cache *c, int dir, const char *name, struct stub_ent *s)
{
	CLEANUP_CLOSE int fd = fh_open(c->top_fd, &s->link_fh, O_PATH | O_NOFOLLOW);
	struct augur_rec rec;
	int err;

	if (fd < 0)
		return fd;
	err = lower_record_look(fd, &rec);
	if (err)
		return err;
	if ((rec.flags & AUGUR_REC_STALE) || memcmp(rec.oid, s->attr.oid, AUGUR_OID_LEN) ||
	    rec.version != s->attr.version || rec.ctime_sec != s->attr.ctime_sec || rec.ctime_nsec != s->attr.ctime_nsec)
		return -ESTALE;
	/* Before the name is there: what is in a pinned directory is pinned at any time. */
	if (s->pinned && !(rec.flags & AUGUR_REC_PINNED)) {
		err = lower_record_flags(c, &s->link_fh, s->attr.oid, AUGUR_REC_PINNED, 0);
		if (err)
			return err;
		s->pinned_now = true;
	}
	if (linkat(fd, "", dir, name, AT_EMPTY_PATH))
		return -errno;
	s->fh = s->link_fh;
	return 0;
}

int make_remove(int dir, const char *name)
{
	if (!unlinkat(dir, name, 0))
		return 0;
	return unlinkat(dir, name, AT_REMOVEDIR) ? -errno : 0;
}

int make_at(struct cache *c, const struct make_spot *sp, const char *name, struct stub_ent *s)
{
	int err = -ENOENT, dir = sp->fd;
	CLEANUP_CLOSE int fd = -1;

	if (s->link_fh.len)
		err = link_inode(c, dir, name, s);
	if (!err)
		return 0;
	if (s->link_fh.len) {
		/* What is known of that inode is not true of this one. */
		s->flags &= ~(COBJ_COMPLETE | COBJ_CAPS);
		s->shift = augur_shift_for(s->attr.size, c->chunk_shift);
	}
	err = make_inode(dir, name, s, &fd);
	if (err && fd < 0)
		return err;
	if (!err)
		err = fd < 0 ? dress_inode(c, sp, name, s) : dress_file(c, sp, name, s, fd);
	if (err)
		make_remove(dir, name);
	else if (!is_partial(s))
		s->flags |= COBJ_COMPLETE;
	return err;
}
