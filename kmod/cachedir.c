// SPDX-License-Identifier: GPL-2.0-only
/*
 * cachedir.c - is this directory fit to be a cache?  Asked once, at mount.
 *
 * Whatever is wrong is said through the mount's own log with what to do about it.  A cache
 * that is accepted lies on a filesystem we know, can be written by the mounter, is reached
 * by a private mount that nobody else can change, and has a root with a valid record.
 */
#include <linux/exportfs.h>
#include <linux/fs_context.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include "augurfs.h"

static bool lower_fs_known(const char *name)
{
	static const char *const known[] = { "ext4", "xfs", "btrfs", "tmpfs" };
	int i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(name, known[i]))
			return true;
	return false;
}

static int check_cache_fs(struct fs_context *fc, const char *cache, const struct path *path)
{
	struct super_block *lower = path->dentry->d_sb;

	if (!lower_fs_known(lower->s_type->name)) {
		errorf(fc, "augurfs: cache=%s is on %s: it must be on ext4, xfs or btrfs (tmpfs for tests)",
		       cache, lower->s_type->name);
		return -EINVAL;
	}
	if (is_idmapped_mnt(path->mnt)) {
		errorf(fc, "augurfs: cache=%s is on an idmapped mount: name it by a path that is not", cache);
		return -EINVAL;
	}
	if (lower->s_stack_depth + 1 > FILESYSTEM_MAX_STACK_DEPTH) {
		errorf(fc, "augurfs: cache=%s lies on too many stacked filesystems", cache);
		return -EINVAL;
	}
	if (!lower->s_export_op || !lower->s_export_op->fh_to_dentry) {
		errorf(fc, "augurfs: cache=%s: its filesystem has no file handles", cache);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int check_cache_writable(struct fs_context *fc, const char *cache, const struct path *path)
{
	int err = mnt_want_write(path->mnt);

	if (!err) {
		mnt_drop_write(path->mnt);
		err = inode_permission(&nop_mnt_idmap, d_inode(path->dentry), MAY_WRITE | MAY_EXEC);
	}
	if (err)
		errorf(fc, "augurfs: cache=%s is not writable (error %d): remount it rw or choose another directory",
		       cache, err);
	return err;
}

static int check_root(struct fs_context *fc, const char *cache, struct dentry *root)
{
	struct augur_rec rec;
	int err;

	if (!d_is_dir(root)) {
		errorf(fc, "augurfs: %s/root is not a directory: augurd has not prepared this cache; mount with mount.augurfs",
		       cache);
		return d_is_negative(root) ? -ENOENT : -ENOTDIR;
	}
	err = augur_lower_record(d_inode(root), root, &rec);
	switch (err) {
	case 0:
		return 0;
	case -EOPNOTSUPP:
		errorf(fc, "augurfs: cache=%s: its filesystem keeps no trusted attributes", cache);
		return err;
	case -ENODATA:
		errorf(fc, "augurfs: %s/root has no record: augurd has not prepared it; mount with mount.augurfs",
		       cache);
		return -EUCLEAN;
	case -EPROTONOSUPPORT:
		errorf(fc, "augurfs: %s/root was made by a newer augurfs: update the module or use another cache",
		       cache);
		return err;
	default:
		errorf(fc, "augurfs: the record of %s/root cannot be read (error %d): run augur doctor, or use another cache",
		       cache, err);
		return err == -EBADMSG || err == -ERANGE ? -EUCLEAN : err;
	}
}

/* What the daemon knows the directory by. */
static int take_identity(struct augur_sb *asb)
{
	struct kstat stat;
	int err = vfs_getattr(&asb->lower_root, &stat, STATX_INO, AT_STATX_SYNC_AS_STAT);

	if (err)
		return err;
	asb->lower_dev = stat.dev;
	asb->lower_ino = stat.ino;
	return 0;
}

/* Fills lower_mnt, lower_top and lower_root from the path of the cache. */
static int adopt_cache(struct fs_context *fc, struct augur_sb *asb, const struct path *path)
{
	static const struct qstr name = QSTR_INIT("root", 4);
	struct vfsmount *mnt;
	struct dentry *root;
	int err;

	mnt = clone_private_mount(path);
	if (IS_ERR(mnt)) {
		errorf(fc, "augurfs: cache=%s cannot be cloned (error %ld): is its mount unbindable or in another namespace?",
		       asb->cache, PTR_ERR(mnt));
		return PTR_ERR(mnt);
	}
	mnt->mnt_flags |= MNT_NOATIME;
	asb->plain = augur_lower_is_plain(mnt->mnt_sb);
	asb->lower_by_ino = augur_lower_has_by_ino(mnt->mnt_sb);
	asb->lower_mnt = mnt;
	asb->lower_top.mnt = mnt;
	asb->lower_top.dentry = dget(path->dentry);
	root = augur_lower_lookup(asb, path->dentry, &name);
	if (IS_ERR(root)) {
		errorf(fc, "augurfs: %s/root cannot be looked up (error %ld)", asb->cache, PTR_ERR(root));
		return PTR_ERR(root);
	}
	asb->lower_root.mnt = mntget(mnt);
	asb->lower_root.dentry = root;
	err = check_root(fc, asb->cache, root);
	return err ?: take_identity(asb);
}

int augur_cache_open(struct fs_context *fc, struct augur_sb *asb)
{
	struct path path;
	int err;

	err = kern_path(asb->cache, LOOKUP_FOLLOW, &path);
	if (err) {
		errorf(fc, "augurfs: cache=%s: %s", asb->cache, err == -ENOENT ?
		       "no such directory; create it, or mount with mount.augurfs, which does" :
		       "cannot be reached");
		return err;
	}
	if (!d_is_dir(path.dentry)) {
		errorf(fc, "augurfs: cache=%s is not a directory", asb->cache);
		err = -ENOTDIR;
	}
	if (!err)
		err = check_cache_fs(fc, asb->cache, &path);
	if (!err)
		err = check_cache_writable(fc, asb->cache, &path);
	if (!err)
		err = adopt_cache(fc, asb, &path);
	path_put(&path);
	return err;
}
