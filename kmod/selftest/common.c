// SPDX-License-Identifier: GPL-2.0-only
/*
 * common.c - that the code shared with user space gives the same answers when compiled for
 * the kernel.  The thorough tests are the unit tests; these are known answers.
 */
#include <linux/string.h>
#include "selftest.h"

static int check_crc(void)
{
	CHECK(augur_crc32c("123456789", 9) == 0xe3069283);
	CHECK(augur_crc32c("", 0) == 0);
	return 0;
}

static int check_record(void)
{
	struct augur_rec in = {
		.flags = AUGUR_REC_STUB, .chunk_shift = 16, .holes = 128, .version = 7, .size = 123456789,
		.pu = 42, .nlink = 2, .ctime_sec = -1, .ctime_nsec = 999999999,
	};
	u8 raw[AUGUR_RECORD_LEN];
	struct augur_rec out;
	int i;

	augur_rec_encode(&in, raw);
	CHECK(!augur_rec_decode(raw, sizeof(raw), &out));
	CHECK(out.version == 7 && out.size == 123456789 && out.ctime_sec == -1);
	CHECK(augur_blocks(out.size, out.holes) == 120563 && augur_blocks(1, 255) == 1);
	for (i = 0; i < AUGUR_RECORD_LEN; i++) {
		raw[i] ^= 0x10;
		CHECK(augur_rec_decode(raw, sizeof(raw), &out));
		raw[i] ^= 0x10;
	}
	CHECK(augur_rec_decode(raw, sizeof(raw) - 1, &out) == -EBADMSG);
	return 0;
}

static int check_map(void)
{
	u8 map[3] = { 0xff, 0x00, 0x81 };
	u64 first, count;

	CHECK(augur_map_next_zero(map, 0, 24) == 8);
	CHECK(augur_map_next_one(map, 8, 24) == 16);
	CHECK(augur_map_weight(map, 24) == 10);
	CHECK(augur_map_all(map, 2, 6) && !augur_map_all(map, 2, 7));
	augur_map_set_range(map, 8, 8);
	CHECK(map[1] == 0xff && augur_map_all(map, 0, 17));
	augur_chunk_range(0x1ffff, 2, 1 << 20, 16, &first, &count);
	CHECK(first == 1 && count == 2);
	CHECK(augur_shift_for(1ULL << 40, 16) == 26);
	return 0;
}

static int check_lease(void)
{
	struct augur_lease l = {};

	CHECK(augur_lease_deadline(1000, 8000) == 1000 + 7000000000ULL);
	CHECK(augur_lease_update(&l, 5, 100) && augur_lease_valid(&l, 99));
	CHECK(!augur_lease_valid(&l, 100));
	CHECK(!augur_lease_update(&l, 4, 1000) && l.deadline_ns == 100);
	CHECK(augur_lease_update(&l, 5, 0) && !augur_lease_valid(&l, 0));
	return 0;
}

int augur_selftest_common(void)
{
	return check_crc() ?: check_record() ?: check_map() ?: check_lease();
}
