// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * warm.c - fetches whole subtrees before they are needed: lists directories, fills files, a
 * bounded number of each at a time, and says how far it is.  Loop thread only.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "agent/agent.h"
#include "base/log.h"

#define DIRS_FLY	16
#define FILES_FLY	64
#define WINDOW		(8ull << 20)	/* of one large file under way */
#define PROGRESS_NS	(250ull * 1000000)

struct warm_item { struct list link; u8 oid[AUGUR_OID_LEN]; struct fh fh; u64 size; unsigned int depth; };

struct warm {
	struct agent	*ag;
	struct vol	*v;
	struct ctl_req	*r;
	struct list	dirs, files;
	unsigned int	depth, dirs_fly, files_fly;
	u64		done_files, done_bytes, all_files, all_bytes, errors, started_ns;
	bool		gone, step_armed, ended;
	struct io_op	progress_op, step_op;
};

struct warm_work { struct warm *w; struct warm_item *it; struct cobj *o; u64 at; struct io_op op; struct lower_name *names; size_t n; struct fh dir; struct cache *c; };

static void step_later(struct warm *w);

static void warm_free(struct warm *w)
{
	vol_put(w->v);
	free(w);
}

/* ---- the end ---- */

static void warm_maybe_end(struct warm *w)
{
	if (w->dirs_fly || w->files_fly || !list_empty(&w->dirs) || !list_empty(&w->files) || w->ended)
		return;
	w->ended = true;
	ctl_ok(w->r, json_pack("{s:I, s:I, s:I}", "files", (json_int_t)w->done_files, "bytes", (json_int_t)w->done_bytes,
			       "errors", (json_int_t)w->errors));
	w->ag->io->ops->cancel(w->ag->io, &w->progress_op);
}

static void progress_due(struct io_op *op, int res)
{
	struct warm *w = container_of(op, struct warm, progress_op);
	double s = (io_now(w->ag->io) - w->started_ns) / 1e9, eta;

	if (w->ended) {
		if (!w->step_armed)
			warm_free(w);
		return;
	}
	eta = w->done_bytes ? s * (w->all_bytes - w->done_bytes) / w->done_bytes : 0;
	ctl_progress(w->r, json_pack("{s:I, s:I, s:I, s:I, s:I}", "files", (json_int_t)w->done_files, "bytes",
				     (json_int_t)w->done_bytes, "total_files", (json_int_t)w->all_files, "total_bytes",
				     (json_int_t)w->all_bytes, "eta_s", (json_int_t)eta));
	w->ag->io->ops->timer(w->ag->io, op, io_now(w->ag->io) + PROGRESS_NS);
}

static void warm_gone(void *arg)
{
	struct warm *w = arg;

	w->gone = true;
	step_later(w);
}

/* ---- files ---- */

static void file_next(void *arg, int err);

static void file_over(struct warm_work *ww, int err)
{
	struct warm *w = ww->w;

	if (err) {
		w->errors++;
		log_debug("event=warm_file error=\"%s\"", strerror(-err));
	} else {
		w->done_files++;
	}
	if (ww->o)
		cobj_put(w->v->c, ww->o);
	w->files_fly--;
	free(ww->it);
	free(ww);
	step_later(w);
}

static void file_next(void *arg, int err)
{
	struct warm_work *ww = arg;
	struct warm *w = ww->w;
	u64 len;

	if (!err && w->v->dead)
		err = -ECANCELED;
	if (err || w->gone || ww->at >= ww->o->size) {
		file_over(ww, err ? err : w->gone ? -ECANCELED : 0);
		return;
	}
	len = min(ww->o->size - ww->at, (u64)WINDOW);
	ww->at += len;
	w->done_bytes += len;
	file_need(w->v, ww->o, ww->at - len, len, file_next, ww);
}

static void file_found(void *arg, struct cobj *o, int err)
{
	struct warm_work *ww = arg;

	if (!o || !cobj_is_file(o)) {
		file_over(ww, err ? err : -ESTALE);
		return;
	}
	ww->o = o;
	cobj_get(o);
	file_next(ww, 0);
}

/* ---- directories ---- */

static void dir_over(struct warm_work *ww, int err)
{
	struct warm *w = ww->w;

	if (err)
		w->errors++;
	w->dirs_fly--;
	lower_names_free(ww->names, ww->n);
	free(ww->it);
	free(ww);
	step_later(w);
}

static void item_push(struct warm *w, const struct lower_name *ln, unsigned int depth)
{
	struct warm_item *it = xcalloc(1, sizeof(*it));

	memcpy(it->oid, ln->oid, AUGUR_OID_LEN);
	it->fh = ln->fh;
	it->size = ln->size;
	it->depth = depth;
	if (ln->is_dir) {
		list_add_tail(&w->dirs, &it->link);
		return;
	}
	w->all_files++;
	w->all_bytes += ln->size;
	if (ln->complete) {
		w->done_files++;
		w->done_bytes += ln->size;
		free(it);
	} else {
		list_add_tail(&w->files, &it->link);
	}
}

static int names_work(void *arg)
{
	struct warm_work *ww = arg;

	return lower_list(ww->c, &ww->dir, &ww->names, &ww->n);
}

static void names_done(struct io_op *op, int res)
{
	struct warm_work *ww = container_of(op, struct warm_work, op);

	cache_worked(ww->c);
	for (size_t i = 0; i < ww->n && !ww->w->gone; i++) {
		const struct lower_name *ln = &ww->names[i];

		if (ln->valid && (!ln->is_dir || ww->it->depth))
			item_push(ww->w, ln, ww->it->depth - 1);
	}
	dir_over(ww, res);
}

static void dir_listed(void *arg, int err)
{
	struct warm_work *ww = arg;

	if (err || ww->w->v->dead) {
		dir_over(ww, err ? err : -ECANCELED);
		return;
	}
	ww->op.done = names_done;
	ww->c = ww->w->v->c;
	cache_work(ww->c, &ww->op, names_work, ww);
}

static void dir_found(void *arg, struct cobj *o, int err)
{
	struct warm_work *ww = arg;

	if (!o || !cobj_is_dir(o)) {
		dir_over(ww, err ? err : -ESTALE);
		return;
	}
	ww->dir = o->fh;
	dir_populate(ww->w->v, o, false, dir_listed, ww);
}

/* ---- turning the wheel ---- */

static struct warm_work *work_new(struct warm *w, struct list *l)
{
	struct warm_work *ww = xcalloc(1, sizeof(*ww));

	ww->w = w;
	ww->it = list_first(l, struct warm_item, link);
	list_del(&ww->it->link);
	return ww;
}

static void step_due(struct io_op *op, int res)
{
	struct warm *w = container_of(op, struct warm, step_op);

	w->step_armed = false;
	if (w->ended) {
		if (!w->progress_op.busy)
			warm_free(w);
		return;
	}
	while (w->gone && !list_empty(&w->dirs))
		free(work_new(w, &w->dirs)->it);
	while (w->gone && !list_empty(&w->files))
		free(work_new(w, &w->files)->it);
	while (w->dirs_fly < DIRS_FLY && !list_empty(&w->dirs)) {
		struct warm_work *ww = work_new(w, &w->dirs);

		w->dirs_fly++;
		vol_object(w->v, ww->it->oid, &ww->it->fh, dir_found, ww);
	}
	while (w->files_fly < FILES_FLY && !list_empty(&w->files)) {
		struct warm_work *ww = work_new(w, &w->files);

		w->files_fly++;
		vol_object(w->v, ww->it->oid, &ww->it->fh, file_found, ww);
	}
	warm_maybe_end(w);
}

static void step_later(struct warm *w)
{
	if (w->step_armed || w->ended)
		return;
	w->step_armed = true;
	w->step_op.done = step_due;
	w->ag->io->ops->timer(w->ag->io, &w->step_op, 0);
}

static int path_push(struct warm *w, const char *path, struct vol **v)
{
	struct lower_name ln = { 0 };
	u8 buf[AUGUR_RECORD_LEN + 1];
	struct augur_rec rec;
	struct stat st;
	char proc[64];
	ssize_t n;
	int fd, err;

	err = verbs_path(w->ag, path, v, &fd);
	if (err)
		return err;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	n = getxattr(proc, AUGUR_XATTR_NAME, buf, sizeof(buf));
	err = n < 0 || augur_rec_decode(buf, n, &rec) ? -ENOENT : fstat(fd, &st) ? -errno : fh_of(fd, "", &ln.fh);
	close(fd);
	if (err)
		return err;
	/* Not what it was, or not there: a look at it would tell. */
	if (rec.flags & AUGUR_REC_STALE)
		return -ENOENT;
	memcpy(ln.oid, rec.oid, AUGUR_OID_LEN);
	ln.is_dir = S_ISDIR(st.st_mode);
	ln.complete = rec.flags & AUGUR_REC_COMPLETE;
	ln.size = rec.size;
	if (w->v && w->v != *v)
		return -EXDEV;
	item_push(w, &ln, w->depth);
	return 0;
}

static void warm_refuse(struct warm *w, struct ctl_req *r, int err, const char *path)
{
	while (!list_empty(&w->dirs))
		free(work_new(w, &w->dirs)->it);
	while (!list_empty(&w->files))
		free(work_new(w, &w->files)->it);
	free(w);
	if (err == -ENXIO || err == -ENOENT)
		ctl_fail(r, AUGUR_E_NOT_MOUNTED, -ENOENT, "%s", log_esc(path, strlen(path)));
	else
		ctl_fail(r, AUGUR_E_USAGE, err, "%s", log_esc(path, strlen(path)));
}

void warm_run(struct agent *ag, struct ctl_req *r, json_t *args)
{
	struct warm *w = xcalloc(1, sizeof(*w));
	json_t *paths = json_object_get(args, "paths"), *p;
	s64 depth = ctl_arg_int(args, "depth", 1 << 20);
	size_t i;

	w->ag = ag;
	w->depth = depth < 0 ? 0 : depth > (1 << 20) ? 1 << 20 : depth;
	list_init(&w->dirs);
	list_init(&w->files);
	json_array_foreach(paths, i, p) {
		const char *path = json_string_value(p);
		struct vol *v = NULL;
		int err = path ? path_push(w, path, &v) : -EINVAL;

		if (err) {
			warm_refuse(w, r, err, path ? path : "?");
			return;
		}
		w->v = v;
	}
	if (!w->v || !w->v->m) {
		warm_refuse(w, r, w->v ? -ENXIO : -EINVAL, "paths");
		return;
	}
	w->r = r;
	vol_get(w->v);
	w->started_ns = io_now(ag->io);
	ctl_on_gone(r, warm_gone, w);
	w->progress_op.done = progress_due;
	ag->io->ops->timer(ag->io, &w->progress_op, io_now(ag->io) + PROGRESS_NS);
	step_later(w);
}
