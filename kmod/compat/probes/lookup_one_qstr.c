// SPDX-License-Identifier: GPL-2.0-only
/* Do the lookup_one functions take a qstr? (6.16) */
#include <linux/fs.h>
#include <linux/namei.h>

struct dentry *probe(struct qstr *name, struct dentry *base)
{
	return lookup_one_unlocked(&nop_mnt_idmap, name, base);
}
