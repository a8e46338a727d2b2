// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * offline.c - an access log read from its file by whoever may read that: the daemon may be down,
 * or have it open.  Opened for reading alone, so nothing is repaired, checkpointed or pruned.
 */
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/db.h"
#include "base/mem.h"
#include "history/impl.h"

#define BUSY_MS 2000

static int check_version(sqlite3 *sq)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(sq, "PRAGMA user_version", -1, &st, NULL), err = -EUCLEAN;

	if (rc != SQLITE_OK)
		return db_errno(rc);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		err = sqlite3_column_int(st, 0) == HIST_VERSION ? 0 : -EPROTONOSUPPORT;
	else if (rc != SQLITE_DONE)
		err = db_errno(rc);
	sqlite3_finalize(st);
	return err;
}

static int open_file(const char *path, sqlite3 **sq)
{
	struct stat sb;
	int rc;

	if (stat(path, &sb) || access(path, R_OK))
		return -errno;
	if (!S_ISREG(sb.st_mode))
		return -EUCLEAN;
	rc = sqlite3_open_v2(path, sq, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
	if (rc != SQLITE_OK)
		return db_errno(rc);
	sqlite3_busy_timeout(*sq, BUSY_MS);
	sqlite3_exec(*sq, "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON", NULL, NULL, NULL);
	return check_version(*sq);
}

int history_file_read(const char *path, const struct history_query *q, history_rows_fn *fn, void *arg)
{
	struct history_result res;
	struct hist_read *r = NULL;
	sqlite3 *sq = NULL;
	int err = open_file(path, &sq);

	if (!err) {
		r = hist_read_new(q);
		do
			err = hist_read_slice(sq, r);
		while (err > 0);
	}
	if (!err) {
		hist_read_result(r, &res);
		fn(arg, &res);
	}
	if (r)
		hist_read_free(r);
	sqlite3_close(sq);
	return err;
}
