// SPDX-License-Identifier: GPL-2.0-only
/* Is a backing file opened for a user's path? (6.8) */
#include <linux/backing-file.h>

struct file *probe(const struct path *user, const struct path *real, const struct cred *cred)
{
	return backing_file_open(user, 0, real, cred);
}
