/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * io_impl.h - what the I/O tables share: the timer heap, the worker pools, the list of
 * completions that wait for the next step, and what the two real tables ask of the system in
 * the same words.  Private to base/ and to the simulated table of the tests.
 *
 * Fields of struct io_op by kind: a timer keeps its deadline in u1 and its place in the heap
 * in u2; a job keeps its function in p1, its argument in p2, its state in u1; a send keeps in
 * u1 what has gone out; a receive keeps in u1, between its uses too, the low-water mark of its
 * socket; the result of whatever is on a ready list is in u3.
 */
#ifndef AUGUR_BASE_IO_IMPL_H
#define AUGUR_BASE_IO_IMPL_H

#include "base/io.h"
#include "base/mem.h"

enum io_kind {
	IO_K_NONE, IO_K_ACCEPT, IO_K_CONNECT, IO_K_SEND, IO_K_RECV, IO_K_READ, IO_K_WRITE,
	IO_K_POLL, IO_K_TIMER, IO_K_WORK, IO_K_READY
};

/* Marks @op as started; a second start of a busy operation is a bug worth an abort. */
void io_begin(struct io_op *op, enum io_kind kind);
/* Marks it ended and tells its owner; @op may be gone afterwards. */
void io_end(struct io_op *op, int res);

/* ---- first in, first out ---- */
struct io_list { struct io_op *head, *tail; };
void io_list_add(struct io_list *l, struct io_op *op);
void io_list_del(struct io_list *l, struct io_op *op);
/* Delivers what is on the list now; what the callbacks add stays for the next time. */
void io_list_deliver(struct io_list *l);

/* ---- a send that may be short: the vectors move along in the operation ---- */
int io_send_prep(struct io_op *op, int fd, const struct iovec *iov, int n);	/* msg_iovlen 0: nothing to send */
void io_send_skip(struct io_op *op, size_t n);

/* ---- timers: a binary heap ---- */
struct io_timers { struct io_op **heap; size_t n, cap; };
void io_timers_add(struct io_timers *t, struct io_op *op, u64 deadline_ns);
void io_timers_del(struct io_timers *t, struct io_op *op);
u64 io_timers_next(const struct io_timers *t);		/* UINT64_MAX: none */
/* Moves what is due at @now_ns to @ready. */
void io_timers_due(struct io_timers *t, u64 now_ns, struct io_list *ready);
void io_timers_free(struct io_timers *t);

/* ---- worker pools ---- */
enum { IO_POOL_FILES = IO_POOLS, IO_POOLS_ALL };	/* reads and writes of the epoll table */
struct io_pools;
/* @notify(arg): called on a worker's thread when the first finished job is to be fetched. */
struct io_pools *io_pools_new(void (*notify)(void *arg), void *arg);
void io_pools_queue(struct io_pools *p, struct io_op *op, int pool, int (*fn)(void *), void *arg);
/* True: taken from the queue before it ran. */
bool io_pools_cancel(struct io_pools *p, struct io_op *op);
void io_pools_join(struct io_pools *p, struct io_op *op);
int io_pools_add(struct io_pools *p, const char *name);
void io_pools_del(struct io_pools *p, int pool);
/* Moves finished jobs to @ready. */
void io_pools_reap(struct io_pools *p, struct io_list *ready);
/* Waits 2 s for running jobs; one that hangs longer is left behind with the pools' memory. */
void io_pools_free(struct io_pools *p);

/* ---- the system under the real tables (io_sys.c) ---- */
u64 io_sys_now(struct io *io);
u64 io_sys_real(struct io *io);
u64 io_sys_stamp(struct io *io);
void io_sys_random(struct io *io, void *buf, size_t len);
int io_sys_listen(struct io *io, const struct sockaddr *addr, socklen_t len);
void io_sys_send_last(struct io *io, int fd, const void *buf, size_t len);
/* Sets the mark below which a waiting receive is not woken; true: waiting first is worth it. */
bool io_sys_lowat(struct io_op *op, int fd, size_t least);
/* Tries an operation on a descriptor: its result, or -EAGAIN if it would block.  A connect keeps its descriptor in fd,
 * the length of the address in u2 and in u1 that the kernel was asked; if it fails the descriptor is closed. */
int io_sys_try(struct io_op *op);

/* 0 or -errno, not logged. */
int io_uring_new(struct io **out);
int io_epoll_new(struct io **out);

#endif
