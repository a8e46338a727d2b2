/* SPDX-License-Identifier: GPL-2.0-or-later */
/* impl.h - private to the history room: what writer.c and reader.c share. */
#ifndef AUGUR_HISTORY_IMPL_H
#define AUGUR_HISTORY_IMPL_H

#include "history/history.h"

#define HIST_CPUS 1024

struct hist_rec { struct augur_event ev; s64 id, path; };
struct hist_path { u8 oid[AUGUR_OID_LEN]; s64 id, parent; char *name; size_t len; };
struct hist_known { u8 oid[AUGUR_OID_LEN]; s64 id; bool named; };

struct hist_batch {
	struct db_job	job;
	struct history	*h;
	struct hist_path *paths;
	size_t		npaths, paths_cap;
	size_t		n;
	struct hist_rec	recs[HISTORY_BATCH];
};

struct history {
	struct io	*io;
	struct db	*db;
	struct map	known;		/* oid -> path id */
	s64		last_path, last_id;
	s64		last_open[HIST_CPUS];	/* WHO follows its OPEN on the same CPU */
	struct hist_batch *batch;
	unsigned int	queued;
	struct io_op	flush_op, close_op;
	bool		closing;
	void		(*namer)(void *ctx, const u8 *oid);
	void		*namer_ctx;
	struct history_stats st;
	u64		cpu_dropped[HIST_CPUS];
};

void history_flush(struct history *h);

#endif
