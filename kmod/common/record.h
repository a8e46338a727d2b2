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
 * shift, size beyond S64_MAX, nanoseconds).
 */
int augur_rec_decode(const void *buf, size_t len, struct augur_rec *rec);
/* Encodes into @buf, which holds AUGUR_RECORD_LEN bytes. */
void augur_rec_encode(const struct augur_rec *rec, void *buf);

/* st_ino of an object: low ^ high half of the oid, never 0 or 1. */
u64 augur_oid_ino(const u8 oid[AUGUR_OID_LEN]);

/* One path component: 1..255 bytes, no '/' or NUL, not "." or "..". 0 or -EINVAL / -ENAMETOOLONG. */
int augur_name_check(const char *name, size_t len);

/* CRC-32C (Castagnoli), reflected, init and xorout ~0; table driven. */
u32 augur_crc32c(const void *buf, size_t len);

#endif
