/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_io.h - the I/O table of a fuzz target: nothing is done but on fz_turn(), which ends
 * what was started, in the order it was started.  Timers of up to a second are due at once, later
 * ones never; jobs of workers run there; sent bytes are kept; a receive waits for fz_feed().
 */
#ifndef AUGUR_TESTS_FUZZ_IO_H
#define AUGUR_TESTS_FUZZ_IO_H

#include <assert.h>
#include <time.h>

#include "base/io.h"
#include "base/mem.h"

#define FZ_OPS 64

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct {
	struct io_op	*ready[FZ_OPS];		/* started and due */
	unsigned int	n;
	u64		now_ns;
	/* the one receive, or poll, under way */
	struct io_op	*rx, *poll;
	u8		*rx_buf;
	size_t		rx_len;
	/* sent so far */
	u8		out[1 << 20];
	size_t		out_len;
} fz;

static void fz_due(struct io_op *op, int res)
{
	assert(fz.n < FZ_OPS);
	op->busy = true;
	op->u3 = (u64)res;
	fz.ready[fz.n++] = op;
}

static u64 fz_now(struct io *io) { return fz.now_ns += 1000; }
static u64 fz_real(struct io *io) { return (u64)time(NULL) * 1000000000ull; }
static void fz_random(struct io *io, void *buf, size_t len) { memset(buf, 5, len); }

static void fz_timer(struct io *io, struct io_op *op, u64 deadline)
{
	op->p1 = NULL;
	if (deadline <= fz.now_ns + 1000000000)
		fz_due(op, 0);
	else
		op->busy = true;
}

static void fz_work(struct io *io, struct io_op *op, int pool, int (*fn)(void *arg), void *arg)
{
	op->p1 = (void *)fn;
	op->p2 = arg;
	fz_due(op, 0);
}

static void fz_recv(struct io *io, struct io_op *op, int fd, void *buf, size_t len, size_t least)
{
	assert(!fz.rx && len);
	op->busy = true;
	fz.rx = op;
	fz.rx_buf = buf;
	fz.rx_len = len;
}

static void fz_out(const void *p, size_t len)
{
	len = min(len, sizeof(fz.out) - fz.out_len);
	memcpy(fz.out + fz.out_len, p, len);
	fz.out_len += len;
}

static void fz_send(struct io *io, struct io_op *op, int fd, const struct iovec *iov, int n)
{
	size_t len = 0;

	for (int i = 0; i < n; i++) {
		fz_out(iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	op->p1 = NULL;
	fz_due(op, (int)len);
}

static void fz_send_last(struct io *io, int fd, const void *buf, size_t len)
{
	fz_out(buf, len);
}

static void fz_poll(struct io *io, struct io_op *op, int fd)
{
	op->busy = true;
	fz.poll = op;
}

static void fz_cancel(struct io *io, struct io_op *op)
{
	if (op == fz.rx || op == fz.poll) {
		op->p1 = NULL;
		fz_due(op, -ECANCELED);
		fz.rx = op == fz.rx ? NULL : fz.rx;
		fz.poll = op == fz.poll ? NULL : fz.poll;
		return;
	}
	op->u3 = (u64)-ECANCELED;
}

/* What is in flight on it ends first; the target owns its descriptors. */
static void fz_close(struct io *io, int fd)
{
	if (fz.rx)
		fz_cancel(io, fz.rx);
}

static void fz_accept(struct io *io, struct io_op *op, int fd)
{
	op->busy = true;	/* the target calls done() */
}

static const struct io_ops fz_ops = {
	.name = "fuzz", .now_ns = fz_now, .real_ns = fz_real, .stamp_ns = fz_real, .random = fz_random, .timer = fz_timer,
	.work = fz_work, .recv = fz_recv, .send = fz_send, .send_last = fz_send_last, .poll_in = fz_poll,
	.cancel = fz_cancel, .close = fz_close, .accept = fz_accept,
};
static struct io fz_io = { .ops = &fz_ops };

/* Until nothing is due any more. */
static inline void fz_turn(void)
{
	while (fz.n) {
		struct io_op *op = fz.ready[0];
		int res = (int)op->u3;

		memmove(fz.ready, fz.ready + 1, --fz.n * sizeof(fz.ready[0]));
		op->busy = false;
		op->done(op, op->p1 ? ((int (*)(void *))op->p1)(op->p2) : res);
	}
}

/* Bytes for the receive under way: how many it took; 0 bytes end the stream. */
static inline size_t fz_feed(const u8 *p, size_t len)
{
	struct io_op *op = fz.rx;
	size_t n;

	if (!op)
		return 0;
	n = min(len, fz.rx_len);
	memcpy(fz.rx_buf, p, n);
	fz.rx = NULL;
	op->busy = false;
	op->done(op, (int)n);
	fz_turn();
	return n;
}

#endif
