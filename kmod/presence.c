// SPDX-License-Identifier: GPL-2.0-only
/*
 * presence.c - which bytes of a file are here, who may write the missing ones, and which
 * inodes must stay in memory because the durable claim lags behind.
 *
 * Presence never runs ahead of data: a bit is set only when the daemon says that the bytes
 * are in the lower file.  Bits, FETCH requests (augur_inode.fetches) and fill grants
 * (grant_list) are all under augur_inode.lock, so "absent and asked by nobody" is one look.
 * Without a map an incomplete file has no byte present.  Pins (augur_sb.unsettled) hold one
 * inode reference each, under unsettled_lock, which nests inside augur_inode.lock.
 *
 * long file: bits, requests for them, grants and pins share one lock and one invariant.
 */
#include <linux/pagemap.h>
#include <linux/slab.h>
#include "upcall.h"

static atomic64_t last_grant_id;

struct iput_node {
	struct llist_node	node;
	struct inode		*inode;
};

void augur_presence_init(struct augur_inode *ai)
{
	spin_lock_init(&ai->lock);
	INIT_LIST_HEAD(&ai->fetches);
	INIT_LIST_HEAD(&ai->grant_list);
	INIT_LIST_HEAD(&ai->unsettled);
	atomic_set(&ai->mappings, 0);
	atomic_set(&ai->opens, 0);
	atomic_set(&ai->reading, 0);
	ai->state = 0;
	ai->map = NULL;
	ai->map_chunks = 0;
	ai->map_gen = 0;
	ai->grants = 0;
	ai->unsettled_seq = 0;
}

void augur_map_free(u8 *map)
{
	if (!map)
		return;
	kfree(map);
	augur_live_dec();
}

void augur_presence_free(struct augur_inode *ai)
{
	augur_map_free(ai->map);
	ai->map = NULL;
	ai->map_chunks = 0;
}

/* -------- letting go of inodes -------- */

void augur_iput_work(struct work_struct *work)
{
	struct augur_sb *asb = container_of(work, struct augur_sb, iput_work);
	struct iput_node *n, *next;

	llist_for_each_entry_safe(n, next, llist_del_all(&asb->iputs), node) {
		iput(n->inode);
		kfree(n);
		augur_live_dec();
	}
}

/*
 * The last iput() may truncate an unlinked lower file and wait for its filesystem, which a
 * netlink handler must not.
 */
void augur_iput_async(struct augur_sb *asb, struct inode *inode)
{
	struct iput_node *n;

	if (atomic_add_unless(&inode->i_count, -1, 1))
		return;
	n = kmalloc(sizeof(*n), GFP_KERNEL);
	if (!n) {
		iput(inode);
		return;
	}
	augur_live_inc();
	n->inode = inode;
	if (llist_add(&n->node, &asb->iputs))
		queue_work(augur_wq, &asb->iput_work);
}

/* Pins or unpins to what the state says; ai->lock held.  True: the caller drops one reference. */
bool augur_pin_update(struct augur_inode *ai)
{
	struct augur_sb *asb = AUGUR_SB(ai->vfs.i_sb);
	bool want = (ai->state & AUGUR_IS_DIRTY) ||
		    (ai->state & (AUGUR_IS_UNSETTLED | AUGUR_IS_STALE)) == AUGUR_IS_UNSETTLED;
	bool drop = false;

	spin_lock(&asb->unsettled_lock);
	if (want && list_empty(&ai->unsettled)) {
		ihold(&ai->vfs);
		ai->unsettled_seq = ++asb->unsettled_seq;
		list_add_tail(&ai->unsettled, &asb->unsettled);
	} else if (!want && !list_empty(&ai->unsettled)) {
		list_del_init(&ai->unsettled);
		drop = true;
	}
	spin_unlock(&asb->unsettled_lock);
	return drop;
}

void augur_set_stale(struct inode *inode)
{
	struct augur_inode *ai = AUGUR_I(inode);
	bool drop;

	spin_lock(&ai->lock);
	if (!(ai->state & AUGUR_IS_STALE))
		augur_state_change(ai, AUGUR_IS_STALE, 0);
	drop = augur_pin_update(ai);
	spin_unlock(&ai->lock);
	if (drop)
		augur_iput_async(AUGUR_SB(inode->i_sb), inode);
}

struct inode *augur_unsettled_next(struct augur_sb *asb, u64 *seq)
{
	struct augur_inode *ai;
	struct inode *inode = NULL;

	spin_lock(&asb->unsettled_lock);
	list_for_each_entry(ai, &asb->unsettled, unsettled) {
		if (ai->unsettled_seq <= *seq)
			continue;
		*seq = ai->unsettled_seq;
		inode = &ai->vfs;
		ihold(inode);
		break;
	}
	spin_unlock(&asb->unsettled_lock);
	return inode;
}

void augur_unsettle_all(struct augur_sb *asb)
{
	struct augur_inode *ai;

	for (;;) {
		spin_lock(&asb->unsettled_lock);
		ai = list_first_entry_or_null(&asb->unsettled, struct augur_inode, unsettled);
		if (ai)
			list_del_init(&ai->unsettled);
		spin_unlock(&asb->unsettled_lock);
		if (!ai)
			return;
		iput(&ai->vfs);
	}
}

/* -------- looking -------- */

/* First absent chunk in [*first, *first + *count) and the length of its absent run; ai->lock. */
static bool absent_run(const struct augur_inode *ai, u64 *first, u64 *count)
{
	u64 end = *first + *count, from;

	if (ai->state & AUGUR_IS_COMPLETE)
		return false;
	if (!ai->map)
		return *count;
	if (end > ai->map_chunks)
		end = ai->map_chunks;
	from = augur_map_next_zero(ai->map, *first, end);
	if (from >= end)
		return false;
	*first = from;
	*count = augur_map_next_one(ai->map, from, end) - from;
	return true;
}

bool augur_present(struct inode *inode, loff_t pos, u64 len)
{
	struct augur_inode *ai = AUGUR_I(inode);
	u64 first, count;
	bool absent;

	if (augur_is_complete(inode))
		return true;
	augur_chunk_range(pos, len, i_size_read(inode), ai->chunk_shift, &first, &count);
	if (!count)
		return true;
	spin_lock(&ai->lock);
	absent = absent_run(ai, &first, &count);
	spin_unlock(&ai->lock);
	return !absent;
}

#define LOOKS_MIN	64	/* at bytes that are taken again before they were seen */

/*
 * What a full disk streams may be gone before its reader has looked: to be called each time.  True:
 * it has gone on for longer than an answer may take, and is to end.
 */
bool augur_taken_again(struct inode *inode, struct augur_again *again)
{
	if (!again->looks++)
		again->until = jiffies +
			msecs_to_jiffies(augur_opt(AUGUR_SB(inode->i_sb), timeout_ms));
	return again->looks >= LOOKS_MIN && time_after(jiffies, again->until);
}

/* -------- asking -------- */

struct need {
	struct inode		*inode;
	struct augur_file	*af;
	u64			pos, len, want, size;
	unsigned int		flags;
	u64			miss_bytes;	/* asked for by this call */
};

/* A request that brings @chunk to somebody who waits; ai->lock held. */
static struct augur_req *find_fetch(struct augur_inode *ai, u64 chunk, unsigned int flags)
{
	struct augur_req *req;

	list_for_each_entry(req, &ai->fetches, inode_link) {
		if (req->op != AUGUR_OP_FETCH || chunk - req->first >= req->count)
			continue;
		/* The daemon ranks a prefetch low: a waiter asks again, with its own weight. */
		if ((req->flags & AUGUR_RQ_PREFETCH) && !(flags & AUGUR_RQ_PREFETCH))
			continue;
		return req;
	}
	return NULL;
}

/* Cuts a run so that it ends where another waiter's request begins; ai->lock held. */
static u64 cut_at_others(struct augur_inode *ai, u64 first, u64 count)
{
	struct augur_req *req;

	list_for_each_entry(req, &ai->fetches, inode_link) {
		if (req->op == AUGUR_OP_FETCH && req->first > first && req->first - first < count)
			count = req->first - first;
	}
	return count;
}

static void set_range(struct augur_req *req, const struct need *need, u64 first, u64 count)
{
	struct augur_inode *ai = AUGUR_I(need->inode);
	u64 wish = need->pos + need->want;	/* both at most the size: no overflow */

	req->first = first;
	req->count = count;
	req->off = first << ai->chunk_shift;
	req->len = min(need->size, (first + count) << ai->chunk_shift) - req->off;
	req->want = wish > req->off + req->len ? wish - req->off : req->len;
	req->flags = need->flags;
	if (!(ai->state & AUGUR_IS_MAPPED))
		req->flags |= AUGUR_RQ_WANT_MAP;
	if (need->af) {
		req->open_id = need->af->open_id;
		req->session_key = need->af->session_key;
	}
}

/*
 * Nobody would wait for it: not worth keeping for a daemon yet to come, and never worth a
 * wait for room in the table, as the caller may hold the mmap lock.
 */
static bool may_prefetch(struct augur_sb *asb)
{
	return READ_ONCE(asb->session) && atomic_read(&asb->reqs_live) < AUGUR_REQS_MAX / 2;
}

/* A prefetch goes on behind @req: 0, or 1 if that was all. */
static int need_next(struct need *need, const struct augur_req *req)
{
	u64 end = req->off + req->len;

	if (end >= need->pos + need->len)
		return 1;
	need->want -= end - need->pos;
	need->len -= end - need->pos;
	need->pos = end;
	return 0;
}

/*
 * One look, and at most one wait.  1: all present (or, for a prefetch, asked); 0: look
 * again; or -errno.  *spare carries a fresh request from one look to the next, as it
 * cannot be made under the lock.
 */
static int need_once(struct need *need, struct augur_req **spare, bool nowait)
{
	struct augur_inode *ai = AUGUR_I(need->inode);
	bool prefetch = need->flags & AUGUR_RQ_PREFETCH;
	struct augur_req *req = NULL;
	u64 first, count;
	int err;

	augur_chunk_range(need->pos, need->len, need->size, ai->chunk_shift, &first, &count);
	spin_lock(&ai->lock);
	err = !absent_run(ai, &first, &count);
	if (!err && !augur_inject(AUGUR_INJECT_no_coalesce))
		req = find_fetch(ai, first, need->flags);
	if (req && prefetch)
		err = need_next(need, req);
	else if (!err && nowait)
		err = -EAGAIN;
	if (err || (req && prefetch))
		goto out_unlock;
	if (req) {
		augur_req_join(req);
		goto wait;
	}
	if (!*spare) {
		spin_unlock(&ai->lock);
		if (prefetch && !may_prefetch(AUGUR_SB(need->inode->i_sb)))
			return 1;
		req = augur_req_new(need->inode, AUGUR_OP_FETCH, NULL);
		if (IS_ERR(req))
			return PTR_ERR(req);
		*spare = req;
		return 0;
	}
	req = *spare;
	set_range(req, need, first, cut_at_others(ai, first, count));
	need->miss_bytes += req->len;
	err = augur_req_start(req);
	if (err)
		goto out_unlock;
	*spare = NULL;
wait:
	spin_unlock(&ai->lock);
	augur_upcall_kick(req->asb);
	if (augur_inject(AUGUR_INJECT_mark_early))
		augur_presence_mark(need->inode, req->off, req->len, NULL, 0, 0, false);
	if (!prefetch)
		return augur_req_wait(req, NULL);
	err = need_next(need, req);
	augur_req_release(req);
	return err;

out_unlock:
	spin_unlock(&ai->lock);
	return err;
}

static void account_miss(struct need *need, u64 us, int err)
{
	struct augur_sb *asb = AUGUR_SB(need->inode->i_sb);
	unsigned int evf = 0;

	augur_stat_add(asb, fetch_wait_us, us);
	augur_stat_add(asb, miss_bytes, need->miss_bytes);
	if (need->af) {
		need->af->miss_us += us;
		need->af->miss_bytes += need->miss_bytes;
	}
	if (need->flags & AUGUR_RQ_FAULT)
		evf |= AUGUR_EVF_MMAP;
	if (err)
		evf |= AUGUR_EVF_ERROR;
	augur_event_miss(need->inode, need->af, need->pos, need->len, us, evf);
}

int augur_need_range(struct inode *inode, struct augur_file *af, loff_t pos, u64 len,
		     u64 want, unsigned int flags, bool nowait)
{
	struct augur_req *spare = NULL;
	struct need need = { .inode = inode, .af = af, .size = i_size_read(inode) };
	struct augur_again again = {};
	u64 looks;
	ktime_t start;
	int ret;

	if (augur_present(inode, pos, len))
		return 0;
	if (nowait && !(flags & AUGUR_RQ_PREFETCH))
		return -EAGAIN;
	if (pos >= need.size)
		return 0;
	need.pos = pos;
	need.len = min(len, need.size - need.pos);
	need.want = min(max(want, need.len), need.size - need.pos);
	need.flags = flags & (AUGUR_RQ_PREFETCH | AUGUR_RQ_WRITE | AUGUR_RQ_FAULT | AUGUR_RQ_SEQ);
	start = ktime_get();
	/* Each look but a few has found more of it here than the one before, or somebody takes it again. */
	looks = 2 * augur_chunks(need.len, AUGUR_I(inode)->chunk_shift);
	do {
		ret = need_once(&need, &spare, nowait);
		if (!ret && looks)
			looks--;
		else if (!ret && augur_taken_again(inode, &again))
			ret = -ENOSPC;
	} while (!ret);
	if (spare)
		augur_req_discard(spare);
	if (ret > 0)
		ret = 0;
	if (!(flags & AUGUR_RQ_PREFETCH))
		account_miss(&need, ktime_us_delta(ktime_get(), start), ret);
	return ret;
}

/* -------- being told -------- */

/* Chunks of the file, or 0 if its map would not fit (a record that contradicts itself). */
static u64 chunks_of(struct inode *inode)
{
	u64 n = augur_chunks(i_size_read(inode), AUGUR_I(inode)->chunk_shift);

	return n <= AUGUR_MAP_MAX * 8ULL ? n : 0;
}

int augur_presence_check(struct inode *inode, u64 off, u64 len, size_t map_len)
{
	u64 size = i_size_read(inode);

	if (!S_ISREG(inode->i_mode))
		return -EINVAL;
	if (off > size || off + len < off)
		return -EINVAL;
	if (map_len && map_len != augur_map_bytes(size, AUGUR_I(inode)->chunk_shift))
		return -EINVAL;
	return 0;
}

static int map_alloc(struct inode *inode)
{
	struct augur_inode *ai = AUGUR_I(inode);
	u64 chunks = chunks_of(inode);
	u8 *map;

	if (augur_is_complete(inode) || READ_ONCE(ai->map))
		return 0;
	if (!chunks) {
		augur_warn(AUGUR_SB(inode->i_sb), "the record of inode %lu says chunks too small for its size: see augur doctor",
			   (unsigned long)inode->i_ino);
		return -EIO;
	}
	map = kzalloc(DIV_ROUND_UP(chunks, 8), GFP_KERNEL);
	if (!map)
		return -ENOMEM;
	augur_live_inc();
	spin_lock(&ai->lock);
	if (!ai->map && !(ai->state & AUGUR_IS_COMPLETE)) {
		ai->map = map;
		ai->map_chunks = chunks;
		map = NULL;
	}
	spin_unlock(&ai->lock);
	augur_map_free(map);
	return 0;
}

/* Adds the bits of @map (of the same length as the inode's own); ai->lock held. */
static void map_merge(struct augur_inode *ai, const u8 *map)
{
	u32 i, bytes = ai->map_chunks / 8;

	for (i = 0; i < bytes; i++)
		ai->map[i] |= map[i];
	if (ai->map_chunks % 8)
		ai->map[bytes] |= map[bytes] & ((1U << (ai->map_chunks % 8)) - 1);
}

/* Marks the chunks that lie wholly in the range; true if one of them is new.  ai->lock held. */
static bool mark_range(struct augur_inode *ai, u64 off, u64 len, u64 size)
{
	u64 chunk = 1ULL << ai->chunk_shift;
	u64 first = off / chunk + !!(off % chunk);
	u64 end = off + len >= size ? ai->map_chunks : (off + len) / chunk;

	if (end > ai->map_chunks)
		end = ai->map_chunks;
	if (first >= end || augur_map_all(ai->map, first, end - first))
		return false;
	augur_map_set_range(ai->map, first, end - first);
	return true;
}

int augur_presence_mark(struct inode *inode, u64 off, u64 len, const u8 *map, size_t map_len,
			unsigned int rp_flags, bool map_answered)
{
	struct augur_inode *ai = AUGUR_I(inode);
	u64 size = i_size_read(inode);
	unsigned int set = 0;
	bool drop = false;
	u8 *old = NULL;
	int err;

	err = augur_presence_check(inode, off, len, map ? map_len : 0);
	if (!err && !(rp_flags & AUGUR_RP_COMPLETE))
		err = map_alloc(inode);
	if (err)
		return err;
	spin_lock(&ai->lock);
	if (ai->state & AUGUR_IS_COMPLETE)
		goto out;
	if (map_answered)
		set |= AUGUR_IS_MAPPED;
	if (rp_flags & AUGUR_RP_COMPLETE) {
		set |= AUGUR_IS_COMPLETE | AUGUR_IS_MAPPED | AUGUR_IS_UNSETTLED;
	} else if (ai->map) {
		/* What the map adds is durable already (it is the claim); the range is not. */
		if (map)
			map_merge(ai, map);
		if (mark_range(ai, off, len, size))
			set |= AUGUR_IS_UNSETTLED;
		/* What is streamed goes again, while it is open. */
		if (!(rp_flags & AUGUR_RP_STREAM) && augur_map_all(ai->map, 0, ai->map_chunks))
			set |= AUGUR_IS_COMPLETE | AUGUR_IS_MAPPED;
	}
	augur_state_change(ai, set, 0);
	if (set & AUGUR_IS_COMPLETE) {
		old = ai->map;
		ai->map = NULL;
		ai->map_chunks = 0;
	}
	ai->map_gen++;
	drop = augur_pin_update(ai);
out:
	spin_unlock(&ai->lock);
	augur_map_free(old);
	if (drop)
		augur_iput_async(AUGUR_SB(inode->i_sb), inode);
	return 0;
}

void augur_mark_populated(struct inode *dir)
{
	struct augur_inode *ai = AUGUR_I(dir);

	if (!S_ISDIR(dir->i_mode))
		return;
	spin_lock(&ai->lock);
	augur_state_change(ai, AUGUR_IS_COMPLETE, 0);
	spin_unlock(&ai->lock);
}

u64 augur_present_bytes(struct inode *inode)
{
	struct augur_inode *ai = AUGUR_I(inode);
	u64 size = i_size_read(inode), n;

	if (ai->state & AUGUR_IS_COMPLETE)
		return size;
	if (!ai->map)
		return 0;
	n = augur_map_weight(ai->map, ai->map_chunks) << ai->chunk_shift;
	/* The last chunk may be short. */
	if (augur_map_test(ai->map, ai->map_chunks - 1))
		n -= ((u64)ai->map_chunks << ai->chunk_shift) - size;
	return n;
}

void augur_settle(struct inode *inode, u64 recorded_bytes, unsigned int rp_flags)
{
	struct augur_inode *ai = AUGUR_I(inode);
	bool drop = false, same;

	spin_lock(&ai->lock);
	/* A map record of all bytes is as good a claim as the record's flag. */
	if ((ai->state & AUGUR_IS_COMPLETE) && (rp_flags & AUGUR_RP_COMPLETE))
		same = true;
	else
		same = !(rp_flags & AUGUR_RP_COMPLETE) && augur_present_bytes(inode) == recorded_bytes;
	if (same && (ai->state & AUGUR_IS_UNSETTLED)) {
		augur_state_change(ai, 0, AUGUR_IS_UNSETTLED);
		drop = augur_pin_update(ai);
	}
	spin_unlock(&ai->lock);
	if (drop)
		augur_iput_async(AUGUR_SB(inode->i_sb), inode);
}

/* -------- grants -------- */

void augur_filling_inc(struct augur_inode *ai)
{
	lockdep_assert_held(&ai->lock);
	if (!ai->grants++)
		augur_state_change(ai, AUGUR_IS_FILLING, 0);
}

void augur_filling_dec(struct augur_inode *ai)
{
	lockdep_assert_held(&ai->lock);
	if (!--ai->grants)
		augur_state_change(ai, 0, AUGUR_IS_FILLING);
}

/* The first request or grant that touches [first, first + count); ai->lock held. */
static bool next_taken(struct augur_inode *ai, u64 first, u64 count, u64 *taken, u64 *taken_end)
{
	struct augur_grant *g;
	struct augur_req *req;
	u64 best = first + count, best_end = best;
	int i;

#define TOUCH(f, c)								\
	do {									\
		if ((f) < best && (f) + (c) > first) {				\
			best = (f);						\
			best_end = (f) + (c);					\
		}								\
	} while (0)
	list_for_each_entry(req, &ai->fetches, inode_link)
		if (req->op == AUGUR_OP_FETCH)
			TOUCH(req->first, req->count);
	list_for_each_entry(g, &ai->grant_list, link)
		for (i = 0; i < g->n; i++)
			TOUCH(g->range[i].first, g->range[i].count);
#undef TOUCH
	*taken = max(best, first);
	*taken_end = best_end;
	return best < first + count;
}

static void grant_add(struct augur_grant *g, u64 first, u64 count, unsigned int shift, u64 size)
{
	struct augur_range *r = &g->range[g->n++];

	r->first = first;
	r->count = count;
	r->off = first << shift;
	r->len = min(size, (first + count) << shift) - r->off;
}

/* Fills @g with what is absent and free in [first, end); ai->lock held. */
static void grant_collect(struct augur_inode *ai, struct augur_grant *g, u64 first, u64 end,
			  u64 size)
{
	u64 run, count, taken, taken_end;

	while (first < end && g->n < AUGUR_GRANT_RANGES) {
		run = first;
		count = end - first;
		if (!absent_run(ai, &run, &count))
			return;
		if (next_taken(ai, run, count, &taken, &taken_end))
			first = taken_end;
		else
			first = taken = run + count;
		if (taken > run)
			grant_add(g, run, taken - run, ai->chunk_shift, size);
	}
}

static int grant_allowed(const struct augur_inode *ai)
{
	if (ai->state & AUGUR_IS_STALE)
		return -ESTALE;
	if ((ai->state & AUGUR_IS_DIRTY) && !(ai->state & (AUGUR_IS_MAPPED | AUGUR_IS_COMPLETE)))
		return -EBUSY;
	return 0;
}

struct augur_grant *augur_grant_begin(struct inode *inode, u64 off, u64 len, bool *map_known)
{
	struct augur_inode *ai = AUGUR_I(inode);
	u64 first, count, size = i_size_read(inode);
	struct augur_grant *g;
	int err;

	if (!S_ISREG(inode->i_mode))
		return ERR_PTR(-EINVAL);
	g = kzalloc(sizeof(*g), GFP_KERNEL);
	if (!g)
		return ERR_PTR(-ENOMEM);
	augur_chunk_range(off, len, size, ai->chunk_shift, &first, &count);
	spin_lock(&ai->lock);
	*map_known = ai->state & (AUGUR_IS_MAPPED | AUGUR_IS_COMPLETE);
	err = grant_allowed(ai);
	if (!err)
		grant_collect(ai, g, first, first + count, size);
	if (!g->n) {
		spin_unlock(&ai->lock);
		kfree(g);
		return ERR_PTR(err);
	}
	g->id = atomic64_inc_return(&last_grant_id);
	g->inode = inode;
	ihold(inode);
	list_add_tail(&g->link, &ai->grant_list);
	augur_filling_inc(ai);
	spin_unlock(&ai->lock);
	augur_live_inc();
	trace_augur_grant(g->id, augur_oid_ino(ai->oid), off, len, g->n, true);
	return g;
}

void augur_grant_end(struct augur_sb *asb, struct augur_grant *g)
{
	struct augur_inode *ai = AUGUR_I(g->inode);

	spin_lock(&ai->lock);
	list_del(&g->link);
	augur_filling_dec(ai);
	spin_unlock(&ai->lock);
	trace_augur_grant(g->id, augur_oid_ino(ai->oid), g->range[0].off, g->range[0].len, g->n,
			  false);
	augur_iput_async(asb, g->inode);
	kfree(g);
	augur_live_dec();
}
