// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Segments of the access log: what goes in comes out, whatever the values; anything but the
 * bytes that an encoder makes is refused whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"
#include "history/segment.h"

static struct seg_row in[SEG_ROWS_MAX], out[SEG_ROWS_MAX];
static u8 buf[SEG_BYTES_MAX];

static u64 rnd(void)
{
	static u64 x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

/* Numbers of every length. */
static u64 any(unsigned int bits)
{
	unsigned int n = rnd() % (bits + 1);

	return n ? rnd() >> (64 - n) : (u64)0;
}

static void fill(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct seg_row *r = &in[i];

		memset(r, 0, sizeof(*r));
		r->time_ns = any(64);
		r->session = any(64);
		r->off = any(64);
		r->len = any(64);
		r->path = any(63);
		r->open_id = any(32);
		r->latency_us = any(32);
		r->pid = any(32);
		r->uid = any(32);
		r->op = any(4);
		r->flags = any(8);
		for (size_t k = rnd() % (SEG_COMM + 1); k--;)
			r->comm[k] = 1 + rnd() % 255;
		if (i && rnd() % 4) {	/* somebody known */
			const struct seg_row *w = &in[rnd() % i];

			r->session = w->session;
			r->pid = w->pid;
			r->uid = w->uid;
			memcpy(r->comm, w->comm, SEG_COMM);
		}
	}
}

static void round_trip(void **state)
{
	for (int turn = 0; turn < 300; turn++) {
		size_t n = 1 + rnd() % (turn < 20 ? 5 : SEG_ROWS_MAX), len;

		fill(n);
		len = seg_encode(in, n, buf);
		assert_true(len <= SEG_BYTES_MAX);
		assert_int_equal(seg_decode(buf, len, out), n);
		assert_memory_equal(in, out, n * sizeof(in[0]));
	}
}

static void longest(void **state)
{
	size_t len;

	for (size_t i = 0; i < SEG_ROWS_MAX; i++) {
		bool odd = i % 2;

		memset(&in[i], 0, sizeof(in[i]));
		in[i].time_ns = odd ? (u64)0 : (u64)1 << 63;
		in[i].path = odd ? 0 : INT64_MAX;
		in[i].open_id = odd ? 0 : INT32_MAX;
		in[i].session = UINT64_MAX - i;
		in[i].off = in[i].len = UINT64_MAX;
		in[i].latency_us = in[i].pid = in[i].uid = UINT32_MAX;
		in[i].op = SEG_OP_MAX;
		in[i].flags = 0xff;
		memset(in[i].comm, 0xff, SEG_COMM);
	}
	len = seg_encode(in, SEG_ROWS_MAX, buf);
	assert_true(len <= SEG_BYTES_MAX);
	assert_int_equal(seg_decode(buf, len, out), SEG_ROWS_MAX);
	assert_memory_equal(in, out, sizeof(in));
}

static void small(void **state)
{
	size_t len;

	/* One job: opens, a read and a close each. */
	memset(in, 0, sizeof(in));
	for (size_t i = 0; i < SEG_ROWS_MAX; i++) {
		in[i].time_ns = 1700000000000000000ull + i * 30000;
		in[i].session = 0xdeadbeefcafef00dull;
		in[i].pid = 4711;
		in[i].open_id = 1000 + i / 3;
		in[i].path = 50 + i / 3;
		in[i].op = i % 3 == 0 ? 1 : i % 3 == 1 ? 3 : 5;
		in[i].len = i % 3 == 0 ? 20000 : i % 3 == 1 ? 4096 : 1;
		in[i].off = i % 3 == 2 ? 4096 : 0;
		memcpy(in[i].comm, "make", 4);
	}
	len = seg_encode(in, SEG_ROWS_MAX, buf);
	print_message("%.1f bytes a row\n", (double)len / SEG_ROWS_MAX);
	assert_true(len < 14 * SEG_ROWS_MAX);
}

static void sign(size_t len)
{
	u32 crc = augur_crc32c(buf, len - 4);

	for (int i = 0; i < 4; i++)
		buf[len - 4 + i] = crc >> 8 * i;
}

/* Every byte changed, every length: noticed by the sum. */
static void damaged(void **state)
{
	size_t len;

	fill(20);
	len = seg_encode(in, 20, buf);
	for (size_t i = 0; i < len; i++) {
		buf[i] ^= 1 << i % 8;
		assert_int_equal(seg_decode(buf, len, out), -EBADMSG);
		buf[i] ^= 1 << i % 8;
		assert_int_equal(seg_decode(buf, i, out), -EBADMSG);
	}
	assert_int_equal(seg_decode(buf, len + 1, out), -EBADMSG);
	assert_int_equal(seg_decode(buf, len, out), 20);
}

/* With a right sum: what is accepted is what the encoder would have made of it. */
static void forged(void **state)
{
	static u8 again[SEG_BYTES_MAX];
	size_t len = 0, accepted = 0;
	int n;

	for (int turn = 0; turn < 200000; turn++) {
		if (turn % 50 == 0) {
			fill(1 + rnd() % 8);
			len = seg_encode(in, 1 + rnd() % 8, buf);
		}
		buf[rnd() % (len - 4)] ^= 1 << rnd() % 8;
		sign(len);
		n = seg_decode(buf, len, out);
		if (n < 0)
			continue;
		accepted++;
		assert_int_equal(seg_encode(out, n, again), len);
		assert_memory_equal(buf, again, len);
	}
	assert_true(accepted > 100);
}

static void nonsense(void **state)
{
	static const struct { size_t len; u8 b[32]; } bad[] = {
		{ 7, { 1, 0, 0 } },				/* no rows */
		{ 7, { 2, 1, 0 } },				/* another format */
		{ 8, { 1, 0xe9, 0x07, 0 } },			/* 1001 rows */
		{ 8, { 1, 0x81, 0x00, 0 } },			/* a longer form than needed */
		{ 8, { 1, 1, 0, 1 } },				/* who number 1 is nobody yet */
		{ 27, { 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0 } },	/* a NUL in a name */
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memcpy(buf, bad[i].b, sizeof(bad[i].b));
		sign(bad[i].len);
		assert_int_equal(seg_decode(buf, bad[i].len, out), -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip), cmocka_unit_test(longest), cmocka_unit_test(small), cmocka_unit_test(damaged),
		cmocka_unit_test(forged), cmocka_unit_test(nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
