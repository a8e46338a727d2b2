// SPDX-License-Identifier: GPL-2.0-only
/* Is the inode's ACL read by ->get_inode_acl? (6.2) */
#include <linux/fs.h>
#include <linux/posix_acl.h>

struct posix_acl *probe(struct inode *inode)
{
	return inode->i_op->get_inode_acl ? get_inode_acl(inode, 0) : NULL;
}
