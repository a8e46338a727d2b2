// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * behind.c - fills the rest of a large file behind a reader that jumps about in it.
 *
 * Each such miss costs its reader a round trip, so once there have been many for the size of
 * the file, each further one pays for AGENT_BEHIND_STEP of it, brought in order in small
 * pieces.  They yield to whoever waits: as many are under way as the link carries beside the
 * rest, which shows in how long a piece takes.  Nothing asked, nothing brought: a reader that
 * finds everything, or goes away, ends it.  Loop thread only.
 */
#include "agent/agent.h"
#include "base/log.h"

#define PIECE		(256u * 1024)
#define WINDOW_MIN	(512u * 1024)
#define WINDOW_MAX	(8u << 20)
#define SLACK_NS	2000000		/* more than twice the best time and this: the link is full */

static bool dense(const struct fwork *f)
{
	return f->jumps >= AGENT_BEHIND_AFTER && f->jumps >= f->o->size / AGENT_BEHIND_DENSE;
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
	*len = min(*len, max((u64)PIECE, (u64)1 << f->o->shift));
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

void behind_done(struct fwork *f, const struct fill *fl, int err)
{
	u64 took = io_now(f->v->io) - fl->begun_ns;

	f->behind_fly -= min(f->behind_fly, fl->len);
	if (err) {
		f->behind_over = true;
		return;
	}
	if (!f->behind_base_ns || took < f->behind_base_ns)
		f->behind_base_ns = took;
	if (took > 2 * f->behind_base_ns + SLACK_NS)
		f->behind_window = max(f->behind_window / 2, (u64)WINDOW_MIN);
	else
		f->behind_window = min(f->behind_window + PIECE, (u64)WINDOW_MAX);
	behind_go(f);
}
