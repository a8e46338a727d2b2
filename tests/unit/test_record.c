// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The 64-byte record of an object: what is written is what is read, every damaged bit is
 * seen, and a field out of its range is refused though its checksum is right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/record.h"

static u64 rng = 0x2545f4914f6cdd1dULL;

static u64 rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static struct augur_rec random_rec(void)
{
	static const u8 flags[] = {
		AUGUR_REC_STUB, AUGUR_REC_COMPLETE, AUGUR_REC_STUB | AUGUR_REC_STALE,
		AUGUR_REC_COMPLETE | AUGUR_REC_LOCAL, AUGUR_REC_COMPLETE | AUGUR_REC_STALE,
	};
	struct augur_rec r;
	int i;

	memset(&r, 0, sizeof(r));
	r.flags = flags[rnd() % sizeof(flags)];
	r.chunk_shift = rnd() % 2 ? 0 :
		AUGUR_CHUNK_SHIFT_MIN + rnd() % (AUGUR_CHUNK_SHIFT_MAX - AUGUR_CHUNK_SHIFT_MIN + 1);
	for (i = 0; i < AUGUR_OID_LEN; i++)
		r.oid[i] = rnd();
	r.version = rnd();
	r.size = rnd() >> 1;
	r.holes = r.size ? rnd() : 0;
	r.pu = rnd();
	r.nlink = rnd();
	r.ctime_sec = rnd();
	r.ctime_nsec = rnd() % 1000000000;
	return r;
}

static void assert_same(const struct augur_rec *a, const struct augur_rec *b)
{
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->chunk_shift, b->chunk_shift);
	assert_int_equal(a->holes, b->holes);
	assert_memory_equal(a->oid, b->oid, AUGUR_OID_LEN);
	assert_true(a->version == b->version && a->size == b->size);
	assert_true(a->pu == b->pu && a->nlink == b->nlink);
	assert_true(a->ctime_sec == b->ctime_sec && a->ctime_nsec == b->ctime_nsec);
}

static void test_roundtrip(void **state)
{
	u8 raw[AUGUR_RECORD_LEN];
	struct augur_rec in, out;
	int i;

	for (i = 0; i < 20000; i++) {
		in = random_rec();
		augur_rec_encode(&in, raw);
		assert_int_equal(augur_rec_decode(raw, sizeof(raw), &out), 0);
		assert_same(&in, &out);
	}
}

/* CRC-32C finds every burst of up to 32 bits. */
static void test_damage(void **state)
{
	u8 raw[AUGUR_RECORD_LEN];
	struct augur_rec in = random_rec(), out;
	unsigned int bit, i;

	augur_rec_encode(&in, raw);
	for (bit = 0; bit < sizeof(raw) * 8; bit++) {
		raw[bit / 8] ^= 1 << bit % 8;
		assert_int_equal(augur_rec_decode(raw, sizeof(raw), &out), -EBADMSG);
		raw[bit / 8] ^= 1 << bit % 8;
	}
	for (i = 0; i + 4 <= sizeof(raw); i++) {
		u8 saved[4];

		memcpy(saved, raw + i, 4);
		memset(raw + i, ~saved[0], 4);
		assert_int_not_equal(augur_rec_decode(raw, sizeof(raw), &out), 0);
		memcpy(raw + i, saved, 4);
	}
	assert_int_equal(augur_rec_decode(raw, sizeof(raw), &out), 0);
}

static void test_length(void **state)
{
	u8 raw[AUGUR_RECORD_LEN + 1] = { 0 };
	struct augur_rec in = random_rec(), out;
	size_t len;

	augur_rec_encode(&in, raw);
	for (len = 0; len <= sizeof(raw); len++)
		assert_int_equal(augur_rec_decode(raw, len, &out),
				 len == AUGUR_RECORD_LEN ? 0 : -EBADMSG);
}

/* Sets the checksum that the bytes deserve. */
static int sealed(u8 *raw)
{
	u32 crc = cpu_to_le32(augur_crc32c(raw, AUGUR_RECORD_LEN - 4));
	struct augur_rec out;

	memcpy(raw + AUGUR_RECORD_LEN - 4, &crc, 4);
	return augur_rec_decode(raw, AUGUR_RECORD_LEN, &out);
}

static void test_ranges(void **state)
{
	struct augur_rec in = random_rec();
	struct augur_record *r;
	u8 raw[AUGUR_RECORD_LEN];

#define TRY(field, value, want)							\
	do {									\
		augur_rec_encode(&in, raw);					\
		r = (struct augur_record *)raw;					\
		r->field = value;						\
		assert_int_equal(sealed(raw), want);				\
	} while (0)
	in.flags = AUGUR_REC_STUB;
	TRY(magic, cpu_to_le32(AUGUR_RECORD_MAGIC + 1), -EBADMSG);
	TRY(format, AUGUR_RECORD_FORMAT + 1, -EPROTONOSUPPORT);
	TRY(flags, 0, -ERANGE);
	TRY(flags, AUGUR_REC_STUB | AUGUR_REC_COMPLETE, -ERANGE);
	TRY(flags, AUGUR_REC_STUB | 0x80, -ERANGE);
	TRY(chunk_shift, AUGUR_CHUNK_SHIFT_MIN - 1, -ERANGE);
	TRY(chunk_shift, AUGUR_CHUNK_SHIFT_MAX + 1, -ERANGE);
	TRY(chunk_shift, AUGUR_CHUNK_SHIFT_MIN, 0);
	TRY(chunk_shift, AUGUR_CHUNK_SHIFT_MAX, 0);
	in.holes = 0;
	TRY(size, 0, 0);
	TRY(holes, 255, 0);
	in.holes = 1;
	TRY(size, 0, -ERANGE);
	TRY(size, cpu_to_le64(1ULL << 63), -ERANGE);
	TRY(size, cpu_to_le64((1ULL << 63) - 1), 0);
	TRY(ctime_nsec, cpu_to_le32(1000000000), -ERANGE);
	TRY(ctime_nsec, cpu_to_le32(999999999), 0);
	TRY(ctime_sec, cpu_to_le64((u64)-5), 0);
#undef TRY
}

static void show(u64 size, u64 has)
{
	u64 all = (size + 511) / 512, shown = augur_blocks(size, augur_holes(size, has));

	has = has < all ? has : all;
	assert_true(shown >= has && shown <= all);
	assert_true(shown >= !!all);
	assert_true(shown - has <= all / 256 + !has);
}

static void test_blocks(void **state)
{
	static const u64 sizes[] = { 0, 1, 511, 512, 513, 4096, 65536, 131073, 1 << 30, (u64)INT64_MAX - 512, INT64_MAX };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		u64 all = (sizes[i] + 511) / 512;

		show(sizes[i], 0);
		show(sizes[i], 1);
		show(sizes[i], all / 2);
		show(sizes[i], all - !!all);
		show(sizes[i], all);
		show(sizes[i], all + 8);
		show(sizes[i], UINT64_MAX);
		assert_int_equal(augur_holes(sizes[i], all), 0);
		assert_true(augur_blocks(sizes[i], 0) == all);
	}
	for (int i = 0; i < 100000; i++) {
		u64 size = (rnd() >> 1) >> rnd() % 63;

		show(size, rnd() % (size / 512 + 2));
	}
	/* What both sides of the wire must agree on. */
	assert_int_equal(augur_holes(24576 * 512, 96), 255);
	assert_int_equal(augur_blocks(24576 * 512, 255), 96);
	assert_int_equal(augur_holes(1 << 20, 1024), 128);
	assert_int_equal(augur_blocks(1 << 20, 128), 1024);
	assert_int_equal(augur_blocks(12288, augur_holes(12288, 8)), 8);
	assert_int_equal(augur_blocks(1, 255), 1);
}

static void test_ino(void **state)
{
	u8 oid[AUGUR_OID_LEN] = { 0 };
	u64 ino;
	int i;

	/* "None" and the bad blocks' number are nobody's. */
	assert_true(augur_oid_ino(oid) > 1);
	oid[0] = 1;
	assert_true(augur_oid_ino(oid) > 1);
	for (i = 0; i < AUGUR_OID_LEN; i++)
		oid[i] = i * 17 + 3;
	ino = augur_oid_ino(oid);
	/* The numbers must not depend on the machine's byte order. */
	for (i = 0; i < 8; i++)
		assert_int_equal((u8)(ino >> (8 * i)), oid[i] ^ oid[8 + i]);
}

static void test_names(void **state)
{
	char name[AUGUR_NAME_MAX + 2];

	memset(name, 'n', sizeof(name));
	assert_int_equal(augur_name_check(name, 0), -EINVAL);
	assert_int_equal(augur_name_check(name, 1), 0);
	assert_int_equal(augur_name_check(name, AUGUR_NAME_MAX), 0);
	assert_int_equal(augur_name_check(name, AUGUR_NAME_MAX + 1), -ENAMETOOLONG);
	assert_int_equal(augur_name_check(".", 1), -EINVAL);
	assert_int_equal(augur_name_check("..", 2), -EINVAL);
	assert_int_equal(augur_name_check("...", 3), 0);
	assert_int_equal(augur_name_check(".a", 2), 0);
	assert_int_equal(augur_name_check("a/b", 3), -EINVAL);
	assert_int_equal(augur_name_check("a\0b", 3), -EINVAL);
	assert_int_equal(augur_name_check("\xff\x01 \n", 4), 0);
}

static void test_crc(void **state)
{
	/* The check value of the CRC catalogue, and four from RFC 3720, B.4. */
	u8 buf[32];
	int i;

	assert_int_equal(augur_crc32c("123456789", 9), 0xe3069283);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(augur_crc32c(buf, sizeof(buf)), 0x8a9136aa);
	memset(buf, 0xff, sizeof(buf));
	assert_int_equal(augur_crc32c(buf, sizeof(buf)), 0x62a8ab43);
	for (i = 0; i < 32; i++)
		buf[i] = i;
	assert_int_equal(augur_crc32c(buf, sizeof(buf)), 0x46dd794e);
	for (i = 0; i < 32; i++)
		buf[i] = 31 - i;
	assert_int_equal(augur_crc32c(buf, sizeof(buf)), 0x113fdb5c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roundtrip),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_ino),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_crc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
