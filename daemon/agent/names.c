// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * names.c - an owner's entries become names in the lower directory.
 *
 * One job is a frame (or a whole small directory): what the index knows of its objects is put
 * beside the entries, the cache makes the stubs on a worker, and then the index is brought up
 * to date.  Where a name holds another object or version, the kernel switches it; where a
 * directory is in the way, its tree is removed first and the entry is made again.  Jobs of a
 * directory run one after another.  Loop thread only.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/log.h"

#define AGAIN_MAX 3

static const u64 no_names[1];

static void job_settle(struct dir_job *dj);
static void job_start(struct dir_job *dj);

struct dir_job *dir_job_new(struct dwork *d)
{
	struct dir_job *dj = xcalloc(1, sizeof(*dj));

	dj->d = d;
	dj->since = d->v->last_change;
	change_naming_begin(d->v);
	list_init(&dj->link);
	dj->j = stub_job_new(d->v->c, d->o);
	dj->j->user = dj;
	return dj;
}

void dir_job_free(struct dir_job *dj)
{
	change_naming_end(dj->d->v);
	stub_job_free(dj->j);
	free(dj);
}

int dir_job_entries(struct dir_job *dj, struct wire_in in, struct wire_entry *dir_entry, bool *has_dir, u32 *complete)
{
	struct wire_entry e;
	struct wire_val val;
	int err;

	*has_dir = false;
	*complete = 0;
	while ((err = wire_next(&in, &val)) == 1) {
		err = 0;
		if (val.tag == WF_ENTRY) {
			err = wire_get_entry(&val, &e, true);
			if (!err && e.locator_len > WIRE_LOCATOR_MAX)
				err = -EBADMSG;
			if (!err)
				stub_job_add(dj->j, &e);
		} else if (val.tag == WF_DIR) {
			err = wire_get_entry(&val, dir_entry, false);
			*has_dir = !err;
			if (!err && (memcmp(dir_entry->attr.oid, dj->d->oid, AUGUR_OID_LEN) || !S_ISDIR(dir_entry->attr.mode)))
				err = -EBADMSG;
		} else if (val.tag == WF_COMPLETE) {
			err = wire_get_u32(&val, complete);
		}
		if (err)
			return err;
	}
	return err;
}

/* ---- before: what the index knows ---- */

static void know(struct stub_ent *s, const struct cobj *o)
{
	bool same = o && o->version == s->attr.version && o->tag == s->attr.tag && !(o->flags & COBJ_STALE);

	/* What was known before the job waited for room may be past. */
	s->trust = s->differs = false;
	s->link_fh.len = 0;
	s->flags = 0;
	if (!o || S_ISDIR(s->attr.mode))
		return;
	s->trust = same;
	s->differs = !same;
	if (same && s->attr.nlink > 1 && (o->mode & S_IFMT) == (s->attr.mode & S_IFMT)) {
		s->link_fh = o->fh;
		s->shift = o->shift;
		s->flags |= o->flags & COBJ_CAPS;
	}
}

static int cmp_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* On a worker. What an earlier run, or the index, knew of presence may be past; what is true is in memory. */
static void job_stubs(struct dir_job *dj)
{
	dj->evictions = dj->d->v->c->evictions;
	if (dj->j->set_complete)
		dj->d->o->disclaimed = false;
	for (u32 i = 0; i < dj->j->n; i++)
		dj->j->ents[i].flags &= ~COBJ_COMPLETE;
	stub_job_run(dj->j);
}

static void job_run(struct dir_job *dj)
{
	struct dwork *d = dj->d;

	if (dj->final && d->nnames)
		qsort(d->names, d->nnames, sizeof(u64), cmp_u64);
	if (d->err)
		dj->j->set_complete = false;
	for (u32 i = 0; i < dj->j->n; i++) {
		struct stub_ent *s = &dj->j->ents[i];

		know(s, cobj_peek(d->v->c, s->attr.oid));
		/* A pin is of the object: it was renamed. */
		s->pinned |= !!pin_path(d->v->c, s->attr.oid);
	}
	repin_job(dj, job_stubs);
}

static bool has_twins(const struct wire_attr *a)
{
	return a->nlink > 1 && !S_ISDIR(a->mode);
}

static void twin_marked(void *arg)
{
	struct dir_job *dj = arg;

	if (!--dj->loading)
		job_run(dj);
}

/*
 * An answer may show a new version of an object before its owner has told of the change, and by
 * a name that was not here before.  The inode at its other names is of the old version: marked
 * and told before another one is made, as the notice that comes will be no news (change.c).
 */
static void twins_mark(struct dir_job *dj)
{
	struct vol *v = dj->d->v;

	dj->loading = 1;
	for (u32 i = 0; i < dj->j->n; i++) {
		const struct wire_attr *a = &dj->j->ents[i].attr;
		struct cobj *o = has_twins(a) ? cobj_peek(v->c, a->oid) : NULL;

		if (!o || (o->flags & COBJ_STALE) || (o->version == a->version && o->tag == a->tag))
			continue;
		dj->loading++;
		change_mark(v, AUGUR_INVAL_DATA, a->oid, NULL, NULL, 0, twin_marked, dj);
	}
	twin_marked(dj);
}

static void twin_loaded(void *arg, struct cobj *o)
{
	struct dir_job *dj = arg;

	if (!--dj->loading)
		twins_mark(dj);
}

static bool has_links(const struct dir_job *dj)
{
	for (u32 i = 0; i < dj->j->n; i++)
		if (has_twins(&dj->j->ents[i].attr))
			return true;
	return false;
}

/*
 * Objects with several names: another directory may have brought the inode already, or be
 * about to.  Of such jobs one runs at a time in a volume, so that each finds what the one
 * before it made, and an object has one inode here.
 */
static void job_start(struct dir_job *dj)
{
	struct vol *v = dj->d->v;
	struct cache *c = v->c;

	if (has_links(dj)) {
		if (v->links_job) {
			list_add_tail(&v->links_wait, &dj->link);
			return;
		}
		v->links_job = dj;
	}
	dj->loading = 1;
	for (u32 i = 0; i < dj->j->n; i++) {
		const struct wire_attr *a = &dj->j->ents[i].attr;

		if (!has_twins(a) || cobj_peek(c, a->oid))
			continue;
		dj->loading++;
		cobj_load(c, a->oid, twin_loaded, dj);
	}
	twin_loaded(dj, NULL);
}

/* ---- after: index, switches ---- */

/*
 * The object has one name and was here by another: it was renamed.  Nobody may have said so (an
 * origin without events, an owner that was away), and the inode at the old name looks whole.
 */
static void leave_name(struct dwork *d, const struct stub_ent *s, const struct cobj *o)
{
	if (!o || fh_equal(&o->fh, &s->fh) || !o->name || (s->attr.nlink > 1 && !S_ISDIR(s->attr.mode)))
		return;
	if (o->name_len == s->name_len && !memcmp(o->name, s->name, s->name_len) &&
	    !memcmp(o->parent, d->oid, AUGUR_OID_LEN))
		return;
	change_apply(d->v, AUGUR_INVAL_ENTRY, s->attr.oid, o->parent, o->name, o->name_len, NULL, NULL);
}

/* The list of pins, and an unpin under way, are told of what is pinned by now. */
static void take_pin(struct vol *v, const struct stub_ent *s)
{
	if (!s->pinned)
		return;
	/* What took the place of an object that was pinned by name is pinned by that name. */
	if (memcmp(s->old_oid, s->attr.oid, AUGUR_OID_LEN) && pin_path(v->c, s->old_oid))
		pin_replace(v->c, s->old_oid, s->attr.oid);
	if (s->placed && (s->outcome == STUB_SAME || s->outcome == STUB_ATTR))
		repin_tree(v, &s->fh);
	/* In memory it may be without; else it gets it from its record. */
	if (s->pinned_now && v->m)
		upcall_pin(v->m, s->attr.oid, NULL, true);
	if (has_twins(&s->attr))
		tree_linked(v, s->attr.oid, &s->fh);
}

/* A file that need not have the owner of its directory: it has several names, or the directory is split. */
static bool of_another(const struct dwork *d, const struct wire_attr *a)
{
	const struct meta_map *map = d->v->map;

	return has_twins(a) || (map && !S_ISDIR(a->mode) && place_owner(map, a->pu) != place_owner(map, d->o->pu));
}

static void take_entry(struct dwork *d, struct stub_ent *s, bool evicted)
{
	struct vol *v = d->v;
	struct cobj *o = cobj_peek(v->c, s->attr.oid);
	/* A claim that was read may have been taken back since. */
	bool may = S_ISDIR(s->attr.mode) || (S_ISREG(s->attr.mode) && s->attr.size);
	u8 flags = s->flags & ~(evicted && may ? COBJ_COMPLETE : 0);

	leave_name(d, s, o);
	/* Presence that is in memory already is better than what the record says. */
	if (o && fh_equal(&o->fh, &s->fh) && o->version == s->attr.version && o->tag == s->attr.tag &&
	    s->outcome != STUB_ATTR)
		flags |= o->flags & COBJ_COMPLETE;
	if (o && s->outcome == STUB_ATTR)
		o->flags &= ~COBJ_COMPLETE;
	o = cobj_update(v->c, &s->attr, s->loc, s->loc_len, d->oid, s->name, s->name_len, &s->fh, s->shift, flags);
	if (has_twins(&s->attr))
		cobj_name_add(v->c, s->attr.oid, d->oid, s->name, s->name_len);
	/* Told by who lists the directory; its own owner knows of nobody who has it yet. */
	if (s->outcome != STUB_SAME && of_another(d, &s->attr))
		look_at(v, s->attr.oid);
	take_pin(v, s);
	if (s->outcome == STUB_NEW)
		v->c->n_stubs++;
	if (s->outcome == STUB_ATTR && v->m) {
		upcall_inval(v->m, AUGUR_INVAL_ATTR, s->attr.oid, NULL, 0);
		upcall_inval(v->m, AUGUR_INVAL_DIR, s->attr.oid, NULL, 0);
	}
}

static void switch_entry(struct dwork *d, struct stub_ent *s, bool evicted)
{
	struct vol *v = d->v;
	int err;

	if (v->m)
		err = upcall_switch(v->m, &d->o->fh, s->name, s->name_len, &s->old_fh, &s->fh, s->tmp);
	else
		err = lower_switch(v->c, &d->o->fh, s->name, s->tmp);
	if (err) {
		log_notice("event=switch_refused name=%s error=\"%s\"", log_esc(s->name, s->name_len), strerror(-err));
		lower_unlink_tmp(v->c, s->tmp);
		/* In use, or the cache is frozen: said, for the name still is of a version that is no more. */
		s->outcome = err == -EBUSY ? STUB_FAILED : STUB_IN_WAY;
		s->res = err;
		s->old_fh.len = 0;
		return;
	}
	/* Its record says that it is stale: of no use, were it here by another name as well. */
	if (memcmp(s->old_oid, s->attr.oid, AUGUR_OID_LEN))
		cobj_forget_inode(v->c, s->old_oid, &s->old_fh, true);
	take_entry(d, s, evicted);
}

/*
 * Something was told of it after the answer came, when there was nothing here yet to be marked: whether
 * the answer is of before or after that is not known, so it is asked for again.
 */
static void overtaken(struct dir_job *dj, const struct stub_ent *s)
{
	u32 kind = S_ISDIR(s->attr.mode) ? AUGUR_INVAL_DIR : AUGUR_INVAL_DATA;
	struct dwork *d = dj->d;
	struct vol *v = d->v;

	if (change_of_object(v, s->attr.oid, s->attr.tag, dj->since))
		change_mark(v, kind, s->attr.oid, NULL, NULL, 0, NULL, NULL);
	if (change_of_name(v, d->oid, s->name, s->name_len, dj->since))
		change_mark(v, AUGUR_INVAL_ENTRY, s->attr.oid, d->oid, s->name, s->name_len, NULL, NULL);
}

static void apply(struct dir_job *dj)
{
	struct dwork *d = dj->d;
	struct stub_job *j = dj->j;
	bool evicted = dj->evictions != d->v->c->evictions;

	if (j->n)
		use_dir(d->v->c, d->oid);
	for (u32 i = 0; i < j->n; i++) {
		struct stub_ent *s = &j->ents[i];

		switch (s->outcome) {
		case STUB_NEW:
		case STUB_SAME:
		case STUB_ATTR:
			take_entry(d, s, evicted);
			if (S_ISDIR(s->attr.mode))
				walk_child(d, s->attr.oid);
			overtaken(dj, s);
			break;
		case STUB_DIFFERS:
			switch_entry(d, s, evicted);
			overtaken(dj, s);
			break;
		case STUB_IN_WAY:
			break;
		case STUB_FAILED:
			if (s->res != -ENOSPC)
				log_warn("event=stub name=%s error=\"%s\"", log_esc(s->name, s->name_len), strerror(-s->res));
			/* A directory with a name missing must not be called complete. */
			if (!dj->single && !dj->j->err)
				dj->j->err = s->res;
			break;
		}
	}
	if (j->has_dir && !j->err) {
		struct cobj *o = d->o;

		o->mode = j->dir_attr.mode;
		o->nlink = j->dir_attr.nlink;
		if (j->set_complete && j->dir_attr.tag) {
			o->version = j->dir_attr.version;
			o->tag = j->dir_attr.tag;
		}
		o->mtime_sec = j->dir_attr.mtime_sec;
		o->mtime_nsec = j->dir_attr.mtime_nsec;
		o->ctime_sec = j->dir_attr.ctime_sec;
		o->ctime_nsec = j->dir_attr.ctime_nsec;
		cobj_store(d->v->c, o);
	}
	if (j->dir_changed && d->v->m)
		upcall_inval(d->v->m, AUGUR_INVAL_ATTR, d->oid, NULL, 0);
}

/* ---- what has to go first ---- */

static void links_next(struct vol *v, struct dir_job *dj)
{
	struct dir_job *next;

	if (v->links_job != dj)
		return;
	v->links_job = NULL;
	if (list_empty(&v->links_wait))
		return;
	next = list_first(&v->links_wait, struct dir_job, link);
	list_del(&next->link);
	job_start(next);
}

static void job_done(struct dir_job *dj)
{
	struct dwork *d = dj->d;

	links_next(d->v, dj);
	d->running = NULL;
	if (dj->j->err && !dj->single && !d->err)
		d->err = dj->j->err;	/* the next one may be the last, which must not call it complete then */
	dir_jobs_go(d);
	dir_job_ended(d, dj);
}

static void removed(void *arg, int err)
{
	struct dir_job *dj = arg;

	if (err && !dj->j->err)
		dj->j->err = err;
	job_settle(dj);
}

static void rerun_done(struct stub_job *j)
{
	struct dir_job *dj = j->user;

	apply(dj);
	job_settle(dj);
}

/* The job is to run again, for what has not become a name. */
static void keep_undone(struct dir_job *dj)
{
	struct stub_job *j = dj->j;
	u32 n = 0;

	for (u32 i = 0; i < j->n; i++)
		if (j->ents[i].outcome == STUB_IN_WAY || j->ents[i].outcome == STUB_FAILED)
			j->ents[n++] = j->ents[i];
	j->n = n;
	j->err = 0;
	j->set_complete = dj->final && j->has_dir && !dj->d->err;
}

/* What was in the way has gone. */
static void rerun(struct dir_job *dj)
{
	keep_undone(dj);
	dj->j->done = rerun_done;
	job_stubs(dj);
}

static void job_settle(struct dir_job *dj)
{
	struct stub_job *j = dj->j;
	struct dwork *d = dj->d;
	bool in_way = false;

	if (j->err || d->v->dead) {
		job_done(dj);
		return;
	}
	if (dj->r && dj->status == -ENOENT && !dj->looked) {
		struct lower_name ln = { .name = dj->r->name };
		CLEANUP_CLOSE int fd = fh_open(d->v->c->top_fd, &d->o->fh, O_RDONLY | O_DIRECTORY);

		/* The owner has no such name; what an earlier answer left here goes. */
		dj->looked = true;
		if (fd >= 0 && !lower_look(fd, &ln)) {
			change_remove(d->v, &d->o->fh, ln.name, &ln.fh, ln.is_dir, removed, dj);
			return;
		}
	}
	if (j->nextra) {
		struct lower_name ln = j->extra[--j->nextra];

		change_remove(d->v, &d->o->fh, ln.name, &ln.fh, ln.is_dir, removed, dj);
		free(ln.name);
		dj->again |= 0x100;
		return;
	}
	for (u32 i = 0; i < j->n; i++) {
		struct stub_ent *s = &j->ents[i];

		if (s->outcome != STUB_IN_WAY)
			continue;
		in_way = true;
		if (!s->old_fh.len)
			continue;
		struct fh old = s->old_fh;

		s->old_fh.len = 0;
		change_remove(d->v, &d->o->fh, s->name, &old, true, removed, dj);
		return;
	}
	if ((in_way || (dj->again & 0x100)) && (dj->again & 0xff) < AGAIN_MAX) {
		dj->again = (dj->again & 0xff) + 1;
		rerun(dj);
		return;
	}
	job_done(dj);
}

static bool roomless(const struct stub_job *j)
{
	if (j->err == -ENOSPC)
		return true;
	for (u32 i = 0; i < j->n; i++)
		if (j->ents[i].outcome == STUB_FAILED && j->ents[i].res == -ENOSPC)
			return true;
	return false;
}

static void room_made(struct space_wait *w)
{
	struct dir_job *dj = container_of(w, struct dir_job, room);
	struct vol *v = dj->d->v;

	if (v->dead || !v->m) {
		dj->j->err = -ENOSPC;
		job_settle(dj);
	} else {
		job_start(dj);
	}
	vol_put(v);
}

/* Somebody has come to ask since a listing for nobody found no room: for him it is begun again, and waits. */
void dir_begun_ahead(struct dwork *d)
{
	if (d->err == -ENOSPC && d->no_room_ahead && !d->ahead)
		d->err = 0;
	d->no_room_ahead = false;
}

/*
 * No room for a name: as for bytes, it is made and the job is run again, for the names that are
 * missing; not for who looks ahead.  Meanwhile names of objects with several may go and come.
 */
static bool wait_for_room(struct dir_job *dj)
{
	struct vol *v = dj->d->v;
	u64 now = io_now(v->io);

	if (v->dead || !v->m || !roomless(dj->j) || (!dj->single && dj->d->err))
		return false;
	if (dj->d->ahead) {
		dj->d->no_room_ahead = true;
		return false;
	}
	if (!dj->roomless_ns)
		dj->roomless_ns = now;
	/* Before the kernel gives up who waits with a less telling error. */
	if (now - dj->roomless_ns > vol_timeout_ns(v) / 4 * 3) {
		names_refused(v);
		return false;
	}
	apply(dj);
	dir_names_made(dj->d, dj->j);
	keep_undone(dj);
	vol_get(v);
	links_next(v, dj);
	space_wait(v, &dj->room, room_made);
	return true;
}

static void stubs_done(struct stub_job *j)
{
	struct dir_job *dj = j->user;

	if (wait_for_room(dj))
		return;

	if (!dj->d->v->dead && !j->err)
		apply(dj);
	job_settle(dj);
}

void dir_jobs_go(struct dwork *d)
{
	struct dir_job *dj;

	if (d->running || d->held || list_empty(&d->jobs))
		return;
	dj = list_first(&d->jobs, struct dir_job, link);
	list_del(&dj->link);
	d->running = dj;
	dj->j->done = stubs_done;
	if (dj->final && dj->j->set_complete) {
		dj->j->expect = d->names ? d->names : no_names;
		dj->j->nexpect = d->nnames;
		dj->j->hash = dir_name_hash;
	}
	job_start(dj);
}

void dir_job_queue(struct dir_job *dj)
{
	list_add_tail(&dj->d->jobs, &dj->link);
	dir_jobs_go(dj->d);
}
