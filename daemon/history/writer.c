// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * writer.c - access records into SQLite: gathered on the loop thread, written in one job per
 * batch on the database's thread.  No secondary index (it costs 20 times the insert).
 *
 * Path ids are given out here, from a map in memory that is filled from the table at open; a
 * batch carries the new ids and the names learnt since the last one.  A database that cannot
 * keep up is not waited for: beyond QUEUE_MAX batches records are dropped and counted.
 */
#include "base/log.h"
#include "history/impl.h"

#define QUEUE_MAX	16
#define PRUNE_STEP	20000

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS path(id INTEGER PRIMARY KEY, oid BLOB NOT NULL, parent INTEGER NOT NULL,"
	" name BLOB) STRICT;"
	"CREATE TABLE IF NOT EXISTS access(id INTEGER PRIMARY KEY, t INTEGER NOT NULL, session INTEGER NOT NULL,"
	" open INTEGER NOT NULL, op INTEGER NOT NULL, flags INTEGER NOT NULL, path INTEGER NOT NULL,"
	" off INTEGER NOT NULL, len INTEGER NOT NULL, lat INTEGER NOT NULL) STRICT;"
	"CREATE TABLE IF NOT EXISTS who(id INTEGER PRIMARY KEY, session INTEGER NOT NULL, open INTEGER NOT NULL,"
	" pid INTEGER NOT NULL, uid INTEGER NOT NULL, comm BLOB NOT NULL) STRICT;";

/* ---- database thread ---- */

static int run(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : -EIO;
}

static int db_paths(sqlite3 *sq, const struct hist_batch *b)
{
	int err = 0;

	for (size_t i = 0; i < b->npaths && !err; i++) {
		const struct hist_path *p = &b->paths[i];
		sqlite3_stmt *st = db_stmt(sq, "INSERT INTO path VALUES(?1, ?2, ?3, ?4) ON CONFLICT(id) DO UPDATE SET"
					       " parent = ?3, name = ?4 WHERE ?4 IS NOT NULL");

		if (!st)
			return -EIO;
		sqlite3_bind_int64(st, 1, p->id);
		sqlite3_bind_blob(st, 2, p->oid, AUGUR_OID_LEN, SQLITE_STATIC);
		sqlite3_bind_int64(st, 3, p->parent);
		if (p->name)
			sqlite3_bind_blob(st, 4, p->name, p->len, SQLITE_STATIC);
		err = run(st);
	}
	return err;
}

static int db_access(sqlite3 *sq, const struct hist_rec *r)
{
	const struct augur_event *e = &r->ev;
	sqlite3_stmt *st = db_stmt(sq, "INSERT INTO access VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)");

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, r->id);
	sqlite3_bind_int64(st, 2, (s64)le64_to_cpu(e->time_ns));
	sqlite3_bind_int64(st, 3, (s64)le64_to_cpu(e->session_key));
	sqlite3_bind_int64(st, 4, le32_to_cpu(e->open_id));
	sqlite3_bind_int64(st, 5, e->op);
	sqlite3_bind_int64(st, 6, e->flags);
	sqlite3_bind_int64(st, 7, r->path);
	sqlite3_bind_int64(st, 8, (s64)le64_to_cpu(e->off));
	sqlite3_bind_int64(st, 9, (s64)le64_to_cpu(e->len));
	sqlite3_bind_int64(st, 10, le32_to_cpu(e->latency_us));
	return run(st);
}

static int db_who(sqlite3 *sq, const struct hist_rec *r)
{
	const struct augur_event_who *w = (const void *)&r->ev;
	sqlite3_stmt *st = db_stmt(sq, "INSERT OR REPLACE INTO who VALUES(?1, ?2, ?3, ?4, ?5, ?6)");

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, r->id);
	sqlite3_bind_int64(st, 2, (s64)le64_to_cpu(w->session_key));
	sqlite3_bind_int64(st, 3, le32_to_cpu(w->open_id));
	sqlite3_bind_int64(st, 4, le32_to_cpu(w->tgid));
	sqlite3_bind_int64(st, 5, le32_to_cpu(w->uid));
	sqlite3_bind_blob(st, 6, w->comm, strnlen((const char *)w->comm, sizeof(w->comm)), SQLITE_STATIC);
	return run(st);
}

static int db_prune(sqlite3 *sq, s64 newest)
{
	static const char *const sql[] = {
		"DELETE FROM access WHERE id IN (SELECT id FROM access WHERE id <= ?1 ORDER BY id LIMIT ?2)",
		"DELETE FROM who WHERE id IN (SELECT id FROM who WHERE id <= ?1 ORDER BY id LIMIT ?2)",
	};
	int err = 0;

	for (int i = 0; i < 2 && newest > HISTORY_KEEP && !err; i++) {
		sqlite3_stmt *st = db_stmt(sq, sql[i]);

		if (!st)
			return -EIO;
		sqlite3_bind_int64(st, 1, newest - HISTORY_KEEP);
		sqlite3_bind_int64(st, 2, PRUNE_STEP);
		err = run(st);
	}
	return err;
}

static int db_batch(sqlite3 *sq, struct db_job *job)
{
	struct hist_batch *b = container_of(job, struct hist_batch, job);
	int err = db_paths(sq, b);

	/* A WHO record has the number of its OPEN, so the two meet without an index. */
	for (size_t i = 0; i < b->n && !err; i++)
		err = b->recs[i].ev.op == AUGUR_EV_WHO ? db_who(sq, &b->recs[i]) : db_access(sq, &b->recs[i]);
	if (!err && b->n)
		err = db_prune(sq, b->recs[b->n - 1].id);
	return err;
}

/* ---- loop thread ---- */

static void batch_free(struct db_job *job)
{
	struct hist_batch *b = container_of(job, struct hist_batch, job);

	for (size_t i = 0; i < b->npaths; i++)
		free(b->paths[i].name);
	free(b->paths);
	free(b);
}

static void batch_done(struct db_job *job, int res)
{
	struct hist_batch *b = container_of(job, struct hist_batch, job);
	struct history *h = b->h;

	h->queued--;
	if (res) {
		h->st.dropped += b->n;
		log_warn("event=history_write error=\"%s\" dropped=%zu", strerror(-res), b->n);
	} else {
		h->st.accepted += b->n;
		h->st.rows += b->n;
	}
	batch_free(job);
}

void history_flush(struct history *h)
{
	struct hist_batch *b = h->batch;

	h->batch = NULL;
	if (!b)
		return;
	if (h->queued >= QUEUE_MAX && !h->closing) {
		h->st.dropped += b->n;
		b->n = 0;	/* names are kept: their ids have been given out */
	}
	h->queued++;
	b->job.fn = db_batch;
	b->job.done = batch_done;
	b->job.free_fn = batch_free;
	db_queue(h->db, &b->job);
}

static void flush_due(struct io_op *op, int res)
{
	struct history *h = container_of(op, struct history, flush_op);

	if (!h->closing)
		history_flush(h);
}

static struct hist_batch *batch_get(struct history *h)
{
	struct hist_batch *b = h->batch;

	if (b)
		return b;
	h->batch = b = xmalloc(sizeof(*b));
	memset(b, 0, offsetof(struct hist_batch, recs));
	b->h = h;
	if (!h->flush_op.busy) {
		h->flush_op.done = flush_due;
		h->io->ops->timer(h->io, &h->flush_op, io_now(h->io) + HISTORY_FLUSH_NS);
	}
	return b;
}

static struct hist_path *batch_path(struct history *h, const struct hist_known *k)
{
	struct hist_batch *b = batch_get(h);
	struct hist_path *p;

	if (b->npaths == b->paths_cap) {
		b->paths_cap = b->paths_cap ? b->paths_cap * 2 : 64;
		b->paths = xrealloc(b->paths, b->paths_cap * sizeof(*b->paths));
	}
	p = &b->paths[b->npaths++];
	memset(p, 0, sizeof(*p));
	memcpy(p->oid, k->oid, AUGUR_OID_LEN);
	p->id = k->id;
	return p;
}

static s64 path_id(struct history *h, const u8 *oid)
{
	static const u8 none[AUGUR_OID_LEN];
	struct hist_known *k = map_get(&h->known, oid);

	if (k)
		return k->id;
	if (!memcmp(oid, none, AUGUR_OID_LEN))
		return 0;
	k = xcalloc(1, sizeof(*k));
	memcpy(k->oid, oid, AUGUR_OID_LEN);
	k->id = ++h->last_path;
	map_put(&h->known, k);
	batch_path(h, k);
	if (h->namer)
		h->namer(h->namer_ctx, oid);
	return k->id;
}

void history_name(struct history *h, const u8 *oid, const u8 *parent, const char *name, size_t len)
{
	struct hist_known *k = map_get(&h->known, oid);
	struct hist_path *p;
	s64 up;

	if (!k || k->named)
		return;
	k->named = true;
	/* The root is its own parent. */
	up = memcmp(oid, parent, AUGUR_OID_LEN) ? path_id(h, parent) : 0;
	p = batch_path(h, k);
	p->parent = up;
	p->name = xmemdup(len ? name : "", len ? len : 1);
	p->len = len;
}

void history_set_namer(struct history *h, void (*fn)(void *ctx, const u8 *oid), void *ctx)
{
	h->namer = fn;
	h->namer_ctx = ctx;
}

void history_add(struct history *h, u32 cpu, u64 seq, u64 dropped, const struct augur_event *ev, size_t n)
{
	u32 slot = cpu % HIST_CPUS;

	if (dropped > h->cpu_dropped[slot])
		h->st.dropped += dropped - h->cpu_dropped[slot];
	h->cpu_dropped[slot] = dropped;
	for (size_t i = 0; i < n; i++) {
		s64 path = ev[i].op == AUGUR_EV_WHO ? 0 : path_id(h, ev[i].oid);
		struct hist_batch *b = batch_get(h);
		struct hist_rec *r = &b->recs[b->n++];

		r->ev = ev[i];
		r->path = path;
		r->id = ev[i].op == AUGUR_EV_WHO ? h->last_open[slot] : ++h->last_id;
		if (ev[i].op == AUGUR_EV_OPEN)
			h->last_open[slot] = r->id;
		if (b->n == HISTORY_BATCH)
			history_flush(h);
	}
}

void history_stats(const struct history *h, struct history_stats *st)
{
	*st = h->st;
}

/* ---- open, close ---- */

struct open_job { struct db_job job; struct history *h; };

static int db_start(sqlite3 *sq, struct db_job *job)
{
	struct history *h = container_of(job, struct open_job, job)->h;
	sqlite3_stmt *st = db_stmt(sq, "SELECT id, oid, name IS NOT NULL FROM path");

	if (!st)
		return -EIO;
	while (sqlite3_step(st) == SQLITE_ROW) {
		struct hist_known *k;

		if (sqlite3_column_bytes(st, 1) != AUGUR_OID_LEN)
			continue;
		k = xcalloc(1, sizeof(*k));
		k->id = sqlite3_column_int64(st, 0);
		memcpy(k->oid, sqlite3_column_blob(st, 1), AUGUR_OID_LEN);
		k->named = sqlite3_column_int(st, 2);
		h->last_path = max(h->last_path, k->id);
		free(map_put(&h->known, k));
	}
	sqlite3_reset(st);
	st = db_stmt(sq, "SELECT ifnull(max(id), 0), ifnull(max(id) - min(id) + 1, 0) FROM access");
	if (!st)
		return -EIO;
	if (sqlite3_step(st) == SQLITE_ROW) {
		h->last_id = sqlite3_column_int64(st, 0);
		h->st.rows = sqlite3_column_int64(st, 1);
	}
	sqlite3_reset(st);
	return 0;
}

int history_open(struct io *io, const char *path, struct history **out)
{
	struct history *h = xcalloc(1, sizeof(*h));
	struct open_job oj = { .job.fn = db_start, .h = h };
	int err;

	h->io = io;
	map_init(&h->known, offsetof(struct hist_known, oid), AUGUR_OID_LEN);
	err = db_open(io, path, DB_NORMAL, schema, 1, &h->db);
	if (err) {
		log_warn("event=history_open path=%s error=\"%s\" effect=\"no access log\"", path, strerror(-err));
		map_free(&h->known);
		free(h);
		return err;
	}
	err = db_call(h->db, &oj.job);
	if (err)
		log_warn("event=history_read path=%s error=\"%s\"", path, strerror(-err));
	*out = h;
	return 0;
}

static void close_last(struct io_op *op, int res)
{
	struct history *h = container_of(op, struct history, close_op);
	struct hist_known *k;
	size_t it = 0;

	while ((k = map_next(&h->known, &it)))
		free(k);
	map_free(&h->known);
	free(h);
}

void history_close(struct history *h)
{
	h->closing = true;
	history_flush(h);
	db_close(h->db);
	if (h->flush_op.busy)
		h->io->ops->cancel(h->io, &h->flush_op);
	/* The cancelled timer comes back before this one. */
	h->close_op.done = close_last;
	h->io->ops->timer(h->io, &h->close_op, io_now(h->io) + 1000000);
}
