/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * compat.h - what older kernels call differently; included before every file of the module.
 *
 * The sources are written for the newest kernel.  compat-config.h holds the answers of the
 * probes (one question per file of probes/), so that a stable release that changes an
 * interface is judged by what it has and not by its number.  Nothing here has a body longer
 * than a wrapper; locks for a rename in the lower filesystem are in lower.c's terms.
 */
#ifndef AUGUR_COMPAT_H
#define AUGUR_COMPAT_H

#include "compat-config.h"
#include <linux/dcache.h>
#include <linux/exportfs.h>
#include <linux/fs.h>
#ifdef HAVE_FILELOCK_H
#include <linux/filelock.h>
#endif
#include <linux/mm.h>
#include <linux/namei.h>
#include <linux/posix_acl.h>
#include <linux/shrinker.h>
#include <linux/splice.h>
#include <linux/xattr.h>

#ifndef HAVE_MNT_IDMAP
#define mnt_idmap		user_namespace
#define nop_mnt_idmap		init_user_ns
#endif

#ifndef HAVE_INODE_SET_CTIME
static inline struct timespec64 inode_set_ctime(struct inode *inode, time64_t sec, long nsec)
{
	inode->i_ctime = (struct timespec64){ .tv_sec = sec, .tv_nsec = nsec };
	return inode->i_ctime;
}
#endif

#ifndef HAVE_INODE_SET_MTIME
static inline struct timespec64 inode_get_mtime(const struct inode *inode)
{
	return inode->i_mtime;
}

static inline struct timespec64 inode_get_atime(const struct inode *inode)
{
	return inode->i_atime;
}

static inline struct timespec64 inode_set_mtime_to_ts(struct inode *inode, struct timespec64 ts)
{
	inode->i_mtime = ts;
	return ts;
}

static inline struct timespec64 inode_set_atime_to_ts(struct inode *inode, struct timespec64 ts)
{
	inode->i_atime = ts;
	return ts;
}
#endif

#ifndef HAVE_FILLATTR_MASK
#define generic_fillattr(idmap, mask, inode, stat) generic_fillattr(idmap, inode, stat)
#endif

/* const struct xattr_handler *AUGUR_XATTR_CONST table[] */
#ifdef HAVE_XATTR_CONST_TABLE
#define AUGUR_XATTR_CONST const
#else
#define AUGUR_XATTR_CONST
#endif

#ifndef HAVE_GET_INODE_ACL
#define get_inode_acl get_acl
#endif

/* Heads of the two dentry operations whose arguments changed. */
#ifdef HAVE_D_REVALIDATE_DIR
#define AUGUR_D_REVALIDATE(name, dentry, flags) \
	name(struct inode *dir_, const struct qstr *name_, struct dentry *dentry, unsigned int flags)
#else
#define AUGUR_D_REVALIDATE(name, dentry, flags) \
	name(struct dentry *dentry, unsigned int flags)
#endif
#ifdef HAVE_D_REAL_TYPE
#define AUGUR_D_REAL(name, dentry) name(struct dentry *dentry, enum d_real_type type_)
#define AUGUR_D_REAL_WANTS_UPPER(dentry) false
#else
#define AUGUR_D_REAL(name, dentry) name(struct dentry *dentry, const struct inode *want_)
/* A file whose inode is ours asks for the dentry it already has. */
#define AUGUR_D_REAL_WANTS_UPPER(dentry) (want_ && want_ == d_inode(dentry))
#endif

#ifndef HAVE_SET_DEFAULT_D_OP
#define set_default_d_op(sb, ops) ((sb)->s_d_op = (ops))
#endif

static inline struct dentry *compat_lookup_one_unlocked(const struct qstr *name,
							struct dentry *base)
{
#ifdef HAVE_LOOKUP_ONE_QSTR
	return lookup_one_unlocked(&nop_mnt_idmap, &QSTR_LEN(name->name, name->len), base);
#else
	return lookup_one_unlocked(&nop_mnt_idmap, (const char *)name->name, base, name->len);
#endif
}

/* The caller holds the directory's i_rwsem. */
static inline struct dentry *compat_lookup_one(const struct qstr *name, struct dentry *base)
{
#ifdef HAVE_LOOKUP_ONE_QSTR
	return lookup_one(&nop_mnt_idmap, &QSTR_LEN(name->name, name->len), base);
#else
	return lookup_one(&nop_mnt_idmap, (const char *)name->name, base, name->len);
#endif
}

static inline int compat_encode_inode_fh(struct inode *inode, struct fid *fid, int *words)
{
#ifdef HAVE_ENCODE_INODE_FH_FLAGS
	return exportfs_encode_inode_fh(inode, fid, words, NULL, 0);
#else
	return exportfs_encode_inode_fh(inode, fid, words, NULL);
#endif
}

#ifndef HAVE_RELEASE_FAULT_LOCK
static inline void release_fault_lock(struct vm_fault *vmf)
{
	mmap_read_unlock(vmf->vma->vm_mm);
}
#endif

#ifndef HAVE_INODE_JUST_DROP
#define inode_just_drop generic_delete_inode
#endif

#ifndef HAVE_INODE_STATE_READ_ONCE
#define inode_state_read_once(inode) READ_ONCE((inode)->i_state)
#endif

static inline int compat_rmdir(struct inode *dir, struct dentry *dentry)
{
#ifdef HAVE_RMDIR_DELEGATED
	return vfs_rmdir(&nop_mnt_idmap, dir, dentry, NULL);
#else
	return vfs_rmdir(&nop_mnt_idmap, dir, dentry);
#endif
}

struct compat_shrinker {
#ifdef HAVE_SHRINKER_ALLOC
	struct shrinker *s;
#else
	struct shrinker s;
#endif
};

static inline int compat_shrinker_add(struct compat_shrinker *c, const char *name,
		unsigned long (*count)(struct shrinker *, struct shrink_control *),
		unsigned long (*scan)(struct shrinker *, struct shrink_control *))
{
#ifdef HAVE_SHRINKER_ALLOC
	c->s = shrinker_alloc(0, "%s", name);
	if (!c->s)
		return -ENOMEM;
	c->s->count_objects = count;
	c->s->scan_objects = scan;
	c->s->seeks = DEFAULT_SEEKS;
	shrinker_register(c->s);
	return 0;
#else
	c->s.count_objects = count;
	c->s.scan_objects = scan;
	c->s.seeks = DEFAULT_SEEKS;
	return register_shrinker(&c->s, "%s", name);
#endif
}

static inline void compat_shrinker_del(struct compat_shrinker *c)
{
#ifdef HAVE_SHRINKER_ALLOC
	shrinker_free(c->s);
#else
	unregister_shrinker(&c->s);
#endif
}

#endif /* AUGUR_COMPAT_H */
