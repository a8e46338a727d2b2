// SPDX-License-Identifier: GPL-2.0-only
/*
 * inode.c - upper inodes: found by lower inode or by oid, their attributes, and the
 * question whether an open may go on without asking the owner.
 *
 * An upper inode stands for one lower inode, that is for one version of an object, for as
 * long as it is in memory; a newer version is another lower inode.  Mode, owner and device
 * number are the lower inode's when it is loaded, size, blocks, link count and change time are
 * the record's, and the modification time is in the lower inode's atime: fills, evictions, names
 * made in a directory and the daemon's bookkeeping change the lower inode's other times and
 * its blocks, and must not show at any moment.  So stat is answered from the upper inode
 * alone, and permission too: there is no ->permission and, but for one kind of file, no
 * ->getattr.
 * The mounter's right to the lower object is checked where it is opened (lower.c).
 */
#include <linux/cred.h>
#include <linux/posix_acl.h>
#include "augurfs.h"

#define SXID	(S_ISUID | S_ISGID)
#define VOUCHED_JIFFIES	(HZ / 4)

struct iget_key {
	struct inode		*lower;
	const struct augur_rec	*rec;
};

static unsigned long oid_hash(const u8 oid[AUGUR_OID_LEN])
{
	return (unsigned long)augur_oid_ino(oid);
}

static int test_lower(struct inode *inode, void *data)
{
	struct iget_key *key = data;

	return AUGUR_I(inode)->lower == key->lower;
}

/* Under the hash lock: the inode is found by either key from here on. */
static int set_lower(struct inode *inode, void *data)
{
	struct augur_inode *ai = AUGUR_I(inode);
	struct iget_key *key = data;

	ihold(key->lower);
	ai->lower = key->lower;
	memcpy(ai->oid, key->rec->oid, AUGUR_OID_LEN);
	return 0;
}

/* Is the version of @lower known, in memory, not to be the newest? */
bool augur_known_stale(struct super_block *sb, struct inode *lower, const struct augur_rec *rec)
{
	struct iget_key key = { .lower = lower, .rec = rec };
	struct inode *inode = ilookup5(sb, oid_hash(rec->oid), test_lower, &key);
	bool stale;

	if (!inode)
		return false;
	stale = READ_ONCE(AUGUR_I(inode)->state) & AUGUR_IS_STALE;
	iput(inode);
	return stale;
}

static int test_oid_current(struct inode *inode, void *data)
{
	struct augur_inode *ai = AUGUR_I(inode);

	return !memcmp(ai->oid, data, AUGUR_OID_LEN) && !(READ_ONCE(ai->state) & AUGUR_IS_STALE);
}

static int test_oid(struct inode *inode, void *data)
{
	return !memcmp(AUGUR_I(inode)->oid, data, AUGUR_OID_LEN);
}

struct inode *augur_ilookup(struct super_block *sb, const u8 oid[AUGUR_OID_LEN])
{
	struct inode *inode;

	inode = ilookup5(sb, oid_hash(oid), test_oid_current, (void *)oid);
	if (!inode)
		inode = ilookup5(sb, oid_hash(oid), test_oid, (void *)oid);
	return inode;
}

/* Without "suid" the bits are shown, as on a nosuid mount, but are not where exec looks. */
static void set_mode(struct inode *inode, umode_t mode)
{
	struct augur_inode *ai = AUGUR_I(inode);

	ai->hidden_mode = 0;
	if (S_ISREG(mode) && !AUGUR_SB(inode->i_sb)->suid) {
		ai->hidden_mode = mode & SXID;
		mode &= ~SXID;
	}
	WRITE_ONCE(inode->i_mode, mode);
}

/*
 * Written once, with the record, and moved by nobody: everybody here opens with O_NOATIME, and
 * the daemon sets NOATIME on the inodes.  Links and nodes, which have no such flag everywhere,
 * are never written to either.
 */
static struct timespec64 owners_mtime(const struct inode *lower)
{
	if ((S_ISREG(lower->i_mode) || S_ISDIR(lower->i_mode)) &&
	    !augur_inject(AUGUR_INJECT_lower_mtime))
		return inode_get_atime(lower);
	return inode_get_mtime(lower);
}

/*
 * The owner's, as its record says, whatever is here: tar and cp take a file without blocks for one
 * without bytes, and one with fewer than its size for one that has holes.
 */
static blkcnt_t owners_blocks(const struct inode *lower, const struct augur_rec *rec)
{
	if (S_ISREG(lower->i_mode) && augur_inject(AUGUR_INJECT_show_holes))
		return READ_ONCE(lower->i_blocks);
	return augur_blocks(rec->size, rec->holes);
}

static void set_attributes(struct inode *inode, const struct augur_rec *rec)
{
	struct inode *lower = AUGUR_I(inode)->lower;
	struct timespec64 mtime = owners_mtime(lower);

	set_mode(inode, READ_ONCE(lower->i_mode));
	inode->i_uid = lower->i_uid;
	inode->i_gid = lower->i_gid;
	inode_set_mtime_to_ts(inode, mtime);
	inode_set_atime_to_ts(inode, mtime);
	inode_set_ctime(inode, rec->ctime_sec, rec->ctime_nsec);
	set_nlink(inode, rec->nlink);
	i_size_write(inode, rec->size);
	WRITE_ONCE(inode->i_blocks, owners_blocks(lower, rec));
}

static void set_operations(struct inode *inode)
{
	struct inode *lower = AUGUR_I(inode)->lower;
	umode_t mode = inode->i_mode;

	switch (mode & S_IFMT) {
	case S_IFREG:
		inode->i_op = AUGUR_I(inode)->hidden_mode ? &augur_sxid_iops : &augur_file_iops;
		inode->i_fop = &augur_file_fops;
		inode->i_mapping->a_ops = &augur_aops;
		break;
	case S_IFDIR:
		inode->i_op = &augur_dir_iops;
		inode->i_fop = &augur_dir_fops;
		break;
	case S_IFLNK:
		inode->i_op = &augur_symlink_iops;
		/* Lives as long as the lower inode, which we hold, and ends by RCU as we do. */
		inode->i_link = READ_ONCE(lower->i_link);
		break;
	default:
		inode->i_op = &augur_special_iops;
		init_special_inode(inode, mode, lower->i_rdev);
	}
}

static void init_inode(struct inode *inode, const struct augur_rec *rec)
{
	struct augur_inode *ai = AUGUR_I(inode);

	ai->version = rec->version;
	ai->pu = rec->pu;
	ai->chunk_shift = rec->chunk_shift ?: AUGUR_CHUNK_SHIFT_DEF;
	ai->vouched_to = NULL;
	inode->i_ino = oid_hash(rec->oid);
	if (augur_inject(AUGUR_INJECT_unstable_ino))
		inode->i_ino = ai->lower->i_ino;
	inode->i_flags |= S_NOATIME | S_NOCMTIME;
	augur_state_init(ai, rec);
	set_attributes(inode, rec);
	set_operations(inode);
}

struct inode *augur_iget_record(struct super_block *sb, struct inode *lower,
				const struct augur_rec *rec)
{
	struct iget_key key = { .lower = lower, .rec = rec };
	struct inode *inode;

	inode = iget5_locked(sb, oid_hash(rec->oid), test_lower, set_lower, &key);
	if (!inode)
		return ERR_PTR(-ENOMEM);
	if (inode_state_read_once(inode) & I_NEW) {
		init_inode(inode, rec);
		unlock_new_inode(inode);
	}
	return inode;
}

struct inode *augur_iget(struct super_block *sb, struct inode *lower, struct dentry *lower_dentry)
{
	struct augur_rec rec;
	int err;

	err = augur_lower_record(lower, lower_dentry, &rec);
	if (err)
		return ERR_PTR(augur_not_a_record(err) ? -ENODATA : err);
	return augur_iget_record(sb, lower, &rec);
}

struct inode *augur_iget_fh(struct super_block *sb, const void *fh, size_t len)
{
	struct dentry *dentry = augur_lower_decode_fh(AUGUR_SB(sb), fh, len);
	struct inode *inode;

	if (IS_ERR(dentry))
		return ERR_CAST(dentry);
	inode = ERR_PTR(-ESTALE);
	if (d_is_positive(dentry))
		inode = augur_iget(sb, d_inode(dentry), dentry);
	dput(dentry);
	return inode;
}

int augur_inode_fh(struct inode *inode, void *buf)
{
	return augur_lower_encode_fh(AUGUR_I(inode)->lower, buf, AUGUR_FH_MAX);
}

/*
 * The size of a file is its version's and stays: the presence map is as long as it.  Type
 * and operations stay too; a file that gains or loses hidden bits changes between two
 * tables that differ in ->getattr only.
 */
int augur_inode_refresh(struct inode *inode)
{
	struct augur_inode *ai = AUGUR_I(inode);
	struct augur_rec rec;
	int err;

	err = augur_lower_record(ai->lower, NULL, &rec);
	if (err)
		return err;
	if (memcmp(rec.oid, ai->oid, AUGUR_OID_LEN))
		return -ESTALE;
	if (S_ISREG(inode->i_mode))
		rec.size = i_size_read(inode);
	spin_lock(&ai->lock);
	WRITE_ONCE(ai->pu, rec.pu);
	set_attributes(inode, &rec);
	if (S_ISREG(inode->i_mode))
		WRITE_ONCE(inode->i_op, ai->hidden_mode ? &augur_sxid_iops : &augur_file_iops);
	spin_unlock(&ai->lock);
	forget_all_cached_acls(inode);
	return 0;
}

/* -------- leases -------- */

static int serve_offline(struct augur_sb *asb)
{
	augur_stat_inc(asb, opens_offline);
	return 0;
}

/*
 * The owner must be asked.  With offline=ro the last version known is better than no
 * version: no wait if there is nobody to ask, and none of the answers but "killed" and
 * "changed" keeps the file from being opened.
 */
static int revalidate(struct augur_sb *asb, struct inode *inode)
{
	bool offline = augur_opt(asb, offline) == AUGUR_OFFLINE_RO;
	int err;

	if (augur_is_daemon(asb))
		return 0;
	if (offline && atomic_read(&asb->state) != AUGUR_MS_LIVE)
		return serve_offline(asb);
	augur_stat_inc(asb, opens_unleased);
	err = augur_upcall_reval(inode);
	if (err == -ESTALE)
		augur_set_stale(inode);
	else if (err && offline && !fatal_signal_pending(current))
		return serve_offline(asb);
	return err;
}

void augur_vouch(struct inode *inode)
{
	struct augur_inode *ai = AUGUR_I(inode);

	WRITE_ONCE(ai->vouched_at, jiffies);
	/* Pairs with is_vouched(). */
	smp_store_release(&ai->vouched_to, current);
}

/* Once, and not long after: a task that did not come to its open may come back for another. */
static bool is_vouched(struct augur_inode *ai)
{
	if (READ_ONCE(ai->vouched_to) != current ||
	    cmpxchg(&ai->vouched_to, current, NULL) != current)
		return false;
	return time_before(jiffies, READ_ONCE(ai->vouched_at) + VOUCHED_JIFFIES);
}

int augur_check_lease(struct inode *inode)
{
	struct augur_sb *asb = AUGUR_SB(inode->i_sb);

	if (likely(augur_opt(asb, open) == AUGUR_OPEN_LEASE &&
		   augur_lease_holds(asb, READ_ONCE(AUGUR_I(inode)->pu))))
		return 0;
	if (is_vouched(AUGUR_I(inode)))
		return 0;
	return revalidate(asb, inode);
}

/* -------- operations -------- */

static int sxid_getattr(struct mnt_idmap *idmap, const struct path *path, struct kstat *stat,
			u32 request_mask, unsigned int query_flags)
{
	struct inode *inode = d_inode(path->dentry);

	generic_fillattr(idmap, request_mask, inode, stat);
	stat->mode |= AUGUR_I(inode)->hidden_mode;
	return 0;
}

/* Only for links that the lower filesystem does not keep in memory. */
static const char *augur_get_link(struct dentry *dentry, struct inode *inode,
				  struct delayed_call *done)
{
	struct dentry *lower;
	const struct cred *old;
	const char *link;

	if (!dentry)
		return ERR_PTR(-ECHILD);
	lower = augur_lower_dentry(dentry);
	if (!lower)
		return ERR_PTR(-ESTALE);
	old = override_creds(AUGUR_SB(inode->i_sb)->cred);
	link = vfs_get_link(lower, done);
	revert_creds(old);
	return link;
}

#ifdef HAVE_GET_INODE_ACL
#define AUGUR_ACL_OP	.get_inode_acl = augur_get_inode_acl
#else
#define AUGUR_ACL_OP	.get_acl = augur_get_inode_acl
#endif

/* Extents of a complete file; of an incomplete one they would tell of bytes that are to come. */
static int augur_fiemap(struct inode *inode, struct fiemap_extent_info *info, u64 start, u64 len)
{
	struct inode *lower = AUGUR_I(inode)->lower;
	const struct cred *old;
	int err;

	if (!augur_is_complete(inode) || !lower->i_op->fiemap)
		return -EOPNOTSUPP;
	old = override_creds(AUGUR_SB(inode->i_sb)->cred);
	err = lower->i_op->fiemap(lower, info, start, len);
	revert_creds(old);
	return err;
}

const struct inode_operations augur_file_iops = {
	.fiemap		= augur_fiemap,
	.listxattr	= augur_listxattr,
	AUGUR_ACL_OP,
};

const struct inode_operations augur_sxid_iops = {
	.getattr	= sxid_getattr,
	.fiemap		= augur_fiemap,
	.listxattr	= augur_listxattr,
	AUGUR_ACL_OP,
};

const struct inode_operations augur_special_iops = {
	.listxattr	= augur_listxattr,
	AUGUR_ACL_OP,
};

const struct inode_operations augur_symlink_iops = {
	.get_link	= augur_get_link,
	.listxattr	= augur_listxattr,
};

const struct inode_operations augur_dir_iops = {
	.lookup		= augur_lookup,
	.listxattr	= augur_listxattr,
	AUGUR_ACL_OP,
};
