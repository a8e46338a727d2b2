/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cache_rig.h - a cache directory in /tmp for tests of the cache room; needs root and trusted attributes. */
#ifndef AUGUR_TESTS_CACHE_RIG_H
#define AUGUR_TESTS_CACHE_RIG_H

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

static __attribute__((unused)) int rm_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	return remove(path);
}

static __attribute__((unused)) void spin(bool *flag)
{
	for (int i = 0; i < 10000 && !*flag; i++)
		assert_int_equal(io->ops->step(io), 0);
	assert_true(*flag);
}

static __attribute__((unused)) void raise_flag(void *arg)
{
	*(bool *)arg = true;
}

static __attribute__((unused)) struct wire_entry entry(const char *name, u32 mode, u64 size, u8 id)
{
	struct wire_entry e = { .name = name, .name_len = name ? strlen(name) : 0 };

	memset(e.attr.oid, id, AUGUR_OID_LEN);
	e.attr.pu = id;
	e.attr.mode = mode;
	e.attr.nlink = 1;
	e.attr.size = size;
	e.attr.tag = 1000 + id;
	e.attr.mtime_sec = 1500000000 + id;
	e.attr.mtime_nsec = 7;
	e.attr.ctime_sec = 1600000000 + id;
	e.attr.ctime_nsec = 9;
	e.locator = (const u8 *)"loc";
	e.locator_len = 3;
	return e;
}

static __attribute__((unused)) void attach(void)
{
	enum cache_fault cause;

	assert_int_equal(cache_attach(io, dir, &c, &cause), 0);
}

static __attribute__((unused)) void close_cache(void)
{
	bool done = false;

	cache_close(c, raise_flag, &done);
	spin(&done);
	c = NULL;
}

static __attribute__((unused)) void stub(const struct wire_entry *e, struct cobj *parent)
{
	struct stub_job *j = stub_job_new(c, parent);
	struct stub_ent *s = stub_job_add(j, e);

	assert_int_equal(stub_work(j), 0);
	assert_int_equal(s->outcome, STUB_NEW);
	cobj_update(c, &s->attr, s->loc, s->loc_len, parent->oid, s->name, s->name_len, &s->fh, s->shift, s->flags);
	stub_job_free(j);
}

/* On the index of a closed cache; the rows that it changed. */
static __attribute__((unused)) int exec(const char *text)
{
	char path[128];
	sqlite3 *sq;
	int n;

	snprintf(path, sizeof(path), "%s/.augur/db", dir);
	assert_int_equal(sqlite3_open(path, &sq), SQLITE_OK);
	assert_int_equal(sqlite3_exec(sq, text, NULL, NULL, NULL), SQLITE_OK);
	n = sqlite3_changes(sq);
	sqlite3_close(sq);
	return n;
}

static __attribute__((unused)) void sql(const char *text)
{
	assert_true(exec(text) > 0);
}

static __attribute__((unused)) unsigned int flags(const char *name)
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

static __attribute__((unused)) int teardown(void **state)
{
	if (c)
		close_cache();
	nftw(dir, rm_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}

static int check_res;

static __attribute__((unused)) void on_checked(void *arg, int err)
{
	check_res = err;
	*(bool *)arg = true;
}

static __attribute__((unused)) void check(void)
{
	bool done = false;

	attach();
	assert_true(c->unclean);
	cache_check(c, on_checked, &done);
	spin(&done);
	assert_int_equal(check_res, 0);
	assert_false(c->unclean);
}

static __attribute__((unused)) int skip_all(void)
{
	char d[] = "/tmp/augur-test-x.XXXXXX";
	int ok;

	if (geteuid() || !mkdtemp(d))
		return 1;
	ok = !setxattr(d, "trusted.augur.probe", "1", 1, 0);
	rmdir(d);
	return !ok;
}

/* The end of main(): @run_group runs the tests, or 77 says why they cannot be run here. */
static int cache_tests(const char *name, int (*run_group)(void))
{
	int failed;

	if (skip_all()) {
		printf("needs root and trusted extended attributes in /tmp\n");
		return 77;
	}
	log_open(name, LOG_L_ERR - 1);
	io = io_new(getenv("TEST_IO"));
	if (!io) {
		printf("no I/O table here\n");
		return 77;
	}
	failed = run_group();
	io->ops->destroy(io);
	return failed;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
