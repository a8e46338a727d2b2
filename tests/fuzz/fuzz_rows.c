// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes what the cache reads back from its database (daemon/cache): rows of objects, maps and
 * names with any content that SQLite lets into the tables.  An object that is taken is one that
 * the owner might have told of; it survives being stored and loaded again; a map that is taken
 * is the one that was written for this inode and version.
 *
 * Input: columns of the rows one after another, numbers of eight bytes and blobs with a length.
 * The database's worker is a stub: jobs run when they are queued, on a database in memory.
 */
#include <sys/stat.h>
#include <xxhash.h>

#include "base/db.h"
#include "base/log.h"
#include "cache/index.h"
#include "fuzz_io.h"

/* ---- the database ---- */

static sqlite3 *sq;
static struct { const char *sql; sqlite3_stmt *st; } stmts[24];

sqlite3_stmt *db_stmt(sqlite3 *unused, const char *sql)
{
	size_t i;

	for (i = 0; stmts[i].sql && strcmp(stmts[i].sql, sql); i++)
		;
	if (!stmts[i].sql) {
		assert(i + 1 < ARRAY_SIZE(stmts) && sqlite3_prepare_v2(sq, sql, -1, &stmts[i].st, NULL) == SQLITE_OK);
		stmts[i].sql = sql;
	}
	sqlite3_reset(stmts[i].st);
	sqlite3_clear_bindings(stmts[i].st);
	return stmts[i].st;
}

void db_queue(struct db *db, struct db_job *job)
{
	int err = job->fn(sq, job);

	for (size_t i = 0; stmts[i].sql; i++)
		sqlite3_reset(stmts[i].st);
	job->done(job, err);
}

int db_call(struct db *db, struct db_job *job)
{
	return job->fn(sq, job);
}

int db_open(struct io *io, const char *path, enum db_sync sync, const char *schema, int version, struct db **out)
{
	return -ENOSYS;
}

int db_errno(int rc)
{
	return rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : -EIO;
}

void db_drain(struct db *db)
{
}

void db_close(struct db *db)
{
}

/* ---- the cache ---- */

static struct cache c = { .io = &fz_io, .db = (struct db *)&c, .batch_op.busy = true };
static const u8 oid[AUGUR_OID_LEN] = "an object";

struct input { const u8 *p, *end; };

static u64 number(struct input *in)
{
	u64 v = 0;
	size_t n = min(in->end - in->p, 8L);

	memcpy(&v, in->p, n);
	in->p += n;
	return v;
}

/* One byte for small numbers, as most are. */
static u64 small(struct input *in)
{
	u64 kind = in->p < in->end ? *in->p++ : 0;

	return kind < 0xc0 ? kind : number(in);
}

static void blob(sqlite3_stmt *st, int col, struct input *in)
{
	size_t n = in->p < in->end ? *in->p++ : 0;

	n = min(n, (size_t)(in->end - in->p));
	sqlite3_bind_blob(st, col, n ? in->p : (const u8 *)"", n, SQLITE_STATIC);
	in->p += n;
}

static void exec(const char *sql)
{
	sqlite3_stmt *st = db_stmt(sq, sql);

	sqlite3_step(st);
	sqlite3_reset(st);
}

static void obj_row(struct input *in)
{
	sqlite3_stmt *st = db_stmt(sq, "INSERT OR REPLACE INTO obj VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)");
	u64 mode = small(in);

	sqlite3_bind_blob(st, 1, oid, sizeof(oid), SQLITE_STATIC);
	for (int i = 2; i <= 5; i++)
		blob(st, i, in);
	sqlite3_bind_int64(st, 6, small(in));
	/* Mostly files and directories. */
	sqlite3_bind_int64(st, 7, mode < 0x40 ? S_IFREG | mode : mode < 0x80 ? S_IFDIR | (mode & 63) : mode);
	for (int i = 8; i <= 17; i++)
		sqlite3_bind_int64(st, i, small(in));
	sqlite3_step(st);
	sqlite3_reset(st);
}

/* Of the object as it was loaded, with a checksum that may be right. */
static void map_row(struct input *in, const struct cobj *o)
{
	u64 how = small(in), present = small(in);
	struct map_row *r = xcalloc(1, sizeof(*r));
	size_t n = augur_map_bytes(o->size, o->shift);
	sqlite3_stmt *st;

	memcpy(r->oid, oid, sizeof(oid));
	r->fh = o->fh;
	r->version = how & 1 ? number(in) : o->version;
	r->tag = how & 2 ? number(in) : o->tag;
	r->present = present;
	r->len = how & 4 ? small(in) & 0xff : min(n, (size_t)AUGUR_MAP_MAX);
	r->map = xcalloc(1, r->len + 1);
	for (size_t i = 0; i < r->len && in->p < in->end; i++)
		r->map[i] = *in->p++;
	if (!(how & 8)) {
		st = db_stmt(sq, "INSERT OR REPLACE INTO map VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
		sqlite3_bind_blob(st, 1, oid, sizeof(oid), SQLITE_STATIC);
		sqlite3_bind_int64(st, 2, r->version);
		sqlite3_bind_int64(st, 3, r->tag);
		sqlite3_bind_int64(st, 4, present);
		sqlite3_bind_blob(st, 5, r->map, r->len, SQLITE_STATIC);
		sqlite3_bind_int64(st, 6, how & 16 ? number(in) : map_row_crc(r));
		sqlite3_step(st);
		sqlite3_reset(st);
	}
	free(r->map);
	free(r);
}

static void name_rows(struct input *in, unsigned int n)
{
	while (n--) {
		sqlite3_stmt *st = db_stmt(sq, "INSERT OR IGNORE INTO name(oid, parent, name) VALUES(?1, ?2, ?3)");

		sqlite3_bind_blob(st, 1, oid, sizeof(oid), SQLITE_STATIC);
		blob(st, 2, in);
		blob(st, 3, in);
		sqlite3_step(st);
		sqlite3_reset(st);
	}
}

/* ---- what must hold ---- */

static bool is_name(const char *name, size_t len)
{
	return len && len <= AUGUR_NAME_MAX && strnlen(name, len) == len && !memchr(name, '/', len) &&
	       strcmp(name, ".") && strcmp(name, "..");
}

static void check_obj(const struct cobj *o)
{
	u32 type = o->mode & S_IFMT;

	assert(!memcmp(o->oid, oid, sizeof(oid)) && o->fh.len >= 5 && o->fh.len <= AUGUR_FH_MAX);
	assert(o->name && o->name[o->name_len] == 0);
	assert(!o->name_len || is_name(o->name, o->name_len));
	assert(!o->loc_len || (o->loc && o->loc_len <= WIRE_LOCATOR_MAX));
	assert(o->size <= INT64_MAX && o->mtime_nsec < 1000000000 && o->ctime_nsec < 1000000000);
	assert(type == S_IFREG || type == S_IFDIR || type == S_IFLNK || type == S_IFCHR || type == S_IFBLK ||
	       type == S_IFIFO || type == S_IFSOCK);
	assert(!(o->flags & ~COBJ_STORED));
	if (type == S_IFREG)
		assert(augur_map_bytes(o->size, o->shift) <= AUGUR_MAP_MAX);
	assert(!o->map || (type == S_IFREG && o->settled <= o->size));
}

static struct cobj *loaded;

static void on_load(void *arg, struct cobj *o)
{
	loaded = o;
	if (o)
		check_obj(o);
}

static void on_names(void *arg, struct cobj_name *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert(is_name(names[i].name, names[i].len) && !names[i].name[names[i].len] &&
		       (!names[i].parent_fh.len || names[i].parent_fh.len >= 5));
}

static bool want_all(void *arg, u32 pu)
{
	return true;
}

static void on_briefs(void *arg, struct cobj_brief *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert(b[i].loc_len <= WIRE_LOCATOR_MAX);
	free(b);
}

static void forget(void)
{
	if (loaded && loaded->map) {
		free(loaded->map);
		free(loaded->fly);
		loaded->map = loaded->fly = NULL;
	}
	index_exit(&c);
	index_init(&c);
	c.nlru = 0;
}

/* Stored and loaded again it is the same. */
static void again(void)
{
	struct cobj was = *loaded;
	char *name = xstrdup(loaded->name);
	u8 *loc = xmemdup(loaded->loc ? loaded->loc : (const u8 *)"", loaded->loc_len);

	cobj_store(&c, loaded);
	index_flush(&c);
	forget();
	cobj_load_any(&c, oid, on_load, NULL);
	assert(loaded && fh_equal(&loaded->fh, &was.fh) && !memcmp(loaded->parent, was.parent, sizeof(was.parent)));
	assert(loaded->pu == was.pu && loaded->mode == was.mode && loaded->nlink == was.nlink &&
	       loaded->version == was.version && loaded->tag == was.tag && loaded->size == was.size &&
	       loaded->mtime_sec == was.mtime_sec && loaded->mtime_nsec == was.mtime_nsec &&
	       loaded->ctime_sec == was.ctime_sec && loaded->ctime_nsec == was.ctime_nsec &&
	       loaded->shift == was.shift && loaded->flags == was.flags);
	assert(loaded->name_len == was.name_len && !memcmp(loaded->name, name, was.name_len));
	assert(loaded->loc_len == was.loc_len && (!was.loc_len || !memcmp(loaded->loc, loc, was.loc_len)));
	free(name);
	free(loc);
}

static void start(void)
{
	log_open("fuzz", 0);
	assert(sqlite3_open(":memory:", &sq) == SQLITE_OK);
	assert(sqlite3_exec(sq, index_schema, NULL, NULL, NULL) == SQLITE_OK);
	assert(sqlite3_exec(sq, "PRAGMA journal_mode = OFF; BEGIN", NULL, NULL, NULL) == SQLITE_OK);
	index_init(&c);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data + 1, data + size };
	bool all = !(XXH3_64bits(data, size) & 15);	/* what is dear, with one input in sixteen */

	if (!sq)
		start();
	if (!size)
		return 0;
	exec("DELETE FROM obj");
	exec("DELETE FROM map");
	exec("DELETE FROM name");
	loaded = NULL;
	obj_row(&in);
	cobj_load_any(&c, oid, on_load, NULL);
	if (loaded) {
		if (all)
			again();
		map_row(&in, loaded);
		forget();
		cobj_load_any(&c, oid, on_load, NULL);
		name_rows(&in, data[0] & 3);
		cobj_names(&c, loaded, on_names, NULL);
	}
	if (all)
		cobj_briefs(&c, want_all, on_briefs, NULL);
	forget();
	assert(!fz.n);
	return 0;
}
