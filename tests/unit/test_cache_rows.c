// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Rows of the index that an agent could not write before it ended are found again by the next
 * one: killed between a batch and its commit, or stopped while the disk refuses rows.  Without
 * the mark that says so they stay missing, which each test shows first.  Needs root and trusted
 * attributes.
 */
#include "cache_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static u64 lying;

static int add_blocks(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	if (flag == FTW_F)
		lying += (u64)st->st_blocks * 512;
	return 0;
}

/* The bytes of files that lie in the tree. */
static u64 bytes_lying(void)
{
	char path[128];

	lying = 0;
	snprintf(path, sizeof(path), "%s/root", dir);
	nftw(path, add_blocks, 16, FTW_PHYS);
	return lying;
}

static s64 ask(const char *text)
{
	char path[128];
	sqlite3_stmt *st;
	sqlite3 *sq;
	s64 n;

	snprintf(path, sizeof(path), "%s/.augur/db", dir);
	assert_int_equal(sqlite3_open(path, &sq), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(sq, text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(sq);
	return n;
}
#define rows() ask("SELECT count(*) FROM obj")
#define bytes_accounted() ((u64)ask("SELECT coalesce(sum(bytes), 0) FROM use"))

static struct cobj *loaded;

static void on_load(void *arg, struct cobj *o)
{
	loaded = o;
	*(bool *)arg = true;
}

static struct cobj *load(u8 id, bool any)
{
	u8 oid[AUGUR_OID_LEN];
	bool done = false;

	memset(oid, id, sizeof(oid));
	(any ? cobj_load_any : cobj_load)(c, oid, on_load, &done);
	spin(&done);
	return loaded;
}

/* All bytes of a file, as a fill brings them. */
static void fill(const char *name, u8 id, size_t len)
{
	u8 oid[AUGUR_OID_LEN], *p = xmalloc(len);
	struct cobj *o;
	char path[128];
	int fd;

	memset(oid, id, sizeof(oid));
	memset(p, 'x', len);
	snprintf(path, sizeof(path), "%s/root/%s", dir, name);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, p, len, 0), len);
	fsync(fd);	/* its blocks are counted */
	close(fd);
	free(p);
	o = cobj_peek(c, oid);
	assert_non_null(o);
	cobj_present(c, o, 0, len);
}

static void open_stamped(void)
{
	struct wire_entry root = entry(NULL, S_IFDIR | 0755, 4096, 200);

	attach();
	assert_int_equal(cache_stamp(c, "vol", vol_id, &root), 0);
}

#define OLD_BYTES 131072
#define NEW_BYTES 262144

/* A cache that was closed: the root and a file with bytes. */
static int setup(void **state)
{
	struct wire_entry e = entry("old", S_IFREG | 0644, OLD_BYTES, 1);

	strcpy(dir, "/tmp/augur-test-rows.XXXXXX");
	assert_non_null(mkdtemp(dir));
	open_stamped();
	stub(&e, cobj_peek(c, c->root_oid));
	fill("old", 1, OLD_BYTES);
	close_cache();
	assert_int_equal(rows(), 2);
	assert_true(bytes_lying() >= OLD_BYTES);
	assert_int_equal(bytes_accounted(), bytes_lying());
	return 0;
}

/* sub, sub/new with all its bytes, and sub/twin with a second name in the root. */
static void make_more(void)
{
	struct wire_entry sub = entry("sub", S_IFDIR | 0755, 4096, 2), e = entry("new", S_IFREG | 0644, NEW_BYTES, 3);
	struct wire_entry twin = entry("twin", S_IFREG | 0644, 100, 4);
	char a[128], b[128];

	stub(&sub, cobj_peek(c, c->root_oid));
	stub(&e, cobj_peek(c, sub.attr.oid));
	twin.attr.nlink = 2;
	stub(&twin, cobj_peek(c, sub.attr.oid));
	snprintf(a, sizeof(a), "%s/root/sub/twin", dir);
	snprintf(b, sizeof(b), "%s/root/other", dir);
	assert_int_equal(link(a, b), 0);
	fill("sub/new", 3, NEW_BYTES);
}

/* An agent that makes more and is killed before a row of it is written. */
static void killed_agent(void)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		io = io_new(getenv("TEST_IO"));
		open_stamped();
		make_more();
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

/* The next agent does not know: all that is missing stays so. */
static void without_the_mark(void)
{
	sql("UPDATE meta SET value = x'01' WHERE key = 'clean'");
	attach();
	assert_false(c->unclean);
	assert_null(load(3, true));
	close_cache();
	assert_int_equal(rows(), 2);
	assert_true(bytes_accounted() < bytes_lying());
	sql("UPDATE meta SET value = x'00' WHERE key = 'clean'");
}

static void all_is_found(void)
{
	struct cobj *o;

	check();
	/* Without locator and tag nobody takes it for known who wants more than where it lies. */
	assert_null(load(3, false));
	o = load(3, true);
	assert_non_null(o);
	assert_true(o->flags & COBJ_HALF);
	assert_int_equal(o->size, NEW_BYTES);
	assert_int_equal(o->pu, 3);
	assert_int_equal(o->mode, S_IFREG | 0644);
	assert_int_equal(o->ctime_sec, 1600000003);
	assert_string_equal(o->name, "new");
	assert_int_equal(o->parent[0], 2);
	assert_non_null(load(2, true));
	o = load(1, false);	/* what had its row has it still */
	assert_non_null(o);
	assert_int_equal(o->tag, 1001);
	assert_int_equal(flags("sub/new") & AUGUR_REC_STALE, 0);
	close_cache();
	assert_int_equal(rows(), 5);
	assert_int_equal(ask("SELECT count(*) FROM name WHERE oid = x'04040404040404040404040404040404'"), 2);
	assert_int_equal(bytes_accounted(), bytes_lying());
	assert_int_equal(ask("SELECT count(*) FROM use"), 2);
	attach();
	assert_false(c->unclean);
}

static void killed_before_the_commit(void **state)
{
	killed_agent();
	without_the_mark();
	all_is_found();
}

/* The disk takes no row of the index, and all else. */
static void refuse_rows(bool refuse)
{
	static const char *const tables[] = { "obj", "name", "use" };

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		CLEANUP_FREE char *text = xasprintf(refuse ?
			"CREATE TRIGGER no_%1$s BEFORE INSERT ON %1$s BEGIN SELECT RAISE(ABORT, 'full'); END" :
			"DROP TRIGGER no_%1$s", tables[i]);

		exec(text);
	}
}

static void refused_until_the_stop(void **state)
{
	refuse_rows(true);
	open_stamped();
	assert_false(c->unclean);
	make_more();
	spin(&c->rows_refused);
	close_cache();
	refuse_rows(false);
	assert_int_equal(rows(), 2);
	without_the_mark();
	all_is_found();
}

/* What was refused and written in the end leaves nothing to be looked for. */
static void refused_for_a_while(void **state)
{
	refuse_rows(true);
	open_stamped();
	make_more();
	spin(&c->rows_refused);
	refuse_rows(false);
	close_cache();
	assert_int_equal(rows(), 5);
	assert_int_equal(bytes_accounted(), bytes_lying());
	attach();
	assert_false(c->unclean);
	assert_non_null(load(3, false));
}

/* What its owner says of it makes it whole, and of the same state nothing is lost. */
static void the_owner_makes_it_whole(void **state)
{
	struct wire_entry e = entry("new", S_IFREG | 0644, NEW_BYTES, 3);
	struct cobj *o;
	struct fh fh;

	killed_agent();
	check();
	o = load(3, true);
	fh = o->fh;
	cobj_present(c, o, 0, 65536);	/* the kernel has told */
	assert_int_equal(cobj_present_bytes(o), 65536);
	assert_null(cobj_peek(c, e.attr.oid));
	cobj_update(c, &e.attr, e.locator, e.locator_len, o->parent, "new", 3, &fh, o->shift, 0);
	assert_ptr_equal(cobj_peek(c, e.attr.oid), o);
	assert_int_equal(cobj_present_bytes(o), 65536);
	close_cache();
	attach();
	o = load(3, false);
	assert_non_null(o);
	assert_int_equal(o->tag, 1003);
	assert_int_equal(o->loc_len, 3);
}

static size_t nbriefs, nhalf;

static bool all_pus(void *arg, u32 pu)
{
	return true;
}

static void on_briefs(void *arg, struct cobj_brief *b, size_t n)
{
	nbriefs = n;
	for (size_t i = 0; i < n; i++)
		nhalf += b[i].half;
	free(b);
	*(bool *)arg = true;
}

static void a_sweep_knows_the_halves(void **state)
{
	bool done = false;

	killed_agent();
	check();
	cobj_briefs(c, all_pus, on_briefs, &done);
	spin(&done);
	assert_int_equal(nbriefs, 5);
	assert_int_equal(nhalf, 3);
}

/* Rows whose inode went, and bytes that went or came. */
static void rows_without_an_inode(void **state)
{
	char path[128];

	open_stamped();
	make_more();
	close_cache();
	snprintf(path, sizeof(path), "%s/root/sub/twin", dir);
	assert_int_equal(unlink(path), 0);	/* it has another name */
	snprintf(path, sizeof(path), "%s/root/sub/new", dir);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/root/old", dir);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(truncate(path, OLD_BYTES), 0);
	sql("INSERT INTO use VALUES(x'09090909090909090909090909090909', 1, 2, 3)");
	sql("UPDATE meta SET value = x'00' WHERE key = 'clean'");
	assert_true(bytes_accounted() > bytes_lying());
	check();
	assert_null(load(3, true));
	assert_non_null(load(4, false));
	assert_non_null(load(1, false));
	close_cache();
	assert_int_equal(rows(), 4);
	assert_int_equal(bytes_accounted(), bytes_lying());
}

/* A directory that was listed: its row is the old one's, its owner is asked again, its place is known. */
static void a_directory_of_before(void **state)
{
	struct cobj *o;

	open_stamped();
	make_more();
	close_cache();
	sql("UPDATE obj SET ctime = ctime - 1, nlink = 9 WHERE name = CAST('sub' AS BLOB)");
	sql("UPDATE meta SET value = x'00' WHERE key = 'clean'");
	check();
	o = load(2, false);
	assert_non_null(o);
	assert_int_equal(o->ctime_sec, 1600000002);
	assert_int_equal(o->nlink, 1);
	assert_int_equal(o->tag, 0);
	assert_int_equal(o->loc_len, 3);
	assert_int_equal(flags("sub") & AUGUR_REC_STALE, 0);
}

/* After a power cut what is found is marked as well: its names ask, and its bytes can be evicted. */
static void after_a_power_cut(void **state)
{
	killed_agent();
	sql("UPDATE meta SET value = CAST('another boot' AS BLOB) WHERE key = 'boot_id'");
	check();
	assert_int_equal(flags("sub/new"), AUGUR_REC_STUB | AUGUR_REC_STALE);
	assert_int_equal(flags("old"), AUGUR_REC_COMPLETE);
	assert_null(load(3, false));
	assert_non_null(load(3, true));
	close_cache();
	assert_int_equal(rows(), 5);
	assert_int_equal(bytes_accounted(), bytes_lying());
	attach();
	assert_false(c->unclean);
}

static unsigned int ndoubted;
static char doubted_name[AUGUR_NAME_MAX + 1];

static void on_doubted(void *ctx, const u8 *oid, bool is_dir, const u8 *parent, const char *name)
{
	ndoubted++;
	assert_false(is_dir);
	assert_memory_equal(parent, c->root_oid, AUGUR_OID_LEN);
	strcpy(doubted_name, name);
}

/* Renamed at the owner, and the agent was killed before the old name was marked: which is right is asked. */
static void two_inodes_of_an_object(void **state)
{
	struct wire_entry e = entry("moved", S_IFREG | 0644, OLD_BYTES, 1);
	struct stub_job *j;
	bool done = false;

	open_stamped();
	j = stub_job_new(c, cobj_peek(c, c->root_oid));
	stub_job_add(j, &e);
	assert_int_equal(stub_work(j), 0);
	stub_job_free(j);
	close_cache();
	sql("UPDATE meta SET value = x'00' WHERE key = 'clean'");
	attach();
	c->doubted = on_doubted;
	cache_check(c, on_checked, &done);
	spin(&done);
	assert_int_equal(check_res, 0);
	assert_int_equal(ndoubted, 1);
	assert_string_equal(doubted_name, "moved");
	assert_non_null(load(1, false));
}

/* More names than a step takes: stopped in the middle, it is made again, to its end. */
static void broken_off_is_made_again(void **state)
{
	struct cobj *top;
	bool done = false, closed = false;

	open_stamped();
	top = cobj_peek(c, c->root_oid);
	for (int i = 0; i < 1000; i++) {
		char name[16];
		struct wire_entry e;

		snprintf(name, sizeof(name), "f%d", i);
		e = entry(name, S_IFREG | 0644, 1, 5);
		memcpy(e.attr.oid, &i, sizeof(i));
		stub(&e, top);
	}
	close_cache();
	assert_int_equal(rows(), 1002);
	sql("DELETE FROM obj WHERE size = 1");
	sql("UPDATE meta SET value = x'00' WHERE key = 'clean'");
	attach();
	assert_true(c->unclean);
	cache_check(c, on_checked, &done);
	load(1, false);		/* a step or two */
	assert_false(done);
	cache_check_stop(c);
	cache_close(c, raise_flag, &closed);
	spin(&closed);
	c = NULL;
	assert_true(done);
	assert_int_equal(check_res, -ECANCELED);
	assert_true(rows() < 1002);
	check();
	close_cache();
	assert_int_equal(rows(), 1002);
	attach();
	assert_false(c->unclean);
}

/* An inode that is gone takes the row with it, of an object that is not in memory and of one that is being loaded. */
static void the_row_goes_with_its_inode(void **state)
{
	u8 oid[AUGUR_OID_LEN];
	bool done = false;
	struct fh fh, other;

	memset(oid, 1, sizeof(oid));
	attach();
	fh = other = load(1, false)->fh;
	other.b[0] ^= 1;
	close_cache();
	attach();
	assert_false(cobj_forget_inode(c, oid, &other, true));
	close_cache();
	assert_int_equal(rows(), 2);		/* it lives elsewhere */
	exec("UPDATE obj SET nlink = 2 WHERE length(name) > 0");
	attach();
	cobj_forget_inode(c, oid, &fh, false);
	close_cache();
	assert_int_equal(rows(), 2);		/* it has another name */
	exec("UPDATE obj SET nlink = 1 WHERE length(name) > 0");
	attach();
	cobj_load(c, oid, on_load, &done);
	cobj_forget_inode(c, oid, &fh, false);
	spin(&done);
	assert_null(loaded);
	close_cache();
	assert_int_equal(rows(), 1);
	assert_int_equal(bytes_accounted(), 0);
}

/* The disk refuses that; whoever loads the row meanwhile does not keep what it says. */
static void a_row_that_may_not_go(void **state)
{
	u8 oid[AUGUR_OID_LEN];
	struct fh fh;

	memset(oid, 1, sizeof(oid));
	attach();
	fh = load(1, false)->fh;
	close_cache();
	exec("CREATE TRIGGER stay BEFORE DELETE ON obj BEGIN SELECT RAISE(ABORT, 'full'); END");
	attach();
	cobj_forget_inode(c, oid, &fh, false);
	assert_non_null(load(1, false));
	assert_true(c->rows_refused);
	exec("DROP TRIGGER stay");
	load(9, false);			/* behind whatever there is to be written */
	assert_false(c->rows_refused);
	assert_null(cobj_peek_any(c, oid));
	close_cache();
	assert_int_equal(rows(), 1);
}

static int run_group(void)
{
	const struct CMUnitTest tests[] = {
		T(killed_before_the_commit), T(refused_until_the_stop), T(refused_for_a_while), T(the_owner_makes_it_whole),
		T(a_sweep_knows_the_halves), T(rows_without_an_inode), T(a_directory_of_before), T(two_inodes_of_an_object),
		T(after_a_power_cut), T(broken_off_is_made_again), T(the_row_goes_with_its_inode), T(a_row_that_may_not_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return cache_tests("test_cache_rows", run_group);
}
