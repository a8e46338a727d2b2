// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * file.c - streaming ranges of files as DATA frames: a read into a slot, then a send from it.
 *
 * A connection has two slots, so the read of the next piece goes on beside the send of this
 * one and both stay warm in the cache.  Files take turns piece by piece; those of one small
 * piece go three times for one piece of the others, so a small file does not wait behind a
 * large one.  Pieces of one file are sent in their order.
 *
 * A file sits on one of three lists: to be read (small, bulk) or the tail, where all of it has
 * been read and not all sent.  It leaves with done(), when no slot holds a piece of it.
 */
#include <xxhash.h>

#include "base/log.h"
#include "xfer/conn.h"

#define SMALL_FILE	(64 * 1024)
#define SMALL_TURNS	4	/* every fourth turn is a bulk file's */

static void read_done(struct io_op *op, int res);

void files_init(struct xfer_conn *c)
{
	int i;

	list_init(&c->files_small);
	list_init(&c->files_bulk);
	list_init(&c->files_tail);
	for (i = 0; i < SLOTS; i++) {
		c->slots[i].conn = c;
		c->slots[i].op.done = read_done;
	}
}

void files_free(struct xfer_conn *c)
{
	int i;

	for (i = 0; i < SLOTS; i++)
		if (c->slots[i].buf)
			pool_page_put(c->slots[i].buf);
}

static void slot_release(struct slot *s)
{
	s->state = SLOT_FREE;
	s->file = NULL;
	pool_page_put(s->buf);
	s->buf = NULL;
}

/* Ends @f if nothing of it is left to read or to send. */
static void file_check(struct xfer_file *f)
{
	struct xfer_conn *c = f->conn;

	if (f->slots || (f->next < f->end && !f->err && !c->dead))
		return;
	list_del(&f->link);
	f->conn = NULL;
	f->done(f, f->err ? f->err : c->dead ? -ECONNRESET : (s64)f->sent);
	xfer_conn_put(c);
}

/* ---- reading ---- */

static struct xfer_file *pick(struct xfer_conn *c)
{
	bool bulk = !list_empty(&c->files_bulk), small = !list_empty(&c->files_small);

	if (!bulk && !small)
		return NULL;
	if (small && (!bulk || ++c->turn % SMALL_TURNS))
		return list_first(&c->files_small, struct xfer_file, link);
	return list_first(&c->files_bulk, struct xfer_file, link);
}

static int read_job(void *arg)
{
	struct slot *s = arg;
	ssize_t n = pread(s->file->fd, s->buf + SLOT_HEAD + s->got, s->want - s->got, s->off + s->got);

	return n < 0 ? -errno : (int)n;
}

static void slot_read(struct slot *s)
{
	struct xfer_conn *c = s->conn;

	if (s->file->may_hang)
		c->io->ops->work(c->io, &s->op, IO_POOL_ORIGIN, read_job, s);
	else
		c->io->ops->read(c->io, &s->op, s->file->fd, s->buf + SLOT_HEAD + s->got, s->want - s->got,
				 s->off + s->got);
}

static void slot_start(struct slot *s, struct xfer_file *f)
{
	struct xfer_conn *c = s->conn;

	s->file = f;
	s->state = SLOT_READING;
	s->seq = c->slot_seq++;
	s->buf = pool_page_buf();
	s->off = f->next;
	s->want = min(f->end - f->next, (u64)WIRE_DATA_MAX);
	s->got = 0;
	f->next += s->want;
	f->slots++;
	list_del(&f->link);
	list_add_tail(f->next < f->end ? &c->files_bulk : &c->files_tail, &f->link);
	xfer_conn_get(c);
	slot_read(s);
}

void files_fill(struct xfer_conn *c)
{
	struct xfer_file *f;
	int i;

	for (i = 0; i < SLOTS && !c->dead; i++) {
		if (c->slots[i].state != SLOT_FREE)
			continue;
		f = pick(c);
		if (!f)
			return;
		slot_start(&c->slots[i], f);
	}
}

static void slot_end(struct slot *s);

/*
 * The file is shorter than was asked, or unreadable: no more of it is read, and pieces beyond
 * are dropped.  Called while a slot holds the file.
 */
static void file_cut(struct xfer_file *f, u64 end, int err)
{
	struct xfer_conn *c = f->conn;
	int i;

	if (err && !f->err)
		f->err = err;
	f->end = min(f->end, end);
	f->next = max(f->next, f->end);
	list_del(&f->link);
	list_add_tail(&c->files_tail, &f->link);
	for (i = 0; i < SLOTS; i++)
		if (c->slots[i].state == SLOT_READY && c->slots[i].file == f && (f->err || c->slots[i].off >= f->end))
			slot_end(&c->slots[i]);
}

static void put_header(struct slot *s)
{
	struct xfer_file *f = s->file;
	struct wire_hdr h = {
		.body_len = s->got, .type = f->type, .flags = WIRE_REPLY | WIRE_DATA, .stream = f->stream,
		.off = f->type == WIRE_BATCH ? (u64)f->aux << 32 | (u32)s->off : s->off,
	};

	if (s->conn->features & WIRE_F_SUM) {
		h.flags |= WIRE_SUM;
		h.sum = XXH3_64bits(s->buf + SLOT_HEAD, s->got);
	}
	wire_hdr_encode(&h, s->buf + SLOT_HEAD - WIRE_HDR_LEN);
}

static void slot_end(struct slot *s)
{
	struct xfer_file *f = s->file;

	slot_release(s);
	f->slots--;
	file_check(f);
}

static void read_done(struct io_op *op, int res)
{
	struct slot *s = container_of(op, struct slot, op);
	struct xfer_conn *c = s->conn;
	struct xfer_file *f = s->file;

	if (res > 0)
		s->got += res;
	if (!c->dead && (res == -EINTR || res == -EAGAIN || (res > 0 && s->got < s->want))) {
		slot_read(s);
		return;
	}
	if (res < 0 || s->got < s->want)
		file_cut(f, s->off + s->got, res < 0 ? res : 0);
	/* Past an end that another piece has found there is nothing to send. */
	if (c->dead || f->err || !s->got || s->off >= f->end) {
		slot_end(s);
		files_fill(c);
	} else {
		put_header(s);
		s->state = SLOT_READY;
	}
	conn_tx_start(c);
	xfer_conn_put(c);
}

/* ---- sending ---- */

static bool has_earlier(const struct xfer_conn *c, const struct slot *s)
{
	int i;

	for (i = 0; i < SLOTS; i++)
		if (c->slots[i].state == SLOT_READING && c->slots[i].file == s->file && c->slots[i].seq < s->seq)
			return true;
	return false;
}

struct slot *files_ready(struct xfer_conn *c)
{
	struct slot *best = NULL;
	int i;

	for (i = 0; i < SLOTS; i++) {
		struct slot *s = &c->slots[i];

		if (s->state == SLOT_READY && !has_earlier(c, s) && (!best || s->seq < best->seq))
			best = s;
	}
	return best;
}

void files_sent(struct slot *s)
{
	struct xfer_conn *c = s->conn;

	s->file->sent += s->got;
	slot_end(s);
	files_fill(c);
}

static void check_list(struct list *l)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, l)
		file_check(container_of(pos, struct xfer_file, link));
}

void files_settle(struct xfer_conn *c)
{
	check_list(&c->files_tail);
}

void files_fail(struct xfer_conn *c)
{
	int i;

	for (i = 0; i < SLOTS; i++) {
		if (c->slots[i].state == SLOT_READING)
			c->io->ops->cancel(c->io, &c->slots[i].op);
		else if (c->slots[i].state == SLOT_READY)
			slot_end(&c->slots[i]);
	}
	check_list(&c->files_small);
	check_list(&c->files_bulk);
	check_list(&c->files_tail);
}

void xfer_reply_file(struct xfer_conn *c, u32 stream, u16 type, struct xfer_file *f)
{
	u64 end;

	f->conn = c;
	f->stream = stream;
	f->type = type;
	f->next = f->off;
	f->end = __builtin_add_overflow(f->off, f->len, &end) || end > INT64_MAX ? INT64_MAX : end;
	f->sent = 0;
	f->slots = 0;
	f->err = 0;
	xfer_conn_get(c);
	if (f->next >= f->end || c->dead) {
		list_add_tail(&c->files_tail, &f->link);
		conn_kick(c);		/* ends there: never inside this call */
		return;
	}
	list_add_tail(f->end - f->next <= SMALL_FILE ? &c->files_small : &c->files_bulk, &f->link);
	files_fill(c);
}
