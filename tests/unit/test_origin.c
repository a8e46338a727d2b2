// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An export as its agents see it: oids stay and hard links share one, forged locators are
 * refused, a listing is what readdir says, split directories spread.
 * Opening by handle needs root: without it, skipped.
 */
#include "origin_test.h"

static void oids_stay_and_links_share(void **state)
{
	struct obj a, b, c;

	write_file("one", "1");
	link_names("one", "two", link);
	grow_old();
	a = find(&root, "one");
	b = find(&root, "two");
	assert_memory_equal(a.a.oid, b.a.oid, 16);
	assert_int_equal(a.a.nlink, 2);
	assert_int_equal(a.a.pu, place_pu_dir(a.a.oid));
	assert_int_equal(b.a.pu, a.a.pu);
	link_names("one", "three", rename);
	c = find(&root, "three");
	assert_memory_equal(a.a.oid, c.a.oid, 16);
	end();
	start();
	c = find(&root, "two");
	assert_memory_equal(a.a.oid, c.a.oid, 16);
	write_file("new", "1");
	c = find(&root, "new");
	assert_memory_not_equal(a.a.oid, c.a.oid, 16);
	assert_int_equal(c.a.pu, place_pu_dir(root.a.oid));
}

static void forged_locators_are_refused(void **state)
{
	struct obj o, bad;
	struct ask *a;
	u64 before;

	write_file("f", "secret");
	grow_old();
	o = find(&root, "f");
	before = origin_counters(origin)->refused;
	for (size_t i = 0; i < o.loc_len; i++) {
		bad = o;
		bad.loc[i] ^= 1;
		a = read_obj(&bad, 0, 100);
		assert_true(a->status == -EACCES || a->status == -EBADMSG);
		assert_int_equal(a->data_len, 0);
		ask_free(a);
	}
	for (size_t n = 1; n < o.loc_len; n++) {
		bad = o;
		bad.loc_len = n;
		a = read_obj(&bad, 0, 100);
		assert_int_equal(a->status, -EBADMSG);
		ask_free(a);
	}
	bad = o;
	bad.a.oid[3] ^= 1;
	a = read_obj(&bad, 0, 100);
	assert_int_equal(a->status, -EACCES);
	ask_free(a);
	bad = root;
	memcpy(bad.loc, o.loc, o.loc_len);	/* one object's locator under another's name */
	bad.loc_len = o.loc_len;
	a = list(&bad);
	assert_int_equal(a->status, -EACCES);
	ask_free(a);
	assert_true(origin_counters(origin)->refused > before);
	a = read_obj(&o, 0, 100);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->data_len, 6);
	ask_free(a);
}

static void moved_out_directories_are_gone(void **state)
{
	char out[] = "/tmp/augur-out-XXXXXX";
	struct obj d, f;
	struct ask *a;

	mkdir(at("d"), 0755);
	write_file("d/f", "x");
	grow_old();
	d = find(&root, "d");
	f = find(&d, "f");
	assert_non_null(mkdtemp(out));
	rmdir(out);
	assert_int_equal(rename(at("d"), out), 0);
	a = list(&d);
	assert_int_equal(a->status, -ESTALE);
	ask_free(a);
	a = lookup(&d, "f", 0);
	assert_int_equal(a->status, -ESTALE);
	ask_free(a);
	(void)f;
	nftw(out, rm_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void check_entry(const struct obj *o)
{
	struct stat st;

	assert_int_equal(lstat(at(o->name), &st), 0);
	assert_int_equal(o->a.mode, st.st_mode);
	assert_int_equal(o->a.nlink, st.st_nlink);
	assert_int_equal(o->a.size, st.st_size);
	assert_int_equal(o->a.uid, st.st_uid);
	assert_int_equal(o->a.mtime_sec, st.st_mtim.tv_sec);
	assert_int_equal(o->a.mtime_nsec, st.st_mtim.tv_nsec);
	assert_int_equal(o->a.ctime_nsec, st.st_ctim.tv_nsec);
	assert_int_not_equal(o->a.tag, 0);
}

static void listing_is_readdir(void **state)
{
	char name[32];
	struct ask *a;
	u32 n = 0;

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "file-%04d", i);
		write_file(name, name);
	}
	mkdir(at("sub"), 01777);
	assert_int_equal(symlink("file-0001", at("sym")), 0);
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	mkdir(at(".augur"), 0700);
	assert_int_equal(setxattr(at("file-0007"), "user.note", "seven", 5, 0), 0);
	setxattr(at("file-0008"), "trusted.augur", "x", 1, 0);
	grow_old();
	a = list(&root);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->n, 1003);
	assert_true(a->largest <= 64 * 1024);
	assert_true(a->frames >= 3);
	assert_int_not_equal(a->dir.a.tag, 0);
	assert_int_not_equal(a->seq, 0);
	for (u32 i = 0; i < a->n; i++) {
		check_entry(&a->e[i]);
		n += a->e[i].xattrs_len > 0;
		assert_string_not_equal(a->e[i].name, ".augur");
		if (!strcmp(a->e[i].name, "sym"))
			assert_string_equal(a->e[i].link, "file-0001");
	}
	assert_true(n >= 1);
	ask_free(a);
}

/* By name and by listing alike; whatever a directory occupies is nobody's business. */
static void a_sparse_file_is_said_to_be_one(void **state)
{
	static const struct { const char *name; off_t at, size; } f[] = {
		{ "dense", 0, 65536 }, { "hole", -1, 12 << 20 }, { "half", 0, 128 << 10 }, { "empty", -1, 0 }, { "end", 12 << 20, (12 << 20) + 65536 },
	};
	static char block[65536];
	struct ask *a;

	for (size_t i = 0; i < ARRAY_SIZE(f); i++) {
		int fd = open(at(f[i].name), O_WRONLY | O_CREAT, 0600);

		if (f[i].at >= 0)
			assert_int_equal(pwrite(fd, block, sizeof(block), f[i].at), sizeof(block));
		assert_int_equal(ftruncate(fd, f[i].size), 0);
		close(fd);
	}
	mkdir(at("sub"), 0755);
	grow_old();
	a = list(&root);
	assert_int_equal(a->n, ARRAY_SIZE(f) + 1);
	for (u32 i = 0; i < a->n; i++) {
		struct obj o = find(&root, a->e[i].name);
		u8 holes = a->e[i].a.holes;

		assert_int_equal(holes, o.a.holes);
		if (!strcmp(o.name, "hole"))
			assert_int_equal(holes, 255);
		else if (!strcmp(o.name, "half"))
			assert_in_range(holes, 120, 128);	/* with what the filesystem needs itself */
		else if (!strcmp(o.name, "end"))
			assert_in_range(holes, 253, 254);
		else
			assert_int_equal(holes, 0);
	}
	ask_free(a);
}

static void lookup_tells_all_of_a_small_directory(void **state)
{
	struct ask *a;

	write_file("a", "");
	write_file("b", "");
	mkdir(at(".augur"), 0700);
	grow_old();
	a = lookup(&root, "a", 16);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->complete, 1);
	assert_int_equal(a->n, 2);
	ask_free(a);
	a = lookup(&root, "a", 1);
	assert_int_equal(a->complete, 0);
	assert_int_equal(a->n, 1);
	assert_string_equal(a->e[0].name, "a");
	ask_free(a);
	a = lookup(&root, "none", 16);
	assert_int_equal(a->status, -ENOENT);
	assert_int_equal(a->complete, 1);
	assert_int_equal(a->n, 2);
	ask_free(a);
	a = lookup(&root, "none", 0);
	assert_int_equal(a->status, -ENOENT);
	assert_int_equal(a->n, 0);
	ask_free(a);
	a = lookup(&root, ".augur", 0);
	assert_int_equal(a->status, -ENOENT);
	ask_free(a);
	a = lookup(&root, "..", 0);
	assert_int_equal(a->status, -EBADMSG);
	ask_free(a);
	a = lookup(&root, "a/b", 0);
	assert_int_equal(a->status, -EBADMSG);
	ask_free(a);
}

static void split_directories_spread(void **state)
{
	u32 pus = 0, last = 0;
	char name[32];
	struct ask *a;

	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		write_file(name, name);
	}
	mkdir(at("d"), 0755);
	end();
	vol.nsplit = 1;
	vol.split = xmemdup(root.a.oid, 16);
	start();
	grow_old();
	a = list(&root);
	assert_int_equal(a->status, 0);
	for (u32 i = 0; i < a->n; i++) {
		const struct obj *o = &a->e[i];

		if (S_ISDIR(o->a.mode))
			assert_int_equal(o->a.pu, place_pu_dir(o->a.oid));
		else
			assert_int_equal(o->a.pu, place_pu_name(root.a.oid, o->name, strlen(o->name)));
		pus += o->a.pu != last;
		last = o->a.pu;
	}
	assert_true(pus > 32);
	ask_free(a);
}

static void reval_says_what_changed(void **state)
{
	struct obj o[3];
	struct ask *a;

	write_file("same", "1");
	write_file("changed", "2");
	write_file("gone", "3");
	grow_old();
	o[0] = find(&root, "same");
	o[1] = find(&root, "changed");
	o[2] = find(&root, "gone");
	write_file("changed", "22");
	unlink(at("gone"));
	a = items(o, 3, WIRE_REVAL);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->n, 3);
	assert_int_equal(a->item_status[0], 0);
	assert_int_equal(a->item_status[1], -ESTALE);
	assert_int_equal(a->e[1].a.size, 2);
	assert_memory_equal(a->e[1].a.oid, o[1].a.oid, 16);
	assert_int_equal(a->item_status[2], -ENOENT);
	ask_free(a);
}

static void others_are_redirected(void **state)
{
	struct obj o[1];
	struct ask *a;

	write_file("f", "1");
	grow_old();
	o[0] = find(&root, "f");
	set_map(2, "p2");
	a = list(&root);
	assert_int_equal(a->status, -EREMCHG);
	assert_int_equal(a->redirect_version, 2);
	ask_free(a);
	a = read_obj(o, 0, 10);
	assert_int_equal(a->status, -EREMCHG);
	ask_free(a);
	a = items(o, 1, WIRE_REVAL);
	assert_int_equal(a->item_status[0], -EREMCHG);
	ask_free(a);
}

static void long_lists_survive_a_hang_up(void **state)
{
	struct ask *a;
	char name[32];

	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "file-%04d", i);
		write_file(name, name);
	}
	for (int i = 0; i < 8; i++) {
		a = ask_new();
		put_obj(&a->c.req, &root);
		xfer_call(peer, &a->c, WIRE_LIST);
		run_until(NULL, i);
		end();
		assert_true(a->done);
		ask_free(a);
		start();
	}
}

static void bad_exports_are_explained(void **state)
{
	struct origin_cfg cfg = { .io = io, .volume = "vol", .self_id = "p1" };
	struct origin *o;
	char why[256];

	cfg.path = "/nonexistent/augur";
	assert_int_equal(origin_new(&cfg, &o, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "/nonexistent/augur"));
	write_file("f", "");
	cfg.path = at("f");
	assert_int_equal(origin_new(&cfg, &o, why, sizeof(why)), -ENOTDIR);
	assert_non_null(strstr(why, "not a directory"));
	cfg.path = "/proc";
	assert_int_not_equal(origin_new(&cfg, &o, why, sizeof(why)), 0);
	assert_non_null(strstr(why, "/proc"));
}

struct scanned { bool done; int status; u32 nsplit; u8 split[8][16]; u64 bytes, entries; };

static void scan_done(void *ctx, int status, u8 (*split)[16], u32 nsplit, const struct meta_weight weight[META_SLOTS])
{
	struct scanned *s = ctx;

	s->done = true;
	s->status = status;
	s->nsplit = nsplit;
	for (u32 i = 0; i < nsplit && i < 8; i++)
		memcpy(s->split[i], split[i], 16);
	for (u32 i = 0; i < META_SLOTS; i++) {
		s->bytes += weight[i].bytes;
		s->entries += weight[i].entries;
	}
}

static void scan_finds_what_to_split(void **state)
{
	struct scanned s = { .done = false };
	char name[64];
	struct obj d;

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "d%02d", i);
		mkdir(at(name), 0755);
		for (int j = 0; j < (i == 7 ? 400 : 4); j++) {
			snprintf(name, sizeof(name), "d%02d/f%d", i, j);
			write_file(name, "0123456789");
		}
	}
	grow_old();
	d = find(&root, "d07");
	origin_scan(origin, vol.id, scan_done, &s);
	assert_true(run_until(&s.done, 5000));
	assert_int_equal(s.status, 0);
	assert_int_equal(s.nsplit, 1);
	assert_memory_equal(s.split[0], d.a.oid, 16);
	/* Everything weighs once, where it belongs: also the directories, and what a second look moved. */
	assert_int_equal(s.bytes, (39 * 4 + 400) * 10);
	assert_int_equal(s.entries, 39 * 4 + 400 + 40);
}

static int run_group(void)
{
	const struct CMUnitTest tests[] = {
		T(oids_stay_and_links_share),
		T(forged_locators_are_refused),
		T(moved_out_directories_are_gone),
		T(listing_is_readdir), T(a_sparse_file_is_said_to_be_one),
		T(lookup_tells_all_of_a_small_directory),
		T(split_directories_spread),
		T(reval_says_what_changed),
		T(others_are_redirected),
		T(long_lists_survive_a_hang_up),
		T(bad_exports_are_explained),
		T(scan_finds_what_to_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return origin_tests(run_group);
}
