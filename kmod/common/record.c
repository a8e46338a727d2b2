// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * record.c - the 64-byte record of an object and what is derived from an oid (record.h).
 *
 * Pure functions over caller's memory, no state but a constant table; safe in any context
 * and in user space.  Every field that has a range is checked here, once, so that kernel
 * and daemon agree on what a valid record is.
 */
#include "record.h"

#define NSEC_MAX	999999999U
#define REC_FLAGS	(AUGUR_REC_STUB | AUGUR_REC_COMPLETE | AUGUR_REC_STALE | AUGUR_REC_LOCAL | AUGUR_REC_PINNED)

_Static_assert(sizeof(struct augur_record) == AUGUR_RECORD_LEN, "the record is 64 bytes");
_Static_assert(offsetof(struct augur_record, crc) == AUGUR_RECORD_LEN - 4, "the crc is last");

/* CRC-32C, polynomial 0x1edc6f41 reflected, of each half byte: small, and fast enough. */
static const u32 crc_table[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
	0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
	0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

u32 augur_crc32c(const void *buf, size_t len)
{
	const u8 *p = buf;
	u32 crc = ~0U;

	while (len--) {
		crc ^= *p++;
		crc = crc_table[crc & 15] ^ (crc >> 4);
		crc = crc_table[crc & 15] ^ (crc >> 4);
	}
	return ~crc;
}

/* What holds for every record, whoever made it. */
static int check_fields(const struct augur_rec *rec)
{
	unsigned int presence = rec->flags & (AUGUR_REC_STUB | AUGUR_REC_COMPLETE);

	if (rec->flags & ~REC_FLAGS)
		return -ERANGE;
	if (presence != AUGUR_REC_STUB && presence != AUGUR_REC_COMPLETE)
		return -ERANGE;
	if (rec->chunk_shift &&
	    (rec->chunk_shift < AUGUR_CHUNK_SHIFT_MIN || rec->chunk_shift > AUGUR_CHUNK_SHIFT_MAX))
		return -ERANGE;
	if (rec->size >> 63 || rec->ctime_nsec > NSEC_MAX)
		return -ERANGE;
	return 0;
}

int augur_rec_decode(const void *buf, size_t len, struct augur_rec *rec)
{
	struct augur_record raw;

	if (len != sizeof(raw))
		return -EBADMSG;
	memcpy(&raw, buf, sizeof(raw));
	if (le32_to_cpu(raw.magic) != AUGUR_RECORD_MAGIC)
		return -EBADMSG;
	if (le32_to_cpu(raw.crc) != augur_crc32c(&raw, offsetof(struct augur_record, crc)))
		return -EBADMSG;
	if (raw.format != AUGUR_RECORD_FORMAT)
		return -EPROTONOSUPPORT;
	rec->flags = raw.flags;
	rec->chunk_shift = raw.chunk_shift;
	memcpy(rec->oid, raw.oid, sizeof(rec->oid));
	rec->version = le64_to_cpu(raw.version);
	rec->size = le64_to_cpu(raw.size);
	rec->pu = le32_to_cpu(raw.pu);
	rec->nlink = le32_to_cpu(raw.nlink);
	rec->ctime_sec = (s64)le64_to_cpu(raw.ctime_sec);
	rec->ctime_nsec = le32_to_cpu(raw.ctime_nsec);
	return check_fields(rec);
}

void augur_rec_encode(const struct augur_rec *rec, void *buf)
{
	struct augur_record raw;

	memset(&raw, 0, sizeof(raw));
	raw.magic = cpu_to_le32(AUGUR_RECORD_MAGIC);
	raw.format = AUGUR_RECORD_FORMAT;
	raw.flags = rec->flags;
	raw.chunk_shift = rec->chunk_shift;
	memcpy(raw.oid, rec->oid, sizeof(raw.oid));
	raw.version = cpu_to_le64(rec->version);
	raw.size = cpu_to_le64(rec->size);
	raw.pu = cpu_to_le32(rec->pu);
	raw.nlink = cpu_to_le32(rec->nlink);
	raw.ctime_sec = cpu_to_le64((u64)rec->ctime_sec);
	raw.ctime_nsec = cpu_to_le32(rec->ctime_nsec);
	raw.crc = cpu_to_le32(augur_crc32c(&raw, offsetof(struct augur_record, crc)));
	memcpy(buf, &raw, sizeof(raw));
}

static u64 half(const u8 *p)
{
	u64 v = 0;
	int i;

	for (i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

u64 augur_oid_ino(const u8 oid[AUGUR_OID_LEN])
{
	u64 ino = half(oid) ^ half(oid + 8);

	/* 0 means "none" to readdir users, 1 is a bad-block inode elsewhere. */
	return ino < 2 ? ino + 2 : ino;
}

int augur_name_check(const char *name, size_t len)
{
#ifdef AUGUR_SEED_BAD_NAME	/* the seeded bug of tests/accept line bad-input */
	return 0;
#endif
	size_t i;

	if (len == 0)
		return -EINVAL;
	if (len > AUGUR_NAME_MAX)
		return -ENAMETOOLONG;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return -EINVAL;
	for (i = 0; i < len; i++)
		if (name[i] == '/' || name[i] == '\0')
			return -EINVAL;
	return 0;
}
