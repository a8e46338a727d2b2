/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Presence bitmaps: one bit a chunk of (1 << shift) bytes, lowest bit of the first byte
 * first.  Pure arithmetic, shared by kernel and daemon.  The caller serialises.
 */
#ifndef AUGUR_COMMON_BITMAP_H
#define AUGUR_COMMON_BITMAP_H

#include "types.h"

/* Chunks of a file of @size bytes; 0 for an empty file. */
u64 augur_chunks(u64 size, unsigned int shift);
/* Bytes of a bitmap for @size. */
size_t augur_map_bytes(u64 size, unsigned int shift);
/* Smallest shift >= @def (and >= AUGUR_CHUNK_SHIFT_MIN) whose map fits AUGUR_MAP_MAX. */
unsigned int augur_shift_for(u64 size, unsigned int def);

bool augur_map_test(const u8 *map, u64 chunk);
void augur_map_set(u8 *map, u64 chunk);
void augur_map_set_range(u8 *map, u64 first, u64 count);
void augur_map_clear_range(u8 *map, u64 first, u64 count);
/* True if all of [first, first + count) is set. */
bool augur_map_all(const u8 *map, u64 first, u64 count);
/* First clear / set bit in [first, limit), or @limit. */
u64 augur_map_next_zero(const u8 *map, u64 first, u64 limit);
u64 augur_map_next_one(const u8 *map, u64 first, u64 limit);
u64 augur_map_weight(const u8 *map, u64 nbits);

/* Chunk range that covers bytes [off, off + len), cut at @size; count 0 if empty or overflowing. */
void augur_chunk_range(u64 off, u64 len, u64 size, unsigned int shift, u64 *first, u64 *count);

#endif
