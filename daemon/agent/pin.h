/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pin.h - private to pin.c and tree.c: a walk through the lower tree. */
#ifndef AUGUR_AGENT_PIN_H
#define AUGUR_AGENT_PIN_H

#include "agent/agent.h"

enum tree_what { TREE_PIN, TREE_UNPIN, TREE_EVICT, TREE_COUNT };

/*
 * An unpinned file with another name, which may lie in what is still pinned, is put aside
 * (TREE_NAMED); what the remaining pins have of those stays (TREE_OTHERS); the others lose the pin
 * (TREE_ASIDE).  What got a name in a pinned directory meanwhile gets it again (TREE_LATE).
 */
enum tree_phase { TREE_NAMED, TREE_OTHERS, TREE_ASIDE, TREE_LATE, TREE_SYNC };

struct tree_ent { u8 oid[AUGUR_OID_LEN]; struct fh fh; u64 bytes; bool is_dir, pinned, linked; };
struct tree_dir { struct list link; struct tree_ent e; char *path; };	/* path: as it was named, or NULL */

struct tree {
	struct io_op	op;
	struct list	link;		/* unpin: vol.unpins */
	struct agent	*ag;
	struct vol	*v;
	struct cache	*c;
	struct ctl_req	*r;		/* NULL: for ourselves */
	enum tree_what	what;
	enum tree_phase	phase;
	struct list	dirs;
	struct tree_ent	dir, *ents;	/* of the step */
	size_t		n, at;
	bool		over;		/* no step is left */
	unsigned int	rows;		/* of the list, being written */
	struct index_pin *keep;		/* unpin: the other pins, by oid */
	size_t		nkeep;
	struct map	aside;		/* struct tree_ent */
	struct tree_ent	*late;
	size_t		nlate;
	u64		files, bytes, errors, kept, shown_ns;
	char		*above;		/* kept: by this pin, one of them */
	struct evict_result sum;
	bool		gone;
	void		(*done)(struct tree *w);
	void		*arg;
};

struct tree *tree_new(struct agent *ag, enum tree_what what, void (*done)(struct tree *w));
void tree_free(struct tree *w);
void tree_push(struct tree *w, const struct tree_ent *e, const char *path);
void tree_pop(struct tree_dir *d);
/* The first directory, or the next; done(w) when none is left. */
void tree_next(struct tree *w);
/* One of w->rows is written: a done() of pin_put() and pin_drop(). */
void tree_row_written(void *arg, int res);

#endif
