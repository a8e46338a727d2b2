// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * io_sim.c - the I/O table of one simulated node.
 *
 * What is started becomes an event; its done() is called from that event and never from the
 * call that started it.  Workers are turns in the same thread: a job waits for a free worker of
 * its pool, runs whole at one instant, and comes back at a later one, so whatever can happen
 * between the two in a real daemon happens here.
 */
#include <poll.h>
#include <stdio.h>

#include "sim.h"

#define WORKERS		4

struct pend { struct list link; struct event ev; struct node *n; struct io_op *op; int res; };
struct pwait { struct list link; struct node *n; struct io_op *op; int fd; bool told; };
struct spool { unsigned int limit, busy; struct list queue; };
struct job {
	struct list	link;		/* of the queue, or of the node's running ones (pending) */
	struct event	ev;
	struct node	*n;
	struct spool	*pool;
	struct io_op	*op;
	int		(*fn)(void *arg);
	void		*arg;
	int		res;
	bool		ran, started;
};
struct tm { struct list link; struct event ev; struct node *n; struct io_op *op; };

struct node nodes[NODES];
struct node *running;

static struct node *node_of(struct io *io)
{
	return container_of(io, struct node, io);
}

static void end_op(struct node *n, struct io_op *op, int res)
{
	struct node *before = running;

	running = n;
	n->ops--;
	note("n%d end kind=%d res=%d", n->id, op->kind, res < VFD ? res : VFD);
	io_end(op, res);
	running = before;
}

static void begin_op(struct node *n, struct io_op *op, enum io_kind kind)
{
	io_begin(op, kind);
	op->p1 = NULL;
	n->ops++;
}

static void pend_due(struct event *e)
{
	struct pend *p = container_of(e, struct pend, ev);
	struct node *n = p->n;
	struct io_op *op = p->op;
	int res = p->res;

	list_del(&p->link);
	free(p);
	end_op(n, op, res);
}

void io_sim_finish(struct node *n, struct io_op *op, int res, u64 delay)
{
	struct pend *p = xcalloc(1, sizeof(*p));

	op->kind = IO_K_READY;
	p->n = n;
	p->op = op;
	p->res = res;
	list_add_tail(&n->pending, &p->link);
	event_at(&p->ev, sim_now + delay, pend_due);
}

/* ---- clocks ---- */

static u64 sim_now_ns(struct io *io)
{
	return sim_now;
}

static u64 sim_real_ns(struct io *io)
{
	return now_real();
}

static void sim_random(struct io *io, void *buf, size_t len)
{
	for (u8 *p = buf; len--; p++)
		*p = rnd() >> 24;
}

/* ---- timers ---- */

static void timer_due(struct event *e)
{
	struct tm *t = container_of(e, struct tm, ev);
	struct node *n = t->n;
	struct io_op *op = t->op;

	list_del(&t->link);
	free(t);
	end_op(n, op, 0);
}

static void sim_timer(struct io *io, struct io_op *op, u64 deadline_ns)
{
	struct node *n = node_of(io);
	struct tm *t = xcalloc(1, sizeof(*t));

	begin_op(n, op, IO_K_TIMER);
	op->p1 = t;
	t->n = n;
	t->op = op;
	list_add_tail(&n->pending, &t->link);
	event_at(&t->ev, deadline_ns ? deadline_ns + below(50000) : sim_now, timer_due);
}

/* ---- workers ---- */

static void pool_run(struct spool *p);

static void job_back(struct event *e)
{
	struct job *j = container_of(e, struct job, ev);
	struct node *n = j->n;
	struct io_op *op = j->op;
	struct spool *p = j->pool;
	int res = j->res;

	list_del(&j->link);
	free(j);
	p->busy--;
	pool_run(p);
	end_op(n, op, res);
}

static void job_run(struct job *j)
{
	struct node *before = running;

	running = j->n;
	j->ran = true;
	j->res = j->fn(j->arg);
	note("n%d job res=%d", j->n->id, j->res);
	running = before;
}

static void job_turn(struct event *e)
{
	struct job *j = container_of(e, struct job, ev);

	if (!j->ran)
		job_run(j);
	event_at(&j->ev, sim_now + between(2000, 200000), job_back);
}

static void pool_run(struct spool *p)
{
	while (p->busy < p->limit && !list_empty(&p->queue)) {
		struct job *j = list_first(&p->queue, struct job, link);

		list_del(&j->link);
		list_add_tail(&j->n->pending, &j->link);
		j->started = true;
		p->busy++;
		event_at(&j->ev, sim_now + disk_delay(j->n->id), job_turn);
	}
}

static void sim_work(struct io *io, struct io_op *op, int pool, int (*fn)(void *arg), void *arg)
{
	struct node *n = node_of(io);
	struct job *j = xcalloc(1, sizeof(*j));

	begin_op(n, op, IO_K_WORK);
	op->p1 = j;
	j->n = n;
	j->pool = n->pools[pool];
	j->op = op;
	j->fn = fn;
	j->arg = arg;
	list_add_tail(&j->pool->queue, &j->link);
	pool_run(j->pool);
}

static void sim_join(struct io *io, struct io_op *op)
{
	struct job *j = op->p1;

	if (op->busy && op->kind == IO_K_WORK && !j->ran)
		job_run(j);
}

static struct spool *spool_new(unsigned int limit)
{
	struct spool *p = xcalloc(1, sizeof(*p));

	p->limit = limit;
	list_init(&p->queue);
	return p;
}

static int sim_pool_new(struct io *io, const char *name)
{
	struct node *n = node_of(io);

	for (int i = IO_POOLS; i < (int)ARRAY_SIZE(n->pools); i++) {
		if (n->pools[i])
			continue;
		n->pools[i] = spool_new(1);
		return i;
	}
	return -ENFILE;
}

static void sim_pool_free(struct io *io, int pool)
{
	struct node *n = node_of(io);

	if (n->pools[pool]->busy || !list_empty(&n->pools[pool]->queue))
		violated("node %d frees a pool that has work", n->id);
	free(n->pools[pool]);
	n->pools[pool] = NULL;
}

/* ---- files and descriptors ---- */

static int read_job(void *arg)
{
	struct io_op *op = arg;
	ssize_t r = pread(op->fd, op->p2, op->u2, op->u3);

	return r < 0 ? -errno : (int)r;
}

static int write_job(void *arg)
{
	struct io_op *op = arg;
	ssize_t r = pwrite(op->fd, op->p2, op->u2, op->u3);

	return r < 0 ? -errno : (int)r;
}

static void sim_rw(struct io *io, struct io_op *op, int (*fn)(void *), int fd, void *buf, size_t len, u64 off)
{
	op->fd = fd;
	op->p2 = buf;
	op->u2 = len;
	op->u3 = off;
	sim_work(io, op, IO_POOL_MISC, fn, op);
}

static void sim_read(struct io *io, struct io_op *op, int fd, void *buf, size_t len, u64 off)
{
	sim_rw(io, op, read_job, fd, buf, len, off);
}

static void sim_write(struct io *io, struct io_op *op, int fd, const void *buf, size_t len, u64 off)
{
	sim_rw(io, op, write_job, fd, (void *)buf, len, off);
}

static void poll_look(struct pwait *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };
	struct node *n = w->n;
	struct io_op *op = w->op;

	if (poll(&p, 1, 0) <= 0)
		return;
	list_del(&w->link);
	free(w);
	io_sim_finish(n, op, 0, between(0, 20 * MSEC));
}

static void sim_poll_in(struct io *io, struct io_op *op, int fd)
{
	struct node *n = node_of(io);
	struct pwait *w = xcalloc(1, sizeof(*w));

	begin_op(n, op, IO_K_POLL);
	op->p1 = w;
	w->n = n;
	w->op = op;
	w->fd = fd;
	list_add_tail(&n->polls, &w->link);
	poll_look(w);
}

void io_sim_polls(void)
{
	struct list *p, *t;

	for (int i = 0; i < NODES; i++)
		if (nodes[i].up)
			list_for_each_safe(p, t, &nodes[i].polls)
				poll_look(container_of(p, struct pwait, link));
}

static void sim_close(struct io *io, int fd)
{
	struct node *n = node_of(io);
	struct list *p, *t;

	if (fd < 0)
		return;
	if (fd >= VFD) {
		net_close(n, fd);
		return;
	}
	list_for_each_safe(p, t, &n->polls) {
		struct pwait *w = container_of(p, struct pwait, link);

		if (w->fd != fd)
			continue;
		list_del(&w->link);
		io_sim_finish(n, w->op, -ECANCELED, 0);
		free(w);
	}
	close(fd);
}

/* ---- sockets: net.c, but for the frame ---- */

static int sim_listen(struct io *io, const struct sockaddr *addr, socklen_t len)
{
	return net_listen(node_of(io), addr);
}

static void sim_accept(struct io *io, struct io_op *op, int fd)
{
	begin_op(node_of(io), op, IO_K_ACCEPT);
	net_accept(node_of(io), op, fd);
}

static void sim_connect(struct io *io, struct io_op *op, const struct sockaddr *addr, socklen_t len)
{
	begin_op(node_of(io), op, IO_K_CONNECT);
	net_connect(node_of(io), op, addr);
}

static void sim_send(struct io *io, struct io_op *op, int fd, const struct iovec *iov, int nv)
{
	struct node *n = node_of(io);
	int err;

	begin_op(n, op, IO_K_SEND);
	err = io_send_prep(op, fd, iov, nv);
	if (err || !op->msg.msg_iovlen)
		io_sim_finish(n, op, err, 0);
	else
		net_send(n, op, fd);
}

static void sim_send_last(struct io *io, int fd, const void *buf, size_t len)
{
	net_send_last(node_of(io), fd, buf, len);
}

static void sim_recv(struct io *io, struct io_op *op, int fd, void *buf, size_t len, size_t least)
{
	begin_op(node_of(io), op, IO_K_RECV);
	net_recv(node_of(io), op, fd, buf, len, least);
}

/* ---- cancel, step, end ---- */

static bool take_back(struct node *n, struct io_op *op)
{
	struct tm *t = op->p1;
	struct job *j = op->p1;
	struct pwait *w = op->p1;

	switch (op->kind) {
	case IO_K_TIMER:
		event_cancel(&t->ev);
		list_del(&t->link);
		free(t);
		return true;
	case IO_K_WORK:
		if (j->started)
			return false;
		list_del(&j->link);
		free(j);
		return true;
	case IO_K_POLL:
		list_del(&w->link);
		free(w);
		return true;
	default:
		return net_cancel(n, op);
	}
}

static void sim_cancel(struct io *io, struct io_op *op)
{
	struct node *n = node_of(io);

	if (op->busy && op->kind != IO_K_NONE && op->kind != IO_K_READY && take_back(n, op))
		io_sim_finish(n, op, -ECANCELED, 0);
}

static int sim_step(struct io *io)
{
	return world_step() ? 0 : -EDEADLK;
}

static void sim_wake(struct io *io)
{
}

/* Whatever is still in flight of a node is dropped: a leak, which the check of the end names. */
static void sim_destroy(struct io *io)
{
	struct node *n = node_of(io);

	net_down(n);
	if (n->ops)
		violated("node %d ends with %u operations in flight", n->id, n->ops);
	for (size_t i = 0; i < ARRAY_SIZE(n->pools); i++) {
		free(n->pools[i]);
		n->pools[i] = NULL;
	}
	n->up = false;
}

static const struct io_ops sim_ops = {
	.name = "simulated",
	.now_ns = sim_now_ns, .real_ns = sim_real_ns, .stamp_ns = sim_real_ns, .random = sim_random,
	.listen = sim_listen, .accept = sim_accept, .connect = sim_connect,
	.send = sim_send, .send_last = sim_send_last, .recv = sim_recv, .read = sim_read, .write = sim_write,
	.poll_in = sim_poll_in, .close = sim_close, .timer = sim_timer, .work = sim_work,
	.join = sim_join, .pool_new = sim_pool_new, .pool_free = sim_pool_free,
	.cancel = sim_cancel, .step = sim_step, .wake = sim_wake, .destroy = sim_destroy,
};

struct io *io_sim_open(int id)
{
	struct node *n = &nodes[id];

	memset(n, 0, sizeof(*n));
	n->io.ops = &sim_ops;
	n->id = id;
	n->up = true;
	list_init(&n->pending);
	list_init(&n->polls);
	for (int i = 0; i < IO_POOLS; i++)
		n->pools[i] = spool_new(WORKERS);
	return &n->io;
}
