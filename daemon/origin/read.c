// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * READ: a range of a file in one state.
 *
 * The state (tag) is looked at under the held descriptor before the first and after the last
 * byte: if it changed, the answer ends with -ESTALE and the asker throws the bytes away.  A
 * state so young that a further change could not be told from it is waited out, which takes two
 * ticks of the clock that stamps; a file that is written without a pause is refused, never served
 * mixed.
 *
 * Up to one frame is read by the worker that looks at the state: one job per request.  More
 * is streamed by the transfer engine between two such jobs.  Descriptors of files that are
 * read in pieces are kept for a while, by oid.  Loop thread; workers touch their job alone.
 */
#include <pthread.h>
#include <sched.h>

#include "base/log.h"
#include "origin/impl.h"

#define OPEN_MAX	512
#define OPEN_IDLE_NS	(5 * 1000000000ULL)
#define WORKERS_MAX	16		/* more than the pool has */
#define WAIT_SPINS	100
#define WAITS_MAX	50		/* of two ticks that may last longer */
#define HELD_MAX_NS	(30 * 1000000000ULL)

struct read_job {
	struct origin_job j;
	struct origin_loc loc;
	u64		want_tag, off, len;
	bool		any;		/* whatever is current */
	struct origin_open *of;		/* a kept descriptor, or NULL: fd is our own */
	int		fd;
	unsigned int	waits;		/* for the state to grow old */
	u64		young_tag;	/* what was waited for */
	u64		held_ns;	/* since when another worker has waited for the file's writers */
	struct origin_stat st;		/* before */
	struct origin_stat after;
	u8		*buf;		/* small: the bytes */
	s64		got;
	struct xfer_file file;
};

/* ---- kept descriptors ---- */

static void open_close(struct origin *o, struct origin_open *of)
{
	map_del(&o->opens, of->oid);
	list_del(&of->lru);
	o->nopen--;
	close(of->fd);
	free(of);
}

static struct origin_open *open_get(struct origin *o, const u8 oid[AUGUR_OID_LEN])
{
	struct origin_open *of = map_get(&o->opens, oid);

	if (!of || of->stale)
		return NULL;
	of->refs++;
	of->used_ns = io_now(o->io);
	list_del(&of->lru);
	list_add_tail(&o->open_lru, &of->lru);
	o->n.open_hits++;
	return of;
}

static void open_put(struct origin *o, struct origin_open *of)
{
	if (--of->refs == 0 && of->stale)
		open_close(o, of);
}

/* Keeps @fd for others unless there is one already; NULL: it stays the caller's. */
static struct origin_open *open_keep(struct origin *o, const u8 oid[AUGUR_OID_LEN], int fd)
{
	struct origin_open *of;

	if (map_get(&o->opens, oid))
		return NULL;
	of = xcalloc(1, sizeof(*of));
	memcpy(of->oid, oid, AUGUR_OID_LEN);
	of->fd = fd;
	of->refs = 1;
	of->used_ns = io_now(o->io);
	map_put(&o->opens, of);
	list_add_tail(&o->open_lru, &of->lru);
	o->nopen++;
	origin_open_trim(o, 0, o->cfg.open_max ? o->cfg.open_max : OPEN_MAX);
	return of;
}

/* Closes what has been idle since @older_ns, and the oldest beyond @keep. */
void origin_open_trim(struct origin *o, u64 older_ns, u32 keep)
{
	struct list *p, *tmp;

	list_for_each_safe(p, tmp, &o->open_lru) {
		struct origin_open *of = container_of(p, struct origin_open, lru);

		if (o->nopen <= keep && of->used_ns >= older_ns)
			break;
		if (!of->refs)
			open_close(o, of);
	}
}

void origin_open_drop(struct origin *o, const u8 oid[AUGUR_OID_LEN])
{
	struct origin_open *of = map_get(&o->opens, oid);

	if (!of)
		return;
	of->stale = true;
	if (!of->refs)
		open_close(o, of);
}

/* ---- worker ---- */

int origin_open_file(const struct origin_export *ex, const struct origin_loc *loc)
{
	int fd = origin_loc_open(ex, loc, O_RDONLY | O_NOATIME);

	/* O_NOATIME is the owner's right; on the clone it changes nothing. */
	return fd == -EPERM ? origin_loc_open(ex, loc, O_RDONLY) : fd;
}

/*
 * A buffered write stamps the file first and copies its bytes then, under the inode's lock for both,
 * and may be held up in between for any time.  A search for data takes that lock on ext4, btrfs and
 * tmpfs; xfs takes it in each read.  Direct writes share the lock with readers: nothing waits for these.
 * A write may be long: one worker waits for a file, the others are left for what nobody writes.
 */
static struct {
	pthread_mutex_t	lock;
	struct { u64 dev, ino; } file[WORKERS_MAX];
} waited_for = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* A slot; -1 if a worker waits for this file, or there are more workers than slots. */
static int wait_slot(u64 dev, u64 ino)
{
	int slot = -1;

	pthread_mutex_lock(&waited_for.lock);
	for (int i = 0; i < WORKERS_MAX; i++) {
		if (waited_for.file[i].ino == ino && waited_for.file[i].dev == dev) {
			slot = -1;
			break;
		}
		if (!waited_for.file[i].ino)
			slot = i;
	}
	if (slot >= 0) {
		waited_for.file[slot].dev = dev;
		waited_for.file[slot].ino = ino;
	}
	pthread_mutex_unlock(&waited_for.lock);
	return slot;
}

int origin_await_writers(int fd, const struct origin_stat *st, u64 off)
{
	u64 dev = (u64)st->stx.stx_dev_major << 32 | st->stx.stx_dev_minor;
	int slot, spins = 0;

	while ((slot = wait_slot(dev, st->stx.stx_ino)) < 0) {
		if (spins++ == WAIT_SPINS)
			return -EBUSY;
		sched_yield();
	}
	(void)lseek(fd, off, SEEK_DATA);
	pthread_mutex_lock(&waited_for.lock);
	waited_for.file[slot].ino = 0;
	pthread_mutex_unlock(&waited_for.lock);
	return 0;
}

s64 origin_read_full(int fd, u8 *buf, size_t len, u64 off)
{
	size_t got = 0;
	ssize_t n;

	while (got < len) {
		n = pread(fd, buf + got, len - got, off + got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += n;
	}
	return got;
}

static int read_check_after(struct read_job *r)
{
	int err = origin_stat_fd(&r->j.o->ex, r->fd, &r->loc, &r->after);

	if (err)
		return err;
	return r->after.tag != r->st.tag ? -ESTALE : 0;
}

static int read_small(struct read_job *r)
{
	size_t n = r->off < r->st.stx.stx_size ? min(r->len, r->st.stx.stx_size - r->off) : 0;

	if (!n)
		return 0;
	r->buf = xmalloc(n);
	r->got = origin_read_full(r->fd, r->buf, n, r->off);
	if (r->got < 0)
		return r->got;
	if ((size_t)r->got != n)
		return -ESTALE;
	return read_check_after(r);
}

/* Opens and looks; -EAGAIN: too young to be served, -EBUSY: another worker waits for its writers. */
static int read_begin(void *arg)
{
	struct read_job *r = arg;
	int err;

	if (r->fd < 0) {
		r->fd = origin_open_file(&r->j.o->ex, &r->loc);
		if (r->fd < 0)
			return r->fd;
	}
	err = origin_stat_fd(&r->j.o->ex, r->fd, &r->loc, &r->st);
	if (err)
		return err;
	r->after = r->st;
	if (!S_ISREG(r->st.stx.stx_mode))
		return S_ISDIR(r->st.stx.stx_mode) ? -EISDIR : -EINVAL;
	if (!r->any && r->st.tag != r->want_tag)
		return -ESTALE;
	if (r->st.young) {
		if (r->waits == WAITS_MAX || (r->waits && r->st.tag != r->young_tag))
			return -ESTALE;
		r->young_tag = r->st.tag;
		return -EAGAIN;
	}
	err = origin_await_writers(r->fd, &r->st, r->off);
	if (err)
		return err;
	return r->len <= WIRE_DATA_MAX ? read_small(r) : 0;
}

static int read_end(void *arg)
{
	return read_check_after(arg);
}

/* ---- loop ---- */

static void read_queue(struct read_job *r);

static void read_finish(struct read_job *r, int status)
{
	struct origin *o = r->j.o;
	struct wire_out w;

	if (status == -ESTALE)
		o->n.stale++;
	if (!r->j.cl->gone) {
		wire_out_init(&w);
		if (r->after.tag) {
			wire_put_u64(&w, WF_SIZE, r->after.stx.stx_size);
			wire_put_u64(&w, WF_VERSION, 0);
			wire_put_u64(&w, WF_TAG, r->after.tag);
		}
		xfer_reply(r->j.cl->conn, r->j.stream, r->j.type, WIRE_LAST, status, 0, &w);
	}
	if (!status) {
		struct origin_seen seen = { .loc = r->loc, .tag = r->st.tag, .mode = r->st.stx.stx_mode };

		origin_interest_note(r->j.cl, &seen, 1, r->j.event_no);
	}
	if (r->of)
		open_put(o, r->of);
	else if (r->fd >= 0)
		close(r->fd);
	free(r->buf);
	origin_job_end(&r->j);
	free(r);
}

static void read_end_done(struct io_op *op, int res)
{
	read_finish(container_of(op, struct read_job, j.op), res);
}

static void read_file_done(struct xfer_file *f, s64 res)
{
	struct read_job *r = container_of(f, struct read_job, file);
	struct origin *o = r->j.o;

	if (res > 0)
		o->n.served_bytes += res;
	if (r->j.cl->gone || (res < 0 && res != -EIO)) {
		read_finish(r, res < 0 ? (int)res : -ECONNRESET);
		return;
	}
	/* A short answer is a file that was cut: the look afterwards says so. */
	r->got = res;
	r->j.op.done = read_end_done;
	o->io->ops->work(o->io, &r->j.op, IO_POOL_ORIGIN, read_end, r);
}

static void read_wait_done(struct io_op *op, int res)
{
	struct read_job *r = container_of(op, struct read_job, j.op);

	read_queue(r);
}

static void read_begin_done(struct io_op *op, int res)
{
	struct read_job *r = container_of(op, struct read_job, j.op);
	struct origin *o = r->j.o;
	struct wire_out w;

	if (!r->of && r->fd >= 0)
		r->of = open_keep(o, r->loc.oid, r->fd);
	if (res == -EBUSY && !r->held_ns)
		r->held_ns = io_now(o->io);
	if (res == -EBUSY && io_now(o->io) - r->held_ns > HELD_MAX_NS)
		res = -ETIMEDOUT;
	if ((res == -EAGAIN || res == -EBUSY) && !r->j.cl->gone) {
		r->waits += res == -EAGAIN;
		r->j.op.done = read_wait_done;
		o->io->ops->timer(o->io, &r->j.op, io_now(o->io) + 2 * o->ex.tick_ns + 1000000);
		return;
	}
	if (res || r->j.cl->gone) {
		read_finish(r, res);
		return;
	}
	if (r->len <= WIRE_DATA_MAX) {
		if (r->got) {
			w = (struct wire_out){ r->buf, r->got, r->got };
			r->buf = NULL;
			o->n.served_bytes += r->got;
			xfer_reply(r->j.cl->conn, r->j.stream, r->j.type, WIRE_DATA, 0, r->off, &w);
		}
		read_finish(r, 0);
		return;
	}
	if (r->off >= r->st.stx.stx_size) {
		read_finish(r, 0);
		return;
	}
	r->file.done = read_file_done;
	r->file.fd = r->fd;
	r->file.off = r->off;
	r->file.len = min(r->len, r->st.stx.stx_size - r->off);
	xfer_reply_file(r->j.cl->conn, r->j.stream, r->j.type, &r->file);
}

static void read_queue(struct read_job *r)
{
	struct io *io = r->j.o->io;

	r->j.op.done = read_begin_done;
	io->ops->work(io, &r->j.op, IO_POOL_ORIGIN, read_begin, r);
}

void origin_read_request(struct origin_client *cl, const struct wire_hdr *h, struct wire_in body)
{
	struct origin *o = cl->o;
	struct origin_loc loc = { .pu = 0 };
	struct origin_req q;
	struct read_job *r;
	int err = origin_req_parse(body, &q);

	if (!err && (q.off > INT64_MAX || q.len > INT64_MAX - q.off))
		err = -EOVERFLOW;
	if (!err)
		err = origin_req_object(o, &q, &loc);
	/* No version has been committed yet: 0 is the only one there is. */
	if (!err && q.version)
		err = -ESTALE;
	if (err) {
		origin_reply_status(cl, h->stream, h->type, err, loc.pu);
		return;
	}
	o->n.read++;
	r = xcalloc(1, sizeof(*r));
	r->loc = loc;
	r->any = !q.tag;
	r->want_tag = q.tag;
	r->off = q.off;
	r->len = q.len;
	r->of = open_get(o, loc.oid);
	r->fd = r->of ? r->of->fd : -1;
	if (!r->of)
		o->n.opens++;
	origin_open_trim(o, io_now(o->io) > OPEN_IDLE_NS ? io_now(o->io) - OPEN_IDLE_NS : 0, UINT32_MAX);
	origin_job_start(&r->j, cl, h);
	read_queue(r);
}
