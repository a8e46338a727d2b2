// SPDX-License-Identifier: GPL-2.0-only
/*
 * main.c - the map of the module: what is set up, in order, and taken down in reverse; the
 * list of mounts; the count of live objects.
 *
 * The filesystem is registered last, so nothing is in use before everything is there.  Every
 * object of ours is counted when it is made and when it is freed; at unload, after the last
 * RCU callback, the count is printed and must be 0.
 */
#include <linux/module.h>
#include "augurfs.h"

LIST_HEAD(augur_mounts);
DEFINE_MUTEX(augur_mounts_lock);
atomic64_t augur_live;

static struct compat_shrinker listings_shrinker;

struct augur_sb *augur_mount_find(u64 mount_id)
{
	struct augur_sb *asb;

	lockdep_assert_held(&augur_mounts_lock);
	list_for_each_entry(asb, &augur_mounts, link)
		if (asb->mount_id == mount_id)
			return asb;
	return NULL;
}

static unsigned long listings_count(struct shrinker *s, struct shrink_control *sc)
{
	return augur_listings_count() ?: SHRINK_EMPTY;
}

static unsigned long listings_scan(struct shrinker *s, struct shrink_control *sc)
{
	return augur_listings_shrink(sc->nr_to_scan) ?: SHRINK_STOP;
}

static int __init caches_init(void)
{
	int err;

	err = augur_inode_cache_init();
	if (err)
		return err;
	err = augur_file_cache_init();
	if (err)
		goto inode_cache;
	err = compat_shrinker_add(&listings_shrinker, "augurfs-listings", listings_count,
				  listings_scan);
	if (err)
		goto file_cache;
	return 0;
file_cache:
	augur_file_cache_exit();
inode_cache:
	augur_inode_cache_exit();
	return err;
}

/* Inodes are freed by RCU: the barrier before their cache goes. */
static void caches_exit(void)
{
	compat_shrinker_del(&listings_shrinker);
	rcu_barrier();
	augur_file_cache_exit();
	augur_inode_cache_exit();
}

static int __init augur_init(void)
{
	int err;

	err = caches_init();
	if (err)
		return err;
	augur_event_init();
	err = augur_upcall_init();
	if (err)
		goto caches;
	err = augur_sysfs_init();
	if (err)
		goto upcall;
	err = augur_debugfs_init();
	if (err)
		goto sysfs;
#ifdef AUGUR_SELFTEST
	err = augur_selftest();
	if (err)
		goto debugfs;
#endif
	err = augur_netlink_init();
	if (err)
		goto debugfs;
	err = register_filesystem(&augur_fs_type);
	if (err)
		goto netlink;
	return 0;
netlink:
	augur_netlink_exit();
debugfs:
	augur_debugfs_exit();
sysfs:
	augur_sysfs_exit();
upcall:
	augur_upcall_exit();
caches:
	caches_exit();
	return err;
}

static void __exit augur_exit(void)
{
	unregister_filesystem(&augur_fs_type);
	augur_netlink_exit();
	augur_debugfs_exit();
	augur_sysfs_exit();
	augur_upcall_exit();
	caches_exit();
	pr_info("augurfs: unload: live objects %lld\n", atomic64_read(&augur_live));
}

module_init(augur_init);
module_exit(augur_exit);

MODULE_ALIAS_FS(AUGUR_FS_NAME);
MODULE_ALIAS("net-pf-16-proto-16-family-" AUGUR_GENL_NAME);
MODULE_DESCRIPTION("augurfs: one tree of many proxies over a local cache");
MODULE_LICENSE("GPL");
