// SPDX-License-Identifier: GPL-2.0-only
/* Does generic_fillattr() take the request mask? (6.6) */
#include <linux/fs.h>

void probe(struct mnt_idmap *idmap, struct inode *inode, struct kstat *stat)
{
	generic_fillattr(idmap, 0U, inode, stat);
}
