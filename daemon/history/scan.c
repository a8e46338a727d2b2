// SPDX-License-Identifier: GPL-2.0-or-later
/* scan.c - the detector of tree walks (scan.h). */
#include "base/mem.h"
#include "history/scan.h"

#define SESSIONS_MAX	128
#define SEEN_MAX	8192	/* objects of a session; then its counts are halved and it begins anew */
#define SEEN_MIN	64

#define DIRS_MIN	32	/* so many directories are a walk */
#define FILES_MIN	64	/* so many files are worth a verdict */
#define ORDER_MIN	64	/* steps from a name to a later one */

struct session {
	u64		key;
	struct list	link;		/* the one used last at the end */
	bool		scanner;
	u32		opens, reopens, files;	/* of files; of those met before; met first */
	u32		lists, relists, dirs;	/* the same of directories */
	u64		entries, subdirs;	/* in those that were met first */
	u32		covered;		/* files met first in a directory that was listed */
	u32		later, earlier;		/* steps within a directory, by name */
	s64		last_parent;
	char		last_head[SCAN_HEAD];
	u32		*seen;			/* open addressing; 0: free */
	u32		nseen, cap;
};

struct scan {
	struct map	sessions;
	struct list	lru;
};

/* ---- what a session has met ---- */

static u32 mark_of(s64 object, bool listing)
{
	u32 m = (u32)object << 1 | listing;

	return m ? m : 1;
}

static u32 *seen_slot(const struct session *s, u32 mark)
{
	u32 i = mark * 0x9e3779b1u;

	for (i &= s->cap - 1; s->seen[i] && s->seen[i] != mark; i = (i + 1) & (s->cap - 1))
		;
	return &s->seen[i];
}

static bool has_seen(const struct session *s, s64 object, bool listing)
{
	return s->cap && *seen_slot(s, mark_of(object, listing));
}

static void grow(struct session *s)
{
	u32 *old = s->seen, n = s->cap;

	s->cap = n ? n * 2 : SEEN_MIN;
	s->seen = xcalloc(s->cap, sizeof(*s->seen));
	for (u32 i = 0; i < n; i++)
		if (old[i])
			*seen_slot(s, old[i]) = old[i];
	free(old);
}

/* Old things count half; what they were is forgotten. */
static void halve(struct session *s)
{
	memset(s->seen, 0, s->cap * sizeof(*s->seen));
	s->nseen = 0;
	s->opens /= 2;
	s->reopens /= 2;
	s->files /= 2;
	s->lists /= 2;
	s->relists /= 2;
	s->dirs /= 2;
	s->entries /= 2;
	s->subdirs /= 2;
	s->covered /= 2;
	s->later /= 2;
	s->earlier /= 2;
}

/* True if it is met for the first time. */
static bool see(struct session *s, s64 object, bool listing)
{
	u32 mark = mark_of(object, listing), *slot;

	if (s->nseen * 2 >= s->cap)
		grow(s);
	slot = seen_slot(s, mark);
	if (*slot)
		return false;
	if (s->nseen == SEEN_MAX) {
		halve(s);
		slot = seen_slot(s, mark);
	}
	*slot = mark;
	s->nseen++;
	return true;
}

/* ---- sessions ---- */

static void session_drop(struct scan *sc, struct session *s)
{
	list_del(&s->link);
	map_del(&sc->sessions, &s->key);
	free(s->seen);
	free(s);
}

static struct session *session_get(struct scan *sc, u64 key)
{
	struct session *s = map_get(&sc->sessions, &key);

	if (s) {
		list_del(&s->link);
	} else {
		if (sc->sessions.live >= SESSIONS_MAX)
			session_drop(sc, list_first(&sc->lru, struct session, link));
		s = xcalloc(1, sizeof(*s));
		s->key = key;
		map_put(&sc->sessions, s);
	}
	list_add_tail(&sc->lru, &s->link);
	return s;
}

struct scan *scan_new(void)
{
	struct scan *sc = xcalloc(1, sizeof(*sc));

	map_init(&sc->sessions, offsetof(struct session, key), sizeof(u64));
	list_init(&sc->lru);
	return sc;
}

void scan_free(struct scan *sc)
{
	if (!sc)
		return;
	while (!list_empty(&sc->lru))
		session_drop(sc, list_first(&sc->lru, struct session, link));
	map_free(&sc->sessions);
	free(sc);
}

bool scan_is(const struct scan *sc, u64 session)
{
	const struct session *s = map_get(&sc->sessions, &session);

	return s && s->scanner;
}

/* ---- the verdict ---- */

static void note_listing(struct session *s, const struct scan_event *e)
{
	s->lists++;
	if (!see(s, e->object, true)) {
		s->relists++;
		return;
	}
	s->dirs++;
	s->entries += e->entries;
	s->subdirs += min(e->subdirs, e->entries);
}

static void note_order(struct session *s, const struct scan_event *e)
{
	int step = e->head && e->parent && e->parent == s->last_parent ? memcmp(e->head, s->last_head, SCAN_HEAD) : 0;

	s->later += step > 0;
	s->earlier += step < 0;
	s->last_parent = e->head ? e->parent : 0;
	if (e->head)
		memcpy(s->last_head, e->head, SCAN_HEAD);
}

static void note_open(struct session *s, const struct scan_event *e)
{
	s->opens++;
	if (!see(s, e->object, false)) {
		s->reopens++;
		return;
	}
	s->files++;
	s->covered += e->parent && has_seen(s, e->parent, true);
	note_order(s, e);
}

/* Things are met again and again: one file in @part, one directory in five. */
static bool works(const struct session *s, u32 part)
{
	return (u64)s->reopens * part > s->opens || s->relists * 5ull > s->lists;
}

static bool walks(const struct session *s)
{
	u64 listed_files = s->entries - s->subdirs;

	if (s->dirs >= DIRS_MIN && s->files * 4ull <= s->dirs)
		return true;
	if (s->files >= FILES_MIN && s->covered * 4ull >= s->files * 3ull && s->covered * 4ull >= listed_files * 3)
		return true;
	if (s->dirs >= DIRS_MIN && s->subdirs >= DIRS_MIN - 1 && (s->dirs - 1) * 5ull >= s->subdirs * 4)
		return true;
	return s->files >= 2 * FILES_MIN && s->later >= ORDER_MIN && s->later >= s->earlier * 9ull;
}

enum scan_verdict scan_note(struct scan *sc, const struct scan_event *e, struct scan_counts *c)
{
	struct session *s = session_get(sc, e->session);
	bool was = s->scanner;

	if (e->listing)
		note_listing(s, e);
	else
		note_open(s, e);
	/* It takes less to be no candidate than to be cleared, so that no verdict flutters. */
	s->scanner = was ? !works(s, 10) : !works(s, 20) && walks(s);
	if (s->scanner == was)
		return SCAN_SAME;
	*c = (struct scan_counts){ s->files, s->dirs };
	return was ? SCAN_CLEARED : SCAN_FOUND;
}
