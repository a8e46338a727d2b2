// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * db_conn.c - opening, checking and closing one SQLite database, and its statement cache.
 *
 * The mark of a clean end is the file PATH.clean.  It is removed, durably, before the first
 * write and made again after the last checkpoint, so its absence beside an existing database
 * means that the last user did not end well and the database is checked.  Used by one thread
 * at a time: that of db_open() and db_close(), and between them the database's own.
 */
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <linux/magic.h>

#include "base/db.h"
#include "base/db_impl.h"
#include "base/log.h"
#include "base/mem.h"

#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xFF534D42
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xFE534D42
#endif

/* The connection of this thread, for db_stmt(), which is told the handle only. */
static __thread struct db_conn *last_conn;

int db_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK: case SQLITE_DONE: case SQLITE_ROW:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY: case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CORRUPT: case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_READONLY: case SQLITE_PERM:
		return -EROFS;
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_TOOBIG:
		return -E2BIG;
	case SQLITE_MISUSE: case SQLITE_ERROR:
		return -EINVAL;
	default:
		return -EIO;
	}
}

/* ---- statements ---- */

static struct db_stmt_slot *find_slot(struct db_conn *c, const char *sql)
{
	unsigned int i;

	for (i = 0; i < c->nstmts; i++)
		if (c->stmts[i].sql == sql && !strcmp(sqlite3_sql(c->stmts[i].st), sql))
			return &c->stmts[i];
	for (i = 0; i < c->nstmts; i++)
		if (!strcmp(sqlite3_sql(c->stmts[i].st), sql))
			return &c->stmts[i];
	return NULL;
}

/* The slot is the caller's to fill; the oldest statement not in use makes room. */
static struct db_stmt_slot *new_slot(struct db_conn *c)
{
	unsigned int i;

	if (c->nstmts < DB_STMTS_MAX)
		return &c->stmts[c->nstmts++];
	for (i = 0; i < c->nstmts - 1 && c->stmts[i].used; i++)
		;
	sqlite3_finalize(c->stmts[i].st);
	memmove(&c->stmts[i], &c->stmts[i + 1], (c->nstmts - 1 - i) * sizeof(c->stmts[0]));
	return &c->stmts[c->nstmts - 1];
}

static sqlite3_stmt *conn_stmt(struct db_conn *c, const char *sql)
{
	struct db_stmt_slot *s = find_slot(c, sql);
	sqlite3_stmt *st;

	if (!s) {
		if (sqlite3_prepare_v3(c->sq, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK) {
			log_err("event=db_sql_failed db=%s note=\"%s\" sql=\"%s\"", c->path,
				sqlite3_errmsg(c->sq), sql);
			return NULL;
		}
		s = new_slot(c);
		s->sql = sql;
		s->st = st;
	}
	sqlite3_reset(s->st);
	sqlite3_clear_bindings(s->st);
	s->used = true;
	return s->st;
}

sqlite3_stmt *db_stmt(sqlite3 *sq, const char *sql)
{
	if (!last_conn || last_conn->sq != sq) {
		log_err("event=db_bug note=\"db_stmt() outside a job of this database\"");
		return NULL;
	}
	return conn_stmt(last_conn, sql);
}

int db_conn_exec(struct db_conn *c, const char *sql)
{
	sqlite3_stmt *st;
	int rc;

	last_conn = c;
	st = conn_stmt(c, sql);
	if (!st)
		return -EINVAL;
	rc = sqlite3_step(st);
	sqlite3_reset(st);
	return db_errno(rc);
}

void db_conn_reset(struct db_conn *c)
{
	unsigned int i;

	for (i = 0; i < c->nstmts; i++) {
		if (!c->stmts[i].used)
			continue;
		sqlite3_reset(c->stmts[i].st);
		c->stmts[i].used = false;
	}
}

/* ---- mark of a clean end ---- */

static int sync_parent(const char *path)
{
	CLEANUP_FREE char *copy = xstrdup(path);
	CLEANUP_CLOSE int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd))
		return -errno;
	return 0;
}

/* 1: it was there and is durably gone; 0: it was not there. */
static int take_mark(const char *path)
{
	CLEANUP_FREE char *mark = xasprintf("%s.clean", path);
	int err;

	if (unlink(mark))
		return errno == ENOENT ? 0 : -errno;
	err = sync_parent(path);
	return err ? err : 1;
}

static void set_mark(const char *path)
{
	CLEANUP_FREE char *mark = xasprintf("%s.clean", path);
	CLEANUP_CLOSE int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || fsync(fd) || sync_parent(path))
		log_warn("event=db_mark_failed db=%s error=%d note=\"the next start checks the database\"",
			 path, errno);
}

/* ---- open ---- */

static int fail(struct db_conn *c, int err, const char *what)
{
	log_err("event=db_open_failed db=%s error=%d what=\"%s\" note=\"%s\"", c->path, err, what,
		c->sq ? sqlite3_errmsg(c->sq) : strerror(-err));
	return err;
}

/* Runs @sql and returns its first column as a number. */
static int query_int(struct db_conn *c, const char *sql, int *out)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(c->sq, sql, -1, &st, NULL);

	if (rc != SQLITE_OK)
		return db_errno(rc);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? -ENODATA : db_errno(rc);
}

/*
 * One process at a time.  The lock is on a file of its own: closing a second descriptor of the
 * database would drop the POSIX locks that SQLite holds on it.
 */
static int lock_file(struct db_conn *c)
{
	CLEANUP_FREE char *lock = xasprintf("%s.lock", c->path);

	c->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (c->lock_fd < 0)
		return fail(c, -errno, "cannot open its lock file");
	if (flock(c->lock_fd, LOCK_EX | LOCK_NB))
		return fail(c, -EBUSY, "in use by another augurd");
	return 0;
}

/* Nothing else is opened as one, and nothing of it changed, its mode neither. */
static bool is_database(int fd, const struct stat *st)
{
	static const char magic[] = "SQLite format 3";
	char head[sizeof(magic)];

	if (!S_ISREG(st->st_mode))
		return false;
	return !st->st_size || (pread(fd, head, sizeof(head), 0) == sizeof(head) && !memcmp(head, magic, sizeof(head)));
}

/* The database holds paths and names of users: nobody else reads it; SQLite copies the mode to its helpers. */
static int create_file(struct db_conn *c, bool *fresh)
{
	CLEANUP_CLOSE int fd = -1;
	struct statfs sfs;
	struct stat st;

	fd = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) || fstatfs(fd, &sfs))
		return fail(c, -errno, "cannot open");
	if ((unsigned int)sfs.f_type == NFS_SUPER_MAGIC || (unsigned int)sfs.f_type == CIFS_SUPER_MAGIC ||
	    (unsigned int)sfs.f_type == SMB2_SUPER_MAGIC)
		return fail(c, -EOPNOTSUPP, "on a network filesystem its locks and mappings cannot be trusted");
	if (!is_database(fd, &st))
		return fail(c, -EUCLEAN, "no SQLite database: left as it is");
	if ((st.st_mode & 077) && fchmod(fd, 0600))
		return fail(c, -errno, "cannot make it private");
	*fresh = st.st_size == 0;
	return 0;
}

static int check_integrity(struct db_conn *c, bool full)
{
	const char *sql = full ? "PRAGMA integrity_check(8)" : "PRAGMA quick_check(8)";
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(c->sq, sql, -1, &st, NULL);
	bool ok = false;

	if (rc != SQLITE_OK)
		return fail(c, db_errno(rc), "cannot be checked");
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *row = (const char *)sqlite3_column_text(st, 0);

		ok = row && !strcmp(row, "ok");
		if (!ok)
			log_err("event=db_damaged db=%s note=\"%s\"", c->path, row ? row : "");
	}
	sqlite3_finalize(st);
	if (rc != SQLITE_DONE)
		return fail(c, db_errno(rc), "check did not end");
	return ok ? 0 : fail(c, -EUCLEAN, "damaged: restore it or move it away");
}

static int set_pragmas(struct db_conn *c, bool fresh, bool full_sync)
{
	/* auto_vacuum counts only before the first table and before WAL. */
	const char *const sql[] = {
		fresh ? "PRAGMA auto_vacuum=INCREMENTAL" : "SELECT 1",
		"PRAGMA journal_mode=WAL",
		full_sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
		"PRAGMA foreign_keys=ON",
		"PRAGMA trusted_schema=OFF",
		"PRAGMA cell_size_check=ON",
		"PRAGMA journal_size_limit=8388608",
	};
	size_t i;
	int rc;

	sqlite3_busy_timeout(c->sq, 2000);
	for (i = 0; i < ARRAY_SIZE(sql); i++) {
		rc = sqlite3_exec(c->sq, sql[i], NULL, NULL, NULL);
		if (rc != SQLITE_OK)
			return fail(c, db_errno(rc), sql[i]);
	}
	return 0;
}

/* A fresh database gets the schema and its number in one transaction; another must bear the number. */
static int apply_schema(struct db_conn *c, const char *schema, int version)
{
	CLEANUP_FREE char *set = xasprintf("PRAGMA user_version=%d", version);
	int have = 0, tables = 0, err, rc;

	err = query_int(c, "PRAGMA user_version", &have);
	if (!err)
		err = query_int(c, "SELECT count(*) FROM sqlite_schema", &tables);
	if (err)
		return fail(c, err, "cannot be read");
	if (have != version && (have || tables)) {
		log_err("event=db_version db=%s have=%d want=%d note=\"written by another version of augurd\"",
			c->path, have, version);
		return -EPROTONOSUPPORT;
	}
	rc = sqlite3_exec(c->sq, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(c->sq, schema, NULL, NULL, NULL);
	if (rc == SQLITE_OK && have != version)
		rc = sqlite3_exec(c->sq, set, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(c->sq, "COMMIT", NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : fail(c, db_errno(rc), "cannot apply the schema");
}

static int open_checked(struct db_conn *c, bool full_sync, const char *schema, int version)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
	bool fresh = false;
	int err, clean, rc;

	err = lock_file(c);
	if (!err)
		err = create_file(c, &fresh);
	if (err)
		return err;
	rc = sqlite3_open_v2(c->path, &c->sq, flags, NULL);
	if (rc != SQLITE_OK)
		return fail(c, db_errno(rc), "cannot open");
	err = set_pragmas(c, fresh, full_sync);
	if (err)
		return err;
	clean = take_mark(c->path);
	if (clean < 0)
		return fail(c, clean, "cannot take the mark of a clean end");
	if (!clean && !fresh) {
		log_notice("event=db_check db=%s note=\"it was not closed cleanly\"", c->path);
		err = check_integrity(c, full_sync);
		if (err)
			return err;
	}
	return apply_schema(c, schema, version);
}

int db_conn_open(struct db_conn *c, const char *path, bool full_sync, const char *schema, int version)
{
	int err;

	memset(c, 0, sizeof(*c));
	c->path = xstrdup(path);
	c->lock_fd = -1;
	err = open_checked(c, full_sync, schema, version);
	if (err)
		db_conn_close(c, false);
	return err;
}

/* ---- room of its own ---- */

#define TIGHT		8	/* ballasts that are free: it is no time to make one */
#define LOOK_EVERY	256

/*
 * Pages of a table that is there for a moment: free pages of the file afterwards, and frames that
 * the log is written over again.  Both have their blocks, as each page was written.
 */
static void ballast_make(struct db_conn *c)
{
	CLEANUP_FREE char *fill = xasprintf("DROP TABLE IF EXISTS ballast; BEGIN IMMEDIATE; CREATE TABLE ballast(b);"
					    "INSERT INTO ballast VALUES(zeroblob(%llu)); COMMIT", (unsigned long long)c->ballast);
	int rc = sqlite3_exec(c->sq, fill, NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_wal_checkpoint_v2(c->sq, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(c->sq, "DROP TABLE ballast", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return;
	log_warn("event=db_ballast db=%s note=\"%s\" effect=\"on a full disk nothing can be committed\"", c->path,
		 sqlite3_errmsg(c->sq));
	if (!sqlite3_get_autocommit(c->sq))
		sqlite3_exec(c->sq, "ROLLBACK", NULL, NULL, NULL);
}

void db_conn_room(struct db_conn *c)
{
	struct statvfs sv;
	int pages, size;

	if (!c->ballast || fstatvfs(c->lock_fd, &sv))
		return;
	if ((u64)sv.f_bavail * sv.f_frsize < TIGHT * c->ballast) {
		sqlite3_wal_checkpoint_v2(c->sq, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
		c->ballast_left = 0;
		return;
	}
	if (c->ballast_left) {
		c->ballast_left--;
		return;
	}
	/* The log of a database that was just opened has none, whatever its file has. */
	if (!c->ballast_made || (!query_int(c, "PRAGMA freelist_count", &pages) && !query_int(c, "PRAGMA page_size", &size) &&
				 (u64)pages * size < c->ballast / 2))
		ballast_make(c);
	c->ballast_made = true;
	c->ballast_left = LOOK_EVERY;
}

void db_conn_close(struct db_conn *c, bool clean)
{
	unsigned int i;
	int rc;

	for (i = 0; i < c->nstmts; i++)
		sqlite3_finalize(c->stmts[i].st);
	c->nstmts = 0;
	if (clean && c->sq) {
		rc = sqlite3_wal_checkpoint_v2(c->sq, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
		if (rc != SQLITE_OK) {
			log_warn("event=db_checkpoint_failed db=%s note=\"%s\"", c->path, sqlite3_errmsg(c->sq));
			clean = false;
		}
	}
	rc = sqlite3_close(c->sq);
	c->sq = NULL;
	if (clean && rc == SQLITE_OK)
		set_mark(c->path);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	c->lock_fd = -1;
	free(c->path);
	c->path = NULL;
}
