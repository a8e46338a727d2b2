// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The wire room: header, fields and entries; what is accepted and what is refused.  The golden
 * bytes were laid out from the words of msg.h, not by the code they check: proto 1 must read
 * them for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "wire/msg.h"

static size_t load(const char *name, void *buf, size_t cap)
{
	const char *dir = getenv("AUGUR_GOLDEN") ?: "tests/golden";
	char path[256];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("cannot open %s (run from the top of the tree)", path);
	n = fread(buf, 1, cap, f);
	fclose(f);
	return n;
}

/* ---- header ---- */

static void test_header_golden(void **st)
{
	u8 golden[64], made[WIRE_HDR_LEN];
	struct wire_hdr h;

	assert_int_equal(load("wire-header-1.bin", golden, sizeof(golden)), WIRE_HDR_LEN);
	assert_int_equal(wire_hdr_decode(golden, &h), 0);
	assert_int_equal(h.body_len, 0x1234);
	assert_int_equal(h.type, WIRE_READ);
	assert_int_equal(h.flags, WIRE_REPLY | WIRE_LAST | WIRE_SUM);
	assert_int_equal(h.stream, 0x01020304);
	assert_int_equal(h.status, -ESTALE);
	assert_true(h.off == 0x1122334455667788ULL);
	assert_true(h.sum == 0xa1a2a3a4a5a6a7a8ULL);
	wire_hdr_encode(&h, made);
	assert_memory_equal(made, golden, WIRE_HDR_LEN);
}

static int decode(struct wire_hdr h)
{
	u8 buf[WIRE_HDR_LEN];

	wire_hdr_encode(&h, buf);
	return wire_hdr_decode(buf, &h);
}

static void test_header_limits(void **st)
{
	const struct wire_hdr ok = { .type = WIRE_READ, .stream = 1 };
	const struct wire_hdr reply = { .type = WIRE_READ, .stream = 1, .flags = WIRE_REPLY };
	struct wire_hdr h;
	u32 t;

	assert_int_equal(decode(ok), 0);
	assert_int_equal(decode(reply), 0);
#define BAD(base, ...) do { h = base; __VA_ARGS__; assert_int_equal(decode(h), -EBADMSG); } while (0)
#define GOOD(base, ...) do { h = base; __VA_ARGS__; assert_int_equal(decode(h), 0); } while (0)
	BAD(ok, h.type = 0);
	for (t = WIRE_TYPE_MAX; t < 65536; t += 97)
		BAD(ok, h.type = t);
	BAD(ok, h.flags = 1U << 5);
	BAD(ok, h.flags = 1U << 15);
	BAD(ok, h.flags = WIRE_LAST);
	BAD(ok, h.flags = WIRE_DATA);
	BAD(ok, h.flags = WIRE_DONE);
	BAD(reply, h.stream = 0);
	BAD(ok, h.status = -1);
	BAD(reply, h.status = -1);
	GOOD(reply, h.flags |= WIRE_LAST; h.status = -1);
	GOOD(reply, h.flags |= WIRE_DONE; h.status = -4095);
	BAD(reply, h.flags |= WIRE_LAST; h.status = -4096);
	BAD(reply, h.flags |= WIRE_LAST; h.status = 1);
	BAD(reply, h.flags |= WIRE_LAST; h.status = INT32_MIN);
	BAD(ok, h.sum = 1);
	GOOD(ok, h.body_len = WIRE_BODY_MAX);
	BAD(ok, h.body_len = WIRE_BODY_MAX + 1);
	BAD(ok, h.body_len = 0xffffffff);
	GOOD(reply, h.flags |= WIRE_DATA; h.body_len = WIRE_DATA_MAX);
	BAD(reply, h.flags |= WIRE_DATA; h.body_len = WIRE_DATA_MAX + 1);
}

/* ---- fields ---- */

static void test_fields(void **st)
{
	struct wire_out w;
	struct wire_in in;
	struct wire_val v;
	u8 bin[3] = { 9, 8, 7 }, got[3];
	char s[6];
	u32 a;
	u64 b;
	size_t cut;

	wire_out_init(&w);
	wire_put_u32(&w, WF_MAX, 0x01020304);
	wire_put_u64(&w, WF_SEQ, 0x0102030405060708ULL);
	wire_put_str(&w, WF_ADDR, "abcde");
	wire_put(&w, WF_KEY, bin, sizeof(bin));
	wire_put(&w, 60000, NULL, 0);
	assert_int_equal(w.len, 8 + 12 + 9 + 7 + 4);
	assert_memory_equal(w.buf + 4, "\x04\x03\x02\x01", 4);

	in = (struct wire_in){ w.buf, w.buf + w.len };
	assert_int_equal(wire_next(&in, &v), 1);
	assert_int_equal(v.tag, WF_MAX);
	assert_int_equal(wire_get_u32(&v, &a), 0);
	assert_int_equal(a, 0x01020304);
	assert_int_equal(wire_get_u64(&v, &b), -EBADMSG);
	assert_int_equal(wire_next(&in, &v), 1);
	assert_int_equal(wire_get_u64(&v, &b), 0);
	assert_true(b == 0x0102030405060708ULL);
	assert_int_equal(wire_get_u32(&v, &a), -EBADMSG);
	assert_int_equal(wire_next(&in, &v), 1);
	assert_int_equal(wire_get_str(&v, s, sizeof(s)), 0);
	assert_string_equal(s, "abcde");
	assert_int_equal(wire_get_str(&v, s, 5), -EBADMSG);
	assert_int_equal(wire_next(&in, &v), 1);
	assert_int_equal(wire_get_bin(&v, got, 3), 0);
	assert_memory_equal(got, bin, 3);
	assert_int_equal(wire_get_bin(&v, got, 2), -EBADMSG);
	assert_int_equal(wire_next(&in, &v), 1);
	assert_int_equal(v.len, 0);
	assert_int_equal(wire_next(&in, &v), 0);

	/* Cut anywhere but between two fields: refused, and never read beyond. */
	for (cut = 0; cut < w.len; cut++) {
		u8 *copy = xmemdup(w.buf, cut);		/* exact, so that the sanitizer sees a byte too far */
		int r;

		in = (struct wire_in){ copy, copy + cut };
		while ((r = wire_next(&in, &v)) == 1)
			;
		assert_int_equal(r, cut == 0 || cut == 8 || cut == 20 || cut == 29 || cut == 36 ? 0 : -EBADMSG);
		free(copy);
	}
	wire_out_free(&w);

	wire_out_init(&w);
	wire_put(&w, WF_ADDR, "a\0b", 3);
	in = (struct wire_in){ w.buf, w.buf + w.len };
	assert_int_equal(wire_next(&in, &v), 1);
	assert_int_equal(wire_get_str(&v, s, sizeof(s)), -EBADMSG);
	wire_out_free(&w);
}

static void test_nest(void **st)
{
	static u8 big[60000];
	struct wire_in in;
	struct wire_out w;
	struct wire_val v;
	size_t a, b, before;

	wire_out_init(&w);
	a = wire_nest(&w, WF_ITEM);
	wire_put_u32(&w, WF_LEN, 1);
	b = wire_nest(&w, WF_ENTRY);
	wire_put_u32(&w, WF_LEN, 2);
	assert_int_equal(wire_nest_end(&w, b), 0);
	assert_int_equal(wire_nest_end(&w, a), 0);
	in = (struct wire_in){ w.buf, w.buf + w.len };
	assert_int_equal(wire_next(&in, &v), 1);
	assert_int_equal(v.len, 8 + 4 + 8);
	assert_int_equal(wire_next(&in, &v), 0);
	/* Too long for its length: taken back whole. */
	before = w.len;
	a = wire_nest(&w, WF_ITEM);
	wire_put(&w, WF_JSON, big, sizeof(big));
	wire_put(&w, WF_JSON, big, 65535 - 60000 - 7);
	assert_int_equal(wire_nest_end(&w, a), -E2BIG);
	assert_int_equal(w.len, before);
	a = wire_nest(&w, WF_ITEM);
	wire_put(&w, WF_JSON, big, sizeof(big));
	wire_put(&w, WF_JSON, big, 65535 - 60000 - 8);
	assert_int_equal(wire_nest_end(&w, a), 0);
	wire_out_free(&w);
}

/* ---- entries ---- */

static int entry_of(const void *buf, size_t len, struct wire_entry *e, bool named)
{
	struct wire_in in = { buf, (const u8 *)buf + len };
	struct wire_val v;
	int r = wire_next(&in, &v);

	return r == 1 ? wire_get_entry(&v, e, named) : r ? r : -ENODATA;
}

static void test_entry_golden(void **st)
{
	const u8 *p, *val;
	const char *name;
	size_t len, n, m;
	struct wire_entry e;
	struct wire_out w;
	u8 golden[512];
	int i;

	len = load("wire-entry-1.bin", golden, sizeof(golden));
	assert_int_equal(entry_of(golden, len, &e, true), 0);
	for (i = 0; i < 16; i++)
		assert_int_equal(e.attr.oid[i], 0x10 + i);
	assert_int_equal(e.attr.pu, 0xdeadbeef);
	assert_int_equal(e.attr.mode, S_IFLNK | 0777);
	assert_int_equal(e.attr.uid, 1000);
	assert_int_equal(e.attr.gid, 1001);
	assert_int_equal(e.attr.nlink, 2);
	assert_int_equal(e.attr.size, 9);
	assert_int_equal(e.attr.version, 7);
	assert_true(e.attr.tag == 0x0102030405060708ULL);
	assert_true(e.attr.mtime_sec == -1);
	assert_true(e.attr.ctime_sec == 1700000000);
	assert_int_equal(e.attr.mtime_nsec, 999999999);
	assert_int_equal(e.attr.ctime_nsec, 5);
	assert_int_equal(e.attr.holes, 0);
	assert_int_equal(e.name_len, 6);
	assert_memory_equal(e.name, "a name", 6);
	assert_int_equal(e.locator_len, 4);
	assert_memory_equal(e.link, "../target", 9);
	p = e.xattrs;
	assert_int_equal(wire_xattr_next(&p, e.xattrs + e.xattrs_len, &name, &n, &val, &m), 1);
	assert_memory_equal(name, "user.a", n);
	assert_memory_equal(val, "xyz", m);
	assert_int_equal(wire_xattr_next(&p, e.xattrs + e.xattrs_len, &name, &n, &val, &m), 1);
	assert_int_equal(m, 0);
	assert_int_equal(wire_xattr_next(&p, e.xattrs + e.xattrs_len, &name, &n, &val, &m), 0);

	wire_out_init(&w);
	assert_int_equal(wire_put_entry(&w, WF_ENTRY, &e), 0);
	assert_int_equal(w.len, len);
	assert_memory_equal(w.buf, golden, len);
	wire_out_free(&w);
}

/* The attributes of a sparse file, by their place in the text of entry.c. */
static void test_holes(void **st)
{
	struct wire_entry e = { .attr = { .mode = S_IFREG | 0644, .size = 1 << 20, .holes = 0xa5 }, .name = "f", .name_len = 1 };
	struct wire_out w;
	u8 *attr;

	wire_out_init(&w);
	assert_int_equal(wire_put_entry(&w, WF_ENTRY, &e), 0);
	attr = w.buf + 8;	/* the heads of the entry and of the field */
	assert_memory_equal(attr + 88, "\0\0\0\0\xa5\0\0\0", 8);
	assert_int_equal(entry_of(w.buf, w.len, &e, true), 0);
	assert_int_equal(e.attr.holes, 0xa5);
	for (int i = 88; i < WIRE_ATTR_LEN; i++) {
		attr[i] ^= 1;
		assert_int_equal(entry_of(w.buf, w.len, &e, true), i == 92 ? 0 : -EBADMSG);
		attr[i] ^= 1;
	}
	wire_out_free(&w);
}

/* Every cut and every changed byte: no crash, and what is accepted is sane. */
static void test_entry_mutations(void **st)
{
	struct wire_entry e;
	size_t len, i;
	u8 golden[512], *copy;
	int bit;

	len = load("wire-entry-1.bin", golden, sizeof(golden));
	for (i = 0; i < len; i++) {
		copy = xmemdup(golden, i);
		assert_true(entry_of(copy, i, &e, true) < 0);
		free(copy);
	}
	copy = xmemdup(golden, len);
	for (i = 0; i < len; i++) {
		for (bit = 0; bit < 8; bit++) {
			copy[i] ^= 1 << bit;
			if (!entry_of(copy, len, &e, true)) {
				assert_int_equal(augur_name_check(e.name, e.name_len), 0);
				assert_true(e.attr.size <= INT64_MAX);
				assert_true(e.attr.mtime_nsec < 1000000000);
			}
			copy[i] ^= 1 << bit;
		}
	}
	free(copy);
}

static int try_entry(const struct wire_entry *e, bool named)
{
	struct wire_entry got;
	struct wire_out w;
	int err;

	wire_out_init(&w);
	err = wire_put_entry(&w, WF_ENTRY, e);
	if (!err)
		err = entry_of(w.buf, w.len, &got, named);
	wire_out_free(&w);
	return err;
}

static void test_entry_refused(void **st)
{
	const struct wire_entry file = { .attr = { .mode = S_IFREG | 0644, .nlink = 1 }, .name = "f", .name_len = 1 };
	static char big[70000];
	struct wire_entry e;

	memset(big, 'x', sizeof(big));
	assert_int_equal(try_entry(&file, true), 0);
	assert_int_equal(try_entry(&file, false), -EBADMSG);	/* a name where none belongs */
#define TRY(want, ...) do { e = file; __VA_ARGS__; assert_int_equal(try_entry(&e, true), want); } while (0)
#define NAME(s) e.name = s, e.name_len = sizeof(s) - 1
	TRY(-EBADMSG, NAME(".."));
	TRY(-EBADMSG, NAME("."));
	TRY(-EBADMSG, NAME("a/b"));
	TRY(-EBADMSG, NAME("/"));
	TRY(-EBADMSG, NAME("a\0b"));
	TRY(-EBADMSG, NAME(""));
	TRY(-EBADMSG, e.name = NULL);
	TRY(0, NAME("..."));
	TRY(0, e.name = big, e.name_len = 255);
	TRY(-E2BIG, e.name = big, e.name_len = 256);
	TRY(-EBADMSG, e.attr.mode = 0644);
	TRY(-EBADMSG, e.attr.mode = 0xf000 | 0644);
	TRY(-EBADMSG, e.attr.mode |= 0x10000);
	TRY(-EBADMSG, e.attr.size = 1ULL << 63);
	TRY(0, e.attr.size = INT64_MAX);
	TRY(0, e.attr.size = 1, e.attr.holes = 255);
	TRY(-EBADMSG, e.attr.holes = 1);	/* of nothing */
	TRY(-EBADMSG, e.attr.mode = S_IFDIR | 0755, e.attr.size = 4096, e.attr.holes = 1);
	TRY(-EBADMSG, e.attr.mtime_nsec = 1000000000);
	TRY(-EBADMSG, e.attr.ctime_nsec = 0xffffffff);
	TRY(-EBADMSG, e.attr.mode = S_IFLNK | 0777);		/* without a target */
	TRY(-EBADMSG, e.link = "t", e.link_len = 1);		/* a file with one */
	TRY(0, e.attr.mode = S_IFLNK | 0777, e.link = big, e.link_len = WIRE_LINK_MAX);
	TRY(-E2BIG, e.attr.mode = S_IFLNK | 0777, e.link = big, e.link_len = WIRE_LINK_MAX + 1);
	TRY(-EBADMSG, e.attr.mode = S_IFLNK | 0777, e.link = "a\0b", e.link_len = 3);
	TRY(0, e.locator = (u8 *)big, e.locator_len = WIRE_LOCATOR_MAX);
	TRY(-E2BIG, e.locator = (u8 *)big, e.locator_len = WIRE_LOCATOR_MAX + 1);
	TRY(-EBADMSG, e.locator = (u8 *)big, e.locator_len = 0);
	TRY(-E2BIG, e.xattrs = (u8 *)big, e.xattrs_len = WIRE_XATTRS_MAX + 1);
	TRY(-EBADMSG, e.xattrs = (u8 *)"\x05\x00\x00user", e.xattrs_len = 7);	/* name longer than there is */
	TRY(-EBADMSG, e.xattrs = (u8 *)"\x01\xff\xffu", e.xattrs_len = 4);
	TRY(-EBADMSG, e.xattrs = (u8 *)"\x00\x00\x00", e.xattrs_len = 3);
	TRY(0, e.xattrs = (u8 *)"\x01\x00\x00u", e.xattrs_len = 4);
}

/* The same field twice, and fields of a later version. */
static void test_entry_fields(void **st)
{
	struct wire_entry e = { .attr = { .mode = S_IFREG | 0644 }, .name = "f", .name_len = 1 }, got;
	struct wire_out w;

	wire_out_init(&w);
	assert_int_equal(wire_put_entry(&w, WF_ENTRY, &e), 0);
	wire_put(&w, 5000, "future", 6);
	w.buf[2] += 10;
	assert_int_equal(entry_of(w.buf, w.len, &got, true), 0);
	wire_put_str(&w, WF_NAME, "g");
	w.buf[2] += 5;
	assert_int_equal(entry_of(w.buf, w.len, &got, true), -EBADMSG);
	wire_out_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_golden),
		cmocka_unit_test(test_header_limits),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_nest),
		cmocka_unit_test(test_entry_golden),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_entry_mutations),
		cmocka_unit_test(test_entry_refused),
		cmocka_unit_test(test_entry_fields),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
