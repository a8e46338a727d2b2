// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The embedded store's rows: volume identity, split directories and the map, one database
 * file for all volumes, WAL + FULL through base/db.h.  Statements run on the database's
 * thread and touch only what their job carries; the rules (store.c) stay on the loop.
 */
#include <stdio.h>

#include "base/db.h"
#include "base/log.h"
#include "meta/store.h"

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS volume("
	" name TEXT PRIMARY KEY, id BLOB NOT NULL, key BLOB NOT NULL, root BLOB NOT NULL,"
	" split BLOB NOT NULL, weight BLOB) STRICT;"
	"CREATE TABLE IF NOT EXISTS map("
	" volume TEXT PRIMARY KEY REFERENCES volume(name), version INTEGER NOT NULL,"
	" body BLOB NOT NULL) STRICT;";
#define SCHEMA_VERSION 1
#define WEIGHT_LEN	(META_SLOTS * 16)	/* of each slot bytes and entries, little endian */

struct meta_db {
	struct io	*io;
	struct db	*db;
};

int meta_db_open(struct io *io, const char *path, struct meta_db **out)
{
	struct meta_db *d = xcalloc(1, sizeof(*d));
	int err = db_open(io, path, DB_FULL, schema, SCHEMA_VERSION, &d->db);

	d->io = io;
	if (err) {
		free(d);
		return err;
	}
	*out = d;
	return 0;
}

void meta_db_close(struct meta_db *d)
{
	db_close(d->db);
	free(d);
}

/* ---- saving ---- */

struct save_job {
	struct db_job	job;
	struct store	*s;
	store_saved_fn	*fn;
	void		*arg;
	char		volume[64];
	/* volume row */
	u8		id[16], key[META_KEY_LEN], root[AUGUR_OID_LEN];
	u8		*split;
	size_t		split_len;
	u8		*weight;	/* WEIGHT_LEN, or NULL */
	/* map row */
	u64		version;
	struct wire_out	body;
};

static void save_done(struct db_job *job, int res)
{
	struct save_job *j = container_of(job, struct save_job, job);

	j->fn(j->s, j->arg, res);
	explicit_bzero(j->key, sizeof(j->key));
	free(j->split);
	free(j->weight);
	wire_out_free(&j->body);
	free(j);
}

static int step_done(sqlite3 *sq, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	if (rc == SQLITE_DONE)
		return 0;
	log_err("store: %s", sqlite3_errmsg(sq));
	return rc == SQLITE_FULL ? -ENOSPC : -EIO;
}

static int save_volume_fn(sqlite3 *sq, struct db_job *job)
{
	struct save_job *j = container_of(job, struct save_job, job);
	sqlite3_stmt *st = db_stmt(sq, "INSERT INTO volume(name, id, key, root, split, weight) "
					"VALUES(?1, ?2, ?3, ?4, ?5, ?6)");

	if (!st)
		return -EIO;
	sqlite3_bind_text(st, 1, j->volume, -1, SQLITE_STATIC);
	sqlite3_bind_blob(st, 2, j->id, sizeof(j->id), SQLITE_STATIC);
	sqlite3_bind_blob(st, 3, j->key, sizeof(j->key), SQLITE_STATIC);
	sqlite3_bind_blob(st, 4, j->root, sizeof(j->root), SQLITE_STATIC);
	sqlite3_bind_blob(st, 5, j->split ? j->split : (u8 *)"", j->split_len, SQLITE_STATIC);
	if (j->weight)
		sqlite3_bind_blob(st, 6, j->weight, WEIGHT_LEN, SQLITE_STATIC);
	return step_done(sq, st);
}

static int save_map_fn(sqlite3 *sq, struct db_job *job)
{
	struct save_job *j = container_of(job, struct save_job, job);
	sqlite3_stmt *st = db_stmt(sq, "INSERT INTO map(volume, version, body) VALUES(?1, ?2, ?3) "
					"ON CONFLICT(volume) DO UPDATE SET version = ?2, body = ?3 "
					"WHERE version = ?2 - 1");
	int err;

	if (!st)
		return -EIO;
	sqlite3_bind_text(st, 1, j->volume, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, j->version);
	sqlite3_bind_blob(st, 3, j->body.buf, j->body.len, SQLITE_STATIC);
	err = step_done(sq, st);
	return err ? err : sqlite3_changes(sq) == 1 ? 0 : -ESTALE;
}

static struct save_job *save_new(struct store *s, store_saved_fn *fn, void *arg)
{
	struct save_job *j = xcalloc(1, sizeof(*j));

	j->job.done = save_done;
	j->s = s;
	j->fn = fn;
	j->arg = arg;
	wire_out_init(&j->body);
	snprintf(j->volume, sizeof(j->volume), "%s", s->volume);
	return j;
}

static void sqlite_save_volume(struct store *s, store_saved_fn *fn, void *arg)
{
	struct meta_db *d = s->disk_ctx;
	struct save_job *j = save_new(s, fn, arg);

	memcpy(j->id, s->vol.id, sizeof(j->id));
	memcpy(j->key, s->vol.key, sizeof(j->key));
	memcpy(j->root, s->vol.root_oid, sizeof(j->root));
	j->split_len = (size_t)s->vol.nsplit * AUGUR_OID_LEN;
	j->split = j->split_len ? xmemdup(s->vol.split, j->split_len) : NULL;
	if (s->scanned) {
		j->weight = xmalloc(WEIGHT_LEN);
		for (u32 i = 0; i < META_SLOTS; i++) {
			u64 v[2] = { cpu_to_le64(s->weight[i].bytes), cpu_to_le64(s->weight[i].entries) };

			memcpy(j->weight + i * sizeof(v), v, sizeof(v));
		}
	}
	j->job.fn = save_volume_fn;
	db_queue(d->db, &j->job);
}

static void sqlite_save_map(struct store *s, const struct meta_map *map, store_saved_fn *fn, void *arg)
{
	struct meta_db *d = s->disk_ctx;
	struct save_job *j = save_new(s, fn, arg);

	j->version = map->version;
	meta_map_encode(map, &j->body);
	j->job.fn = save_map_fn;
	db_queue(d->db, &j->job);
}

static void sqlite_close(struct store *s)
{
}

static const struct store_disk sqlite_disk = {
	.name = "sqlite",
	.save_volume = sqlite_save_volume,
	.save_map = sqlite_save_map,
	.close = sqlite_close,
};

/* ---- loading ---- */

struct load_job {
	struct db_job	job;
	struct store	*s;
};

static int load_blob(sqlite3_stmt *st, int col, void *out, int len)
{
	if (sqlite3_column_bytes(st, col) != len)
		return -EBADMSG;
	memcpy(out, sqlite3_column_blob(st, col), len);
	return 0;
}

static int load_volume_row(struct store *s, sqlite3_stmt *st)
{
	int split = sqlite3_column_bytes(st, 3), weight = sqlite3_column_bytes(st, 4);

	if (load_blob(st, 0, s->vol.id, sizeof(s->vol.id)) || load_blob(st, 1, s->vol.key, META_KEY_LEN) ||
	    load_blob(st, 2, s->vol.root_oid, AUGUR_OID_LEN) || split % AUGUR_OID_LEN)
		return -EBADMSG;
	snprintf(s->vol.name, sizeof(s->vol.name), "%s", s->volume);
	s->vol.nsplit = split / AUGUR_OID_LEN;
	if (split)
		s->vol.split = xmemdup(sqlite3_column_blob(st, 3), split);
	/* Of another length: of a version that weighed otherwise; a new deal goes by number. */
	if (weight == WEIGHT_LEN) {
		const u8 *p = sqlite3_column_blob(st, 4);
		u64 v[2];

		for (u32 i = 0; i < META_SLOTS; i++) {
			memcpy(v, p + i * sizeof(v), sizeof(v));
			s->weight[i] = (struct meta_weight){ le64_to_cpu(v[0]), le64_to_cpu(v[1]) };
		}
		s->scanned = true;
	}
	s->have_vol = true;
	return 0;
}

static int load_map_row(struct store *s, sqlite3_stmt *st)
{
	const u8 *p = sqlite3_column_blob(st, 0);

	return meta_map_decode((struct wire_in){ p, p + sqlite3_column_bytes(st, 0) }, &s->map);
}

static int load_one(sqlite3 *sq, struct store *s, const char *sql, int (*row)(struct store *s, sqlite3_stmt *st))
{
	sqlite3_stmt *st = db_stmt(sq, sql);
	int rc, err = 0;

	if (!st)
		return -EIO;
	sqlite3_bind_text(st, 1, s->volume, -1, SQLITE_STATIC);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		err = row(s, st);
	else if (rc != SQLITE_DONE)
		err = -EIO;
	sqlite3_reset(st);
	return err;
}

static int load_fn(sqlite3 *sq, struct db_job *job)
{
	struct store *s = container_of(job, struct load_job, job)->s;
	int err = load_one(sq, s, "SELECT id, key, root, split, weight FROM volume WHERE name = ?1", load_volume_row);

	return err ? err : load_one(sq, s, "SELECT body FROM map WHERE volume = ?1", load_map_row);
}

struct meta *meta_sqlite_new(struct meta_db *db, const struct meta_store_cfg *cfg)
{
	struct store *s = store_new(db->io, cfg, &sqlite_disk, db);
	struct load_job j = { .job.fn = load_fn, .s = s };
	int err = db_call(db->db, &j.job);

	if (err) {
		log_err("the store's rows of volume %s cannot be used: %s; restore the database from a copy, "
			"or move it away to make a new volume", s->volume, strerror(-err));
		store_free(s);
		return NULL;
	}
	store_loaded(s);
	return &s->m;
}
