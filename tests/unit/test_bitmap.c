// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Presence bitmaps against a naive model: an array of one bool a chunk, and arithmetic done
 * by walking byte by byte.  Random cases come from a fixed seed, so a failure repeats.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <linux/augurfs.h>
#include "common/bitmap.h"

#define BITS	(AUGUR_MAP_MAX * 8)
#define ROUNDS	3000

static u64 rng = 0x9e3779b97f4a7c15ULL;

static u64 rnd(u64 below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % below;
}

static u8 map[AUGUR_MAP_MAX];
static bool model[BITS];

static void same(u64 bits)
{
	u64 i, weight = 0;

	for (i = 0; i < bits; i++) {
		assert_int_equal(augur_map_test(map, i), model[i]);
		weight += model[i];
	}
	assert_int_equal(augur_map_weight(map, bits), weight);
}

static u64 model_next(u64 first, u64 limit, bool want)
{
	while (first < limit && model[first] != want)
		first++;
	return first < limit ? first : limit;
}

static void look(u64 bits)
{
	u64 first = rnd(bits), limit = first + rnd(bits - first + 1);
	u64 zero = model_next(first, limit, false);

	assert_int_equal(augur_map_next_zero(map, first, limit), zero);
	assert_int_equal(augur_map_next_one(map, first, limit), model_next(first, limit, true));
	assert_int_equal(augur_map_all(map, first, limit - first), zero == limit);
}

static void change(u64 bits)
{
	u64 first = rnd(bits), count = rnd(bits - first + 1), i;
	bool set = rnd(2);

	if (rnd(8) == 0) {
		augur_map_set(map, first);
		model[first] = true;
		return;
	}
	if (set)
		augur_map_set_range(map, first, count);
	else
		augur_map_clear_range(map, first, count);
	for (i = first; i < first + count; i++)
		model[i] = set;
}

static void test_against_model(void **state)
{
	static const u64 sizes[] = { 1, 7, 8, 9, 63, 64, 65, 1000, BITS };
	size_t s;
	int i;

	for (s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		memset(map, 0, sizeof(map));
		memset(model, 0, sizeof(model));
		for (i = 0; i < ROUNDS / (sizes[s] > 1000 ? 10 : 1); i++) {
			change(sizes[s]);
			look(sizes[s]);
			if (i % 50 == 0)
				same(sizes[s]);
		}
		same(sizes[s]);
	}
}

/* A range never touches the bits beside it. */
static void test_neighbours(void **state)
{
	u64 first, count, i;

	for (first = 0; first < 40; first++) {
		for (count = 0; count <= 40 - first; count++) {
			memset(map, 0, 8);
			augur_map_set_range(map, first, count);
			for (i = 0; i < 64; i++)
				assert_int_equal(augur_map_test(map, i), i >= first && i < first + count);
			memset(map, 0xff, 8);
			augur_map_clear_range(map, first, count);
			for (i = 0; i < 64; i++)
				assert_int_equal(augur_map_test(map, i), !(i >= first && i < first + count));
		}
	}
}

static void test_sizes(void **state)
{
	assert_int_equal(augur_chunks(0, 16), 0);
	assert_int_equal(augur_chunks(1, 16), 1);
	assert_int_equal(augur_chunks(65536, 16), 1);
	assert_int_equal(augur_chunks(65537, 16), 2);
	assert_int_equal(augur_chunks(UINT64_MAX, 12), 1ULL << 52);
	assert_int_equal(augur_map_bytes(0, 12), 0);
	assert_int_equal(augur_map_bytes(8 << 12, 12), 1);
	assert_int_equal(augur_map_bytes((8 << 12) + 1, 12), 2);
}

/* The smallest shift from the default on whose map fits; the one before does not. */
static void test_shift(void **state)
{
	int i;

	for (i = 0; i < 20000; i++) {
		unsigned int def = AUGUR_CHUNK_SHIFT_MIN + rnd(20);
		u64 size = rnd(1ULL << (1 + rnd(63)));
		unsigned int shift = augur_shift_for(size, def);

		assert_true(shift >= def);
		assert_true(augur_map_bytes(size, shift) <= AUGUR_MAP_MAX);
		if (shift > def)
			assert_true(augur_map_bytes(size, shift - 1) > AUGUR_MAP_MAX);
	}
	assert_int_equal(augur_shift_for(0, 0), AUGUR_CHUNK_SHIFT_MIN);
	assert_int_equal(augur_shift_for(1ULL << 30, 16), 16);
	assert_int_equal(augur_shift_for((1ULL << 30) + 1, 16), 17);
	assert_true(augur_map_bytes(UINT64_MAX, augur_shift_for(UINT64_MAX, 12)) <= AUGUR_MAP_MAX);
}

/* Byte by byte: which chunks does the range touch? */
static void naive_range(u64 off, u64 len, u64 size, unsigned int shift, u64 *first, u64 *count)
{
	u64 b, lo = UINT64_MAX, hi = 0;

	for (b = off; b < off + len && b < size; b++) {
		if (b >> shift < lo)
			lo = b >> shift;
		hi = b >> shift;
	}
	*count = lo == UINT64_MAX ? 0 : hi - lo + 1;
	*first = *count ? lo : 0;
}

static void test_range(void **state)
{
	u64 f1, c1, f2, c2;
	int i;

	for (i = 0; i < 20000; i++) {
		unsigned int shift = 1 + rnd(6);
		u64 size = rnd(400), off = rnd(500), len = rnd(500);

		augur_chunk_range(off, len, size, shift, &f1, &c1);
		naive_range(off, len, size, shift, &f2, &c2);
		assert_int_equal(f1, f2);
		assert_int_equal(c1, c2);
	}
	/* What overflows covers nothing. */
	augur_chunk_range(10, UINT64_MAX, 100, 12, &f1, &c1);
	assert_int_equal(c1, 0);
	augur_chunk_range(UINT64_MAX, 1, UINT64_MAX, 12, &f1, &c1);
	assert_int_equal(c1, 0);
	augur_chunk_range(UINT64_MAX - 1, 1, UINT64_MAX, 12, &f1, &c1);
	assert_int_equal(f1, UINT64_MAX >> 12);
	assert_int_equal(c1, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_model),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_shift),
		cmocka_unit_test(test_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
