// SPDX-License-Identifier: GPL-2.0-only
/* Does the backing file context name the user's file? (until 6.14) */
#include <linux/backing-file.h>

void probe(struct backing_file_ctx *ctx, struct file *file)
{
	ctx->user_file = file;
}
