// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * behind.c - fills the rest of a large file behind a reader that jumps about in it.
 *
 * Each such miss costs its reader a round trip, so once there have been many for the size of
 * the file, each further one pays for AGENT_BEHIND_STEP of it, brought in order in small
 * pieces.  Nothing asked, nothing brought: a reader that finds everything, or goes away, ends it.
 *
 * They yield to whoever waits.  What is under way has been taken by sockets and links, where
 * nothing overtakes it, so all of it that the link does not hold delays the next miss.  How long
 * a miss takes is known from before: more is under way as long as a miss takes hardly longer
 * than that, less if it takes noticeably longer.  Loop thread only.
 */
#include "agent/agent.h"
#include "base/log.h"

#define PIECE_MIN	(64u * 1024)
#define PIECE_MAX	(256u * 1024)
#define WINDOW_MIN	(128u * 1024)
#define WINDOW_MAX	(8u << 20)
#define FAR_NS		4000000ull	/* what a miss takes beyond this may be its price as well */
#define LOOKS		4		/* misses that are judged together: one alone may have had bad luck */
#define PAUSE_NS	1000000000ull	/* without a miss: what is known of the way may be true no more */

static bool dense(const struct fwork *f)
{
	return f->jumps >= AGENT_BEHIND_AFTER && f->jumps >= f->o->size / AGENT_BEHIND_DENSE;
}

/* The least that is worth a request: a piece, and never less than a chunk. */
static u64 whole(const struct fwork *f)
{
	return max((u64)PIECE_MIN, (u64)1 << f->o->shift);
}

/* A small share of the window, as others wait for a whole one; in whole chunks. */
static u64 piece_max(const struct fwork *f)
{
	u64 len = min(f->behind_window / 4, (u64)PIECE_MAX) >> f->o->shift << f->o->shift;

	return max(len, whole(f));
}

/* The next piece from where we are, once around; false: all of it is here or under way. */
static bool next_piece(struct fwork *f, u64 *off, u64 *len)
{
	*off = f->behind_at;
	if (!file_absent(f->o, off, len)) {
		*off = 0;
		if (!f->behind_at || !file_absent(f->o, off, len))
			return false;
	}
	*len = min(*len, piece_max(f));
	return true;
}

static void behind_go(struct fwork *f)
{
	struct vol *v = f->v;
	u64 off, len, under_way;
	int err;

	while (!f->behind_over && !v->dead && v->m && f->behind_credit && f->behind_fly < f->behind_window &&
	       v->ahead_bytes < AGENT_FLY_MAX && !(f->o->flags & (COBJ_COMPLETE | COBJ_STALE))) {
		if (!next_piece(f, &off, &len))
			return;
		under_way = v->ahead_bytes;
		err = file_fill(f, off, len, true, FILL_BEHIND);
		f->behind_over = err;
		f->behind_fly += v->ahead_bytes - under_way;
		f->behind_credit -= min(f->behind_credit, len);
		f->behind_at = off + len;
	}
}

void behind_miss(struct fwork *f)
{
	f->jumps++;
#ifdef AUGUR_SEED_NO_BATCH	/* the seeded bug of tests/accept lines speed, cold */
	return;
#endif
	if (!dense(f))
		return;
	if (!f->behind_window)
		f->behind_window = WINDOW_MIN;
	f->behind_credit = min(f->behind_credit + AGENT_BEHIND_STEP, f->o->size);
	behind_go(f);
}

static void window_grow(struct fwork *f, u64 bytes)
{
	f->behind_window = min(f->behind_window + bytes, (u64)WINDOW_MAX);
}

static void window_shrink(struct fwork *f, u64 bytes)
{
	f->behind_found = true;
	f->behind_window -= min(f->behind_window - WINDOW_MIN, bytes);
}

/*
 * At first, and when the way is as good as idle, it doubles, until it is found to be too large.  That may be for a
 * moment: a connection that begins takes less than its link holds.
 */
static void window_judge(struct fwork *f, u64 took)
{
	u64 base = f->asked_base_ns, step = max(f->behind_window / 8 & ~(u64)(PIECE_MIN - 1), whole(f));
	/* The longer the way, the more a filled file saves, and the less a delay matters beside it. */
	u64 slack = max(base / 4, base - min(base, FAR_NS));

	if (took > base + slack) {
		window_shrink(f, step);
	} else if (!f->behind_found || took <= base + slack / 4) {
		f->behind_found = false;
		window_grow(f, f->behind_window);
	} else if (took <= base + slack / 2) {
		window_grow(f, step);
	}
}

static void forget(struct fwork *f)
{
	f->asked_base_ns = UINT64_MAX;
	f->asked_sum_ns = 0;
	f->asked_looks = 0;
	f->behind_found = false;
	f->behind_window = min(f->behind_window, (u64)WINDOW_MIN);
}

/* A miss has been answered: was it delayed? */
void behind_asked(struct fwork *f, const struct fill *fl)
{
	u64 now = io_now(f->v->io), took = now - fl->begun_ns;

	/* Longer ones take longer. */
	if (fl->len > whole(f))
		return;
	if (!f->asked_last_ns || now - f->asked_last_ns >= PAUSE_NS)
		forget(f);
	f->asked_last_ns = now;
	f->asked_base_ns = min(f->asked_base_ns, took);
	if (!f->behind_window)
		return;
	f->asked_sum_ns += took;
	if (++f->asked_looks < (f->behind_found ? LOOKS : 1))
		return;
	window_judge(f, f->asked_sum_ns / f->asked_looks);
	f->asked_sum_ns = 0;
	f->asked_looks = 0;
	behind_go(f);
}

void behind_done(struct fwork *f, const struct fill *fl, int err)
{
	f->behind_fly -= min(f->behind_fly, fl->len);
	if (err) {
		f->behind_over = true;
		return;
	}
	if (!f->behind_found)
		window_grow(f, fl->len);
	behind_go(f);
}
