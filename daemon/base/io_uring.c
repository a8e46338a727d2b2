// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * io_uring.c - the I/O table on one io_uring.
 *
 * The ring is made for one thread (SINGLE_ISSUER, DEFER_TASKRUN), restricted to the operations
 * named below before it is enabled, and entered once a step: everything started since the last
 * step is submitted and the next completions are waited for in one system call.  Timers are a
 * heap in front of one IORING timeout, which is moved only when an earlier deadline comes, so a
 * deadline that is set and dropped a thousand times a second costs nothing.  Workers say
 * through an eventfd that a job has ended.
 *
 * Nothing here uses MSG_WAITALL, SEND_ZC or splice: the first two are refused on kTLS sockets,
 * and splice always goes through the kernel's worker threads.
 */
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "base/io_impl.h"
#include "base/log.h"

#define SQ_ENTRIES	512
#define CQ_ENTRIES	4096
#define REAP_BATCH	64
#define REAP_ROUNDS	16
#define IOWQ_BOUNDED	32	/* reads and writes that are not in the page cache */
#define IOWQ_UNBOUNDED	16
#define NSEC		1000000000ULL

/* user_data of what is not an operation of a caller; no pointer is as small. */
enum { UD_IGNORE = 1, UD_TIMEOUT, UD_UPDATE, UD_WAKE };

struct uring {
	struct io		io;
	struct io_uring		ring;
	int			evfd;
	u64			ev_value;
	struct io_timers	timers;
	struct io_list		ready;
	struct io_pools		*pools;
	struct __kernel_timespec ts;
	u64			armed_ns;	/* deadline of the ring's timeout; UINT64_MAX: none */
};

static struct uring *to_uring(struct io *io)
{
	return container_of(io, struct uring, io);
}

static struct io_uring_sqe *get_sqe(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
	int i, err = 0;

	for (i = 0; !sqe && i < 1000; i++) {
		err = io_uring_submit(&u->ring);
		sqe = io_uring_get_sqe(&u->ring);
	}
	if (!sqe) {
		log_err("event=io_uring_stuck error=%d note=\"the submission queue does not drain\"", err);
		abort();
	}
	return sqe;
}

/* An operation that fails before the kernel sees it ends in the next step, as any other. */
static void fail_later(struct uring *u, struct io_op *op, int err)
{
	op->kind = IO_K_READY;
	op->u3 = (u64)(s64)err;
	io_list_add(&u->ready, op);
}

/* ---- sockets ---- */

static void uring_accept(struct io *io, struct io_op *op, int fd)
{
	struct io_uring_sqe *sqe = get_sqe(to_uring(io));

	io_begin(op, IO_K_ACCEPT);
	io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
	io_uring_sqe_set_data(sqe, op);
}

static void uring_connect(struct io *io, struct io_op *op, const struct sockaddr *addr, socklen_t len)
{
	struct uring *u = to_uring(io);
	struct io_uring_sqe *sqe;

	io_begin(op, IO_K_CONNECT);
	if (len > sizeof(op->addr)) {
		fail_later(u, op, -EINVAL);
		return;
	}
	op->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (op->fd < 0) {
		fail_later(u, op, -errno);
		return;
	}
	memcpy(&op->addr, addr, len);
	sqe = get_sqe(u);
	io_uring_prep_connect(sqe, op->fd, (struct sockaddr *)&op->addr, len);
	io_uring_sqe_set_data(sqe, op);
}

/* Queues what is left of the send: u1 is what has gone out, the vectors are moved along. */
static void queue_send(struct uring *u, struct io_op *op)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	if (op->msg.msg_iovlen == 1)
		io_uring_prep_send(sqe, op->fd, op->msg.msg_iov->iov_base, op->msg.msg_iov->iov_len,
				   MSG_NOSIGNAL);
	else
		io_uring_prep_sendmsg(sqe, op->fd, &op->msg, MSG_NOSIGNAL);
	io_uring_sqe_set_data(sqe, op);
}

static void uring_send(struct io *io, struct io_op *op, int fd, const struct iovec *iov, int n)
{
	struct uring *u = to_uring(io);
	int err;

	io_begin(op, IO_K_SEND);
	err = io_send_prep(op, fd, iov, n);
	if (err || !op->msg.msg_iovlen)
		fail_later(u, op, err);
	else
		queue_send(u, op);
}

/* u2 set: cancelled, so a short send is not taken up again. */
static void send_done(struct uring *u, struct io_op *op, int res)
{
	if (res == -EINTR || res == -EAGAIN)
		res = 0;
	if (res < 0) {
		io_end(op, res);
		return;
	}
	io_send_skip(op, res);
	if (!op->msg.msg_iovlen)
		io_end(op, (int)op->u1);
	else if (op->u2)
		io_end(op, -ECANCELED);
	else
		queue_send(u, op);
}

static void uring_recv(struct io *io, struct io_op *op, int fd, void *buf, size_t len, size_t least)
{
	struct io_uring_sqe *sqe = get_sqe(to_uring(io));

	io_begin(op, IO_K_RECV);
	io_uring_prep_recv(sqe, fd, buf, len, 0);
	if (io_sys_lowat(op, fd, least))
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;	/* the mark counts for waiting only */
	io_uring_sqe_set_data(sqe, op);
}

/* ---- files and descriptors ---- */

static void uring_read(struct io *io, struct io_op *op, int fd, void *buf, size_t len, u64 off)
{
	struct io_uring_sqe *sqe = get_sqe(to_uring(io));

	io_begin(op, IO_K_READ);
	io_uring_prep_read(sqe, fd, buf, len, off);
	io_uring_sqe_set_data(sqe, op);
}

static void uring_write(struct io *io, struct io_op *op, int fd, const void *buf, size_t len, u64 off)
{
	struct io_uring_sqe *sqe = get_sqe(to_uring(io));

	io_begin(op, IO_K_WRITE);
	io_uring_prep_write(sqe, fd, buf, len, off);
	io_uring_sqe_set_data(sqe, op);
}

static void uring_poll_in(struct io *io, struct io_op *op, int fd)
{
	struct io_uring_sqe *sqe = get_sqe(to_uring(io));

	io_begin(op, IO_K_POLL);
	io_uring_prep_poll_add(sqe, fd, POLLIN);
	io_uring_sqe_set_data(sqe, op);
}

/*
 * The cancellation is submitted before the descriptor goes, because the kernel looks it up at
 * submission.  shutdown() wakes a peer even while an operation still holds the socket.
 */
static void uring_close(struct io *io, int fd)
{
	struct uring *u = to_uring(io);
	struct io_uring_sqe *sqe;

	if (fd < 0)
		return;
	sqe = get_sqe(u);
	io_uring_prep_cancel_fd(sqe, fd, IORING_ASYNC_CANCEL_ALL);
	sqe->user_data = UD_IGNORE;
	io_uring_submit(&u->ring);
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

/* ---- timers and jobs ---- */

static void uring_timer(struct io *io, struct io_op *op, u64 deadline_ns)
{
	struct uring *u = to_uring(io);

	io_begin(op, IO_K_TIMER);
	if (deadline_ns)
		io_timers_add(&u->timers, op, deadline_ns);
	else
		fail_later(u, op, 0);	/* "in the next step" needs no clock */
}

static void uring_work(struct io *io, struct io_op *op, int pool, int (*fn)(void *arg), void *arg)
{
	struct uring *u = to_uring(io);

	io_begin(op, IO_K_WORK);
	io_pools_queue(u->pools, op, pool, fn, arg);
}

static void uring_join(struct io *io, struct io_op *op)
{
	if (op->busy && op->kind == IO_K_WORK)
		io_pools_join(to_uring(io)->pools, op);
}

static int uring_pool_new(struct io *io, const char *name)
{
	return io_pools_add(to_uring(io)->pools, name);
}

static void uring_pool_free(struct io *io, int pool)
{
	io_pools_del(to_uring(io)->pools, pool);
}

static void uring_cancel(struct io *io, struct io_op *op)
{
	struct uring *u = to_uring(io);
	struct io_uring_sqe *sqe;

	switch (op->busy ? op->kind : IO_K_NONE) {
	case IO_K_NONE:
	case IO_K_READY:
		return;
	case IO_K_TIMER:
		io_timers_del(&u->timers, op);
		fail_later(u, op, -ECANCELED);
		return;
	case IO_K_WORK:
		if (io_pools_cancel(u->pools, op))
			fail_later(u, op, -ECANCELED);
		return;
	case IO_K_SEND:
		op->u2 = 1;
		break;
	}
	sqe = get_sqe(u);
	io_uring_prep_cancel(sqe, op, 0);
	sqe->user_data = UD_IGNORE;
}

/* Moves the ring's timeout if an earlier deadline has come; a later one may find it firing early. */
static void arm_timeout(struct uring *u)
{
	u64 next = io_timers_next(&u->timers);
	struct io_uring_sqe *sqe;

	if (next >= u->armed_ns)
		return;
	u->ts.tv_sec = next / NSEC;
	u->ts.tv_nsec = next % NSEC;
	sqe = get_sqe(u);
	if (u->armed_ns == UINT64_MAX) {
		io_uring_prep_timeout(sqe, &u->ts, 0, IORING_TIMEOUT_ABS | IORING_TIMEOUT_BOOTTIME);
		sqe->user_data = UD_TIMEOUT;
	} else {
		/* Fails if the old one has just fired; its completion then arms anew.  The clock is
		 * the old one's: naming it again is refused. */
		io_uring_prep_timeout_update(sqe, &u->ts, UD_TIMEOUT, IORING_TIMEOUT_ABS);
		sqe->user_data = UD_IGNORE;
	}
	u->armed_ns = next;
}

static void arm_wake(struct uring *u)
{
	struct io_uring_sqe *sqe = get_sqe(u);

	io_uring_prep_read(sqe, u->evfd, &u->ev_value, sizeof(u->ev_value), 0);
	sqe->user_data = UD_WAKE;
}

static void uring_wake(struct io *io)
{
	u64 one = 1;
	ssize_t n = write(to_uring(io)->evfd, &one, sizeof(one));

	(void)n;	/* full means that it is awake already */
}

static void pool_notify(void *arg)
{
	uring_wake(arg);
}

/* ---- the step ---- */

static void complete(struct uring *u, u64 data, int res)
{
	struct io_op *op;

	switch (data) {
	case UD_IGNORE:
		return;
	case UD_TIMEOUT:
		u->armed_ns = UINT64_MAX;
		return;
	case UD_UPDATE:
		if (res < 0 && res != -ENOENT && res != -EALREADY)
			log_err("event=io_uring_timeout_failed error=%d", res);
		return;
	case UD_WAKE:
		arm_wake(u);
		io_pools_reap(u->pools, &u->ready);
		return;
	}
	op = (struct io_op *)(uintptr_t)data;
	switch (op->kind) {
	case IO_K_SEND:
		send_done(u, op, res);
		return;
	case IO_K_CONNECT:
		if (res < 0)
			close(op->fd);
		io_end(op, res < 0 ? res : op->fd);
		return;
	case IO_K_POLL:
		io_end(op, res < 0 ? res : 0);
		return;
	}
	io_end(op, res);
}

static unsigned int reap(struct uring *u)
{
	struct io_uring_cqe *cqes[REAP_BATCH];
	struct { u64 data; int res; } got[REAP_BATCH];
	unsigned int n = io_uring_peek_batch_cqe(&u->ring, cqes, REAP_BATCH), i;

	/* Copied out first: a callback may enter the ring when the submission queue is full. */
	for (i = 0; i < n; i++) {
		got[i].data = cqes[i]->user_data;
		got[i].res = cqes[i]->res;
	}
	io_uring_cq_advance(&u->ring, n);
	for (i = 0; i < n; i++)
		complete(u, got[i].data, got[i].res);
	return n;
}

static int uring_step(struct io *io)
{
	struct uring *u = to_uring(io);
	int err, i;

	arm_timeout(u);
	if (u->ready.head)
		err = io_uring_submit_and_get_events(&u->ring);
	else
		err = io_uring_submit_and_wait(&u->ring, 1);
	/* Interrupted, or too many completions unread: both end with reading them. */
	if (err < 0 && err != -EINTR && err != -EBUSY && err != -EAGAIN) {
		log_err("event=io_uring_failed error=%d note=\"%s\"", err, strerror(-err));
		return err;
	}
	for (i = 0; i < REAP_ROUNDS && reap(u) == REAP_BATCH; i++)
		;
	if (u->timers.n)
		io_timers_due(&u->timers, io_sys_now(io), &u->ready);
	io_list_deliver(&u->ready);
	return 0;
}

/* Ends what is in flight, so that the kernel writes into no memory of the callers afterwards. */
static void cancel_all(struct uring *u)
{
	struct __kernel_timespec ts = { .tv_nsec = NSEC / 10 };
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe = get_sqe(u);
	int i;

	io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY);
	sqe->user_data = UD_IGNORE;
	io_uring_submit(&u->ring);
	for (i = 0; i < CQ_ENTRIES && !io_uring_wait_cqe_timeout(&u->ring, &cqe, &ts); i++)
		io_uring_cqe_seen(&u->ring, cqe);
}

static void uring_destroy(struct io *io)
{
	struct uring *u = to_uring(io);

	cancel_all(u);
	io_pools_free(u->pools);
	io_uring_queue_exit(&u->ring);
	close(u->evfd);
	io_timers_free(&u->timers);
	free(u);
}

static const struct io_ops uring_ops = {
	.name = "io_uring",
	.now_ns = io_sys_now, .real_ns = io_sys_real, .stamp_ns = io_sys_stamp, .random = io_sys_random,
	.listen = io_sys_listen, .accept = uring_accept, .connect = uring_connect,
	.send = uring_send, .send_last = io_sys_send_last, .recv = uring_recv, .read = uring_read, .write = uring_write,
	.poll_in = uring_poll_in, .close = uring_close, .timer = uring_timer, .work = uring_work,
	.join = uring_join, .pool_new = uring_pool_new, .pool_free = uring_pool_free,
	.cancel = uring_cancel, .step = uring_step, .wake = uring_wake, .destroy = uring_destroy,
};

/* ---- set-up ---- */

static const u8 used_ops[] = {
	IORING_OP_ACCEPT, IORING_OP_CONNECT, IORING_OP_SEND, IORING_OP_SENDMSG, IORING_OP_RECV,
	IORING_OP_READ, IORING_OP_WRITE, IORING_OP_POLL_ADD, IORING_OP_TIMEOUT,
	IORING_OP_TIMEOUT_REMOVE, IORING_OP_ASYNC_CANCEL,
};

/* liburing 2.3 declares the two functions for this and does not export them. */
static int ring_register(struct io_uring *ring, unsigned int op, void *arg, unsigned int n)
{
	return syscall(__NR_io_uring_register, ring->ring_fd, op, arg, n) < 0 ? -errno : 0;
}

/* After this the ring does these operations and nothing else, whoever gets hold of it. */
static int restrict_ring(struct io_uring *ring)
{
	struct io_uring_restriction r[ARRAY_SIZE(used_ops) + 2] = { 0 };
	unsigned int n = 0;

	for (; n < ARRAY_SIZE(used_ops); n++) {
		r[n].opcode = IORING_RESTRICTION_SQE_OP;
		r[n].sqe_op = used_ops[n];
	}
	r[n].opcode = IORING_RESTRICTION_REGISTER_OP;
	r[n++].register_op = IORING_UNREGISTER_RING_FDS;
	return ring_register(ring, IORING_REGISTER_RESTRICTIONS, r, n);
}

static int ring_setup(struct io_uring *ring)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED |
			 IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL,
		.cq_entries = CQ_ENTRIES,
	};
	unsigned int workers[2] = { IOWQ_BOUNDED, IOWQ_UNBOUNDED };
	int err;

	err = io_uring_queue_init_params(SQ_ENTRIES, ring, &p);
	if (err)
		return err;
	io_uring_register_iowq_max_workers(ring, workers);	/* a default exists */
	io_uring_register_ring_fd(ring);			/* saves a lookup a call; may fail */
	err = restrict_ring(ring);
	if (!err)
		err = ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	if (err)
		io_uring_queue_exit(ring);
	return err;
}

int io_uring_new(struct io **out)
{
	struct uring *u = xcalloc(1, sizeof(*u));
	int err;

	u->io.ops = &uring_ops;
	u->armed_ns = UINT64_MAX;
	u->evfd = eventfd(0, EFD_CLOEXEC);
	err = u->evfd < 0 ? -errno : ring_setup(&u->ring);
	if (err) {
		if (u->evfd >= 0)
			close(u->evfd);
		free(u);
		return err;
	}
	u->pools = io_pools_new(pool_notify, &u->io);
	arm_wake(u);
	*out = &u->io;
	return 0;
}
