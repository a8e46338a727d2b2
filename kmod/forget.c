// SPDX-License-Identifier: GPL-2.0-only
/*
 * forget.c - a name that goes from the cache while its owner has it still, to make room.
 *
 * It must be as if it had never been looked up: whoever wants it from now on asks.  So the
 * directory is no longer complete before the name is gone, and a name that anybody relies on
 * stays.  The directory's lock, exclusive, keeps lookups and listings out; they hold it while
 * they wait for the daemon, which is who calls this, so it is taken if it is free and not waited
 * for.  A name's dentry that nobody else holds is unhashed under its own lock: a path walk that
 * comes later does not find it and waits for the directory, one that came before is seen.
 */
#include <linux/dcache.h>
#include "upcall.h"

/* With a reference, or NULL: nobody has it in memory. */
static struct dentry *name_dentry(struct inode *dir, struct inode *inode, const struct qstr *name)
{
	struct dentry *parent, *dentry;
	struct qstr q = *name;

	/* A directory has one, under whatever name it was looked up, and it may be somebody's cwd. */
	if (S_ISDIR(inode->i_mode))
		return d_find_any_alias(inode);
	parent = d_find_any_alias(dir);
	if (!parent)
		return NULL;
	q.hash = full_name_hash(parent, q.name, q.len);
	dentry = d_lookup(parent, &q);
	dput(parent);
	return dentry;
}

/* Ours is the only reference: the name is looked up again from now on. */
static bool drop_unused(struct dentry *dentry)
{
	bool unused;

	spin_lock(&dentry->d_lock);
	unused = dentry->d_lockref.count == 1;
	if (unused)
		__d_drop(dentry);
	spin_unlock(&dentry->d_lock);
	return unused;
}

/* The record is asked as well: a pin is there before it is in memory. */
static int still_used(struct inode *inode, struct dentry *lower)
{
	struct augur_inode *ai = AUGUR_I(inode);
	struct augur_rec rec;
	bool busy;
	int err;

	spin_lock(&ai->lock);
	busy = augur_busy(ai);
	spin_unlock(&ai->lock);
	if (busy || rcu_access_pointer(inode->i_fsnotify_marks))
		return -EBUSY;
	err = augur_lower_record(ai->lower, lower, &rec);
	if (err)
		return err;
	return rec.flags & AUGUR_REC_PINNED ? -EBUSY : 0;
}

static int forget_locked(struct inode *dir, const struct qstr *name, struct inode *inode,
			 struct dentry *lower, struct dentry *dentry)
{
	struct inode *lower_inode = AUGUR_I(inode)->lower;
	int err = dentry && !drop_unused(dentry) ? -EBUSY : 0;

	if (!err)
		err = still_used(inode, lower);
	if (err && !augur_inject(AUGUR_INJECT_forget_used))
		return err;
	if (!augur_inject(AUGUR_INJECT_forget_complete))
		augur_dir_incomplete(dir);
	err = augur_lower_remove(AUGUR_SB(dir->i_sb), dir, name, lower_inode);
	/* Not kept for another look: the lower inode goes with ours. */
	if (!err && (S_ISDIR(inode->i_mode) || !READ_ONCE(lower_inode->i_nlink)))
		clear_nlink(inode);
	return err;
}

int augur_forget_name(struct inode *dir, const struct qstr *name, struct inode *inode,
		      struct dentry *lower)
{
	struct dentry *dentry;
	int err;

	if (!inode)
		return -ENODATA;	/* a leftover, not a name of ours */
	/* What was looked up below and is not there keeps a directory's dentry. */
	dentry = S_ISDIR(inode->i_mode) ? name_dentry(dir, inode, name) : NULL;
	if (dentry)
		shrink_dcache_parent(dentry);
	dput(dentry);
	err = -EBUSY;
	if (inode_trylock(dir)) {
		/* Now: who looks it up from here on waits for the lock. */
		dentry = name_dentry(dir, inode, name);
		err = forget_locked(dir, name, inode, lower, dentry);
		inode_unlock(dir);
		dput(dentry);
	}
	if (!err)
		augur_stat_inc(AUGUR_SB(dir->i_sb), names_forgotten);
	return err;
}
