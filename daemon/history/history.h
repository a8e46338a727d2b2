/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * history.h - the access log of one cache: <cache>/.augur/log.db, mode 0600, droppable.
 *
 * Records come from the kernel in batches and go to the database in batches, never holding
 * anybody up: what does not fit is dropped and counted.  Names are kept once, in a dictionary
 * of (parent, name), found by oid.  Loop thread only.
 */
#ifndef AUGUR_HISTORY_HISTORY_H
#define AUGUR_HISTORY_HISTORY_H

#include "base/db.h"
#include "base/mem.h"
#include "common/record.h"

#define HISTORY_BATCH	1000
#define HISTORY_FLUSH_NS 1000000000ull
#define HISTORY_KEEP	(5u * 1000 * 1000)	/* rows; the oldest go first */

struct history;

int history_open(struct io *io, const char *path, struct history **out);
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

struct history_stats { u64 accepted, dropped, rows; };
void history_stats(const struct history *h, struct history_stats *st);

struct history_row {
	s64	id;
	u64	time_ns, session, off, len;
	u32	open_id, latency_us, pid, uid;
	u8	op, flags;
	char	comm[17];
	char	*path;		/* may hold any bytes; "?" where a name is not known */
	size_t	path_len;
};
typedef void history_rows_fn(void *arg, int err, struct history_row *rows, size_t n);
/* Rows with id > @after, at most @limit; after < 0: the last @limit. Rows are valid in the call. */
void history_read(struct history *h, s64 after, u32 limit, history_rows_fn *fn, void *arg);
const char *history_op_name(u8 op);

#endif
