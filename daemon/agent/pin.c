// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pin.c - pins, and evictions that somebody asks for: "augur pin", "augur unpin", "augur evict".
 *
 * A pin is a flag in the record of the lower inode, so it holds without the index and in the next
 * daemon; what is made in a pinned directory is pinned (make.c), and so is what takes a pinned
 * object's place.  The table pin keeps what was named, for the list.  A walk goes through the
 * lower tree, one directory at a time on a worker; it fetches nothing.  Loop thread, except
 * functions marked worker.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <fcntl.h>

#include "agent/agent.h"
#include "base/log.h"

#define PROGRESS_NS	(250ull * 1000000)

enum walk_what { WALK_PIN, WALK_UNPIN, WALK_EVICT, WALK_COUNT };

struct walk_ent { u8 oid[AUGUR_OID_LEN]; struct fh fh; u64 bytes; bool is_dir, pinned; };
struct walk_dir { struct list link; struct walk_ent e; };

struct walk {
	struct io_op	op;
	struct agent	*ag;
	struct vol	*v;
	struct cache	*c;
	struct ctl_req	*r;		/* NULL: for ourselves */
	enum walk_what	what;
	struct list	dirs;
	struct walk_ent	dir, *ents;	/* of the step */
	size_t		n, at;
	bool		sync;		/* the step is the last: what was flagged becomes durable */
	bool		over;		/* no step is left */
	unsigned int	rows;		/* of the list, being written */
	struct index_pin *keep;		/* unpin: what is pinned by itself, below */
	size_t		nkeep;
	u64		files, bytes, errors, shown_ns;
	struct evict_result sum;
	bool		gone;
	void		(*done)(struct walk *w);
	void		*arg;
};

static void walk_next(struct walk *w);

/* ---- worker ---- */

/* Flags the inode as the walk wants; what it holds in *e. */
static int flag_one(struct walk *w, int fd, struct walk_ent *e)
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
	if (!S_ISREG(st.st_mode) && !e->is_dir)
		return 0;
	if (w->what == WALK_PIN)
		return lower_record_flags(w->c, &e->fh, e->oid, AUGUR_REC_PINNED, 0);
	return w->what == WALK_UNPIN ? lower_record_flags(w->c, &e->fh, e->oid, 0, AUGUR_REC_PINNED) : 0;
}

static bool is_kept(const struct walk *w, const u8 *oid)
{
	for (size_t i = 0; i < w->nkeep; i++)
		if (!memcmp(w->keep[i].oid, oid, AUGUR_OID_LEN))
			return true;
	return false;
}

static void step_name(struct walk *w, int dir, const char *name)
{
	CLEANUP_CLOSE int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct walk_ent *e = &w->ents[w->n];
	struct augur_rec rec;

	memset(e, 0, sizeof(*e));
	if (fd < 0)
		return;
	/* Pinned by itself: it and what is below stay. */
	if (w->nkeep && !lower_record_look(fd, &rec) && is_kept(w, rec.oid))
		return;
	if (flag_one(w, fd, e))
		w->errors++;
	else
		w->n++;
}

/* One directory: itself first, so that what is made in it meanwhile is pinned. */
static int step_work(void *arg)
{
	struct walk *w = arg;
	CLEANUP_CLOSE int fd = -1;
	struct lower_name *names = NULL;
	size_t n = 0;
	int err;

#ifdef AUGUR_SEED_NO_PIN_SYNC	/* a seeded bug that tests/powercut has to find */
	if (w->sync)
		return 0;
#endif
	if (w->sync)
		return syncfs(w->c->top_fd) ? -errno : 0;
	fd = fh_open(w->c->top_fd, &w->dir.fh, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
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

/* ---- loop ---- */

static void walk_free(struct walk *w)
{
	while (!list_empty(&w->dirs)) {
		struct walk_dir *d = list_first(&w->dirs, struct walk_dir, link);

		list_del(&d->link);
		free(d);
	}
	free(w->ents);
	free(w->keep);
	if (w->v)
		vol_put(w->v);
	free(w);
}

static void dir_push(struct walk *w, const struct walk_ent *e)
{
	struct walk_dir *d = xcalloc(1, sizeof(*d));

	d->e = *e;
	list_add_tail(&w->dirs, &d->link);
}

static void evicted(void *arg, const struct evict_result *res)
{
	struct walk *w = arg;

	evict_result_add(&w->sum, res);
	evict_result_add(&w->v->space.sum, res);
	walk_next(w);
}

/* The files of the step that hold bytes, a batch at a time; false: none is left. */
static bool evict_more(struct walk *w)
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

static void take_ent(struct walk *w, const struct walk_ent *e)
{
	struct vol *v = w->v;

	if (e->is_dir) {
		if (e->fh.len != w->dir.fh.len || memcmp(e->fh.b, w->dir.fh.b, e->fh.len))
			dir_push(w, e);
		return;
	}
	if (w->what != WALK_COUNT || e->pinned)
		w->files++;
	if (w->what != WALK_COUNT || e->pinned)
		w->bytes += e->bytes;
	if (v->dead || w->what == WALK_EVICT || w->what == WALK_COUNT)
		return;
	/* One that is not in memory gets it from its record. */
	if (v->m)
		upcall_pin(v->m, e->oid, NULL, w->what == WALK_PIN);
	if (w->what == WALK_UNPIN && e->bytes)
		use_filled(v->c, e->oid, e->bytes);
}

static void show(struct walk *w)
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
static void walk_over(struct walk *w)
{
	w->over = true;
	if (!w->rows)
		w->done(w);
}

static void row_written(void *arg, int res)
{
	struct walk *w = arg;

	w->errors += res != 0;
	w->rows--;
	if (w->over)
		walk_over(w);
}

static void step_done(struct io_op *op, int res)
{
	struct walk *w = container_of(op, struct walk, op);

	cache_worked(w->c);
	w->errors += res != 0;
	if (w->sync) {
		walk_over(w);
		return;
	}
	for (size_t i = 0; i < w->n; i++)
		take_ent(w, &w->ents[i]);
	w->at = 0;
	show(w);
	walk_next(w);
}

static void walk_next(struct walk *w)
{
	struct walk_dir *d;

	if (w->what == WALK_EVICT && evict_more(w))
		return;
	free(w->ents);
	w->ents = NULL;
	w->n = w->at = 0;
	w->op.done = step_done;
	if (list_empty(&w->dirs) || w->v->dead || w->gone) {
		if (w->what > WALK_UNPIN || w->v->dead) {
			walk_over(w);
			return;
		}
		w->sync = true;
	} else {
		d = list_first(&w->dirs, struct walk_dir, link);
		list_del(&d->link);
		w->dir = d->e;
		free(d);
	}
	cache_work(w->c, &w->op, step_work, w);
}

/* ---- what is pinned, in all ---- */

static void measured(struct walk *w)
{
	if (!w->errors)
		w->v->pinned_bytes = w->bytes;
	w->v->measuring = false;
	walk_free(w);
}

static void measure_from(void *arg, struct index_pin *p, size_t n)
{
	struct walk *w = arg;
	struct walk_ent e = { .is_dir = true };

	for (size_t i = 0; i < n; i++) {
		if (p[i].fh.len < 5)
			continue;
		e.fh = p[i].fh;
		dir_push(w, &e);
	}
	w->v->npins = n;
	free(p);
	walk_next(w);
}

void pins_measure(struct vol *v)
{
	struct walk *w;

	if (v->measuring || v->dead)
		return;
	v->measuring = true;
	w = xcalloc(1, sizeof(*w));
	w->ag = v->ag;
	w->v = vol_get(v);
	w->c = v->c;
	w->what = WALK_COUNT;
	w->done = measured;
	list_init(&w->dirs);
	index_pins(v->c, measure_from, w);
}

/* ---- verbs ---- */

static void walk_gone(void *arg)
{
	((struct walk *)arg)->gone = true;
}

static json_t *refused_json(const struct evict_result *res)
{
	static const char *const names[] = {
		"other", "open", "mapped", "filling", "dirty", "pinned", "reading", "claimed", "capability"
	};
	json_t *o = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (res->refused[i])
			json_object_set_new(o, names[i], json_integer(res->refused[i]));
	return o;
}

static void answered(struct walk *w)
{
	json_t *o = json_object();

	if (w->what == WALK_EVICT) {
		json_object_set_new(o, "evicted", json_integer(w->sum.evicted));
		json_object_set_new(o, "bytes", json_integer((json_int_t)w->sum.freed));
		json_object_set_new(o, "refused", refused_json(&w->sum));
	} else {
		json_object_set_new(o, "files", json_integer((json_int_t)w->files));
		json_object_set_new(o, "bytes", json_integer((json_int_t)w->bytes));
		log_notice("event=%s volume=%s files=%llu errors=%llu", w->what == WALK_PIN ? "pin" : "unpin", w->v->volume,
			   (unsigned long long)w->files, (unsigned long long)w->errors);
		pins_measure(w->v);
	}
	json_object_set_new(o, "errors", json_integer((json_int_t)w->errors));
	ctl_ok(w->r, o);
	walk_free(w);
}

/* The object at a path becomes the first step; *path_oid is its oid. */
static int walk_path(struct walk *w, const char *path)
{
	struct walk_ent e = { .is_dir = true };
	struct augur_rec rec;
	struct vol *v = NULL;
	int fd, err = verbs_path(w->ag, path, &v, &fd);

	if (err)
		return err;
	err = lower_record_look(fd, &rec);
	if (!err)
		err = fh_of(fd, "", &e.fh);
	close(fd);
	if (!err && w->v && w->v != v)
		err = -EXDEV;
	if (err)
		return err;
	if (!w->v) {
		w->v = vol_get(v);
		w->c = v->c;
	}
	memcpy(e.oid, rec.oid, AUGUR_OID_LEN);
	dir_push(w, &e);
	return 0;
}

/* The list has what is named; dirs are the objects at the paths. */
static void list_paths(struct walk *w, json_t *paths)
{
	struct list *l = w->dirs.next;
	json_t *p;
	size_t i;

	w->rows = json_array_size(paths);
	json_array_foreach(paths, i, p) {
		index_pin_put(w->c, container_of(l, struct walk_dir, link)->e.oid, json_string_value(p), w->what == WALK_UNPIN,
			      row_written, w);
		l = l->next;
	}
}

static void bytes_next(struct walk *w);

static void bytes_evicted(void *arg, const struct evict_result *res)
{
	struct walk *w = arg;

	evict_result_add(&w->sum, res);
	evict_result_add(&w->v->space.sum, res);
	bytes_next(w);
}

static void bytes_found(void *arg, struct use_brief *b, size_t n)
{
	struct walk *w = arg;
	u8 oids[EVICT_BATCH][AUGUR_OID_LEN];
	size_t k = 0;

	for (u64 sum = w->sum.freed; k < n && sum < w->bytes; sum += b[k++].bytes)
		memcpy(oids[k], b[k].oid, AUGUR_OID_LEN);
	if (k) {
		memcpy(w->dir.oid, b[k - 1].oid, AUGUR_OID_LEN);
		w->shown_ns = (u64)b[k - 1].rank;
		evict_objects(w->v, oids, k, bytes_evicted, w);
	} else {
		answered(w);
	}
	free(b);
}

/* --bytes: the oldest first, as the watermarks would. w->bytes: how many; dir.oid, shown_ns: where it is. */
static void bytes_next(struct walk *w)
{
	struct use_brief after = { .rank = (s64)w->shown_ns };

	memcpy(after.oid, w->dir.oid, AUGUR_OID_LEN);
	if (w->sum.freed >= w->bytes || w->v->dead || w->gone)
		answered(w);
	else
		use_oldest(w->c, &after, EVICT_BATCH, bytes_found, w);
}

static void keep_known(void *arg, struct index_pin *p, size_t n)
{
	struct walk *w = arg;
	size_t kept = 0;

	/* Those named now are no pins any more. */
	for (size_t i = 0; i < n; i++) {
		bool named = false;

		for (struct list *l = w->dirs.next; l != &w->dirs; l = l->next)
			named |= !memcmp(container_of(l, struct walk_dir, link)->e.oid, p[i].oid, AUGUR_OID_LEN);
		if (!named)
			p[kept++] = p[i];
	}
	w->keep = p;
	w->nkeep = kept;
	walk_next(w);
}

static void walk_refuse(struct walk *w, int err, const char *path)
{
	struct ctl_req *r = w->r;

	walk_free(w);
	if (err == -EXDEV || err == -EINVAL)
		ctl_fail(r, AUGUR_E_USAGE, err, "%s", log_esc(path, strlen(path)));
	else if (err == -ENXIO)
		ctl_fail(r, AUGUR_E_NOT_MOUNTED, -ENOENT, "%s", log_esc(path, strlen(path)));
	else
		ctl_fail(r, AUGUR_E_NOT_MOUNTED, err, "%s has not been looked up here yet, or does not exist",
			 log_esc(path, strlen(path)));
}

static void walk_run(struct agent *ag, struct ctl_req *r, json_t *args, enum walk_what what)
{
	struct walk *w = xcalloc(1, sizeof(*w));
	json_t *paths = json_object_get(args, "paths"), *p;
	s64 bytes = ctl_arg_int(args, "bytes", 0);
	int err = json_array_size(paths) ? 0 : -EINVAL;
	size_t i;

	w->ag = ag;
	w->r = r;
	w->what = what;
	w->done = answered;
	list_init(&w->dirs);
	json_array_foreach(paths, i, p) {
		const char *path = json_string_value(p);

		err = path ? walk_path(w, path) : -EINVAL;
		if (err) {
			walk_refuse(w, err, path ? path : "?");
			return;
		}
	}
	if (err || bytes < 0 || !w->v->m) {
		walk_refuse(w, err || bytes < 0 ? -EINVAL : -ENXIO, "paths");
		return;
	}
	ctl_on_gone(r, walk_gone, w);
	if (what <= WALK_UNPIN)
		list_paths(w, paths);
	if (what == WALK_EVICT && bytes) {
		w->bytes = bytes;
		w->shown_ns = (u64)INT64_MIN;
		bytes_next(w);
	} else if (what == WALK_UNPIN) {
		index_pins(w->c, keep_known, w);
	} else {
		walk_next(w);
	}
}

void pin_verb(void *ctx, struct ctl_req *r, json_t *args)
{
	walk_run(ctx, r, args, WALK_PIN);
}

void unpin_verb(void *ctx, struct ctl_req *r, json_t *args)
{
	walk_run(ctx, r, args, WALK_UNPIN);
}

void evict_verb(void *ctx, struct ctl_req *r, json_t *args)
{
	walk_run(ctx, r, args, WALK_EVICT);
}

/* ---- the list ---- */

struct pins_list { struct ctl_req *r; struct agent *ag; struct vol *v; size_t rows; };

static void pins_next(struct pins_list *pl);

static void pins_known(void *arg, struct index_pin *p, size_t n)
{
	struct pins_list *pl = arg;

	for (size_t i = 0; i < n; i++)
		ctl_row(pl->r, json_pack("{s:o, s:o, s:b}", "path", ctl_json_bytes(p[i].path, strlen(p[i].path)),
					 "volume", ctl_json_bytes(pl->v->volume, strlen(pl->v->volume)), "here", p[i].fh.len >= 5));
	free(p);
	pl->rows += n;
	pins_next(pl);
}

static void pins_next(struct pins_list *pl)
{
	struct list *l = pl->v ? pl->v->link.next : pl->ag->vols.next;
	struct vol *last = pl->v;
	bool over = l == &pl->ag->vols || (last && last->dead);

	pl->v = over ? NULL : vol_get(container_of(l, struct vol, link));
	if (last)
		vol_put(last);
	if (over) {
		ctl_ok(pl->r, json_pack("{s:I}", "pins", (json_int_t)pl->rows));
		free(pl);
		return;
	}
	index_pins(pl->v->c, pins_known, pl);
}

void pins_verb(void *ctx, struct ctl_req *r, json_t *args)
{
	struct pins_list *pl = xcalloc(1, sizeof(*pl));

	pl->r = r;
	pl->ag = ctx;
	pins_next(pl);
}
