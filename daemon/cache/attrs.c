// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * attrs.c - extended attributes of lower inodes: those the owner has, of the kinds that may
 * come from a peer, and no others.  Worker (and the root's at the attach): functions may block.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "cache/cache.h"

#define LIST_MAX (64 * 1024)

static bool starts(const char *s, const char *p)
{
	return !strncmp(s, p, strlen(p));
}

/* What a peer may set on our inodes. Labels of this host's security modules are this host's affair. */
static bool allowed(const char *name)
{
	if (starts(name, AUGUR_XATTR_PREFIX) || starts(name, "trusted.overlay."))
		return false;
	return starts(name, "user.") || starts(name, "trusted.") || !strcmp(name, "security.capability") ||
	       !strcmp(name, "security.ima") || !strcmp(name, "security.evm") ||
	       !strcmp(name, "system.posix_acl_access") || !strcmp(name, "system.posix_acl_default");
}

/* Of those, what can only have come from the owner, or from a directory above. */
static bool removable(const char *name)
{
	return allowed(name) && (!starts(name, "security.") || !strcmp(name, "security.capability"));
}

/* One pair as a terminated name: 1, 0 at the end, or -EBADMSG. */
static int next_pair(const u8 **p, const u8 *end, char text[256], const u8 **val, size_t *val_len)
{
	const char *name;
	size_t name_len;
	int ret = wire_xattr_next(p, end, &name, &name_len, val, val_len);

	if (ret != 1)
		return ret;
	if (name_len >= 256 || memchr(name, 0, name_len))
		return -EBADMSG;
	memcpy(text, name, name_len);
	text[name_len] = 0;
	return 1;
}

int attrs_set(const char *path, const u8 *pairs, size_t len, bool *caps)
{
	const u8 *p = pairs, *end = pairs + len, *val;
	char text[256];
	size_t val_len;
	int ret;

	while ((ret = next_pair(&p, end, text, &val, &val_len)) == 1) {
		if (!allowed(text))
			continue;
		if (!strcmp(text, "security.capability"))
			*caps = true;
		/* A lower filesystem without this kind of attribute, or a value it refuses: go on without. */
		if (lsetxattr(path, text, val, val_len, 0) && errno != EOPNOTSUPP && errno != EINVAL &&
		    errno != EPERM && errno != E2BIG && errno != ENOSPC)
			return -errno;
	}
	return ret;
}

static bool wanted(const u8 *pairs, size_t len, const char *name)
{
	const u8 *p = pairs, *end = pairs + len, *val;
	char text[256];
	size_t val_len;

	while (next_pair(&p, end, text, &val, &val_len) == 1)
		if (!strcmp(text, name))
			return true;
	return false;
}

int attrs_replace(const char *path, const u8 *pairs, size_t len, bool *caps)
{
	CLEANUP_FREE char *names = xmalloc(LIST_MAX);
	ssize_t n = llistxattr(path, names, LIST_MAX);

	if (n < 0 && errno != EOPNOTSUPP)
		return -errno;
	for (const char *name = names; name < names + n; name += strlen(name) + 1)
		if (removable(name) && !wanted(pairs, len, name) && lremovexattr(path, name) && errno != ENODATA &&
		    errno != EOPNOTSUPP)
			return -errno;
	return attrs_set(path, pairs, len, caps);
}

int attrs_dir(int fd, const struct wire_attr *a, const u8 *pairs, size_t len)
{
	struct timespec ts[2];
	bool caps = false;
	char path[64];
	int err;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/.", fd);
	err = attrs_replace(path, pairs, len, &caps);
	if (err)
		return err;
	lower_times(a, ts);
	/* The mode after the ACL: its group bits are the ACL's mask, here and there. */
	return fchown(fd, a->uid, a->gid) || fchmod(fd, a->mode & 07777) || futimens(fd, ts) ? -errno : 0;
}
