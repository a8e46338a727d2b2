// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * io.c - what every I/O table needs: the begin and end of an operation, the list of
 * completions that wait for the next step, and the heap of timers.  Loop thread only.
 */
#include "base/io_impl.h"
#include "base/log.h"

#define HEAP_MIN	64

void io_begin(struct io_op *op, enum io_kind kind)
{
	if (op->busy) {
		log_err("event=io_bug what=\"operation started twice\" kind=%d", op->kind);
		abort();
	}
	op->busy = true;
	op->kind = kind;
}

void io_end(struct io_op *op, int res)
{
	op->busy = false;
	op->kind = IO_K_NONE;
	op->done(op, res);
}

void io_list_add(struct io_list *l, struct io_op *op)
{
	op->next = NULL;
	op->prev = l->tail;
	if (l->tail)
		l->tail->next = op;
	else
		l->head = op;
	l->tail = op;
}

void io_list_del(struct io_list *l, struct io_op *op)
{
	if (op->prev)
		op->prev->next = op->next;
	else
		l->head = op->next;
	if (op->next)
		op->next->prev = op->prev;
	else
		l->tail = op->prev;
	op->next = op->prev = NULL;
}

void io_list_deliver(struct io_list *l)
{
	struct io_list now = *l;
	struct io_op *op;

	l->head = l->tail = NULL;
	while ((op = now.head)) {
		io_list_del(&now, op);
		io_end(op, (int)(s64)op->u3);
	}
}

int io_send_prep(struct io_op *op, int fd, const struct iovec *iov, int n)
{
	int i;

	op->fd = fd;
	op->u1 = op->u2 = 0;
	memset(&op->msg, 0, sizeof(op->msg));
	op->msg.msg_iov = op->iov;
	if (n > (int)ARRAY_SIZE(op->iov))
		return -EINVAL;
	for (i = 0; i < n; i++)
		if (iov[i].iov_len)
			op->iov[op->msg.msg_iovlen++] = iov[i];
	return 0;
}

void io_send_skip(struct io_op *op, size_t n)
{
	struct msghdr *m = &op->msg;

	op->u1 += n;
	while (n) {
		size_t part = min(n, m->msg_iov->iov_len);

		m->msg_iov->iov_base = (char *)m->msg_iov->iov_base + part;
		m->msg_iov->iov_len -= part;
		n -= part;
		if (!m->msg_iov->iov_len) {
			m->msg_iov++;
			m->msg_iovlen--;
		}
	}
}

int io_run(struct io *io)
{
	int err = 0;

	while (!io->stop && !err)
		err = io->ops->step(io);
	return err;
}

/* ---- timers ---- */

static void heap_set(struct io_timers *t, size_t i, struct io_op *op)
{
	t->heap[i] = op;
	op->u2 = i;
}

static void sift_up(struct io_timers *t, size_t i, struct io_op *op)
{
	while (i && t->heap[(i - 1) / 2]->u1 > op->u1) {
		heap_set(t, i, t->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_set(t, i, op);
}

static void sift_down(struct io_timers *t, size_t i, struct io_op *op)
{
	size_t kid;

	while ((kid = 2 * i + 1) < t->n) {
		if (kid + 1 < t->n && t->heap[kid + 1]->u1 < t->heap[kid]->u1)
			kid++;
		if (t->heap[kid]->u1 >= op->u1)
			break;
		heap_set(t, i, t->heap[kid]);
		i = kid;
	}
	heap_set(t, i, op);
}

void io_timers_add(struct io_timers *t, struct io_op *op, u64 deadline_ns)
{
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : HEAP_MIN;
		t->heap = xrealloc(t->heap, t->cap * sizeof(t->heap[0]));
	}
	op->u1 = deadline_ns;
	sift_up(t, t->n++, op);
}

void io_timers_del(struct io_timers *t, struct io_op *op)
{
	size_t i = op->u2;
	struct io_op *last = t->heap[--t->n];

	if (last == op)
		return;
	if (i && t->heap[(i - 1) / 2]->u1 > last->u1)
		sift_up(t, i, last);
	else
		sift_down(t, i, last);
}

u64 io_timers_next(const struct io_timers *t)
{
	return t->n ? t->heap[0]->u1 : UINT64_MAX;
}

void io_timers_due(struct io_timers *t, u64 now_ns, struct io_list *ready)
{
	while (t->n && t->heap[0]->u1 <= now_ns) {
		struct io_op *op = t->heap[0];

		io_timers_del(t, op);
		op->kind = IO_K_READY;
		op->u3 = 0;
		io_list_add(ready, op);
	}
}

void io_timers_free(struct io_timers *t)
{
	free(t->heap);
	*t = (struct io_timers){ 0 };
}
