/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mem.h - container_of, lists, scope-bound cleanup, allocation that cannot fail (the daemon
 * logs and aborts on exhaustion; sizes from a peer are checked against limits before).
 */
#ifndef AUGUR_BASE_MEM_H
#define AUGUR_BASE_MEM_H

#include <stdlib.h>
#include <unistd.h>
#include "common/types.h"

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define min(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })
#define max(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ > b_ ? a_ : b_; })

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);	/* zeroed */
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
void *xmemdup(const void *p, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static inline void cleanup_free_(void *p) { free(*(void **)p); }
static inline void cleanup_close_(int *fd) { if (*fd >= 0) close(*fd); }
#define CLEANUP_FREE __attribute__((cleanup(cleanup_free_)))
#define CLEANUP_CLOSE __attribute__((cleanup(cleanup_close_)))

/* Bitmaps in bytes. */
static inline void bit_set(u8 *map, u32 n) { map[n / 8] |= 1 << (n % 8); }
static inline void bit_clear(u8 *map, u32 n) { map[n / 8] &= ~(1 << (n % 8)); }
static inline bool bit_test(const u8 *map, u32 n) { return map[n / 8] >> (n % 8) & 1; }

/* Circular doubly linked list. */
struct list { struct list *next, *prev; };
static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }
static inline void list_add_tail(struct list *l, struct list *n)
{
	n->prev = l->prev; n->next = l; l->prev->next = n; l->prev = n;
}
static inline void list_del(struct list *n)
{
	n->prev->next = n->next; n->next->prev = n->prev; list_init(n);
}
#define list_first(l, type, member) container_of((l)->next, type, member)
#define list_for_each_safe(pos, tmp, l) \
	for (pos = (l)->next, tmp = pos->next; pos != (l); pos = tmp, tmp = pos->next)

/* Open-addressing hash map from a fixed-size binary key inside the value to the value. */
struct map {
	void	**slots;
	size_t	cap, used, live;
	size_t	key_off, key_len;	/* of the key inside the value */
};
void map_init(struct map *m, size_t key_off, size_t key_len);
void map_free(struct map *m);			/* not the values */
void *map_get(const struct map *m, const void *key);
void *map_put(struct map *m, void *value);	/* the value replaced, or NULL */
void *map_del(struct map *m, const void *key);	/* the value removed, or NULL */
void *map_next(const struct map *m, size_t *iter);	/* start *iter at 0; NULL at the end */

#endif
