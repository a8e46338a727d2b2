// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dict.c - the dictionary of objects: each has a number, by which rows refer to it, and once
 * its name is known a directory and a name.  Kept in memory whole, found by oid; the table is
 * read at open and written with the batches.
 *
 * An object goes when the newest row about it is older than all that is kept and it is nobody's
 * directory.  After a restart every object counts as used now.
 */
#include "base/log.h"
#include "history/impl.h"

#define SWEEP_SLOTS	1024	/* of the map, looked at in one go */
#define SWEEP_GONE	512

/* ---- database thread ---- */

static int run(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return db_errno(rc);
}

static int write_path(sqlite3 *sq, const struct hist_path *p)
{
	sqlite3_stmt *st = db_stmt(sq, "INSERT INTO path VALUES(?1, ?2, ?3, ?4) ON CONFLICT(id) DO UPDATE SET"
				       " parent = ?3, name = ?4 WHERE ?4 IS NOT NULL");

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, p->id);
	sqlite3_bind_blob(st, 2, p->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, p->parent);
	if (p->name)
		sqlite3_bind_blob(st, 4, p->name, p->len, SQLITE_STATIC);
	return run(st);
}

int dict_write(sqlite3 *sq, const struct hist_batch *b)
{
	int err = 0;

	for (size_t i = 0; i < b->npaths && !err; i++)
		err = write_path(sq, &b->paths[i]);
	for (size_t i = 0; i < b->ngone && !err; i++) {
		sqlite3_stmt *st = db_stmt(sq, "DELETE FROM path WHERE id = ?1");

		if (!st)
			return -EIO;
		sqlite3_bind_int64(st, 1, b->gone[i]);
		err = run(st);
	}
	return err;
}

/* What the table holds, in the order of its numbers. */
struct loaded { struct hist_known *k; s64 parent; };

static struct hist_known *loaded_find(const struct loaded *l, size_t n, s64 id)
{
	size_t lo = 0;

	while (lo < n) {
		size_t mid = lo + (n - lo) / 2;

		if (l[mid].k->id == id)
			return l[mid].k;
		if (l[mid].k->id < id)
			lo = mid + 1;
		else
			n = mid;
	}
	return NULL;
}

static void load_parents(const struct loaded *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct hist_known *up = l[i].parent ? loaded_find(l, n, l[i].parent) : NULL;

		if (!up || up == l[i].k)
			continue;
		l[i].k->up = up;
		up->kids++;
	}
}

static struct hist_known *load_row(struct history *h, sqlite3_stmt *st)
{
	struct hist_known *k;

	if (sqlite3_column_bytes(st, 1) != AUGUR_OID_LEN || map_get(&h->known, sqlite3_column_blob(st, 1)))
		return NULL;
	k = xcalloc(1, sizeof(*k));
	k->id = sqlite3_column_int64(st, 0);
	k->last = h->last_id;
	memcpy(k->oid, sqlite3_column_blob(st, 1), AUGUR_OID_LEN);
	k->named = sqlite3_column_type(st, 3) != SQLITE_NULL;
	if (k->named && sqlite3_column_bytes(st, 3))
		memcpy(k->head, sqlite3_column_blob(st, 3), min(sqlite3_column_bytes(st, 3), SCAN_HEAD));
	map_put(&h->known, k);
	h->last_path = max(h->last_path, k->id);
	return k;
}

int dict_load(sqlite3 *sq, struct history *h)
{
	sqlite3_stmt *st = db_stmt(sq, "SELECT id, oid, parent, name FROM path WHERE id > 0 ORDER BY id");
	CLEANUP_FREE struct loaded *l = NULL;
	size_t n = 0, cap = 0;
	int rc;

	if (!st)
		return -EIO;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct hist_known *k = load_row(h, st);

		if (!k)
			continue;
		if (n == cap) {
			cap = cap ? cap * 2 : 1024;
			l = xrealloc(l, cap * sizeof(*l));
		}
		l[n++] = (struct loaded){ k, sqlite3_column_int64(st, 2) };
	}
	sqlite3_reset(st);
	load_parents(l, n);
	return db_errno(rc);
}

/* ---- loop thread ---- */

static struct hist_path *add_news(struct history *h, const struct hist_known *k)
{
	struct hist_path *p;

	if (h->nnews == h->news_cap) {
		h->news_cap = h->news_cap ? h->news_cap * 2 : 64;
		h->news = xrealloc(h->news, h->news_cap * sizeof(*h->news));
	}
	p = &h->news[h->nnews++];
	memset(p, 0, sizeof(*p));
	memcpy(p->oid, k->oid, AUGUR_OID_LEN);
	p->id = k->id;
	return p;
}

struct hist_known *dict_get(struct history *h, const u8 *oid)
{
	static const u8 none[AUGUR_OID_LEN];
	struct hist_known *k = map_get(&h->known, oid);

	if (k || !memcmp(oid, none, AUGUR_OID_LEN))
		return k;
	k = xcalloc(1, sizeof(*k));
	memcpy(k->oid, oid, AUGUR_OID_LEN);
	k->id = ++h->last_path;
	k->last = h->last_id + 1;
	map_put(&h->known, k);
	add_news(h, k);
	if (h->namer)
		h->namer(h->namer_ctx, oid);
	return k;
}

void history_name(struct history *h, const u8 *oid, const u8 *parent, const char *name, size_t len)
{
	struct hist_known *k = map_get(&h->known, oid);
	struct hist_path *p;

	if (!k || k->named)
		return;
	k->named = true;
	memcpy(k->head, name, min(len, (size_t)SCAN_HEAD));
	/* The root is its own parent. */
	if (memcmp(oid, parent, AUGUR_OID_LEN))
		k->up = dict_get(h, parent);
	if (k->up)
		k->up->kids++;
	p = add_news(h, k);
	p->parent = k->up ? k->up->id : 0;
	p->name = xmemdup(len ? name : "", len ? len : 1);
	p->len = len;
}

void history_set_namer(struct history *h, void (*fn)(void *ctx, const u8 *oid), void *ctx)
{
	h->namer = fn;
	h->namer_ctx = ctx;
}

void dict_take(struct history *h, struct hist_batch *b)
{
	b->paths = h->news;
	b->npaths = h->nnews;
	h->news = NULL;
	h->nnews = h->news_cap = 0;
}

void dict_untake(struct history *h, struct hist_batch *b)
{
	size_t all = b->npaths + h->nnews;

	if (!b->npaths)
		return;
	b->paths = xrealloc(b->paths, all * sizeof(*b->paths));
	if (h->nnews)
		memcpy(b->paths + b->npaths, h->news, h->nnews * sizeof(*h->news));
	free(h->news);
	h->news = b->paths;
	h->nnews = h->news_cap = all;
	b->paths = NULL;
	b->npaths = 0;
}

static void forget(struct history *h, struct hist_batch *b, struct hist_known *k)
{
	b->gone[b->ngone++] = k->id;
	if (k->up)
		k->up->kids--;
	map_del(&h->known, k->oid);
	free(k);
}

/* Under way; or worth it, as so many rows have gone since. */
bool dict_sweep_due(const struct history *h)
{
	return h->sweep_at || h->oldest - h->sweep_oldest > (s64)(h->known.live / 4);
}

void dict_sweep(struct history *h, struct hist_batch *b)
{
	size_t end = h->sweep_at + SWEEP_SLOTS;
	struct hist_known *k;

	if (!dict_sweep_due(h))
		return;
	if (!h->sweep_at)
		h->sweep_oldest = h->oldest;
	b->gone = xcalloc(SWEEP_GONE, sizeof(*b->gone));
	while (h->sweep_at < end && b->ngone < SWEEP_GONE) {
		k = map_next(&h->known, &h->sweep_at);
		if (!k) {
			h->sweep_at = 0;
			break;
		}
		if (!k->kids && k->last < h->oldest)
			forget(h, b, k);
	}
}

void dict_free(struct history *h)
{
	struct hist_known *k;
	size_t it = 0;

	while ((k = map_next(&h->known, &it)))
		free(k);
	map_free(&h->known);
	for (size_t i = 0; i < h->nnews; i++)
		free(h->news[i].name);
	free(h->news);
	h->news = NULL;
	h->nnews = h->news_cap = 0;
	h->last_path = 0;
	h->sweep_at = 0;
}
