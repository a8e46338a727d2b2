// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * check.c - after an unclean end: is the tree what the index says?
 *
 * An agent that is killed loses the rows that it had not written; so does one that ends while
 * its disk refuses them.  What lies in the tree without a row is found by nobody: no notice of its
 * owner marks it, no sweep asks about it, its bytes are not counted and not evicted.  So every
 * inode at a name gets a row.  Its locator and its tag are the owner's to say: the row is half
 * (COBJ_HALF), and whoever wants more than where it lies asks (agent/recover.c).  Rows of inodes
 * that are no more go, and the table of uses gets the bytes that lie there.
 *
 * After a power cut tree and rows are durable each in its own time, and either may be ahead.  The
 * owner is asked about rows, so an old inode under a new row would be called current, while the
 * kernel opens it by its record.  So what differs is marked as well, and its names ask; this is
 * done before anything is asked or served.
 *
 * Steps are jobs on the database's thread, over the handles of directories found on the way: what
 * writes rows meanwhile has changed the tree first, so a row that is wrong in a step is either
 * lost, or will be written behind it.  The end is noted by the last step, or, without a cut, by
 * the next clean close: a check that is broken off is made again by the next daemon.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "cache/index.h"

#define STEP		256	/* names or rows: somebody may wait for the database */
#define AGAIN_NS	(10ull * 1000000000)
#define SECTOR		512
#define BLOCK		4096

enum check_turn { TURN_TREE, TURN_ROWS, TURN_USES, TURN_NOTE, TURN_OVER };

struct doubt { u8 oid[AUGUR_OID_LEN], parent[AUGUR_OID_LEN]; struct fh fh; bool is_dir; char name[AUGUR_NAME_MAX + 1]; };

struct check {
	struct db_job	job;
	struct io_op	pause;
	struct cache	*c;
	enum check_turn	turn;
	bool		cut, stop, warned;
	bool		no_rows;		/* the disk takes none: marks have to do */
	/* the tree: directories to be read, and the one that is being read */
	struct fh	*dirs;
	size_t		n, cap;
	int		fd;
	u8		dir_oid[AUGUR_OID_LEN];
	bool		dir_known;		/* dir_oid is */
	struct lower_name *names;
	size_t		nnames, at;
	/* the rows: behind which one to go on */
	u8		after[AUGUR_OID_LEN];
	/* of a step */
	struct doubt	*doubts;
	size_t		ndoubts;
	u8		dead[STEP][AUGUR_OID_LEN];
	size_t		ndead;
	u64		looked, marked, found, counted, gone;
	char		boot[40];
	void		(*done)(void *arg, int err);
	void		*arg;
};

/* An inode at a name. */
struct seen { int fd; const char *name; struct fh fh; struct stat st; struct augur_rec rec; };

enum row_state {
	ROW_SAME,
	ROW_NONE,
	ROW_PAST,	/* of this inode, of another state of it */
	ROW_DEAD,	/* of an inode that is no more */
	ROW_OTHER,	/* of another inode that has a name, too */
};

static int run(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return db_errno(rc);
}

/* ---- database's thread: an inode and its row ---- */

static bool inode_lives(const struct check *k, const u8 *oid, const struct fh *fh)
{
	CLEANUP_CLOSE int fd = fh_open(k->c->top_fd, fh, O_PATH | O_NOFOLLOW);
	struct augur_rec rec;
	struct stat st;

	if (fd < 0)
		return fd != -ESTALE && fd != -ENOENT;
	return !fstat(fd, &st) && st.st_nlink && !lower_record_look(fd, &rec) && !memcmp(rec.oid, oid, AUGUR_OID_LEN);
}

/* An enum row_state, or -errno. */
static int db_row_state(const struct check *k, sqlite3 *sq, const struct seen *s)
{
	sqlite3_stmt *st = db_stmt(sq, "SELECT fh, version, ctime, ctime_ns, size FROM obj WHERE oid = ?1");
	const struct augur_rec *rec = &s->rec;
	struct fh row = { 0 };
	bool same = false;
	int rc;

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, rec->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		fh_set(&row, sqlite3_column_blob(st, 0), sqlite3_column_bytes(st, 0));
		same = (u64)sqlite3_column_int64(st, 1) == rec->version && sqlite3_column_int64(st, 2) == rec->ctime_sec &&
		       (u32)sqlite3_column_int64(st, 3) == rec->ctime_nsec &&
		       (!S_ISREG(s->st.st_mode) || (u64)sqlite3_column_int64(st, 4) == rec->size);
	}
	sqlite3_reset(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return db_errno(rc);
	if (rc == SQLITE_DONE)
		return ROW_NONE;
	if (fh_equal(&row, &s->fh))
		return same ? ROW_SAME : ROW_PAST;
	return inode_lives(k, rec->oid, &row) ? ROW_OTHER : ROW_DEAD;
}

/* What a name and an inode tell: all but locator and tag. */
static int db_found(const struct check *k, sqlite3 *sq, const struct seen *s)
{
	sqlite3_stmt *st = db_stmt(sq, "INSERT OR REPLACE INTO obj VALUES(?1,?2,?3,?4,x'',?5,?6,?7,?8,0,?9,?10,?11,?12,?13,?14,?15)");
	unsigned int flags = COBJ_HALF;
	char path[64];

	if (!st)
		return -EIO;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
	if (S_ISREG(s->st.st_mode) && getxattr(path, "security.capability", NULL, 0) > 0)
		flags |= COBJ_CAPS;
	if (!S_ISDIR(s->st.st_mode) && s->rec.nlink > 1)
		flags |= COBJ_LINKS;
	sqlite3_bind_blob(st, 1, s->rec.oid, AUGUR_OID_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(st, 2, k->dir_oid, AUGUR_OID_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(st, 3, s->name, strlen(s->name), SQLITE_STATIC);
	sqlite3_bind_blob(st, 4, s->fh.b, s->fh.len, SQLITE_STATIC);
	sqlite3_bind_int64(st, 5, s->rec.pu);
	sqlite3_bind_int64(st, 6, s->st.st_mode);
	sqlite3_bind_int64(st, 7, s->rec.nlink);
	sqlite3_bind_int64(st, 8, (s64)s->rec.version);
	sqlite3_bind_int64(st, 9, (s64)s->rec.size);
	/* The owner's mtime is what the atime says (stub.c). */
	sqlite3_bind_int64(st, 10, s->st.st_atim.tv_sec);
	sqlite3_bind_int64(st, 11, s->st.st_atim.tv_nsec);
	sqlite3_bind_int64(st, 12, s->rec.ctime_sec);
	sqlite3_bind_int64(st, 13, s->rec.ctime_nsec);
	sqlite3_bind_int64(st, 14, s->rec.chunk_shift);
	sqlite3_bind_int64(st, 15, flags);
	return run(st);
}

/* A directory that was listed: the same object, so its locator stands; without a tag it counts as changed. */
static int db_dir_state(sqlite3 *sq, const struct seen *s)
{
	sqlite3_stmt *st = db_stmt(sq, "UPDATE obj SET nlink = ?2, version = ?3, tag = 0, size = ?4, mtime = ?5, mtime_ns = ?6,"
				       " ctime = ?7, ctime_ns = ?8 WHERE oid = ?1");

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, s->rec.oid, AUGUR_OID_LEN, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, s->rec.nlink);
	sqlite3_bind_int64(st, 3, (s64)s->rec.version);
	sqlite3_bind_int64(st, 4, (s64)s->rec.size);
	sqlite3_bind_int64(st, 5, s->st.st_atim.tv_sec);
	sqlite3_bind_int64(st, 6, s->st.st_atim.tv_nsec);
	sqlite3_bind_int64(st, 7, s->rec.ctime_sec);
	sqlite3_bind_int64(st, 8, s->rec.ctime_nsec);
	return run(st);
}

static int db_one_more_name(const struct check *k, sqlite3 *sq, const struct seen *s)
{
	sqlite3_stmt *st = db_stmt(sq, "INSERT OR IGNORE INTO name VALUES(?1, ?2, ?3)");

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, s->rec.oid, AUGUR_OID_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(st, 2, k->dir_oid, AUGUR_OID_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(st, 3, s->name, strlen(s->name), SQLITE_STATIC);
	return run(st);
}

/* The bytes that lie there; one without a row was used last when it was filled. */
static int db_bytes(struct check *k, sqlite3 *sq, const struct seen *s)
{
	static const char put[] = "INSERT INTO use VALUES(?1, ?2, ?3, ?2 + min(600, 600 * 65536 / max(?3, 1)))"
		" ON CONFLICT(oid) DO UPDATE SET bytes = ?3, rank = last + min(600, 600 * 65536 / max(?3, 1))";
	sqlite3_stmt *st = db_stmt(sq, "SELECT bytes FROM use WHERE oid = ?1");
	u64 lie = (u64)s->st.st_blocks * SECTOR, have = 0;
	int rc;

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, s->rec.oid, AUGUR_OID_LEN, SQLITE_STATIC);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		have = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return db_errno(rc);
	if (rc == SQLITE_ROW ? lie && (have + BLOCK - 1) / BLOCK == (lie + BLOCK - 1) / BLOCK : !lie)
		return 0;
	k->counted++;
	st = db_stmt(sq, lie ? put : "DELETE FROM use WHERE oid = ?1");
	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, s->rec.oid, AUGUR_OID_LEN, SQLITE_STATIC);
	if (lie) {
		sqlite3_bind_int64(st, 2, s->st.st_mtim.tv_sec);
		sqlite3_bind_int64(st, 3, (s64)lie);
	}
	return run(st);
}

/* The root has no name that could ask; its own names are listed again. */
static int mark(struct check *k, const struct seen *s)
{
	bool root = !*s->name;

	k->marked++;
	if (!S_ISDIR(s->st.st_mode))
		return lower_record_flags(k->c, &s->fh, NULL, AUGUR_REC_STALE, 0);
	return lower_record_flags(k->c, &s->fh, NULL, AUGUR_REC_STUB | (root ? 0 : AUGUR_REC_STALE), AUGUR_REC_COMPLETE);
}

/*
 * Two inodes of one object, each at a name: it was renamed, or had a new version, and what was to
 * mark the old one may not have come to it.  Which of them is right the owner knows: both ask.
 */
static void doubt(struct check *k, const struct seen *s)
{
	struct doubt *d;

	if ((s->rec.flags & AUGUR_REC_STALE) || !k->dir_known)
		return;
	k->doubts = xrealloc(k->doubts, (k->ndoubts + 1) * sizeof(*k->doubts));
	d = &k->doubts[k->ndoubts++];
	memset(d, 0, sizeof(*d));
	memcpy(d->oid, s->rec.oid, AUGUR_OID_LEN);
	memcpy(d->parent, k->dir_oid, AUGUR_OID_LEN);
	strncpy(d->name, s->name, AUGUR_NAME_MAX);
	d->fh = s->fh;
	d->is_dir = S_ISDIR(s->st.st_mode);
}

static int put_right(struct check *k, sqlite3 *sq, const struct seen *s, enum row_state state)
{
	int err = 0;

	if (state != ROW_SAME && k->cut)
		err = mark(k, s);
	else if (state == ROW_OTHER && *s->name)
		doubt(k, s);
	if (err || k->no_rows || !k->dir_known)
		return err;
	if (state == ROW_PAST && S_ISDIR(s->st.st_mode))
		err = db_dir_state(sq, s);
	else if (state == ROW_NONE || state == ROW_DEAD || state == ROW_PAST)
		err = db_found(k, sq, s);
	k->found += state != ROW_SAME && state != ROW_OTHER;
	if (!err && !S_ISDIR(s->st.st_mode) && s->rec.nlink > 1)
		err = db_one_more_name(k, sq, s);
	if (!err && S_ISREG(s->st.st_mode) && state != ROW_OTHER)
		err = db_bytes(k, sq, s);
	return err;
}

/* ---- database's thread: the tree ---- */

static void dir_add(struct check *k, const struct fh *fh)
{
	if (k->n == k->cap) {
		k->cap = k->cap ? k->cap * 2 : 64;
		k->dirs = xrealloc(k->dirs, k->cap * sizeof(*k->dirs));
	}
	k->dirs[k->n++] = *fh;
}

static int look_inode(struct check *k, sqlite3 *sq, struct seen *s)
{
	int err;

	if (fstat(s->fd, &s->st))
		return -errno;
	err = fh_of(s->fd, "", &s->fh);
	if (err)
		return err;
	k->looked++;
	if (S_ISDIR(s->st.st_mode))
		dir_add(k, &s->fh);
	if (lower_record_look(s->fd, &s->rec))
		return 0;	/* a leftover: it asks, and is made anew */
	err = db_row_state(k, sq, s);
	return err < 0 ? err : put_right(k, sq, s, err);
}

static int look(struct check *k, sqlite3 *sq, const char *name)
{
	CLEANUP_CLOSE int fd = openat(k->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct seen s = { .fd = fd, .name = name };

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return look_inode(k, sq, &s);
}

static int look_root(struct check *k, sqlite3 *sq)
{
	struct seen s = { .fd = k->c->root_fd, .name = "" };

	memcpy(k->dir_oid, k->c->root_oid, AUGUR_OID_LEN);
	k->dir_known = true;
	return look_inode(k, sq, &s);
}

static void dir_end(struct check *k)
{
	lower_names_free(k->names, k->nnames);
	if (k->fd >= 0)
		close(k->fd);
	k->names = NULL;
	k->nnames = k->at = 0;
	k->fd = -1;
}

/* Of one that has gone meanwhile there is nothing to be said. */
static int next_dir(struct check *k)
{
	struct augur_rec rec;

	dir_end(k);
	k->fd = fh_open(k->c->top_fd, &k->dirs[--k->n], O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (k->fd < 0)
		return k->fd == -ESTALE || k->fd == -ENOENT ? 0 : k->fd;
	k->dir_known = !lower_record_read(k->fd, &rec);
	if (k->dir_known)
		memcpy(k->dir_oid, rec.oid, AUGUR_OID_LEN);
	return lower_list_names(k->fd, &k->names, &k->nnames);
}

static int step_tree(struct check *k, sqlite3 *sq)
{
	int err = k->looked ? 0 : look_root(k, sq);

	for (int i = 1; i < STEP && !err; i++) {
		if (k->at < k->nnames) {
			err = look(k, sq, k->names[k->at++].name);
		} else if (k->n) {
			err = next_dir(k);
		} else {
			k->turn = TURN_ROWS;
			return 0;
		}
	}
	return err;
}

/* ---- database's thread: the rows ---- */

static int db_use_gone(sqlite3 *sq, const u8 *oid)
{
	sqlite3_stmt *st = db_stmt(sq, "DELETE FROM use WHERE oid = ?1");

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, oid, AUGUR_OID_LEN, SQLITE_STATIC);
	return run(st);
}

/* The next rows of @sql, which selects oid and handle; those whose inode is no more are left in k->dead. */
static int rows_next(struct check *k, sqlite3 *sq, const char *sql)
{
	sqlite3_stmt *st = db_stmt(sq, sql);
	size_t n = 0;
	int rc;

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, k->after, AUGUR_OID_LEN, SQLITE_TRANSIENT);
	sqlite3_bind_int64(st, 2, STEP);
	for (; (rc = sqlite3_step(st)) == SQLITE_ROW; n++) {
		struct fh fh = { 0 };

		if (sqlite3_column_bytes(st, 0) != AUGUR_OID_LEN)
			continue;
		memcpy(k->after, sqlite3_column_blob(st, 0), AUGUR_OID_LEN);
		fh_set(&fh, sqlite3_column_blob(st, 1), sqlite3_column_bytes(st, 1));
		if (!inode_lives(k, k->after, &fh))
			memcpy(k->dead[k->ndead++], k->after, AUGUR_OID_LEN);
	}
	sqlite3_reset(st);
	if (rc != SQLITE_DONE)
		return db_errno(rc);
	if (n < STEP) {
		memset(k->after, 0, sizeof(k->after));
		k->turn++;
	}
	return 0;
}

static int step_rows(struct check *k, sqlite3 *sq)
{
	int err = rows_next(k, sq, "SELECT oid, fh FROM obj WHERE oid > ?1 ORDER BY oid LIMIT ?2");

	for (size_t i = 0; i < k->ndead && !err && !k->no_rows; i++)
		err = index_forget(sq, k->dead[i]);
	k->gone += k->ndead;
	return err;
}

/* Of objects that have no row. */
static int step_uses(struct check *k, sqlite3 *sq)
{
	int err = rows_next(k, sq, "SELECT oid, x'' FROM use WHERE oid > ?1 AND NOT EXISTS"
				   " (SELECT 1 FROM obj WHERE obj.oid = use.oid) ORDER BY oid LIMIT ?2");

	for (size_t i = 0; i < k->ndead && !err && !k->no_rows; i++)
		err = db_use_gone(sq, k->dead[i]);
	return err;
}

/* After a cut: nothing is known to be unchanged at an owner. */
static int step_note(struct check *k, sqlite3 *sq)
{
	k->turn = TURN_OVER;
	return k->cut ? index_meta_checked(sq, k->boot) : 0;
}

static int db_check(sqlite3 *sq, struct db_job *job)
{
	static int (*const steps[])(struct check *, sqlite3 *) = {
		[TURN_TREE] = step_tree, [TURN_ROWS] = step_rows, [TURN_USES] = step_uses, [TURN_NOTE] = step_note,
	};
	struct check *k = container_of(job, struct check, job);

	k->ndoubts = k->ndead = 0;
	return steps[k->turn](k, sq);
}

/* ---- loop ---- */

static void check_end(struct check *k, int err)
{
	struct cache *c = k->c;

	if (err && err != -ECANCELED)
		log_err("event=cache_check cache=%s error=\"%s\" hint=\"check the cache disk, or use another cache directory\"",
			c->dir, strerror(-err));
	else if (!err)
		log_notice("event=cache_checked cache=%s inodes=%llu marked=%llu found=%llu counted=%llu gone=%llu", c->dir,
			   (unsigned long long)k->looked, (unsigned long long)k->marked, (unsigned long long)k->found,
			   (unsigned long long)k->counted, (unsigned long long)k->gone);
	if (!err)
		c->unclean = c->cut = false;
	c->rows_lost |= k->no_rows;
	c->checking = NULL;
	k->done(k->arg, err);
	dir_end(k);
	free(k->doubts);
	free(k->dirs);
	free(k);
}

static void step_done(struct db_job *job, int res);

static void step(struct check *k)
{
	k->job.fn = db_check;
	k->job.done = step_done;
	index_queue(k->c, &k->job);
}

/* From the beginning: what was done of it is done again, and is not much. */
static void begin(struct check *k)
{
	dir_end(k);
	k->turn = TURN_TREE;
	k->n = 0;
	memset(k->after, 0, sizeof(k->after));
	k->looked = k->marked = k->found = k->counted = k->gone = 0;
	step(k);
}

static void paused(struct io_op *op, int res)
{
	struct check *k = container_of(op, struct check, pause);

	if (k->stop)
		check_end(k, -ECANCELED);
	else
		begin(k);
}

static void step_failed(struct check *k, int err)
{
	if (k->cut && err == -ENOSPC && !k->no_rows) {
		k->no_rows = true;
		begin(k);
		return;
	}
	if (k->cut) {
		check_end(k, err);
		return;
	}
	if (!k->warned)
		log_warn("event=cache_check cache=%s error=\"%s\" action=retry effect=\"no leases until then: each open asks\" hint=\"check the cache disk\"",
			 k->c->dir, strerror(-err));
	k->warned = true;
	k->pause.done = paused;
	k->c->io->ops->timer(k->c->io, &k->pause, io_now(k->c->io) + AGAIN_NS);
}

static void tell_doubt(struct cache *c, const struct doubt *d)
{
	const struct cobj *o = map_get(&c->objs, d->oid);

	/* Its row is only not written yet. */
	if (c->doubted && !(o && fh_equal(&o->fh, &d->fh)))
		c->doubted(c->doubted_ctx, d->oid, d->is_dir, d->parent, d->name);
}

static void step_done(struct db_job *job, int res)
{
	struct check *k = container_of(job, struct check, job);

	if (k->stop) {
		check_end(k, -ECANCELED);
		return;
	}
	if (res) {
		step_failed(k, res);
		return;
	}
	for (size_t i = 0; i < k->ndoubts; i++)
		tell_doubt(k->c, &k->doubts[i]);
	if (k->turn == TURN_OVER)
		check_end(k, 0);
	else
		step(k);
}

void cache_check(struct cache *c, void (*done)(void *arg, int err), void *arg)
{
	struct check *k = xcalloc(1, sizeof(*k));

	k->c = c;
	k->cut = c->cut;
	k->fd = -1;
	k->done = done;
	k->arg = arg;
	cache_boot_id(k->boot);
	c->checking = k;
	begin(k);
}

void cache_check_stop(struct cache *c)
{
	struct check *k = c->checking;

	if (!k || k->stop)
		return;
	k->stop = true;
	if (k->pause.busy)
		c->io->ops->cancel(c->io, &k->pause);
}
