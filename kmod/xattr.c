// SPDX-License-Identifier: GPL-2.0-only
/*
 * xattr.c - extended attributes and ACLs of the lower object, read only, without ours.
 *
 * Every name that starts as our record's does is hidden from all callers, root included:
 * what it says is the cache's business, and a backup that restored it would lie.  The VFS
 * has checked the caller's rights against the upper inode; a set never arrives here with
 * anything but a read-only mount behind it.
 */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/posix_acl_xattr.h>
#include <linux/sched.h>
#include "augurfs.h"

#define XFS_ACL_PREFIX	"trusted.SGI_ACL_"

static bool is_hidden(const char *name)
{
	if (augur_inject(AUGUR_INJECT_skip_hide_xattr))
		return false;
	/* XFS lists its form of an ACL beside the ACL: where the cache lies must not show. */
	if (!strncmp(name, XFS_ACL_PREFIX, sizeof(XFS_ACL_PREFIX) - 1))
		return true;
	return !strncmp(name, AUGUR_XATTR_PREFIX, sizeof(AUGUR_XATTR_PREFIX) - 1);
}

/* Without "suid" a program gains no capabilities from its file: exec is told of none. */
static bool caps_denied(struct inode *inode, const char *name)
{
	return !AUGUR_SB(inode->i_sb)->suid && current->in_execve &&
	       !strcmp(name, XATTR_NAME_CAPS);
}

static int augur_xattr_get(const struct xattr_handler *handler, struct dentry *dentry,
			   struct inode *inode, const char *name, void *buf, size_t size)
{
	struct dentry *lower = augur_lower_dentry(dentry);

	if (!lower)
		return -ESTALE;
	if (is_hidden(name) || caps_denied(inode, name))
		return -ENODATA;
	return augur_lower_getxattr(AUGUR_SB(inode->i_sb), lower, name, buf, size);
}

static int augur_xattr_set(const struct xattr_handler *handler, struct mnt_idmap *idmap,
			   struct dentry *dentry, struct inode *inode, const char *name,
			   const void *value, size_t size, int flags)
{
	return -EROFS;
}

/* The empty prefix matches every name. */
static const struct xattr_handler augur_xattr_any = {
	.prefix	= "",
	.get	= augur_xattr_get,
	.set	= augur_xattr_set,
};

const struct xattr_handler *AUGUR_XATTR_CONST augur_xattr_handlers[] = {
#ifndef HAVE_GET_INODE_ACL
	&posix_acl_access_xattr_handler,
	&posix_acl_default_xattr_handler,
#endif
	&augur_xattr_any,
	NULL
};

/* Moves the names that may be seen to the front of @list; returns their length. */
static size_t filter_names(char *list, size_t len)
{
	size_t out = 0, n;
	char *p = list;

	while (p < list + len) {
		n = strnlen(p, list + len - p) + 1;
		if (p + n > list + len)
			break;
		if (!is_hidden(p)) {
			memmove(list + out, p, n);
			out += n;
		}
		p += n;
	}
	return out;
}

/*
 * Always read whole and filtered in a buffer of ours, so that the length asked for first is
 * the length got afterwards.  The lower filesystem leaves "trusted." out for callers
 * without the right, so it is asked as the caller.
 */
ssize_t augur_listxattr(struct dentry *dentry, char *list, size_t size)
{
	struct dentry *lower = augur_lower_dentry(dentry);
	ssize_t len;
	char *buf;

	if (!lower)
		return -ESTALE;
	len = vfs_listxattr(lower, NULL, 0);
	if (len <= 0)
		return len;
	buf = kvmalloc(len, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	len = vfs_listxattr(lower, buf, len);
	if (len > 0)
		len = filter_names(buf, len);
	if (len > 0 && size) {
		if (len > size)
			len = -ERANGE;
		else
			memcpy(list, buf, len);
	}
	kvfree(buf);
	return len;
}

/* Cached on the upper inode by the VFS until INVAL forgets it. */
struct posix_acl *augur_get_inode_acl(struct inode *inode, int type, bool rcu)
{
	struct inode *lower = AUGUR_I(inode)->lower;

	if (rcu)
		return ERR_PTR(-ECHILD);
	if (!IS_POSIXACL(lower))
		return NULL;
	return get_inode_acl(lower, type);
}
