// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * After a power cut the tree and the index may each be ahead of the other: what differs is
 * marked before anything is believed, once, and a check that was broken off is made again.
 * Needs root and trusted attributes.
 */
#include "cache_rig.h"

/* file, empty (complete at once), sub/inner; sub and the root say that all their names are here. */
static int setup(void **state)
{
	struct wire_entry root = entry(NULL, S_IFDIR | 0755, 4096, 200), sub = entry("sub", S_IFDIR | 0755, 4096, 3);
	struct wire_entry file = entry("file", S_IFREG | 0644, 100000, 1), empty = entry("empty", S_IFREG | 0644, 0, 2);
	struct wire_entry inner = entry("inner", S_IFREG | 0644, 5, 4);
	struct cobj *top, *o;

	strcpy(dir, "/tmp/augur-test-cut.XXXXXX");
	assert_non_null(mkdtemp(dir));
	attach();
	assert_false(c->unclean);
	assert_int_equal(cache_stamp(c, "vol", vol_id, &root), 0);
	top = cobj_peek(c, c->root_oid);
	stub(&file, top);
	stub(&empty, top);
	stub(&sub, top);
	o = cobj_peek(c, sub.attr.oid);
	stub(&inner, o);
	assert_int_equal(lower_record_flags(c, &o->fh, NULL, AUGUR_REC_COMPLETE, AUGUR_REC_STUB), 0);
	assert_int_equal(lower_record_flags(c, &top->fh, NULL, AUGUR_REC_COMPLETE, AUGUR_REC_STUB), 0);
	cache_seq_store(c, 5, 0, 77);
	close_cache();
	return 0;
}

/* The power went in another boot, before the cache was closed. */
static void cut(void)
{
	sql("UPDATE meta SET value = x'00' WHERE key = 'clean'");
	sql("UPDATE meta SET value = CAST('another boot' AS BLOB) WHERE key = 'boot_id'");
}

static void nothing_differs(void **state)
{
	struct cache_seq seqs[8];

	attach();
	assert_false(c->unclean);
	cache_seq_load(c, seqs, 8);
	assert_int_equal(seqs[5].seq, 77);
	close_cache();
	cut();
	check();
	assert_int_equal(flags("file"), AUGUR_REC_STUB);
	assert_int_equal(flags("empty"), AUGUR_REC_COMPLETE);
	assert_int_equal(flags("sub"), AUGUR_REC_COMPLETE);
	assert_int_equal(flags("sub/inner"), AUGUR_REC_STUB);
	assert_int_equal(flags(""), AUGUR_REC_COMPLETE);
	/* A mark may be lost that its number says is there. */
	cache_seq_load(c, seqs, 8);
	assert_int_equal(seqs[5].seq, 0);
	close_cache();
	attach();
	assert_false(c->unclean);
}

static void rows_ahead_of_the_tree(void **state)
{
	cut();
	/* A new version of the file in another inode, one more name in sub: neither is in the tree. */
	sql("UPDATE obj SET fh = x'010000000100000001000000', ctime = ctime + 5, tag = 7 WHERE name = CAST('file' AS BLOB)");
	sql("UPDATE obj SET ctime_ns = 5, tag = 8 WHERE name = CAST('sub' AS BLOB)");
	check();
	assert_int_equal(flags("file"), AUGUR_REC_STUB | AUGUR_REC_STALE);
	assert_int_equal(flags("sub"), AUGUR_REC_STUB | AUGUR_REC_STALE);
	assert_int_equal(flags("sub/inner"), AUGUR_REC_STUB);
	assert_int_equal(flags("empty"), AUGUR_REC_COMPLETE);
	assert_int_equal(flags(""), AUGUR_REC_COMPLETE);
}

static void tree_ahead_of_the_rows(void **state)
{
	cut();
	sql("DELETE FROM obj WHERE name IN (CAST('empty' AS BLOB), CAST('sub' AS BLOB), CAST('inner' AS BLOB))");
	check();
	assert_int_equal(flags("empty"), AUGUR_REC_COMPLETE | AUGUR_REC_STALE);
	assert_int_equal(flags("sub"), AUGUR_REC_STUB | AUGUR_REC_STALE);
	assert_int_equal(flags("sub/inner"), AUGUR_REC_STUB | AUGUR_REC_STALE);
	assert_int_equal(flags("file"), AUGUR_REC_STUB);
}

static void the_root_has_no_name_to_ask(void **state)
{
	cut();
	sql("UPDATE obj SET ctime = ctime + 1 WHERE name = x''");
	check();
	assert_int_equal(flags(""), AUGUR_REC_STUB);
}

static void leftovers_are_passed_by(void **state)
{
	char path[128];

	cut();
	snprintf(path, sizeof(path), "%s/root/sub/inner", dir);
	assert_int_equal(setxattr(path, AUGUR_XATTR_NAME, "half", 4, 0), 0);
	snprintf(path, sizeof(path), "%s/root/bare", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	check();
	assert_int_equal(flags("file"), AUGUR_REC_STUB);
}

static void broken_off_is_made_again(void **state)
{
	cut();
	sql("DELETE FROM obj WHERE name = CAST('empty' AS BLOB)");
	attach();
	assert_true(c->cut);
	close_cache();
	assert_int_equal(flags("empty"), AUGUR_REC_COMPLETE);
	check();
	assert_int_equal(flags("empty"), AUGUR_REC_COMPLETE | AUGUR_REC_STALE);
}

static void weak_disks(void **state)
{
	struct lower_disk d = { .fs = "ext4", .device = "vda1", .options = "rw,errors=remount-ro", .write_back = true };

	assert_null(disk_weakness(&d));
	strcpy(d.options, "rw,nobarriers,xnobarrier");
	assert_null(disk_weakness(&d));
	strcpy(d.options, "rw,nobarrier,discard");
	assert_non_null(disk_weakness(&d));
	d.write_back = false;
	assert_null(disk_weakness(&d));
	d.no_journal = true;
	assert_non_null(disk_weakness(&d));
	d.no_journal = false;
	strcpy(d.device, "zram0");
	assert_non_null(disk_weakness(&d));
	strcpy(d.fs, "tmpfs");
	assert_null(disk_weakness(&d));
}

static int run_group(void)
{
	const struct CMUnitTest tests[] = {
		T(nothing_differs), T(rows_ahead_of_the_tree), T(tree_ahead_of_the_rows), T(the_root_has_no_name_to_ask),
		T(leftovers_are_passed_by), T(broken_off_is_made_again), T(weak_disks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return cache_tests("test_cache_cut", run_group);
}
