// SPDX-License-Identifier: GPL-2.0-only
/*
 * super.c - mounting and unmounting: options, the superblock, the order of start and end.
 *
 * A mount owns a private clone of the cache's mount, the mounter's credentials without
 * CAP_SYS_RESOURCE (users must not eat the reserved blocks of the lower filesystem), and a
 * place in the list of mounts, which makes it visible to netlink and keeps a second mount
 * off its cache.  It is read-only, always: SB_RDONLY makes the VFS refuse every write.
 * The checks of the cache are in cachedir.c.
 */
#include <linux/cred.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/mount.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/statfs.h>
#include "augurfs.h"

/* What the options of one mount or remount say. */
struct augur_fc {
	struct augur_opts	opts;
	char			*cache;
	bool			suid, dev;
};

enum { OPT_CACHE = AUGUR_NR_KNOBS, OPT_SUID, OPT_DEV };

static const struct fs_parameter_spec augur_params[] = {
	AUGUR_OPTS_SPEC
	fsparam_string("cache",	OPT_CACHE),
	fsparam_flag("suid",	OPT_SUID),
	fsparam_flag("dev",	OPT_DEV),
	{}
};

static atomic64_t last_mount_id;
static struct kmem_cache *inode_cache;

/* -------- inodes in memory -------- */

static void inode_once(void *p)
{
	struct augur_inode *ai = p;

	inode_init_once(&ai->vfs);
}

int augur_inode_cache_init(void)
{
	inode_cache = kmem_cache_create("augur_inode", sizeof(struct augur_inode), 0,
					SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT, inode_once);
	return inode_cache ? 0 : -ENOMEM;
}

void augur_inode_cache_exit(void)
{
	kmem_cache_destroy(inode_cache);
}

static struct inode *augur_alloc_inode(struct super_block *sb)
{
	struct augur_inode *ai = alloc_inode_sb(sb, inode_cache, GFP_KERNEL);

	if (!ai)
		return NULL;
	augur_live_inc();
	ai->lower = NULL;
	ai->hidden_mode = 0;
	ai->dir_gen = 0;
	RCU_INIT_POINTER(ai->listing, NULL);
	augur_presence_init(ai);
	return &ai->vfs;
}

static void augur_free_inode(struct inode *inode)
{
	kmem_cache_free(inode_cache, AUGUR_I(inode));
	augur_live_dec();
}

static void augur_evict_inode(struct inode *inode)
{
	struct augur_inode *ai = AUGUR_I(inode);

	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	augur_listing_free(inode);
	augur_presence_free(ai);
	iput(ai->lower);
	ai->lower = NULL;
}

/* -------- a mount's memory -------- */

static void asb_free(struct augur_sb *asb)
{
	path_put(&asb->lower_root);
	dput(asb->lower_top.dentry);
	if (asb->lower_mnt)
		kern_unmount(asb->lower_mnt);
	if (asb->cred)
		put_cred(asb->cred);
	free_percpu(asb->stats);
	kfree(asb->source);
	kfree(asb->cache);
	kfree(asb);
	augur_live_dec();
}

static struct augur_sb *asb_alloc(struct fs_context *fc)
{
	struct augur_fc *ctx = fc->fs_private;
	struct augur_sb *asb = kzalloc(sizeof(*asb), GFP_KERNEL);
	struct cred *cred;

	if (!asb)
		return NULL;
	augur_live_inc();
	INIT_LIST_HEAD(&asb->link);
	mutex_init(&asb->notify_lock);
	asb->mount_id = atomic64_inc_return(&last_mount_id);
	asb->opts = ctx->opts;
	asb->suid = ctx->suid;
	asb->dev = ctx->dev;
	atomic64_set(&asb->epoch, 0);
	atomic_set(&asb->state, AUGUR_MS_ORPHAN);
	asb->source = kstrdup(fc->source, GFP_KERNEL);
	asb->cache = kstrdup(ctx->cache, GFP_KERNEL);
	asb->stats = alloc_percpu(struct augur_stats);
	cred = prepare_creds();
	if (cred)
		cap_lower(cred->cap_effective, CAP_SYS_RESOURCE);
	asb->cred = cred;
	if (asb->source && asb->cache && asb->stats && asb->cred)
		return asb;
	asb_free(asb);
	return NULL;
}

/* -------- superblock operations -------- */

static int augur_statfs(struct dentry *dentry, struct kstatfs *buf)
{
	struct super_block *sb = dentry->d_sb;
	int err = vfs_statfs(&AUGUR_SB(sb)->lower_top, buf);

	if (err)
		return err;
	buf->f_type = AUGUR_FS_MAGIC;
	buf->f_fsid = u64_to_fsid(huge_encode_dev(sb->s_dev));
	buf->f_namelen = min_t(long, buf->f_namelen, AUGUR_NAME_MAX);
	return 0;
}

static int augur_sync_fs(struct super_block *sb, int wait)
{
	struct super_block *lower = AUGUR_SB(sb)->lower_root.dentry->d_sb;
	int err;

	/* The first of the two calls only starts things: one pass over the lower one does. */
	if (!wait)
		return 0;
	down_read(&lower->s_umount);
	err = sync_filesystem(lower);
	up_read(&lower->s_umount);
	return err;
}

static int augur_show_options(struct seq_file *m, struct dentry *root)
{
	struct augur_sb *asb = AUGUR_SB(root->d_sb);

	seq_show_option(m, "cache", asb->cache);
	if (asb->suid)
		seq_puts(m, ",suid");
	if (asb->dev)
		seq_puts(m, ",dev");
	augur_opts_show(m, &asb->opts);
	return 0;
}

void augur_abort(struct augur_sb *asb)
{
	if (atomic_xchg(&asb->state, AUGUR_MS_ABORTED) == AUGUR_MS_ABORTED)
		return;
	augur_upcall_abort(asb);
	augur_warn(asb, "aborted: every wait ends with ENOTCONN; unmount and mount again");
	augur_sysfs_changed(asb, "state");
	augur_netlink_mount_event(asb, AUGUR_ME_ABORTED);
}

static void augur_umount_begin(struct super_block *sb)
{
	augur_abort(AUGUR_SB(sb));
}

const struct super_operations augur_super_ops = {
	.alloc_inode	= augur_alloc_inode,
	.free_inode	= augur_free_inode,
	.drop_inode	= inode_just_drop,
	.evict_inode	= augur_evict_inode,
	.statfs		= augur_statfs,
	.sync_fs	= augur_sync_fs,
	.umount_begin	= augur_umount_begin,
	.show_options	= augur_show_options,
};

/* -------- mount -------- */

static void init_super(struct super_block *sb, struct augur_sb *asb)
{
	struct super_block *lower = asb->lower_root.dentry->d_sb;

	asb->sb = sb;
	sb->s_magic = AUGUR_FS_MAGIC;
	sb->s_op = &augur_super_ops;
	sb->s_xattr = augur_xattr_handlers;
	set_default_d_op(sb, &augur_dentry_ops);
	sb->s_maxbytes = lower->s_maxbytes;
	sb->s_blocksize = lower->s_blocksize;
	sb->s_blocksize_bits = lower->s_blocksize_bits;
	sb->s_time_gran = 1;
	sb->s_time_min = lower->s_time_min;
	sb->s_time_max = lower->s_time_max;
	sb->s_stack_depth = lower->s_stack_depth + 1;
	sb->s_flags |= SB_RDONLY | SB_POSIXACL;
	if (!asb->dev)
		sb->s_iflags |= SB_I_NODEV;
}

static int make_root(struct super_block *sb, struct augur_sb *asb)
{
	struct dentry *lower = asb->lower_root.dentry;
	struct inode *inode = augur_iget(sb, d_inode(lower), lower);

	if (IS_ERR(inode))
		return PTR_ERR(inode);
	sb->s_root = d_make_root(inode);
	if (!sb->s_root)
		return -ENOMEM;
	sb->s_root->d_fsdata = dget(lower);
	return 0;
}

/* One cache, or one in the tree of the other: what one shows as names would be the other's own. */
static bool same_cache(const struct augur_sb *a, const struct augur_sb *b)
{
	struct dentry *x = a->lower_root.dentry, *y = b->lower_root.dentry;

	return d_inode(x) == d_inode(y) || is_subdir(x, y) || is_subdir(y, x);
}

/* Visible from here on, unless another mount has the cache. */
static int claim_cache(struct fs_context *fc, struct augur_sb *asb)
{
	struct augur_sb *other;
	int err = 0;

	mutex_lock(&augur_mounts_lock);
	list_for_each_entry(other, &augur_mounts, link) {
		if (!same_cache(other, asb))
			continue;
		errorf(fc, "augurfs: cache=%s is in use by augurfs mount %llu (%s), or lies in its cache: unmount that, or use another cache",
		       asb->cache, other->mount_id, other->source);
		err = -EBUSY;
		break;
	}
	if (!err)
		list_add_tail(&asb->link, &augur_mounts);
	mutex_unlock(&augur_mounts_lock);
	return err;
}

static int augur_fill_super(struct super_block *sb, struct fs_context *fc)
{
	struct augur_sb *asb = AUGUR_SB(sb);
	int err;

	init_super(sb, asb);
	err = make_root(sb, asb);
	if (err)
		return err;
	err = augur_sysfs_add(asb);
	if (err)
		return err;
	augur_debugfs_add(asb);
	err = claim_cache(fc, asb);
	if (err) {
		augur_debugfs_del(asb);
		augur_sysfs_del(asb);
		return err;
	}
	augur_info(asb, "mounted read-only, cache %s on %s, ABI %u.%u", asb->cache,
		   asb->lower_root.dentry->d_sb->s_type->name,
		   AUGUR_ABI_VERSION >> 16, AUGUR_ABI_VERSION & 0xffff);
	augur_netlink_mount_event(asb, AUGUR_ME_MOUNTED);
	return 0;
}

/* The parts of a mount that need no superblock; undone by asb_stop(). */
static int asb_start(struct fs_context *fc, struct augur_sb *asb)
{
	int err = augur_cache_open(fc, asb);

	if (err)
		return err;
	err = augur_upcall_init_sb(asb);
	if (err)
		return err;
	err = augur_negatives_init(asb);
	if (err)
		goto exit_upcall;
	err = augur_event_init_sb(asb);
	if (err)
		goto exit_negatives;
	return 0;

exit_negatives:
	augur_negatives_exit(asb);
exit_upcall:
	augur_upcall_exit_sb(asb);
	return err;
}

static void asb_stop(struct augur_sb *asb)
{
	augur_upcall_exit_sb(asb);
	augur_negatives_exit(asb);
	augur_event_exit_sb(asb);
	asb_free(asb);
}

/* PROXY[,PROXY...]:/VOLUME */
static int check_source(struct fs_context *fc)
{
	const char *s = fc->source, *volume;

	if (!s || !*s) {
		errorf(fc, "augurfs: no source: mount -t augurfs PROXY[,PROXY...]:/VOLUME DIR -o cache=DIR");
		return -EINVAL;
	}
	volume = strstr(s, ":/");
	if (!volume || volume == s || !volume[2] || s[0] == ',' || volume[-1] == ',' ||
	    strstr(s, ",,")) {
		errorf(fc, "augurfs: source \"%s\" is not PROXY[,PROXY...]:/VOLUME", s);
		return -EINVAL;
	}
	return 0;
}

static int augur_get_tree(struct fs_context *fc)
{
	struct augur_fc *ctx = fc->fs_private;
	struct augur_sb *asb;
	int err;

	err = check_source(fc);
	if (err)
		return err;
	if (!ctx->cache) {
		errorf(fc, "augurfs: no cache: -o cache=DIR names a directory on ext4, xfs or btrfs");
		return -EINVAL;
	}
	err = augur_opts_check(fc, &ctx->opts);
	if (err)
		return err;
	asb = asb_alloc(fc);
	if (!asb)
		return -ENOMEM;
	err = asb_start(fc, asb);
	if (err) {
		asb_free(asb);
		return err;
	}
	fc->s_fs_info = asb;
	fc->sb_flags |= SB_RDONLY;
	return get_tree_nodev(fc, augur_fill_super);
}

/* augurfs.h has the order. */
static void augur_kill_sb(struct super_block *sb)
{
	struct augur_sb *asb = AUGUR_SB(sb);
	bool live = !list_empty(&asb->link);

	if (live) {
		augur_debugfs_del(asb);
		augur_sysfs_del(asb);
		mutex_lock(&augur_mounts_lock);
		list_del_init(&asb->link);
		mutex_unlock(&augur_mounts_lock);
		/* Whoever lists the mounts because of it must not find this one. */
		augur_netlink_mount_event(asb, AUGUR_ME_UNMOUNTED);
	}
	augur_upcall_stop_sb(asb);
	kill_anon_super(sb);
	if (live)
		augur_info(asb, "unmounted");
	asb_stop(asb);
}

/* -------- options -------- */

static int set_cache(struct fs_context *fc, struct augur_fc *ctx, struct fs_parameter *param)
{
	if (param->string[0] != '/') {
		errorf(fc, "augurfs: cache=%s must be an absolute path", param->string);
		return -EINVAL;
	}
	kfree(ctx->cache);
	ctx->cache = param->string;
	param->string = NULL;
	return 0;
}

static int augur_parse_param(struct fs_context *fc, struct fs_parameter *param)
{
	struct augur_fc *ctx = fc->fs_private;
	struct fs_parse_result result;
	int opt = fs_parse(fc, augur_params, param, &result);

	if (opt == -ENOPARAM && strcmp(param->key, "source")) {
		errorf(fc, "augurfs: unknown option \"%s\": mount.augurfs(8) lists them", param->key);
		return -EINVAL;
	}
	if (opt < 0)
		return opt;
	if (opt < AUGUR_NR_KNOBS)
		return augur_opts_set(fc, &ctx->opts, opt, param->string);
	switch (opt) {
	case OPT_CACHE:
		return set_cache(fc, ctx, param);
	case OPT_SUID:
		ctx->suid = true;
		return 0;
	case OPT_DEV:
		ctx->dev = true;
		return 0;
	}
	return -EINVAL;
}

/* What may not change while mounted. */
static int check_remount(struct fs_context *fc, struct augur_sb *asb, struct augur_fc *ctx)
{
	int i;

	if ((fc->sb_flags_mask & SB_RDONLY) && !(fc->sb_flags & SB_RDONLY)) {
		errorf(fc, "augurfs: this version is read-only: a remount needs \"ro\"");
		return -EROFS;
	}
	if (ctx->cache && strcmp(ctx->cache, asb->cache)) {
		errorf(fc, "augurfs: cache= cannot change: unmount and mount again");
		return -EINVAL;
	}
	if (ctx->suid != asb->suid || ctx->dev != asb->dev) {
		errorf(fc, "augurfs: suid and dev cannot change: unmount and mount again");
		return -EINVAL;
	}
	for (i = 0; i < AUGUR_NR_KNOBS; i++) {
		const struct augur_knob *knob = &augur_knobs[i];

		if ((knob->flags & AUGUR_KNOB_LIVE) ||
		    *augur_knob_member(&ctx->opts, knob) == *augur_knob_member(&asb->opts, knob))
			continue;
		errorf(fc, "augurfs: %s= cannot change: unmount and mount again", knob->name);
		return -EINVAL;
	}
	return augur_opts_check(fc, &ctx->opts);
}

static int augur_reconfigure(struct fs_context *fc)
{
	struct augur_sb *asb = AUGUR_SB(fc->root->d_sb);
	struct augur_fc *ctx = fc->fs_private;
	int err = check_remount(fc, asb, ctx);
	int i;

	if (err)
		return err;
	for (i = 0; i < AUGUR_NR_KNOBS; i++)
		WRITE_ONCE(*augur_knob_member(&asb->opts, &augur_knobs[i]),
			   *augur_knob_member(&ctx->opts, &augur_knobs[i]));
	return 0;
}

static void augur_free_fc(struct fs_context *fc)
{
	struct augur_fc *ctx = fc->fs_private;

	/* Left over only if no superblock took it. */
	if (fc->s_fs_info)
		asb_stop(fc->s_fs_info);
	if (!ctx)
		return;
	kfree(ctx->cache);
	kfree(ctx);
	augur_live_dec();
}

static const struct fs_context_operations augur_context_ops = {
	.parse_param	= augur_parse_param,
	.get_tree	= augur_get_tree,
	.reconfigure	= augur_reconfigure,
	.free		= augur_free_fc,
};

static int augur_init_fs_context(struct fs_context *fc)
{
	struct augur_fc *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);
	struct augur_sb *asb;

	if (!ctx)
		return -ENOMEM;
	augur_live_inc();
	augur_opts_init(&ctx->opts);
	/* A remount changes what it names and keeps the rest. */
	if (fc->purpose == FS_CONTEXT_FOR_RECONFIGURE) {
		asb = AUGUR_SB(fc->root->d_sb);
		ctx->opts = asb->opts;
		ctx->suid = asb->suid;
		ctx->dev = asb->dev;
	}
	fc->fs_private = ctx;
	fc->ops = &augur_context_ops;
	return 0;
}

struct file_system_type augur_fs_type = {
	.owner			= THIS_MODULE,
	.name			= AUGUR_FS_NAME,
	.init_fs_context	= augur_init_fs_context,
	.parameters		= augur_params,
	.kill_sb		= augur_kill_sb,
};
