// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fill.c - absent bytes into the lower file, and which chunks are there.
 *
 * A write goes to a worker: open by handle, write.  Nothing is synced here (R1): the claim
 * follows in settle.c.  It moves the lower mtime, where nobody looks (stub.c).  Zeros leave holes
 * as they are.  File capabilities would be stripped by a plain write, even root's; such files are
 * written through a mapping.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cache/cache.h"

#define HOLE_STEP	((size_t)16 << 10)	/* smaller runs of zeros are written */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static int write_plain(int fd, const u8 *p, size_t len, u64 off)
{
	while (len) {
		ssize_t n = pwrite(fd, p, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		len -= n;
		off += n;
	}
	return 0;
}

/* Is [off, off + len) of @fd a hole?  What cannot be told is none. */
static bool is_hole(int fd, u64 off, u64 len)
{
	off_t data = lseek(fd, off, SEEK_DATA);

	return data < 0 ? errno == ENXIO : (u64)data >= off + len;
}

static bool is_zero(const u8 *p, size_t len)
{
	return !p[0] && !memcmp(p, p + 1, len - 1);
}

/* Zeros for a hole are not written: what was a hole at the owner, or might as well be, stays one. */
static int write_sparse(int fd, const u8 *p, size_t len, u64 off)
{
	size_t from = 0, at, n;
	int err;

	for (at = 0; at < len; at += n) {
		n = min(HOLE_STEP - (size_t)((off + at) % HOLE_STEP), len - at);
		if (!is_zero(p + at, n) || !is_hole(fd, off + at, n))
			continue;
		err = write_plain(fd, p + from, at - from, off + from);
		if (err)
			return err;
		from = at + n;
	}
	return write_plain(fd, p + from, len - from, off + from);
}

static int write_mapped(int fd, const u8 *p, size_t len, u64 off)
{
	u64 start = off & ~(u64)(sysconf(_SC_PAGESIZE) - 1);
	size_t span = len + (off - start);
	u8 *m;
	int err = 0;

	m = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_SHARED, fd, start);
	if (m == MAP_FAILED)
		return -errno;
	/* Fault in first: a full disk must be an error and not a SIGBUS (fallocate would strip, too). */
	if (madvise(m, span, MADV_POPULATE_WRITE))
		err = errno == EFAULT ? -ENOSPC : -errno;
	else
		memcpy(m + (off - start), p, len);
	munmap(m, span);
	return err;
}

static int write_work(void *arg)
{
	struct cache_write *w = arg;
	CLEANUP_CLOSE int fd = fh_open(w->c->top_fd, &w->fh, (w->caps ? O_RDWR : O_WRONLY) | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || w->off > (u64)st.st_size || w->len > (u64)st.st_size - w->off)
		return -ESTALE;
	return w->caps ? write_mapped(fd, w->p, w->len, w->off) : write_sparse(fd, w->p, w->len, w->off);
}

static void write_done(struct io_op *op, int res)
{
	struct cache_write *w = container_of(op, struct cache_write, op);

	cache_worked(w->c);
	if (!res) {
		w->c->n_fills++;
		w->c->fill_bytes += w->len;
	}
	w->done(w, res);
}

void cache_write(struct cache_write *w)
{
	w->op.done = write_done;
	cache_work(w->c, &w->op, write_work, w);
}

/* ---- presence in memory ---- */

void cobj_map_need(struct cobj *o)
{
	size_t n = augur_map_bytes(o->size, o->shift);

	if (!o->map)
		o->map = xcalloc(1, n ? n : 1);
	if (!o->fly)
		o->fly = xcalloc(1, n ? n : 1);
}

void cobj_drop_presence(struct cobj *o)
{
	free(o->map);
	free(o->fly);
	o->map = o->fly = NULL;
	o->settled = 0;
}

bool cobj_has(const struct cobj *o, u64 off, u64 len)
{
	u64 first, count;

	if (o->flags & COBJ_COMPLETE)
		return true;
	augur_chunk_range(off, len, o->size, o->shift, &first, &count);
	if (!count)
		return true;
	return o->map && augur_map_all(o->map, first, count);
}

u64 cobj_present_bytes(const struct cobj *o)
{
	u64 chunks = augur_chunks(o->size, o->shift), n, last;

	if (o->flags & COBJ_COMPLETE)
		return o->size;
	if (!o->map || !chunks)
		return 0;
	n = augur_map_weight(o->map, chunks) << o->shift;
	last = o->size & (((u64)1 << o->shift) - 1);
	if (last && augur_map_test(o->map, chunks - 1))
		n -= ((u64)1 << o->shift) - last;
	return n;
}

/* A chunk is streamed as a whole: ranges of requests are. */
void cobj_streamed(struct cobj *o, u64 off, u64 len)
{
	u64 first, count;

	augur_chunk_range(off, len, o->size, o->shift, &first, &count);
	if (!count || (o->flags & COBJ_COMPLETE))
		return;
	cobj_map_need(o);
	augur_map_set_range(o->map, first, count);
	augur_map_clear_range(o->fly, first, count);
}

/* Only chunks wholly covered (the last one: up to the size) become present. */
void cobj_present(struct cache *c, struct cobj *o, u64 off, u64 len)
{
	u64 chunks = augur_chunks(o->size, o->shift), chunk = (u64)1 << o->shift;
	u64 end = off + len < off || off + len > o->size ? o->size : off + len;
	u64 first = (off + chunk - 1) >> o->shift;
	u64 limit = end == o->size ? chunks : end >> o->shift;
	u64 before;

	if ((o->flags & COBJ_COMPLETE) || first >= limit)
		return;
	cobj_map_need(o);
	before = cobj_present_bytes(o);
	augur_map_set_range(o->map, first, limit - first);
	augur_map_clear_range(o->fly, first, limit - first);
	if (augur_map_all(o->map, 0, chunks))
		o->flags |= COBJ_COMPLETE;
	settle_add(c, o, cobj_present_bytes(o) - before);
	use_filled(c, o->oid, cobj_present_bytes(o));
}
