// SPDX-License-Identifier: GPL-2.0-only
/* Does vfs_rmdir() take a delegated inode? (6.19) */
#include <linux/fs.h>

int probe(struct inode *dir, struct dentry *dentry)
{
	return vfs_rmdir(&nop_mnt_idmap, dir, dentry, NULL);
}
