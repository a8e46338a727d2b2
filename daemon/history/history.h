/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * history.h - the access log of one cache: <cache>/.augur/log.db, mode 0600, droppable.
 *
 * Records come from the kernel in batches and go to the database in batches, never holding
 * anybody up: what does not fit is dropped and counted.  Rows are kept in packed segments
 * (segment.h); names are kept once, in a dictionary of (parent, name), found by oid.  A file
 * that is damaged or of another version is put aside as log.db.aside and begun anew.  Loop
 * thread only.
 */
#ifndef AUGUR_HISTORY_HISTORY_H
#define AUGUR_HISTORY_HISTORY_H

#include "base/db.h"
#include "base/mem.h"
#include "common/record.h"
#include "history/query.h"

#define HISTORY_FLUSH_NS	1000000000ull
#define HISTORY_ROWS_DEF	(5u * 1000 * 1000)
#define HISTORY_DAYS_DEF	30

/* What is kept: the oldest rows go first, in small steps.  0: the default. */
struct history_limits {
	u64	rows;
	u64	age_ns;
};

struct history;

int history_open(struct io *io, const char *path, const struct history_limits *lim, struct history **out);
/* Writes what is gathered; the memory is freed once the last job is back. */
void history_close(struct history *h);
/* seq: of the first record on @cpu; dropped: by that CPU in all. */
void history_add(struct history *h, u32 cpu, u64 seq, u64 dropped, const struct augur_event *ev, size_t n);
/*
 * Asked for each object met for the first time; answered, at once or later or never, by
 * history_name().
 */
void history_set_namer(struct history *h, void (*fn)(void *ctx, const u8 *oid), void *ctx);
void history_name(struct history *h, const u8 *oid, const u8 *parent, const char *name, size_t len);

/* A session that walks a tree: it says nothing of what will be wanted next.  @cleared: it has begun to work. */
struct history_found {
	u64	session, time_ns;
	u32	files, dirs;	/* met so far */
	u32	pid, uid;
	char	comm[17];
	bool	cleared;
};
bool history_is_scanner(const struct history *h, u64 session);
void history_set_found(struct history *h, void (*fn)(void *ctx, const struct history_found *f), void *ctx);

/* Kernel records: each is accepted (in the file) or dropped, in one of four places. */
struct history_stats {
	u64	accepted;
	u64	dropped_ring;	/* by the module: its ring was full */
	u64	dropped_lost;	/* between the module and here: a gap in the numbers */
	u64	dropped_queue;	/* the database could not keep up */
	u64	dropped_write;	/* the database refused, or they made no sense */
	/* in the file */
	u64	rows, segments, bytes, paths;
	u64	scanners;	/* sessions found since the start */
};
void history_stats(const struct history *h, struct history_stats *st);
u64 history_dropped(const struct history_stats *st);

/* Rows that fit @q, oldest first, once; they are valid in the call.  Done in slices between two batches. */
void history_read(struct history *h, const struct history_query *q, history_rows_fn *fn, void *arg);

#endif
