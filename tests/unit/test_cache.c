// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The cache: a directory is recognised, a copy refused; entries become inodes whose record is
 * the last thing written; another version never overwrites; claims follow synced bytes and
 * survive a restart; nothing a peer says leads outside.  Needs root and trusted attributes.
 * (long file: one fixture, a real directory with its index, for all of it)
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>

#include "cache_rig.h"

/* ---- helpers ---- */

static char *at(const char *fmt, ...)
{
	static char buf[8][256];
	static int i;
	va_list ap;
	int n;

	i = (i + 1) % 8;
	n = snprintf(buf[i], sizeof(buf[i]), "%s/", dir);
	va_start(ap, fmt);
	vsnprintf(buf[i] + n, sizeof(buf[i]) - n, fmt, ap);
	va_end(ap);
	return buf[i];
}

static struct cobj *root_obj(void)
{
	struct cobj *o = cobj_peek(c, c->root_oid);

	assert_non_null(o);
	return o;
}

static void open_cache(void)
{
	struct wire_entry root = entry(NULL, S_IFDIR | 0755, 4096, 200);

	attach();
	assert_int_equal(cache_stamp(c, "vol", vol_id, &root), 0);
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/augur-test-cache.XXXXXX");
	assert_non_null(mkdtemp(dir));
	umask(0);
	open_cache();
	return 0;
}

/* One entry through the worker's function; the job is returned for a look. */
static struct stub_job *make(const struct wire_entry *e, int n)
{
	struct stub_job *j = stub_job_new(c, root_obj());

	for (int i = 0; i < n; i++)
		stub_job_add(j, &e[i]);
	assert_int_equal(stub_work(j), 0);
	return j;
}

static struct cobj *take(struct stub_job *j, int i)
{
	struct stub_ent *s = &j->ents[i];

	return cobj_update(c, &s->attr, s->loc, s->loc_len, root_obj()->oid, s->name, s->name_len, &s->fh, s->shift, s->flags);
}

static int record(const char *where, struct augur_rec *rec)
{
	u8 buf[AUGUR_RECORD_LEN + 1];
	ssize_t n = lgetxattr(at("%s", where), AUGUR_XATTR_NAME, buf, sizeof(buf));

	return n < 0 ? -errno : augur_rec_decode(buf, n, rec);
}

static const char *joined(const char *a, const char *b)
{
	static char buf[256];

	snprintf(buf, sizeof(buf), "%s%s", a, b);
	return buf;
}
#define rel(name) joined("root/", name)
#define tmp_rel(name) joined(".augur/tmp/", name)

/* ---- the directory ---- */

static void attach_errors(void **state)
{
	enum cache_fault cause;
	struct cache *other;

	assert_int_equal(cache_attach(io, "/nonexistent/x", &other, &cause), -ENOENT);
	assert_int_equal(cause, CACHE_F_MISSING);
	assert_int_not_equal(cache_attach(io, "/proc", &other, &cause), 0);
	assert_int_equal(cause, CACHE_F_FS);
	assert_int_not_equal(cache_attach(io, dir, &other, &cause), 0);
	assert_int_equal(cause, CACHE_F_BUSY);
}

static void foreign_volume(void **state)
{
	struct wire_entry root = entry(NULL, S_IFDIR | 0755, 4096, 201);
	const u8 id[16] = { 9 };

	assert_int_equal(cache_stamp(c, "other", id, &root), -EXDEV);
	/* The same again is fine. */
	root = entry(NULL, S_IFDIR | 0700, 4096, 200);
	assert_int_equal(cache_stamp(c, "vol", vol_id, &root), 0);
}

static void a_copy_is_refused(void **state)
{
	char cmd[256], copy[80];
	enum cache_fault cause;
	struct cache *other;

	close_cache();
	snprintf(copy, sizeof(copy), "%s.copy", dir);
	snprintf(cmd, sizeof(cmd), "cp -a %s %s", dir, copy);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(cache_attach(io, copy, &other, &cause), -EXDEV);
	assert_int_equal(cause, CACHE_F_COPIED);
	nftw(copy, rm_one, 16, FTW_DEPTH | FTW_PHYS);
	open_cache();
	assert_false(c->unclean);
}

static void tmp_is_swept(void **state)
{
	struct stat st;

	assert_int_equal(mknod(at(".augur/tmp/left"), S_IFREG | 0600, 0), 0);
	assert_int_equal(mkdir(at(".augur/tmp/dir"), 0700), 0);
	close_cache();
	open_cache();
	assert_int_equal(stat(at(".augur/tmp/left"), &st), -1);
	assert_int_equal(stat(at(".augur/tmp/dir"), &st), -1);
}

/* ---- stubs ---- */

static void kinds(void **state)
{
	struct wire_entry e[] = {
		entry("file", S_IFREG | 04751, 300000, 1), entry("dir", S_IFDIR | 01777, 4096, 2),
		entry("link", S_IFLNK | 0777, 6, 3), entry("fifo", S_IFIFO | 0644, 0, 4),
		entry("null", S_IFCHR | 0666, 0, 5), entry("empty", S_IFREG | 0600, 0, 6),
	};
	struct augur_rec rec;
	struct stub_job *j;
	struct stat st, before;
	char buf[16];

	e[0].attr.uid = 1234;
	e[0].attr.gid = 77;
	e[0].attr.nlink = 3;
	e[2].link = "a/../b";
	e[2].link_len = 6;
	e[4].attr.rdev = makedev(1, 3);
	e[5].locator = NULL;		/* a field that need not be there */
	e[5].locator_len = 0;
	assert_int_equal(stat(at("root"), &before), 0);
	j = make(e, 6);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(j->ents[i].outcome, STUB_NEW);
		assert_int_equal(lstat(at("root/%s", e[i].name), &st), 0);
		assert_int_equal(st.st_mode, e[i].attr.mode);
		assert_int_equal(st.st_mtim.tv_sec, e[i].attr.mtime_sec);
		assert_int_equal(st.st_mtim.tv_nsec, 7);
		assert_int_equal(st.st_atim.tv_sec, e[i].attr.mtime_sec);
		assert_int_equal(st.st_atim.tv_nsec, 7);
		assert_int_equal(record(rel(e[i].name), &rec), 0);
		assert_memory_equal(rec.oid, e[i].attr.oid, AUGUR_OID_LEN);
		assert_int_equal(rec.ctime_sec, e[i].attr.ctime_sec);
		assert_int_equal(rec.flags, i < 2 ? AUGUR_REC_STUB : AUGUR_REC_COMPLETE);
	}
	lstat(at("root/file"), &st);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_size, 300000);
	record("root/file", &rec);
	assert_int_equal(rec.nlink, 3);
	assert_int_equal(readlink(at("root/link"), buf, sizeof(buf)), 6);
	lstat(at("root/null"), &st);
	assert_int_equal(st.st_rdev, makedev(1, 3));
	/* Making names does not show in what stands for the directory's time. */
	assert_int_equal(stat(at("root"), &st), 0);
	assert_int_equal(st.st_atim.tv_sec, before.st_atim.tv_sec);
	assert_int_equal(st.st_atim.tv_nsec, before.st_atim.tv_nsec);
	stub_job_free(j);
}

/* How sparse a file is belongs to its version: what is said of that one later, or done with it here, changes nothing. */
static void holes(void **state)
{
	struct wire_entry e = entry("f", S_IFREG | 0644, 300000, 1);
	struct augur_rec rec;
	struct stub_job *j;

	e.attr.holes = 200;
	j = make(&e, 1);
	assert_int_equal(record("root/f", &rec), 0);
	assert_int_equal(rec.holes, 200);
	assert_int_equal(lower_record_flags(c, &j->ents[0].fh, e.attr.oid, AUGUR_REC_COMPLETE, AUGUR_REC_STUB), 0);
	stub_job_free(j);
	e.attr.holes = 100;
	j = make(&e, 1);
	assert_int_equal(j->ents[0].outcome, STUB_SAME);
	stub_job_free(j);
	assert_int_equal(record("root/f", &rec), 0);
	assert_int_equal(rec.holes, 200);
	assert_int_equal(rec.flags, AUGUR_REC_COMPLETE);
	e.attr.ctime_nsec++;
	j = make(&e, 1);
	assert_int_equal(j->ents[0].outcome, STUB_DIFFERS);
	assert_int_equal(record(tmp_rel(j->ents[0].tmp), &rec), 0);
	assert_int_equal(rec.holes, 100);
	stub_job_free(j);
}

/* Whoever reads in the cache by hand moves nothing that the mount shows. */
static void reading_moves_no_time(void **state)
{
	struct wire_entry e[] = { entry("f", S_IFREG | 0644, 10, 1), entry("d", S_IFDIR | 0755, 4096, 2) };
	struct stat st;
	char buf[16];
	DIR *d;
	int fd;

	stub_job_free(make(e, 2));
	fd = open(at("root/f"), O_RDONLY);
	assert_int_equal(read(fd, buf, sizeof(buf)), 10);
	close(fd);
	assert_int_equal(stat(at("root/f"), &st), 0);
	assert_int_equal(st.st_atim.tv_sec, e[0].attr.mtime_sec);
	assert_int_equal(mkdir(at("root/d/name"), 0700), 0);
	d = opendir(at("root/d"));
	assert_non_null(readdir(d));
	closedir(d);
	assert_int_equal(stat(at("root/d"), &st), 0);
	assert_true(st.st_mtim.tv_sec > e[1].attr.mtime_sec);
	assert_int_equal(st.st_atim.tv_sec, e[1].attr.mtime_sec);
}

/* What an owner says of a directory is applied as a whole, and only if it is news. */
static void directory_attributes(void **state)
{
	struct wire_entry e = entry("d", S_IFDIR | 0755, 4096, 2), in = entry("f", S_IFREG | 0644, 10, 1);
	struct stub_job *j = make(&e, 1);
	struct cobj *d = take(j, 0);
	struct stat before, st;
	struct augur_rec rec;

	stub_job_free(j);
	for (int i = 0; i < 3; i++) {
		stat(at("root/d"), &before);
		j = stub_job_new(c, d);
		stub_job_add(j, &in);
		if (i == 1)
			e.attr.mtime_nsec++;	/* alone: put back by utimensat() within one tick */
		if (i == 2)
			e.attr.mode = S_IFDIR | 01700;
		stub_job_dir(j, &e);
		assert_int_equal(stub_work(j), 0);
		assert_int_equal(j->dir_changed, i > 0);
		stat(at("root/d"), &st);
		assert_int_equal(st.st_mode, e.attr.mode);
		assert_int_equal(st.st_atim.tv_sec, e.attr.mtime_sec);
		assert_int_equal(st.st_atim.tv_nsec, e.attr.mtime_nsec);
		assert_int_equal(record("root/d", &rec), 0);
		assert_int_equal(rec.flags, AUGUR_REC_STUB);
		stub_job_free(j);
	}
}

/* One pair as on the wire: lengths, name, value. */
static size_t pair(u8 *b, const char *name, const void *val, u16 len)
{
	size_t n = strlen(name);

	b[0] = n;
	b[1] = len;
	b[2] = len >> 8;
	memcpy(b + 3, name, n);
	memcpy(b + 3 + n, val, len);
	return 3 + n + len;
}

/* A new inode has nothing from the directory it is made in. */
static void nothing_is_inherited(void **state)
{
	/* version 2; user::rwx, user:7:rwx, group::r-x, mask::rwx, other::r-x */
	static const u8 acl[] = { 2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 7, 0, 7, 0, 0, 0, 4, 0, 5, 0, 255, 255,
				  255, 255, 16, 0, 7, 0, 255, 255, 255, 255, 32, 0, 5, 0, 255, 255, 255, 255 };
	struct wire_entry e[] = { entry("f", S_IFREG | 0640, 10, 1), entry("d", S_IFDIR | 0750, 4096, 2) };
	struct stat st;

	assert_int_equal(chown(at("root"), 0, 50), 0);
	assert_int_equal(chmod(at("root"), 02755), 0);
	if (setxattr(at("root"), "system.posix_acl_default", acl, sizeof(acl), 0))
		assert_int_equal(errno, EOPNOTSUPP);
	stub_job_free(make(e, 2));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(stat(at("root/%s", e[i].name), &st), 0);
		assert_int_equal(st.st_gid, 0);
		assert_int_equal(st.st_mode, e[i].attr.mode);
		assert_true(getxattr(at("root/%s", e[i].name), "system.posix_acl_access", NULL, 0) < 0);
		assert_true(getxattr(at("root/%s", e[i].name), "system.posix_acl_default", NULL, 0) < 0);
	}
}

/* A directory's attributes are the owner's, also when it has one less. */
static void directory_xattrs(void **state)
{
	struct wire_entry e = entry("d", S_IFDIR | 0755, 4096, 2);
	u8 buf[128];
	struct stub_job *j;
	struct cobj *d;
	char val[8];

	e.xattrs = buf;
	e.xattrs_len = pair(buf, "trusted.one", "1", 1);
	e.xattrs_len += pair(buf + e.xattrs_len, "trusted.two", "2", 1);
	j = make(&e, 1);
	d = take(j, 0);
	stub_job_free(j);
	assert_int_equal(getxattr(at("root/d"), "trusted.two", val, sizeof(val)), 1);
	/* By its own listing, then by its parent's. */
	e.xattrs_len = pair(buf, "trusted.one", "X", 1);
	e.attr.ctime_nsec++;
	j = stub_job_new(c, d);
	stub_job_dir(j, &e);
	assert_int_equal(stub_work(j), 0);
	stub_job_free(j);
	assert_int_equal(getxattr(at("root/d"), "trusted.one", val, sizeof(val)), 1);
	assert_int_equal(val[0], 'X');
	assert_int_equal(getxattr(at("root/d"), "trusted.two", val, sizeof(val)), -1);
	e.xattrs_len = 0;
	e.attr.ctime_nsec++;
	stub_job_free(make(&e, 1));
	assert_int_equal(getxattr(at("root/d"), "trusted.one", val, sizeof(val)), -1);
	assert_int_equal(getxattr(at("root/d"), AUGUR_XATTR_NAME, NULL, 0), AUGUR_RECORD_LEN);
}

static void leftover_is_remade(void **state)
{
	struct wire_entry e = entry("x", S_IFREG | 0644, 10, 1), d = entry("y", S_IFDIR | 0755, 10, 2);
	struct augur_rec rec;
	struct stub_job *j;

	assert_int_equal(mknod(at("root/x"), S_IFREG | 0600, 0), 0);
	assert_int_equal(setxattr(at("root/x"), AUGUR_XATTR_NAME, "garbage", 7, 0), 0);
	assert_int_equal(mkdir(at("root/y"), 0700), 0);
	j = make(&e, 1);
	assert_int_equal(j->ents[0].outcome, STUB_NEW);
	stub_job_free(j);
	j = make(&d, 1);
	assert_int_equal(j->ents[0].outcome, STUB_NEW);
	stub_job_free(j);
	assert_int_equal(record("root/x", &rec), 0);
	assert_int_equal(record("root/y", &rec), 0);
}

static void same_and_other(void **state)
{
	struct wire_entry e = entry("x", S_IFREG | 0644, 100000, 1), d = entry("d", S_IFDIR | 0755, 0, 2);
	struct augur_rec rec;
	struct stub_job *j;
	struct stat a, b;

	stub_job_free(make(&e, 1));
	stat(at("root/x"), &a);
	j = make(&e, 1);
	assert_int_equal(j->ents[0].outcome, STUB_SAME);
	stub_job_free(j);

	/* Another version: the old inode says so, the new one is aside, the name is untouched. */
	e.attr.ctime_sec++;
	e.attr.tag++;
	j = make(&e, 1);
	assert_int_equal(j->ents[0].outcome, STUB_DIFFERS);
	assert_int_equal(record("root/x", &rec), 0);
	assert_true(rec.flags & AUGUR_REC_STALE);
	stat(at("root/x"), &b);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(record(tmp_rel(j->ents[0].tmp), &rec), 0);
	assert_int_equal(rec.flags, AUGUR_REC_STUB);
	assert_int_equal(lower_switch(c, &j->dir, "x", j->ents[0].tmp), 0);
	stub_job_free(j);
	assert_int_equal(record("root/x", &rec), 0);
	assert_int_equal(rec.flags, AUGUR_REC_STUB);

	/* A directory that changed keeps its inode and is populated no longer. */
	stub_job_free(make(&d, 1));
	j = make(&d, 1);
	assert_int_equal(lower_record_flags(c, &j->ents[0].fh, d.attr.oid, AUGUR_REC_COMPLETE, AUGUR_REC_STUB), 0);
	stub_job_free(j);
	d.attr.ctime_sec++;
	d.attr.mode = S_IFDIR | 0700;
	j = make(&d, 1);
	assert_int_equal(j->ents[0].outcome, STUB_ATTR);
	stub_job_free(j);
	record("root/d", &rec);
	assert_int_equal(rec.flags, AUGUR_REC_STUB);
	stat(at("root/d"), &b);
	assert_int_equal(b.st_mode, S_IFDIR | 0700);

	/* A file where a directory is: its tree goes first. */
	e = entry("d", S_IFREG | 0644, 1, 9);
	j = make(&e, 1);
	assert_int_equal(j->ents[0].outcome, STUB_IN_WAY);
	stub_job_free(j);
}

static void hard_links(void **state)
{
	struct wire_entry e[3] = {
		entry("a", S_IFREG | 0644, 10, 1), entry("b", S_IFREG | 0644, 10, 1), entry("c", S_IFREG | 0644, 10, 1),
	};
	struct stub_job *j;
	struct stat a, b;

	for (int i = 0; i < 3; i++)
		e[i].attr.nlink = 3;
	j = make(e, 2);
	stat(at("root/a"), &a);
	stat(at("root/b"), &b);
	assert_int_equal(a.st_ino, b.st_ino);
	take(j, 0);
	stub_job_free(j);
	j = stub_job_new(c, root_obj());
	stub_job_add(j, &e[2])->link_fh = cobj_peek(c, e[0].attr.oid)->fh;
	assert_int_equal(stub_work(j), 0);
	stub_job_free(j);
	stat(at("root/c"), &b);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(b.st_nlink, 3);
}

/* An object of two names, of which the first is made and known. */
static struct cobj *first_name(struct wire_entry e[2])
{
	struct stub_job *j;
	struct cobj *o;

	e[0] = entry("a", S_IFREG | 0644, 10, 1);
	e[1] = entry("b", S_IFREG | 0644, 10, 1);
	e[0].attr.nlink = e[1].attr.nlink = 2;
	j = make(e, 1);
	o = take(j, 0);
	stub_job_free(j);
	return o;
}

/* Whatever the index thinks of it: an inode marked stale gets no more names, and what takes its place is empty. */
static void stale_gets_no_links(void **state)
{
	struct wire_entry e[2];
	struct cobj *o = first_name(e);
	struct stub_ent *s;
	struct stub_job *j;
	struct stat a, b;

	assert_int_equal(lower_record_flags(c, &o->fh, o->oid, AUGUR_REC_STALE, 0), 0);
	j = stub_job_new(c, root_obj());
	s = stub_job_add(j, &e[1]);
	s->link_fh = o->fh;
	s->flags = COBJ_COMPLETE | COBJ_CAPS;
	assert_int_equal(stub_work(j), 0);
	assert_int_equal(s->outcome, STUB_NEW);
	assert_int_equal(s->flags & (COBJ_COMPLETE | COBJ_CAPS), 0);
	stat(at("root/a"), &a);
	stat(at("root/b"), &b);
	assert_int_not_equal(a.st_ino, b.st_ino);
	stub_job_free(j);
}

static void evil_entries(void **state)
{
	static const char *const names[] = { "..", ".", "a/b", "../../x", "" };
	u8 xattrs[256], *w = xattrs;
	static const struct { const char *n, *v; } xs[] = {
		{ "trusted.augur", "forged" }, { "trusted.augur.x", "1" }, { "trusted.overlay.opaque", "y" },
		{ "security.selinux", "label" }, { "user.note", "kept" },
	};
	struct wire_entry e;
	struct augur_rec rec;
	struct stub_job *j;
	struct stat st;
	char buf[16];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		e = entry(names[i], S_IFREG | 0644, 1, 1);
		j = make(&e, 1);
		assert_int_equal(j->ents[0].outcome, STUB_FAILED);
		assert_int_not_equal(j->ents[0].res, 0);
		stub_job_free(j);
	}
	assert_int_equal(stat(at("x"), &st), -1);

	/* A link planted where a file shall be is not followed. */
	assert_int_equal(symlink(dir, at("root/trap")), 0);
	e = entry("trap", S_IFREG | 0644, 1, 2);
	stub_job_free(make(&e, 1));
	assert_int_equal(lstat(at("root/trap"), &st), 0);
	assert_true(S_ISREG(st.st_mode));

	for (size_t i = 0; i < ARRAY_SIZE(xs); i++) {
		u16 vl = cpu_to_le16(strlen(xs[i].v));

		*w++ = strlen(xs[i].n);
		memcpy(w, &vl, 2);
		w += 2;
		w = mempcpy(w, xs[i].n, strlen(xs[i].n));
		w = mempcpy(w, xs[i].v, strlen(xs[i].v));
	}
	e = entry("attrs", S_IFREG | 0644, 1, 3);
	e.xattrs = xattrs;
	e.xattrs_len = w - xattrs;
	j = make(&e, 1);
	assert_int_equal(j->ents[0].outcome, STUB_NEW);
	stub_job_free(j);
	assert_int_equal(record("root/attrs", &rec), 0);
	assert_memory_equal(rec.oid, e.attr.oid, AUGUR_OID_LEN);
	assert_int_equal(getxattr(at("root/attrs"), "trusted.augur.x", buf, sizeof(buf)), -1);
	assert_int_equal(getxattr(at("root/attrs"), "trusted.overlay.opaque", buf, sizeof(buf)), -1);
	assert_int_equal(getxattr(at("root/attrs"), "user.note", buf, sizeof(buf)), 4);
}

static u64 hash(const char *name, size_t len)
{
	return (u64)name[0] << 8 | name[len - 1];
}

static void extras_are_found(void **state)
{
	struct wire_entry e[2] = { entry("keep", S_IFREG | 0644, 1, 1), entry("gone", S_IFREG | 0644, 1, 2) };
	u64 expect[] = { hash("keep", 4) };
	struct augur_rec rec;
	struct stub_job *j;

	stub_job_free(make(e, 2));
	assert_int_equal(mknod(at("root/half"), S_IFREG, 0), 0);
	for (int round = 0; round < 2; round++) {
		j = stub_job_new(c, root_obj());
		j->has_dir = j->set_complete = true;
		j->dir_attr = entry(NULL, S_IFDIR | 0755, 4096, 200).attr;
		j->expect = expect;
		j->nexpect = 1;
		j->hash = hash;
		assert_int_equal(stub_work(j), 0);
		assert_int_equal(j->nextra, !round);
		record("root", &rec);
		assert_int_equal(rec.flags, round ? AUGUR_REC_COMPLETE : AUGUR_REC_STUB);
		if (!round) {
			assert_string_equal(j->extra[0].name, "gone");
			assert_int_equal(lower_remove(c, &j->dir, "gone"), 0);
		}
		stub_job_free(j);
	}
	assert_int_equal(access(at("root/half"), F_OK), -1);
}

/* ---- bytes and claims ---- */

struct wait_write { struct cache_write w; bool done; int res; };

static void write_done(struct cache_write *w, int res)
{
	struct wait_write *ww = container_of(w, struct wait_write, w);

	ww->done = true;
	ww->res = res;
}

static int put_bytes(struct cobj *o, u64 off, const void *p, size_t len)
{
	struct wait_write ww = { .w = { .c = c, .fh = o->fh, .off = off, .p = p, .len = len,
					.caps = o->flags & COBJ_CAPS, .done = write_done } };

	cache_write(&ww.w);
	spin(&ww.done);
	return ww.res;
}

static unsigned int settled_n;
static bool settled_complete;
static u64 settled_bytes;

static void on_settled(void *ctx, const u8 *oid, bool complete, u64 present)
{
	settled_n++;
	settled_complete = complete;
	settled_bytes = present;
}

static void settle(void)
{
	bool done = false;

	c->settled = on_settled;
	settle_now(c, raise_flag, &done);
	spin(&done);
}

struct loaded { bool done; struct cobj *o; };

static void on_load(void *arg, struct cobj *o)
{
	struct loaded *l = arg;

	l->o = o;
	l->done = true;
}

static struct cobj *load(const u8 *oid)
{
	struct loaded l = { false, NULL };

	cobj_load(c, oid, on_load, &l);
	spin(&l.done);
	return l.o;
}

/* An object without a row would not be compared with its owner: what the disk refuses is tried until it is taken. */
static void refused_rows_are_written_again(void **state)
{
	struct wire_entry e = entry("f", S_IFREG | 0644, 300000, 1);
	struct stub_job *j = make(&e, 1);
	struct rlimit lim, none;

	assert_non_null(load(root_obj()->oid));		/* its own row is written */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &lim), 0);
	none = (struct rlimit){ 0, lim.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	take(j, 0);
	stub_job_free(j);
	spin(&c->rows_refused);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &lim), 0);
	load(root_obj()->oid);		/* behind whatever there is to be written */
	assert_false(c->rows_refused);
	close_cache();
	open_cache();
	assert_non_null(load(e.attr.oid));
}

static void presence_and_claims(void **state)
{
	struct wire_entry e = entry("f", S_IFREG | 0644, 300000, 1);
	struct stub_job *j = make(&e, 1);
	struct cobj *o = take(j, 0);
	static u8 data[300000];
	struct augur_rec rec;
	struct stat st;

	stub_job_free(j);
	memset(data, 'x', sizeof(data));
	settled_n = 0;
	assert_int_equal(put_bytes(o, 0, data, 131072), 0);
	stat(at("root/f"), &st);
	assert_int_equal(st.st_atim.tv_sec, e.attr.mtime_sec);
	/* Not a byte beyond the size, whatever a peer sends. */
	assert_int_equal(put_bytes(o, 299999, data, 2), -ESTALE);
	stat(at("root/f"), &st);
	assert_int_equal(st.st_size, 300000);

	assert_false(cobj_has(o, 0, 1));
	cobj_present(c, o, 0, 65535);		/* less than a chunk is nothing */
	assert_false(cobj_has(o, 0, 1));
	cobj_present(c, o, 0, 131072);
	assert_true(cobj_has(o, 0, 131072));
	assert_false(cobj_has(o, 0, 131073));
	assert_int_equal(cobj_present_bytes(o), 131072);
	settle();
	assert_int_equal(settled_n, 1);
	assert_false(settled_complete);
	assert_int_equal(settled_bytes, 131072);
	record("root/f", &rec);
	assert_int_equal(rec.flags, AUGUR_REC_STUB);

	/* The claim survives, and only for this version. */
	close_cache();
	open_cache();
	o = load(e.attr.oid);
	assert_non_null(o);
	assert_int_equal(cobj_present_bytes(o), 131072);
	assert_string_equal(o->name, "f");
	assert_memory_equal(o->parent, c->root_oid, AUGUR_OID_LEN);

	assert_int_equal(put_bytes(o, 131072, data, 300000 - 131072), 0);
	cobj_present(c, o, 131072, 300000 - 131072);
	assert_true(o->flags & COBJ_COMPLETE);
	settle();
	assert_true(settled_complete);
	record("root/f", &rec);
	assert_int_equal(rec.flags, AUGUR_REC_COMPLETE);
}

/* Zeros for a hole are none on disk; over anything else they are bytes like others. */
static void zeros_stay_holes(void **state)
{
	struct wire_entry e = entry("f", S_IFREG | 0644, 300000, 1);
	struct stub_job *j = make(&e, 1);
	struct cobj *o = take(j, 0);
	static u8 data[300000], back[300000];
	int fd;

	stub_job_free(j);
	assert_int_equal(put_bytes(o, 0, data, sizeof(data)), 0);
	fd = open(at("root/f"), O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(lseek(fd, 0, SEEK_DATA), -1);
	memset(data + 100000, 'x', 100000);
	assert_int_equal(put_bytes(o, 1000, data + 1000, 250000), 0);
	assert_in_range(lseek(fd, 0, SEEK_DATA), 65536, 100000);
	assert_int_equal(pread(fd, back, sizeof(back), 0), sizeof(back));
	assert_memory_equal(back, data, sizeof(data));
	/* What another version left there is overwritten. */
	memset(data, 0, sizeof(data));
	data[150000] = 'y';
	assert_int_equal(put_bytes(o, 0, data, sizeof(data)), 0);
	assert_int_equal(pread(fd, back, sizeof(back), 0), sizeof(back));
	assert_memory_equal(back, data, sizeof(data));
	close(fd);
}

/* ---- what goes again ---- */

struct order { struct use_brief b[8]; size_t n; bool done; };

static void order_known(void *arg, struct use_brief *b, size_t n)
{
	struct order *q = arg;

	memcpy(q->b, b, min(n, ARRAY_SIZE(q->b)) * sizeof(*b));
	q->n = n;
	q->done = true;
	free(b);
}

static void oldest(struct order *q, const struct use_brief *after, size_t n)
{
	memset(q, 0, sizeof(*q));
	use_oldest(c, after, n, order_known, q);
	spin(&q->done);
}

static void order_of_use(void **state)
{
	u8 small[AUGUR_OID_LEN] = { 1 }, large[AUGUR_OID_LEN] = { 2 }, gone[AUGUR_OID_LEN] = { 3 }, none[AUGUR_OID_LEN] = { 4 };
	struct use_brief first;
	struct order q;

	assert_int_equal(use_rank(1000, 1), 1600);
	assert_int_equal(use_rank(1000, 65536), 1600);
	assert_true(use_rank(1000, 1 << 20) < 1100);
	assert_int_equal(use_rank(1000, 1ull << 40), 1000);
	use_filled(c, small, 100);
	use_filled(c, large, 100 << 20);
	use_filled(c, gone, 100);
	use_gone(c, gone);
	use_opened(c, none);		/* holds no bytes that we know of */
	oldest(&q, NULL, 8);
	assert_int_equal(q.n, 2);
	assert_memory_equal(q.b[0].oid, large, AUGUR_OID_LEN);
	assert_int_equal(q.b[0].bytes, 100 << 20);
	assert_memory_equal(q.b[1].oid, small, AUGUR_OID_LEN);
	/* One after the other, and over a restart. */
	close_cache();
	open_cache();
	oldest(&q, NULL, 1);
	assert_int_equal(q.n, 1);
	first = q.b[0];
	oldest(&q, &first, 8);
	assert_int_equal(q.n, 1);
	assert_memory_equal(q.b[0].oid, small, AUGUR_OID_LEN);
	cobj_forget(c, small);
	index_flush(c);
	oldest(&q, NULL, 8);
	assert_int_equal(q.n, 1);
}

static struct cobj *filled(const char *name, u8 id, u64 present)
{
	struct wire_entry e = entry(name, S_IFREG | 0644, 300000, id);
	struct stub_job *j = make(&e, 1);
	struct cobj *o = take(j, 0);
	static u8 data[300000];

	stub_job_free(j);
	memset(data, 'x', sizeof(data));
	assert_int_equal(put_bytes(o, 0, data, present), 0);
	cobj_present(c, o, 0, present);
	return o;
}

static void evict_flag(struct evict_job *j)
{
	*(bool *)j->user = true;
}

static void item_of(struct evict_item *it, const struct cobj *o)
{
	memset(it, 0, sizeof(*it));
	memcpy(it->oid, o->oid, AUGUR_OID_LEN);
	it->fh = o->fh;
}

static void claims_are_taken_back(void **state)
{
	struct cobj *whole = filled("w", 1, 300000), *part = filled("p", 2, 131072);
	struct evict_item it[2];
	bool done = false, passed = false;
	struct evict_job ev = { .c = c, .it = it, .n = 2, .done = evict_flag, .user = &done };
	struct augur_rec rec;
	struct stat before, after;
	struct order q;

	settle();
	record("root/w", &rec);
	assert_int_equal(rec.flags, AUGUR_REC_COMPLETE);
	item_of(&it[0], whole);
	item_of(&it[1], part);
	cache_unclaim(&ev);
	/* A pass asked for now is made after it: no claim is written in between. */
	settle_now(c, raise_flag, &passed);
	assert_false(passed);
	spin(&done);
	assert_int_equal(it[0].res, 0);
	assert_true(it[0].changed);
	assert_int_equal(it[1].res, 0);
	assert_false(it[1].changed);
	record("root/w", &rec);
	assert_int_equal(rec.flags, AUGUR_REC_STUB);
	spin(&passed);
	record("root/w", &rec);
	assert_int_equal(rec.flags, AUGUR_REC_STUB);

	/* The hole: no block is left, size and the owner's mtime stay. */
	assert_int_equal(stat(at("root/w"), &before), 0);
	done = false;
	cache_punch(&ev);
	spin(&done);
	assert_int_equal(stat(at("root/w"), &after), 0);
	assert_int_equal(it[0].res, 0);
	assert_int_equal(after.st_size, 300000);
	assert_int_equal(after.st_atim.tv_sec, before.st_atim.tv_sec);
	assert_true(before.st_blocks > 500);
	assert_true(after.st_blocks <= 8);	/* the record, where inodes are small */
	assert_true(it[0].freed >= 300000 && c->evicted_bytes >= it[0].freed);

	/* Nothing of it is believed after a restart, and the walk finds what has blocks. */
	use_gone(c, part->oid);
	use_gone(c, whole->oid);
	close_cache();
	open_cache();
	assert_int_equal(cobj_present_bytes(load((u8[AUGUR_OID_LEN]){ [0 ... AUGUR_OID_LEN - 1] = 2 })), 0);
	assert_int_equal(stat(at("root/p"), &before), 0);
	done = false;
	oldest(&q, NULL, 8);
	assert_int_equal(q.n, 0);
}

static void streamed_is_no_claim(void **state)
{
	struct cobj *o = filled("s", 1, 65536);

	settle();
	o->streamed = 1;
	cobj_streamed(o, 65536, 300000 - 65536);
	assert_true(cobj_has(o, 0, 300000));
	assert_false(o->flags & COBJ_COMPLETE);
	settle_add(c, o, 0);
	settled_n = 0;
	settle();
	assert_int_equal(settled_n, 0);
	/* Gone again: what stays is claimed. */
	o->streamed = 0;
	augur_map_clear_range(o->map, 1, 4);
	settle();
	assert_int_equal(settled_n, 1);
	assert_int_equal(settled_bytes, 65536);
}

static void pins_are_inherited(void **state)
{
	struct wire_entry e = entry("a", S_IFREG | 0644, 100, 1);
	struct cobj *root = root_obj();
	struct augur_rec rec;
	struct stub_job *j;

	assert_int_equal(lower_record_flags(c, &root->fh, root->oid, AUGUR_REC_PINNED, 0), 0);
	j = make(&e, 1);
	take(j, 0);
	stub_job_free(j);
	record("root/a", &rec);
	assert_int_equal(rec.flags, AUGUR_REC_STUB | AUGUR_REC_PINNED);
	/* Another version of a pinned object is pinned, wherever it lies. */
	assert_int_equal(lower_record_flags(c, &root->fh, root->oid, 0, AUGUR_REC_PINNED), 0);
	e.attr.version++;
	e.attr.ctime_sec++;
	j = make(&e, 1);
	assert_int_equal(j->ents[0].outcome, STUB_DIFFERS);
	record(tmp_rel(j->ents[0].tmp), &rec);
	assert_int_equal(rec.flags, AUGUR_REC_STUB | AUGUR_REC_PINNED);
	stub_job_free(j);
}

/* A name in a pinned directory for what has one elsewhere. */
static void pins_come_with_names(void **state)
{
	struct wire_entry e[2];
	struct cobj *o = first_name(e), *root = root_obj();
	struct augur_rec rec;
	struct stub_job *j;

	assert_int_equal(lower_record_flags(c, &root->fh, root->oid, AUGUR_REC_PINNED, 0), 0);
	for (int again = 0; again < 2; again++) {
		j = stub_job_new(c, root);
		stub_job_add(j, &e[1])->link_fh = o->fh;
		assert_int_equal(stub_work(j), 0);
		assert_int_equal(j->ents[0].pinned_now, !again);
		stub_job_free(j);
		record("root/a", &rec);
		assert_true(rec.flags & AUGUR_REC_PINNED);
		unlink(at("root/b"));
	}
}

static void another_version_has_nothing(void **state)
{
	struct wire_entry e = entry("f", S_IFREG | 0644, 300000, 1);
	struct stub_job *j = make(&e, 1);
	struct cobj *o = take(j, 0);

	cobj_present(c, o, 0, 65536);
	settle();
	j->ents[0].attr.tag++;
	o = take(j, 0);
	assert_int_equal(cobj_present_bytes(o), 0);
	assert_true(list_empty(&o->unsettled));
	stub_job_free(j);
	close_cache();
	open_cache();
	o = load(e.attr.oid);
	assert_int_equal(cobj_present_bytes(o), 0);
}

/* Version and tag are the same, and the inode is another: nothing of it is here, after a kill neither. */
static void another_inode_has_nothing(void **state)
{
	struct wire_entry e = entry("f", S_IFREG | 0644, 300000, 1);
	struct stub_job *j = make(&e, 1);
	struct cobj *o = take(j, 0);
	struct fh first = o->fh;

	stub_job_free(j);
	cobj_present(c, o, 0, 65536);
	settle();
	assert_int_equal(lower_record_flags(c, &o->fh, o->oid, AUGUR_REC_STALE, 0), 0);
	j = make(&e, 1);
	assert_int_equal(j->ents[0].outcome, STUB_DIFFERS);
	assert_int_equal(lower_switch(c, &root_obj()->fh, "f", j->ents[0].tmp), 0);
	o = take(j, 0);
	stub_job_free(j);
	assert_false(fh_equal(&first, &o->fh));
	close_cache();
	open_cache();
	assert_int_equal(cobj_present_bytes(load(e.attr.oid)), 0);
}

/* While the cache is closed; rows changed. */
static int by_hand(const char *sql)
{
	sqlite3 *sq;
	int n;

	assert_int_equal(sqlite3_open(at(".augur/db"), &sq), SQLITE_OK);
	assert_int_equal(sqlite3_exec(sq, sql, NULL, NULL, NULL), SQLITE_OK);
	n = sqlite3_changes(sq);
	sqlite3_close(sq);
	return n;
}

static void damaged_claim_is_none(void **state)
{
	struct wire_entry e = entry("f", S_IFREG | 0644, 300000, 1);
	struct stub_job *j = make(&e, 1);
	struct cobj *o = take(j, 0);

	stub_job_free(j);
	cobj_present(c, o, 0, 65536);
	settle();
	close_cache();
	assert_int_equal(by_hand("UPDATE map SET bits = x'1f'"), 1);
	open_cache();
	assert_int_equal(cobj_present_bytes(load(e.attr.oid)), 0);
}

/* A row that cannot be of ours is of an object that is not known: its owner is asked. */
static void damaged_row_is_none(void **state)
{
	static const char *const sets[] = {
		"mode = 0", "mode = 33188 + 65536 * 4", "size = -1", "size = 1 << 62", "shift = 0", "shift = 64",
		"mtime_ns = 1000000000", "ctime_ns = -1", "fh = x'01020304'", "fh = zeroblob(133)", "loc = zeroblob(193)",
		"parent = x'01'", "parent = zeroblob(17)", "name = x'2e2e'", "name = x'612f62'", "name = x'6100'",
		"name = zeroblob(256)",
	};
	struct wire_entry e = entry("f", S_IFREG | 0644, 300000000, 1);
	char sql[256];
	struct stub_job *j = make(&e, 1);

	take(j, 0);
	stub_job_free(j);
	close_cache();
	by_hand("CREATE TABLE keep AS SELECT * FROM obj WHERE length(name) = 1");
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		snprintf(sql, sizeof(sql), "UPDATE obj SET %s WHERE oid = (SELECT oid FROM keep)", sets[i]);
		assert_int_equal(by_hand(sql), 1);
		open_cache();
		if (load(e.attr.oid))
			fail_msg("%s is believed", sets[i]);
		close_cache();
		assert_int_equal(by_hand("INSERT OR REPLACE INTO obj SELECT * FROM keep"), 1);
	}
	open_cache();
	assert_non_null(load(e.attr.oid));
}

static void capability_stays(void **state)
{
	/* cap_net_raw=ep, revision 2 */
	static const u8 cap[20] = { 1, 0, 0, 2, 0, 32 };
	struct wire_entry e = entry("ping", S_IFREG | 0755, 10000, 1);
	u8 xattrs[64], *w = xattrs;
	struct stub_job *j;
	struct cobj *o;
	char buf[64];

	*w++ = 19;
	*w++ = sizeof(cap);
	*w++ = 0;
	w = mempcpy(w, "security.capability", 19);
	w = mempcpy(w, cap, sizeof(cap));
	e.xattrs = xattrs;
	e.xattrs_len = w - xattrs;
	j = make(&e, 1);
	o = take(j, 0);
	stub_job_free(j);
	if (getxattr(at("root/ping"), "security.capability", buf, sizeof(buf)) < 0)
		return;		/* not here (a container) */
	assert_true(o->flags & COBJ_CAPS);
	memset(xattrs, 'c', sizeof(xattrs));
	assert_int_equal(put_bytes(o, 5000, xattrs, sizeof(xattrs)), 0);
	assert_int_equal(getxattr(at("root/ping"), "security.capability", buf, sizeof(buf)), sizeof(cap));
}

/* ---- the index ---- */

struct names { bool done; size_t n; };

static void on_names(void *arg, struct cobj_name *nm, size_t n)
{
	struct names *r = arg;

	r->n = n;
	r->done = true;
	for (size_t i = 0; i < n; i++)
		assert_true(nm[i].parent_fh.len > 0);
}

static void names_and_place(void **state)
{
	struct wire_entry e = entry("f", S_IFREG | 0644, 10, 1);
	struct stub_job *j = make(&e, 1);
	struct cobj *o = take(j, 0);
	u8 parent[AUGUR_OID_LEN];
	struct names r = { 0 };
	struct fh pfh;
	char name[256];
	u8 seen[AUGUR_OID_LEN];

	cobj_name_add(c, o->oid, c->root_oid, "other", 5);
	cobj_names(c, o, on_names, &r);
	spin(&r.done);
	assert_int_equal(r.n, 2);
	assert_int_equal(lower_parent(c, &o->fh, parent, &pfh, name, sizeof(name)), 0);
	assert_string_equal(name, "f");
	assert_memory_equal(parent, c->root_oid, AUGUR_OID_LEN);
	assert_true(fh_equal(&pfh, &root_obj()->fh));
	assert_int_equal(lower_has(c, &pfh, "f", seen), 0);
	assert_int_equal(lower_has(c, &pfh, "g", seen), -ENOENT);
	stub_job_free(j);
	cobj_forget(c, e.attr.oid);
	assert_null(load(e.attr.oid));
}

static int run_group(void)
{
	const struct CMUnitTest tests[] = {
		T(attach_errors), T(foreign_volume), T(a_copy_is_refused), T(tmp_is_swept), T(kinds), T(holes), T(reading_moves_no_time), T(directory_attributes), T(nothing_is_inherited), T(directory_xattrs),
		T(leftover_is_remade),
		T(same_and_other), T(hard_links), T(stale_gets_no_links), T(evil_entries), T(extras_are_found), T(refused_rows_are_written_again), T(presence_and_claims), T(zeros_stay_holes),
		T(another_version_has_nothing), T(another_inode_has_nothing), T(damaged_claim_is_none), T(damaged_row_is_none), T(capability_stays), T(names_and_place),
		T(order_of_use), T(claims_are_taken_back), T(streamed_is_no_claim), T(pins_are_inherited), T(pins_come_with_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return cache_tests("test_cache", run_group);
}
