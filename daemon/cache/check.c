// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * check.c - after a power cut: is the tree what the index says?
 *
 * Both are durable each in its own time.  A row may be there whose inode was not switched in
 * yet, and a name whose row is not.  The owner is asked about rows, so an old inode under a
 * new row would be called current, and one without a row would not be asked about at all,
 * while the kernel opens both by their records.  So every inode at a name is compared with its
 * row before anything is asked or served; what differs is marked, and its names ask.
 *
 * Runs as one job on the database's thread, over the handles of directories found on the way.
 * With its end, and only then, the sequence numbers are dropped and the boot is noted: one that
 * is broken off is run again by the next daemon.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cache/index.h"

struct check {
	struct db_job	job;
	struct cache	*c;
	struct fh	*dirs;		/* to be read */
	size_t		n, cap;
	u64		looked, differ;
	char		boot[40];
	void		(*done)(void *arg, int err);
	void		*arg;
};

static void dir_add(struct check *k, const struct fh *fh)
{
	if (k->n == k->cap) {
		k->cap = k->cap ? k->cap * 2 : 64;
		k->dirs = xrealloc(k->dirs, k->cap * sizeof(*k->dirs));
	}
	k->dirs[k->n++] = *fh;
}

/* 1: the row of the object is of this inode and this state of it; 0: it is not, or there is none. */
static int db_agrees(sqlite3 *sq, const struct augur_rec *rec, const struct fh *fh, bool file)
{
	sqlite3_stmt *st = db_stmt(sq, "SELECT fh, version, ctime, ctime_ns, size FROM obj WHERE oid = ?1");
	struct fh row;
	int rc, ok = 0;

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, rec->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		ok = !fh_set(&row, sqlite3_column_blob(st, 0), sqlite3_column_bytes(st, 0)) && fh_equal(&row, fh) &&
		     (u64)sqlite3_column_int64(st, 1) == rec->version && sqlite3_column_int64(st, 2) == rec->ctime_sec &&
		     (u32)sqlite3_column_int64(st, 3) == rec->ctime_nsec &&
		     (!file || (u64)sqlite3_column_int64(st, 4) == rec->size);
	sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? ok : -EIO;
}

/* The root has no name that could ask; its own names are listed again. */
static int mark(struct check *k, const struct fh *fh, bool dir, bool root)
{
	k->differ++;
	if (!dir)
		return lower_record_flags(k->c, fh, NULL, AUGUR_REC_STALE, 0);
	return lower_record_flags(k->c, fh, NULL, AUGUR_REC_STUB | (root ? 0 : AUGUR_REC_STALE), AUGUR_REC_COMPLETE);
}

static int look(struct check *k, sqlite3 *sq, int dirfd, const char *name)
{
	CLEANUP_CLOSE int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct augur_rec rec;
	struct stat st;
	struct fh fh;
	int err;

	if (fd < 0 || fstat(fd, &st))
		return errno == ENOENT ? 0 : -errno;
	err = fh_of(fd, "", &fh);
	if (err)
		return err;
	k->looked++;
	if (S_ISDIR(st.st_mode))
		dir_add(k, &fh);
	if (lower_record_look(fd, &rec))
		return 0;	/* a leftover: it asks, and is made anew */
	err = db_agrees(sq, &rec, &fh, S_ISREG(st.st_mode));
	return err < 0 ? err : err ? 0 : mark(k, &fh, S_ISDIR(st.st_mode), false);
}

static int look_dir(struct check *k, sqlite3 *sq, const struct fh *fh)
{
	CLEANUP_CLOSE int fd = fh_open(k->c->top_fd, fh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	struct lower_name *names;
	size_t n;
	int err = fd < 0 ? fd : lower_list_names(fd, &names, &n);

	if (err)
		return err;
	for (size_t i = 0; i < n && !err; i++)
		err = look(k, sq, fd, names[i].name);
	lower_names_free(names, n);
	return err;
}

static int look_root(struct check *k, sqlite3 *sq)
{
	struct augur_rec rec;
	struct fh fh;
	int err = fh_of(k->c->root_fd, "", &fh);

	if (err)
		return err;
	dir_add(k, &fh);
	if (lower_record_read(k->c->root_fd, &rec))
		return 0;
	err = db_agrees(sq, &rec, &fh, false);
	return err < 0 ? err : err ? 0 : mark(k, &fh, true, true);
}

static int db_check(sqlite3 *sq, struct db_job *job)
{
	struct check *k = container_of(job, struct check, job);
	int err = look_root(k, sq);

	while (!err && k->n) {
		struct fh fh = k->dirs[--k->n];

		err = look_dir(k, sq, &fh);
	}
	if (!err)
		err = index_meta_checked(sq, k->boot);
	return err;
}

static void check_done(struct db_job *job, int res)
{
	struct check *k = container_of(job, struct check, job);

	if (res)
		log_err("event=cache_check cache=%s error=\"%s\" hint=\"check the cache disk, or use another cache directory\"",
			k->c->dir, strerror(-res));
	else
		log_notice("event=cache_checked cache=%s inodes=%llu marked=%llu", k->c->dir,
			   (unsigned long long)k->looked, (unsigned long long)k->differ);
	if (!res)
		k->c->unclean = false;
	k->done(k->arg, res);
	free(k->dirs);
	free(k);
}

void cache_check(struct cache *c, void (*done)(void *arg, int err), void *arg)
{
	struct check *k = xcalloc(1, sizeof(*k));

	k->c = c;
	k->done = done;
	k->arg = arg;
	cache_boot_id(k->boot);
	k->job.fn = db_check;
	k->job.done = check_done;
	index_queue(c, &k->job);
}
