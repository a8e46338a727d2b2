// SPDX-License-Identifier: GPL-2.0-only
/* state.c - the transition table, tried with every state and every single bit. */
#include <linux/slab.h>
#include "selftest.h"

#define ALL_BITS	(AUGUR_IS_MAPPED * 2 - 1)

static bool may(struct augur_inode *ai, unsigned int state, unsigned int set, unsigned int clear)
{
	ai->state = state;
	return augur_state_may(ai, set, clear);
}

static int never_happens(struct augur_inode *ai, unsigned int state)
{
	/* Bytes under a writer, a fill or a pin stay; a version is not undone. */
	if ((state & AUGUR_IS_COMPLETE) &&
	    (state & (AUGUR_IS_DIRTY | AUGUR_IS_FILLING | AUGUR_IS_PINNED)))
		CHECK(!may(ai, state, 0, AUGUR_IS_COMPLETE));
	if (state & AUGUR_IS_STALE)
		CHECK(!may(ai, state, 0, AUGUR_IS_STALE));
	if (!(state & AUGUR_IS_LOCAL))
		CHECK(!may(ai, state, AUGUR_IS_LOCAL, 0));
	/* A complete file is not filled. */
	if ((state & AUGUR_IS_COMPLETE) && !(state & AUGUR_IS_FILLING))
		CHECK(!may(ai, state, AUGUR_IS_FILLING, 0));
	/* What is dirty can be told from what is absent. */
	if (!(state & (AUGUR_IS_COMPLETE | AUGUR_IS_MAPPED | AUGUR_IS_LOCAL | AUGUR_IS_DIRTY)))
		CHECK(!may(ai, state, AUGUR_IS_DIRTY, 0));
	CHECK(!may(ai, state, AUGUR_IS_DIRTY, AUGUR_IS_DIRTY));
	return 0;
}

static int always_may(struct augur_inode *ai, unsigned int state)
{
	CHECK(may(ai, state, 0, 0));
	CHECK(may(ai, state, AUGUR_IS_STALE, 0));
	CHECK(may(ai, state, AUGUR_IS_UNSETTLED, 0));
	CHECK(may(ai, state, 0, AUGUR_IS_UNSETTLED));
	CHECK(may(ai, state, AUGUR_IS_PINNED, 0));
	CHECK(may(ai, state, 0, AUGUR_IS_PINNED));
	CHECK(may(ai, state, AUGUR_IS_COMPLETE | AUGUR_IS_MAPPED, 0));
	return 0;
}

static int check_states(struct augur_inode *ai)
{
	unsigned int state;
	int err = 0;

	ai->vfs.i_mode = S_IFREG;
	for (state = 0; state <= ALL_BITS && !err; state++)
		err = never_happens(ai, state) ?: always_may(ai, state);
	/* A directory's "all names here" may always go. */
	ai->vfs.i_mode = S_IFDIR;
	CHECK(may(ai, AUGUR_IS_COMPLETE | AUGUR_IS_PINNED, 0, AUGUR_IS_COMPLETE));
	return err;
}

int augur_selftest_state(void)
{
	struct augur_inode *ai = kzalloc(sizeof(*ai), GFP_KERNEL);
	int err;

	if (!ai)
		return -ENOMEM;
	err = check_states(ai);
	kfree(ai);
	return err;
}
