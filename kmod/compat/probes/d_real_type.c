// SPDX-License-Identifier: GPL-2.0-only
/* Does d_real get a type instead of an inode? (6.8) */
#include <linux/dcache.h>

static struct dentry *real(struct dentry *dentry, enum d_real_type type)
{
	return dentry;
}

const struct dentry_operations probe = { .d_real = real };
