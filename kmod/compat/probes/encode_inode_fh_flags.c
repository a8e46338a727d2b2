// SPDX-License-Identifier: GPL-2.0-only
/* Does exportfs_encode_inode_fh() take flags? (6.5) */
#include <linux/exportfs.h>

int probe(struct inode *inode, struct fid *fid, int *len)
{
	return exportfs_encode_inode_fh(inode, fid, len, NULL, 0);
}
