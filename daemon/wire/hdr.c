// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hdr.c - the 32-byte frame header: encoding, decoding and the limits it is held to.  Pure.
 *
 *   0 body_len u32 | 4 type u16 | 6 flags u16 | 8 stream u32 | 12 status s32 | 16 off u64 | 24 sum u64
 */
#include "wire/bytes.h"
#include "wire/msg.h"

#define FLAGS_KNOWN	(WIRE_REPLY | WIRE_LAST | WIRE_DATA | WIRE_DONE | WIRE_SUM)

void wire_hdr_encode(const struct wire_hdr *h, u8 buf[WIRE_HDR_LEN])
{
	put_le32(buf, h->body_len);
	put_le16(buf + 4, h->type);
	put_le16(buf + 6, h->flags);
	put_le32(buf + 8, h->stream);
	put_le32(buf + 12, (u32)h->status);
	put_le64(buf + 16, h->off);
	put_le64(buf + 24, h->sum);
}

int wire_hdr_decode(const u8 buf[WIRE_HDR_LEN], struct wire_hdr *h)
{
	h->body_len = get_le32(buf);
	h->type = get_le16(buf + 4);
	h->flags = get_le16(buf + 6);
	h->stream = get_le32(buf + 8);
	h->status = (s32)get_le32(buf + 12);
	h->off = get_le64(buf + 16);
	h->sum = get_le64(buf + 24);
	if (!h->type || h->type >= WIRE_TYPE_MAX || (h->flags & ~FLAGS_KNOWN))
		return -EBADMSG;
	if (h->body_len > (h->flags & WIRE_DATA ? WIRE_DATA_MAX : WIRE_BODY_MAX))
		return -EBADMSG;
	if (h->status > 0 || h->status < WIRE_STATUS_MIN)
		return -EBADMSG;
	/* A status belongs to the end of something, data to the middle of an answer. */
	if (h->status && !(h->flags & (WIRE_LAST | WIRE_DONE)))
		return -EBADMSG;
	if ((h->flags & (WIRE_DATA | WIRE_LAST | WIRE_DONE)) && !(h->flags & WIRE_REPLY))
		return -EBADMSG;
	if ((h->flags & WIRE_REPLY) && !h->stream)
		return -EBADMSG;
	if (!(h->flags & WIRE_SUM) && h->sum)
		return -EBADMSG;
	return 0;
}
