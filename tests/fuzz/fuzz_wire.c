// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fuzz_wire - what a peer may send, through everything that parses it: a row of frames as
 * conn.c cuts them, their fields to a fixed depth, and every field read as each of its kinds.
 * An entry that is accepted must survive encoding and decoding unchanged.
 */
#include <assert.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "wire/msg.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static bool is_name(const char *name, size_t len)
{
	return len && len <= AUGUR_NAME_MAX && !memchr(name, 0, len) && !memchr(name, '/', len) &&
	       !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

static void check_entry(const struct wire_val *v, bool named)
{
	struct wire_entry e, back;
	struct wire_out w;
	struct wire_in in;
	struct wire_val f;

	if (wire_get_entry(v, &e, named))
		return;
	assert(!named || is_name(e.name, e.name_len));
	assert(e.attr.size <= INT64_MAX && e.locator_len <= WIRE_LOCATOR_MAX);
	assert(S_ISLNK(e.attr.mode) == !!e.link);
	assert(!e.attr.holes || (S_ISREG(e.attr.mode) && e.attr.size));
	wire_out_init(&w);
	if (!wire_put_entry(&w, WF_ENTRY, &e)) {
		in = (struct wire_in){ w.buf, w.buf + w.len };
		assert(wire_next(&in, &f) == 1 && !wire_get_entry(&f, &back, named));
		assert(!memcmp(&e.attr, &back.attr, sizeof(e.attr)));
		assert(e.name_len == back.name_len && e.link_len == back.link_len && e.xattrs_len == back.xattrs_len);
	}
	wire_out_free(&w);
}

static void check_body(const u8 *p, size_t len, int depth)
{
	struct wire_in in = { p, p + len };
	struct wire_val v;
	char str[64];
	u8 oid[16];
	u64 b;
	u32 a;

	while (wire_next(&in, &v) == 1) {
		assert(v.p >= p && v.p + v.len <= p + len);
		wire_get_u32(&v, &a);
		wire_get_u64(&v, &b);
		wire_get_bin(&v, oid, sizeof(oid));
		if (!wire_get_str(&v, str, sizeof(str)))
			assert(strlen(str) == v.len);
		check_entry(&v, true);
		check_entry(&v, false);
		if (depth)
			check_body(v.p, v.len, depth - 1);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct wire_hdr h, back;
	u8 hdr[WIRE_HDR_LEN];
	u8 *body;

	while (size >= WIRE_HDR_LEN) {
		if (wire_hdr_decode(data, &h))
			break;
		assert(h.body_len <= WIRE_BODY_MAX && h.status <= 0 && h.status >= WIRE_STATUS_MIN);
		wire_hdr_encode(&h, hdr);
		assert(!memcmp(hdr, data, WIRE_HDR_LEN) && !wire_hdr_decode(hdr, &back));
		data += WIRE_HDR_LEN;
		size -= WIRE_HDR_LEN;
		if (h.body_len > size)
			break;
		/* An exact copy, so that the sanitizer sees a byte too far. */
		body = xmemdup(data, h.body_len);
		if (!(h.flags & WIRE_DATA))
			check_body(body, h.body_len, 3);
		free(body);
		data += h.body_len;
		size -= h.body_len;
	}
	return 0;
}
