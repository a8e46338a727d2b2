// SPDX-License-Identifier: GPL-2.0-only
/*
 * lower.c - every call into the lower filesystem that needs its locks, the mounter's
 * credentials, or a kernel interface that changes between versions.
 *
 * Nothing here waits for the daemon.  SWITCH and REMOVE take the lower directory's lock and
 * freeze protection and no lock of ours.  Credentials are switched only where the lower
 * filesystem checks them: a read of an open file does not.
 *
 * A plain filesystem's buffered read of a regular file is filemap_read() over its own page
 * cache and no more; tmpfs, which has no ->readahead and reads holes by itself, is not one.
 */
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/exportfs.h>
#include <linux/file.h>
#include <linux/mount.h>
#include <linux/slab.h>
#ifdef HAVE_BACKING_FILE_MMAP
#include <linux/backing-file.h>
#endif
#include "augurfs.h"

#define DECODE_TRIES	20

/* The lower file is ours alone: no access times, no notification (the upper file has it). */
#define LOWER_OPEN_FLAGS	(O_RDONLY | O_LARGEFILE | O_NOATIME | __FMODE_NONOTIFY)

/*
 * The mounter's right to read the lower object.  CAP_DAC_OVERRIDE makes the answer known
 * without the cost of switching credentials at each open.
 */
int augur_lower_may_read(struct augur_sb *asb, struct inode *lower)
{
	const struct cred *old;
	int err;

	if (cap_raised(asb->cred->cap_effective, CAP_DAC_OVERRIDE))
		return 0;
	old = override_creds(asb->cred);
	err = inode_permission(&nop_mnt_idmap, lower, MAY_OPEN | MAY_READ);
	revert_creds(old);
	return err;
}

bool augur_lower_is_plain(const struct super_block *lower)
{
#ifdef AUGUR_SEED_SLOW_PATH	/* the seeded bug of tests/accept line warm: a lower file for each open, read through it */
	return false;
#endif
	const char *name = lower->s_type->name;

	return !strcmp(name, "ext4") || !strcmp(name, "xfs") || !strcmp(name, "btrfs");
}

/* /proc/PID/maps and fd links of the result show the upper path. */
static struct file *open_backing(struct file *upper, struct augur_sb *asb, struct dentry *dentry,
				 int flags)
{
#if defined(HAVE_BACKING_FILE_OPEN_FILE) || defined(HAVE_BACKING_FILE_OPEN_PATH)
	struct path real = { .mnt = asb->lower_mnt, .dentry = dentry };
#endif

#if defined(HAVE_BACKING_FILE_OPEN_FILE)
	return backing_file_open(upper, flags, &real, asb->cred);
#elif defined(HAVE_BACKING_FILE_OPEN_PATH)
	return backing_file_open(&upper->f_path, flags, &real, asb->cred);
#else
	return open_with_fake_path(&upper->f_path, flags, d_inode(dentry), asb->cred);
#endif
}

struct file *augur_lower_open(struct file *upper, struct inode *lower)
{
	struct augur_sb *asb = AUGUR_SB(file_inode(upper)->i_sb);
	/* Another filesystem above us may have opened it with a path of its own. */
	struct dentry *dentry = augur_lower_dentry(file_dentry(upper));
	int err;

	if (WARN_ON_ONCE(!dentry || d_inode(dentry) != lower))
		return ERR_PTR(-EIO);
	err = augur_lower_may_read(asb, lower);
	if (err)
		return ERR_PTR(err);
	return open_backing(upper, asb, dentry, LOWER_OPEN_FLAGS | (upper->f_flags & O_DIRECT));
}

struct file *augur_lower_open_dir(struct augur_sb *asb, struct dentry *dentry)
{
	struct path path = { .mnt = asb->lower_mnt, .dentry = dentry };
	const struct cred *old = override_creds(asb->cred);
	struct file *file;

	file = dentry_open(&path, LOWER_OPEN_FLAGS | O_DIRECTORY, asb->cred);
	revert_creds(old);
	return file;
}

/*
 * A direct read that completes later keeps the upper file in its kiocb for the caller, so
 * the lower filesystem gets a copy of its own.  Completion may come in interrupt context.
 */
struct lower_aio {
	struct kiocb	iocb;
	struct kiocb	*orig;
	refcount_t	ref;		/* submitter and completion */
};

static void aio_put(struct lower_aio *aio)
{
	if (!refcount_dec_and_test(&aio->ref))
		return;
	fput(aio->iocb.ki_filp);
	kfree(aio);
	augur_live_dec();
}

static void aio_done(struct kiocb *iocb, long res)
{
	struct lower_aio *aio = container_of(iocb, struct lower_aio, iocb);
	struct kiocb *orig = aio->orig;

	orig->ki_pos = iocb->ki_pos;
	aio_put(aio);
	orig->ki_complete(orig, res);
}

static ssize_t read_async(struct file *lower, struct iov_iter *iter, struct kiocb *iocb)
{
	struct lower_aio *aio = kzalloc(sizeof(*aio), GFP_KERNEL);
	ssize_t ret;

	if (!aio)
		return -ENOMEM;
	augur_live_inc();
	aio->orig = iocb;
	kiocb_clone(&aio->iocb, iocb, get_file(lower));
	aio->iocb.ki_complete = aio_done;
	refcount_set(&aio->ref, 2);
	ret = vfs_iocb_iter_read(lower, &aio->iocb, iter);
	if (ret != -EIOCBQUEUED) {
		iocb->ki_pos = aio->iocb.ki_pos;
		aio_put(aio);
	}
	aio_put(aio);
	return ret;
}

/*
 * The caller checked the upper file, the open checked the lower one.  What is read at once
 * needs no second kiocb: the lower filesystem only sees its own file in it for the call.
 */
ssize_t augur_lower_read_iter(struct file *lower, struct iov_iter *iter, struct kiocb *iocb)
{
	struct file *upper = iocb->ki_filp;
	ssize_t ret;

	if (iocb->ki_flags & IOCB_DIRECT) {
		if (!(lower->f_mode & FMODE_CAN_ODIRECT))
			return -EINVAL;
		if (!is_sync_kiocb(iocb))
			return read_async(lower, iter, iocb);
	}
	iocb->ki_filp = lower;
	ret = lower->f_op->read_iter(iocb, iter);
	iocb->ki_filp = upper;
	return ret;
}

ssize_t augur_lower_splice_read(struct file *lower, struct file *upper, loff_t *ppos,
				struct pipe_inode_info *pipe, size_t len, unsigned int flags)
{
#ifdef HAVE_VFS_SPLICE_READ
	return vfs_splice_read(lower, ppos, pipe, len, flags);
#else
	if (!lower->f_op->splice_read)
		return -EINVAL;
	return lower->f_op->splice_read(lower, ppos, pipe, len, flags);
#endif
}

int augur_lower_mmap(struct file *lower, struct file *upper, struct vm_area_struct *vma)
{
#ifdef HAVE_BACKING_FILE_MMAP
	struct backing_file_ctx ctx = {
		.cred = AUGUR_SB(file_inode(upper)->i_sb)->cred,
#ifdef HAVE_BACKING_CTX_USER_FILE
		.user_file = upper,
#endif
	};

	return backing_file_mmap(lower, vma, &ctx);
#else
	const struct cred *old;
	int err;

	if (!lower->f_op->mmap)
		return -ENODEV;
	vma_set_file(vma, lower);
	old = override_creds(AUGUR_SB(file_inode(upper)->i_sb)->cred);
	err = call_mmap(lower, vma);
	revert_creds(old);
	return err;
#endif
}

/* Positive or negative lower dentry of @name with a reference, or an error. */
struct dentry *augur_lower_lookup(struct augur_sb *asb, struct dentry *dir, const struct qstr *name)
{
	const struct cred *old = override_creds(asb->cred);
	struct dentry *dentry;

	dentry = compat_lookup_one_unlocked(name, dir);
	revert_creds(old);
	return dentry;
}

/* The VFS has checked the caller; below it no permission is asked, as for our own record. */
ssize_t augur_lower_getxattr(struct augur_sb *asb, struct dentry *dentry, const char *name,
			     void *buf, size_t size)
{
	return __vfs_getxattr(dentry, d_inode(dentry), name, buf, size);
}

/*
 * Reads and decodes the record of @lower: 0, or as augur_rec_decode(), -ENODATA without one.
 * @dentry may be NULL: no filesystem of the whitelist looks at it.
 */
ssize_t augur_lower_record(struct inode *lower, struct dentry *dentry, struct augur_rec *rec)
{
	u8 buf[AUGUR_RECORD_LEN];
	ssize_t len;

	len = __vfs_getxattr(dentry, lower, AUGUR_XATTR_NAME, buf, sizeof(buf));
	if (len == -ERANGE)
		return -EBADMSG;
	if (len < 0)
		return len;
	return augur_rec_decode(buf, len, rec);
}

static int accept_any(void *context, struct dentry *dentry)
{
	return 1;
}

/* Any object of the cache's filesystem: the caller insists on a valid record. */
struct dentry *augur_lower_decode_fh(struct augur_sb *asb, const void *fh, size_t len)
{
	struct dentry *dentry;
	u32 raw[AUGUR_FH_MAX / 4];
	int tries = 0;
	s32 type;

	if (len <= sizeof(u32) || len > AUGUR_FH_MAX || len % 4)
		return ERR_PTR(-EINVAL);
	memcpy(&type, fh, sizeof(type));
	if (type < 0 || type > 0xff)
		return ERR_PTR(-EINVAL);
	memset(raw, 0, sizeof(raw));
	memcpy(raw, (const u8 *)fh + sizeof(type), len - sizeof(type));
	/* Of a number that is just being given to a new inode ext4 says ENOMEM: a moment's answer. */
	do {
		dentry = exportfs_decode_fh(asb->lower_mnt, (struct fid *)raw,
					    (len - sizeof(type)) / 4, type, accept_any, NULL);
		if (dentry != ERR_PTR(-ENOMEM) || fatal_signal_pending(current))
			break;
		usleep_range(100, 200);
	} while (++tries < DECODE_TRIES);
	if (!dentry)
		return ERR_PTR(-ESTALE);
	return dentry;
}

/* A handle without a generation is one of whatever has the number now to ext4. */
bool augur_lower_has_by_ino(const struct super_block *lower)
{
	return !strcmp(lower->s_type->name, "ext4") && lower->s_export_op &&
	       lower->s_export_op->fh_to_dentry;
}

/*
 * The file that a listing of the lower directory calls @ino, without a search for its name: a dentry
 * of it, which knows no name, or another one if it has several.  NULL if it cannot be had so.
 */
struct dentry *augur_lower_by_ino(struct augur_sb *asb, u64 ino)
{
	struct super_block *sb = asb->lower_mnt->mnt_sb;
	struct fid fid = { .i32 = { .ino = ino } };
	struct dentry *dentry;

	if (!asb->lower_by_ino || ino > U32_MAX)
		return NULL;
	dentry = sb->s_export_op->fh_to_dentry(sb, &fid, 2, FILEID_INO32_GEN);
	return IS_ERR_OR_NULL(dentry) ? NULL : dentry;
}

int augur_lower_encode_fh(struct inode *lower, void *buf, size_t max)
{
	u32 raw[(AUGUR_FH_MAX - 4) / 4];
	int words = ARRAY_SIZE(raw), type;
	u32 type32;

	type = compat_encode_inode_fh(lower, (struct fid *)raw, &words);
	if (type < 0 || type == FILEID_INVALID || words <= 0)
		return -EOVERFLOW;
	if (sizeof(type32) + words * 4 > max)
		return -EOVERFLOW;
	type32 = type;
	memcpy(buf, &type32, sizeof(type32));
	memcpy((u8 *)buf + sizeof(type32), raw, words * 4);
	return sizeof(type32) + words * 4;
}

/* -------- SWITCH and REMOVE -------- */

/* The one lower dentry of a directory; its parent chain was checked at lookup. */
static struct dentry *dir_dentry(struct inode *dir)
{
	struct dentry *dentry = d_find_any_alias(AUGUR_I(dir)->lower);

	if (!dentry)
		return ERR_PTR(-ESTALE);
	if (d_is_dir(dentry))
		return dentry;
	dput(dentry);
	return ERR_PTR(-ENOTDIR);
}

/* <cache>/.augur/tmp with a reference. */
static struct dentry *tmp_dir(struct augur_sb *asb)
{
	static const struct qstr dot = QSTR_INIT(".augur", 6), tmp = QSTR_INIT("tmp", 3);
	struct dentry *private, *dentry;

	private = augur_lower_lookup(asb, asb->lower_top.dentry, &dot);
	if (IS_ERR(private))
		return private;
	dentry = ERR_PTR(-ENOTDIR);
	if (d_is_dir(private))
		dentry = augur_lower_lookup(asb, private, &tmp);
	dput(private);
	if (!IS_ERR(dentry) && !d_is_dir(dentry)) {
		dput(dentry);
		return ERR_PTR(-ENOTDIR);
	}
	return dentry;
}

/* @name in @dir, whose lock is held, if it is @want; else -ESTALE. */
static struct dentry *lookup_exact(struct dentry *dir, const struct qstr *name, struct inode *want)
{
	struct dentry *dentry = compat_lookup_one(name, dir);

	if (IS_ERR(dentry))
		return dentry;
	if (d_inode(dentry) == want)
		return dentry;
	dput(dentry);
	return ERR_PTR(-ESTALE);
}

#ifdef HAVE_START_RENAMING

static int rename_over(struct dentry *from_dir, const struct qstr *from, struct inode *new_inode,
		       struct dentry *to_dir, const struct qstr *to, struct inode *old)
{
	struct renamedata rd = {
		.mnt_idmap = &nop_mnt_idmap, .old_parent = from_dir, .new_parent = to_dir,
	};
	struct dentry *a, *b;
	int err;

	a = compat_lookup_one_unlocked(from, from_dir);
	if (IS_ERR(a))
		return PTR_ERR(a);
	b = compat_lookup_one_unlocked(to, to_dir);
	if (IS_ERR(b)) {
		dput(a);
		return PTR_ERR(b);
	}
	err = start_renaming_two_dentries(&rd, a, b);
	if (!err) {
		err = -ESTALE;
		if (d_inode(a) == new_inode && d_inode(b) == old)
			err = vfs_rename(&rd);
		end_renaming(&rd);
	}
	dput(b);
	dput(a);
	return err;
}

#else

static int rename_locked(struct dentry *from_dir, struct dentry *a, struct dentry *to_dir,
			 struct dentry *b)
{
	struct renamedata rd = {
#ifdef HAVE_RENAMEDATA_PARENTS
		.mnt_idmap = &nop_mnt_idmap,
		.old_parent = from_dir, .new_parent = to_dir,
#elif defined(HAVE_MNT_IDMAP)
		.old_mnt_idmap = &nop_mnt_idmap, .new_mnt_idmap = &nop_mnt_idmap,
		.old_dir = d_inode(from_dir), .new_dir = d_inode(to_dir),
#else
		.old_mnt_userns = &init_user_ns, .new_mnt_userns = &init_user_ns,
		.old_dir = d_inode(from_dir), .new_dir = d_inode(to_dir),
#endif
		.old_dentry = a, .new_dentry = b,
	};

	return vfs_rename(&rd);
}

static int rename_over(struct dentry *from_dir, const struct qstr *from, struct inode *new_inode,
		       struct dentry *to_dir, const struct qstr *to, struct inode *old)
{
	struct dentry *trap, *a, *b;
	int err;

	trap = lock_rename(from_dir, to_dir);
	if (IS_ERR(trap))
		return PTR_ERR(trap);
	a = lookup_exact(from_dir, from, new_inode);
	err = PTR_ERR_OR_ZERO(a);
	if (err)
		goto unlock;
	b = lookup_exact(to_dir, to, old);
	err = PTR_ERR_OR_ZERO(b);
	if (!err) {
		err = (a == trap || b == trap) ? -EINVAL : rename_locked(from_dir, a, to_dir, b);
		dput(b);
	}
	dput(a);
unlock:
	unlock_rename(from_dir, to_dir);
	return err;
}

#endif /* HAVE_START_RENAMING */

int augur_lower_switch(struct augur_sb *asb, struct inode *dir, const struct qstr *name,
		       struct inode *old, const struct qstr *tmp_name, struct inode *new_inode)
{
	struct dentry *to_dir, *from_dir;
	const struct cred *cred;
	int err;

	to_dir = dir_dentry(dir);
	if (IS_ERR(to_dir))
		return PTR_ERR(to_dir);
	from_dir = tmp_dir(asb);
	err = PTR_ERR_OR_ZERO(from_dir);
	if (err)
		goto put_to;
	err = mnt_want_write(asb->lower_mnt);
	if (err)
		goto put_from;
	cred = override_creds(asb->cred);
	err = rename_over(from_dir, tmp_name, new_inode, to_dir, name, old);
	revert_creds(cred);
	mnt_drop_write(asb->lower_mnt);
put_from:
	dput(from_dir);
put_to:
	dput(to_dir);
	return err;
}

/* With the directory's lock held. */
static int remove_locked(struct dentry *dir, struct dentry *dentry)
{
	if (d_is_dir(dentry))
		return compat_rmdir(d_inode(dir), dentry);
	return vfs_unlink(&nop_mnt_idmap, d_inode(dir), dentry, NULL);
}

static int remove_name(struct dentry *dir, const struct qstr *name, struct inode *old)
{
	struct dentry *dentry;
	int err;

	inode_lock_nested(d_inode(dir), I_MUTEX_PARENT);
	dentry = lookup_exact(dir, name, old);
	err = PTR_ERR_OR_ZERO(dentry);
	if (!err) {
		err = remove_locked(dir, dentry);
		dput(dentry);
	}
	inode_unlock(d_inode(dir));
	return err;
}

int augur_lower_remove(struct augur_sb *asb, struct inode *dir, const struct qstr *name,
		       struct inode *old)
{
	struct dentry *parent = dir_dentry(dir);
	const struct cred *cred;
	int err;

	if (IS_ERR(parent))
		return PTR_ERR(parent);
	cred = override_creds(asb->cred);
	err = remove_name(parent, name, old);
	revert_creds(cred);
	dput(parent);
	return err;
}
