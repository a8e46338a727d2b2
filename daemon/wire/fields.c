// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fields.c - bodies as sequences of fields (tag u16, length u16, bytes): the growing writer
 * and the bounded reader.  Pure.
 *
 * The writer's lengths are our own, so an impossible one is a bug and aborts; the reader's are
 * the peer's, so every one is checked against what is left.  Nothing recurses: nesting is
 * opened by the caller, field by field, to a depth that the caller's code fixes.
 */
#include "base/log.h"
#include "base/mem.h"
#include "wire/bytes.h"
#include "wire/msg.h"

#define FIELD_HDR	4
#define FIELD_MAX	65535
#define OUT_MIN		256

void wire_out_init(struct wire_out *w)
{
	*w = (struct wire_out){ 0 };
}

void wire_out_free(struct wire_out *w)
{
	free(w->buf);
	wire_out_init(w);
}

static u8 *grow(struct wire_out *w, size_t n)
{
	size_t need = w->len + n, cap = w->cap ? w->cap : OUT_MIN;

	if (need > w->cap) {
		while (cap < need)
			cap *= 2;
		w->buf = xrealloc(w->buf, cap);
		w->cap = cap;
	}
	w->len = need;
	return w->buf + need - n;
}

void wire_put(struct wire_out *w, u16 tag, const void *p, size_t len)
{
	u8 *at;

	if (len > FIELD_MAX) {
		log_err("event=wire_bug note=\"field too long\" tag=%u len=%zu", tag, len);
		abort();
	}
	at = grow(w, FIELD_HDR + len);
	put_le16(at, tag);
	put_le16(at + 2, (u16)len);
	if (len)
		memcpy(at + FIELD_HDR, p, len);
}

void wire_put_u32(struct wire_out *w, u16 tag, u32 v)
{
	u8 b[4];

	put_le32(b, v);
	wire_put(w, tag, b, sizeof(b));
}

void wire_put_u64(struct wire_out *w, u16 tag, u64 v)
{
	u8 b[8];

	put_le64(b, v);
	wire_put(w, tag, b, sizeof(b));
}

void wire_put_str(struct wire_out *w, u16 tag, const char *s)
{
	wire_put(w, tag, s, strlen(s));
}

size_t wire_nest(struct wire_out *w, u16 tag)
{
	wire_put(w, tag, NULL, 0);
	return w->len;
}

int wire_nest_end(struct wire_out *w, size_t mark)
{
	size_t len = w->len - mark;

	if (len > FIELD_MAX) {
		w->len = mark - FIELD_HDR;
		return -E2BIG;
	}
	put_le16(w->buf + mark - 2, (u16)len);
	return 0;
}

/* ---- reader ---- */

int wire_next(struct wire_in *in, struct wire_val *v)
{
	size_t left = in->end - in->p;

	if (!left)
		return 0;
	if (left < FIELD_HDR)
		return -EBADMSG;
	v->tag = get_le16(in->p);
	v->len = get_le16(in->p + 2);
	v->p = in->p + FIELD_HDR;
	if (v->len > left - FIELD_HDR)
		return -EBADMSG;
	in->p += FIELD_HDR + v->len;
	return 1;
}

int wire_get_u32(const struct wire_val *v, u32 *out)
{
	if (v->len != 4)
		return -EBADMSG;
	*out = get_le32(v->p);
	return 0;
}

int wire_get_u64(const struct wire_val *v, u64 *out)
{
	if (v->len != 8)
		return -EBADMSG;
	*out = get_le64(v->p);
	return 0;
}

int wire_get_bin(const struct wire_val *v, void *out, size_t len)
{
	if (v->len != len)
		return -EBADMSG;
	memcpy(out, v->p, len);
	return 0;
}

int wire_get_str(const struct wire_val *v, char *out, size_t cap)
{
	if (v->len >= cap || memchr(v->p, 0, v->len))
		return -EBADMSG;
	memcpy(out, v->p, v->len);
	out[v->len] = 0;
	return 0;
}
