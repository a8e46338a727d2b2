// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * buf.c - memory for bodies and file slots.
 *
 * Small bodies come from malloc().  Large ones are page-aligned pieces of one size, kept on a
 * last-in-first-out list so that the one used next is the one still warm in the cache; that
 * is worth more than any other trick on this path.  The list belongs to the thread.
 */
#include <sys/mman.h>

#include "base/log.h"
#include "xfer/conn.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n)	__asan_poison_memory_region(p, n)
#define UNPOISON(p, n)	__asan_unpoison_memory_region(p, n)
#else
#define POISON(p, n)	((void)(p), (void)(n))
#define UNPOISON(p, n)	((void)(p), (void)(n))
#endif

#define PIECE		(SLOT_HEAD + WIRE_DATA_MAX + 4096)
#define POOL_KEEP	64	/* pieces, 17 MiB */
#define POOLED_MIN	(32 * 1024)

struct piece { struct piece *next; };

static __thread struct piece *pool;
static __thread unsigned int pool_n;

u8 *pool_page_buf(void)
{
	struct piece *p = pool;

	if (p) {
		UNPOISON(p, PIECE);
		pool = p->next;
		pool_n--;
		return (u8 *)p;
	}
	p = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		log_err("event=out_of_memory bytes=%d", PIECE);
		abort();
	}
	return (u8 *)p;
}

void pool_page_put(u8 *at)
{
	struct piece *p = (struct piece *)at;

	if (pool_n >= POOL_KEEP) {
		munmap(p, PIECE);
		return;
	}
	p->next = pool;
	pool = p;
	pool_n++;
	POISON(p, PIECE);
}

void xfer_pool_drain(void)
{
	while (pool) {
		struct piece *p = pool;

		UNPOISON(p, PIECE);
		pool = p->next;
		munmap(p, PIECE);
	}
	pool_n = 0;
}

/* The struct sits in the head of its piece, the data on the next page. */
static struct xfer_buf *pooled(void)
{
	u8 *at = pool_page_buf();
	struct xfer_buf *b = (struct xfer_buf *)at;

	b->data = at + SLOT_HEAD;
	b->cap = PIECE - SLOT_HEAD;
	return b;
}

static bool is_pooled(size_t len)
{
	return len > POOLED_MIN && len <= WIRE_DATA_MAX;
}

struct xfer_buf *buf_new(struct xfer_conn *owner, size_t len)
{
	struct xfer_buf *b;

	if (is_pooled(len)) {
		b = pooled();
	} else {
		b = xmalloc(sizeof(*b) + len);
		b->data = (u8 *)(b + 1);
		b->cap = len;
	}
	b->len = len;
	b->refs = 1;
	b->next = NULL;
	b->owner = owner;
	owner->kept_bytes += b->cap;
	xfer_conn_get(owner);
	return b;
}

void xfer_buf_get(struct xfer_buf *b)
{
	b->refs++;
}

void xfer_buf_put(struct xfer_buf *b)
{
	struct xfer_conn *c;
	size_t cap;

	if (!b || --b->refs)
		return;
	c = b->owner;
	cap = b->cap;
	if (is_pooled(b->len))
		pool_page_put((u8 *)b);
	else
		free(b);
	c->kept_bytes -= cap;
	conn_rx_resume(c);
	xfer_conn_put(c);
}
