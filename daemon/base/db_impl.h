/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * db_impl.h - one SQLite connection with its statements and its mark of a clean end.  Private
 * to base/; used by one thread at a time.
 */
#ifndef AUGUR_BASE_DB_IMPL_H
#define AUGUR_BASE_DB_IMPL_H

#include <sqlite3.h>
#include "common/types.h"

#define DB_STMTS_MAX	128

struct db_conn {
	sqlite3		*sq;
	char		*path;
	int		lock_fd;
	struct db_stmt_slot { const char *sql; sqlite3_stmt *st; bool used; } stmts[DB_STMTS_MAX];
	unsigned int	nstmts;
	u64		ballast;	/* 0: none */
	unsigned int	ballast_left;	/* transactions until it is looked at */
	bool		ballast_made;
};

/* 0 or -errno with a logged cause; see db_open(). */
int db_conn_open(struct db_conn *c, const char *path, bool full_sync, const char *schema, int version);
/* @clean: checkpoints and writes the mark. */
void db_conn_close(struct db_conn *c, bool clean);
/* Between two transactions: looks after what db_ballast() asked for. */
void db_conn_room(struct db_conn *c);
int db_conn_exec(struct db_conn *c, const char *sql);	/* cached statement without parameters */
/* Ends what the last job left open. */
void db_conn_reset(struct db_conn *c);

#endif
