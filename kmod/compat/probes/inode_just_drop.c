// SPDX-License-Identifier: GPL-2.0-only
/* Has generic_delete_inode() its new name? (6.18) */
#include <linux/fs.h>

int probe(struct inode *inode)
{
	return inode_just_drop(inode);
}
