/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * io.h - the I/O table: all that the protocol logic may ask of the world.
 *
 * The logic of agent and proxy is a step function: an operation is started here, and its
 * completion calls op->done() once, later, from io_step() - never from inside the call that
 * started it, so no caller meets a re-entrant callback.  Three tables fill struct io_ops:
 * io_uring (io_uring.c), epoll where io_uring is forbidden (io_epoll.c), and the simulated one
 * of the tests (tests/sim).  The core never names one.
 *
 * Thread rule: every function here is called on the loop thread only, except the clocks and wake().
 * Ownership: a struct io_op lives in its caller's object and must stay valid until done()
 * was called.  io_cancel() hastens the end (-ECANCELED) and never frees.
 * Errors: res of done() is >= 0 or -errno.
 */
#ifndef AUGUR_BASE_IO_H
#define AUGUR_BASE_IO_H

#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include "common/types.h"

struct io;
struct io_op;
typedef void io_done_fn(struct io_op *op, int res);

struct io_op {
	io_done_fn	*done;
	/* private to the table */
	unsigned char	kind;
	bool		busy;
	int		fd;
	int		pool;
	void		*p1, *p2;
	u64		u1, u2, u3;
	struct io_op	*next, *prev;
	union {
		struct sockaddr_storage	addr;
		struct {
			struct iovec	iov[4];
			struct msghdr	msg;
		};
	};
};

/* Worker pools: bounded threads for what must block; one hung mount starves only its own. */
enum io_pool {
	IO_POOL_LOWER = 0,	/* local cache filesystem */
	IO_POOL_ORIGIN = 1,	/* origin filesystem */
	IO_POOL_MISC = 2,	/* name resolution and the like */
	IO_POOLS		/* numbers of pool_new() begin beyond */
};

struct io_ops {
	const char *name;
	u64 (*now_ns)(struct io *io);			/* CLOCK_BOOTTIME; any thread */
	u64 (*real_ns)(struct io *io);			/* CLOCK_REALTIME; any thread */
	u64 (*stamp_ns)(struct io *io);			/* what a file changed now is stamped with, CLOCK_REALTIME_COARSE; any thread */
	void (*random)(struct io *io, void *buf, size_t len);
	/* Sockets.  listen is synchronous: descriptor or -errno. */
	int (*listen)(struct io *io, const struct sockaddr *addr, socklen_t len);
	/* res: descriptor, which is the callee's even if it had cancelled; one per call. */
	void (*accept)(struct io *io, struct io_op *op, int fd);
	void (*connect)(struct io *io, struct io_op *op, const struct sockaddr *addr, socklen_t len); /* res: descriptor */
	/* Sends all of up to 4 vectors; res: total or -errno. The vectors' memory stays valid until done. */
	void (*send)(struct io *io, struct io_op *op, int fd, const struct iovec *iov, int n);
	/* A last word before close(): what fits goes out now, and whether it did is not told. */
	void (*send_last)(struct io *io, int fd, const void *buf, size_t len);
	/* res: 0 at end.  At least @least bytes are worth waking up for: a hint, res may be less. */
	void (*recv)(struct io *io, struct io_op *op, int fd, void *buf, size_t len, size_t least);
	/* Files: res may be short. */
	void (*read)(struct io *io, struct io_op *op, int fd, void *buf, size_t len, u64 off);
	void (*write)(struct io *io, struct io_op *op, int fd, const void *buf, size_t len, u64 off);
	/* Readable descriptor (netlink, signalfd): res 0; one per call. */
	void (*poll_in)(struct io *io, struct io_op *op, int fd);
	void (*close)(struct io *io, int fd);		/* cancels what is in flight on it first */
	/* Fires once at now_ns() >= deadline_ns, res 0. */
	void (*timer)(struct io *io, struct io_op *op, u64 deadline_ns);
	/* fn(arg) on a worker of the pool; res: its return value. */
	void (*work)(struct io *io, struct io_op *op, int pool, int (*fn)(void *arg), void *arg);
	/* Waits here until the job of @op has run; its done() comes in a later step all the same. */
	void (*join)(struct io *io, struct io_op *op);
	/* A pool of one worker, so that its jobs run in their order: number or -errno.  Free it when none is queued. */
	int (*pool_new)(struct io *io, const char *name);
	void (*pool_free)(struct io *io, int pool);
	void (*cancel)(struct io *io, struct io_op *op);
	/* Waits for and delivers completions; 0, or -errno when the table itself failed. */
	int (*step)(struct io *io);
	void (*wake)(struct io *io);			/* any thread, signal safe */
	/* Ends the table; operations still in flight are dropped without done(). */
	void (*destroy)(struct io *io);
};

struct io {
	const struct io_ops *ops;
	bool		stop;
	char		why[160];	/* why it is this table, in words for status and doctor */
};

/*
 * @want: "uring" or "epoll", or NULL for io_uring, and epoll where the system forbids or lacks
 * that.  NULL and errno with a logged reason.  The calling thread becomes the loop thread;
 * fork (daemonise) before, not after.
 */
struct io *io_new(const char *want);

/* Runs until io->stop. */
int io_run(struct io *io);

/* An accept that failed for want of room: the connection stays queued, so to accept again at once spins. */
static inline bool io_exhausted(int res)
{
	return res == -EMFILE || res == -ENFILE || res == -ENOMEM || res == -ENOBUFS;
}

static inline u64 io_now(struct io *io) { return io->ops->now_ns(io); }

#endif
