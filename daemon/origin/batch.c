// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * BATCH: many small files, whole, in one request.
 *
 * The items are shared out among a few worker jobs, which take the next one off a common
 * counter, so that a cold origin sees several reads at once; each job opens, looks, reads,
 * looks again and keeps the bytes in the buffer that is sent.  When a job has enough for the
 * wire it goes back to the loop, which sends and queues it again.  The rule of states is
 * that of READ (read.c); a state too young is waited out by the job, once, without a worker.
 */
#include <stdatomic.h>

#include "base/log.h"
#include "origin/impl.h"

#define BATCH_JOBS	3		/* of the four workers of the pool */
#define STEP_BYTES	(256 * 1024)
#define STEP_ITEMS	64
#define WAIT_MAX_NS	25000000
#define HOLD_NS		2000000

struct batch_item {
	struct origin_loc loc;
	u64	tag;
	bool	any, refused;
	/* worker */
	int	status;
	struct origin_stat st;
	u8	*buf;
	size_t	len;
};

struct batch;
struct batch_job {
	struct io_op	op;
	struct batch	*b;
	u32		done[STEP_ITEMS];
	u32		ndone;
	bool		waited;		/* this job has waited for young files */
	bool		has_again;
	u32		again;		/* the item it waited for */
};

struct batch {
	struct origin_job j;
	u32		n;
	atomic_uint	next;
	unsigned int	jobs_left;
	struct batch_job job[BATCH_JOBS];
	struct batch_item item[];
};

/* ---- worker ---- */

static int item_state(const struct origin_export *ex, struct batch_item *it, int fd)
{
	int err = origin_stat_fd(ex, fd, &it->loc, &it->st);

	if (err)
		return err;
	if (!S_ISREG(it->st.stx.stx_mode))
		return S_ISDIR(it->st.stx.stx_mode) ? -EISDIR : -EINVAL;
	if (!it->any && it->st.tag != it->tag)
		return -ESTALE;
	if (it->st.young)
		return -EAGAIN;
	return it->st.stx.stx_size > WIRE_BATCH_FILE_MAX ? -EFBIG : 0;
}

static int item_bytes(const struct origin_export *ex, struct batch_item *it, int fd)
{
	size_t n = it->st.stx.stx_size;
	struct origin_stat after;
	s64 got;
	int err;

	if (!n)
		return 0;
	/* As one that is too young: tried again once, and then asked for alone. */
	if (origin_await_writers(fd, &it->st, 0))
		return -EAGAIN;
	it->buf = xmalloc(n);
	got = origin_read_full(fd, it->buf, n, 0);
	if (got < 0)
		return got;
	err = origin_stat_fd(ex, fd, &it->loc, &after);
	if (err)
		return err;
	if ((size_t)got != n || after.tag != it->st.tag) {
		it->st = after;
		return -ESTALE;
	}
	it->len = n;
	return 0;
}

static void item_serve(const struct origin_export *ex, struct batch_item *it)
{
	int fd = origin_open_file(ex, &it->loc);

	it->status = fd < 0 ? fd : item_state(ex, it, fd);
	if (!it->status)
		it->status = item_bytes(ex, it, fd);
	if (it->status) {
		free(it->buf);
		it->buf = NULL;
		it->len = 0;
	}
	if (fd >= 0)
		close(fd);
}

/* Whatever was young when the batch began is not any more after one wait. */
static bool wait_for(const struct origin_export *ex, struct batch_job *bj, u32 i)
{
	if (bj->waited || bj->b->item[i].status != -EAGAIN || 2 * ex->tick_ns > WAIT_MAX_NS)
		return false;
	bj->waited = bj->has_again = true;
	bj->again = i;
	return true;
}

enum { STEP_LAST, STEP_MORE, STEP_WAIT };

static int batch_step(void *arg)
{
	struct batch_job *bj = arg;
	struct batch *b = bj->b;
	size_t bytes = 0;

	bj->ndone = 0;
	while (bj->ndone < STEP_ITEMS && bytes < STEP_BYTES) {
		u32 i = bj->has_again ? bj->again : atomic_fetch_add(&b->next, 1);

		bj->has_again = false;
		if (i >= b->n)
			return STEP_LAST;
		if (!b->item[i].refused)
			item_serve(&b->j.o->ex, &b->item[i]);
		if (wait_for(&b->j.o->ex, bj, i))
			return STEP_WAIT;
		bytes += b->item[i].len;
		bj->done[bj->ndone++] = i;
	}
	return STEP_MORE;
}

/* ---- loop ---- */

static void batch_free(struct batch *b)
{
	for (u32 i = 0; i < b->n; i++)
		free(b->item[i].buf);
	origin_job_end(&b->j);
	free(b);
}

static void item_send(struct batch *b, u32 i)
{
	struct batch_item *it = &b->item[i];
	struct origin_job *j = &b->j;
	struct wire_out w = { it->buf, it->len, it->len };

	j->o->n.batch_items++;
	if (it->status == -ESTALE)
		j->o->n.stale++;
	it->buf = NULL;
	if (it->len) {
		j->o->n.served_bytes += it->len;
		xfer_reply(j->cl->conn, j->stream, j->type, WIRE_DATA, 0, (u64)i << 32, &w);
	}
	wire_out_init(&w);
	if (it->st.tag) {
		wire_put_u64(&w, WF_SIZE, it->st.stx.stx_size);
		wire_put_u64(&w, WF_VERSION, 0);
		wire_put_u64(&w, WF_TAG, it->st.tag);
	}
	xfer_reply(j->cl->conn, j->stream, j->type, WIRE_DONE, it->status, (u64)i << 32, &w);
	if (!it->status) {
		struct origin_seen seen = { .loc = it->loc, .tag = it->st.tag, .mode = it->st.stx.stx_mode };

		origin_interest_note(j->cl, &seen, 1, j->event_no);
	}
}

static void batch_queue(struct batch_job *bj);

static void batch_hold_done(struct io_op *op, int res)
{
	batch_queue(container_of(op, struct batch_job, op));
}

static void batch_step_done(struct io_op *op, int res)
{
	struct batch_job *bj = container_of(op, struct batch_job, op);
	struct batch *b = bj->b;
	struct io *io = b->j.o->io;

	for (u32 i = 0; i < bj->ndone && !b->j.cl->gone; i++)
		item_send(b, bj->done[i]);
	if (res == STEP_WAIT && !b->j.cl->gone) {
		bj->op.done = batch_hold_done;
		io->ops->timer(io, &bj->op, io_now(io) + 2 * b->j.o->ex.tick_ns + 1000000);
		return;
	}
	if (res > 0 && !b->j.cl->gone) {
		batch_queue(bj);
		return;
	}
	if (--b->jobs_left)
		return;
	if (!b->j.cl->gone)
		origin_reply_status(b->j.cl, b->j.stream, b->j.type, res < 0 ? res : 0, 0);
	batch_free(b);
}

static void batch_queue(struct batch_job *bj)
{
	struct io *io = bj->b->j.o->io;

	if (xfer_conn_backlog(bj->b->j.cl->conn) > ORIGIN_BACKLOG_MAX) {
		bj->ndone = 0;
		bj->op.done = batch_hold_done;
		io->ops->timer(io, &bj->op, io_now(io) + HOLD_NS);
		return;
	}
	bj->op.done = batch_step_done;
	io->ops->work(io, &bj->op, IO_POOL_ORIGIN, batch_step, bj);
}

static int batch_parse(struct origin *o, struct wire_in body, struct batch *b)
{
	struct origin_req q;
	struct wire_val v;
	u64 bytes = 0;
	int err;

	while ((err = wire_next(&body, &v)) == 1) {
		struct batch_item *it = &b->item[b->n];

		if (v.tag != WF_ITEM)
			continue;
		if (b->n == WIRE_ITEMS_MAX)
			return -E2BIG;
		err = origin_req_parse((struct wire_in){ v.p, v.p + v.len }, &q);
		if (err)
			return err;
		if (q.len > WIRE_BATCH_FILE_MAX || (bytes += q.len) > WIRE_BATCH_BYTES_MAX)
			return -E2BIG;
		it->status = origin_req_object(o, &q, &it->loc);
		if (!it->status && q.version)
			it->status = -ESTALE;
		it->refused = it->status;
		it->tag = q.tag;
		it->any = !q.tag;
		b->n++;
	}
	return err;
}

void origin_batch_request(struct origin_client *cl, const struct wire_hdr *h, struct wire_in body)
{
	struct batch *b = xcalloc(1, sizeof(*b) + WIRE_ITEMS_MAX * sizeof(b->item[0]));
	int err = batch_parse(cl->o, body, b);

	if (err) {
		origin_reply_status(cl, h->stream, h->type, err, 0);
		free(b);
		return;
	}
	origin_job_start(&b->j, cl, h);
	b->jobs_left = min((b->n + 7) / 8 + !b->n, (u32)BATCH_JOBS);
	for (u32 i = 0, n = b->jobs_left; i < n; i++) {
		b->job[i].b = b;
		batch_queue(&b->job[i]);
	}
}
