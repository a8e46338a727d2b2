/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scan.h - which sessions walk trees: find, grep -r, tar, a backup, an indexer.
 *
 * What such a session opens says nothing about what will be wanted next, so it shall neither
 * train models nor push out what is hot.  Seen from its opens and listings alone: everything is
 * met once, and
 *
 *  - directories are listed one after the other and next to nothing is opened (find, du, ls -R), or
 *  - of the directories that are listed most files are opened (grep -r, tar, cp -r), or
 *  - of the directories that are listed most subdirectories are listed as well (a walk that opens
 *    some of what it finds, as grep --include), or
 *  - many files are opened in the order of their names (git grep, rsync, a pattern of the shell).
 *
 * A build opens its headers again and again.  A program that starts opens few of the files of the
 * directories it lists, in no order, and walks no tree.  A session that is flagged and then works
 * with files again is flagged no more.
 *
 * Memory is bounded: the sessions used last, and of each the objects met last.  No I/O.
 */
#ifndef AUGUR_HISTORY_SCAN_H
#define AUGUR_HISTORY_SCAN_H

#include "common/types.h"

#define SCAN_HEAD	16	/* bytes of a name that are looked at */

struct scan;

/* An open of a file, or a listing of a directory, by number of the dictionary. */
struct scan_event {
	u64	session;
	bool	listing;
	s64	object, parent;		/* parent 0: not known */
	const char *head;		/* its name, cut or padded with NUL to SCAN_HEAD; NULL: not known */
	u64	entries, subdirs;	/* of a listing */
};

enum scan_verdict { SCAN_SAME, SCAN_FOUND, SCAN_CLEARED };

struct scan_counts { u32 files, dirs; };

struct scan *scan_new(void);
void scan_free(struct scan *s);
/* @c: filled for SCAN_FOUND. */
enum scan_verdict scan_note(struct scan *s, const struct scan_event *e, struct scan_counts *c);
bool scan_is(const struct scan *s, u64 session);

#endif
