// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tables.c - the rarer jobs on the index: maps of partial files, names of linked objects,
 * sweeps over everything, sequence numbers, the meta table.  Functions named db_* run on the
 * database's thread.
 */
#include "base/log.h"
#include "cache/index.h"

/* ---- maps ---- */

struct maps_job {
	struct db_job	job;
	struct map_row	*rows;
	size_t		n;
	void		(*done)(void *arg, int res);
	void		*arg;
};

u32 map_row_crc(const struct map_row *r)
{
	CLEANUP_FREE u8 *buf = xmalloc(AUGUR_OID_LEN + 16 + AUGUR_FH_MAX + r->len);
	u64 v = cpu_to_le64(r->version), t = cpu_to_le64(r->tag);
	u8 *p = mempcpy(buf, r->oid, AUGUR_OID_LEN);

	p = mempcpy(p, &v, 8);
	p = mempcpy(p, &t, 8);
	p = mempcpy(p, r->fh.b, r->fh.len);
	p = mempcpy(p, r->map, r->len);
	return augur_crc32c(buf, p - buf);
}

static int db_map(sqlite3 *sq, const struct map_row *r)
{
	sqlite3_stmt *st = db_stmt(sq, r->drop ? "DELETE FROM map WHERE oid = ?1" :
					"INSERT OR REPLACE INTO map VALUES(?1, ?2, ?3, ?4, ?5, ?6)");

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, r->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	if (!r->drop) {
		sqlite3_bind_int64(st, 2, (s64)r->version);
		sqlite3_bind_int64(st, 3, (s64)r->tag);
		sqlite3_bind_int64(st, 4, (s64)r->present);
		sqlite3_bind_blob(st, 5, r->map, r->len, SQLITE_STATIC);
		sqlite3_bind_int64(st, 6, map_row_crc(r));
	}
	return index_run(st);
}

static int db_maps(sqlite3 *sq, struct db_job *job)
{
	struct maps_job *m = container_of(job, struct maps_job, job);
	int err = 0;

	for (size_t i = 0; i < m->n && !err; i++)
		err = db_map(sq, &m->rows[i]);
	return err;
}

static void maps_done(struct db_job *job, int res)
{
	struct maps_job *m = container_of(job, struct maps_job, job);

	m->done(m->arg, res);
	for (size_t i = 0; i < m->n; i++)
		free(m->rows[i].map);
	free(m->rows);
	free(m);
}

void index_maps_store(struct cache *c, struct map_row *rows, size_t n, void (*done)(void *arg, int res), void *arg)
{
	struct maps_job *m = xcalloc(1, sizeof(*m));

	m->rows = rows;
	m->n = n;
	m->done = done;
	m->arg = arg;
	m->job.fn = db_maps;
	m->job.done = maps_done;
	index_queue(c, &m->job);
}

/* ---- names of an object ---- */

struct names_job {
	struct db_job	job;
	struct cache	*c;
	u8		oid[AUGUR_OID_LEN];
	struct cobj_name *names;
	size_t		n, cap;
	cobj_names_fn	*fn;
	void		*arg;
};

static struct cobj_name *names_room(struct names_job *j)
{
	if (j->n == j->cap) {
		j->cap = j->cap ? j->cap * 2 : 4;
		j->names = xrealloc(j->names, j->cap * sizeof(*j->names));
	}
	memset(&j->names[j->n], 0, sizeof(j->names[0]));
	return &j->names[j->n++];
}

static bool names_have(const struct names_job *j, const u8 *parent, const void *name, size_t len)
{
	for (size_t i = 0; i < j->n; i++)
		if (j->names[i].len == len && !memcmp(j->names[i].parent, parent, AUGUR_OID_LEN) &&
		    !memcmp(j->names[i].name, name, len))
			return true;
	return false;
}

static void db_name_take(struct names_job *j, const void *parent, const void *name, int len)
{
	struct cobj_name *nm;

	if (!parent || len < 1 || len > AUGUR_NAME_MAX || augur_name_check(name, len) || names_have(j, parent, name, len))
		return;
	nm = names_room(j);
	memcpy(nm->parent, parent, AUGUR_OID_LEN);
	memcpy(nm->name, name, len);
	nm->len = len;
}

static void db_parent_fh(sqlite3 *sq, struct cobj_name *nm)
{
	sqlite3_stmt *st = db_stmt(sq, "SELECT fh FROM obj WHERE oid = ?1");
	const void *p;
	int n;

	if (!st)
		return;
	sqlite3_bind_blob(st, 1, nm->parent, AUGUR_OID_LEN, SQLITE_STATIC);
	if (sqlite3_step(st) == SQLITE_ROW) {
		p = sqlite3_column_blob(st, 0);
		n = sqlite3_column_bytes(st, 0);
		if (p)
			fh_set(&nm->parent_fh, p, n);
	}
	sqlite3_reset(st);
}

static int db_names(sqlite3 *sq, struct db_job *job)
{
	struct names_job *j = container_of(job, struct names_job, job);
	sqlite3_stmt *st = db_stmt(sq, "SELECT parent, name FROM name WHERE oid = ?1"
				       " UNION SELECT parent, name FROM obj WHERE oid = ?1");

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, j->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	while (sqlite3_step(st) == SQLITE_ROW && j->n < 65536)
		if (sqlite3_column_bytes(st, 0) == AUGUR_OID_LEN)
			db_name_take(j, sqlite3_column_blob(st, 0), sqlite3_column_blob(st, 1), sqlite3_column_bytes(st, 1));
	sqlite3_reset(st);
	for (size_t i = 0; i < j->n; i++)
		db_parent_fh(sq, &j->names[i]);
	return 0;
}

static void names_done(struct db_job *job, int res)
{
	struct names_job *j = container_of(job, struct names_job, job);

	j->fn(j->arg, j->names, res ? 0 : j->n);
	free(j->names);
	free(j);
}

void cobj_names(struct cache *c, struct cobj *o, cobj_names_fn *fn, void *arg)
{
	struct names_job *j = xcalloc(1, sizeof(*j));

	index_flush(c);
	j->c = c;
	memcpy(j->oid, o->oid, AUGUR_OID_LEN);
	j->fn = fn;
	j->arg = arg;
	j->job.fn = db_names;
	j->job.done = names_done;
	index_queue(c, &j->job);
}

/* ---- sweep ---- */

struct briefs_job {
	struct db_job	job;
	bool		(*want)(void *arg, u32 pu);
	struct cobj_brief *b;
	size_t		n, cap;
	cobj_briefs_fn	*fn;
	void		*arg;
};

static int db_briefs(sqlite3 *sq, struct db_job *job)
{
	struct briefs_job *j = container_of(job, struct briefs_job, job);
	sqlite3_stmt *st = db_stmt(sq, "SELECT oid, loc, pu, mode, version, tag, flags FROM obj");

	if (!st)
		return -EIO;
	while (sqlite3_step(st) == SQLITE_ROW) {
		u32 pu = sqlite3_column_int64(st, 2);
		int loc_len = sqlite3_column_bytes(st, 1);
		struct cobj_brief *b;

		if (sqlite3_column_bytes(st, 0) != AUGUR_OID_LEN || loc_len > WIRE_LOCATOR_MAX || !j->want(j->arg, pu))
			continue;
		if (j->n == j->cap) {
			j->cap = j->cap ? j->cap * 2 : 1024;
			j->b = xrealloc(j->b, j->cap * sizeof(*j->b));
		}
		b = &j->b[j->n++];
		memcpy(b->oid, sqlite3_column_blob(st, 0), AUGUR_OID_LEN);
		b->loc_len = loc_len;
		if (loc_len)
			memcpy(b->loc, sqlite3_column_blob(st, 1), loc_len);
		b->pu = pu;
		b->mode = sqlite3_column_int64(st, 3);
		b->version = sqlite3_column_int64(st, 4);
		b->tag = sqlite3_column_int64(st, 5);
		b->half = sqlite3_column_int64(st, 6) & COBJ_HALF;
	}
	sqlite3_reset(st);
	return 0;
}

static void briefs_done(struct db_job *job, int res)
{
	struct briefs_job *j = container_of(job, struct briefs_job, job);

	j->fn(j->arg, j->b, j->n);
	free(j);
}

/* want() runs on the database's thread: it may read only what does not change meanwhile. */
void cobj_briefs(struct cache *c, bool (*want)(void *arg, u32 pu), cobj_briefs_fn *fn, void *arg)
{
	struct briefs_job *j = xcalloc(1, sizeof(*j));

	index_flush(c);
	j->want = want;
	j->fn = fn;
	j->arg = arg;
	j->job.fn = db_briefs;
	j->job.done = briefs_done;
	index_queue(c, &j->job);
}

/* ---- sequence numbers ---- */

struct seq_job { struct db_job job; u32 shard, n; u64 epoch, seq; struct cache_seq *out; };

static int db_seq_store(sqlite3 *sq, struct db_job *job)
{
	struct seq_job *j = container_of(job, struct seq_job, job);
	sqlite3_stmt *st = db_stmt(sq, "INSERT OR REPLACE INTO seq VALUES(?1, ?2, ?3)");

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, j->shard);
	sqlite3_bind_int64(st, 2, (s64)j->epoch);
	sqlite3_bind_int64(st, 3, (s64)j->seq);
	return index_run(st);
}

static void seq_free(struct db_job *job)
{
	free(container_of(job, struct seq_job, job));
}

static void seq_done(struct db_job *job, int res)
{
	seq_free(job);
}

void cache_seq_store(struct cache *c, u32 shard, u64 epoch, u64 seq)
{
	struct seq_job *j = xcalloc(1, sizeof(*j));

	j->shard = shard;
	j->epoch = epoch;
	j->seq = seq;
	j->job.fn = db_seq_store;
	j->job.done = seq_done;
	j->job.free_fn = seq_free;
	index_queue(c, &j->job);
}

static int db_seq_load(sqlite3 *sq, struct db_job *job)
{
	struct seq_job *j = container_of(job, struct seq_job, job);
	sqlite3_stmt *st = db_stmt(sq, "SELECT shard, epoch, seq FROM seq");

	if (!st)
		return -EIO;
	while (sqlite3_step(st) == SQLITE_ROW) {
		s64 shard = sqlite3_column_int64(st, 0);

		if (shard >= 0 && shard < j->n)
			j->out[shard] = (struct cache_seq){ sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2) };
	}
	sqlite3_reset(st);
	return 0;
}

int cache_seq_load(struct cache *c, struct cache_seq *seqs, u32 n)
{
	struct seq_job j = { .job.fn = db_seq_load, .n = n, .out = seqs };

	memset(seqs, 0, n * sizeof(*seqs));
	return db_call(c->db, &j.job);
}

/* ---- meta ---- */

struct meta_job { struct db_job job; const char *key; const void *in; void *out; size_t len; };

static int db_meta_get(sqlite3 *sq, struct db_job *job)
{
	struct meta_job *j = container_of(job, struct meta_job, job);
	sqlite3_stmt *st = db_stmt(sq, "SELECT value FROM meta WHERE key = ?1");
	int err = -ENOENT;

	if (!st)
		return -EIO;
	sqlite3_bind_text(st, 1, j->key, -1, SQLITE_STATIC);
	if (sqlite3_step(st) == SQLITE_ROW && (size_t)sqlite3_column_bytes(st, 0) <= j->len) {
		j->len = sqlite3_column_bytes(st, 0);
		if (j->len)
			memcpy(j->out, sqlite3_column_blob(st, 0), j->len);
		err = 0;
	}
	sqlite3_reset(st);
	return err;
}

static int db_meta_put(sqlite3 *sq, struct db_job *job)
{
	struct meta_job *j = container_of(job, struct meta_job, job);
	sqlite3_stmt *st = db_stmt(sq, "INSERT OR REPLACE INTO meta VALUES(?1, ?2)");

	if (!st)
		return -EIO;
	sqlite3_bind_text(st, 1, j->key, -1, SQLITE_STATIC);
	sqlite3_bind_blob(st, 2, j->in, j->len, SQLITE_STATIC);
	return index_run(st);
}

int index_meta_checked(sqlite3 *sq, const char *boot)
{
	struct meta_job j = { .key = "boot_id", .in = boot, .len = strlen(boot) };
	sqlite3_stmt *st = db_stmt(sq, "DELETE FROM seq");
	int err = st ? index_run(st) : -EIO;

	return err ? err : db_meta_put(sq, &j.job);
}

int index_meta_get(struct cache *c, const char *key, void *buf, size_t *len)
{
	struct meta_job j = { .job.fn = db_meta_get, .key = key, .out = buf, .len = *len };
	int err = db_call(c->db, &j.job);

	*len = j.len;
	return err;
}

int index_meta_put(struct cache *c, const char *key, const void *buf, size_t len)
{
	struct meta_job j = { .job.fn = db_meta_put, .key = key, .in = buf, .len = len };

	return db_call(c->db, &j.job);
}
