// SPDX-License-Identifier: GPL-2.0-only
/* Are default dentry operations set by a function? (6.17) */
#include <linux/fs.h>
#include <linux/dcache.h>

void probe(struct super_block *sb, const struct dentry_operations *ops)
{
	set_default_d_op(sb, ops);
}
