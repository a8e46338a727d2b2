/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * impl.h - private to the history room, what its files share.
 *
 *   store.c	the file: begun, put aside, closed
 *   writer.c	records into segments		dict.c	objects and their names
 *   scan.c	who walks trees			found.c	that is kept and told
 *   retain.c	what is too old goes		query.c	rows that fit a question
 *   reader.c	a question to a log that is open	offline.c	to a file
 */
#ifndef AUGUR_HISTORY_IMPL_H
#define AUGUR_HISTORY_IMPL_H

#include "history/history.h"
#include "history/scan.h"
#include "history/segment.h"

#define HIST_VERSION	2	/* user_version of the file */
#define HIST_CPUS	1024
#define HIST_OPENS	8192	/* opens whose program is remembered */
#define HIST_PATHS_MAX	(1u << 20)	/* objects in the dictionary; beyond it old rows go earlier */

/* What is to be written of an object. */
struct hist_path { u8 oid[AUGUR_OID_LEN]; s64 id, parent; char *name; size_t len; };

/* An object of the dictionary. */
struct hist_known {
	u8		oid[AUGUR_OID_LEN];	/* key */
	s64		id;
	s64		last;		/* number of the newest row about it */
	struct hist_known *up;		/* its directory, once known */
	u32		kids;		/* that have it as theirs */
	bool		named;
	char		head[SCAN_HEAD];	/* of its name */
};

/* A session that was found to walk a tree, or (cleared) not to do so any more. */
struct hist_found { u64 session, time_ns; u32 files, dirs, pid, uid; char comm[SEG_COMM]; bool cleared; };

/* Who has a file open. */
struct hist_open { u64 session; u32 open_id, pid, uid; char comm[SEG_COMM]; };

/* What the file holds; counted by the database's thread. */
struct hist_count { s64 rows, segments, oldest; u64 bytes; bool more; };

struct hist_batch {
	struct db_job	job;
	struct history	*h;
	u64		records;	/* of the kernel that are in here and nowhere before */
	/* dictionary */
	struct hist_path *paths;
	size_t		npaths;
	s64		*gone;		/* ids nobody refers to any more */
	size_t		ngone;
	struct hist_found *found;
	size_t		nfound;
	/* rows: numbers first, first + 1, ... */
	s64		first;
	size_t		n;
	bool		replaces;	/* the segments from @first on hold a part of these rows */
	bool		recount, crowded;
	unsigned int	file;		/* history.file when it was made */
	u64		now_ns;
	struct hist_count count;	/* after it */
	struct seg_row	rows[];
};

struct history {
	struct io	*io;
	struct db	*db;		/* NULL: it could not be opened again; store.c tries from time to time */
	unsigned int	file;		/* grows when another file takes the place */
	char		*path;
	struct history_limits lim;
	struct map	known;		/* struct hist_known */
	s64		last_path, last_id;
	struct hist_path *news;		/* of the dictionary, not queued yet */
	size_t		nnews, news_cap;
	struct scan	*scan;
	struct hist_found *found;	/* not queued yet */
	size_t		nfound;
	void		(*on_found)(void *ctx, const struct history_found *f);
	void		*on_found_ctx;
	/* The last rows, up to SEG_ROWS_MAX; the first @written of them are queued in shorter segments. */
	struct hist_batch *tail;
	size_t		written;
	u64		fresh;		/* kernel records in the rest */
	/* WHO follows its OPEN or READDIR on the same CPU. */
	struct { s64 row; u8 oid[AUGUR_OID_LEN]; } last[HIST_CPUS];
	u64		next_seq[HIST_CPUS], cpu_dropped[HIST_CPUS];
	struct hist_open *opens;	/* HIST_OPENS, by open_id */
	unsigned int	queued;
	struct io_op	flush_op, retain_op, close_op;
	bool		closing, recount;
	struct hist_count count;	/* the database's thread, inside a job */
	size_t		sweep_at;
	s64		sweep_oldest, oldest;
	u64		warned_ns;
	void		(*namer)(void *ctx, const u8 *oid);
	void		*namer_ctx;
	struct history_stats st;
};

/* ---- writer.c ---- */
void history_flush(struct history *h);
/* Looks for what must go, unless batches under way do that. */
void history_retain(struct history *h);

/* ---- store.c ---- */
/* A job's result: a file that is damaged goes aside and another is begun. */
void store_judge(struct history *h, int err);
void store_counted(struct history *h, const struct hist_count *c);

/* ---- dict.c ---- */
/* Its entry; made, and its name asked for, if it is not there.  NULL for the oid of nothing. */
struct hist_known *dict_get(struct history *h, const u8 *oid);
int dict_load(sqlite3 *sq, struct history *h);			/* database's thread */
int dict_write(sqlite3 *sq, const struct hist_batch *b);	/* database's thread */
/* Moves what is new into @b, and back if @b could not be written. */
void dict_take(struct history *h, struct hist_batch *b);
void dict_untake(struct history *h, struct hist_batch *b);
/* Forgets some objects that no row and no other object refers to; they are in @b->gone then. */
bool dict_sweep_due(const struct history *h);
void dict_sweep(struct history *h, struct hist_batch *b);
void dict_free(struct history *h);

/* ---- found.c ---- */
/* An open or a listing, once it is known who made it. */
void found_note(struct history *h, const struct seg_row *r, const struct hist_known *k);
void found_take(struct history *h, struct hist_batch *b);
int found_write(sqlite3 *sq, const struct hist_batch *b);	/* database's thread */

/* ---- retain.c: database's thread ---- */
int retain_count(sqlite3 *sq, struct hist_count *c);
/* One small step; @c->more: there is more to do. */
int retain_step(sqlite3 *sq, const struct history_limits *lim, u64 now_ns, bool crowded, struct hist_count *c);

/* ---- query.c: database's thread, or anybody's own connection ---- */
struct hist_read;
struct hist_read *hist_read_new(const struct history_query *q);
/* Looks at some more segments: 1 there are more, 0 done, or -errno. */
int hist_read_slice(sqlite3 *sq, struct hist_read *r);
void hist_read_result(struct hist_read *r, struct history_result *res);
void hist_read_free(struct hist_read *r);

#endif
