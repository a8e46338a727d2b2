// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * forget.c - names that go from the tree while their owner has them, so that inodes are free.
 *
 * The mirror image of making a directory complete (R4): its record says durably that names may be
 * missing, then names go; a power cut between the two leaves a directory that asks for what it
 * has.  Who removes them is the kernel, as it knows who uses them (agent/forget.c).  Worker, but for the
 * functions of cache.h.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/seeded.h"
#include "cache/cache.h"

#ifdef AUGUR_SEED_KEPT_CLAIM	/* a seeded bug that tests/powercut has to find: names go under a claim that still stands */
#undef seeded
#define seeded(bug) true
#endif

/* ---- what may go ---- */

static bool is_empty(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	bool empty = d;

	if (!d && fd >= 0)
		close(fd);
	while (empty && (de = readdir(d)))
		empty = !strcmp(de->d_name, ".") || !strcmp(de->d_name, "..");
	if (d)
		closedir(d);
	return empty;
}

/* False: it stays. */
static bool look(int dirfd, const char *name, struct forget_name *fn)
{
	CLEANUP_CLOSE int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct augur_rec rec;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || lower_record_look(fd, &rec) || fh_of(fd, "", &fn->fh))
		return false;
	fn->is_dir = S_ISDIR(st.st_mode);
	fn->is_file = S_ISREG(st.st_mode);
	if ((rec.flags & (AUGUR_REC_PINNED | AUGUR_REC_LOCAL)) || (fn->is_dir && !is_empty(dirfd, name)))
		return false;
	fn->several = !fn->is_dir && (st.st_nlink > 1 || rec.nlink > 1);
	memcpy(fn->oid, rec.oid, AUGUR_OID_LEN);
	fn->name = xstrdup(name);
	return true;
}

/* -EBUSY: what is in it is pinned with it. */
static int list_one(struct cache *c, struct forget_dir *d)
{
	CLEANUP_CLOSE int fd = fh_open(c->top_fd, &d->fh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	struct lower_name *names;
	struct augur_rec rec;
	size_t n, at;
	int err = fd < 0 ? fd : lower_record_read(fd, &rec);

	if (err)
		return err;
	if (memcmp(rec.oid, d->oid, AUGUR_OID_LEN))
		return -ESTALE;
	if (rec.flags & AUGUR_REC_PINNED)
		return -EBUSY;
	err = lower_list_names(fd, &names, &n);
	at = n > d->max ? d->turn % n : 0;
	d->names = xcalloc(min(n, d->max) + 1, sizeof(*d->names));
	for (size_t i = 0; i < n && d->n < d->max; i++)
		d->n += look(fd, names[(at + i) % n].name, &d->names[d->n]);
	d->all = !err && d->n == n;
	lower_names_free(names, n);
	return err;
}

static int list_work(void *arg)
{
	struct forget_job *j = arg;

	for (size_t i = 0; i < j->n; i++)
		j->dirs[i].res = list_one(j->c, &j->dirs[i]);
	return 0;
}

/* ---- the claim ---- */

static int disclaim_record(int fd, const struct forget_dir *d)
{
	struct augur_rec rec;
	int err;

	lower_record_lock();
	err = lower_record_read(fd, &rec);
	if (!err && memcmp(rec.oid, d->oid, AUGUR_OID_LEN))
		err = -ESTALE;
	else if (!err && (rec.flags & AUGUR_REC_PINNED))
		err = -EBUSY;
	if (!err && (rec.flags & AUGUR_REC_COMPLETE)) {
		rec.flags = (rec.flags & ~AUGUR_REC_COMPLETE) | AUGUR_REC_STUB;
		err = lower_record_write(fd, &rec);
	}
	lower_record_unlock();
	return err;
}

/* Synced also where the claim is gone already: perhaps not durably. */
static int disclaim_work(void *arg)
{
	struct forget_job *j = arg;
	int *fds = xcalloc(j->n + 1, sizeof(*fds));

	for (size_t i = 0; i < j->n; i++) {
		struct forget_dir *d = &j->dirs[i];

		fds[i] = -1;
		if (!d->disclaim || seeded(SEEDED_KEPT_CLAIM))
			continue;
		fds[i] = fh_open(j->c->top_fd, &d->fh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
		d->res = fds[i] < 0 ? fds[i] : disclaim_record(fds[i], d);
	}
	for (size_t i = 0; i < j->n; i++) {
		if (fds[i] < 0)
			continue;
		if (!j->dirs[i].res && fsync(fds[i]))
			j->dirs[i].res = -errno;
		close(fds[i]);
	}
	free(fds);
	return 0;
}

/* ---- jobs (loop) ---- */

static void worked(struct io_op *op, int res)
{
	struct forget_job *j = container_of(op, struct forget_job, op);

	cache_worked(j->c);
	for (size_t i = 0; res < 0 && i < j->n; i++)
		j->dirs[i].res = res;
	j->done(j);
}

void forget_list(struct forget_job *j)
{
	j->op.done = worked;
	cache_work(j->c, &j->op, list_work, j);
}

void forget_disclaim(struct forget_job *j)
{
	j->op.done = worked;
	cache_work(j->c, &j->op, disclaim_work, j);
}
