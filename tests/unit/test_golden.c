// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The bytes of released formats, frozen: tests/golden/record-1.bin (struct augur_record,
 * format 1), the same of a sparse file, and event-1.bin (an OPEN and its WHO).  A file that was once released must be
 * read for ever; a change of layout shows here before it shows on disks.  The golden bytes
 * were laid out by hand from the text of the ABI header, not by the code they check.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include "common/record.h"

static const u8 oid[AUGUR_OID_LEN] = {
	0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
	0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
};

static void load(const char *name, void *buf, size_t len)
{
	const char *dir = getenv("AUGUR_GOLDEN") ?: "tests/golden";
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("cannot open %s (run from the top of the tree)", path);
	assert_int_equal(fread(buf, 1, len, f), len);
	assert_int_equal(fgetc(f), EOF);
	fclose(f);
}

static void check_record(const char *name, u8 holes)
{
	u8 golden[AUGUR_RECORD_LEN], made[AUGUR_RECORD_LEN];
	struct augur_rec rec;

	load(name, golden, sizeof(golden));
	assert_int_equal(augur_rec_decode(golden, sizeof(golden), &rec), 0);
	assert_int_equal(rec.flags, AUGUR_REC_STUB | AUGUR_REC_STALE);
	assert_int_equal(rec.chunk_shift, 20);
	assert_int_equal(rec.holes, holes);
	assert_memory_equal(rec.oid, oid, sizeof(oid));
	assert_true(rec.version == 0x0102030405060708ULL);
	assert_true(rec.size == 0x1122334455667788ULL);
	assert_int_equal(rec.pu, 0xdeadbeef);
	assert_int_equal(rec.nlink, 3);
	assert_true(rec.ctime_sec == -86400);
	assert_int_equal(rec.ctime_nsec, 123456789);
	augur_rec_encode(&rec, made);
	assert_memory_equal(made, golden, sizeof(golden));
}

static void test_record(void **state)
{
	check_record("record-1.bin", 0);
	check_record("record-sparse-1.bin", 0xa5);
}

static void test_event(void **state)
{
	u8 golden[2 * AUGUR_EVENT_LEN];
	struct augur_event ev;
	struct augur_event_who who;

	assert_int_equal(sizeof(ev), AUGUR_EVENT_LEN);
	assert_int_equal(sizeof(who), AUGUR_EVENT_LEN);
	load("event-1.bin", golden, sizeof(golden));
	memcpy(&ev, golden, sizeof(ev));
	memcpy(&who, golden + sizeof(ev), sizeof(who));

	assert_int_equal(ev.op, AUGUR_EV_OPEN);
	assert_int_equal(ev.flags, AUGUR_EVF_HIT | AUGUR_EVF_EXEC);
	assert_true(le64_to_cpu(ev.time_ns) == 1700000000123456789ULL);
	assert_true(le64_to_cpu(ev.session_key) == 0xa1b2c3d4e5f60718ULL);
	assert_memory_equal(ev.oid, oid, sizeof(oid));
	assert_true(le64_to_cpu(ev.off) == 0x10000);
	assert_true(le64_to_cpu(ev.len) == 0x123456789aULL);
	assert_int_equal(le32_to_cpu(ev.open_id), 77);
	assert_int_equal(le32_to_cpu(ev.latency_us), 1500);
	assert_int_equal(le16_to_cpu(ev.cpu), 513);
	assert_int_equal(le32_to_cpu(ev.pu), 4095);

	assert_int_equal(who.op, AUGUR_EV_WHO);
	assert_true(who.time_ns == ev.time_ns && who.session_key == ev.session_key);
	assert_true(who.open_id == ev.open_id && who.cpu == ev.cpu);
	assert_int_equal(le32_to_cpu(who.pid), 4711);
	assert_int_equal(le32_to_cpu(who.tgid), 4710);
	assert_int_equal(le32_to_cpu(who.uid), 1000);
	assert_int_equal(le32_to_cpu(who.gid), 100);
	assert_string_equal((char *)who.comm, "python3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
