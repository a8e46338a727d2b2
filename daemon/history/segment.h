/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * segment.h - many rows of the access log in one blob.
 *
 *	u8 format (1) | varint rows | varint time of the first | rows | crc32c of all before, le32
 *
 * A row: who (varint index into the list of those met so far in this segment; the next free
 * index introduces one: session le64, varint pid, varint uid, u8 length and bytes of the
 * program's name), varint flags << 4 | op, time, open and path as zigzag differences to the
 * row before, then off, len and latency as varints.  A varint has the shortest form.
 *
 * Decoding believes nothing: a blob that is not exactly what an encoder makes is refused whole.
 * No I/O, any thread.
 */
#ifndef AUGUR_HISTORY_SEGMENT_H
#define AUGUR_HISTORY_SEGMENT_H

#include "common/record.h"

#define SEG_ROWS_MAX	1000
#define SEG_COMM	16
#define SEG_OP_MAX	15
#define SEG_BYTES_MAX	(16 + SEG_ROWS_MAX * 100)	/* no encoding is longer */

/* One access.  Who: pid 0 and no name where the open was not seen. */
struct seg_row {
	u64	time_ns, session, off, len;
	s64	path;			/* of the dictionary; 0: none */
	u32	open_id, latency_us, pid, uid;
	u8	op, flags;
	char	comm[SEG_COMM];		/* padded with NUL */
};

/* 1..SEG_ROWS_MAX rows into @buf (SEG_BYTES_MAX bytes); its length.  op of each is at most SEG_OP_MAX. */
size_t seg_encode(const struct seg_row *rows, size_t n, u8 *buf);
/* At most SEG_ROWS_MAX rows: their number, or -EBADMSG. */
int seg_decode(const void *buf, size_t len, struct seg_row *rows);

#endif
