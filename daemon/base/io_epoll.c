// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * io_epoll.c - the I/O table on one epoll descriptor, for where io_uring is forbidden.
 *
 * An operation on a descriptor is tried in the step after its start; if it would block it is
 * parked with its descriptor, which is armed for one event (EPOLLONESHOT) and tried again when
 * that comes.  Deadlines are a heap in front of one timerfd on CLOCK_BOOTTIME.  Reads and
 * writes of files go to a pool of workers of their own, unless the page cache has the bytes.
 *
 * What is registered is never believed: owners close some descriptors themselves, the number
 * comes back as another file, and so "armed" holds only while an operation waits, and adding
 * and changing stand in for each other.  Loop thread, but for epoll_wake().
 */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/io_impl.h"
#include "base/log.h"

#define BATCH		128
#define SLOTS_MIN	64
#define NSEC		1000000000ULL

/* Where an operation that has no result yet is; in its u3.  One of a file is with a worker if it has a job (p1). */
enum { AT_FRESH, AT_PARKED };

/* By descriptor number. */
struct slot {
	struct io_list	in, out;	/* parked */
	u32		armed;		/* events asked for, while something is parked */
	unsigned int	jobs;		/* with workers */
	bool		known;		/* probably registered */
	bool		closing;	/* closed by its owner; goes when the last job ends */
};

struct epoll {
	struct io		io;
	int			epfd, evfd, tmfd;
	struct slot		*slots;
	int			nslots;
	struct io_list		fresh, ready;
	struct io_timers	timers;
	u64			armed_ns;	/* of the timerfd; UINT64_MAX: none */
	struct io_pools		*pools;
};

static struct epoll *to_epoll(struct io *io)
{
	return container_of(io, struct epoll, io);
}

static void finish(struct epoll *e, struct io_op *op, int res)
{
	op->kind = IO_K_READY;
	op->u3 = (u64)(s64)res;
	io_list_add(&e->ready, op);
}

static void start(struct epoll *e, struct io_op *op, enum io_kind kind, int fd)
{
	io_begin(op, kind);
	op->fd = fd;
	op->p1 = NULL;
	op->u3 = AT_FRESH;
	io_list_add(&e->fresh, op);
}

/* ---- descriptors ---- */

static struct slot *slot_of(struct epoll *e, int fd)
{
	int n = e->nslots ? e->nslots : SLOTS_MIN;

	if (fd >= e->nslots) {
		while (n <= fd)
			n *= 2;
		e->slots = xrealloc(e->slots, n * sizeof(e->slots[0]));
		memset(e->slots + e->nslots, 0, (n - e->nslots) * sizeof(e->slots[0]));
		e->nslots = n;
	}
	return &e->slots[fd];
}

static bool is_out(const struct io_op *op)
{
	return op->kind == IO_K_SEND || op->kind == IO_K_CONNECT;
}

static int arm(struct epoll *e, int fd)
{
	struct slot *s = &e->slots[fd];
	struct epoll_event ev = {
		.events = (s->in.head ? EPOLLIN : 0) | (s->out.head ? EPOLLOUT : 0) | EPOLLONESHOT,
		.data.fd = fd,
	};
	int err;

	if (s->armed == ev.events)
		return 0;
	err = epoll_ctl(e->epfd, s->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
	if (err && errno == (s->known ? ENOENT : EEXIST))
		err = epoll_ctl(e->epfd, s->known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev);
	if (err)
		return -errno;
	s->known = true;
	s->armed = ev.events;
	return 0;
}

static void unpark(struct slot *s, struct io_op *op)
{
	io_list_del(is_out(op) ? &s->out : &s->in, op);
	if (!s->in.head && !s->out.head)
		s->armed = 0;
}

static void park(struct epoll *e, struct io_op *op)
{
	struct slot *s = slot_of(e, op->fd);
	int err;

	op->u3 = AT_PARKED;
	io_list_add(is_out(op) ? &s->out : &s->in, op);
	err = arm(e, op->fd);
	if (err) {
		unpark(s, op);
		if (op->kind == IO_K_CONNECT)
			close(op->fd);
		finish(e, op, err);
	}
}

/* ---- files ---- */

static int file_job(void *arg)
{
	struct io_op *op = arg;
	ssize_t n = op->kind == IO_K_READ ? pread(op->fd, op->iov[0].iov_base, op->iov[0].iov_len, op->u2) :
					    pwrite(op->fd, op->iov[0].iov_base, op->iov[0].iov_len, op->u2);

	return n < 0 ? -errno : (int)n;
}

static void to_worker(struct epoll *e, struct io_op *op)
{
	slot_of(e, op->fd)->jobs++;
	io_pools_queue(e->pools, op, IO_POOL_FILES, file_job, op);
}

static void job_left(struct epoll *e, int fd)
{
	struct slot *s = slot_of(e, fd);

	if (--s->jobs || !s->closing)
		return;
	s->closing = false;
	close(fd);
}

static void reap(struct epoll *e)
{
	struct io_list done = { 0 };
	struct io_op *op;

	io_pools_reap(e->pools, &done);
	while ((op = done.head)) {
		io_list_del(&done, op);
		if (op->p1 == (void *)file_job)
			job_left(e, op->fd);
		io_list_add(&e->ready, op);
	}
}

/* Bytes of the page cache are taken at once; true: a worker is needed. */
static bool read_needs_worker(struct io_op *op, int *res)
{
	ssize_t n;

	if (op->kind == IO_K_WRITE)
		return true;
	n = preadv2(op->fd, op->iov, 1, op->u2, RWF_NOWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EOPNOTSUPP || errno == EINTR))
		return true;
	*res = n < 0 ? -errno : (int)n;
	return false;
}

static void file_start(struct io *io, struct io_op *op, enum io_kind kind, int fd, void *buf, size_t len, u64 off)
{
	start(to_epoll(io), op, kind, fd);
	op->iov[0] = (struct iovec){ buf, len };
	op->u2 = off;
}

static void epoll_read(struct io *io, struct io_op *op, int fd, void *buf, size_t len, u64 off)
{
	file_start(io, op, IO_K_READ, fd, buf, len, off);
}

static void epoll_write(struct io *io, struct io_op *op, int fd, const void *buf, size_t len, u64 off)
{
	file_start(io, op, IO_K_WRITE, fd, (void *)buf, len, off);
}

/* ---- sockets ---- */

static void epoll_accept(struct io *io, struct io_op *op, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && !(flags & O_NONBLOCK))
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);	/* accept() has no flag of its own for it */
	start(to_epoll(io), op, IO_K_ACCEPT, fd);
}

/* u1: the kernel has been asked. */
static void epoll_connect(struct io *io, struct io_op *op, const struct sockaddr *addr, socklen_t len)
{
	struct epoll *e = to_epoll(io);
	int fd = -1, err = -EINVAL;

	if (len <= sizeof(op->addr)) {
		fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		err = -errno;
	}
	if (fd < 0) {
		io_begin(op, IO_K_CONNECT);
		finish(e, op, err);
		return;
	}
	start(e, op, IO_K_CONNECT, fd);
	memcpy(&op->addr, addr, len);
	op->u1 = 0;
	op->u2 = len;
}

static void epoll_send(struct io *io, struct io_op *op, int fd, const struct iovec *iov, int n)
{
	struct epoll *e = to_epoll(io);
	int err;

	start(e, op, IO_K_SEND, fd);
	err = io_send_prep(op, fd, iov, n);
	if (!err && op->msg.msg_iovlen)
		return;
	io_list_del(&e->fresh, op);
	finish(e, op, err);
}

/* u2: waiting comes first, as less than the mark is not worth waking up for. */
static void epoll_recv(struct io *io, struct io_op *op, int fd, void *buf, size_t len, size_t least)
{
	start(to_epoll(io), op, IO_K_RECV, fd);
	op->iov[0] = (struct iovec){ buf, len };
	op->u2 = io_sys_lowat(op, fd, least) && fd >= 0;
}

static void epoll_poll_in(struct io *io, struct io_op *op, int fd)
{
	start(to_epoll(io), op, IO_K_POLL, fd);
}

/* ---- ends ---- */

static void drop(struct epoll *e, struct io_op *op, int err)
{
	if (op->kind == IO_K_CONNECT)
		close(op->fd);
	finish(e, op, err);
}

static void cancel_list(struct epoll *e, struct io_list *l, int fd)
{
	struct io_op *op, *next;

	for (op = l->head; op; op = next) {
		next = op->next;
		if (op->fd != fd)
			continue;
		io_list_del(l, op);
		drop(e, op, -ECANCELED);
	}
}

static void epoll_close(struct io *io, int fd)
{
	struct epoll *e = to_epoll(io);
	struct slot *s;

	if (fd < 0)
		return;
	s = slot_of(e, fd);
	cancel_list(e, &e->fresh, fd);
	cancel_list(e, &s->in, fd);
	cancel_list(e, &s->out, fd);
	if (s->known)
		epoll_ctl(e->epfd, EPOLL_CTL_DEL, fd, NULL);
	s->known = false;
	s->armed = 0;
	shutdown(fd, SHUT_RDWR);
	/* The number stays taken while a worker uses it. */
	if (s->jobs)
		s->closing = true;
	else
		close(fd);
}

static void epoll_cancel(struct io *io, struct io_op *op)
{
	struct epoll *e = to_epoll(io);

	switch (op->busy ? op->kind : IO_K_NONE) {
	case IO_K_NONE:
	case IO_K_READY:
		return;
	case IO_K_TIMER:
		io_timers_del(&e->timers, op);
		break;
	case IO_K_WORK:
		if (!io_pools_cancel(e->pools, op))
			return;
		break;
	default:
		if (op->p1) {
			if (!io_pools_cancel(e->pools, op))
				return;
			job_left(e, op->fd);
		} else if (op->u3 == AT_PARKED) {
			unpark(&e->slots[op->fd], op);
		} else {
			io_list_del(&e->fresh, op);
		}
	}
	drop(e, op, -ECANCELED);
}

/* ---- timers and jobs ---- */

static void epoll_timer(struct io *io, struct io_op *op, u64 deadline_ns)
{
	struct epoll *e = to_epoll(io);

	io_begin(op, IO_K_TIMER);
	if (deadline_ns)
		io_timers_add(&e->timers, op, deadline_ns);
	else
		finish(e, op, 0);	/* "in the next step" needs no clock */
}

static void epoll_work(struct io *io, struct io_op *op, int pool, int (*fn)(void *arg), void *arg)
{
	io_begin(op, IO_K_WORK);
	io_pools_queue(to_epoll(io)->pools, op, pool, fn, arg);
}

static void epoll_join(struct io *io, struct io_op *op)
{
	if (op->busy && op->kind == IO_K_WORK)
		io_pools_join(to_epoll(io)->pools, op);
}

static int epoll_pool_new(struct io *io, const char *name)
{
	return io_pools_add(to_epoll(io)->pools, name);
}

static void epoll_pool_free(struct io *io, int pool)
{
	io_pools_del(to_epoll(io)->pools, pool);
}

static void arm_timer(struct epoll *e)
{
	u64 next = io_timers_next(&e->timers);
	struct itimerspec its = { .it_value = { .tv_sec = next / NSEC, .tv_nsec = next % NSEC } };

	if (next >= e->armed_ns)
		return;
	if (timerfd_settime(e->tmfd, TFD_TIMER_ABSTIME, &its, NULL))
		log_err("event=timerfd_failed error=%d", errno);
	e->armed_ns = next;
}

static void epoll_wake(struct io *io)
{
	u64 one = 1;
	ssize_t n = write(to_epoll(io)->evfd, &one, sizeof(one));

	(void)n;	/* full means that it is awake already */
}

static void pool_notify(void *arg)
{
	epoll_wake(arg);
}

/* ---- the step ---- */

static void try_fresh(struct epoll *e)
{
	struct io_list now = e->fresh;
	struct io_op *op;
	int res;

	e->fresh = (struct io_list){ 0 };
	while ((op = now.head)) {
		io_list_del(&now, op);
		if (op->kind == IO_K_READ || op->kind == IO_K_WRITE) {
			if (read_needs_worker(op, &res)) {
				to_worker(e, op);
				continue;
			}
		} else {
			res = op->kind == IO_K_RECV && op->u2 ? -EAGAIN : io_sys_try(op);
			if (res == -EAGAIN) {
				park(e, op);
				continue;
			}
		}
		finish(e, op, res);
	}
}

static void try_parked(struct epoll *e, struct io_list *l)
{
	struct io_op *op;
	int res;

	while ((op = l->head)) {
		res = io_sys_try(op);
		if (res == -EAGAIN)
			return;
		io_list_del(l, op);
		finish(e, op, res);
	}
}

static void on_event(struct epoll *e, int fd, u32 events)
{
	struct slot *s = &e->slots[fd];
	struct io_op *op;
	int err;

	s->armed = 0;
	if (events & ~EPOLLOUT)
		try_parked(e, &s->in);
	if (events & ~EPOLLIN)
		try_parked(e, &s->out);
	if (!s->in.head && !s->out.head)
		return;
	err = arm(e, fd);
	while (err && (op = s->in.head ? s->in.head : s->out.head)) {
		unpark(s, op);
		drop(e, op, err);
	}
}

static void drain(int fd)
{
	u64 n;

	if (read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		log_warn("event=io_drain_failed error=%d", errno);
}

static int epoll_step(struct io *io)
{
	struct epoll *e = to_epoll(io);
	struct epoll_event ev[BATCH];
	int i, n;

	try_fresh(e);
	arm_timer(e);
	n = epoll_wait(e->epfd, ev, BATCH, e->ready.head ? 0 : -1);
	if (n < 0 && errno != EINTR) {
		n = -errno;
		log_err("event=epoll_failed error=%d note=\"%s\"", n, strerror(-n));
		return n;
	}
	for (i = 0; i < n; i++) {
		if (ev[i].data.fd == e->evfd) {
			drain(e->evfd);
			reap(e);
		} else if (ev[i].data.fd == e->tmfd) {
			drain(e->tmfd);
			e->armed_ns = UINT64_MAX;
		} else {
			on_event(e, ev[i].data.fd, ev[i].events);
		}
	}
	if (e->timers.n)
		io_timers_due(&e->timers, io_sys_now(io), &e->ready);
	io_list_deliver(&e->ready);
	return 0;
}

/* ---- begin and end ---- */

static void close_connecting(struct io_list *l)
{
	for (struct io_op *op = l->head; op; op = op->next)
		if (op->kind == IO_K_CONNECT)
			close(op->fd);
}

static void epoll_free(struct epoll *e)
{
	if (e->pools)
		io_pools_free(e->pools);
	close_connecting(&e->fresh);
	for (int i = 0; i < e->nslots; i++)
		close_connecting(&e->slots[i].out);
	if (e->epfd >= 0)
		close(e->epfd);
	if (e->evfd >= 0)
		close(e->evfd);
	if (e->tmfd >= 0)
		close(e->tmfd);
	io_timers_free(&e->timers);
	free(e->slots);
	free(e);
}

static void epoll_destroy(struct io *io)
{
	epoll_free(to_epoll(io));
}

static const struct io_ops epoll_ops = {
	.name = "epoll",
	.now_ns = io_sys_now, .real_ns = io_sys_real, .stamp_ns = io_sys_stamp, .random = io_sys_random,
	.listen = io_sys_listen, .accept = epoll_accept, .connect = epoll_connect,
	.send = epoll_send, .send_last = io_sys_send_last, .recv = epoll_recv, .read = epoll_read, .write = epoll_write,
	.poll_in = epoll_poll_in, .close = epoll_close, .timer = epoll_timer, .work = epoll_work,
	.join = epoll_join, .pool_new = epoll_pool_new, .pool_free = epoll_pool_free,
	.cancel = epoll_cancel, .step = epoll_step, .wake = epoll_wake, .destroy = epoll_destroy,
};

static int add_own(struct epoll *e, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(e->epfd, EPOLL_CTL_ADD, fd, &ev);
}

int io_epoll_new(struct io **out)
{
	struct epoll *e = xcalloc(1, sizeof(*e));
	int err;

	e->io.ops = &epoll_ops;
	e->armed_ns = UINT64_MAX;
	e->epfd = epoll_create1(EPOLL_CLOEXEC);
	e->evfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->tmfd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (e->epfd < 0 || e->evfd < 0 || e->tmfd < 0 || add_own(e, e->evfd) || add_own(e, e->tmfd)) {
		err = -errno;
		epoll_free(e);
		return err;
	}
	e->pools = io_pools_new(pool_notify, &e->io);
	*out = &e->io;
	return 0;
}
