/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring.h - a ring of access records between one producer and one consumer.
 *
 * head belongs to the producer and tail to the consumer, so neither needs an atomic operation.
 * Records are written in place and become visible with the head; a full ring drops the new
 * record and counts it, it never overwrites: produced = accepted + dropped, always.  Compiled
 * into the module (one ring a CPU) and into the tests, where threads stand for the two sides.
 */
#ifndef AUGUR_COMMON_RING_H
#define AUGUR_COMMON_RING_H

#include "types.h"
#include <linux/augurfs.h>

#ifdef __KERNEL__
#include <asm/barrier.h>
#else
#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v)	__atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#define smp_load_acquire(p)	__atomic_load_n((p), __ATOMIC_ACQUIRE)	/* as in the kernel */
#define smp_store_release(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)	/* likewise */
#endif

struct augur_ring {
	struct augur_event	*rec;	/* NULL: no ring here, everything is dropped */
	u64			size;	/* records, a power of two; 0: no ring */
	u64			head;	/* accepted; producer */
	u64			room;	/* head may come up to here without a look at tail; producer */
	u64			dropped;	/* producer */
	u64			tail;	/* delivered; consumer */
};

/* -------- producer -------- */

/* How many lie in the ring as the consumer last said. */
static inline u64 augur_ring_used(const struct augur_ring *r)
{
	/* Pairs with the consumer's release: it has read what is written next. */
	return r->head - smp_load_acquire(&r->tail);
}

/*
 * Room for @n records at augur_ring_slot(r, 0 .. n - 1); false: they are dropped and counted.
 * @kick is set when half of the ring is full: time to wake the consumer.
 */
static inline bool augur_ring_reserve(struct augur_ring *r, u32 n, bool *kick)
{
	u64 used;

	if (r->head + n <= r->room)
		return true;
	used = augur_ring_used(r) + n;
	if (used <= r->size / 2) {
		r->room = r->head + n - used + r->size / 2;
		return true;
	}
	if (used <= r->size) {
		r->room = r->head + n - used + r->size;
		*kick = true;
		return true;
	}
#ifndef AUGUR_SEED_RING_LOSS	/* the seeded bug of tests/accept line log */
	WRITE_ONCE(r->dropped, r->dropped + n);
#endif
	return false;
}

static inline struct augur_event *augur_ring_slot(const struct augur_ring *r, u32 i)
{
	return &r->rec[(r->head + i) & (r->size - 1)];
}

static inline void augur_ring_commit(struct augur_ring *r, u32 n)
{
	/* Pairs with the consumer's acquire: the records before the count. */
	smp_store_release(&r->head, r->head + n);
}

/* -------- consumer -------- */

/* Up to @max records that lie together, and the number of the first; 0: none. */
static inline u64 augur_ring_peek(struct augur_ring *r, u64 max, struct augur_event **rec, u64 *seq)
{
	/* Pairs with the producer's release. */
	u64 n = smp_load_acquire(&r->head) - r->tail, at = r->tail & (r->size - 1);

	if (n > r->size - at)
		n = r->size - at;
	*rec = r->rec + at;
	*seq = r->tail;
	return n < max ? n : max;
}

static inline void augur_ring_consume(struct augur_ring *r, u64 n)
{
	/* Pairs with the producer's acquire: we are done with these slots. */
	smp_store_release(&r->tail, r->tail + n);
}

#endif
