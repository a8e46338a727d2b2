// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * db.c - one SQLite database on a worker of its own.
 *
 * Jobs gather in a queue; all that wait go to the worker together, as one transaction, each
 * inside a savepoint of its own, so one failing job rolls back itself only and a burst costs
 * one fsync.  Results are given out after COMMIT: a job that "succeeded" in a transaction that
 * did not commit has failed.  The connection is the worker's while a group is with it, and the
 * loop thread's otherwise, so nothing here needs a lock.
 */
#include <sys/resource.h>
#include <unistd.h>

#include "base/db.h"
#include "base/db_impl.h"
#include "base/log.h"
#include "base/mem.h"

#define GROUP_MAX	512	/* jobs in one transaction */
#define LOG_NICE	10	/* nobody waits for a droppable log */

struct db_jobs { struct db_job *head, **tail; };

struct db {
	struct db_conn	conn;
	struct io	*io;
	struct io_op	op;		/* of the group, or a tick that delivers */
	int		pool;
	struct db_jobs	queue, group, finished;
	bool		closing, log;
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

/* ---- worker ---- */

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
	int err;

	db_conn_room(c);
	err = db_conn_exec(c, "BEGIN IMMEDIATE");
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

/* The worker of a log yields to whoever reads: what it does can wait for an idle moment. */
static void yield_to_all(void)
{
	static __thread bool done;

	if (!done && gettid() != getpid())
		setpriority(PRIO_PROCESS, gettid(), LOG_NICE);
	done = true;
}

static int group_work(void *arg)
{
	struct db *db = arg;

	if (db->log)
		yield_to_all();
	run_group(&db->conn, db->group.head);
	return 0;
}

/* ---- loop thread ---- */

static void take_group(struct db *db)
{
	unsigned int n;

	for (n = 0; n < GROUP_MAX && db->queue.head; n++)
		jobs_add(&db->group, jobs_take(&db->queue));
}

/* The group has run: sorts its jobs. */
static void end_group(struct db *db)
{
	struct db_job *job;

	while ((job = jobs_take(&db->group))) {
		if (job->waited)
			job->waited = false;
		else if (job->done)
			jobs_add(&db->finished, job);
		else if (job->free_fn)
			job->free_fn(job);
	}
}

static void deliver(struct db *db)
{
	struct db_jobs now = db->finished;
	struct db_job *job;

	if (!now.head)
		return;
	jobs_init(&db->finished);
	while ((job = jobs_take(&now)))
		job->done(job, job->res);
}

static void free_db(struct db *db)
{
	db->io->ops->pool_free(db->io, db->pool);
	free(db);
}

static void start(struct db *db)
{
	if (db->op.busy || !db->queue.head)
		return;
	take_group(db);
	db->io->ops->work(db->io, &db->op, db->pool, group_work, db);
}

static void op_done(struct io_op *op, int res)
{
	struct db *db = container_of(op, struct db, op);
	struct db_job *job;

	if (db->closing) {
		free_db(db);
		return;
	}
	if (res < 0) {		/* no worker could be had */
		log_err("event=db_worker_failed db=%s error=%d", db->conn.path, res);
		for (job = db->group.head; job; job = job->next)
			job->res = res;
	}
	end_group(db);
	start(db);
	deliver(db);		/* last: a callback may close the database */
}

void db_ballast(struct db *db, u64 bytes)
{
	db->conn.ballast = bytes;
}

void db_queue(struct db *db, struct db_job *job)
{
	jobs_add(&db->queue, job);
	start(db);
}

/* What is with the worker or waits for it is done when this returns, here if need be. */
static void run_all(struct db *db)
{
	if (db->op.busy && db->group.head)
		db->io->ops->join(db->io, &db->op);
	end_group(db);
	while (db->queue.head) {
		take_group(db);
		run_group(&db->conn, db->group.head);
		end_group(db);
	}
}

int db_call(struct db *db, struct db_job *job)
{
	job->waited = true;
	jobs_add(&db->queue, job);
	run_all(db);
	if (db->finished.head && !db->op.busy)
		db->io->ops->timer(db->io, &db->op, 0);
	return job->res;
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
	db->pool = io->ops->pool_new(io, "db");
	if (db->pool < 0) {
		err = db->pool;
		log_err("event=db_open_failed db=%s error=%d note=\"too many databases\"", path, err);
		db_conn_close(&db->conn, false);
		free(db);
		return err;
	}
	db->io = io;
	db->log = sync == DB_NORMAL;
	db->op.done = op_done;
	jobs_init(&db->queue);
	jobs_init(&db->group);
	jobs_init(&db->finished);
	*out = db;
	return 0;
}

void db_drain(struct db *db)
{
	run_all(db);
	deliver(db);
}

void db_close(struct db *db)
{
	if (!db)
		return;
	db->closing = true;
	run_all(db);
	db_conn_close(&db->conn, true);
	deliver(db);
	if (!db->op.busy)
		free_db(db);	/* else when it comes back */
}
