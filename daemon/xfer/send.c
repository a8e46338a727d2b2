// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * send.c - sending frames: one send is under way at a time, and what it carries is chosen when
 * it starts.
 *
 * Small frames are copied together into the stage and go first; after them one large frame or
 * one file slot, in turn.  So a small answer waits for at most one piece of a large one.  A
 * frame never passes an earlier one of its stream: a small frame whose stream has a large one
 * queued joins that queue.
 */
#include <sys/socket.h>
#include <xxhash.h>

#include "base/log.h"
#include "xfer/conn.h"

static void queue_add(struct tx_queue *q, struct tx_frame *f)
{
	f->next = NULL;
	*q->tail = f;
	q->tail = &f->next;
}

static struct tx_frame *queue_take(struct tx_queue *q)
{
	struct tx_frame *f = q->head;

	q->head = f->next;
	if (!q->head)
		q->tail = &q->head;
	return f;
}

static void frame_free(struct tx_frame *f)
{
	free(f->body);
	free(f);
}

static bool stream_in(const struct tx_queue *q, u32 stream)
{
	const struct tx_frame *f;

	for (f = q->head; f; f = f->next)
		if (f->h.stream == stream)
			return true;
	return false;
}

/* Requests keep their order altogether: the server wants their numbers to rise. */
static bool must_follow(const struct xfer_conn *c, u32 stream)
{
	return c->large.head && (!c->server || stream_in(&c->large, stream));
}

void conn_send(struct xfer_conn *c, const struct wire_hdr *h, u8 *body)
{
	struct tx_frame *f;

	if (c->dead) {
		free(body);
		return;
	}
	f = xmalloc(sizeof(*f));
	f->h = *h;
	f->body = body;
	if ((c->features & WIRE_F_SUM) && h->body_len) {
		f->h.flags |= WIRE_SUM;
		f->h.sum = XXH3_64bits(body, h->body_len);
	}
	c->tx_bytes += WIRE_HDR_LEN + h->body_len;
	if (h->body_len > SMALL_BODY || must_follow(c, h->stream))
		queue_add(&c->large, f);
	else
		queue_add(&c->small, f);
	conn_tx_start(c);
}

/* Copies small frames into the stage, leaving room for the header of a large one. */
static size_t stage_small(struct xfer_conn *c)
{
	size_t n = 0;

	while (c->small.head) {
		struct tx_frame *f = c->small.head;
		size_t need = WIRE_HDR_LEN + f->h.body_len;

		if (n + need > TX_STAGE_SIZE - WIRE_HDR_LEN)
			break;
		wire_hdr_encode(&f->h, c->tx_stage + n);
		if (f->h.body_len)
			memcpy(c->tx_stage + n + WIRE_HDR_LEN, f->body, f->h.body_len);
		n += need;
		c->stats->tx_frames++;
		frame_free(queue_take(&c->small));
	}
	return n;
}

/* Adds one large frame or one slot, whose turn it is; the number of vectors used. */
static int add_large(struct xfer_conn *c, struct iovec *iov, size_t *staged)
{
	struct slot *s = files_ready(c);

	if (s && (c->slot_turn || !c->large.head || c->small.head)) {
		c->slot_turn = false;
		c->tx_slot = s;
		s->state = SLOT_SENDING;
		iov->iov_base = s->buf + SLOT_HEAD - WIRE_HDR_LEN;
		iov->iov_len = WIRE_HDR_LEN + s->got;
		c->stats->tx_frames++;
		return 1;
	}
	/* Small frames that did not fit the stage may be of the same stream: they keep their place. */
	if (!c->large.head || c->small.head)
		return 0;
	c->slot_turn = true;
	c->tx_large = queue_take(&c->large);
	wire_hdr_encode(&c->tx_large->h, c->tx_stage + *staged);
	*staged += WIRE_HDR_LEN;
	iov->iov_base = c->tx_large->body;
	iov->iov_len = c->tx_large->h.body_len;
	c->stats->tx_frames++;
	return 1;
}

void conn_tx_start(struct xfer_conn *c)
{
	struct iovec iov[2];
	size_t staged;
	int n;

	if (c->dead || c->tx.busy)
		return;
	staged = stage_small(c);
	n = add_large(c, &iov[1], &staged);
	if (!staged && !n)
		return;
	iov[0].iov_base = c->tx_stage;
	iov[0].iov_len = staged;
	c->tx_since_ns = io_now(c->io);
	c->tx_framed = staged + (c->tx_large ? c->tx_large->h.body_len : 0);
	xfer_conn_get(c);
	if (staged)
		c->io->ops->send(c->io, &c->tx, c->fd, iov, 1 + n);
	else
		c->io->ops->send(c->io, &c->tx, c->fd, &iov[1], 1);
	files_fill(c);		/* the next read goes on beside this send */
}

void conn_tx_done(struct io_op *op, int res)
{
	struct xfer_conn *c = container_of(op, struct xfer_conn, tx);
	struct slot *s = c->tx_slot;

	c->tx_since_ns = 0;
	c->tx_slot = NULL;
	if (c->tx_large)
		frame_free(c->tx_large);
	c->tx_large = NULL;
	if (res >= 0) {
		c->stats->tx_bytes += res;
		c->tx_bytes -= c->tx_framed;
	} else if (!c->dead) {
		conn_fail(c, res == -EPIPE ? -ECONNRESET : res);
	}
	if (s)
		files_sent(s);	/* may queue the last frame of its stream */
	conn_tx_start(c);
	conn_rx_resume(c);
	xfer_conn_put(c);
}

bool conn_tx_idle(const struct xfer_conn *c)
{
	return !c->tx.busy && !c->small.head && !c->large.head;
}

void conn_tx_drop(struct xfer_conn *c)
{
	while (c->small.head)
		frame_free(queue_take(&c->small));
	while (c->large.head)
		frame_free(queue_take(&c->large));
	if (c->tx_large)
		frame_free(c->tx_large);
	c->tx_large = NULL;
}

void conn_goodbye(struct xfer_conn *c)
{
	struct wire_hdr h = { .type = WIRE_GOODBYE };
	u8 buf[WIRE_HDR_LEN];

	if (c->dead || !conn_tx_idle(c))
		return;
	wire_hdr_encode(&h, buf);
	c->io->ops->send_last(c->io, c->fd, buf, sizeof(buf));
}

/* ---- answers ---- */

void xfer_reply(struct xfer_conn *c, u32 stream, u16 type, u16 flags, int status, u64 off, struct wire_out *w)
{
	struct wire_hdr h = {
		.type = type, .flags = flags | WIRE_REPLY, .stream = stream, .status = status, .off = off,
		.body_len = w ? w->len : 0,
	};
	size_t limit = flags & WIRE_DATA ? WIRE_DATA_MAX : WIRE_BODY_MAX;
	u8 *body = w ? w->buf : NULL;

	if (h.body_len > limit) {
		log_err("event=xfer_bug note=\"body too long\" type=%u len=%u", type, h.body_len);
		abort();
	}
	if (w)
		wire_out_init(w);
	if ((flags & WIRE_LAST) && c->streams)
		c->streams--;
	conn_send(c, &h, body);
	conn_rx_resume(c);
}

void xfer_push(struct xfer_conn *c, u16 type, struct wire_out *w)
{
	struct wire_hdr h = { .type = type, .body_len = w ? w->len : 0 };
	u8 *body = w ? w->buf : NULL;

	if (w)
		wire_out_init(w);
	conn_send(c, &h, body);
}
