// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * writer.c - access records into segments: gathered on the loop thread, encoded and written in
 * one job per batch on the database's thread.  No secondary index (it costs 20 times the
 * insert).
 *
 * Rows gather in the tail.  When it is full it is written as one segment.  Before that, once a
 * second, what is new in it is written as a short segment, so that little is lost with the
 * power; the full one later takes the place of the short ones.  A database that cannot keep up
 * is not waited for: beyond QUEUE_MAX batches rows are dropped and counted.
 */
#include "base/log.h"
#include "history/impl.h"

#define QUEUE_MAX	256			/* batches, 20 MiB: 2.5 s of 100,000 rows a second */
#define WARN_NS		(60ull * 1000000000)

/* ---- database thread ---- */

/* The short segments that this one takes in. */
static int db_replace(sqlite3 *sq, s64 first, struct hist_count *c)
{
	sqlite3_stmt *st = db_stmt(sq, "SELECT ifnull(sum(n), 0), count(*) FROM segment WHERE id >= ?1");

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, first);
	if (sqlite3_step(st) != SQLITE_ROW)
		return -EIO;
	c->rows -= sqlite3_column_int64(st, 0);
	c->segments -= sqlite3_column_int64(st, 1);
	sqlite3_reset(st);
	st = db_stmt(sq, "DELETE FROM segment WHERE id >= ?1");
	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, first);
	return db_errno(sqlite3_step(st));
}

static int db_rows(sqlite3 *sq, const struct hist_batch *b, struct hist_count *c)
{
	CLEANUP_FREE u8 *blob = xmalloc(SEG_BYTES_MAX);
	u64 t0 = UINT64_MAX, t1 = 0;
	sqlite3_stmt *st;
	size_t len;
	int err = b->replaces ? db_replace(sq, b->first, c) : 0;

	if (err)
		return err;
	for (size_t i = 0; i < b->n; i++) {
		t0 = min(t0, b->rows[i].time_ns);
		t1 = max(t1, b->rows[i].time_ns);
	}
	len = seg_encode(b->rows, b->n, blob);
	st = db_stmt(sq, "INSERT INTO segment VALUES(?1, ?2, ?3, ?4, ?5)");
	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, b->first);
	sqlite3_bind_int64(st, 2, b->n);
	sqlite3_bind_int64(st, 3, (s64)t0);
	sqlite3_bind_int64(st, 4, (s64)t1);
	sqlite3_bind_blob(st, 5, blob, len, SQLITE_STATIC);
	err = db_errno(sqlite3_step(st));
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);	/* the blob goes */
	c->rows += b->n;
	c->segments++;
	return err;
}

static int db_batch(sqlite3 *sq, struct db_job *job)
{
	struct hist_batch *b = container_of(job, struct hist_batch, job);
	struct hist_count c = b->h->count;
	int err = b->recount ? retain_count(sq, &c) : 0;

	if (!err)
		err = dict_write(sq, b);
	if (!err)
		err = found_write(sq, b);
	if (!err && b->n)
		err = db_rows(sq, b, &c);
	if (!err)
		err = retain_step(sq, &b->h->lim, b->now_ns, b->crowded, &c);
	if (!err)
		b->h->count = b->count = c;
	return err;
}

/* ---- loop thread: batches on their way ---- */

static void batch_free(struct db_job *job)
{
	struct hist_batch *b = container_of(job, struct hist_batch, job);

	for (size_t i = 0; i < b->npaths; i++)
		free(b->paths[i].name);
	free(b->paths);
	free(b->gone);
	free(b->found);
	free(b);
}

static struct hist_batch *batch_new(struct history *h, s64 first, size_t rows)
{
	struct hist_batch *b = xmalloc(sizeof(*b) + rows * sizeof(b->rows[0]));

	memset(b, 0, sizeof(*b));
	b->h = h;
	b->file = h->file;
	b->first = first;
	return b;
}

static void batch_done(struct db_job *job, int res);

static void queue(struct history *h, struct hist_batch *b)
{
	dict_take(h, b);
	found_take(h, b);
	dict_sweep(h, b);
	b->recount = h->recount;
	h->recount = false;
	b->crowded = h->known.live > HIST_PATHS_MAX;
	b->now_ns = h->io->ops->real_ns(h->io);
	b->job.fn = db_batch;
	b->job.done = batch_done;
	b->job.free_fn = batch_free;
	h->queued++;
	db_queue(h->db, &b->job);
}

static void warn_write(struct history *h, const struct hist_batch *b, int err)
{
	u64 now = io_now(h->io);

	if (h->warned_ns && now < h->warned_ns + WARN_NS)
		return;
	h->warned_ns = now;
	log_warn("event=history_write db=%s error=\"%s\" dropped=%llu dropped_in_all=%llu effect=\"accesses are not recorded\" hint=\"%s\"",
		 h->path, strerror(-err), (unsigned long long)b->records, (unsigned long long)history_dropped(&h->st),
		 err == -ENOSPC ? "make room on the cache's filesystem" : "see augur log, section FILES");
}

static void batch_done(struct db_job *job, int res)
{
	struct hist_batch *b = container_of(job, struct hist_batch, job);
	struct history *h = b->h;

	h->queued--;
	if (b->file != h->file) {	/* went aside with the file it was for */
		h->st.dropped_write += b->records;
	} else if (res) {
		h->st.dropped_write += b->records;
		h->recount = true;
		dict_untake(h, b);
		warn_write(h, b, res);
	} else {
		h->st.accepted += b->records;
		store_counted(h, &b->count);
		if ((b->count.more || dict_sweep_due(h)) && !h->closing)
			history_retain(h);
	}
	batch_free(job);
	store_judge(h, res);
}

/* The rows of the tail that are not queued yet, as a batch. */
static struct hist_batch *tail_take(struct history *h)
{
	struct hist_batch *b = h->tail;
	size_t n = b ? b->n - h->written : 0;

	if (b && b->n == SEG_ROWS_MAX) {
		h->tail = NULL;
		b->replaces = h->written;
		h->written = 0;
	} else {
		b = batch_new(h, n ? h->tail->first + (s64)h->written : 0, n);
		if (n)
			memcpy(b->rows, h->tail->rows + h->written, n * sizeof(b->rows[0]));
		b->n = n;
		h->written += n;
	}
	b->records = h->fresh;
	h->fresh = 0;
	return b;
}

/* What is gathered of rows is lost; the names wait: their numbers have been given out. */
static void tail_drop(struct history *h, u64 *counter)
{
	*counter += h->fresh;
	h->fresh = 0;
	h->written = 0;
	free(h->tail);			/* what of it is written stays so */
	h->tail = NULL;
}

void history_flush(struct history *h)
{
	bool full = h->tail && h->tail->n == SEG_ROWS_MAX;

	if (!h->db)
		tail_drop(h, &h->st.dropped_write);
	else if (h->queued < QUEUE_MAX || h->closing) {
		if (full || h->nnews || h->nfound || (h->tail && h->tail->n > h->written))
			queue(h, tail_take(h));
	} else if (full) {
		tail_drop(h, &h->st.dropped_queue);
	}
}

static void flush_due(struct io_op *op, int res)
{
	struct history *h = container_of(op, struct history, flush_op);

	if (h->closing)
		return;
	history_flush(h);
	if (h->fresh || (h->nnews && h->db))	/* the queue was full */
		h->io->ops->timer(h->io, op, io_now(h->io) + HISTORY_FLUSH_NS);
}

void history_retain(struct history *h)
{
	if (!h->queued)
		queue(h, batch_new(h, 0, 0));
}

static struct seg_row *new_row(struct history *h)
{
	if (h->tail && h->tail->n == SEG_ROWS_MAX)
		history_flush(h);
	if (!h->tail)
		h->tail = batch_new(h, h->last_id + 1, SEG_ROWS_MAX);
	if (!h->flush_op.busy) {
		h->flush_op.done = flush_due;
		h->io->ops->timer(h->io, &h->flush_op, io_now(h->io) + HISTORY_FLUSH_NS);
	}
	h->last_id++;
	return &h->tail->rows[h->tail->n++];
}

/* ---- loop thread: records ---- */

static struct hist_open *open_slot(struct history *h, u32 open_id)
{
	return &h->opens[open_id % HIST_OPENS];
}

/* Who: the record after an OPEN, or after a READDIR, of the same CPU. */
static void add_who(struct history *h, u32 slot, const struct augur_event_who *w)
{
	struct hist_batch *b = h->tail;
	s64 i = b ? h->last[slot].row - b->first : -1;
	struct seg_row *r = i >= 0 && i < (s64)b->n ? &b->rows[i] : NULL;
	const struct hist_known *k;
	struct hist_open *o;

	h->last[slot].row = 0;
	if (!r || r->open_id != le32_to_cpu(w->open_id) || r->session != le64_to_cpu(w->session_key)) {
		h->st.dropped_write++;
		return;
	}
	h->fresh++;
	r->pid = le32_to_cpu(w->tgid);
	r->uid = le32_to_cpu(w->uid);
	memcpy(r->comm, w->comm, strnlen((const char *)w->comm, SEG_COMM));
	k = map_get(&h->known, h->last[slot].oid);
	if (k && r->path == k->id)
		found_note(h, r, k);
	if (!r->open_id)
		return;
	o = open_slot(h, r->open_id);
	o->open_id = r->open_id;
	o->session = r->session;
	o->pid = r->pid;
	o->uid = r->uid;
	memcpy(o->comm, r->comm, SEG_COMM);
}

static void add_row(struct history *h, u32 slot, const struct augur_event *e)
{
	struct hist_known *k = dict_get(h, e->oid);
	const struct hist_open *o;
	struct seg_row *r;

	if (k)
		k->last = h->last_id + 1;	/* before a batch is made, which sweeps */
	r = new_row(h);
	h->fresh++;
	memset(r, 0, sizeof(*r));
	r->time_ns = le64_to_cpu(e->time_ns);
	r->session = le64_to_cpu(e->session_key);
	r->off = le64_to_cpu(e->off);
	r->len = le64_to_cpu(e->len);
	r->open_id = le32_to_cpu(e->open_id);
	r->latency_us = le32_to_cpu(e->latency_us);
	r->op = e->op;
	r->flags = e->flags;
	r->path = k ? k->id : 0;
	h->last[slot].row = 0;
	if (e->op == AUGUR_EV_OPEN || e->op == AUGUR_EV_READDIR) {
		h->last[slot].row = h->last_id;
		memcpy(h->last[slot].oid, e->oid, AUGUR_OID_LEN);
	}
	o = open_slot(h, r->open_id);
	if (e->op == AUGUR_EV_OPEN || !r->open_id || o->open_id != r->open_id || o->session != r->session)
		return;
	r->pid = o->pid;
	r->uid = o->uid;
	memcpy(r->comm, o->comm, SEG_COMM);
}

/* What the module says of its ring, and what the numbers say of the way here. */
static void add_losses(struct history *h, u32 slot, u64 seq, u64 dropped, size_t n)
{
	if (seq < h->next_seq[slot])
		h->cpu_dropped[slot] = 0;	/* another mount */
	else if (h->next_seq[slot])
		h->st.dropped_lost += seq - h->next_seq[slot];
	h->next_seq[slot] = seq + n;
	if (dropped > h->cpu_dropped[slot])
		h->st.dropped_ring += dropped - h->cpu_dropped[slot];
	h->cpu_dropped[slot] = dropped;
}

void history_add(struct history *h, u32 cpu, u64 seq, u64 dropped, const struct augur_event *ev, size_t n)
{
	u32 slot = cpu % HIST_CPUS;

	add_losses(h, slot, seq, dropped, n);
	for (size_t i = 0; i < n; i++) {
		if (ev[i].op == AUGUR_EV_WHO)
			add_who(h, slot, (const void *)&ev[i]);
		else if (ev[i].op && ev[i].op <= SEG_OP_MAX)
			add_row(h, slot, &ev[i]);
		else
			h->st.dropped_write++;
	}
}

void history_stats(const struct history *h, struct history_stats *st)
{
	*st = h->st;
	st->paths = h->known.live;
}

u64 history_dropped(const struct history_stats *st)
{
	return st->dropped_ring + st->dropped_lost + st->dropped_queue + st->dropped_write;
}
