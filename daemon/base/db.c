// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * db.c - one SQLite database on one thread.
 *
 * The queue (mutex) is the way in, the list of ended jobs and an eventfd the way out; the
 * connection, its statements and the transaction are the database thread's alone.  Jobs that
 * wait together share one transaction, each inside a savepoint of its own, so one failing job
 * rolls back itself only and a burst costs one fsync.  Results are given out after COMMIT: a
 * job that "succeeded" in a transaction that did not commit has failed.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/db.h"
#include "base/db_impl.h"
#include "base/log.h"
#include "base/mem.h"

#define GROUP_MAX	512	/* jobs in one transaction */

struct db_jobs { struct db_job *head, **tail; };

struct db {
	struct db_conn	conn;		/* database thread, after db_open() */
	struct io	*io;
	struct io_op	poll;
	int		evfd;
	bool		polling, closing;

	pthread_t	thread;
	pthread_mutex_t	lock;		/* what follows */
	pthread_cond_t	more, ended;
	struct db_jobs	queue, finished;
	bool		stop;
};

static void jobs_init(struct db_jobs *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static void jobs_add(struct db_jobs *l, struct db_job *job)
{
	job->next = NULL;
	*l->tail = job;
	l->tail = &job->next;
}

static struct db_job *jobs_take(struct db_jobs *l)
{
	struct db_job *job = l->head;

	if (!job)
		return NULL;
	l->head = job->next;
	if (!l->head)
		l->tail = &l->head;
	return job;
}

/* ---- database thread ---- */

/* Runs one job in its savepoint. False: SQLite has thrown the whole transaction away. */
static bool run_one(struct db_conn *c, struct db_job *job)
{
	int err = db_conn_exec(c, "SAVEPOINT job");

	job->res = err ? err : job->fn(c->sq, job);
	db_conn_reset(c);
	if (sqlite3_get_autocommit(c->sq)) {
		if (job->res >= 0)
			job->res = -EIO;
		return false;
	}
	if (err)
		return true;
	if (job->res < 0)
		db_conn_exec(c, "ROLLBACK TO job");
	err = db_conn_exec(c, "RELEASE job");
	if (err && job->res >= 0)
		job->res = err;
	return !sqlite3_get_autocommit(c->sq);
}

static void fail_from(struct db_job *first, const struct db_job *end, int err)
{
	for (; first != end; first = first->next)
		if (first->res >= 0)
			first->res = err;
}

/* One transaction over the chain; every job has its result afterwards. */
static void run_group(struct db_conn *c, struct db_job *chain)
{
	struct db_job *job, *first = chain;
	int err = db_conn_exec(c, "BEGIN IMMEDIATE");

	for (job = chain; job; job = job->next) {
		job->res = 0;
		if (err) {
			job->res = err;
			continue;
		}
		if (run_one(c, job))
			continue;
		/* Those before it are gone with the transaction; the rest gets a new one. */
		fail_from(first, job, job->res);
		first = job->next;
		err = db_conn_exec(c, "BEGIN IMMEDIATE");
	}
	if (err)
		return;
	err = db_conn_exec(c, "COMMIT");
	if (!err)
		return;
	log_err("event=db_commit_failed db=%s error=%d note=\"%s\"", c->path, err, sqlite3_errmsg(c->sq));
	if (!sqlite3_get_autocommit(c->sq))
		db_conn_exec(c, "ROLLBACK");
	fail_from(first, NULL, err);
}

/* Hands the results out; wakes the loop once for the whole group. */
static void finish_group(struct db *db, struct db_job *chain)
{
	struct db_job *job, *next, *unwanted = NULL;
	bool wake = false, woken = false;
	u64 one = 1;

	pthread_mutex_lock(&db->lock);
	for (job = chain; job; job = next) {
		next = job->next;
		if (job->waited) {
			job->waited = false;
			woken = true;
		} else if (job->done) {
			jobs_add(&db->finished, job);
			wake = true;
		} else if (job->free_fn) {
			job->next = unwanted;
			unwanted = job;
		}
	}
	if (woken)
		pthread_cond_broadcast(&db->ended);
	pthread_mutex_unlock(&db->lock);
	if (wake && write(db->evfd, &one, sizeof(one)) < 0)
		log_err("event=db_wake_failed db=%s error=%d", db->conn.path, errno);
	for (; unwanted; unwanted = next) {
		next = unwanted->next;
		unwanted->free_fn(unwanted);
	}
}

static void *db_thread(void *arg)
{
	struct db *db = arg;
	struct db_jobs group;
	unsigned int n;

	pthread_mutex_lock(&db->lock);
	for (;;) {
		while (!db->queue.head && !db->stop)
			pthread_cond_wait(&db->more, &db->lock);
		if (!db->queue.head)
			break;
		jobs_init(&group);
		for (n = 0; n < GROUP_MAX && db->queue.head; n++)
			jobs_add(&group, jobs_take(&db->queue));
		pthread_mutex_unlock(&db->lock);
		run_group(&db->conn, group.head);
		finish_group(db, group.head);
		pthread_mutex_lock(&db->lock);
	}
	pthread_mutex_unlock(&db->lock);
	return NULL;
}

/* ---- loop thread ---- */

static void deliver(struct db *db)
{
	struct db_jobs now;
	struct db_job *job;

	pthread_mutex_lock(&db->lock);
	now = db->finished;
	if (!now.head)
		now.tail = &now.head;
	jobs_init(&db->finished);
	pthread_mutex_unlock(&db->lock);
	while ((job = jobs_take(&now)))
		job->done(job, job->res);
}

static void free_db(struct db *db)
{
	close(db->evfd);
	pthread_cond_destroy(&db->more);
	pthread_cond_destroy(&db->ended);
	pthread_mutex_destroy(&db->lock);
	free(db);
}

static void poll_done(struct io_op *op, int res)
{
	struct db *db = container_of(op, struct db, poll);
	u64 count;

	db->polling = false;
	if (db->closing) {
		free_db(db);
		return;
	}
	if (res < 0) {
		log_err("event=db_poll_failed db=%s error=%d", db->conn.path, res);
		return;
	}
	if (read(db->evfd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_err("event=db_poll_failed db=%s error=%d", db->conn.path, errno);
	db->polling = true;
	db->io->ops->poll_in(db->io, &db->poll, db->evfd);
	deliver(db);		/* last: a callback may close the database */
}

void db_queue(struct db *db, struct db_job *job)
{
	pthread_mutex_lock(&db->lock);
	jobs_add(&db->queue, job);
	pthread_cond_signal(&db->more);
	pthread_mutex_unlock(&db->lock);
}

int db_call(struct db *db, struct db_job *job)
{
	pthread_mutex_lock(&db->lock);
	job->waited = true;
	jobs_add(&db->queue, job);
	pthread_cond_signal(&db->more);
	while (job->waited)
		pthread_cond_wait(&db->ended, &db->lock);
	pthread_mutex_unlock(&db->lock);
	return job->res;
}

/* Signals belong to the loop thread. */
static int start_thread(struct db *db)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&db->thread, NULL, db_thread, db);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!err)
		pthread_setname_np(db->thread, "db");
	return -err;
}

int db_open(struct io *io, const char *path, enum db_sync sync, const char *schema, int version, struct db **out)
{
	struct db *db = xcalloc(1, sizeof(*db));
	int err;

	err = db_conn_open(&db->conn, path, sync == DB_FULL, schema, version);
	if (err) {
		free(db);
		return err;
	}
	db->io = io;
	db->poll.done = poll_done;
	jobs_init(&db->queue);
	jobs_init(&db->finished);
	pthread_mutex_init(&db->lock, NULL);
	pthread_cond_init(&db->more, NULL);
	pthread_cond_init(&db->ended, NULL);
	db->evfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = db->evfd < 0 ? -errno : start_thread(db);
	if (err) {
		log_err("event=db_open_failed db=%s error=%d", path, err);
		db_conn_close(&db->conn, false);
		free_db(db);
		return err;
	}
	db->polling = true;
	io->ops->poll_in(io, &db->poll, db->evfd);
	*out = db;
	return 0;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	pthread_mutex_lock(&db->lock);
	db->stop = true;
	pthread_cond_signal(&db->more);
	pthread_mutex_unlock(&db->lock);
	pthread_join(db->thread, NULL);
	db_conn_close(&db->conn, true);
	db->closing = true;
	deliver(db);
	if (db->polling)
		db->io->ops->cancel(db->io, &db->poll);	/* its end frees the rest */
	else
		free_db(db);
}
