// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * io_pool.c - bounded worker threads for what must block.
 *
 * Each pool has its own queue and at most POOL_THREADS threads (one that was added: one),
 * started when there is work and none idle, so one hung mount can use up its own pool only.
 * One mutex guards queues and
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
#define POOLS_MAX	512		/* the fixed ones, and one a database */
#define JOIN_SEC	2

enum { JOB_QUEUED, JOB_RUNNING, JOB_FINISHED };

struct pool {
	struct io_pools	*all;
	pthread_cond_t	more;
	struct io_list	queue;
	unsigned int	threads, limit, idle, queued;
	pthread_t	tid[POOL_THREADS];
	const char	*name;
	bool		stop;
};

struct io_pools {
	pthread_mutex_t	lock;
	pthread_cond_t	ended;
	struct pool	*pool[POOLS_MAX];
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
		while (!p->stop && !q->stop && !q->queue.head) {
			q->idle++;
			pthread_cond_wait(&q->more, &p->lock);
			q->idle--;
		}
		if (p->stop || q->stop)
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
		pthread_cond_broadcast(&p->ended);
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

static struct pool *pool_new(struct io_pools *p, const char *name, unsigned int limit)
{
	struct pool *q = xcalloc(1, sizeof(*q));

	q->all = p;
	q->name = name;
	q->limit = limit;
	pthread_cond_init(&q->more, NULL);
	return q;
}

static void pool_delete(struct pool *q)
{
	pthread_cond_destroy(&q->more);
	free(q);
}

struct io_pools *io_pools_new(void (*notify)(void *arg), void *arg)
{
	static const char *const names[IO_POOLS_ALL] = { "lower", "origin", "misc", "files" };
	struct io_pools *p = xcalloc(1, sizeof(*p));
	int i;

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->ended, NULL);
	p->notify = notify;
	p->arg = arg;
	for (i = 0; i < IO_POOLS_ALL; i++)
		p->pool[i] = pool_new(p, names[i], POOL_THREADS);
	return p;
}

int io_pools_add(struct io_pools *p, const char *name)
{
	int i;

	for (i = IO_POOLS_ALL; i < POOLS_MAX; i++) {
		if (p->pool[i])
			continue;
		p->pool[i] = pool_new(p, name, 1);
		return i;
	}
	return -ENFILE;
}

void io_pools_join(struct io_pools *p, struct io_op *op)
{
	pthread_mutex_lock(&p->lock);
	while (op->u1 != JOB_FINISHED)
		pthread_cond_wait(&p->ended, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void io_pools_queue(struct io_pools *p, struct io_op *op, int pool, int (*fn)(void *), void *arg)
{
	struct pool *q = p->pool[pool];
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
	else if (q->threads < q->limit)
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
		io_list_del(&p->pool[op->pool]->queue, op);
		p->pool[op->pool]->queued--;
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

/* Its thread is idle, or about to be. */
void io_pools_del(struct io_pools *p, int pool)
{
	struct pool *q = p->pool[pool];

	pthread_mutex_lock(&p->lock);
	q->stop = true;
	pthread_cond_broadcast(&q->more);
	pthread_mutex_unlock(&p->lock);
	while (q->threads)
		pthread_join(q->tid[--q->threads], NULL);
	p->pool[pool] = NULL;
	pool_delete(q);
}

void io_pools_free(struct io_pools *p)
{
	struct timespec until;
	bool all = true;
	int i;

	pthread_mutex_lock(&p->lock);
	p->stop = true;
	for (i = 0; i < POOLS_MAX; i++)
		if (p->pool[i])
			pthread_cond_broadcast(&p->pool[i]->more);
	pthread_mutex_unlock(&p->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += JOIN_SEC;
	for (i = 0; i < POOLS_MAX; i++)
		if (p->pool[i])
			all &= join_all(p->pool[i], &until);
	if (!all) {
		log_warn("event=worker_hung note=\"a job did not end; its thread is left to the end of the process\"");
		return;
	}
	for (i = 0; i < POOLS_MAX; i++)
		if (p->pool[i])
			pool_delete(p->pool[i]);
	pthread_cond_destroy(&p->ended);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
