// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * evict.c - bytes that go again: claims are taken back durably, and later, when the kernel has
 * agreed, holes are punched (R4: never the other way round).
 *
 * Taking back: the map rows go in one transaction, the COMPLETE flags of the records are cleared
 * and each of those inodes is synced; only then done().  While it is under way no claim is
 * written: settle.c is held.  A power cut anywhere leaves bytes without a claim, never a claim
 * without its bytes.  Punching keeps the size and the atime, where the owner's mtime lies.  A hole
 * that ends with the file is punched beyond it: part of a page would not go but be zeroed where
 * it is, under who has it mapped or in a pipe, and part of a block would not be freed.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cache/index.h"

#define PUNCH_TAIL	65536	/* no page and no block is larger */

/* ---- taking claims back ---- */

static int unclaim_record(int fd, struct evict_item *it)
{
	struct augur_rec rec;
	int err;

	lower_record_lock();
	err = lower_record_read(fd, &rec);
	if (!err && memcmp(rec.oid, it->oid, AUGUR_OID_LEN))
		err = -ESTALE;
	if (!err && (rec.flags & AUGUR_REC_COMPLETE)) {
		rec.flags = (rec.flags & ~AUGUR_REC_COMPLETE) | AUGUR_REC_STUB;
		err = lower_record_write(fd, &rec);
		it->changed = !err;
	}
	lower_record_unlock();
	return err;
}

/* Worker.  Written first, synced after: most of them are in one transaction of the filesystem then. */
static int unclaim_work(void *arg)
{
	struct evict_job *j = arg;
	int *fds = xcalloc(j->n ? j->n : 1, sizeof(*fds));

	for (size_t i = 0; i < j->n; i++) {
		fds[i] = fh_open(j->c->top_fd, &j->it[i].fh, O_RDONLY | O_NOFOLLOW);
		j->it[i].res = fds[i] < 0 ? fds[i] : unclaim_record(fds[i], &j->it[i]);
	}
	for (size_t i = 0; i < j->n; i++) {
		if (fds[i] < 0)
			continue;
		if (!j->it[i].res && j->it[i].changed && fsync(fds[i]))
			j->it[i].res = -errno;
		close(fds[i]);
	}
	free(fds);
	return 0;
}

static void unclaim_end(struct evict_job *j, int res)
{
	for (size_t i = 0; i < j->n && res; i++)
		j->it[i].res = res;
	settle_release(j->c);
	j->done(j);
}

static void unclaim_records(struct io_op *op, int res)
{
	struct evict_job *j = container_of(op, struct evict_job, op);

	cache_worked(j->c);
	unclaim_end(j, res);
}

static void unclaim_maps(void *arg, int res)
{
	struct evict_job *j = arg;

	if (res) {
		log_warn("event=unclaim error=\"%s\" effect=\"nothing of it is evicted now\"", strerror(-res));
		unclaim_end(j, res);
		return;
	}
	j->op.done = unclaim_records;
	cache_work(j->c, &j->op, unclaim_work, j);
}

static void unclaim_go(void *arg)
{
	struct evict_job *j = arg;
	struct map_row *rows = xcalloc(j->n ? j->n : 1, sizeof(*rows));

	for (size_t i = 0; i < j->n; i++) {
		memcpy(rows[i].oid, j->it[i].oid, AUGUR_OID_LEN);
		rows[i].drop = true;
	}
	index_maps_store(j->c, rows, j->n, unclaim_maps, j);
}

static int punch_work(void *arg);

void cache_unclaim(struct evict_job *j)
{
#ifdef AUGUR_SEED_EARLY_PUNCH	/* a seeded bug that tests/powercut has to find: a hole under a claim that still stands */
	punch_work(j);
	syncfs(j->c->top_fd);
#endif
	settle_hold(j->c, unclaim_go, j);
}

/* ---- holes ---- */

static int punch_one(struct cache *c, struct evict_item *it)
{
	CLEANUP_CLOSE int fd = fh_open(c->top_fd, &it->fh, O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
	struct stat st, after;
	u64 end;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return st.st_size ? -ESTALE : 0;
	end = it->len ? it->off + it->len : (u64)st.st_size;
	if (end >= (u64)st.st_size)
		end = ((u64)st.st_size | (PUNCH_TAIL - 1)) + 1;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, it->off, end - it->off))
		return -errno;
	if (!fstat(fd, &after) && after.st_blocks < st.st_blocks)
		it->freed = (u64)(st.st_blocks - after.st_blocks) * 512;
	return 0;
}

static int punch_work(void *arg)
{
	struct evict_job *j = arg;

	for (size_t i = 0; i < j->n; i++)
		if (!j->it[i].res)
			j->it[i].res = punch_one(j->c, &j->it[i]);
	return 0;
}

static void punched(struct io_op *op, int res)
{
	struct evict_job *j = container_of(op, struct evict_job, op);

	cache_worked(j->c);
	for (size_t i = 0; i < j->n; i++)
		j->c->evicted_bytes += j->it[i].freed;
	j->done(j);
}

void cache_punch(struct evict_job *j)
{
	j->op.done = punched;
	cache_work(j->c, &j->op, punch_work, j);
}

/* ---- the reserve: room that is held for reads of a full disk, and for what has to be written to make room ---- */

struct reserve { struct io_op op; struct cache *c; u64 bytes; void (*done)(void *arg, int res); void *arg; };

static int reserve_work(void *arg)
{
	struct reserve *r = arg;
	CLEANUP_CLOSE int fd = openat(r->c->priv_fd, "reserve", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	if (!r->bytes)
		return ftruncate(fd, 0) ? -errno : 0;
	if (!fallocate(fd, 0, 0, r->bytes))
		return 0;
	int err = -errno;

	/* Part of it would be no room for anybody. */
	return ftruncate(fd, 0) ? -errno : err;
}

static void reserved(struct io_op *op, int res)
{
	struct reserve *r = container_of(op, struct reserve, op);

	cache_worked(r->c);
	r->done(r->arg, res);
	free(r);
}

void cache_reserve(struct cache *c, u64 bytes, void (*done)(void *arg, int res), void *arg)
{
	struct reserve *r = xcalloc(1, sizeof(*r));

	r->c = c;
	r->bytes = bytes;
	r->done = done;
	r->arg = arg;
	r->op.done = reserved;
	cache_work(c, &r->op, reserve_work, r);
}
