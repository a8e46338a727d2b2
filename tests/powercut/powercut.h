/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * powercut.h - what a disk holds after the power went, at many moments of one recorded run.
 *
 *	main.c		options, the points, workers, verdicts	states.c	what the origin was, state by state
 *	disklog.c	the log of a disk; images from it	image.c		a cache read out of an image of ext4
 *	judge.c		is anything in it believed that is not true?	judge_pin.c	is everything pinned that has to be?
 *
 * A point is an image: all writes before a flush have happened, and some of those after it.
 * The journal is replayed as a mount would, then the image is read; nothing is mounted.
 */
#ifndef AUGUR_TESTS_POWERCUT_H
#define AUGUR_TESTS_POWERCUT_H

#include <stdio.h>

#include "base/fh.h"
#include "base/mem.h"
#include "common/bitmap.h"
#include "common/record.h"

/* ---- disklog.c ---- */
struct log_entry { u64 off, len, data; bool flush; };
struct disklog {
	u8		*map;		/* the log file */
	size_t		size;
	struct log_entry *e;
	size_t		n;
	size_t		*seg;		/* segment k: entries [seg[k], seg[k + 1]), the last of them a flush */
	size_t		nseg;
	u64		fs_size;	/* writes beyond it are marks */
};
int disklog_open(struct disklog *l, const char *path, u64 fs_size);
/* Writes of segment @seg, those with a bit in @pick (NULL: all). */
void disklog_apply(const struct disklog *l, size_t seg, const u8 *pick, u8 *image);
/* Marks of the workload, MARK_SIZE bytes each behind the filesystem: text. */
enum disk_mark { MARK_EQUAL, MARK_PHASE, MARK_PINS };
#define MARK_SIZE	4096
/* The newest of a kind whose write lies before segment @seg; "" if there is none. */
const char *disklog_mark(const struct disklog *l, size_t seg, enum disk_mark which);
u64 disklog_mark_no(const struct disklog *l, size_t seg, enum disk_mark which);

/* ---- states.c ---- */
struct state_name { char *name; u8 oid[AUGUR_OID_LEN]; };
struct state {
	u64	no;			/* line: grows with time */
	char	type;			/* f d l */
	u8	oid[AUGUR_OID_LEN];
	u64	tag, size, nlink, key;
	s64	ctime_sec, mtime_sec;
	u32	ctime_nsec, mtime_nsec;
	u8	*data;			/* content, or target of a link */
	struct state_name *names;
	size_t	nnames;
};
struct pin_state { u64 no; char what; u8 oid[AUGUR_OID_LEN]; };	/* P pinned, N not so from here on, K kept whole */
struct states { struct state *s; size_t n, cap; struct pin_state *p; size_t npins; u8 uuid[16]; };
int states_read(struct states *st, const char *path, const u8 volume_id[16]);
const struct state *state_by_ctime(const struct states *st, const u8 *oid, s64 sec, u32 nsec, u64 size, size_t *from);
const struct state *state_by_tag(const struct states *st, const u8 *oid, u64 tag);
/* Was this state over when line @no was written, that is: is there a newer one up to it? */
bool state_over(const struct states *st, const struct state *s, u64 no);
/* The oid of an object named "type:handle". */
int states_oid(const u8 volume_id[16], const u8 uuid[16], const char *text, u8 oid[AUGUR_OID_LEN]);

/* ---- image.c ---- */
struct inode_seen {
	u32	ino, gen, parent;	/* parent: index of the directory */
	u32	mode;
	u64	size;
	bool	valid;			/* rec */
	struct augur_rec rec;
};
struct name_seen { u32 dir, inode; char *name; };	/* indices */
struct row_seen {
	u8	oid[AUGUR_OID_LEN];
	struct fh fh;
	u64	version, tag, size;
	s64	ctime_sec;
	u32	ctime_nsec, mode, nlink, shift;
	u8	*bits;			/* the claim, if it can be believed */
	size_t	bits_len;
};
struct seen {
	void	*fs;
	struct inode_seen *inode;	/* 0: root */
	size_t	ninode, capi;
	struct name_seen *name;
	size_t	nname, capn;
	struct row_seen *row;
	size_t	nrow, capr;
	u8	(*pin)[AUGUR_OID_LEN];	/* what was pinned by name */
	size_t	npin;
	bool	has_db, clean;
	u8	volume_id[16];
	char	fault[200];		/* it cannot be read */
};
/* Reads /<cache>; 0, or -1 with fault. @work: a folder for the database. */
int image_read(struct seen *s, const char *image, const char *cache, const char *work);
void image_free(struct seen *s);
/* Bytes of an inode, zeros where there are none. */
int image_bytes(const struct seen *s, u32 ino, u64 off, void *buf, size_t len);

/* ---- judge.c ---- */
/* punched: of the false claims those where there is a hole; pins: objects that have to be pinned. */
struct verdict { u64 false_claims, punched, names_lost, pins_lost, claims, names, pins; char first[400]; };
/*
 * @acked, @pins_acked: the states, and lines about pins, up to these are known to whoever used the
 * cache before the power went.
 * @checked: the daemon compares the tree with the index before it believes anything.
 */
struct evidence { const struct states *st; u64 acked, pins_acked; bool checked; };
void judge(struct seen *s, const struct evidence *e, struct verdict *v);
/* judge_pin.c: a pin that was promised is in the records and in the list, and what was whole is. */
void judge_pins(const struct seen *s, const struct evidence *e, struct verdict *v);

#endif
