// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Presence bitmaps: which chunks of a file are here.
 *
 * Byte-wise on purpose: the same bytes go over netlink and into the cache database, so the
 * layout must not depend on the word size or byte order of the machine.  Maps are at most
 * AUGUR_MAP_MAX bytes.  No allocation, no locks: the caller serialises.
 */
#include "bitmap.h"
#include <linux/augurfs.h>

u64 augur_chunks(u64 size, unsigned int shift)
{
	if (!size)
		return 0;
	return ((size - 1) >> shift) + 1;
}

size_t augur_map_bytes(u64 size, unsigned int shift)
{
	u64 n = augur_chunks(size, shift);

	return (size_t)(n / 8 + (n % 8 ? 1 : 0));
}

unsigned int augur_shift_for(u64 size, unsigned int def)
{
	unsigned int shift = def;

	if (shift < AUGUR_CHUNK_SHIFT_MIN)
		shift = AUGUR_CHUNK_SHIFT_MIN;
	if (shift > AUGUR_CHUNK_SHIFT_MAX)
		shift = AUGUR_CHUNK_SHIFT_MAX;
	/* Ends for every size: 2^64 bytes make 2^24 chunks of 2^40, still too many. */
	while (shift < 63 && augur_chunks(size, shift) > AUGUR_MAP_MAX * 8ULL)
		shift++;
	return shift;
}

bool augur_map_test(const u8 *map, u64 chunk)
{
	return map[chunk / 8] & (1U << (chunk % 8));
}

void augur_map_set(u8 *map, u64 chunk)
{
	map[chunk / 8] |= (u8)(1U << (chunk % 8));
}

/* Bits [from, to) of one byte; 0 <= from < to <= 8. */
static u8 byte_mask(unsigned int from, unsigned int to)
{
	return (u8)((0xffU << from) & (0xffU >> (8 - to)));
}

/* The part of [first, end) that lies in the byte of @first: its mask; *first moves on. */
static u8 next_mask(u64 *first, u64 end, u64 *byte)
{
	unsigned int from = *first % 8;
	u64 left = end - *first;
	unsigned int to = left < 8 - from ? from + (unsigned int)left : 8;

	*byte = *first / 8;
	*first += to - from;
	return byte_mask(from, to);
}

void augur_map_set_range(u8 *map, u64 first, u64 count)
{
	u64 byte, end = first + count;
	u8 mask;

	while (first < end) {
		mask = next_mask(&first, end, &byte);
		map[byte] |= mask;
	}
}

void augur_map_clear_range(u8 *map, u64 first, u64 count)
{
	u64 byte, end = first + count;
	u8 mask;

	while (first < end) {
		mask = next_mask(&first, end, &byte);
		map[byte] &= (u8)~mask;
	}
}

bool augur_map_all(const u8 *map, u64 first, u64 count)
{
	return augur_map_next_zero(map, first, first + count) == first + count;
}

/* Next bit in [first, limit) that differs from @skip's bits (0x00 or 0xff). */
static u64 next_other(const u8 *map, u64 first, u64 limit, u8 skip)
{
	while (first < limit) {
		u8 byte = map[first / 8] ^ skip;

		if (!(first % 8) && !byte) {
			first += 8;
			continue;
		}
		if (byte & (1U << (first % 8)))
			return first;
		first++;
	}
	return limit;
}

u64 augur_map_next_zero(const u8 *map, u64 first, u64 limit)
{
	return next_other(map, first, limit, 0xff);
}

u64 augur_map_next_one(const u8 *map, u64 first, u64 limit)
{
	return next_other(map, first, limit, 0);
}

static unsigned int word_weight(u64 v)
{
	v -= v >> 1 & 0x5555555555555555ULL;
	v = (v & 0x3333333333333333ULL) + (v >> 2 & 0x3333333333333333ULL);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return v * 0x0101010101010101ULL >> 56;
}

u64 augur_map_weight(const u8 *map, u64 nbits)
{
	u64 byte, word, first = 0, n = 0;
	u8 mask;

	for (; nbits - first >= 64; first += 64) {
		memcpy(&word, map + first / 8, sizeof(word));
		n += word_weight(word);
	}
	while (first < nbits) {
		mask = next_mask(&first, nbits, &byte);
		n += word_weight(map[byte] & mask);
	}
	return n;
}

void augur_chunk_range(u64 off, u64 len, u64 size, unsigned int shift, u64 *first, u64 *count)
{
	*first = 0;
	*count = 0;
	if (!len || off >= size || off + len < off)
		return;
	if (off + len > size)
		len = size - off;
	*first = off >> shift;
	*count = ((off + len - 1) >> shift) - *first + 1;
}
