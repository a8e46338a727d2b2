// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * store.c - the file of an access log: begun, checked, put aside when it cannot be used, closed.
 * Nothing about it ever keeps the daemon from serving.
 */
#include <stdio.h>

#include "base/log.h"
#include "history/impl.h"

#define RETAIN_NS	(60ull * 1000000000)	/* age counts without new rows, too */

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS path(id INTEGER PRIMARY KEY, oid BLOB NOT NULL, parent INTEGER NOT NULL,"
	" name BLOB) STRICT;"
	"CREATE TABLE IF NOT EXISTS segment(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, t0 INTEGER NOT NULL,"
	" t1 INTEGER NOT NULL, data BLOB NOT NULL) STRICT;"
	"CREATE TABLE IF NOT EXISTS scanner(session INTEGER PRIMARY KEY, t INTEGER NOT NULL, files INTEGER NOT NULL,"
	" dirs INTEGER NOT NULL, pid INTEGER NOT NULL, uid INTEGER NOT NULL, comm BLOB NOT NULL) STRICT;";

struct open_job { struct db_job job; struct history *h; };

static int db_start(sqlite3 *sq, struct db_job *job)
{
	struct history *h = container_of(job, struct open_job, job)->h;
	sqlite3_stmt *st = db_stmt(sq, "SELECT ifnull(max(id + n) - 1, 0) FROM segment");

	if (!st || sqlite3_step(st) != SQLITE_ROW)
		return -EUCLEAN;
	h->last_id = max(h->last_id, (s64)sqlite3_column_int64(st, 0));
	sqlite3_reset(st);
	h->count = (struct hist_count){ 0 };
	if (retain_count(sq, &h->count))
		return -EUCLEAN;
	return dict_load(sq, h);
}

void store_counted(struct history *h, const struct hist_count *c)
{
	h->st.rows = c->rows;
	h->st.segments = c->segments;
	h->st.bytes = c->bytes;
	h->oldest = c->oldest;
}

static int open_once(struct history *h)
{
	struct open_job oj = { .job.fn = db_start, .h = h };
	struct db *db;
	int err = db_open(h->io, h->path, DB_NORMAL, schema, HIST_VERSION, &db);

	if (err)
		return err;
	err = db_call(db, &oj.job);
	if (err) {
		db_close(db);
		dict_free(h);
		return err;
	}
	h->db = db;
	store_counted(h, &h->count);
	return 0;
}

/* Out of the way with a file that cannot be used; one of them is kept. */
static void put_aside(const char *path)
{
	static const char *const part[] = { "", "-wal", "-shm" };

	for (size_t i = 0; i < ARRAY_SIZE(part); i++) {
		CLEANUP_FREE char *from = xasprintf("%s%s", path, part[i]);
		CLEANUP_FREE char *to = xasprintf("%s.aside%s", path, part[i]);

		unlink(to);
		if (rename(from, to) && errno != ENOENT && unlink(from))
			log_warn("event=history_aside file=%s error=\"%s\"", from, strerror(errno));
	}
}

static int open_anew(struct history *h, int why)
{
	log_warn("event=history_aside db=%s cause=\"%s\" effect=\"a new access log is begun\" kept=%s.aside", h->path,
		 why == -EPROTONOSUPPORT ? "written by another version of augurd" : "damaged", h->path);
	put_aside(h->path);
	return open_once(h);
}

static int open_file(struct history *h)
{
	int err = open_once(h);

	if (err == -EUCLEAN || err == -EPROTONOSUPPORT)
		err = open_anew(h, err);
	if (err)
		log_warn("event=history_open path=%s error=\"%s\" effect=\"no access log\"", h->path, strerror(-err));
	return err;
}

static void retain_due(struct io_op *op, int res)
{
	struct history *h = container_of(op, struct history, retain_op);

	if (h->closing)
		return;
	if (h->db || !open_file(h))
		history_retain(h);
	h->io->ops->timer(h->io, op, io_now(h->io) + RETAIN_NS);
}

int history_open(struct io *io, const char *path, const struct history_limits *lim, struct history **out)
{
	struct history *h = xcalloc(1, sizeof(*h));
	int err;

	h->io = io;
	h->lim.rows = lim->rows ? lim->rows : HISTORY_ROWS_DEF;
	h->lim.age_ns = lim->age_ns ? lim->age_ns : HISTORY_DAYS_DEF * 86400ull * 1000000000;
	h->path = xstrdup(path);
	map_init(&h->known, offsetof(struct hist_known, oid), AUGUR_OID_LEN);
	err = open_file(h);
	if (err) {
		free(h->path);
		free(h);
		return err;
	}
	h->scan = scan_new();
	h->opens = xcalloc(HIST_OPENS, sizeof(*h->opens));
	h->retain_op.done = retain_due;
	io->ops->timer(io, &h->retain_op, io_now(io) + RETAIN_NS);
	*out = h;
	return 0;
}

/* What is gathered and what is under way for the old file is dropped and counted: its numbers of objects mean nothing. */
void store_judge(struct history *h, int err)
{
	struct db *db = h->db;

	if (h->closing || !db || err != -EUCLEAN)
		return;
	h->db = NULL;
	h->file++;
	history_flush(h);
	db_close(db);
	dict_free(h);
	scan_free(h->scan);	/* it knows objects by numbers */
	h->scan = scan_new();
	err = open_anew(h, err);
	if (err)
		log_warn("event=history_open path=%s error=\"%s\" effect=\"no access log\"", h->path, strerror(-err));
}

static void close_last(struct io_op *op, int res)
{
	struct history *h = container_of(op, struct history, close_op);

	dict_free(h);
	free(h->tail);
	free(h->opens);
	free(h->found);
	scan_free(h->scan);
	free(h->path);
	free(h);
}

void history_close(struct history *h)
{
	h->closing = true;
	history_flush(h);
	db_close(h->db);
	h->db = NULL;
	if (h->flush_op.busy)
		h->io->ops->cancel(h->io, &h->flush_op);
	if (h->retain_op.busy)
		h->io->ops->cancel(h->io, &h->retain_op);
	/* The cancelled timers come back before this one. */
	h->close_op.done = close_last;
	h->io->ops->timer(h->io, &h->close_op, io_now(h->io) + 1000000);
}
