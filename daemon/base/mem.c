// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mem.c - allocation that ends the process when memory is gone, and the hash map.
 *
 * The map is open addressing with linear probing over value pointers; the key lies inside
 * the value.  Removed slots keep a tombstone so that probes go on past them; they vanish at
 * the next growth.  The hash is XXH3 with a seed drawn at start, so a peer that chooses keys
 * cannot aim for one chain.  The caller serialises.
 */
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/log.h"
#include "base/mem.h"

#define MAP_MIN		16

static void __attribute__((noreturn)) oom(size_t n)
{
	log_err("event=out_of_memory bytes=%zu", n);
	abort();
}

void *xmalloc(size_t n)
{
	void *p = malloc(n ? n : 1);

	if (!p)
		oom(n);
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		oom(n * size);
	return p;
}

void *xrealloc(void *old, size_t n)
{
	void *p = realloc(old, n ? n : 1);

	if (!p)
		oom(n);
	return p;
}

char *xstrdup(const char *s)
{
	return xmemdup(s, strlen(s) + 1);
}

void *xmemdup(const void *p, size_t n)
{
	void *d = xmalloc(n);

	if (n)
		memcpy(d, p, n);
	return d;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		oom(0);
	return s;
}

/* ---- map ---- */

static char tombstone;
#define TOMB ((void *)&tombstone)

static u64 map_seed;

static void __attribute__((constructor)) seed_maps(void)
{
	if (getrandom(&map_seed, sizeof(map_seed), GRND_NONBLOCK) != sizeof(map_seed))
		map_seed = (u64)(uintptr_t)&map_seed ^ ((u64)getpid() << 32);
}

static size_t slot_of(const struct map *m, const void *key)
{
	return XXH3_64bits_withSeed(key, m->key_len, map_seed) & (m->cap - 1);
}

static const void *key_of(const struct map *m, const void *value)
{
	return (const char *)value + m->key_off;
}

void map_init(struct map *m, size_t key_off, size_t key_len)
{
	*m = (struct map){ .key_off = key_off, .key_len = key_len };
}

void map_free(struct map *m)
{
	free(m->slots);
	map_init(m, m->key_off, m->key_len);
}

/* The slot that holds @key, or NULL. */
static void **find(const struct map *m, const void *key)
{
	size_t i;

	if (!m->live)
		return NULL;
	for (i = slot_of(m, key); m->slots[i]; i = (i + 1) & (m->cap - 1))
		if (m->slots[i] != TOMB && !memcmp(key_of(m, m->slots[i]), key, m->key_len))
			return &m->slots[i];
	return NULL;
}

static void place_new(struct map *m, void *value)
{
	size_t i = slot_of(m, key_of(m, value));

	while (m->slots[i])
		i = (i + 1) & (m->cap - 1);
	m->slots[i] = value;
	m->used++;
	m->live++;
}

/* Sizes the table for the live values, which also drops the tombstones. */
static void rehash(struct map *m)
{
	size_t cap = MAP_MIN, old_cap = m->cap, i;
	void **old = m->slots;

	while (cap < m->live * 4)
		cap *= 2;
	m->slots = xcalloc(cap, sizeof(void *));
	m->cap = cap;
	m->used = m->live = 0;
	for (i = 0; i < old_cap; i++)
		if (old[i] && old[i] != TOMB)
			place_new(m, old[i]);
	free(old);
}

void *map_get(const struct map *m, const void *key)
{
	void **s = find(m, key);

	return s ? *s : NULL;
}

void *map_put(struct map *m, void *value)
{
	void **s = find(m, key_of(m, value)), *old;

	if (s) {
		old = *s;
		*s = value;
		return old;
	}
	if ((m->used + 1) * 4 > m->cap * 3)
		rehash(m);
	place_new(m, value);
	return NULL;
}

void *map_del(struct map *m, const void *key)
{
	void **s = find(m, key), *old;
	size_t next;

	if (!s)
		return NULL;
	old = *s;
	next = (s - m->slots + 1) & (m->cap - 1);
	m->live--;
	if (!m->slots[next]) {		/* the end of its chain needs no tombstone */
		*s = NULL;
		m->used--;
	} else {
		*s = TOMB;
	}
	return old;
}

void *map_next(const struct map *m, size_t *iter)
{
	while (*iter < m->cap) {
		void *v = m->slots[(*iter)++];

		if (v && v != TOMB)
			return v;
	}
	return NULL;
}
