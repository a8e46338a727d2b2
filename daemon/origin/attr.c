// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Attributes of an origin object as they go over the wire, all taken through one held
 * descriptor, so that handle, stat, link target and xattrs belong to one inode whatever
 * happens to its name meanwhile.  Worker threads; no shared state.
 */
#include <sched.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "origin/origin.h"
#include "place/place.h"

#define STAT_MASK (STATX_BASIC_STATS)

static u64 tag_of(const struct origin_loc *loc, const struct statx *stx)
{
	u8 in[4 + ORIGIN_HANDLE_MAX + 40];
	u64 v[4] = { stx->stx_size, (u64)stx->stx_mtime.tv_sec, (u64)stx->stx_ctime.tv_sec,
		     (u64)stx->stx_mtime.tv_nsec << 32 | stx->stx_ctime.tv_nsec };
	u32 type = cpu_to_le32((u32)loc->type);
	size_t n = 4 + loc->len;
	u64 tag;

	memcpy(in, &type, 4);
	memcpy(in + 4, loc->handle, loc->len);
	for (int i = 0; i < 4; i++) {
		v[i] = cpu_to_le64(v[i]);
		memcpy(in + n, &v[i], 8);
		n += 8;
	}
	tag = XXH3_64bits(in, n);
	return tag ? tag : 1;
}

/*
 * Young: another change could still get the same ctime.  @now is a time before the look: who is
 * held up between the two would take for old what has changed again meanwhile.  It is of the clock
 * that stamps: its tick lasts longer than it should where the processor was away (a busy host's
 * guest), and all that is changed in it gets one stamp.  A ctime far in the future comes from a
 * clock that was set back, and says nothing about now.
 */
static bool stat_young(const struct origin_export *ex, const struct statx *stx, u64 now)
{
	s64 sec = now / 1000000000, age;

	if (sec - stx->stx_ctime.tv_sec > 10 || stx->stx_ctime.tv_sec - sec > 10)
		return false;
	age = (sec - stx->stx_ctime.tv_sec) * 1000000000LL + (s64)(now % 1000000000) - stx->stx_ctime.tv_nsec;
	return age < 2 * (s64)ex->tick_ns && age > -2 * (s64)ex->tick_ns;
}

int origin_stat_fd(const struct origin_export *ex, int fd, const struct origin_loc *loc, struct origin_stat *st)
{
	u64 now = ex->io->ops->stamp_ns(ex->io);

	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STAT_MASK, &st->stx))
		return -errno;
	if ((st->stx.stx_mask & STAT_MASK) != STAT_MASK || st->stx.stx_size > INT64_MAX)
		return -EOVERFLOW;
	if (!st->stx.stx_nlink)
		return -ESTALE;
	st->tag = tag_of(loc, &st->stx);
	st->young = stat_young(ex, &st->stx, now);
	return 0;
}

u32 origin_pu(const struct origin_export *ex, const struct origin_loc *loc, const struct statx *stx,
	      const u8 dir[AUGUR_OID_LEN], const char *name, size_t len)
{
	if (S_ISDIR(stx->stx_mode) || stx->stx_nlink > 1)
		return place_pu_dir(loc->oid);
	if (origin_is_split(ex, dir))
		return place_pu_name(dir, name, len);
	return place_pu_dir(dir);
}

static void attr_fill(struct wire_attr *a, const struct origin_loc *loc, const struct origin_stat *st)
{
	const struct statx *s = &st->stx;

	memset(a, 0, sizeof(*a));
	memcpy(a->oid, loc->oid, AUGUR_OID_LEN);
	a->pu = loc->pu;
	a->mode = s->stx_mode;
	a->uid = s->stx_uid;
	a->gid = s->stx_gid;
	a->nlink = s->stx_nlink;
	if (S_ISCHR(s->stx_mode) || S_ISBLK(s->stx_mode))
		a->rdev = makedev(s->stx_rdev_major, s->stx_rdev_minor);
	a->size = s->stx_size;
	if (S_ISREG(s->stx_mode))
		a->holes = augur_holes(s->stx_size, s->stx_blocks);
	a->tag = st->tag;
	a->mtime_sec = s->stx_mtime.tv_sec;
	a->mtime_nsec = s->stx_mtime.tv_nsec;
	a->ctime_sec = s->stx_ctime.tv_sec;
	a->ctime_nsec = s->stx_ctime.tv_nsec;
}

/* ---- xattrs ---- */

static bool xattr_private(const char *name)
{
	return !strncmp(name, "trusted.augur", 13);
}

/* One pair at the end of ent->xattrs, which has room for WIRE_XATTRS_MAX. */
static int xattr_add(struct origin_entry *ent, const char *proc, const char *name)
{
	size_t nlen = strlen(name), at = ent->e.xattrs_len;
	ssize_t n;

	if (at + 3 + nlen > WIRE_XATTRS_MAX) {
		ent->dropped = true;
		return 0;
	}
	n = getxattr(proc, name, ent->xattrs + at + 3 + nlen, WIRE_XATTRS_MAX - at - 3 - nlen);
	if (n < 0) {
		if (errno == ERANGE || errno == E2BIG)
			ent->dropped = true;
		return errno == ENODATA || errno == ERANGE || errno == E2BIG ? 0 : -errno;
	}
	ent->xattrs[at] = nlen;
	ent->xattrs[at + 1] = n & 0xff;
	ent->xattrs[at + 2] = n >> 8;
	memcpy(ent->xattrs + at + 3, name, nlen);
	ent->e.xattrs_len += 3 + nlen + n;
	return 0;
}

static __thread bool in_proc_fd;

void origin_worker_enter(void)
{
	if (!in_proc_fd && !unshare(CLONE_FS))
		in_proc_fd = !chdir("/proc/self/fd");
}

/* Through /proc/self/fd, whose link is the descriptor itself: O_PATH has no fgetxattr. */
static int xattrs_fill(struct origin_entry *ent, int fd)
{
	char proc[32], small[512], *names = small, *p;
	ssize_t n;
	int err = 0;

	snprintf(proc, sizeof(proc), "%s%d", in_proc_fd ? "" : "/proc/self/fd/", fd);
	n = listxattr(proc, small, sizeof(small));
	if (n < 0 && errno == ERANGE) {
		names = xmalloc(65536);
		n = listxattr(proc, names, 65536);
	}
	if (n < 0 && errno != EOPNOTSUPP)
		err = -errno;
	if (n > 0 && !ent->xattrs) {
		ent->xattrs_cap = WIRE_XATTRS_MAX;
		ent->xattrs = xmalloc(ent->xattrs_cap);
	}
	for (p = names; !err && p < names + n; p += strlen(p) + 1)
		if (!xattr_private(p))
			err = xattr_add(ent, proc, p);
	if (names != small)
		free(names);
	if (ent->e.xattrs_len)
		ent->e.xattrs = ent->xattrs;
	return err;
}

static int link_fill(struct origin_entry *ent, int fd)
{
	ssize_t n = readlinkat(fd, "", ent->link, sizeof(ent->link));

	if (n < 0)
		return -errno;
	if (n == 0 || n > WIRE_LINK_MAX)
		return -EOVERFLOW;
	ent->e.link = ent->link;
	ent->e.link_len = n;
	return 0;
}

int origin_entry_fill(const struct origin_export *ex, EVP_MAC_CTX *mac, struct origin_entry *ent, int fd,
		      const u8 *dir, const char *name, size_t len)
{
	u32 pu = ent->loc.pu;
	int err;

	memset(&ent->e, 0, sizeof(ent->e));
	ent->dropped = false;
	err = origin_loc_of(ex, fd, &ent->loc);
	if (!err)
		err = origin_stat_fd(ex, fd, &ent->loc, &ent->st);
	if (!err)
		err = xattrs_fill(ent, fd);
	if (!err && S_ISLNK(ent->st.stx.stx_mode))
		err = link_fill(ent, fd);
	if (err)
		return err;
	ent->loc.pu = dir ? origin_pu(ex, &ent->loc, &ent->st.stx, dir, name, len) : pu;
	attr_fill(&ent->e.attr, &ent->loc, &ent->st);
	if (ent->e.link)
		ent->e.attr.size = ent->e.link_len;
	ent->e.name = name;
	ent->e.name_len = len;
	ent->e.locator = ent->locator;
	ent->e.locator_len = origin_loc_seal(ex, mac, &ent->loc, ent->locator);
	return ent->e.locator_len ? 0 : -EIO;
}

void origin_entry_free(struct origin_entry *ent)
{
	free(ent->xattrs);
	ent->xattrs = NULL;
}
