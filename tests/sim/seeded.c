// SPDX-License-Identifier: GPL-2.0-or-later
/* seeded.c - the mistakes of base/seeded.h by their names. */
#include <errno.h>
#include <string.h>

#include "base/seeded.h"

enum seeded_bug seeded_bug;

static const char *const names[SEEDED_BUGS] = {
	[SEEDED_LOST_WAITER] = "lost-waiter",
	[SEEDED_EARLY_CLAIM] = "claim-before-data",
	[SEEDED_STALE_LEASE] = "stale-lease",
	[SEEDED_WRONG_REPLY] = "wrong-reply",
	[SEEDED_STALE_REPLY] = "stale-reply",
	[SEEDED_LOST_ROWS] = "lost-rows",
	[SEEDED_LOST_HOLES] = "lost-holes",
	[SEEDED_KEPT_CLAIM] = "kept-claim",
};

int seeded_choose(const char *name)
{
	seeded_bug = SEEDED_NONE;
	for (int i = 1; name && i < SEEDED_BUGS; i++)
		if (!strcmp(names[i], name))
			seeded_bug = i;
	return name && !seeded_bug ? -EINVAL : 0;
}

const char *seeded_names(void)
{
	static char all[256];

	all[0] = 0;
	for (int i = 1; i < SEEDED_BUGS; i++)
		strcat(strcat(all, " "), names[i]);
	return all;
}
