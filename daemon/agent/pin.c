// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pin.c - what "augur pin", "augur unpin" and "augur evict" ask for, and the list of pins.
 *
 * The walk itself is tree.c's.  The table pin (cache/pins.c) keeps what was named, for the list and
 * because a pin is of the object: it holds whatever becomes of its name.  And of the path: it holds
 * for what is made there (repin.c), until that path is unpinned.  Loop thread only.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/pin.h"
#include "base/log.h"

/* ---- what is pinned, in all ---- */

static void measured(struct tree *w)
{
	if (!w->errors)
		w->v->pinned_bytes = w->bytes;
	w->v->measuring = false;
	tree_free(w);
}

static void measure_from(void *arg, struct index_pin *p, size_t n, int err)
{
	struct tree *w = arg;
	struct tree_ent e = { .is_dir = true };

	for (size_t i = 0; i < n; i++) {
		if (p[i].fh.len < 5)
			continue;
		e.fh = p[i].fh;
		tree_push(w, &e, NULL);
	}
	w->errors += err != 0;
	if (!err)
		w->v->npins = n;
	index_pins_free(p, n);
	tree_next(w);
}

void pins_measure(struct vol *v)
{
	struct tree *w;

	if (v->measuring || v->dead)
		return;
	v->measuring = true;
	w = tree_new(v->ag, TREE_COUNT, measured);
	w->v = vol_get(v);
	w->c = v->c;
	index_pins(v->c, measure_from, w);
}

/* ---- answers ---- */

static void tree_gone(void *arg)
{
	((struct tree *)arg)->gone = true;
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

static void answered(struct tree *w)
{
	json_t *o = json_object();

	if (w->what == TREE_EVICT) {
		json_object_set_new(o, "evicted", json_integer(w->sum.evicted));
		json_object_set_new(o, "bytes", json_integer((json_int_t)w->sum.freed));
		json_object_set_new(o, "refused", refused_json(&w->sum));
	} else {
		json_object_set_new(o, "files", json_integer((json_int_t)w->files));
		json_object_set_new(o, "bytes", json_integer((json_int_t)w->bytes));
		log_notice("event=%s volume=%s files=%llu errors=%llu", w->what == TREE_PIN ? "pin" : "unpin", w->v->volume,
			   (unsigned long long)w->files, (unsigned long long)w->errors);
		json_object_set_new(o, "kept", json_integer((json_int_t)w->kept));
		if (w->above)
			json_object_set_new(o, "above", ctl_json_bytes(w->above, strlen(w->above)));
		pins_measure(w->v);
	}
	json_object_set_new(o, "errors", json_integer((json_int_t)w->errors));
	ctl_ok(w->r, o);
	tree_free(w);
}

/* ---- paths ---- */

static int volume_is(struct tree *w, struct vol *v)
{
	if (w->v && w->v != v)
		return -EXDEV;
	if (!w->v) {
		w->v = vol_get(v);
		w->c = v->c;
	}
	return 0;
}

/* What was pinned by this name, which is not there any more.  -ENOENT: nothing. */
static int push_named(struct tree *w, struct vol *v, const char *path)
{
	const u8 *oids[64];
	size_t n = pin_named(v->c, path, oids, ARRAY_SIZE(oids));
	int err = n ? volume_is(w, v) : -ENOENT;

	for (size_t i = 0; !err && i < n; i++) {
		struct tree_ent e = { .is_dir = true };

		memcpy(e.oid, oids[i], AUGUR_OID_LEN);
		tree_push(w, &e, path);
	}
	return err;
}

static int push_gone(struct tree *w, struct vol *v, const char *path, int err)
{
	struct list *p, *t;

	if (w->what != TREE_UNPIN)
		return err;
	if (v)
		return push_named(w, v, path) == -ENOENT ? err : volume_is(w, v);
	list_for_each_safe(p, t, &w->ag->vols)
		if (!push_named(w, container_of(p, struct vol, link), path))
			return 0;
	return err;
}

/*
 * -ESTALE: it is not what it was, or it is not there any more; a look at it would tell.
 * -EMEDIUMTYPE: what has no bytes to keep, or to let go; *e is filled.
 */
static int at_path(struct agent *ag, const char *path, struct vol **v, struct tree_ent *e)
{
	struct augur_rec rec;
	struct stat st;
	int fd, err = verbs_path(ag, path, v, &fd);

	if (err)
		return err;
	memset(e, 0, sizeof(*e));
	err = fstat(fd, &st) ? -errno : lower_record_look(fd, &rec);
	if (!err)
		err = fh_of(fd, "", &e->fh);
	close(fd);
	if (err)
		return err;
	memcpy(e->oid, rec.oid, AUGUR_OID_LEN);
	e->is_dir = S_ISDIR(st.st_mode);
	e->pinned = rec.flags & AUGUR_REC_PINNED;
	if (rec.flags & AUGUR_REC_STALE)
		return -ESTALE;
	return e->is_dir || S_ISREG(st.st_mode) ? 0 : -EMEDIUMTYPE;
}

/* The object at a path becomes a first step: is_dir, so that it is looked at in any case. */
static int push_path(struct tree *w, const char *path)
{
	struct vol *v = NULL;
	struct tree_ent e;
	int err = at_path(w->ag, path, &v, &e);

	if (err && (err != -EMEDIUMTYPE || w->what == TREE_PIN))
		return push_gone(w, v, path, err);
	e.is_dir = !err;
	err = volume_is(w, v);
	if (!err && (e.is_dir || w->what == TREE_UNPIN))
		tree_push(w, &e, path);
	return err;
}

/* The pin of a directory above, or NULL: what is in a pinned one has the flag. */
static const char *pin_above(struct agent *ag, struct vol *v, const char *path)
{
	CLEANUP_FREE char *up = xstrdup(path);
	char *slash;

	while ((slash = strrchr(up, '/')) && slash != up) {
		struct vol *other = NULL;
		struct tree_ent e;

		*slash = 0;
		if (at_path(ag, up, &other, &e) || other != v || !e.pinned)
			return NULL;
		if (pin_path(v->c, e.oid))
			return pin_path(v->c, e.oid);
	}
	return NULL;
}

/* ---- pin ---- */

static void pin_run(struct tree *w)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &w->dirs) {
		struct tree_dir *d = container_of(p, struct tree_dir, link);

		w->rows++;
		pin_put(w->c, d->e.oid, d->path, tree_row_written, w);
	}
	tree_next(w);
}

/* ---- unpin ---- */

static void drop(struct tree *w, const u8 *oid)
{
	if (!pin_path(w->c, oid))
		return;
	w->rows++;
	pin_drop(w->c, oid, tree_row_written, w);
}

/* It keeps its pin, but not for this path: that is for what is there now, and is let go. */
static void rename_pin(struct tree *w, const struct index_pin *pin)
{
	CLEANUP_FREE char *point = pin->place ? verbs_point(w->v, pin->path) : NULL;
	CLEANUP_FREE char *path = point ? xasprintf("%s/%s", point, pin->place) : NULL;

	if (!path || !pin_path(w->c, pin->oid))
		return;
	w->rows++;
	pin_put(w->c, pin->oid, path, tree_row_written, w);
}

static bool is_named(const struct tree *w, const u8 *oid)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &w->dirs)
		if (!memcmp(container_of(p, struct tree_dir, link)->e.oid, oid, AUGUR_OID_LEN))
			return true;
	return false;
}

/*
 * Of what is in the list: what was named by a path that is not there any more is where the index
 * says; what was named by one of these paths and is nowhere goes with the one that is there now, and
 * what is elsewhere by now stays, by the name that it has there.
 */
static void named_take(struct tree *w, const struct index_pin *pin)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &w->dirs) {
		struct tree_dir *d = container_of(p, struct tree_dir, link);

		if (!memcmp(d->e.oid, pin->oid, AUGUR_OID_LEN)) {
			if (!d->e.fh.len)
				d->e.fh = pin->fh;
		} else if (!strcmp(d->path, pin->path) && !is_named(w, pin->oid)) {
			if (pin->fh.len)
				rename_pin(w, pin);
			else
				drop(w, pin->oid);
		}
	}
}

/* What needs no walk: it is nowhere, it has no bytes, or it stays, as a directory above is pinned. */
static void named_leave(struct tree *w)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &w->dirs)
		drop(w, container_of(p, struct tree_dir, link)->e.oid);
	list_for_each_safe(p, t, &w->dirs) {
		struct tree_dir *d = container_of(p, struct tree_dir, link);
		const char *above = d->e.is_dir && d->e.fh.len ? pin_above(w->ag, w->v, d->path) : NULL;

		if (above) {
			w->kept++;
			free(w->above);
			w->above = xstrdup(above);
		}
		if (above || !d->e.is_dir || !d->e.fh.len)
			tree_pop(d);
	}
}

static int by_oid(const void *a, const void *b)
{
	return memcmp(((const struct index_pin *)a)->oid, ((const struct index_pin *)b)->oid, AUGUR_OID_LEN);
}

/* The other pins, by oid. */
static void keep_others(struct tree *w, struct index_pin *p, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (pin_path(w->c, p[i].oid)) {
			p[kept++] = p[i];
			continue;
		}
		free(p[i].path);
		free(p[i].place);
	}
	if (kept)
		qsort(p, kept, sizeof(*p), by_oid);
	w->keep = p;
	w->nkeep = kept;
}

static void unpin_known(void *arg, struct index_pin *p, size_t n, int err)
{
	struct tree *w = arg;

	if (err) {
		ctl_fail(w->r, AUGUR_E_INTERNAL, err, "the list of pins cannot be read");
		index_pins_free(p, n);
		tree_free(w);
		return;
	}
	for (size_t i = 0; i < n; i++)
		named_take(w, &p[i]);
	named_leave(w);
	keep_others(w, p, n);
	list_add_tail(&w->v->unpins, &w->link);
	tree_next(w);
}

/* ---- evict ---- */

static void bytes_next(struct tree *w);

static void bytes_evicted(void *arg, const struct evict_result *res)
{
	struct tree *w = arg;

	evict_result_add(&w->sum, res);
	evict_result_add(&w->v->space.sum, res);
	bytes_next(w);
}

static void bytes_found(void *arg, struct use_brief *b, size_t n)
{
	struct tree *w = arg;
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
static void bytes_next(struct tree *w)
{
	struct use_brief after = { .rank = (s64)w->shown_ns };

	memcpy(after.oid, w->dir.oid, AUGUR_OID_LEN);
	if (w->sum.freed >= w->bytes || w->v->dead || w->gone)
		answered(w);
	else
		use_oldest(w->c, &after, EVICT_BATCH, bytes_found, w);
}

/* ---- verbs ---- */

static void tree_refuse(struct tree *w, int err, const char *path)
{
	const char *text = log_esc(path, strlen(path));
	struct ctl_req *r = w->r;

	tree_free(w);
	if (err == -EMEDIUMTYPE)
		ctl_fail(r, AUGUR_E_USAGE, -EINVAL, "%s is no file and no directory, so it has no bytes to keep; of a link name what it leads to", text);
	else if (err == -EXDEV)
		ctl_fail(r, AUGUR_E_USAGE, err, "%s is in another mount than the paths before it", text);
	else if (err == -EINVAL)
		ctl_fail(r, AUGUR_E_USAGE, err, "%s", text);
	else if (err == -ENXIO)
		ctl_fail(r, AUGUR_E_NOT_MOUNTED, -ENOENT, "%s", text);
	else
		ctl_fail(r, AUGUR_E_NOT_MOUNTED, err, "%s has not been looked up here yet, or does not exist", text);
}

static void tree_run(struct agent *ag, struct ctl_req *r, json_t *args, enum tree_what what)
{
	struct tree *w = tree_new(ag, what, answered);
	json_t *paths = json_object_get(args, "paths"), *p;
	s64 bytes = ctl_arg_int(args, "bytes", 0);
	int err = json_array_size(paths) ? 0 : -EINVAL;
	size_t i;

	w->r = r;
	json_array_foreach(paths, i, p) {
		const char *path = json_string_value(p);

		err = path ? push_path(w, path) : -EINVAL;
		if (err) {
			tree_refuse(w, err, path ? path : "?");
			return;
		}
	}
	if (err || bytes < 0 || !w->v->m) {
		tree_refuse(w, err || bytes < 0 ? -EINVAL : -ENXIO, "paths");
		return;
	}
	ctl_on_gone(r, tree_gone, w);
	if (what == TREE_EVICT && bytes) {
		w->bytes = bytes;
		w->shown_ns = (u64)INT64_MIN;
		bytes_next(w);
	} else if (what == TREE_UNPIN) {
		index_pins(w->c, unpin_known, w);
	} else if (what == TREE_PIN) {
		pin_run(w);
	} else {
		tree_next(w);
	}
}

void pin_verb(void *ctx, struct ctl_req *r, json_t *args)
{
	tree_run(ctx, r, args, TREE_PIN);
}

void unpin_verb(void *ctx, struct ctl_req *r, json_t *args)
{
	tree_run(ctx, r, args, TREE_UNPIN);
}

void evict_verb(void *ctx, struct ctl_req *r, json_t *args)
{
	tree_run(ctx, r, args, TREE_EVICT);
}

/* ---- the list ---- */

struct pins_list { struct ctl_req *r; struct agent *ag; struct vol *v; size_t rows; };

static void pins_next(struct pins_list *pl);

/* Where it is by now, if that is not where it was named: to be freed, or NULL. */
static char *moved_to(struct pins_list *pl, const struct index_pin *p, const char *point)
{
	char *now = point && p->place ? xasprintf("%s%s%s", point, *p->place ? "/" : "", p->place) : NULL;
	struct vol *v = NULL;
	struct tree_ent e;

	/* By another mount point, or another of its names, it is there as well. */
	if (now && (!strcmp(now, p->path) || (!at_path(pl->ag, p->path, &v, &e) && v == pl->v && !memcmp(e.oid, p->oid, AUGUR_OID_LEN)))) {
		free(now);
		now = NULL;
	}
	return now;
}

/* Nowhere, and its name is another one's by now: it is kept in case that it was only moved. */
static bool is_shadow(const struct index_pin *p, size_t n, size_t i)
{
	if (p[i].fh.len)
		return false;
	for (size_t k = i; k-- && !strcmp(p[k].path, p[i].path); )
		if (p[k].fh.len)
			return true;
	for (size_t k = i + 1; k < n && !strcmp(p[k].path, p[i].path); k++)
		if (p[k].fh.len)
			return true;
	return false;
}

static void pins_known(void *arg, struct index_pin *p, size_t n, int err)
{
	struct pins_list *pl = arg;
	CLEANUP_FREE char *point = n ? verbs_point(pl->v, p[0].path) : NULL;

	for (size_t i = 0; i < n; i++) {
		CLEANUP_FREE char *now = moved_to(pl, &p[i], point);
		const char *path = now ? now : p[i].path;
		json_t *row;

		if (is_shadow(p, n, i))
			continue;
		row = json_pack("{s:o, s:o, s:b}", "path", ctl_json_bytes(path, strlen(path)), "volume",
				ctl_json_bytes(pl->v->volume, strlen(pl->v->volume)), "here", p[i].fh.len >= 5);
		if (now)
			json_object_set_new(row, "named", ctl_json_bytes(p[i].path, strlen(p[i].path)));
		ctl_row(pl->r, row);
		pl->rows++;
	}
	index_pins_free(p, n);
	if (err) {
		ctl_fail(pl->r, AUGUR_E_INTERNAL, err, "the list of pins cannot be read");
		vol_put(pl->v);
		free(pl);
		return;
	}
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
