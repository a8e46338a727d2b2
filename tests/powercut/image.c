// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * image.c - a cache read out of an image of ext4 by libext2fs: its names, inodes and records,
 * and the rows of its index, whose files are copied out and opened as a database (which replays
 * the write-ahead log).
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <ext2fs/ext2fs.h>

#include "cache/index.h"
#include "powercut.h"

#define DEPTH_MAX	64

static int fault(struct seen *s, const char *what, long err)
{
	if (!s->fault[0])
		snprintf(s->fault, sizeof(s->fault), "%s (error %ld)", what, err);
	return -1;
}

/* ---- names and records ---- */

static void take_record(struct seen *s, struct inode_seen *in)
{
	struct ext2_xattr_handle *h;
	void *val = NULL;
	size_t len;

	if (ext2fs_xattrs_open(s->fs, in->ino, &h))
		return;
	if (!ext2fs_xattrs_read(h) && !ext2fs_xattr_get(h, AUGUR_XATTR_NAME, &val, &len)) {
		in->valid = !augur_rec_decode(val, len, &in->rec);
		ext2fs_free_mem(&val);
	}
	ext2fs_xattrs_close(&h);
}

/* Index of the inode, known or new; -1: it cannot be read. */
static long take_inode(struct seen *s, u32 ino, u32 parent, bool *fresh)
{
	struct ext2_inode raw;
	struct inode_seen *in;

	*fresh = false;
	for (size_t i = 0; i < s->ninode; i++)
		if (s->inode[i].ino == ino)
			return i;
	if (ext2fs_read_inode(s->fs, ino, &raw))
		return fault(s, "an inode of a name cannot be read", ino);
	if (s->ninode == s->capi) {
		s->capi = s->capi ? s->capi * 2 : 512;
		s->inode = xrealloc(s->inode, s->capi * sizeof(*s->inode));
	}
	in = &s->inode[s->ninode];
	memset(in, 0, sizeof(*in));
	in->ino = ino;
	in->gen = raw.i_generation;
	in->parent = parent;
	in->mode = raw.i_mode;
	in->size = EXT2_I_SIZE(&raw);
	take_record(s, in);
	*fresh = true;
	return s->ninode++;
}

struct listing { struct seen *s; u32 dir; int err; };

static int take_name(struct ext2_dir_entry *de, int offset, int blocksize, char *buf, void *priv)
{
	struct listing *l = priv;
	struct seen *s = l->s;
	size_t len = ext2fs_dirent_name_len(de);
	struct name_seen *n;
	bool fresh;
	long i;

	if (!de->inode || (len == 1 && de->name[0] == '.') || (len == 2 && !memcmp(de->name, "..", 2)))
		return 0;
	i = take_inode(s, de->inode, l->dir, &fresh);
	if (i < 0) {
		l->err = -1;
		return DIRENT_ABORT;
	}
	if (s->nname == s->capn) {
		s->capn = s->capn ? s->capn * 2 : 512;
		s->name = xrealloc(s->name, s->capn * sizeof(*s->name));
	}
	n = &s->name[s->nname++];
	n->dir = l->dir;
	n->inode = i;
	n->name = xmalloc(len + 1);
	memcpy(n->name, de->name, len);
	n->name[len] = 0;
	return 0;
}

/* Directories found on the way are read in their turn: each is an inode seen once. */
static int walk(struct seen *s, u32 root)
{
	bool fresh;

	if (take_inode(s, root, 0, &fresh) < 0)
		return -1;
	for (size_t i = 0; i < s->ninode; i++) {
		struct listing l = { .s = s, .dir = i };
		errcode_t err;

		if (!LINUX_S_ISDIR(s->inode[i].mode))
			continue;
		err = ext2fs_dir_iterate(s->fs, s->inode[i].ino, 0, NULL, take_name, &l);
		if (err || l.err)
			return fault(s, "a directory cannot be read", err);
	}
	return 0;
}

int image_bytes(const struct seen *s, u32 ino, u64 off, void *buf, size_t len)
{
	ext2_file_t f;
	errcode_t err = ext2fs_file_open(s->fs, ino, 0, &f);
	unsigned int got = 0;

	if (err)
		return -EIO;
	err = ext2fs_file_llseek(f, off, EXT2_SEEK_SET, NULL);
	if (!err)
		err = ext2fs_file_read(f, buf, len, &got);
	ext2fs_file_close(f);
	return err || got != len ? -EIO : 0;
}

/* ---- the index ---- */

static int copy_out(struct seen *s, const char *path, const char *to)
{
	struct ext2_inode raw;
	ext2_ino_t ino;
	u64 size;
	void *buf;
	int fd, err;

	unlink(to);
	if (ext2fs_namei(s->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &ino))
		return -ENOENT;
	if (ext2fs_read_inode(s->fs, ino, &raw))
		return -EIO;
	size = EXT2_I_SIZE(&raw);
	if (size > 64 << 20)
		return -EFBIG;
	buf = xmalloc(size + 1);
	err = size ? image_bytes(s, ino, 0, buf, size) : 0;
	fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (!err && (fd < 0 || write(fd, buf, size) != (ssize_t)size))
		err = -errno;
	if (fd >= 0)
		close(fd);
	free(buf);
	return err;
}

static void take_row(struct seen *s, sqlite3_stmt *q)
{
	struct map_row m = { 0 };
	struct row_seen *r;

	if (s->nrow == s->capr) {
		s->capr = s->capr ? s->capr * 2 : 512;
		s->row = xrealloc(s->row, s->capr * sizeof(*s->row));
	}
	if (sqlite3_column_bytes(q, 0) != AUGUR_OID_LEN)
		return;
	r = &s->row[s->nrow++];
	memset(r, 0, sizeof(*r));
	memcpy(r->oid, sqlite3_column_blob(q, 0), AUGUR_OID_LEN);
	fh_set(&r->fh, sqlite3_column_blob(q, 1), sqlite3_column_bytes(q, 1));
	r->version = sqlite3_column_int64(q, 2);
	r->tag = sqlite3_column_int64(q, 3);
	r->size = sqlite3_column_int64(q, 4);
	r->ctime_sec = sqlite3_column_int64(q, 5);
	r->ctime_nsec = sqlite3_column_int64(q, 6);
	r->mode = sqlite3_column_int64(q, 7);
	r->nlink = sqlite3_column_int64(q, 8);
	r->shift = sqlite3_column_int64(q, 9);
	if (sqlite3_column_type(q, 10) == SQLITE_NULL)
		return;
	memcpy(m.oid, r->oid, AUGUR_OID_LEN);
	m.fh = r->fh;
	m.version = sqlite3_column_int64(q, 11);
	m.tag = sqlite3_column_int64(q, 12);
	m.map = (u8 *)sqlite3_column_blob(q, 10);
	m.len = sqlite3_column_bytes(q, 10);
	/* What the daemon would not believe is no claim. */
	if (m.version != r->version || m.tag != r->tag || m.len != augur_map_bytes(r->size, r->shift) ||
	    map_row_crc(&m) != (u32)sqlite3_column_int64(q, 13))
		return;
	r->bits = xmemdup(m.map, m.len);
	r->bits_len = m.len;
}

static int one_value(sqlite3 *db, const char *sql, void *buf, size_t len)
{
	sqlite3_stmt *q;
	int err = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
		return -1;
	if (sqlite3_step(q) == SQLITE_ROW && (size_t)sqlite3_column_bytes(q, 0) == len) {
		memcpy(buf, sqlite3_column_blob(q, 0), len);
		err = 0;
	}
	sqlite3_finalize(q);
	return err;
}

static int read_pins(struct seen *s, sqlite3 *db)
{
	sqlite3_stmt *q;
	int rc;

	if (sqlite3_prepare_v2(db, "SELECT oid FROM pin", -1, &q, NULL) != SQLITE_OK)
		return -1;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		if (sqlite3_column_bytes(q, 0) != AUGUR_OID_LEN)
			continue;
		s->pin = xrealloc(s->pin, (s->npin + 1) * sizeof(*s->pin));
		memcpy(s->pin[s->npin++], sqlite3_column_blob(q, 0), AUGUR_OID_LEN);
	}
	sqlite3_finalize(q);
	return rc == SQLITE_DONE ? 0 : -1;
}

static int read_rows(struct seen *s, sqlite3 *db)
{
	static const char sql[] =
		"SELECT o.oid, o.fh, o.version, o.tag, o.size, o.ctime, o.ctime_ns, o.mode, o.nlink, o.shift,"
		" m.bits, m.version, m.tag, m.crc FROM obj o LEFT JOIN map m ON m.oid = o.oid";
	char sound[3] = "";
	sqlite3_stmt *q;
	u8 clean = 0;
	int rc;

	if (one_value(db, "PRAGMA quick_check(1)", sound, 2) || strcmp(sound, "ok"))
		return fault(s, "the index is damaged", 0);
	if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
		return 0;	/* from before its tables were made */
	while ((rc = sqlite3_step(q)) == SQLITE_ROW)
		take_row(s, q);
	sqlite3_finalize(q);
	if (rc != SQLITE_DONE)
		return fault(s, "the index cannot be read", rc);
	if (read_pins(s, db))
		return fault(s, "the list of pins cannot be read", 0);
	s->has_db = !one_value(db, "SELECT value FROM meta WHERE key = 'volume_id'", s->volume_id, 16);
	s->clean = !one_value(db, "SELECT value FROM meta WHERE key = 'clean'", &clean, 1) && clean;
	return 0;
}

static int read_index(struct seen *s, const char *cache, const char *work)
{
	CLEANUP_FREE char *db_path = xasprintf("%s/.augur/db", cache), *wal_path = xasprintf("%s/.augur/db-wal", cache);
	CLEANUP_FREE char *db_to = xasprintf("%s/db", work), *wal_to = xasprintf("%s/db-wal", work);
	CLEANUP_FREE char *shm = xasprintf("%s/db-shm", work);
	int err = copy_out(s, db_path, db_to);
	sqlite3 *db = NULL;

	unlink(shm);
	if (err == -ENOENT)
		return 0;
	if (!err) {
		err = copy_out(s, wal_path, wal_to);
		err = err == -ENOENT ? 0 : err;
	}
	if (!err && sqlite3_open_v2(db_to, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		err = -EIO;
	err = err ? fault(s, "the index cannot be copied", err) : read_rows(s, db);
	sqlite3_close(db);
	return err;
}

/* ---- all of it ---- */

int image_read(struct seen *s, const char *image, const char *cache, const char *work)
{
	CLEANUP_FREE char *root = xasprintf("%s/root", cache);
	ext2_filsys fs;
	ext2_ino_t ino;
	errcode_t err;

	memset(s, 0, sizeof(*s));
	err = ext2fs_open(image, EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs);
	if (err)
		return fault(s, "the filesystem cannot be opened", err);
	s->fs = fs;
	if (ext2fs_namei(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, root, &ino))
		return 0;	/* not made yet */
	if (walk(s, ino))
		return -1;
	return read_index(s, cache, work);
}

void image_free(struct seen *s)
{
	for (size_t i = 0; i < s->nname; i++)
		free(s->name[i].name);
	for (size_t i = 0; i < s->nrow; i++)
		free(s->row[i].bits);
	free(s->inode);
	free(s->pin);
	free(s->name);
	free(s->row);
	if (s->fs)
		ext2fs_close_free((ext2_filsys *)&s->fs);
}
