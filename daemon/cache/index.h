/* SPDX-License-Identifier: GPL-2.0-or-later */
/* index.h - private to the cache room: the tables of <cache>/.augur/db and their jobs. */
#ifndef AUGUR_CACHE_INDEX_H
#define AUGUR_CACHE_INDEX_H

#include "cache/cache.h"

#define INDEX_VERSION 1
extern const char index_schema[];

/* db_queue(), or, once the database is closed, done(-ESHUTDOWN) from the loop. */
void index_queue(struct cache *c, struct db_job *job);
void index_init(struct cache *c);
void index_exit(struct cache *c);

/* meta table: blobs by key; blocking, at attach only. len in: room, out: length; -ENOENT. */
int index_meta_get(struct cache *c, const char *key, void *buf, size_t *len);
int index_meta_put(struct cache *c, const char *key, const void *buf, size_t len);
/* In a job: one step of a statement that gives no rows, which is reset; 0 or -EIO. */
int index_run(sqlite3_stmt *st);
/* In a job: no row of it is left. */
int index_forget(sqlite3 *sq, const u8 *oid);
/* In a job: the tree was compared with the index in this boot, so nothing is known to be unchanged at an owner. */
int index_meta_checked(sqlite3 *sq, const char *boot);
void cache_boot_id(char buf[40]);

/*
 * The durable claim of a partial file (R2), of this inode alone: one that was marked stale and
 * came back the same is made anew, empty, with the same version and tag.
 */
struct map_row { u8 oid[AUGUR_OID_LEN]; struct fh fh; u64 version, tag, present; u8 *map; size_t len; bool drop; };
/* Writes or drops rows in one job, done(arg, res) on the loop; takes over rows and maps. */
void index_maps_store(struct cache *c, struct map_row *rows, size_t n, void (*done)(void *arg, int res), void *arg);
/* CRC-32C of a map row's content, and of what it is of. */
u32 map_row_crc(const struct map_row *r);

#endif
