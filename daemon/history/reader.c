// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * reader.c - rows of the access log with their paths, for people.  The query runs on the
 * database's thread between two batches; a read is bounded, so writing never waits for long.
 */
#include "base/log.h"
#include "history/impl.h"

#define ROWS_MAX	10000
#define DEPTH_MAX	64
#define PATH_CAP	8192

struct read_job {
	struct db_job	job;
	s64		after;
	u32		limit;
	struct history_row *rows;
	size_t		n;
	history_rows_fn	*fn;
	void		*arg;
};

const char *history_op_name(u8 op)
{
	static const char *const names[] = {
		[AUGUR_EV_OPEN] = "open", [AUGUR_EV_WHO] = "who", [AUGUR_EV_READ] = "read", [AUGUR_EV_MISS] = "miss",
		[AUGUR_EV_CLOSE] = "close", [AUGUR_EV_LOOKUP_MISS] = "lookup", [AUGUR_EV_READDIR] = "readdir",
		[AUGUR_EV_FAULT] = "fault", [AUGUR_EV_WRITE] = "write",
	};

	return op < ARRAY_SIZE(names) && names[op] ? names[op] : "?";
}

/* The path from the volume's root, written from its end. */
static void path_of(sqlite3 *sq, s64 id, struct history_row *row)
{
	char buf[PATH_CAP];
	size_t at = sizeof(buf);
	bool unknown = false;

	for (int depth = 0; id && depth < DEPTH_MAX && !unknown; depth++) {
		sqlite3_stmt *st = db_stmt(sq, "SELECT parent, name FROM path WHERE id = ?1");
		const void *name;
		size_t len;

		if (!st)
			break;
		sqlite3_bind_int64(st, 1, id);
		if (sqlite3_step(st) != SQLITE_ROW) {
			sqlite3_reset(st);
			break;
		}
		id = sqlite3_column_int64(st, 0);
		name = sqlite3_column_blob(st, 1);
		len = sqlite3_column_bytes(st, 1);
		unknown = sqlite3_column_type(st, 1) == SQLITE_NULL;
		if (unknown) {
			name = "?";
			len = 1;
		}
		if (len && len + 1 < at) {
			at -= len;
			memcpy(buf + at, name, len);
			buf[--at] = '/';
		}
		sqlite3_reset(st);
	}
	if (at == sizeof(buf))
		buf[--at] = '/';
	row->path_len = sizeof(buf) - at;
	row->path = xmemdup(buf + at, row->path_len);
}

static void who_of(sqlite3 *sq, struct history_row *row)
{
	/* An OPEN has its WHO under the same number. */
	sqlite3_stmt *st = db_stmt(sq, "SELECT pid, uid, comm FROM who WHERE id = ?1");
	const void *comm;
	size_t len;

	if (!st)
		return;
	sqlite3_bind_int64(st, 1, row->id);
	if (sqlite3_step(st) == SQLITE_ROW) {
		row->pid = sqlite3_column_int64(st, 0);
		row->uid = sqlite3_column_int64(st, 1);
		comm = sqlite3_column_blob(st, 2);
		len = sqlite3_column_bytes(st, 2);
		if (comm)
			memcpy(row->comm, comm, min(len, sizeof(row->comm) - 1));
	}
	sqlite3_reset(st);
}

static void take_row(sqlite3_stmt *st, struct history_row *row, s64 *path)
{
	memset(row, 0, sizeof(*row));
	row->id = sqlite3_column_int64(st, 0);
	row->time_ns = sqlite3_column_int64(st, 1);
	row->session = sqlite3_column_int64(st, 2);
	row->open_id = sqlite3_column_int64(st, 3);
	row->op = sqlite3_column_int64(st, 4);
	row->flags = sqlite3_column_int64(st, 5);
	*path = sqlite3_column_int64(st, 6);
	row->off = sqlite3_column_int64(st, 7);
	row->len = sqlite3_column_int64(st, 8);
	row->latency_us = sqlite3_column_int64(st, 9);
}

static int db_read(sqlite3 *sq, struct db_job *job)
{
	struct read_job *j = container_of(job, struct read_job, job);
	sqlite3_stmt *st = db_stmt(sq, j->after < 0 ?
		"SELECT * FROM (SELECT * FROM access ORDER BY id DESC LIMIT ?2) ORDER BY id" :
		"SELECT * FROM access WHERE id > ?1 ORDER BY id LIMIT ?2");
	CLEANUP_FREE s64 *paths = xcalloc(j->limit, sizeof(*paths));

	if (!st)
		return -EIO;
	j->rows = xcalloc(j->limit, sizeof(*j->rows));
	if (j->after >= 0)
		sqlite3_bind_int64(st, 1, j->after);
	sqlite3_bind_int64(st, 2, j->limit);
	while (j->n < j->limit && sqlite3_step(st) == SQLITE_ROW) {
		take_row(st, &j->rows[j->n], &paths[j->n]);
		j->n++;
	}
	sqlite3_reset(st);
	for (size_t i = 0; i < j->n; i++) {
		path_of(sq, paths[i], &j->rows[i]);
		who_of(sq, &j->rows[i]);
	}
	return 0;
}

static void read_done(struct db_job *job, int res)
{
	struct read_job *j = container_of(job, struct read_job, job);

	j->fn(j->arg, res, j->rows, res ? 0 : j->n);
	for (size_t i = 0; i < j->n; i++)
		free(j->rows[i].path);
	free(j->rows);
	free(j);
}

void history_read(struct history *h, s64 after, u32 limit, history_rows_fn *fn, void *arg)
{
	struct read_job *j = xcalloc(1, sizeof(*j));

	history_flush(h);
	j->after = after;
	j->limit = min(max(limit, 1u), (u32)ROWS_MAX);
	j->fn = fn;
	j->arg = arg;
	j->job.fn = db_read;
	j->job.done = read_done;
	db_queue(h->db, &j->job);
}
