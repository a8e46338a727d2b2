/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * seeded.h - mistakes that can be put in on purpose, so that the tests which must find them are
 * tests.  Only in the build of the simulator (AUGUR_SEEDED); elsewhere nothing of it is left.
 */
#ifndef AUGUR_BASE_SEEDED_H
#define AUGUR_BASE_SEEDED_H

#include <stdbool.h>

enum seeded_bug {
	SEEDED_NONE,
	SEEDED_LOST_WAITER,	/* a call in flight when its connection breaks is forgotten */
	SEEDED_EARLY_CLAIM,	/* a fill counts as done before its writes are */
	SEEDED_STALE_LEASE,	/* a lease is taken without the changes that come with it */
	SEEDED_WRONG_REPLY,	/* an answer goes to another question of its kind */
	SEEDED_STALE_REPLY,	/* bytes count though they are of another state than the one that was asked for */
	SEEDED_LOST_ROWS,	/* an unclean end of the cache is taken for a clean one */
	SEEDED_LOST_HOLES,	/* a record says of a sparse file that it is none */
	SEEDED_KEPT_CLAIM,	/* names are forgotten in a directory that goes on to say that all are here */
	SEEDED_BUGS
};

#ifdef AUGUR_SEEDED
extern enum seeded_bug seeded_bug;
#define seeded(bug) (seeded_bug == (bug))
int seeded_choose(const char *name);	/* NULL: none; -EINVAL: no such bug */
const char *seeded_names(void);
#else
#define seeded(bug) false
#endif

#endif
