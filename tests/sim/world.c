// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * world.c - virtual time: a heap of events, the one source of random numbers, and the trace.
 *
 * Events at the same instant happen in a seeded order.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <xxhash.h>

#include "sim.h"

u64 sim_now;
bool sim_quiet;
u64 hits[HITS];

static struct event **heap;
static size_t nheap, cap;
static u64 rng[2], hash, nevents;
static bool tracing;

/* xorshift128+ */
u64 rnd(void)
{
	u64 a = rng[0], b = rng[1];

	rng[0] = b;
	a ^= a << 23;
	rng[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
	return rng[1] + b;
}

u64 below(u64 n)
{
	return n ? rnd() % n : 0;
}

u64 between(u64 a, u64 b)
{
	return a + below(b - a + 1);
}

bool chance(unsigned int permille)
{
	return below(1000) < permille;
}

void world_begin(u64 seed, bool trace)
{
	sim_now = SIM_START;
	hash = seed;
	tracing = trace;
	rng[0] = XXH3_64bits_withSeed(&seed, sizeof(seed), 1);
	rng[1] = XXH3_64bits_withSeed(&seed, sizeof(seed), 2) | 1;
}

/* ---- the heap ---- */

static bool sooner(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->key < b->key;
}

static void put(size_t i, struct event *e)
{
	heap[i] = e;
	e->place = i;
}

static void up(size_t i, struct event *e)
{
	for (; i && sooner(e, heap[(i - 1) / 2]); i = (i - 1) / 2)
		put(i, heap[(i - 1) / 2]);
	put(i, e);
}

static void down(size_t i, struct event *e)
{
	size_t kid;

	for (; (kid = 2 * i + 1) < nheap; i = kid) {
		if (kid + 1 < nheap && sooner(heap[kid + 1], heap[kid]))
			kid++;
		if (!sooner(heap[kid], e))
			break;
		put(i, heap[kid]);
	}
	put(i, e);
}

void event_at(struct event *e, u64 at, void (*fn)(struct event *e))
{
	if (e->queued)
		abort();
	if (nheap == cap) {
		cap = cap ? 2 * cap : 256;
		heap = xrealloc(heap, cap * sizeof(*heap));
	}
	e->at = max(at, sim_now);
	e->key = rnd();
	e->fn = fn;
	e->queued = true;
	up(nheap++, e);
}

void event_cancel(struct event *e)
{
	struct event *last;
	size_t i = e->place;

	if (!e->queued)
		return;
	e->queued = false;
	last = heap[--nheap];
	if (last == e)
		return;
	if (i && sooner(last, heap[(i - 1) / 2]))
		up(i, last);
	else
		down(i, last);
}

bool world_step(void)
{
	struct node *before = running;
	struct event *e;

	if (!nheap)
		return false;
	e = heap[0];
	event_cancel(e);
	sim_now = e->at;
	nevents++;
	running = NULL;		/* what happens next is nobody's yet */
	e->fn(e);
	running = before;
	return true;
}

u64 world_events(void)
{
	return nevents;
}

/* ---- trace and verdict ---- */

void note(const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	n = min(n, (int)sizeof(line) - 1);
	hash = XXH3_64bits_withSeed(line, n, hash ^ sim_now);
	if (tracing)
		printf("%6" PRIu64 ".%06" PRIu64 " %s\n", (sim_now - SIM_START) / SEC, (sim_now - SIM_START) % SEC / 1000, line);
}

u64 world_hash(void)
{
	return hash;
}

static void __attribute__((noreturn)) run_ends(enum run_end how, const char *fmt, va_list ap)
{
	printf("%6" PRIu64 ".%06" PRIu64 " VIOLATED ", (sim_now - SIM_START) / SEC, (sim_now - SIM_START) % SEC / 1000);
	vprintf(fmt, ap);
	printf("\n");
	fflush(stdout);
	_exit(how);
}

void violated(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	run_ends(END_FAILED, fmt, ap);
}

void wrong_bytes(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	run_ends(END_WRONG, fmt, ap);
}

void lost_waiter(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	run_ends(END_LOST, fmt, ap);
}
