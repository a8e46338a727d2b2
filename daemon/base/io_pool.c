// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * io_pool.c - bounded worker threads for what must block.
 *
 * Each pool has its own queue and at most POOL_THREADS threads, started when there is work
 * and none idle, so one hung mount can use up its own pool only.  One mutex guards queues and
 * the list of finished jobs; jobs run outside it.  Queueing, cancelling and reaping are the
 * loop thread's; a worker touches an operation only between taking and finishing it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "base/io_impl.h"
#include "base/log.h"

#define POOL_THREADS	4
#define JOIN_SEC	2

enum { JOB_QUEUED, JOB_RUNNING, JOB_FINISHED };

struct pool {
	struct io_pools	*all;
	pthread_cond_t	more;
	struct io_list	queue;
	unsigned int	threads, idle, queued;
	pthread_t	tid[POOL_THREADS];
	const char	*name;
};

struct io_pools {
	pthread_mutex_t	lock;
	struct pool	pool[IO_POOLS_ALL];
	struct io_list	finished;
	void		(*notify)(void *arg);
	void		*arg;
	bool		stop;
};

static int run_job(struct io_op *op)
{
	int (*fn)(void *) = (int (*)(void *))op->p1;

	return fn(op->p2);
}

static void *worker(void *arg)
{
	struct pool *q = arg;
	struct io_pools *p = q->all;
	struct io_op *op;
	bool first;
	int res;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!p->stop && !q->queue.head) {
			q->idle++;
			pthread_cond_wait(&q->more, &p->lock);
			q->idle--;
		}
		if (p->stop)
			break;
		op = q->queue.head;
		io_list_del(&q->queue, op);
		q->queued--;
		op->u1 = JOB_RUNNING;
		pthread_mutex_unlock(&p->lock);
		res = run_job(op);
		pthread_mutex_lock(&p->lock);
		op->u1 = JOB_FINISHED;
		op->u3 = (u64)(s64)res;
		first = !p->finished.head;
		io_list_add(&p->finished, op);
		if (first && !p->stop)
			p->notify(p->arg);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals stay with the loop thread. */
static int start_thread(struct pool *q)
{
	sigset_t all, old;
	char name[16];
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&q->tid[q->threads], NULL, worker, q);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	snprintf(name, sizeof(name), "%s-%u", q->name, q->threads);
	pthread_setname_np(q->tid[q->threads], name);
	q->threads++;
	return 0;
}

struct io_pools *io_pools_new(void (*notify)(void *arg), void *arg)
{
	static const char *const names[IO_POOLS_ALL] = { "lower", "origin", "misc", "files" };
	struct io_pools *p = xcalloc(1, sizeof(*p));
	int i;

	pthread_mutex_init(&p->lock, NULL);
	p->notify = notify;
	p->arg = arg;
	for (i = 0; i < IO_POOLS_ALL; i++) {
		p->pool[i].all = p;
		p->pool[i].name = names[i];
		pthread_cond_init(&p->pool[i].more, NULL);
	}
	return p;
}

void io_pools_queue(struct io_pools *p, struct io_op *op, int pool, int (*fn)(void *), void *arg)
{
	struct pool *q = &p->pool[pool];
	int err = 0;

	op->pool = pool;
	op->p1 = (void *)fn;
	op->p2 = arg;
	op->u1 = JOB_QUEUED;
	pthread_mutex_lock(&p->lock);
	io_list_add(&q->queue, op);
	/* A signalled thread counts as idle until it runs, hence the comparison. */
	if (++q->queued <= q->idle)
		pthread_cond_signal(&q->more);
	else if (q->threads < POOL_THREADS)
		err = start_thread(q);
	/* With one thread alive the job only waits longer; with none it would wait for ever. */
	if (err && !q->threads) {
		io_list_del(&q->queue, op);
		q->queued--;
		op->u1 = JOB_FINISHED;
		op->u3 = (u64)(s64)err;
		io_list_add(&p->finished, op);
		p->notify(p->arg);
	}
	pthread_mutex_unlock(&p->lock);
	if (err)
		log_warn("event=thread_failed pool=%s error=%d", q->name, err);
}

bool io_pools_cancel(struct io_pools *p, struct io_op *op)
{
	bool taken;

	pthread_mutex_lock(&p->lock);
	taken = op->u1 == JOB_QUEUED;
	if (taken) {
		io_list_del(&p->pool[op->pool].queue, op);
		p->pool[op->pool].queued--;
	}
	pthread_mutex_unlock(&p->lock);
	return taken;
}

void io_pools_reap(struct io_pools *p, struct io_list *ready)
{
	struct io_op *op;

	pthread_mutex_lock(&p->lock);
	while ((op = p->finished.head)) {
		io_list_del(&p->finished, op);
		op->kind = IO_K_READY;
		io_list_add(ready, op);
	}
	pthread_mutex_unlock(&p->lock);
}

static bool join_all(struct pool *q, const struct timespec *until)
{
	bool all = true;

	while (q->threads) {
		q->threads--;
		if (!pthread_timedjoin_np(q->tid[q->threads], NULL, until))
			continue;
		pthread_detach(q->tid[q->threads]);
		all = false;
	}
	return all;
}

void io_pools_free(struct io_pools *p)
{
	struct timespec until;
	bool all = true;
	int i;

	pthread_mutex_lock(&p->lock);
	p->stop = true;
	for (i = 0; i < IO_POOLS_ALL; i++)
		pthread_cond_broadcast(&p->pool[i].more);
	pthread_mutex_unlock(&p->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += JOIN_SEC;
	for (i = 0; i < IO_POOLS_ALL; i++)
		all &= join_all(&p->pool[i], &until);
	if (!all) {
		log_warn("event=worker_hung note=\"a job did not end; its thread is left to the end of the process\"");
		return;
	}
	for (i = 0; i < IO_POOLS_ALL; i++)
		pthread_cond_destroy(&p->pool[i].more);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
