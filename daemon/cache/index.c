// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * index.c - what is known of objects: an LRU in memory above tables in <cache>/.augur/db.
 *
 * Rows are written lazily in groups.  An object without one is not compared with its owner, so a
 * group that the disk refuses is written again.
 * Loop thread, except functions named db_*, which run on the database's thread and touch
 * only their job.
 * (long file: objects in memory and their rows are one state)
 */
#include <sys/stat.h>

#include "base/log.h"
#include "cache/index.h"

#define NSEC_PER_SEC	1000000000U
/* A walk makes thousands of rows in a second, all over the table: few large groups write its pages once. */
#define BATCH_ROWS	4096
#define BATCH_DELAY_NS	(1000ull * 1000000)

const char index_schema[] =
	"CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS obj(oid BLOB PRIMARY KEY, parent BLOB NOT NULL, name BLOB NOT NULL,"
	" fh BLOB NOT NULL, loc BLOB NOT NULL, pu INTEGER NOT NULL, mode INTEGER NOT NULL, nlink INTEGER NOT NULL,"
	" version INTEGER NOT NULL, tag INTEGER NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,"
	" mtime_ns INTEGER NOT NULL, ctime INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, shift INTEGER NOT NULL,"
	" flags INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS map(oid BLOB PRIMARY KEY, version INTEGER NOT NULL, tag INTEGER NOT NULL,"
	" present INTEGER NOT NULL, bits BLOB NOT NULL, crc INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS name(oid BLOB NOT NULL, parent BLOB NOT NULL, name BLOB NOT NULL,"
	" PRIMARY KEY(oid, parent, name)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS use(oid BLOB PRIMARY KEY, last INTEGER NOT NULL, bytes INTEGER NOT NULL,"
	" rank INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS use_rank ON use(rank, oid);"
	"CREATE TABLE IF NOT EXISTS dir_use(oid BLOB PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS dir_use_last ON dir_use(last, oid);"
	"CREATE TABLE IF NOT EXISTS pin(oid BLOB PRIMARY KEY, path BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS seq(shard INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL) STRICT;";

/* ---- memory ---- */

static void cobj_free(struct cache *c, struct cobj *o)
{
	map_del(&c->objs, o->oid);
	list_del(&o->lru);
	list_del(&o->unsettled);
	c->nlru--;
	free(o->loc);
	free(o->name);
	free(o->map);
	free(o->fly);
	free(o);
}

static bool cobj_idle(const struct cobj *o)
{
	return !o->refs && !o->user && list_empty(&o->unsettled);
}

static void lru_trim(struct cache *c)
{
	struct list *p, *t;
	unsigned int looked = 0;

	if (c->nlru <= CACHE_LRU_MAX)
		return;
	list_for_each_safe(p, t, &c->lru) {
		struct cobj *o = container_of(p, struct cobj, lru);

		if (cobj_idle(o))
			cobj_free(c, o);
		if (c->nlru <= CACHE_LRU_MAX || ++looked > 64)
			break;
	}
}

static void lru_touch(struct cache *c, struct cobj *o)
{
	list_del(&o->lru);
	list_add_tail(&c->lru, &o->lru);
}

static struct cobj *cobj_new(struct cache *c, const u8 *oid)
{
	struct cobj *o = xcalloc(1, sizeof(*o));

	memcpy(o->oid, oid, AUGUR_OID_LEN);
	list_init(&o->lru);
	list_init(&o->unsettled);
	list_add_tail(&c->lru, &o->lru);
	map_put(&c->objs, o);
	c->nlru++;
	return o;
}

struct cobj *cobj_peek_any(struct cache *c, const u8 *oid)
{
	struct cobj *o = map_get(&c->objs, oid);

	if (o)
		lru_touch(c, o);
	return o;
}

/* Of one known by half the owner has to be asked: as if it were not known. */
static struct cobj *unless_half(struct cobj *o)
{
	return o && !(o->flags & COBJ_HALF) ? o : NULL;
}

struct cobj *cobj_peek(struct cache *c, const u8 *oid)
{
	return unless_half(cobj_peek_any(c, oid));
}

void cobj_put(struct cache *c, struct cobj *o)
{
	if (!o)
		return;
	o->refs--;
	lru_trim(c);
}

static void cobj_set_names(struct cobj *o, const u8 *loc, size_t loc_len, const u8 *parent,
			   const char *name, size_t name_len)
{
	if (loc_len) {
		u8 *copy = xmemdup(loc, loc_len);

		free(o->loc);
		o->loc = copy;
		o->loc_len = loc_len;
	}
	if (parent)
		memcpy(o->parent, parent, AUGUR_OID_LEN);
	if (name) {
		char *copy = xmalloc(name_len + 1);

		memcpy(copy, name, name_len);
		copy[name_len] = 0;
		free(o->name);
		o->name = copy;
		o->name_len = name_len;
	}
}

/* The tag is made of times and size, which is what is known of one without it. */
static bool same_state(const struct cobj *o, const struct wire_attr *a)
{
	if (!(o->flags & COBJ_HALF))
		return o->version == a->version && o->tag == a->tag;
	return o->version == a->version && o->size == a->size && o->ctime_sec == a->ctime_sec &&
	       o->ctime_nsec == a->ctime_nsec && o->mtime_sec == a->mtime_sec && o->mtime_nsec == a->mtime_nsec;
}

struct cobj *cobj_update(struct cache *c, const struct wire_attr *a, const u8 *loc, size_t loc_len,
			 const u8 *parent, const char *name, size_t name_len, const struct fh *fh,
			 u8 shift, u8 flags)
{
	struct cobj *o = cobj_peek_any(c, a->oid);
	bool fresh = !o;

	if (!o) {
		o = cobj_new(c, a->oid);
		c->n_objects++;
	}
	if (fresh || !fh_equal(&o->fh, fh) || !same_state(o, a)) {
		bool dir = S_ISDIR(a->mode);

		/* Presence belongs to one version in one inode; a directory's is kept by its record. */
		if (!fresh && !dir)
			cobj_drop_presence(o);
		list_del(&o->unsettled);
		o->flags &= COBJ_AHEAD;
		o->ahead_left = 0;
	}
	o->flags = (o->flags & ~(COBJ_STALE | COBJ_HALF)) | flags;
	if (a->nlink > 1 && !S_ISDIR(a->mode))
		o->flags |= COBJ_LINKS;
	o->fh = *fh;
	o->pu = a->pu;
	o->mode = a->mode;
	o->nlink = a->nlink;
	o->version = a->version;
	o->tag = a->tag;
	o->size = a->size;
	o->mtime_sec = a->mtime_sec;
	o->mtime_nsec = a->mtime_nsec;
	o->ctime_sec = a->ctime_sec;
	o->ctime_nsec = a->ctime_nsec;
	o->shift = shift;
	cobj_set_names(o, loc, loc_len, parent, name, name_len);
	cobj_store(c, o);
	lru_trim(c);
	return o;
}

/* ---- rows, in groups ---- */

struct row {
	u8	oid[AUGUR_OID_LEN], parent[AUGUR_OID_LEN];
	struct fh fh;
	u32	pu, mode, nlink, mtime_nsec, ctime_nsec;
	u64	version, tag, size;
	s64	mtime_sec, ctime_sec;
	u8	shift, flags, loc_len, name_len;
	bool	forget, extra_name, last_name;
	u8	loc[WIRE_LOCATOR_MAX];
	char	name[AUGUR_NAME_MAX];
};

struct index_batch { struct db_job job; struct cache *c; u32 n; struct row rows[BATCH_ROWS]; };

int index_run(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : -EIO;
}

int index_forget(sqlite3 *sq, const u8 *oid)
{
	static const char *const sql[] = {
		"DELETE FROM obj WHERE oid = ?1", "DELETE FROM map WHERE oid = ?1", "DELETE FROM name WHERE oid = ?1",
		"DELETE FROM use WHERE oid = ?1", "DELETE FROM dir_use WHERE oid = ?1",
	};
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sql) && !err; i++) {
		sqlite3_stmt *st = db_stmt(sq, sql[i]);

		if (!st)
			return -EIO;
		sqlite3_bind_blob(st, 1, oid, AUGUR_OID_LEN, SQLITE_STATIC);
		err = index_run(st);
	}
	return err;
}

static int db_name(sqlite3 *sq, const struct row *r)
{
	sqlite3_stmt *st = db_stmt(sq, "INSERT OR IGNORE INTO name(oid, parent, name) VALUES(?1, ?2, ?3)");

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, r->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(st, 2, r->parent, AUGUR_OID_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(st, 3, r->name, r->name_len, SQLITE_STATIC);
	return index_run(st);
}

/* Of an object that is not in memory: is it known by this inode, and by one name if that is asked? 1, 0 or -errno. */
static int db_is_only(sqlite3 *sq, const struct row *r)
{
	sqlite3_stmt *st = db_stmt(sq, "SELECT 1 FROM obj WHERE oid = ?1 AND fh = ?2 AND (?3 OR nlink < 2 OR mode & 61440 = 16384)");
	int rc;

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, r->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(st, 2, r->fh.b, r->fh.len, SQLITE_STATIC);
	sqlite3_bind_int(st, 3, r->last_name);
	rc = sqlite3_step(st);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -EIO;
}

static int db_row(sqlite3 *sq, const struct row *r)
{
	int only = r->forget && r->fh.len ? db_is_only(sq, r) : 1;
	sqlite3_stmt *st;

	if (only <= 0)
		return only;
	if (r->forget)
		return index_forget(sq, r->oid);
	if (r->extra_name)
		return db_name(sq, r);
	st = db_stmt(sq, "INSERT OR REPLACE INTO obj VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)");
	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, r->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(st, 2, r->parent, AUGUR_OID_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(st, 3, r->name, r->name_len, SQLITE_STATIC);
	sqlite3_bind_blob(st, 4, r->fh.b, r->fh.len, SQLITE_STATIC);
	sqlite3_bind_blob(st, 5, r->loc, r->loc_len, SQLITE_STATIC);
	sqlite3_bind_int64(st, 6, r->pu);
	sqlite3_bind_int64(st, 7, r->mode);
	sqlite3_bind_int64(st, 8, r->nlink);
	sqlite3_bind_int64(st, 9, (s64)r->version);
	sqlite3_bind_int64(st, 10, (s64)r->tag);
	sqlite3_bind_int64(st, 11, (s64)r->size);
	sqlite3_bind_int64(st, 12, r->mtime_sec);
	sqlite3_bind_int64(st, 13, r->mtime_nsec);
	sqlite3_bind_int64(st, 14, r->ctime_sec);
	sqlite3_bind_int64(st, 15, r->ctime_nsec);
	sqlite3_bind_int64(st, 16, r->shift);
	sqlite3_bind_int64(st, 17, r->flags);
	return index_run(st);
}

static int db_batch(sqlite3 *sq, struct db_job *job)
{
	struct index_batch *b = container_of(job, struct index_batch, job);
	int err = 0;

	for (u32 i = 0; i < b->n && !err; i++)
		err = db_row(sq, &b->rows[i]);
	return err;
}

static void batch_free(struct db_job *job)
{
	free(container_of(job, struct index_batch, job));
}

static struct row *row_new(struct cache *c);

/* As it is by now: what is newer may be written already. */
static void row_again(struct cache *c, const struct row *r)
{
	struct cobj *o = map_get(&c->objs, r->oid);

	if (r->forget ? !o || (o->flags & COBJ_STALE) : r->extra_name && o)
		*row_new(c) = *r;
	else if (!r->forget && !r->extra_name && o)
		cobj_store(c, o);
	else if (!r->forget)
		c->rows_lost = true;
}

/* The inode is gone, and so is its row, or it will be; meanwhile somebody has loaded the row. */
static void loaded_from(struct cache *c, const struct row *r)
{
	if (r->forget && r->fh.len && map_get(&c->objs, r->oid))
		cobj_forget_inode(c, r->oid, &r->fh, r->last_name);
}

/*
 * An object without a row is not compared with its owner, nor marked when he tells of a change, so
 * rows that the disk refused are written again, until it takes them or their objects are not in
 * memory any more.
 */
static void batch_done(struct db_job *job, int res)
{
	struct index_batch *b = container_of(job, struct index_batch, job);
	struct cache *c = b->c;

	if (res && !c->rows_refused)
		log_warn("event=index_write error=\"%s\" action=retry hint=\"check the cache disk\"", strerror(-res));
	c->rows_refused = res;
	if (res && (c->closing || !c->db))
		c->rows_lost = true;
	for (u32 i = 0; i < b->n && !c->closing && c->db; i++) {
		loaded_from(c, &b->rows[i]);
		if (res)
			row_again(c, &b->rows[i]);
	}
	batch_free(job);
}

void index_flush(struct cache *c)
{
	struct index_batch *b = c->batch;

	c->batch = NULL;
	if (!b)
		return;
	if (!c->db) {		/* closed meanwhile */
		free(b);
		return;
	}
	b->c = c;
	b->job.fn = db_batch;
	b->job.done = batch_done;
	b->job.free_fn = batch_free;
	index_queue(c, &b->job);
}

static void batch_due(struct io_op *op, int res)
{
	struct cache *c = container_of(op, struct cache, batch_op);

	if (res != -ECANCELED)
		index_flush(c);
}

static struct row *row_new(struct cache *c)
{
	struct row *r;

	if (c->batch && c->batch->n == BATCH_ROWS)
		index_flush(c);
	if (!c->batch) {
		c->batch = xmalloc(sizeof(*c->batch));
		memset(&c->batch->job, 0, sizeof(c->batch->job));
		c->batch->n = 0;
		if (!c->batch_op.busy && !c->closing) {
			c->batch_op.done = batch_due;
			c->io->ops->timer(c->io, &c->batch_op, io_now(c->io) + BATCH_DELAY_NS);
		}
	}
	r = &c->batch->rows[c->batch->n++];
	memset(r, 0, offsetof(struct row, loc));
	return r;
}

void cobj_store(struct cache *c, struct cobj *o)
{
	struct row *r = row_new(c);

	memcpy(r->oid, o->oid, AUGUR_OID_LEN);
	memcpy(r->parent, o->parent, AUGUR_OID_LEN);
	r->fh = o->fh;
	r->pu = o->pu;
	r->mode = o->mode;
	r->nlink = o->nlink;
	r->version = o->version;
	r->tag = o->tag;
	r->size = o->size;
	r->mtime_sec = o->mtime_sec;
	r->mtime_nsec = o->mtime_nsec;
	r->ctime_sec = o->ctime_sec;
	r->ctime_nsec = o->ctime_nsec;
	r->shift = o->shift;
	r->flags = o->flags & COBJ_STORED;
	r->loc_len = min((size_t)o->loc_len, sizeof(r->loc));
	memcpy(r->loc, o->loc ? o->loc : (const u8 *)"", r->loc_len);
	r->name_len = o->name_len;
	memcpy(r->name, o->name ? o->name : "", r->name_len);
}

void cobj_name_add(struct cache *c, const u8 *oid, const u8 *parent, const char *name, size_t len)
{
	struct row *r = row_new(c);

	r->extra_name = true;
	memcpy(r->oid, oid, AUGUR_OID_LEN);
	memcpy(r->parent, parent, AUGUR_OID_LEN);
	r->name_len = len;
	memcpy(r->name, name, len);
}

static void loads_again(struct cache *c, const u8 *oid);

/* @fh: only if it is known by this inode, and has one name or @last says so; NULL: however. */
static void row_forget(struct cache *c, const u8 *oid, const struct fh *fh, bool last)
{
	struct row *r = row_new(c);

	r->forget = true;
	memcpy(r->oid, oid, AUGUR_OID_LEN);
	r->last_name = last;
	if (fh)
		r->fh = *fh;
	loads_again(c, oid);
}

bool cobj_forget_inode(struct cache *c, const u8 *oid, const struct fh *fh, bool last)
{
	struct cobj *o = map_get(&c->objs, oid);

	if (!o)
		row_forget(c, oid, fh, last);
	if (!o || !fh_equal(&o->fh, fh) || (!last && o->nlink > 1 && !cobj_is_dir(o)))
		return false;
	cobj_forget(c, oid);
	return true;
}

void cobj_forget(struct cache *c, const u8 *oid)
{
	struct cobj *o = map_get(&c->objs, oid);

	row_forget(c, oid, NULL, true);
	if (!o)
		return;
	if (cobj_idle(o))
		cobj_free(c, o);
	else
		o->flags |= COBJ_STALE;
}

/* ---- loading ---- */

struct load {
	struct db_job	job;
	struct cache	*c;
	u8		oid[AUGUR_OID_LEN];
	bool		found, has_map;
	struct row	row;
	struct map_row	map;
	u32		crc;
	bool		any, again;	/* again: it was forgotten meanwhile, and is looked at once more */
	struct list	link;		/* cache.loads */
	cobj_fn		*fn;
	void		*arg;
};

static void loads_again(struct cache *c, const u8 *oid)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &c->loads) {
		struct load *l = container_of(p, struct load, link);

		l->again |= !memcmp(l->oid, oid, AUGUR_OID_LEN);
	}
}

/* The column's bytes, or what is longer than @cap: then none are taken. */
static size_t col_blob(sqlite3_stmt *st, int col, void *buf, size_t cap)
{
	size_t n = sqlite3_column_bytes(st, col);
	const void *p = sqlite3_column_blob(st, col);

	if (n && n <= cap)
		memcpy(buf, p, n);
	return n;
}

/* Might the owner have told of such an object?  Else the row is damaged: it is asked for again. */
static bool row_is_sane(const struct row *r)
{
	if (!wire_is_mode(r->mode) || r->size > INT64_MAX || r->shift > 63)
		return false;
	if (r->mtime_nsec >= NSEC_PER_SEC || r->ctime_nsec >= NSEC_PER_SEC)
		return false;
	if (S_ISREG(r->mode) && augur_map_bytes(r->size, r->shift) > AUGUR_MAP_MAX)
		return false;
	return !r->name_len || !augur_name_check(r->name, r->name_len);	/* none: the root */
}

/* False: what cannot be of ours. */
static bool db_load_row(sqlite3_stmt *st, struct row *r)
{
	size_t parent = col_blob(st, 1, r->parent, AUGUR_OID_LEN), name = col_blob(st, 2, r->name, sizeof(r->name));
	size_t fh = col_blob(st, 3, r->fh.b, sizeof(r->fh.b)), loc = col_blob(st, 4, r->loc, sizeof(r->loc));

	if (parent != AUGUR_OID_LEN || name > sizeof(r->name) || fh < 5 || fh > sizeof(r->fh.b) || loc > sizeof(r->loc))
		return false;
	r->name_len = name;
	r->fh.len = fh;
	r->loc_len = loc;
	r->pu = sqlite3_column_int64(st, 5);
	r->mode = sqlite3_column_int64(st, 6);
	r->nlink = sqlite3_column_int64(st, 7);
	r->version = sqlite3_column_int64(st, 8);
	r->tag = sqlite3_column_int64(st, 9);
	r->size = sqlite3_column_int64(st, 10);
	r->mtime_sec = sqlite3_column_int64(st, 11);
	r->mtime_nsec = sqlite3_column_int64(st, 12);
	r->ctime_sec = sqlite3_column_int64(st, 13);
	r->ctime_nsec = sqlite3_column_int64(st, 14);
	r->shift = sqlite3_column_int64(st, 15);
	r->flags = sqlite3_column_int64(st, 16);
	return row_is_sane(r);
}

static int db_load(sqlite3 *sq, struct db_job *job)
{
	struct load *l = container_of(job, struct load, job);
	sqlite3_stmt *st = db_stmt(sq, "SELECT * FROM obj WHERE oid = ?1");

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, l->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	if (sqlite3_step(st) == SQLITE_ROW)
		l->found = db_load_row(st, &l->row);
	sqlite3_reset(st);
	st = db_stmt(sq, "SELECT version, tag, present, bits, crc FROM map WHERE oid = ?1");
	if (!l->found || !st)
		return 0;
	sqlite3_bind_blob(st, 1, l->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	if (sqlite3_step(st) == SQLITE_ROW) {
		memcpy(l->map.oid, l->oid, AUGUR_OID_LEN);
		l->map.fh = l->row.fh;
		l->map.version = sqlite3_column_int64(st, 0);
		l->map.tag = sqlite3_column_int64(st, 1);
		l->map.present = sqlite3_column_int64(st, 2);
		l->map.map = xmalloc(AUGUR_MAP_MAX);
		l->map.len = col_blob(st, 3, l->map.map, AUGUR_MAP_MAX);
		l->crc = sqlite3_column_int64(st, 4);
		l->has_map = true;
	}
	sqlite3_reset(st);
	return 0;
}

static void load_map(struct load *l, struct cobj *o)
{
	size_t n = augur_map_bytes(o->size, o->shift);

	/* A claim that cannot be believed is no claim (R2). */
	if (!l->has_map || l->map.version != o->version || l->map.tag != o->tag || l->map.len != n ||
	    map_row_crc(&l->map) != l->crc)
		return;
	cobj_map_need(o);
	memcpy(o->map, l->map.map, n);
	o->settled = cobj_present_bytes(o);
}

static struct cobj *load_obj(struct load *l)
{
	struct row *r = &l->row;
	struct cobj *o = cobj_new(l->c, l->oid);

	o->fh = r->fh;
	o->pu = r->pu;
	o->mode = r->mode;
	o->nlink = r->nlink;
	o->version = r->version;
	o->tag = r->tag;
	o->size = r->size;
	o->mtime_sec = r->mtime_sec;
	o->mtime_nsec = r->mtime_nsec;
	o->ctime_sec = r->ctime_sec;
	o->ctime_nsec = r->ctime_nsec;
	o->shift = r->shift;
	o->flags = r->flags & COBJ_STORED;
	cobj_set_names(o, r->loc, r->loc_len, r->parent, r->name, r->name_len);
	if (cobj_is_file(o))
		load_map(l, o);
	return o;
}

static void load_start(struct load *l)
{
	/* What is only in the batch must be found too. */
	index_flush(l->c);
	l->found = l->has_map = l->again = false;
	index_queue(l->c, &l->job);
}

static void load_done(struct db_job *job, int res)
{
	struct load *l = container_of(job, struct load, job);
	struct cobj *o = cobj_peek_any(l->c, l->oid);	/* somebody else may have been faster */

	if (!o && !res && l->found && l->again) {
		free(l->map.map);
		l->map.map = NULL;
		load_start(l);
		return;
	}
	list_del(&l->link);
	if (!o && !res && l->found)
		o = load_obj(l);
	l->fn(l->arg, l->any ? o : unless_half(o));
	lru_trim(l->c);
	free(l->map.map);
	free(l);
}

static void load(struct cache *c, const u8 *oid, bool any, cobj_fn *fn, void *arg)
{
	struct load *l = xcalloc(1, sizeof(*l));

	l->c = c;
	memcpy(l->oid, oid, AUGUR_OID_LEN);
	l->any = any;
	l->fn = fn;
	l->arg = arg;
	l->job.fn = db_load;
	l->job.done = load_done;
	list_add_tail(&c->loads, &l->link);
	load_start(l);
}

void cobj_load(struct cache *c, const u8 *oid, cobj_fn *fn, void *arg)
{
	load(c, oid, false, fn, arg);
}

void cobj_load_any(struct cache *c, const u8 *oid, cobj_fn *fn, void *arg)
{
	load(c, oid, true, fn, arg);
}

/* ---- start and end ---- */

struct late { struct io_op op; struct cache *c; struct db_job *job; };

static void late_due(struct io_op *op, int res)
{
	struct late *l = container_of(op, struct late, op);

	cache_worked(l->c);
	if (l->job->done)
		l->job->done(l->job, -ESHUTDOWN);
	else if (l->job->free_fn)
		l->job->free_fn(l->job);
	free(l);
}

void index_queue(struct cache *c, struct db_job *job)
{
	struct late *l;

	if (c->db) {
		db_queue(c->db, job);
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->c = c;
	l->job = job;
	c->busy++;
	l->op.done = late_due;
	c->io->ops->timer(c->io, &l->op, 0);
}

void index_init(struct cache *c)
{
	map_init(&c->objs, offsetof(struct cobj, oid), AUGUR_OID_LEN);
	list_init(&c->lru);
	list_init(&c->unsettled);
	list_init(&c->loads);
	use_init(c);
	pins_init(c);
}

void index_exit(struct cache *c)
{
	struct list *p, *t;

	free(c->batch);
	c->batch = NULL;
	use_exit(c);
	pins_exit(c);
	list_for_each_safe(p, t, &c->lru)
		cobj_free(c, container_of(p, struct cobj, lru));
	map_free(&c->objs);
}
