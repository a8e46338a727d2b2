// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * use.c - which objects hold bytes here, and in which order they go when room is short; and in
 * which order directories lose their names when inodes are.
 *
 * The order is by last use, seen by opens and fills, to the second; a small file counts as used
 * up to CREDIT_S later than it was, because it saves a whole round trip and frees next to
 * nothing.  Rows are written in groups, seconds late: what a crash loses is found by a walk of
 * the lower tree (use_scan_*), which is made when there are no more rows and still no room.
 *
 * Loop thread, except functions named db_*, which run on the database's thread, and scan_work().
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cache/index.h"

#define FLUSH_NS	(5ull * 1000000000)
#define FLUSH_ROWS	1024
#define PENDING_MAX	65536	/* when the database takes none: more than these are found by the walk */

/* The place in the order; the same in the SQL of db_use() and in use_rank(). */
#define CREDIT_S	600
#define SMALL		65536

enum { USED = 1 << 0, SIZED = 1 << 1, GONE = 1 << 2, FOUND = 1 << 3, DIR_USE = 1 << 4 };

struct use { u8 oid[AUGUR_OID_LEN]; s64 last; u64 bytes; u8 what; };

struct use_flush { struct db_job job; struct cache *c; struct use **u; size_t n; };

s64 use_rank(s64 last, u64 bytes)
{
	return last + (s64)min((u64)CREDIT_S, (u64)CREDIT_S * SMALL / max(bytes, (u64)1));
}

/* ---- what is to be written ---- */

static int db_step(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : db_errno(rc);
}

static int db_use_dir(sqlite3 *sq, const struct use *u)
{
	sqlite3_stmt *st = db_stmt(sq, u->what & GONE ? "DELETE FROM dir_use WHERE oid = ?1" :
				       u->what & FOUND ? "INSERT OR IGNORE INTO dir_use VALUES(?1, ?2)" :
				       "INSERT OR REPLACE INTO dir_use VALUES(?1, ?2)");

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, u->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	if (!(u->what & GONE))
		sqlite3_bind_int64(st, 2, u->last);
	return db_step(st);
}

static int db_use(sqlite3 *sq, const struct use *u)
{
	static const char sized[] = "INSERT INTO use VALUES(?1, ?2, ?3, ?2 + min(600, 600 * 65536 / max(?3, 1)))"
		" ON CONFLICT(oid) DO UPDATE SET last = ?2, bytes = ?3, rank = excluded.rank";
	static const char used[] = "UPDATE use SET last = ?2, rank = ?2 + min(600, 600 * 65536 / max(bytes, 1)) WHERE oid = ?1";
	static const char found[] = "INSERT OR IGNORE INTO use VALUES(?1, ?2, ?3, ?2 + min(600, 600 * 65536 / max(?3, 1)))";
	bool bytes = u->what & (SIZED | FOUND);
	sqlite3_stmt *st;

	if (u->what & DIR_USE)
		return db_use_dir(sq, u);
	st = db_stmt(sq, u->what & GONE ? "DELETE FROM use WHERE oid = ?1" : u->what & SIZED ? sized :
			 u->what & FOUND ? found : used);

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, u->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	if (!(u->what & GONE))
		sqlite3_bind_int64(st, 2, u->last);
	if (bytes && !(u->what & GONE))
		sqlite3_bind_int64(st, 3, (s64)u->bytes);
	return db_step(st);
}

static int db_flush(sqlite3 *sq, struct db_job *job)
{
	struct use_flush *f = container_of(job, struct use_flush, job);
	int err = 0;

	for (size_t i = 0; i < f->n && !err; i++)
		err = db_use(sq, f->u[i]);
	return err;
}

static void flush_free(struct db_job *job)
{
	struct use_flush *f = container_of(job, struct use_flush, job);

	for (size_t i = 0; i < f->n; i++)
		free(f->u[i]);
	free(f->u);
	free(f);
}

/* What the disk did not take is tried again, unless something newer is known by now. */
static void flush_done(struct db_job *job, int res)
{
	struct use_flush *f = container_of(job, struct use_flush, job);
	struct cache *c = f->c;

	if (res && (c->closing || !c->db))
		c->rows_lost = true;
	for (size_t i = 0; i < f->n && res && res != -ESHUTDOWN; i++) {
		if (map_get(&c->uses, f->u[i]->oid))
			continue;
		if (c->uses.live >= PENDING_MAX) {
			c->rows_lost = true;
			continue;
		}
		map_put(&c->uses, f->u[i]);
		f->u[i] = NULL;
	}
	flush_free(job);
}

void use_flush(struct cache *c)
{
	struct use_flush *f;
	struct use *u;
	size_t it = 0;

	if (!c->uses.live)
		return;
	index_flush(c);		/* none is there before its object's row (check.c) */
	f = xcalloc(1, sizeof(*f));
	f->c = c;
	f->u = xcalloc(c->uses.live, sizeof(struct use *));
	while ((u = map_next(&c->uses, &it)))
		f->u[f->n++] = u;
	map_free(&c->uses);
	map_init(&c->uses, offsetof(struct use, oid), AUGUR_OID_LEN);
	f->job.fn = db_flush;
	f->job.done = flush_done;
	f->job.free_fn = flush_free;
	index_queue(c, &f->job);
}

static void flush_due(struct io_op *op, int res)
{
	struct cache *c = container_of(op, struct cache, use_op);

	if (res != -ECANCELED && c->db)
		use_flush(c);
}

static struct use *use_of(struct cache *c, const u8 *oid)
{
	struct use *u = map_get(&c->uses, oid);

	if (u)
		return u;
	if (c->uses.live >= FLUSH_ROWS && c->db)
		use_flush(c);
	u = xcalloc(1, sizeof(*u));
	memcpy(u->oid, oid, AUGUR_OID_LEN);
	map_put(&c->uses, u);
	if (!c->use_op.busy && !c->closing) {
		c->use_op.done = flush_due;
		c->io->ops->timer(c->io, &c->use_op, io_now(c->io) + FLUSH_NS);
	}
	return u;
}

static s64 now_s(const struct cache *c)
{
	return c->io->ops->real_ns(c->io) / 1000000000;
}

void use_opened(struct cache *c, const u8 *oid)
{
	struct use *u = use_of(c, oid);

	if (u->what & GONE)
		return;
	u->what |= USED;
	u->last = now_s(c);
}

void use_filled(struct cache *c, const u8 *oid, u64 bytes)
{
	struct use *u = use_of(c, oid);

	u->what = USED | SIZED;
	u->last = now_s(c);
	u->bytes = bytes;
}

void use_gone(struct cache *c, const u8 *oid)
{
	use_of(c, oid)->what = GONE;
}

void use_dir(struct cache *c, const u8 *oid)
{
	struct use *u = use_of(c, oid);

	u->what = USED | DIR_USE;
	u->last = now_s(c);
}

void use_dir_gone(struct cache *c, const u8 *oid)
{
	use_of(c, oid)->what = GONE | DIR_USE;
}

/* ---- the oldest ---- */

struct oldest {
	struct db_job	job;
	const char	*sql;
	struct use_brief after, *b;
	size_t		want, n;
	use_fn		*fn;
	void		*arg;
};

static int db_oldest(sqlite3 *sq, struct db_job *job)
{
	struct oldest *q = container_of(job, struct oldest, job);
	sqlite3_stmt *st = db_stmt(sq, q->sql);

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, q->after.rank);
	sqlite3_bind_blob(st, 2, q->after.oid, AUGUR_OID_LEN, SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, (s64)q->want);
	while (q->n < q->want && sqlite3_step(st) == SQLITE_ROW) {
		struct use_brief *b = &q->b[q->n];

		if (sqlite3_column_bytes(st, 0) != AUGUR_OID_LEN)
			continue;
		memcpy(b->oid, sqlite3_column_blob(st, 0), AUGUR_OID_LEN);
		b->bytes = sqlite3_column_int64(st, 1);
		b->rank = sqlite3_column_int64(st, 2);
		q->n++;
	}
	sqlite3_reset(st);
	return 0;
}

static void oldest_done(struct db_job *job, int res)
{
	struct oldest *q = container_of(job, struct oldest, job);

	q->fn(q->arg, q->b, q->n);
	free(q);
}

static void oldest(struct cache *c, const char *sql, const struct use_brief *after, size_t n, use_fn *fn, void *arg)
{
	struct oldest *q = xcalloc(1, sizeof(*q));

	q->sql = sql;

	if (c->db)
		use_flush(c);
	if (after)
		q->after = *after;
	else
		q->after.rank = INT64_MIN;
	q->b = xcalloc(n, sizeof(*q->b));
	q->want = n;
	q->fn = fn;
	q->arg = arg;
	q->job.fn = db_oldest;
	q->job.done = oldest_done;
	index_queue(c, &q->job);
}

void use_oldest(struct cache *c, const struct use_brief *after, size_t n, use_fn *fn, void *arg)
{
	oldest(c, "SELECT oid, bytes, rank FROM use WHERE rank > ?1 OR (rank = ?1 AND oid > ?2)"
		  " ORDER BY rank, oid LIMIT ?3", after, n, fn, arg);
}

void use_oldest_dirs(struct cache *c, const struct use_brief *after, size_t n, use_fn *fn, void *arg)
{
	oldest(c, "SELECT oid, 0, last FROM dir_use WHERE last > ?1 OR (last = ?1 AND oid > ?2)"
		  " ORDER BY last, oid LIMIT ?3", after, n, fn, arg);
}

/* ---- the walk ---- */

struct scan_dir { struct list link; struct fh fh; };

struct scan {
	struct io_op	op;
	struct cache	*c;
	struct list	dirs;		/* struct scan_dir, still to be looked at */
	struct fh	dir;
	struct use_found *files;
	struct fh	*subs;
	size_t		nfiles, nsubs, total;
	bool		want_dirs;	/* these are looked for, in place of files */
	void		(*done)(void *arg, size_t found);
	void		*arg;
};

struct use_found { u8 oid[AUGUR_OID_LEN]; u64 bytes; };

static void scan_name(struct scan *s, int dir, struct lower_name *ln)
{
	CLEANUP_CLOSE int fd = openat(dir, ln->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct augur_rec rec;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || lower_record_look(fd, &rec))
		return;
	if (S_ISDIR(st.st_mode) && !fh_of(fd, "", &s->subs[s->nsubs])) {
		s->nsubs++;
		if (s->want_dirs)
			memcpy(s->files[s->nfiles++].oid, rec.oid, AUGUR_OID_LEN);
	} else if (!s->want_dirs && S_ISREG(st.st_mode) && st.st_blocks) {
		memcpy(s->files[s->nfiles].oid, rec.oid, AUGUR_OID_LEN);
		s->files[s->nfiles++].bytes = (u64)st.st_blocks * 512;
	}
}

/* Worker: one directory. */
static int scan_work(void *arg)
{
	struct scan *s = arg;
	CLEANUP_CLOSE int fd = fh_open(s->c->top_fd, &s->dir, O_RDONLY | O_DIRECTORY);
	struct lower_name *names = NULL;
	size_t n = 0;
	int err = fd < 0 ? fd : lower_list_names(fd, &names, &n);

	s->files = xcalloc(n ? n : 1, sizeof(*s->files));
	s->subs = xcalloc(n ? n : 1, sizeof(*s->subs));
	for (size_t i = 0; i < n && !err; i++)
		scan_name(s, fd, &names[i]);
	lower_names_free(names, n);
	return err;
}

static void scan_push(struct scan *s, const struct fh *fh)
{
	struct scan_dir *d = xcalloc(1, sizeof(*d));

	d->fh = *fh;
	list_add_tail(&s->dirs, &d->link);
}

static void scan_found(struct cache *c, const u8 *oid, u64 bytes, int what)
{
	struct use *u = use_of(c, oid);

	if (u->what)
		return;
	u->what = what;
	u->bytes = bytes;
}

static void scan_next(struct scan *s);

static void scan_done(struct io_op *op, int res)
{
	struct scan *s = container_of(op, struct scan, op);

	cache_worked(s->c);
	for (size_t i = 0; i < s->nfiles && s->c->db; i++)
		scan_found(s->c, s->files[i].oid, s->files[i].bytes, FOUND | (s->want_dirs ? DIR_USE : 0));
	for (size_t i = 0; i < s->nsubs; i++)
		scan_push(s, &s->subs[i]);
	s->total += s->nfiles;
	free(s->files);
	free(s->subs);
	s->files = NULL;
	s->subs = NULL;
	s->nfiles = s->nsubs = 0;
	scan_next(s);
}

static void scan_next(struct scan *s)
{
	struct scan_dir *d;

	while (s->c->closing && !list_empty(&s->dirs)) {
		d = list_first(&s->dirs, struct scan_dir, link);
		list_del(&d->link);
		free(d);
	}
	if (list_empty(&s->dirs)) {
		s->done(s->arg, s->total);
		free(s);
		return;
	}
	d = list_first(&s->dirs, struct scan_dir, link);
	list_del(&d->link);
	s->dir = d->fh;
	free(d);
	s->op.done = scan_done;
	cache_work(s->c, &s->op, scan_work, s);
}

void use_scan(struct cache *c, bool dirs, void (*done)(void *arg, size_t found), void *arg)
{
	struct scan *s = xcalloc(1, sizeof(*s));
	struct fh root;

	s->c = c;
	s->want_dirs = dirs;
	s->done = done;
	s->arg = arg;
	list_init(&s->dirs);
	if (!fh_of(c->root_fd, "", &root))
		scan_push(s, &root);
	if (dirs && c->db)
		scan_found(c, c->root_oid, 0, FOUND | DIR_USE);
	scan_next(s);
}

/* ---- start and end ---- */

void use_init(struct cache *c)
{
	map_init(&c->uses, offsetof(struct use, oid), AUGUR_OID_LEN);
}

void use_exit(struct cache *c)
{
	struct use *u;
	size_t it = 0;

	while ((u = map_next(&c->uses, &it)))
		free(u);
	map_free(&c->uses);
}
