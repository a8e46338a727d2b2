// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * retain.c - the log stays within its limits: the oldest segments go, a few at a time behind
 * each batch of writes, so neither the loop thread nor the writer ever waits for a long one.
 *
 * Pages that come free are used again; only where many lie idle (a limit was lowered, a burst
 * is over) is the file made shorter, in small steps as well.
 */
#include "history/impl.h"

#define STEP_SEGMENTS	4	/* ten times what a batch adds at most */
#define STEP_PAGES	256	/* given back to the filesystem */
#define IDLE_PAGES	1024	/* so many free ones are kept for what comes next */

static int query(sqlite3 *sq, const char *sql, int ncols, s64 *out)
{
	sqlite3_stmt *st = db_stmt(sq, sql);
	int rc;

	if (!st)
		return -EIO;
	rc = sqlite3_step(st);
	for (int i = 0; i < ncols && rc == SQLITE_ROW; i++)
		out[i] = sqlite3_column_int64(st, i);
	sqlite3_reset(st);
	return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? -ENODATA : db_errno(rc);
}

static int size(sqlite3 *sq, struct hist_count *c)
{
	s64 pages, page;
	int err = query(sq, "PRAGMA page_count", 1, &pages);

	if (!err)
		err = query(sq, "PRAGMA page_size", 1, &page);
	if (!err)
		c->bytes = pages * page;
	return err;
}

int retain_count(sqlite3 *sq, struct hist_count *c)
{
	s64 v[3] = { 0 };
	int err = query(sq, "SELECT ifnull(sum(n), 0), count(*), ifnull(min(id), 0) FROM segment", 3, v);

	if (err)
		return err;
	c->rows = v[0];
	c->segments = v[1];
	c->oldest = v[2];
	return size(sq, c);
}

/* 1: there is none that must go. */
static int drop_oldest(sqlite3 *sq, const struct history_limits *lim, u64 now_ns, bool crowded, struct hist_count *c)
{
	s64 v[3];	/* number, rows, time of the newest */
	int err = query(sq, "SELECT id, n, t1 FROM segment ORDER BY id LIMIT 1", 3, v);
	sqlite3_stmt *st;

	if (err == -ENODATA)
		return 1;
	if (err)
		return err;
	c->oldest = v[0];
	if ((u64)c->rows <= lim->rows && !crowded && (now_ns < lim->age_ns || (u64)v[2] >= now_ns - lim->age_ns))
		return 1;
	st = db_stmt(sq, "DELETE FROM segment WHERE id = ?1");
	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, v[0]);
	err = db_errno(sqlite3_step(st));
	if (err)
		return err;
	c->rows -= v[1];
	c->segments--;
	c->oldest = v[0] + v[1];
	return 0;
}

/* Returns a part of the idle pages. */
static int shorten(sqlite3 *sq, struct hist_count *c)
{
	sqlite3_stmt *st;
	s64 idle;
	int err = query(sq, "PRAGMA freelist_count", 1, &idle), rc;

	if (err || idle <= IDLE_PAGES)
		return err;
	st = db_stmt(sq, "PRAGMA incremental_vacuum(256)");
	if (!st)
		return -EIO;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		;
	sqlite3_reset(st);
	c->more |= idle > IDLE_PAGES + STEP_PAGES;
	return db_errno(rc);
}

int retain_step(sqlite3 *sq, const struct history_limits *lim, u64 now_ns, bool crowded, struct hist_count *c)
{
	int err = 0, n;

	c->more = false;
	for (n = 0; n < STEP_SEGMENTS && !err; n++)
		err = drop_oldest(sq, lim, now_ns, crowded, c);
	if (err < 0)
		return err;
	c->more = !err && !crowded;
	err = shorten(sq, c);
	return err ? err : size(sq, c);
}
