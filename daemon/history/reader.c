// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * reader.c - a question to a log that is open.  It is answered on the database's thread in
 * slices, between which batches are written, so reading never holds up recording for long.
 */
#include "history/impl.h"

struct read_job {
	struct db_job	job;
	struct history	*h;
	unsigned int	file;
	struct hist_read *r;
	history_rows_fn	*fn;
	void		*arg;
};

static int db_read(sqlite3 *sq, struct db_job *job)
{
	return hist_read_slice(sq, container_of(job, struct read_job, job)->r);
}

static void answer(struct read_job *j, int err)
{
	struct history_result res = { .err = err };

	if (!err)
		hist_read_result(j->r, &res);
	j->fn(j->arg, &res);
	hist_read_free(j->r);
	free(j);
}

static void read_done(struct db_job *job, int res)
{
	struct read_job *j = container_of(job, struct read_job, job);
	struct history *h = j->h;

	if (res > 0 && !h->closing && h->db && j->file == h->file) {
		db_queue(h->db, &j->job);
		return;
	}
	answer(j, res > 0 ? -ECANCELED : res);
	store_judge(h, res);
}

void history_read(struct history *h, const struct history_query *q, history_rows_fn *fn, void *arg)
{
	struct read_job *j = xcalloc(1, sizeof(*j));

	j->h = h;
	j->file = h->file;
	j->r = hist_read_new(q);
	j->fn = fn;
	j->arg = arg;
	j->job.fn = db_read;
	j->job.done = read_done;
	if (!h->db) {
		answer(j, -ENODEV);
		return;
	}
	history_flush(h);
	db_queue(h->db, &j->job);
}
