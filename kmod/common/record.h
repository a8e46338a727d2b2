/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoding and encoding of what kernel and daemon both read: the 64-byte record of an
 * object (trusted.augur), its inode number, and name validation.  No kernel includes:
 * compiled into the module, the daemon and the unit tests.
 */
#ifndef AUGUR_COMMON_RECORD_H
#define AUGUR_COMMON_RECORD_H

#include "types.h"
#include <linux/augurfs.h>

/* struct augur_record in host order. */
struct augur_rec {
	u8	flags;		/* AUGUR_REC_* */
	u8	chunk_shift;
	u8	holes;		/* of the size, 256ths */
	u8	oid[AUGUR_OID_LEN];
	u64	version;
	u64	size;		/* bytes */
	u32	pu;
	u32	nlink;
	s64	ctime_sec;
	u32	ctime_nsec;
};

/*
 * Decodes @len bytes at @buf.  0, or -EBADMSG (not a record, wrong crc),
 * -EPROTONOSUPPORT (a newer format), -ERANGE (a field out of its range: flags, chunk
 * shift, holes of nothing, size beyond S64_MAX, nanoseconds).
 */
int augur_rec_decode(const void *buf, size_t len, struct augur_rec *rec);
/* Encodes into @buf, which holds AUGUR_RECORD_LEN bytes. */
void augur_rec_encode(const struct augur_rec *rec, void *buf);

/* How sparse a file of @size bytes, S64_MAX at most, is that has @blocks of 512 bytes. */
static inline u8 augur_holes(u64 size, u64 blocks)
{
	u64 all = (size + 511) >> 9, share = blocks < all ? ((all - blocks) << 8) / all : 0;

	return share < 256 ? share : 255;
}

/*
 * The blocks that a file is shown with that is so sparse: never fewer than it has, too many by a
 * 256th of its size at most, and at least one, as a file without blocks is taken for an empty one.
 */
u64 augur_blocks(u64 size, u8 holes);

/* st_ino of an object: low ^ high half of the oid, never 0 or 1. */
u64 augur_oid_ino(const u8 oid[AUGUR_OID_LEN]);

/* One path component: 1..255 bytes, no '/' or NUL, not "." or "..". 0 or -EINVAL / -ENAMETOOLONG. */
int augur_name_check(const char *name, size_t len);

/* CRC-32C (Castagnoli), reflected, init and xorout ~0; table driven. */
u32 augur_crc32c(const void *buf, size_t len);

#endif
