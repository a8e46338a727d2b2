// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * found.c - sessions that were found to walk trees: remembered in the file, by their keys, and
 * told to whoever asked.  A key never comes again, so what is remembered never becomes wrong; the
 * newest FOUND_MAX are kept.
 */
#include "base/log.h"
#include "history/impl.h"

#define FOUND_MAX 4096

/* ---- database thread ---- */

static int write_one(sqlite3 *sq, const struct hist_found *f)
{
	sqlite3_stmt *st = db_stmt(sq, f->cleared ? "DELETE FROM scanner WHERE session = ?1" :
				   "INSERT OR REPLACE INTO scanner VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)");

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, (s64)f->session);
	if (!f->cleared) {
		sqlite3_bind_int64(st, 2, (s64)f->time_ns);
		sqlite3_bind_int64(st, 3, f->files);
		sqlite3_bind_int64(st, 4, f->dirs);
		sqlite3_bind_int64(st, 5, f->pid);
		sqlite3_bind_int64(st, 6, f->uid);
		sqlite3_bind_blob(st, 7, f->comm, strnlen(f->comm, SEG_COMM), SQLITE_TRANSIENT);
	}
	return db_errno(sqlite3_step(st));
}

static int prune(sqlite3 *sq)
{
	sqlite3_stmt *st = db_stmt(sq, "DELETE FROM scanner WHERE t < (SELECT t FROM scanner ORDER BY t DESC LIMIT 1 OFFSET ?1)");

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, FOUND_MAX - 1);
	return db_errno(sqlite3_step(st));
}

int found_write(sqlite3 *sq, const struct hist_batch *b)
{
	int err = 0;

	for (size_t i = 0; i < b->nfound && !err; i++)
		err = write_one(sq, &b->found[i]);
	return err || !b->nfound ? err : prune(sq);
}

/* ---- loop thread ---- */

static void found(struct history *h, const struct seg_row *r, bool cleared, const struct scan_counts *c)
{
	struct hist_found *f;
	struct history_found told = {
		.session = r->session, .time_ns = r->time_ns, .files = c->files, .dirs = c->dirs, .pid = r->pid,
		.uid = r->uid, .cleared = cleared,
	};

	h->found = xrealloc(h->found, (h->nfound + 1) * sizeof(*h->found));
	f = &h->found[h->nfound++];
	*f = (struct hist_found){
		.session = r->session, .time_ns = r->time_ns, .files = c->files, .dirs = c->dirs, .pid = r->pid,
		.uid = r->uid, .cleared = cleared,
	};
	memcpy(f->comm, r->comm, SEG_COMM);
	memcpy(told.comm, r->comm, SEG_COMM);
	h->st.scanners += !cleared;
	log_info("event=%s session=%016llx comm=\"%s\" pid=%u files=%u dirs=%u", cleared ? "scanner_cleared" : "scanner_found",
		 (unsigned long long)r->session, log_esc(told.comm, strlen(told.comm)), r->pid, c->files, c->dirs);
	if (h->on_found)
		h->on_found(h->on_found_ctx, &told);
}

void found_note(struct history *h, const struct seg_row *r, const struct hist_known *k)
{
	struct scan_event e = {
		.session = r->session, .listing = r->op == AUGUR_EV_READDIR, .object = r->path,
		.parent = k->up ? k->up->id : 0, .head = k->named ? k->head : NULL, .entries = r->len, .subdirs = r->off,
	};
	struct scan_counts c;
	enum scan_verdict v = scan_note(h->scan, &e, &c);

	if (v != SCAN_SAME)
		found(h, r, v == SCAN_CLEARED, &c);
}

void found_take(struct history *h, struct hist_batch *b)
{
	b->found = h->found;
	b->nfound = h->nfound;
	h->found = NULL;
	h->nfound = 0;
}

bool history_is_scanner(const struct history *h, u64 session)
{
	return scan_is(h->scan, session);
}

void history_set_found(struct history *h, void (*fn)(void *ctx, const struct history_found *f), void *ctx)
{
	h->on_found = fn;
	h->on_found_ctx = ctx;
}
