// SPDX-License-Identifier: GPL-2.0-only
/* Are shrinkers allocated by the kernel? (6.7) */
#include <linux/shrinker.h>

struct shrinker *probe(void)
{
	return shrinker_alloc(0, "probe");
}
