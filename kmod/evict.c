// SPDX-License-Identifier: GPL-2.0-only
/*
 * evict.c - bytes that go again: the daemon asks, the kernel says whether nobody needs them,
 * and from that answer on they are absent; the daemon punches the hole only then.
 *
 * All bytes of an object go only if nobody has it open or mapped, so that what looks at a
 * complete file needs to look at nothing else.  Streamed bytes, which a full disk could not
 * keep and which were never claimed, go while the file is open: there presence and reading are
 * one step, between augur_read_begin() and _end(), and a range that is absent at the end of
 * that step is looked at by nobody.  Nothing here waits.
 */
#include <linux/pagemap.h>
#include "upcall.h"
#include "trace.h"

void augur_pin(struct inode *inode, bool set)
{
	struct augur_inode *ai = AUGUR_I(inode);

	spin_lock(&ai->lock);
	if (set)
		augur_state_change(ai, AUGUR_IS_PINNED, 0);
	else
		augur_state_change(ai, 0, AUGUR_IS_PINNED);
	spin_unlock(&ai->lock);
}

/* -------- reading what may go -------- */

bool augur_read_begin(struct inode *inode, loff_t pos, u64 len)
{
	struct augur_inode *ai = AUGUR_I(inode);

	atomic_inc(&ai->reading);
	/* Pairs with range_clear(): the count is seen by who clears the bits, or the bits by us. */
	smp_mb__after_atomic();
	if (likely(augur_present(inode, pos, len)))
		return true;
	atomic_dec(&ai->reading);
	return false;
}

void augur_read_end(struct inode *inode)
{
	/* What was read is read before somebody sees that nobody reads. */
	smp_mb__before_atomic();
	atomic_dec(&AUGUR_I(inode)->reading);
}

/* -------- all of an object -------- */

u32 augur_busy(const struct augur_inode *ai)
{
	if (ai->state & (AUGUR_IS_DIRTY | AUGUR_IS_LOCAL))
		return AUGUR_BUSY_DIRTY;
	if ((ai->state & AUGUR_IS_PINNED) && !augur_inject(AUGUR_INJECT_evict_pinned))
		return AUGUR_BUSY_PINNED;
	/* Mappings of files that were complete are not counted (mmap.c). */
	if (atomic_read(&ai->mappings) || mapping_mapped(ai->lower->i_mapping))
		return AUGUR_BUSY_MAPPED;
	if (atomic_read(&ai->opens))
		return AUGUR_BUSY_OPEN;
	if (ai->grants || !list_empty(&ai->fetches))
		return AUGUR_BUSY_FILLING;
	return 0;
}

/*
 * From now on it is absent, and so is what its durable claim did not know yet.  An open that
 * comes a moment later sees that and asks.
 */
static int try_all(struct inode *inode, bool ask, u32 *why, u64 *bytes, u8 **map)
{
	unsigned int gone = AUGUR_IS_COMPLETE | AUGUR_IS_MAPPED | AUGUR_IS_UNSETTLED;
	struct augur_inode *ai = AUGUR_I(inode);
	int err;

	*why = augur_busy(ai);
	if (*why || ask)
		return *why ? -EBUSY : 0;
	/* Only the fault point comes so far with a pin. */
	if (ai->state & AUGUR_IS_PINNED)
		augur_state_change(ai, 0, AUGUR_IS_PINNED);
	*bytes = augur_present_bytes(inode);
	err = augur_state_change(ai, 0, gone);
	if (err)
		return err;
	*map = ai->map;
	ai->map = NULL;
	ai->map_chunks = 0;
	return 0;
}

/* -------- a range of it -------- */

static bool range_taken(const struct augur_inode *ai, u64 first, u64 count)
{
	const struct augur_grant *g;
	const struct augur_req *req;
	int i;

	list_for_each_entry(req, &ai->fetches, inode_link)
		if (req->op == AUGUR_OP_FETCH && req->first < first + count &&
		    first < req->first + req->count)
			return true;
	list_for_each_entry(g, &ai->grant_list, link)
		for (i = 0; i < g->n; i++)
			if (g->range[i].first < first + count &&
			    first < g->range[i].first + g->range[i].count)
				return true;
	return false;
}

static u32 range_busy(const struct augur_inode *ai, u64 first, u64 count)
{
	if (ai->state & (AUGUR_IS_DIRTY | AUGUR_IS_LOCAL))
		return AUGUR_BUSY_DIRTY;
	if (ai->state & AUGUR_IS_COMPLETE)
		return AUGUR_BUSY_CLAIMED;
	if (range_taken(ai, first, count))
		return AUGUR_BUSY_FILLING;
	/* Nothing of it is here for anybody, as its reader was killed before the answer came: it may go. */
	if (!ai->map || augur_map_next_one(ai->map, first, first + count) >= first + count)
		return 0;
	return ai->state & AUGUR_IS_UNSETTLED ? 0 : AUGUR_BUSY_CLAIMED;
}

/* Run by run, as not all of it need be here.  False: somebody reads, and the last run stays. */
static bool range_clear(struct augur_inode *ai, u64 first, u64 end)
{
	u64 stop;

	if (!ai->map)
		return true;
	while ((first = augur_map_next_one(ai->map, first, end)) < end) {
		stop = augur_map_next_zero(ai->map, first, end);
		augur_map_clear_range(ai->map, first, stop - first);
		/* Pairs with augur_read_begin(). */
		smp_mb();
		if (atomic_read(&ai->reading)) {
			augur_map_set_range(ai->map, first, stop - first);
			return false;
		}
		first = stop;
	}
	return true;
}

/* Only whole chunks go; the last one may be short. */
static int try_range(struct inode *inode, u64 off, u64 len, bool ask, u32 *why, u64 *bytes)
{
	struct augur_inode *ai = AUGUR_I(inode);
	u64 size = i_size_read(inode), mask = (1ULL << ai->chunk_shift) - 1;
	u64 first = off >> ai->chunk_shift, end, before;

	if ((off & mask) || off >= size || len > size - off || ((len & mask) && off + len != size))
		return -ERANGE;
	end = (off + len + mask) >> ai->chunk_shift;
	*why = range_busy(ai, first, end - first);
	if (*why || ask)
		return *why ? -EBUSY : 0;
	before = augur_present_bytes(inode);
	if (!range_clear(ai, first, end))
		*why = AUGUR_BUSY_READING;
	*bytes = before - augur_present_bytes(inode);
	return *why ? -EBUSY : 0;
}

int augur_try_evict(struct inode *inode, u64 off, u64 len, bool ask, u32 *why)
{
	struct augur_sb *asb = AUGUR_SB(inode->i_sb);
	struct augur_inode *ai = AUGUR_I(inode);
	bool drop = false;
	u8 *map = NULL;
	u64 bytes = 0;
	int err;

	*why = 0;
	if (!S_ISREG(inode->i_mode))
		return -EINVAL;
	spin_lock(&ai->lock);
	err = len ? try_range(inode, off, len, ask, why, &bytes) :
		    try_all(inode, ask, why, &bytes, &map);
	if (!err && !len && !ask)
		drop = augur_pin_update(ai);
	spin_unlock(&ai->lock);
	augur_map_free(map);
	if (drop)
		augur_iput_async(asb, inode);
	trace_augur_evict(augur_oid_ino(ai->oid), off, len, err, *why);
	if (ask)
		return err;
	if (err == -EBUSY)
		augur_stat_inc(asb, evictions_refused);
	if (!err) {
		augur_stat_inc(asb, evictions);
		augur_stat_add(asb, evicted_bytes, bytes);
	}
	return err;
}
