// SPDX-License-Identifier: GPL-2.0-only
/* Does a rename name its parents by dentry and one mapping? (6.17) */
#include <linux/fs.h>

void probe(struct renamedata *rd, struct dentry *dir)
{
	rd->mnt_idmap = &nop_mnt_idmap;
	rd->old_parent = dir;
	rd->new_parent = dir;
}
