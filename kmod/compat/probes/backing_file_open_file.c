// SPDX-License-Identifier: GPL-2.0-only
/* Is a backing file opened for a user's file? (stable 6.12, 7.x) */
#include <linux/backing-file.h>

struct file *probe(const struct file *user, const struct path *real, const struct cred *cred)
{
	return backing_file_open(user, 0, real, cred);
}
