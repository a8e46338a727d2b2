/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query.h - which rows of an access log are wanted, and reading them from its file; also for
 * programs that read it while no daemon runs.
 */
#ifndef AUGUR_HISTORY_QUERY_H
#define AUGUR_HISTORY_QUERY_H

#include "common/record.h"

#define HISTORY_ROWS_MAX	10000	/* of one answer */

struct history_row {
	s64	id;
	u64	time_ns, session, off, len;
	u32	open_id, latency_us, pid, uid;
	u8	op, flags;
	bool	scanner;	/* its session walks trees: it says nothing about what is wanted next */
	char	comm[17];
	const char *path;	/* may hold any bytes; "?" where a name is not known */
	size_t	path_len;
};

enum history_scanners { HISTORY_SCANNERS_TOO, HISTORY_SCANNERS_ONLY, HISTORY_SCANNERS_NOT };

struct history_query {
	s64	after;		/* rows with greater numbers, the first @limit; < 0: the last @limit */
	u32	limit;		/* 1..HISTORY_ROWS_MAX */
	u64	since_ns, until_ns;	/* CLOCK_REALTIME, both included; 0: no bound */
	u64	session;
	bool	by_session;
	u32	ops;		/* bits 1 << op; 0: all */
	enum history_scanners scanners;
	char	comm[17];	/* "": any */
	const char *path;	/* this object and what is below it; NULL: any.  Not copied: valid until the end */
	size_t	path_len;
};

/* @more: there may be rows beyond the last one looked at (after >= 0 only); @upto: number of that one. */
struct history_result {
	int	err;
	struct history_row *rows;
	size_t	n;
	s64	upto;
	bool	more;
};
typedef void history_rows_fn(void *arg, const struct history_result *res);

const char *history_op_name(u8 op);
/* AUGUR_EV_* of a name, or -1. */
int history_op_number(const char *name);

/*
 * Reads a file that perhaps no daemon has open; never writes to it.  0 (fn was called once) or
 * -errno: -ENOENT, -EACCES, -EUCLEAN (damaged), -EPROTONOSUPPORT (another version).
 */
int history_file_read(const char *path, const struct history_query *q, history_rows_fn *fn, void *arg);

#endif
