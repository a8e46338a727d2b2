// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * After a power cut the tree and the index may each be ahead of the other: what differs is
 * marked before anything is believed, once, and a check that was broken off is made again.
 * Needs root and trusted attributes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "cache/cache.h"

static struct io *io;
static char dir[64];
static struct cache *c;
static const u8 vol_id[16] = { 1, 2, 3 };

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	return remove(path);
}

static void spin(bool *flag)
{
	for (int i = 0; i < 10000 && !*flag; i++)
		assert_int_equal(io->ops->step(io), 0);
	assert_true(*flag);
}

static void raise_flag(void *arg)
{
	*(bool *)arg = true;
}

static struct wire_entry entry(const char *name, u32 mode, u64 size, u8 id)
{
	struct wire_entry e = { .name = name, .name_len = name ? strlen(name) : 0 };

	memset(e.attr.oid, id, AUGUR_OID_LEN);
	e.attr.pu = id;
	e.attr.mode = mode;
	e.attr.nlink = 1;
	e.attr.size = size;
	e.attr.tag = 1000 + id;
	e.attr.ctime_sec = 1600000000 + id;
	e.locator = (const u8 *)"loc";
	e.locator_len = 3;
	return e;
}

static void attach(void)
{
	enum cache_fault cause;

	assert_int_equal(cache_attach(io, dir, &c, &cause), 0);
}

static void close_cache(void)
{
	bool done = false;

	cache_close(c, raise_flag, &done);
	spin(&done);
	c = NULL;
}

static void stub(const struct wire_entry *e, struct cobj *parent)
{
	struct stub_job *j = stub_job_new(c, parent);
	struct stub_ent *s = stub_job_add(j, e);

	assert_int_equal(stub_work(j), 0);
	assert_int_equal(s->outcome, STUB_NEW);
	cobj_update(c, &s->attr, s->loc, s->loc_len, parent->oid, s->name, s->name_len, &s->fh, s->shift, s->flags);
	stub_job_free(j);
}

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

static int teardown(void **state)
{
	if (c)
		close_cache();
	nftw(dir, rm_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}

static void sql(const char *text)
{
	char path[128];
	sqlite3 *sq;

	snprintf(path, sizeof(path), "%s/.augur/db", dir);
	assert_int_equal(sqlite3_open(path, &sq), SQLITE_OK);
	assert_int_equal(sqlite3_exec(sq, text, NULL, NULL, NULL), SQLITE_OK);
	assert_true(sqlite3_changes(sq) > 0);
	sqlite3_close(sq);
}

/* The power went in another boot, before the cache was closed. */
static void cut(void)
{
	sql("UPDATE meta SET value = x'00' WHERE key = 'clean'");
	sql("UPDATE meta SET value = CAST('another boot' AS BLOB) WHERE key = 'boot_id'");
}

static int check_res;

static void on_checked(void *arg, int err)
{
	check_res = err;
	*(bool *)arg = true;
}

static void check(void)
{
	bool done = false;

	attach();
	assert_true(c->unclean);
	cache_check(c, on_checked, &done);
	spin(&done);
	assert_int_equal(check_res, 0);
	assert_false(c->unclean);
}

static unsigned int flags(const char *name)
{
	u8 buf[AUGUR_RECORD_LEN + 1];
	struct augur_rec rec;
	char path[128];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/root/%s", dir, name);
	n = lgetxattr(path, AUGUR_XATTR_NAME, buf, sizeof(buf));
	assert_int_equal(augur_rec_decode(buf, n, &rec), 0);
	return rec.flags;
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
	assert_true(c->unclean);
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

static int skip_all(void)
{
	char d[] = "/tmp/augur-test-x.XXXXXX";
	int ok;

	if (geteuid() || !mkdtemp(d))
		return 1;
	ok = !setxattr(d, "trusted.augur.probe", "1", 1, 0);
	rmdir(d);
	return !ok;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(nothing_differs), T(rows_ahead_of_the_tree), T(tree_ahead_of_the_rows), T(the_root_has_no_name_to_ask),
		T(leftovers_are_passed_by), T(broken_off_is_made_again), T(weak_disks),
	};
	int failed;

	if (skip_all()) {
		printf("needs root and trusted extended attributes in /tmp\n");
		return 77;
	}
	log_open("test_cache_cut", LOG_L_ERR - 1);
	io = io_new(getenv("TEST_IO"));
	if (!io) {
		printf("no I/O table here\n");
		return 77;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	io->ops->destroy(io);
	return failed;
}
