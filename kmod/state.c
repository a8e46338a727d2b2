// SPDX-License-Identifier: GPL-2.0-only
/*
 * state.c - the only writer of augur_inode.state, and the table of legal transitions.
 *
 * A state is a set of AUGUR_IS_* bits.  A transition names the bits it sets and clears; it
 * is legal when every bit's row agrees with the state *before* and *after* it.  All of it
 * under augur_inode.lock, except the one store of a fresh inode; readers outside the lock
 * use smp_load_acquire and get a value that was true a moment ago.
 */
#include "augurfs.h"
#include "trace.h"

#define C	AUGUR_IS_COMPLETE
#define S	AUGUR_IS_STALE
#define L	AUGUR_IS_LOCAL
#define D	AUGUR_IS_DIRTY
#define F	AUGUR_IS_FILLING
#define U	AUGUR_IS_UNSETTLED
#define P	AUGUR_IS_PINNED
#define X	AUGUR_IS_CONFLICT
#define M	AUGUR_IS_MAPPED

#define NEVER	(~0U)

/*
 * A bit may be set when, the transition done, one of set_needs holds (0: nothing needed)
 * and none of set_forbids; the same for clearing.  NEVER in a forbids column: not at all.
 */
static const struct rule {
	unsigned int	bit;
	unsigned int	set_needs, set_forbids;
	unsigned int	clear_forbids;
} rules[] = {
	/* Bytes do not vanish under a writer, a fill or a pin. */
	{ C, 0,         0,     D | F | P },
	/* A version is never undone: the inode stays with its old one until it dies. */
	{ S, 0,         0,     NEVER },
	/* Fixed at creation. */
	{ L, 0,         NEVER, NEVER },
	/* What is dirty must be told from what is absent. */
	{ D, C | M | L, 0,     0 },
	/* Nothing to fill in a complete file. */
	{ F, 0,         C,     0 },
	{ U, 0,         0,     0 },
	{ P, 0,         0,     0 },
	{ X, D,         0,     0 },
	/* Presence, once known, stays known while somebody relies on it. */
	{ M, 0,         0,     D | F },
};

/* For directories COMPLETE means "all names": it may go at any time, none waits on it. */
static const struct rule dir_complete = { C, 0, 0, 0 };

#undef C
#undef S
#undef L
#undef D
#undef F
#undef U
#undef P
#undef X
#undef M

static bool forbidden(unsigned int after, unsigned int forbids, unsigned int bit)
{
	return forbids == NEVER || (after & forbids & ~bit);
}

static bool rule_allows(const struct rule *r, unsigned int state, unsigned int set,
			unsigned int clear)
{
	/* What the same transition sets or clears counts as done. */
	unsigned int after = (state & ~clear) | set;

	if (set & ~state & r->bit) {
		if (r->set_needs && !(after & r->set_needs))
			return false;
		if (forbidden(after, r->set_forbids, r->bit))
			return false;
	}
	if (clear & state & r->bit)
		return !forbidden(after, r->clear_forbids, r->bit);
	return true;
}

bool augur_state_may(const struct augur_inode *ai, unsigned int set, unsigned int clear)
{
	const struct rule *r;
	size_t i;

	if (set & clear)
		return false;
	for (i = 0; i < ARRAY_SIZE(rules); i++) {
		r = &rules[i];
		if (r->bit == AUGUR_IS_COMPLETE && S_ISDIR(ai->vfs.i_mode))
			r = &dir_complete;
		if (!rule_allows(r, ai->state, set, clear))
			return false;
	}
	return true;
}

int augur_state_change(struct augur_inode *ai, unsigned int set, unsigned int clear)
{
	unsigned int old = ai->state;

	lockdep_assert_held(&ai->lock);
	if (!augur_state_may(ai, set, clear)) {
		WARN_ONCE(1, "augurfs: state %#x may not set %#x, clear %#x\n", old, set, clear);
		return -EINVAL;
	}
	/* Pairs with augur_is_complete(): the bytes were there before the bit. */
	smp_store_release(&ai->state, (old & ~clear) | set);
	trace_augur_state(augur_oid_ino(ai->oid), old, ai->state);
	return 0;
}

void augur_state_init(struct augur_inode *ai, const struct augur_rec *rec)
{
	unsigned int state = 0;

	if (rec->flags & AUGUR_REC_COMPLETE)
		state |= AUGUR_IS_COMPLETE;
	if (rec->flags & AUGUR_REC_STALE)
		state |= AUGUR_IS_STALE;
	if (rec->flags & AUGUR_REC_LOCAL)
		state |= AUGUR_IS_LOCAL;
	if (rec->flags & AUGUR_REC_PINNED)
		state |= AUGUR_IS_PINNED;
	/* Pairs with augur_is_complete(), as in augur_state_change(). */
	smp_store_release(&ai->state, state);
}
