/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * db.h - one SQLite database, one worker, one connection that writes and checkpoints (R13).
 *
 * Jobs are functions that run on the database's worker in the order they were queued; those
 * waiting are put into one transaction (group commit), so a burst costs one fsync.  A job's
 * done() comes back on the loop thread after the commit.
 */
#ifndef AUGUR_BASE_DB_H
#define AUGUR_BASE_DB_H

#include <sqlite3.h>
#include "base/io.h"

struct db;
struct db_job {
	int	(*fn)(sqlite3 *sq, struct db_job *job);	/* worker; 0 or -errno (rolls this job back) */
	void	(*done)(struct db_job *job, int res);	/* loop thread; may free job; NULL: nobody waits and
							 * fn's own memory must be freed by free_fn */
	void	(*free_fn)(struct db_job *job);
	struct db_job *next;				/* private */
	int	res;
	bool	waited;
};

enum db_sync { DB_FULL, DB_NORMAL };	/* WAL with synchronous=FULL (metadata) or NORMAL (droppable log) */

/*
 * Opens or creates @path (mode 0600), runs integrity_check after an unclean end (DB_NORMAL:
 * quick_check), applies @schema (CREATE ... IF NOT EXISTS) and checks user_version == @version.
 * 0 or -errno with a logged cause: -EUCLEAN damaged, -EPROTONOSUPPORT another version,
 * -EBUSY another process has it, -EOPNOTSUPP on a network filesystem.
 *
 * A clean end is marked by the file PATH.clean; it exists only while nobody has the database
 * open.  What is not done when io is destroyed is lost to its waiters: db_close first.
 */
int db_open(struct io *io, const char *path, enum db_sync sync, const char *schema, int version, struct db **out);
/*
 * Room of its own, for changes to be committed on a full disk: the database keeps @bytes of free
 * pages and as much of its write-ahead log while the disk has room, and goes back to the beginning
 * of that log with each transaction once there is little.  Before the first job.
 */
void db_ballast(struct db *db, u64 bytes);
void db_queue(struct db *db, struct db_job *job);
/* Runs @job and waits: start-up and shut-down only. */
int db_call(struct db *db, struct db_job *job);
/* Finishes what is queued and calls what is left of done(): shut-down only. */
void db_drain(struct db *db);
/* The same, then writes the clean mark. NULL is fine. */
void db_close(struct db *db);
/*
 * Cached prepared statement of this connection, reset and without bindings; inside a job only.
 * NULL: the SQL is wrong (logged).  Do not finalise; it is reset again when the job ends.
 */
sqlite3_stmt *db_stmt(sqlite3 *sq, const char *sql);
/* -errno of an SQLite result code: full disk, damage, contention; -EIO else. */
int db_errno(int sqlite_rc);

#endif
