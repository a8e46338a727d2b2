// SPDX-License-Identifier: GPL-2.0-only
/* Must compile: the control. */
#include <linux/fs.h>
#include <linux/module.h>

int probe(struct inode *inode)
{
	return inode->i_mode;
}
