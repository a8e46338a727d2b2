// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * query.c - the rows of an access log that fit a question, with their paths.
 *
 * Segments are looked at one after the other, from the newest when the last rows are asked
 * for, so a question costs what it looks at; SQLite tells of those outside the times asked for
 * without reading them.  A segment that does not decode is passed over.
 */
#include <sqlite3.h>
#include <stdio.h>

#include "base/db.h"
#include "base/mem.h"
#include "history/impl.h"

#define SLICE		16	/* segments looked at in one go */
#define DEPTH_MAX	64
#define PATH_CAP	8192

/* The path of an object, asked for once. */
struct known_path { s64 id; char *path; size_t len; bool fits; };

struct scanner { u64 session; };

struct hist_read {
	struct history_query q;
	struct map	scanners;	/* struct scanner */
	bool		begun;
	struct history_row *rows;	/* the newest first while q.after < 0 */
	size_t		n, cap;
	struct map	paths;		/* struct known_path */
	s64		next;		/* number of the segment to go on with */
	s64		upto;
	bool		more;
	struct seg_row	seg[SEG_ROWS_MAX];
};

static const char *const op_names[] = {
	[AUGUR_EV_OPEN] = "open", [AUGUR_EV_WHO] = "who", [AUGUR_EV_READ] = "read", [AUGUR_EV_MISS] = "miss",
	[AUGUR_EV_CLOSE] = "close", [AUGUR_EV_LOOKUP_MISS] = "lookup", [AUGUR_EV_READDIR] = "readdir",
	[AUGUR_EV_FAULT] = "fault", [AUGUR_EV_WRITE] = "write",
};

const char *history_op_name(u8 op)
{
	return op < ARRAY_SIZE(op_names) && op_names[op] ? op_names[op] : "?";
}

int history_op_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(op_names); i++)
		if (op_names[i] && !strcmp(op_names[i], name))
			return i;
	return -1;
}

/* ---- paths ---- */

/* One step up: @id becomes the parent.  False: it is not known. */
static bool path_step(sqlite3_stmt *st, s64 *id, char *buf, size_t *at)
{
	const void *name;
	size_t len;

	sqlite3_reset(st);
	sqlite3_bind_int64(st, 1, *id);
	if (sqlite3_step(st) != SQLITE_ROW || sqlite3_column_type(st, 1) == SQLITE_NULL)
		return false;
	*id = sqlite3_column_int64(st, 0);
	name = sqlite3_column_blob(st, 1);
	len = sqlite3_column_bytes(st, 1);
	if (len && len + 1 < *at) {
		*at -= len;
		memcpy(buf + *at, name, len);
		buf[--*at] = '/';
	}
	return true;
}

/* Is @path the object that was asked for, or below it? */
static bool is_below(const struct history_query *q, const char *path, size_t len)
{
	size_t want = q->path_len;

	while (want && q->path[want - 1] == '/')
		want--;
	return !q->path || (len >= want && !memcmp(path, q->path, want) && (len == want || path[want] == '/'));
}

/* The path from the volume's root, written from its end. */
static const struct known_path *path_of(struct hist_read *r, sqlite3_stmt *st, s64 id)
{
	struct known_path *k = map_get(&r->paths, &id);
	char buf[PATH_CAP];
	size_t at = sizeof(buf);
	int depth = 0;

	if (k)
		return k;
	k = xcalloc(1, sizeof(*k));
	k->id = id;
	while (id && depth++ < DEPTH_MAX && path_step(st, &id, buf, &at))
		;
	sqlite3_reset(st);
	if (id && at > 2) {
		buf[--at] = '?';
		buf[--at] = '/';
	}
	if (at == sizeof(buf))
		buf[--at] = '/';
	k->len = sizeof(buf) - at;
	k->fits = is_below(&r->q, buf + at, k->len);
	k->path = k->fits ? xmemdup(buf + at, k->len) : NULL;
	map_put(&r->paths, k);
	return k;
}

/* ---- rows ---- */

static bool is_scanner(const struct hist_read *r, u64 session)
{
	return map_get(&r->scanners, &session);
}

static bool fits(const struct hist_read *r, const struct seg_row *s)
{
	const struct history_query *q = &r->q;

	if (q->ops && (s->op > 31 || !(q->ops >> s->op & 1)))
		return false;
	if (q->since_ns && s->time_ns < q->since_ns)
		return false;
	if (q->until_ns && s->time_ns > q->until_ns)
		return false;
	if (q->by_session && s->session != q->session)
		return false;
	if (q->scanners && (q->scanners == HISTORY_SCANNERS_ONLY) != is_scanner(r, s->session))
		return false;
	/* The kernel keeps 15 bytes of a name. */
	return !q->comm[0] || !strncmp(q->comm, s->comm, SEG_COMM - 1);
}

static void take(struct hist_read *r, s64 id, const struct seg_row *s, const struct known_path *p)
{
	struct history_row *w;

	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 256;
		r->rows = xrealloc(r->rows, r->cap * sizeof(*r->rows));
	}
	w = &r->rows[r->n++];
	*w = (struct history_row){
		.id = id, .time_ns = s->time_ns, .session = s->session, .off = s->off, .len = s->len,
		.open_id = s->open_id, .latency_us = s->latency_us, .pid = s->pid, .uid = s->uid,
		.op = s->op, .flags = s->flags, .scanner = is_scanner(r, s->session), .path = p->path, .path_len = p->len,
	};
	memcpy(w->comm, s->comm, SEG_COMM);
}

static void look(struct hist_read *r, sqlite3_stmt *path, s64 id, const struct seg_row *s)
{
	const struct known_path *p;

	if (!fits(r, s))
		return;
	p = path_of(r, path, s->path);
	if (p->fits)
		take(r, id, s, p);
}

/* One segment, in the order asked for, until there are enough. */
static void look_all(struct hist_read *r, sqlite3_stmt *path, s64 id, int n)
{
	bool back = r->q.after < 0;

	for (int i = 0; i < n && r->n < r->q.limit; i++) {
		s64 k = back ? n - 1 - i : i;

		if (id + k > r->q.after || back)
			look(r, path, id + k, &r->seg[k]);
		r->upto = back ? max(r->upto, id + k) : id + k;
	}
}

/* ---- slices ---- */

static const char newest[] = "SELECT id, n, data FROM segment WHERE id < ?1 AND t1 >= ?2 AND t0 <= ?3 ORDER BY id DESC LIMIT ?4";
static const char oldest[] = "SELECT id, n, data FROM segment WHERE id >= ?1 AND t1 >= ?2 AND t0 <= ?3 ORDER BY id LIMIT ?4";

static int slice(struct hist_read *r, sqlite3_stmt *st, sqlite3_stmt *path)
{
	bool back = r->q.after < 0;
	int seen = 0, rc = SQLITE_DONE, n;

	sqlite3_bind_int64(st, 1, r->next);
	sqlite3_bind_int64(st, 2, (s64)r->q.since_ns);
	sqlite3_bind_int64(st, 3, r->q.until_ns ? (s64)r->q.until_ns : INT64_MAX);
	sqlite3_bind_int64(st, 4, SLICE);
	while (r->n < r->q.limit && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		s64 id = sqlite3_column_int64(st, 0), rows = sqlite3_column_int64(st, 1);

		seen++;
		n = seg_decode(sqlite3_column_blob(st, 2), sqlite3_column_bytes(st, 2), r->seg);
		r->next = back ? id : id + max(rows, (s64)1);
		if (n == rows)
			look_all(r, path, id, n);
	}
	if (r->n == r->q.limit) {
		r->more = !back;
		return 0;
	}
	if (rc != SQLITE_DONE)
		return db_errno(rc);
	return seen == SLICE;
}

/* Who walks trees: a table of bounded length. */
static int begin(sqlite3 *sq, struct hist_read *r)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(sq, "SELECT session FROM scanner", -1, &st, NULL);

	if (rc != SQLITE_OK)
		return db_errno(rc);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct scanner *s = xmalloc(sizeof(*s));

		s->session = (u64)sqlite3_column_int64(st, 0);
		free(map_put(&r->scanners, s));
	}
	sqlite3_finalize(st);
	r->begun = true;
	return db_errno(rc);
}

int hist_read_slice(sqlite3 *sq, struct hist_read *r)
{
	sqlite3_stmt *st = NULL, *path = NULL;
	int err = r->begun ? 0 : begin(sq, r);

	if (!err)
		err = db_errno(sqlite3_prepare_v2(sq, r->q.after < 0 ? newest : oldest, -1, &st, NULL));
	if (!err)
		err = db_errno(sqlite3_prepare_v2(sq, "SELECT parent, name FROM path WHERE id = ?1", -1, &path, NULL));
	if (!err)
		err = slice(r, st, path);
	sqlite3_finalize(st);
	sqlite3_finalize(path);
	return err;
}

struct hist_read *hist_read_new(const struct history_query *q)
{
	struct hist_read *r = xcalloc(1, sizeof(*r));

	r->q = *q;
	r->q.limit = min(max(q->limit, 1u), (u32)HISTORY_ROWS_MAX);
	map_init(&r->scanners, offsetof(struct scanner, session), sizeof(u64));
	map_init(&r->paths, offsetof(struct known_path, id), sizeof(s64));
	/* A segment that holds @after's next row begins at most so many before it. */
	r->next = q->after < 0 ? INT64_MAX : max(q->after - SEG_ROWS_MAX + 2, (s64)0);
	r->upto = q->after;
	return r;
}

void hist_read_result(struct hist_read *r, struct history_result *res)
{
	for (size_t i = 0; r->q.after < 0 && i < r->n / 2; i++) {
		struct history_row t = r->rows[i];

		r->rows[i] = r->rows[r->n - 1 - i];
		r->rows[r->n - 1 - i] = t;
	}
	*res = (struct history_result){ .rows = r->rows, .n = r->n, .upto = r->upto, .more = r->more };
}

void hist_read_free(struct hist_read *r)
{
	struct known_path *k;
	struct scanner *s;
	size_t it = 0;

	while ((k = map_next(&r->paths, &it))) {
		free(k->path);
		free(k);
	}
	map_free(&r->paths);
	it = 0;
	while ((s = map_next(&r->scanners, &it)))
		free(s);
	map_free(&r->scanners);
	free(r->rows);
	free(r);
}
