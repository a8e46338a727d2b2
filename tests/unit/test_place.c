// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * place: units are in range and even, names of a split directory spread, impossible ones have
 * no owner.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>

#include "place/place.h"

static void oid_of(u8 oid[AUGUR_OID_LEN], u32 n)
{
	memset(oid, 0, AUGUR_OID_LEN);
	memcpy(oid, &n, 4);
}

static void units_are_even(void **state)
{
	u32 count[META_SLOTS + 1] = { 0 };
	u8 oid[AUGUR_OID_LEN];

	for (u32 i = 0; i < 100 * META_SLOTS; i++) {
		u32 pu;

		oid_of(oid, i);
		pu = place_pu_dir(oid);
		assert_in_range(pu, 1, META_SLOTS);
		assert_int_equal(pu, place_pu_dir(oid));
		count[pu]++;
	}
	/* Ten standard deviations. */
	for (u32 i = 1; i <= META_SLOTS; i++)
		assert_in_range(count[i], 1, 200);
}

static void names_spread(void **state)
{
	bool seen[META_SLOTS + 1] = { 0 };
	u8 a[AUGUR_OID_LEN], b[AUGUR_OID_LEN];
	u32 distinct = 0, same = 0;
	char name[32];

	oid_of(a, 1);
	oid_of(b, 2);
	for (u32 i = 0; i < 4096; i++) {
		int n = snprintf(name, sizeof(name), "file%u", i);
		u32 pu = place_pu_name(a, name, n);

		assert_in_range(pu, 1, META_SLOTS);
		distinct += !seen[pu];
		seen[pu] = true;
		same += pu == place_pu_name(b, name, n);
	}
	assert_in_range(distinct, 2000, 4096);
	assert_in_range(same, 0, 20);
}

static void owners(void **state)
{
	struct meta_proxy p[2] = { { .id = "p1", .addr = "a", .state = META_P_UP }, { .id = "p2", .addr = "b", .state = META_P_UP } };
	struct meta_map *m = meta_map_deal(1, 7, 64, p, 2);
	u32 count[2] = { 0 };

	assert_non_null(m);
	assert_int_equal(place_shard(m, 0), -ENOENT);
	assert_int_equal(place_shard(m, META_SLOTS + 1), -ENOENT);
	assert_int_equal(place_owner(m, ~0u), -ENOENT);
	for (u32 pu = 1; pu <= META_SLOTS; pu++) {
		int o = place_owner(m, pu);

		assert_in_range(o, 0, 1);
		assert_in_range(place_shard(m, pu), 0, 63);
		count[o]++;
	}
	assert_int_equal(count[0] + count[1], META_SLOTS);
	assert_in_range(count[0], META_SLOTS * 2 / 5, META_SLOTS * 3 / 5);
	meta_map_put(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_are_even), cmocka_unit_test(names_spread), cmocka_unit_test(owners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
