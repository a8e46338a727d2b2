// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rows.c - the agent's index on its disk: what a kill leaves of it, and whether it has all.
 *
 * A killed agent has no time to write its last rows, while what it did to the tree is there.  Here
 * it ends like one that is stopped, and then its database gets the bytes of before: of the moment
 * of the kill, or, as a commit may take long on a busy disk, of a little earlier.
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <dirent.h>

#include "common/record.h"
#include "sim.h"

static const char *const files[] = { "db", "db-wal" };
static struct { u8 *p; size_t len; bool there; } kept[ARRAY_SIZE(files)];

static int priv_open(const char *cache, const char *name, int flags)
{
	CLEANUP_FREE char *path = xasprintf("%s/.augur/%s", cache, name);

	return open(path, flags | O_CLOEXEC, 0600);
}

static void priv_unlink(const char *cache, const char *name)
{
	CLEANUP_FREE char *path = xasprintf("%s/.augur/%s", cache, name);

	unlink(path);
}

void rows_keep(const char *cache)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		CLEANUP_CLOSE int fd = priv_open(cache, files[i], O_RDONLY);
		struct stat st;

		free(kept[i].p);
		kept[i].p = NULL;
		kept[i].there = fd >= 0 && !fstat(fd, &st);
		if (!kept[i].there)
			continue;
		kept[i].len = st.st_size;
		kept[i].p = xmalloc(st.st_size + 1);
		if (pread(fd, kept[i].p, st.st_size, 0) != st.st_size)
			violated("the index cannot be read");
	}
}

void rows_back(const char *cache)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		CLEANUP_CLOSE int fd = -1;

		priv_unlink(cache, files[i]);
		if (!kept[i].there)
			continue;
		fd = priv_open(cache, files[i], O_WRONLY | O_CREAT | O_EXCL);
		if (fd < 0 || pwrite(fd, kept[i].p, kept[i].len, 0) != (ssize_t)kept[i].len)
			violated("the index cannot be put back");
	}
	priv_unlink(cache, "db-shm");
	priv_unlink(cache, "db.clean");
}

/* ---- has it all? ---- */

static s64 ask(sqlite3 *sq, const char *sql, const u8 *oid)
{
	sqlite3_stmt *st;
	s64 n = 0;

	if (sqlite3_prepare_v2(sq, sql, -1, &st, NULL) != SQLITE_OK)
		violated("the index: %s", sqlite3_errmsg(sq));
	if (oid)
		sqlite3_bind_blob(st, 1, oid, AUGUR_OID_LEN, SQLITE_STATIC);
	if (sqlite3_step(st) == SQLITE_ROW)
		n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

/* The origin's, of the state that the record is of. */
static void check_holes(const struct augur_rec *rec, const struct stat *st, const char *path)
{
	u64 blocks = fs_blocks(rec->ctime_sec * SEC + rec->ctime_nsec, rec->size);
	u8 want = S_ISREG(st->st_mode) ? augur_holes(rec->size, blocks) : 0;

	if (rec->holes != want)
		violated("%s is as sparse as %u, and %u at the origin", path, rec->holes, want);
}

static void check_dir(sqlite3 *sq, int dfd, const char *where)
{
	DIR *d = fdopendir(dfd);
	struct dirent *de;

	while ((de = readdir(d))) {
		CLEANUP_CLOSE int fd = openat(dirfd(d), de->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		CLEANUP_FREE char *path = xasprintf("%s/%s", where, de->d_name);
		u8 buf[AUGUR_RECORD_LEN + 1];
		struct augur_rec rec;
		char proc[64];
		struct stat st;
		ssize_t n;

		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, "..") || fd < 0 || fstat(fd, &st))
			continue;
		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
		n = getxattr(proc, AUGUR_XATTR_NAME, buf, sizeof(buf));
		if (n < 0 || augur_rec_decode(buf, n, &rec))
			continue;
		check_holes(&rec, &st, path);
		/* One that is stale asks whoever comes: nobody has to find it. */
		if (rec.flags & AUGUR_REC_STALE)
			continue;
		if (!ask(sq, "SELECT count(*) FROM obj WHERE oid = ?1", rec.oid))
			violated("%s has no row in the index", path);
		if (S_ISREG(st.st_mode) && st.st_blocks && !ask(sq, "SELECT count(*) FROM use WHERE oid = ?1", rec.oid))
			violated("%ld bytes of %s are not accounted for", (long)st.st_blocks * 512, path);
		if (S_ISDIR(st.st_mode))
			check_dir(sq, openat(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path);
	}
	closedir(d);
}

void rows_check(const char *cache)
{
	CLEANUP_FREE char *db = xasprintf("%s/.augur/db", cache), *root = xasprintf("%s/root", cache);
	sqlite3 *sq;

	if (sqlite3_open(db, &sq) != SQLITE_OK)
		violated("the index: %s", sqlite3_errmsg(sq));
	/* Rows that the disk did not take until the end are what the mark is for. */
	if (ask(sq, "SELECT value = x'01' FROM meta WHERE key = 'clean'", NULL))
		check_dir(sq, open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "");
	sqlite3_close(sq);
}
