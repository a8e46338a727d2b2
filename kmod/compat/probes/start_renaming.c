// SPDX-License-Identifier: GPL-2.0-only
/* Does start_renaming_two_dentries() lock for a rename? (6.19) */
#include <linux/fs.h>
#include <linux/namei.h>

int probe(struct renamedata *rd, struct dentry *a, struct dentry *b)
{
	return start_renaming_two_dentries(rd, a, b);
}
