// SPDX-License-Identifier: GPL-2.0-or-later
/* segment.c - encoder and decoder of a segment (segment.h). */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "history/segment.h"

#define FORMAT	1
#define SLOTS	2048		/* of the list of who: a power of two above SEG_ROWS_MAX */

static u64 zigzag(u64 v)
{
	return v << 1 ^ (v >> 63 ? ~0ull : 0);
}

static u64 unzigzag(u64 v)
{
	return v >> 1 ^ (v & 1 ? ~0ull : 0);
}

/* ---- encoding ---- */

static u8 *put_varint(u8 *p, u64 v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = 0x80 | (v & 0x7f);
	*p++ = v;
	return p;
}

static u8 *put_le(u8 *p, u64 v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		*p++ = v >> 8 * i;
	return p;
}

static bool same_who(const struct seg_row *a, const struct seg_row *b)
{
	return a->session == b->session && a->pid == b->pid && a->uid == b->uid && !memcmp(a->comm, b->comm, SEG_COMM);
}

/* Those met so far: for each slot the row that introduced one, plus 1, and its index. */
struct who_list { u16 row[SLOTS], index[SLOTS], n; };

static u8 *put_who(u8 *p, struct who_list *l, const struct seg_row *rows, size_t i)
{
	const struct seg_row *r = &rows[i];
	size_t at = ((r->session ^ r->pid) * 0x9e3779b97f4a7c15ull) >> 53, len;

	for (; l->row[at]; at = (at + 1) % SLOTS)
		if (same_who(&rows[l->row[at] - 1], r))
			return put_varint(p, l->index[at]);
	l->row[at] = i + 1;
	l->index[at] = l->n;
	p = put_varint(p, l->n++);
	p = put_le(p, r->session, 8);
	p = put_varint(p, r->pid);
	p = put_varint(p, r->uid);
	len = strnlen(r->comm, SEG_COMM);
	*p++ = len;
	memcpy(p, r->comm, len);
	return p + len;
}

size_t seg_encode(const struct seg_row *rows, size_t n, u8 *buf)
{
	struct who_list who = { .n = 0 };
	struct seg_row last = { .time_ns = rows[0].time_ns };
	u8 *p = buf;

	*p++ = FORMAT;
	p = put_varint(p, n);
	p = put_varint(p, last.time_ns);
	for (size_t i = 0; i < n; i++) {
		const struct seg_row *r = &rows[i];

		p = put_who(p, &who, rows, i);
		p = put_varint(p, (u64)r->flags << 4 | r->op);
		p = put_varint(p, zigzag(r->time_ns - last.time_ns));
		p = put_varint(p, zigzag((s64)(s32)(r->open_id - last.open_id)));
		p = put_varint(p, zigzag((u64)r->path - (u64)last.path));
		p = put_varint(p, r->off);
		p = put_varint(p, r->len);
		p = put_varint(p, r->latency_us);
		last = *r;
	}
	p = put_le(p, augur_crc32c(buf, p - buf), 4);
	return p - buf;
}

/* ---- decoding ---- */

struct in { const u8 *p, *end; bool bad; };

static u64 get_le(struct in *in, size_t bytes)
{
	u64 v = 0;

	if ((size_t)(in->end - in->p) < bytes) {
		in->bad = true;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		v |= (u64)in->p[i] << 8 * i;
	in->p += bytes;
	return v;
}

/* At most @limit, in the shortest form. */
static u64 get_varint(struct in *in, u64 limit)
{
	u64 v = 0;

	for (int shift = 0; in->p < in->end && shift < 64; shift += 7) {
		u8 b = *in->p++;

		if (shift == 63 && b > 1)
			break;
		v |= (u64)(b & 0x7f) << shift;
		if (b & 0x80)
			continue;
		if (v > limit || (!b && shift))
			break;
		return v;
	}
	in->bad = true;
	return 0;
}

/* A NUL in the name would come back as a shorter one. */
static void get_comm(struct in *in, char *comm)
{
	size_t len = get_le(in, 1);

	memset(comm, 0, SEG_COMM);
	if (len > SEG_COMM || (size_t)(in->end - in->p) < len || memchr(in->p, 0, len)) {
		in->bad = true;
		return;
	}
	memcpy(comm, in->p, len);
	in->p += len;
}

/* @first: the row that introduced each. */
static void get_who(struct in *in, struct seg_row *rows, size_t i, u16 *first, size_t *nwho)
{
	struct seg_row *r = &rows[i];
	u64 k = get_varint(in, *nwho);

	if (in->bad)
		return;
	if (k < *nwho) {
		const struct seg_row *w = &rows[first[k]];

		r->session = w->session;
		r->pid = w->pid;
		r->uid = w->uid;
		memcpy(r->comm, w->comm, SEG_COMM);
		return;
	}
	first[(*nwho)++] = i;
	r->session = get_le(in, 8);
	r->pid = get_varint(in, UINT32_MAX);
	r->uid = get_varint(in, UINT32_MAX);
	get_comm(in, r->comm);
	/* One that is there already would have been named by its index. */
	for (size_t j = 0; j + 1 < *nwho; j++)
		in->bad |= same_who(&rows[first[j]], r);
}

static void get_row(struct in *in, struct seg_row *r, const struct seg_row *last)
{
	u64 kind = get_varint(in, 0xff << 4 | SEG_OP_MAX);
	s64 step;

	r->op = kind & SEG_OP_MAX;
	r->flags = kind >> 4;
	r->time_ns = last->time_ns + unzigzag(get_varint(in, UINT64_MAX));
	step = (s64)unzigzag(get_varint(in, UINT64_MAX));
	in->bad |= step != (s32)step;
	r->open_id = last->open_id + (u32)step;
	r->path = (s64)((u64)last->path + unzigzag(get_varint(in, UINT64_MAX)));
	in->bad |= r->path < 0;
	r->off = get_varint(in, UINT64_MAX);
	r->len = get_varint(in, UINT64_MAX);
	r->latency_us = get_varint(in, UINT32_MAX);
}

int seg_decode(const void *buf, size_t len, struct seg_row *rows)
{
	struct in in = { buf, buf, false }, tail;
	struct seg_row last = { .time_ns = 0 };
	u16 first[SEG_ROWS_MAX];
	size_t n, nwho = 0;

	if (len < 4 || len > SEG_BYTES_MAX)
		return -EBADMSG;
	in.end += len - 4;
	tail = (struct in){ in.end, in.end + 4, false };
	if (get_le(&tail, 4) != augur_crc32c(buf, len - 4))
		return -EBADMSG;
	if (get_le(&in, 1) != FORMAT)
		return -EBADMSG;
	n = get_varint(&in, SEG_ROWS_MAX);
	last.time_ns = get_varint(&in, UINT64_MAX);
	in.bad |= !n;
	for (size_t i = 0; i < n && !in.bad; i++) {
		get_who(&in, rows, i, first, &nwho);
		get_row(&in, &rows[i], &last);
		in.bad |= !i && rows[0].time_ns != last.time_ns;
		last = rows[i];
	}
	if (in.bad || in.p != in.end)
		return -EBADMSG;
	return n;
}
