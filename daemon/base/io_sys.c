// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * io_sys.c - what the two real I/O tables ask of the system in the same words, and the choice
 * between them.  Loop thread.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "base/io_impl.h"
#include "base/log.h"

#define NSEC		1000000000ULL
#define LOWAT_MIN	(16 * 1024)	/* less is not worth a system call */
#define LOWAT_MAX	(256 * 1024)

static u64 clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (u64)ts.tv_sec * NSEC + ts.tv_nsec;
}

u64 io_sys_now(struct io *io)
{
	return clock_ns(CLOCK_BOOTTIME);
}

u64 io_sys_real(struct io *io)
{
	return clock_ns(CLOCK_REALTIME);
}

u64 io_sys_stamp(struct io *io)
{
	return clock_ns(CLOCK_REALTIME_COARSE);
}

void io_sys_random(struct io *io, void *buf, size_t len)
{
	u8 *p = buf;

	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort();	/* no kernel we run on lacks it */
		p += n;
		len -= n;
	}
}

int io_sys_listen(struct io *io, const struct sockaddr *addr, socklen_t len)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, err;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!bind(fd, addr, len) && !listen(fd, SOMAXCONN))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

void io_sys_send_last(struct io *io, int fd, const void *buf, size_t len)
{
	ssize_t n = send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	(void)n;	/* a peer that does not get it sees the end of the stream */
}

/* u1 is the low-water mark that this operation's socket has; an operation receives on one socket. */
bool io_sys_lowat(struct io_op *op, int fd, size_t least)
{
	int low = least >= LOWAT_MIN ? (int)min(least, (size_t)LOWAT_MAX) : 1;

	if ((u64)low != max(op->u1, (u64)1)) {
		setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low));
		op->u1 = low;
	}
	return low > 1;
}

/* ---- one attempt that does not block ---- */

static int try_connect(struct io_op *op)
{
	socklen_t len = sizeof(int);
	int err = 0, flags;

	if (op->u1)
		getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	else if (connect(op->fd, (struct sockaddr *)&op->addr, op->u2))
		err = errno;
	op->u1 = 1;
	if (err == EINPROGRESS || err == EINTR)
		return -EAGAIN;
	if (err) {
		close(op->fd);
		return err == EAGAIN ? -ECONNREFUSED : -err;	/* of a local socket: its backlog is full */
	}
	flags = fcntl(op->fd, F_GETFL);
	fcntl(op->fd, F_SETFL, flags & ~O_NONBLOCK);		/* as the other table gives them */
	return op->fd;
}

static int try_send(struct io_op *op)
{
	ssize_t n;

	while (op->msg.msg_iovlen) {
		n = sendmsg(op->fd, &op->msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0)
			io_send_skip(op, n);
		else if (errno != EINTR)
			return -errno;
	}
	return (int)op->u1;
}

static int try_poll(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, 0);

	return n < 0 ? -errno : !n ? -EAGAIN : p.revents & POLLNVAL ? -EBADF : 0;
}

int io_sys_try(struct io_op *op)
{
	ssize_t n;

	do {
		switch (op->kind) {
		case IO_K_CONNECT:
			return try_connect(op);
		case IO_K_SEND:
			return try_send(op);
		case IO_K_POLL:
			return try_poll(op->fd);
		case IO_K_ACCEPT:
			n = accept4(op->fd, NULL, NULL, SOCK_CLOEXEC);
			break;
		default:
			n = recv(op->fd, op->iov[0].iov_base, op->iov[0].iov_len, MSG_DONTWAIT);
		}
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

/* ---- the choice ---- */

static const char *uring_hint(int err)
{
	switch (err) {
	case -ENOSYS:
		return "this kernel has no io_uring, or the container hides it";
	case -EPERM:
	case -EACCES:
		return "io_uring is forbidden: sysctl kernel.io_uring_disabled, or the seccomp profile of the container";
	case -EINVAL:
		return "this kernel's io_uring is older than 6.1";
	case -ENOMEM:
		return "locked memory is used up: raise LimitMEMLOCK= (ulimit -l)";
	case -EMFILE:
	case -ENFILE:
		return "no descriptors left: raise LimitNOFILE=";
	default:
		return strerror(-err);
	}
}

/* What epoll can do nothing about is an error, lest a lack of memory becomes a slow daemon. */
static bool uring_is_out(int err)
{
	return err == -ENOSYS || err == -EPERM || err == -EACCES || err == -EINVAL;
}

struct io *io_new(const char *want)
{
	bool epoll = want && !strcmp(want, "epoll");
	const char *why = want ? "as configured" : "the default";
	struct io *io = NULL;
	int err = epoll ? io_epoll_new(&io) : io_uring_new(&io);

	if (!want && uring_is_out(err)) {
		why = uring_hint(err);
		err = io_epoll_new(&io);
		epoll = true;
	}
	if (err) {
		log_err("event=io_unusable table=%s error=%d note=\"%s\"", epoll ? "epoll" : "io_uring", err,
			epoll ? strerror(-err) : uring_hint(err));
		errno = -err;
		return NULL;
	}
	snprintf(io->why, sizeof(io->why), "%s", why);
	log_info("event=io table=%s why=\"%s\"", io->ops->name, io->why);
	return io;
}
