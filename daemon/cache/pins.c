// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pins.c - what was pinned by name: a table, and the same in memory.
 *
 * The pin itself is in the records, where the kernel looks for it.  A pin is of an object: what is
 * made for a pinned one has it, whatever its name is by then (names.c).  And it is of a path: what
 * is made there has it, as long as one in the table was named so (repin.c).  Functions named db_*
 * run on the database's thread, the others on the loop.
 */
#include <string.h>

#include "base/log.h"
#include "cache/index.h"

#define DEPTH_MAX 512
#define PLACE_MAX 4096

struct pin { u8 oid[AUGUR_OID_LEN]; char *path; u64 no; };	/* no: the newer the greater */
struct pin_name { u32 crc; u32 n; };	/* how many paths end in it */

/* ---- memory ---- */

static u32 last_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	return augur_crc32c(name, strlen(name));
}

static void name_get(struct cache *c, const char *path)
{
	u32 crc = last_name(path);
	struct pin_name *pn = map_get(&c->pin_names, &crc);

	if (!pn) {
		pn = xcalloc(1, sizeof(*pn));
		pn->crc = crc;
		map_put(&c->pin_names, pn);
	}
	pn->n++;
}

static void name_put(struct cache *c, const char *path)
{
	u32 crc = last_name(path);
	struct pin_name *pn = map_get(&c->pin_names, &crc);

	if (!--pn->n)
		free(map_del(&c->pin_names, &crc));
}

static void pin_free(struct cache *c, struct pin *p)
{
	if (p) {
		name_put(c, p->path);
		free(p->path);
	}
	free(p);
}

static void pin_set(struct cache *c, const u8 *oid, const char *path)
{
	struct pin *p = xcalloc(1, sizeof(*p));

	memcpy(p->oid, oid, AUGUR_OID_LEN);
	p->path = xstrdup(path);
	p->no = ++c->pin_no;
	name_get(c, path);
	pin_free(c, map_put(&c->pins, p));
}

const char *pin_path(const struct cache *c, const u8 *oid)
{
	const struct pin *p = c->pins.live ? map_get(&c->pins, oid) : NULL;

	return p ? p->path : NULL;
}

size_t pin_named(const struct cache *c, const char *path, const u8 **oids, size_t max)
{
	const struct pin *p;
	size_t it = 0, n = 0;

	while ((p = map_next(&c->pins, &it)))
		if (n < max && !strcmp(p->path, path))
			oids[n++] = p->oid;
	return n;
}

bool pin_expects(const struct cache *c, const char *name, size_t len)
{
	u32 crc;

	if (!c->pins.live)
		return false;
	crc = augur_crc32c(name, len);
	return map_get(&c->pin_names, &crc);
}

static bool ends_with(const char *path, const char *rel)
{
	size_t n = strlen(path), m = strlen(rel);

	return n > m && path[n - m - 1] == '/' && !strcmp(path + n - m, rel);
}

const char *pin_ending(const struct cache *c, const char *rel, size_t *it)
{
	const struct pin *p;

	while ((p = map_next(&c->pins, it)))
		if (ends_with(p->path, rel))
			return p->path;
	return NULL;
}

const u8 *pin_newest(const struct cache *c, const char *path)
{
	const struct pin *p, *best = NULL;
	size_t it = 0;

	while ((p = map_next(&c->pins, &it)))
		if (!strcmp(p->path, path) && (!best || p->no > best->no))
			best = p;
	return best ? best->oid : NULL;
}

/* ---- one row ---- */

struct pin_job {
	struct db_job	job;
	u8		oid[AUGUR_OID_LEN];
	char		*path;
	bool		drop;
	void		(*done)(void *arg, int res);
	void		*arg;
};

static int db_pin(sqlite3 *sq, struct db_job *job)
{
	struct pin_job *j = container_of(job, struct pin_job, job);
	sqlite3_stmt *st = db_stmt(sq, j->drop ? "DELETE FROM pin WHERE oid = ?1" : "INSERT OR REPLACE INTO pin VALUES(?1, ?2)");

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, j->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	if (!j->drop)
		sqlite3_bind_blob(st, 2, j->path, strlen(j->path), SQLITE_STATIC);
	return index_run(st);
}

static void pin_done(struct db_job *job, int res)
{
	struct pin_job *j = container_of(job, struct pin_job, job);

	if (res)
		log_warn("event=pin_row error=\"%s\" effect=\"the list of pins is not what was asked for\"", strerror(-res));
	if (j->done)
		j->done(j->arg, res);
	free(j->path);
	free(j);
}

static void pin_store(struct cache *c, const u8 *oid, const char *path, void (*done)(void *arg, int res), void *arg)
{
	struct pin_job *j = xcalloc(1, sizeof(*j));

	memcpy(j->oid, oid, AUGUR_OID_LEN);
	j->drop = !path;
	j->path = path ? xstrdup(path) : NULL;
	j->done = done;
	j->arg = arg;
	j->job.fn = db_pin;
	j->job.done = pin_done;
	index_queue(c, &j->job);
}

void pin_put(struct cache *c, const u8 *oid, const char *path, void (*done)(void *arg, int res), void *arg)
{
	pin_set(c, oid, path);
	pin_store(c, oid, path, done, arg);
}

void pin_drop(struct cache *c, const u8 *oid, void (*done)(void *arg, int res), void *arg)
{
	u8 copy[AUGUR_OID_LEN];

	memcpy(copy, oid, AUGUR_OID_LEN);	/* it may be the pin's own */
	pin_free(c, map_del(&c->pins, copy));
	pin_store(c, copy, NULL, done, arg);
}

/* ---- a name that is another's ---- */

struct replace_job { struct db_job job; struct cache *c; u8 old[AUGUR_OID_LEN], oid[AUGUR_OID_LEN]; char *path; u8 *gone; size_t n; };

/* Whoever had the name before @old, and has none that is known. */
static int db_replace(sqlite3 *sq, struct db_job *job)
{
	struct replace_job *j = container_of(job, struct replace_job, job);
	sqlite3_stmt *st = db_stmt(sq, "SELECT oid FROM pin WHERE path = ?1 AND oid NOT IN (?2, ?3)"
				       " AND NOT EXISTS (SELECT 1 FROM obj WHERE obj.oid = pin.oid)");

	if (!st)
		return -EIO;
	sqlite3_bind_blob(st, 1, j->path, strlen(j->path), SQLITE_STATIC);
	sqlite3_bind_blob(st, 2, j->old, AUGUR_OID_LEN, SQLITE_STATIC);
	sqlite3_bind_blob(st, 3, j->oid, AUGUR_OID_LEN, SQLITE_STATIC);
	while (sqlite3_step(st) == SQLITE_ROW)
		if (sqlite3_column_bytes(st, 0) == AUGUR_OID_LEN) {
			j->gone = xrealloc(j->gone, (j->n + 1) * AUGUR_OID_LEN);
			memcpy(j->gone + j->n++ * AUGUR_OID_LEN, sqlite3_column_blob(st, 0), AUGUR_OID_LEN);
		}
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return 0;
}

static void replace_done(struct db_job *job, int res)
{
	struct replace_job *j = container_of(job, struct replace_job, job);

	for (size_t i = 0; !res && i < j->n; i++)
		pin_drop(j->c, j->gone + i * AUGUR_OID_LEN, NULL, NULL);
	free(j->gone);
	free(j->path);
	free(j);
}

void pin_replace(struct cache *c, const u8 *old, const u8 *oid)
{
	struct replace_job *j = xcalloc(1, sizeof(*j));

	j->path = xstrdup(pin_path(c, old));
	if (!pin_path(c, oid))
		pin_put(c, oid, j->path, NULL, NULL);
	index_flush(c);
	j->c = c;
	memcpy(j->old, old, AUGUR_OID_LEN);
	memcpy(j->oid, oid, AUGUR_OID_LEN);
	j->job.fn = db_replace;
	j->job.done = replace_done;
	index_queue(c, &j->job);
}

/* ---- where they are ---- */

struct place_job { struct db_job job; u8 root[AUGUR_OID_LEN], oid[AUGUR_OID_LEN]; char *place; index_place_fn *fn; void *arg; };
struct pins_job { struct db_job job; bool places; u8 root[AUGUR_OID_LEN]; struct index_pin *p; size_t n; index_pins_fn *fn; void *arg; };

/* The name of an object in @name, its parent in @oid; the length, 0 if it is not known. */
static int db_parent(sqlite3 *sq, u8 *oid, char *name)
{
	sqlite3_stmt *st = db_stmt(sq, "SELECT parent, name FROM obj WHERE oid = ?1");
	int len = 0;

	if (!st)
		return 0;
	sqlite3_bind_blob(st, 1, oid, AUGUR_OID_LEN, SQLITE_STATIC);
	if (sqlite3_step(st) == SQLITE_ROW && sqlite3_column_bytes(st, 0) == AUGUR_OID_LEN)
		len = sqlite3_column_bytes(st, 1);
	if (len > AUGUR_NAME_MAX)
		len = 0;
	if (len) {
		memcpy(name, sqlite3_column_blob(st, 1), len);
		memcpy(oid, sqlite3_column_blob(st, 0), AUGUR_OID_LEN);
	}
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return len;
}

/* From the root, without a slash in front; NULL: some directory above is not known, or it is too long. */
static char *db_place(sqlite3 *sq, const u8 *root, const u8 *oid)
{
	CLEANUP_FREE char *out = xmalloc(PLACE_MAX);
	char name[AUGUR_NAME_MAX + 1];
	size_t at = PLACE_MAX - 1;
	u8 up[AUGUR_OID_LEN];

	memcpy(up, oid, AUGUR_OID_LEN);
	out[at] = 0;
	for (int depth = 0; memcmp(up, root, AUGUR_OID_LEN); depth++) {
		size_t len = db_parent(sq, up, name);

		if (!len || depth == DEPTH_MAX || at < len + 1)
			return NULL;
		if (out[at])
			out[--at] = '/';
		memcpy(out + at - len, name, len);
		at -= len;
	}
	return xstrdup(out + at);
}

static int db_place_job(sqlite3 *sq, struct db_job *job)
{
	struct place_job *j = container_of(job, struct place_job, job);

	j->place = db_place(sq, j->root, j->oid);
	return 0;
}

static void place_done(struct db_job *job, int res)
{
	struct place_job *j = container_of(job, struct place_job, job);

	j->fn(j->arg, j->place);
	free(j->place);
	free(j);
}

void index_place(struct cache *c, const u8 *oid, index_place_fn *fn, void *arg)
{
	struct place_job *j = xcalloc(1, sizeof(*j));

	index_flush(c);
	memcpy(j->root, c->root_oid, AUGUR_OID_LEN);
	memcpy(j->oid, oid, AUGUR_OID_LEN);
	j->fn = fn;
	j->arg = arg;
	j->job.fn = db_place_job;
	j->job.done = place_done;
	index_queue(c, &j->job);
}

/* ---- all of them ---- */

static int db_pins(sqlite3 *sq, struct db_job *job)
{
	struct pins_job *j = container_of(job, struct pins_job, job);
	sqlite3_stmt *st = db_stmt(sq, "SELECT pin.oid, pin.path, obj.fh FROM pin LEFT JOIN obj ON obj.oid = pin.oid ORDER BY pin.path");

	if (!st)
		return -EIO;
	while (sqlite3_step(st) == SQLITE_ROW) {
		int len = sqlite3_column_bytes(st, 1);
		struct index_pin *p;

		if (sqlite3_column_bytes(st, 0) != AUGUR_OID_LEN || len <= 0 || len >= PLACE_MAX)
			continue;
		j->p = xrealloc(j->p, (j->n + 1) * sizeof(*j->p));
		p = &j->p[j->n++];
		memset(p, 0, sizeof(*p));
		memcpy(p->oid, sqlite3_column_blob(st, 0), AUGUR_OID_LEN);
		p->path = xcalloc(1, len + 1);
		memcpy(p->path, sqlite3_column_blob(st, 1), len);
		if (sqlite3_column_bytes(st, 2) >= 5)
			fh_set(&p->fh, sqlite3_column_blob(st, 2), sqlite3_column_bytes(st, 2));
	}
	sqlite3_reset(st);
	for (size_t i = 0; j->places && i < j->n; i++)
		if (j->p[i].fh.len)
			j->p[i].place = db_place(sq, j->root, j->p[i].oid);
	return 0;
}

static void pins_done(struct db_job *job, int res)
{
	struct pins_job *j = container_of(job, struct pins_job, job);

	j->fn(j->arg, j->p, j->n, res);
	free(j);
}

void index_pins_free(struct index_pin *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(p[i].path);
		free(p[i].place);
	}
	free(p);
}

void index_pins(struct cache *c, index_pins_fn *fn, void *arg)
{
	struct pins_job *j = xcalloc(1, sizeof(*j));

	index_flush(c);
	j->places = true;
	memcpy(j->root, c->root_oid, AUGUR_OID_LEN);
	j->fn = fn;
	j->arg = arg;
	j->job.fn = db_pins;
	j->job.done = pins_done;
	index_queue(c, &j->job);
}

/* ---- start and end ---- */

int pins_load(struct cache *c)
{
	struct pins_job j = { .job.fn = db_pins };
	int err = db_call(c->db, &j.job);

	for (size_t i = 0; !err && i < j.n; i++)
		pin_set(c, j.p[i].oid, j.p[i].path);
	index_pins_free(j.p, j.n);
	return err;
}

void pins_init(struct cache *c)
{
	map_init(&c->pins, offsetof(struct pin, oid), AUGUR_OID_LEN);
	map_init(&c->pin_names, offsetof(struct pin_name, crc), sizeof(u32));
}

void pins_exit(struct cache *c)
{
	size_t it = 0;
	struct pin *p;

	while ((p = map_next(&c->pins, &it)))
		pin_free(c, p);
	map_free(&c->pins);
	map_free(&c->pin_names);
}
