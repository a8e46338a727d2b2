// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fuzz_segment - a segment of the access log, as the file may hold it, through the decoder: as
 * it is, and with a right sum put at its end, so that what lies behind the sum is reached.  What
 * is accepted must be exactly what the encoder makes of it.  libFuzzer.
 */
#include <assert.h>

#include "base/mem.h"
#include "history/segment.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void check(const u8 *data, size_t size)
{
	static struct seg_row rows[SEG_ROWS_MAX];
	static u8 again[SEG_BYTES_MAX];
	int n = seg_decode(data, size, rows);

	assert(n == -EBADMSG || (n > 0 && n <= SEG_ROWS_MAX));
	if (n < 0)
		return;
	for (int i = 0; i < n; i++)
		assert(rows[i].path >= 0 && rows[i].op <= SEG_OP_MAX);
	assert(seg_encode(rows, n, again) == size && !memcmp(again, data, size));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	CLEANUP_FREE u8 *copy = xmalloc(size + 4);	/* on its own, so that reading past its end is noticed */
	u32 crc = augur_crc32c(data, size);

	memcpy(copy, data, size);
	check(copy, size);
	for (int i = 0; i < 4; i++)
		copy[size + i] = crc >> 8 * i;
	check(copy, size + 4);
	return 0;
}
