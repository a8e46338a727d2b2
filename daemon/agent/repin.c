// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * repin.c - what is made at a path that was pinned is pinned.
 *
 * Who takes a pinned object's place while it is there gets the pin from its record (stub.c).  Here
 * is the rest: it was removed, renamed, or a directory above it was, before something came to the
 * path.  Few names are the last of a path in the list of pins; only for those the index is asked
 * where their directory is.  Loop thread only.
 */
#include <sys/stat.h>

#include "agent/pin.h"

static bool may_be_placed(const struct vol *v, const struct stub_ent *s)
{
	return !s->pinned && (S_ISREG(s->attr.mode) || S_ISDIR(s->attr.mode)) && pin_expects(v->c, s->name, s->name_len);
}

/* The pin that was named by this place, by a mount point that there is. */
static const u8 *named_at(struct vol *v, const char *rel)
{
	const u8 *found = NULL;
	const char *path;
	size_t it = 0;

	while (!found && (path = pin_ending(v->c, rel, &it))) {
		CLEANUP_FREE char *point = verbs_point(v, path);

		if (point && strlen(path) == strlen(point) + 1 + strlen(rel) && !strncmp(path, point, strlen(point)))
			found = pin_newest(v->c, path);
	}
	return found;
}

static void place_known(void *arg, const char *place)
{
	struct dir_job *dj = arg;
	struct vol *v = dj->d->v;

	for (u32 i = 0; place && !v->dead && i < dj->j->n; i++) {
		struct stub_ent *s = &dj->j->ents[i];
		CLEANUP_FREE char *rel = NULL;
		const u8 *pin;

		if (!may_be_placed(v, s))
			continue;
		rel = xasprintf("%s%s%s", place, *place ? "/" : "", s->name);
		pin = named_at(v, rel);
		if (!pin)
			continue;
		/* In the list first: what is pinned and not there nobody finds. */
		pin_replace(v->c, pin, s->attr.oid);
		s->pinned = s->placed = true;
	}
	dj->repinned(dj);
}

void repin_job(struct dir_job *dj, void (*next)(struct dir_job *dj))
{
	struct dwork *d = dj->d;
	u32 i = 0;

	while (i < dj->j->n && !may_be_placed(d->v, &dj->j->ents[i]))
		i++;
	if (i == dj->j->n) {
		next(dj);
		return;
	}
	dj->repinned = next;
	index_place(d->v->c, d->oid, place_known, dj);
}

/* It was there before, and so was what is below it. */
void repin_tree(struct vol *v, const struct fh *fh)
{
	struct tree *w = tree_new(v->ag, TREE_PIN, tree_free);

	w->v = vol_get(v);
	w->c = v->c;
	tree_push(w, &(struct tree_ent){ .fh = *fh, .is_dir = true }, NULL);
	tree_next(w);
}
