// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lease arithmetic.  The property that matters: with clocks that run apart by up to a
 * tenth, the holder stops believing before the owner does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/lease.h"

#define MS	1000000ULL

static void test_deadline(void **state)
{
	/* An eighth off, at least 50 ms. */
	assert_int_equal(augur_lease_deadline(0, 8000), 7000 * MS);
	assert_int_equal(augur_lease_deadline(5, 400), 5 + 350 * MS);
	assert_int_equal(augur_lease_deadline(5, 100), 5 + 50 * MS);
	/* Nothing left of it: none, whenever it was sent. */
	assert_int_equal(augur_lease_deadline(12345, 50), 0);
	assert_int_equal(augur_lease_deadline(12345, 0), 0);
	/* At the end of time it saturates instead of wrapping. */
	assert_int_equal(augur_lease_deadline(UINT64_MAX - 1, 10000), UINT64_MAX);
	assert_int_equal(augur_lease_deadline(1, UINT32_MAX), 1 + UINT32_MAX * MS / 8 * 7 + UINT32_MAX * MS % 8);
}

static void test_drift(void **state)
{
	u32 ms;

	for (ms = 500; ms <= 600000; ms += 499) {
		u64 held = augur_lease_deadline(0, ms);

		/* A tenth more on the owner's clock is still within its lease. */
		assert_true(held > 0);
		assert_true(held + held / 10 < ms * MS);
	}
}

static void test_valid(void **state)
{
	struct augur_lease l = { 0 };

	assert_false(augur_lease_valid(&l, 0));
	assert_true(augur_lease_update(&l, 1, 100));
	assert_true(augur_lease_valid(&l, 99));
	assert_false(augur_lease_valid(&l, 100));
	assert_false(augur_lease_valid(&l, UINT64_MAX));
}

/* A model: the last update whose sequence was not below the highest seen. */
static void test_sequence(void **state)
{
	u64 seq = 0, deadline = 0, x = 88172645463325252ULL;
	struct augur_lease l = { 0 };
	int i;

	for (i = 0; i < 100000; i++) {
		u64 s, d;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		s = seq + x % 9;
		s = s < 4 ? 0 : s - 4;
		d = (x >> 8) % 1000;
		assert_int_equal(augur_lease_update(&l, s, d), s >= seq);
		if (s >= seq) {
			seq = s;
			deadline = d;
		}
		assert_int_equal(l.seq, seq);
		assert_int_equal(l.deadline_ns, deadline);
	}
	/* 0 ends it, also at the same number. */
	assert_true(augur_lease_update(&l, seq, 0));
	assert_false(augur_lease_valid(&l, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_drift),
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_sequence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
