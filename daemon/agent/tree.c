// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tree.c - a walk through the lower tree that pins, unpins, evicts or counts.
 *
 * A pin is a flag in the record of the lower inode, so it holds without the index and in the next
 * daemon; what is made in a pinned directory is pinned (make.c), and so is what takes a pinned
 * object's place, and what is made for an object that was pinned by name (names.c).  An object
 * stays pinned as long as any of its names is in what is pinned.  One directory at a time on a
 * worker; nothing is fetched.  Loop thread, except functions marked worker.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "agent/pin.h"
#include "base/log.h"

#define PROGRESS_NS	(250ull * 1000000)

/* ---- worker ---- */

static int flag_set(struct tree *w, const struct tree_ent *e, bool set)
{
	return lower_record_flags(w->c, &e->fh, e->oid, set ? AUGUR_REC_PINNED : 0, set ? 0 : AUGUR_REC_PINNED);
}

/* Flags the inode as the walk wants; what it holds in *e. */
static int flag_one(struct tree *w, int fd, struct tree_ent *e)
{
	struct augur_rec rec;
	struct stat st;
	int err = lower_record_look(fd, &rec);

	if (err)
		return err;
	if (fstat(fd, &st))
		return -errno;
	err = fh_of(fd, "", &e->fh);
	if (err)
		return err;
	memcpy(e->oid, rec.oid, AUGUR_OID_LEN);
	e->is_dir = S_ISDIR(st.st_mode);
	e->bytes = S_ISREG(st.st_mode) ? (u64)st.st_blocks * 512 : 0;
	e->pinned = rec.flags & AUGUR_REC_PINNED;
	e->linked = w->what == TREE_UNPIN && w->nkeep && S_ISREG(st.st_mode) && st.st_nlink > 1;
	if ((!S_ISREG(st.st_mode) && !e->is_dir) || e->linked || w->phase == TREE_OTHERS)
		return 0;
	return w->what <= TREE_UNPIN ? flag_set(w, e, w->what == TREE_PIN) : 0;
}

static int cmp_oid(const void *a, const void *b)
{
	return memcmp(a, ((const struct index_pin *)b)->oid, AUGUR_OID_LEN);
}

static bool is_kept(const struct tree *w, const u8 *oid)
{
	return bsearch(oid, w->keep, w->nkeep, sizeof(*w->keep), cmp_oid);
}

static void step_name(struct tree *w, int dir, const char *name)
{
	CLEANUP_CLOSE int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct tree_ent *e = &w->ents[w->n];
	struct augur_rec rec;

	memset(e, 0, sizeof(*e));
	if (fd < 0)
		return;
	/* Pinned by itself: it and what is below stay. */
	if (w->nkeep && w->phase == TREE_NAMED && !lower_record_look(fd, &rec) && is_kept(w, rec.oid))
		return;
	if (flag_one(w, fd, e))
		w->errors++;
	else
		w->n++;
}

/* One directory: itself first, so that what is made in it meanwhile is pinned. */
static int step_dir(struct tree *w)
{
	CLEANUP_CLOSE int fd = fh_open(w->c->top_fd, &w->dir.fh, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	struct lower_name *names = NULL;
	size_t n = 0;
	int err;

	if (fd < 0)
		return fd;
	err = flag_one(w, fd, &w->dir);
	if (!err && w->dir.is_dir)
		err = lower_list_names(fd, &names, &n);
	w->ents = xcalloc(n + 1, sizeof(*w->ents));
	if (!err && !w->dir.is_dir)
		w->ents[w->n++] = w->dir;
	for (size_t i = 0; i < n && !err; i++)
		step_name(w, fd, names[i].name);
	lower_names_free(names, n);
	return err;
}

static int step_work(void *arg)
{
	struct tree *w = arg;

#ifdef AUGUR_SEED_NO_PIN_SYNC	/* a seeded bug that tests/powercut has to find */
	if (w->phase == TREE_SYNC)
		return 0;
#endif
	if (w->phase == TREE_SYNC)
		return syncfs(w->c->top_fd) ? -errno : 0;
	if (w->phase < TREE_ASIDE)
		return step_dir(w);
	for (size_t i = 0; i < w->n; i++)
		w->errors += flag_set(w, &w->ents[i], w->phase == TREE_LATE) != 0;
	return 0;
}

/* ---- loop ---- */

struct tree *tree_new(struct agent *ag, enum tree_what what, void (*done)(struct tree *w))
{
	struct tree *w = xcalloc(1, sizeof(*w));

	w->ag = ag;
	w->what = what;
	w->done = done;
	list_init(&w->link);
	list_init(&w->dirs);
	map_init(&w->aside, offsetof(struct tree_ent, oid), AUGUR_OID_LEN);
	return w;
}

void tree_pop(struct tree_dir *d)
{
	list_del(&d->link);
	free(d->path);
	free(d);
}

static void dirs_drop(struct tree *w)
{
	while (!list_empty(&w->dirs))
		tree_pop(list_first(&w->dirs, struct tree_dir, link));
}

void tree_free(struct tree *w)
{
	struct tree_ent *e;
	size_t it = 0;

	dirs_drop(w);
	while ((e = map_next(&w->aside, &it)))
		free(e);
	map_free(&w->aside);
	list_del(&w->link);
	free(w->ents);
	free(w->late);
	free(w->above);
	index_pins_free(w->keep, w->nkeep);
	if (w->v)
		vol_put(w->v);
	free(w);
}

void tree_push(struct tree *w, const struct tree_ent *e, const char *path)
{
	struct tree_dir *d = xcalloc(1, sizeof(*d));

	d->e = *e;
	d->path = path ? xstrdup(path) : NULL;
	list_add_tail(&w->dirs, &d->link);
}

static void aside_drop(struct tree *w, const u8 *oid)
{
	free(map_del(&w->aside, oid));
}

/* It got a name in a pinned directory while others of its names are unpinned. */
void tree_linked(struct vol *v, const u8 *oid, const struct fh *fh)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &v->unpins) {
		struct tree *w = container_of(p, struct tree, link);
		struct tree_ent *e;

		aside_drop(w, oid);
		w->late = xrealloc(w->late, (w->nlate + 1) * sizeof(*w->late));
		e = &w->late[w->nlate++];
		memset(e, 0, sizeof(*e));
		memcpy(e->oid, oid, AUGUR_OID_LEN);
		e->fh = *fh;
	}
}

static void evicted(void *arg, const struct evict_result *res)
{
	struct tree *w = arg;

	evict_result_add(&w->sum, res);
	evict_result_add(&w->v->space.sum, res);
	tree_next(w);
}

/* The files of the step that hold bytes, a batch at a time; false: none is left. */
static bool evict_more(struct tree *w)
{
	u8 oids[EVICT_BATCH][AUGUR_OID_LEN];
	size_t n = 0;

	for (; w->at < w->n && n < EVICT_BATCH; w->at++)
		if (!w->ents[w->at].is_dir && w->ents[w->at].bytes)
			memcpy(oids[n++], w->ents[w->at].oid, AUGUR_OID_LEN);
	if (!n || w->v->dead || w->gone)
		return false;
	evict_objects(w->v, oids, n, evicted, w);
	return true;
}

/* Of a directory: it is walked next.  True: nothing else is to be done with it now. */
static bool take_apart(struct tree *w, const struct tree_ent *e)
{
	if (e->is_dir) {
		if (e->fh.len != w->dir.fh.len || memcmp(e->fh.b, w->dir.fh.b, e->fh.len))
			tree_push(w, e, NULL);
		return true;
	}
	if (w->phase == TREE_OTHERS) {
		aside_drop(w, e->oid);
		return true;
	}
	if (w->phase == TREE_NAMED && e->linked && !map_get(&w->aside, e->oid))
		map_put(&w->aside, xmemdup(e, sizeof(*e)));
	return w->phase == TREE_NAMED && e->linked;
}

static void take_ent(struct tree *w, const struct tree_ent *e)
{
	struct vol *v = w->v;
	bool set = w->what == TREE_PIN || w->phase == TREE_LATE;

	if (w->what == TREE_UNPIN && e->is_dir && !v->dead)
		use_dir(v->c, e->oid);
	if (take_apart(w, e))
		return;
	if (w->phase != TREE_LATE && (w->what != TREE_COUNT || e->pinned)) {
		w->files++;
		w->bytes += e->bytes;
	}
	if (v->dead || w->what == TREE_EVICT || w->what == TREE_COUNT)
		return;
	/* One that is not in memory gets it from its record. */
	if (v->m)
		upcall_pin(v->m, e->oid, NULL, set);
	if (!set && e->bytes)
		use_filled(v->c, e->oid, e->bytes);
}

static void show(struct tree *w)
{
	u64 now = io_now(w->ag->io);

	if (!w->r || w->gone || now - w->shown_ns < PROGRESS_NS)
		return;
	w->shown_ns = now;
	ctl_progress(w->r, json_pack("{s:I, s:I, s:I, s:I, s:I}", "files", (json_int_t)w->files, "bytes", (json_int_t)w->bytes,
				     "total_files", (json_int_t)w->files, "total_bytes", (json_int_t)w->bytes,
				     "eta_s", (json_int_t)0));
}

/* What is answered is on disk: what was flagged, and the list. */
static void tree_over(struct tree *w)
{
	w->over = true;
	if (!w->rows)
		w->done(w);
}

void tree_row_written(void *arg, int res)
{
	struct tree *w = arg;

	w->errors += res != 0;
	w->rows--;
	if (w->over)
		tree_over(w);
}

static void step_done(struct io_op *op, int res)
{
	struct tree *w = container_of(op, struct tree, op);

	cache_worked(w->c);
	w->errors += res != 0;
	if (w->phase == TREE_SYNC) {
		tree_over(w);
		return;
	}
	for (size_t i = 0; i < w->n; i++)
		take_ent(w, &w->ents[i]);
	w->at = 0;
	show(w);
	tree_next(w);
}

/* What was put aside and no other pin has: the step's. */
static void aside_take(struct tree *w)
{
	struct tree_ent *e;
	size_t it = 0;

	w->ents = xcalloc(w->aside.live + 1, sizeof(*w->ents));
	while ((e = map_next(&w->aside, &it)))
		w->ents[w->n++] = *e;
	w->phase = TREE_ASIDE;
}

/* No directory is left: the next phase.  False: there is none. */
static bool turn(struct tree *w)
{
	if (w->what > TREE_UNPIN || w->v->dead)
		return false;
	if (w->phase == TREE_NAMED && w->aside.live && !w->gone) {
		w->phase = TREE_OTHERS;
		for (size_t i = 0; i < w->nkeep; i++)
			if (w->keep[i].fh.len)
				tree_push(w, &(struct tree_ent){ .fh = w->keep[i].fh, .is_dir = true }, NULL);
	} else if (w->phase <= TREE_OTHERS && w->aside.live && !w->gone) {
		aside_take(w);
	} else if (w->nlate) {
		w->ents = w->late;
		w->n = w->nlate;
		w->late = NULL;
		w->nlate = 0;
		w->phase = TREE_LATE;
	} else {
		w->phase = TREE_SYNC;
	}
	return true;
}

void tree_next(struct tree *w)
{
	if (w->what == TREE_EVICT && evict_more(w))
		return;
	free(w->ents);
	w->ents = NULL;
	w->n = w->at = 0;
	w->op.done = step_done;
	if (w->v->dead || w->gone || (w->phase == TREE_OTHERS && !w->aside.live))
		dirs_drop(w);
	while (list_empty(&w->dirs)) {
		if (!turn(w)) {
			tree_over(w);
			return;
		}
		if (w->phase >= TREE_ASIDE)
			break;
	}
	if (w->phase < TREE_ASIDE) {
		struct tree_dir *d = list_first(&w->dirs, struct tree_dir, link);

		w->dir = d->e;
		tree_pop(d);
	}
	cache_work(w->c, &w->op, step_work, w);
}
