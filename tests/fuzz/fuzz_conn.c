// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes how frames are cut out of a stream (daemon/xfer/conn.c): whatever the pieces in which
 * the bytes come, the same frames are delivered and the connection ends with the same error.
 * Nothing is delivered beyond its limits, every buffer is given back.
 *
 * Input: four bytes that say how it is cut, and which bodies are kept for a while; then the stream.
 */
#include <xxhash.h>

#include "fuzz_io.h"
#include "xfer/conn.h"

static struct xfer_stats stats;
static struct xfer_buf *kept[4];
static struct seen {
	u64	frames, hash;
	int	err;
} seen;
static unsigned int keep;

static void give_back(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		if (kept[i])
			xfer_buf_put(kept[i]);
		kept[i] = NULL;
	}
}

static int on_frame(struct xfer_conn *c, const struct wire_hdr *h, struct xfer_buf *body)
{
	u8 hdr[WIRE_HDR_LEN];

	assert(body->len == h->body_len && body->len <= (h->flags & WIRE_DATA ? WIRE_DATA_MAX : WIRE_BODY_MAX));
	wire_hdr_encode(h, hdr);
	seen.hash = XXH3_64bits_withSeed(hdr, sizeof(hdr), seen.hash);
	seen.hash = XXH3_64bits_withSeed(body->data, body->len, seen.hash);
	if (keep >> (seen.frames & 7) & 1) {
		struct xfer_buf **at = &kept[seen.frames % ARRAY_SIZE(kept)];

		if (*at)
			xfer_buf_put(*at);
		xfer_buf_get(body);
		*at = body;
	}
	seen.frames++;
	/* An owner may refuse one. */
	return h->type == WIRE_NAMEOP ? -EOPNOTSUPP : 0;
}

static void on_down(struct xfer_conn *c, int err)
{
	assert(!seen.err && err < 0);
	seen.err = err;
}

static const struct conn_ops ops = { .frame = on_frame, .down = on_down };

/* The stream in pieces of 1 to @most bytes, or as much as is taken at once. */
static struct seen run(const u8 *data, size_t size, u8 most, bool sums)
{
	struct xfer_conn *c;
	size_t i = 0, n;

	memset(&seen, 0, sizeof(seen));
	c = conn_new(&fz_io, -1, &ops, NULL, &stats);
	c->features = sums ? WIRE_F_SUM : 0;
	conn_start(c);
	fz_turn();
	while (i < size && fz.rx) {
		n = most ? 1 + (most * (i + 1) * 2654435761u >> 16) % most : size - i;
		i += fz_feed(data + i, min(n, size - i));
	}
	while (fz.rx)
		fz_feed(data, 0);
	fz_turn();
	give_back();
	fz_turn();
	assert(c->dead && c->down_told && c->refs == 1 && !c->kept_bytes);
	xfer_conn_put(c);
	return seen;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct seen whole, cut;

	if (size < 4)
		return 0;
	keep = data[2];
	whole = run(data + 4, size - 4, 0, data[3] & 1);
	cut = run(data + 4, size - 4, data[0] ? data[0] : 1, data[3] & 1);
	assert(whole.frames == cut.frames && whole.hash == cut.hash && whole.err == cut.err);
	return 0;
}
