// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The detector of tree walks against the sequences of opens and listings that known programs
 * make: those that walk are found before they are through, those that work are not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/mem.h"
#include "history/scan.h"

#define DIRS	60		/* of the tree: a root, and DIRS below it in groups of six */
#define FILES	20		/* in each */

static struct scan *sc;
static int found, cleared;
static u64 session = 7;

static void note(bool listing, s64 object, s64 parent, const char *name, u64 entries, u64 subdirs)
{
	char head[SCAN_HEAD + 1] = "";
	struct scan_event e = { .session = session, .listing = listing, .object = object, .parent = parent,
				.head = name ? head : NULL, .entries = entries, .subdirs = subdirs };
	struct scan_counts c;
	enum scan_verdict v;

	if (name)
		snprintf(head, sizeof(head), "%s", name);
	v = scan_note(sc, &e, &c);
	found += v == SCAN_FOUND;
	cleared += v == SCAN_CLEARED;
}

static s64 dir_id(int d) { return 1 + d; }
static s64 file_id(int d, int f) { return 1000 + d * 1000 + f; }

/* The order in which a directory of ext4 gives its names: any, but always the same. */
static int shuffled(int i, int n)
{
	return (i * 7 + 3) % n;
}

static void list_dir(int d)
{
	int kids = d == 0 ? DIRS / 6 : d <= DIRS / 6 ? 5 : 0;

	note(true, dir_id(d), d ? dir_id(0) : 0, "d", FILES + kids, kids);
}

static void open_file(int d, int f)
{
	char name[16];

	snprintf(name, sizeof(name), "f%03d", f);
	note(false, file_id(d, f), dir_id(d), name, 0, 0);
}

static int setup(void **state)
{
	sc = scan_new();
	found = cleared = 0;
	return 0;
}

static int teardown(void **state)
{
	scan_free(sc);
	return 0;
}

static void find(void **state)
{
	for (int d = 0; d <= DIRS; d++)
		list_dir(d);
	assert_int_equal(found, 1);
	assert_true(scan_is(sc, session));
	assert_false(scan_is(sc, session + 1));
}

/* grep -r, tar, cp -r: every file of every directory, in its order; @stop: found by then. */
static void walk(int stop, int part, bool by_name)
{
	for (int d = 0; d < stop; d++) {
		list_dir(d);
		for (int i = 0; i < FILES; i++) {
			int f = by_name ? i : shuffled(i, FILES);

			if (f % 100 < part)
				open_file(d, f);
		}
	}
}

static void grep_r(void **state)
{
	walk(6, 100, false);		/* a tenth of the tree */
	assert_int_equal(found, 1);
	walk(0, 100, false);
	assert_int_equal(cleared, 0);
}

/* Opens a quarter of what it finds, but leaves out no directory. */
static void grep_include(void **state)
{
	walk(DIRS + 1, FILES / 4, false);
	assert_int_equal(found, 1);
}

/* rsync, git grep: by name; the latter lists nothing. */
static void by_name(void **state)
{
	for (int d = 0; d < 10; d++)
		for (int f = 0; f < FILES; f++)
			open_file(d, f);
	assert_int_equal(found, 1);
}

/* tar of one large directory in the order of its inodes. */
static void flat(void **state)
{
	note(true, dir_id(0), 0, "d", 1000, 0);
	for (int i = 0; i < 1000; i++)
		open_file(0, shuffled(i, 1000));
	assert_int_equal(found, 1);
}

/* make: each compiler opens its own source and many headers that were opened before. */
static void compile(void)
{
	for (int d = 0; d < 20; d++) {
		for (int f = 0; f < FILES; f++) {
			open_file(d, f);
			for (int h = 0; h < 15; h++)
				open_file(40 + h % 3, (f * 7 + h * h) % FILES);
		}
	}
}

static void build(void **state)
{
	compile();
	assert_int_equal(found, 0);
}

/* A makefile that begins with $(shell find): a scanner at first, not when it compiles. */
static void find_then_build(void **state)
{
	find(state);
	compile();
	assert_int_equal(found, 1);
	assert_int_equal(cleared, 1);
	assert_false(scan_is(sc, session));
}

/* python: lists the directories it searches, opens compiled files in __pycache__, which it does not list. */
static void python(void **state)
{
	for (int p = 0; p < 40; p++) {
		note(true, dir_id(p), dir_id(0), "pkg", 30, 4);
		for (int m = 0; m < 12; m++)
			open_file(100 + p, shuffled(m + p, 30));
		for (int m = 0; m < 3; m++)		/* and again something of the standard library */
			open_file(200, (p * 5 + m * 11) % 150);
	}
	assert_int_equal(found, 0);
}

/* The same where nothing could be compiled: some of the files of the directories it lists, in order of their use. */
static void python_sources(void **state)
{
	note(true, dir_id(200), 0, "lib", 250, 35);
	for (int p = 0; p < 40; p++) {
		note(true, dir_id(p), dir_id(200), "pkg", 30, 4);
		for (int m = 0; m < 12; m++)
			open_file(p, (m * 11 + p * 5) % 30);
		for (int m = 0; m < 3; m++)
			open_file(200, (p * 37 + m * 53) % 250);
	}
	assert_int_equal(found, 0);
}

/* A shell, an editor: a few listings and files. */
static void little(void **state)
{
	for (int i = 0; i < 5; i++) {
		list_dir(i);
		list_dir(i);
		open_file(i, 3);
	}
	assert_int_equal(found, 0);
}

/* A database: the same files for ever. */
static void database(void **state)
{
	for (int i = 0; i < 5000; i++)
		open_file(0, i * 31 % 100);
	assert_int_equal(found, 0);
}

/* A walk of more than is remembered stays one; so do many sessions at once. */
static void bounded(void **state)
{
	for (s64 d = 0; d < 2000; d++) {
		note(true, 10000000 + d, 0, "d", 20, 0);
		for (int f = 0; f < 20; f++)
			note(false, d * 20 + f + 1, 10000000 + d, "f", 0, 0);
	}
	assert_int_equal(found, 1);
	assert_int_equal(cleared, 0);
	for (int i = 0; i < 1000; i++) {
		session = 1000 + i;
		open_file(1, 1);
	}
	session = 7;
	assert_false(scan_is(sc, session));	/* forgotten */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(find), T(grep_r), T(grep_include), T(by_name), T(flat), T(build), T(find_then_build), T(python), T(python_sources),
		T(little), T(database), T(bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
