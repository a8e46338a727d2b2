// SPDX-License-Identifier: GPL-2.0-only
/* Is there a helper to map a backing file? (6.9) */
#include <linux/backing-file.h>

int probe(struct file *file, struct vm_area_struct *vma, struct backing_file_ctx *ctx)
{
	return backing_file_mmap(file, vma, ctx);
}
