// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * giveback.c - what a fill that failed for want of room has written is taken away again.
 *
 * Such bytes have no claim, so nobody would ever evict them: on a full disk each refused fill
 * would keep a part of the room that all readers share.  Until the hole is punched their range
 * counts as on its way, so nobody fills what is about to go.  Loop thread only.
 */
#include "agent/agent.h"
#include "base/log.h"

struct give_back { struct evict_job job; struct evict_item it; struct vol *v; struct fill *fl; };

static void given_back(struct evict_job *j)
{
	struct give_back *gb = container_of(j, struct give_back, job);
	struct vol *v = gb->v;

	if (gb->it.res)
		log_warn("event=give_back cache=%s error=\"%s\" effect=\"bytes that nobody claims stay on the disk\"", v->c->dir,
			 strerror(-gb->it.res));
	fill_finish(gb->fl);
	free(gb);
	vol_put(v);
}

/* Has it written what would be in the way if it stayed? */
static bool in_the_way(const struct fill *fl)
{
	const struct cobj *o = fl->f->o;
	u64 first, count;

	if (!fl->err || !fl->wrote || (fl->err != -ENOSPC && !fl->stream) || fl->f->v->dead || !fill_current(fl))
		return false;
	/* Punching would strip capabilities. */
	if (o->flags & (COBJ_COMPLETE | COBJ_CAPS))
		return false;
	augur_chunk_range(fl->off, fl->len, o->size, o->shift, &first, &count);
	return !o->map || augur_map_next_one(o->map, first, first + count) >= first + count;
}

bool fill_give_back(struct fill *fl)
{
	struct give_back *gb;

	if (!in_the_way(fl))
		return false;
	gb = xcalloc(1, sizeof(*gb));
	gb->v = vol_get(fl->f->v);
	gb->fl = fl;
	gb->it.fh = fl->fh;
	gb->it.off = fl->off;
	gb->it.len = fl->len;
	gb->job.c = gb->v->c;
	gb->job.it = &gb->it;
	gb->job.n = 1;
	gb->job.done = given_back;
	cache_punch(&gb->job);
	return true;
}
