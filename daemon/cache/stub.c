// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stub.c - makes the names of a directory: entries of the owner become lower inodes.
 *
 * A job is one batch of entries of one directory, run on a worker.  Each inode is made by
 * make.c, its record last; a leftover without a valid record is removed and made anew.  What holds a name already is compared: the same
 * object and version is left alone, another one is never overwritten in place: its record is
 * marked STALE, the new inode is made in tmp/, and the caller has the kernel switch them.
 *
 * The owner's mtime goes into the inode's atime, where the module looks for it: making names in
 * a directory and filling a file move the mtime, and somebody may look in between, or we may
 * die in between.  The atime is moved by nobody (attach.c).
 *
 * Everything in an entry came from a peer: names were checked when decoded and are checked
 * again here.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "cache/make.h"

#define ARENA_BLOCK 65536

struct arena { struct list link; size_t used, cap; u8 data[]; };

/* ---- the job ---- */

struct stub_job *stub_job_new(struct cache *c, const struct cobj *dir)
{
	struct stub_job *j = xcalloc(1, sizeof(*j));

	j->c = c;
	j->dir = dir->fh;
	memcpy(j->dir_oid, dir->oid, AUGUR_OID_LEN);
	list_init(&j->arena);
	return j;
}

void stub_job_free(struct stub_job *j)
{
	while (!list_empty(&j->arena)) {
		struct arena *a = list_first(&j->arena, struct arena, link);

		list_del(&a->link);
		free(a);
	}
	lower_names_free(j->extra, j->nextra);
	free(j->ents);
	free(j);
}

static void *arena_copy(struct stub_job *j, const void *p, size_t len, bool text)
{
	struct arena *a = list_empty(&j->arena) ? NULL : container_of(j->arena.prev, struct arena, link);
	size_t need = len + text;
	u8 *out;

	if (!a || a->cap - a->used < need) {
		size_t cap = max((size_t)ARENA_BLOCK, need);

		a = xmalloc(sizeof(*a) + cap);
		a->used = 0;
		a->cap = cap;
		list_add_tail(&j->arena, &a->link);
	}
	out = a->data + a->used;
	if (len)	/* a field that the entry has not is NULL */
		memcpy(out, p, len);
	if (text)
		out[len] = 0;
	a->used += need;
	return out;
}

struct stub_ent *stub_job_add(struct stub_job *j, const struct wire_entry *e)
{
	struct stub_ent *s;

	if (j->n == j->cap) {
		j->cap = j->cap ? j->cap * 2 : 32;
		j->ents = xrealloc(j->ents, j->cap * sizeof(*j->ents));
	}
	s = &j->ents[j->n++];
	memset(s, 0, sizeof(*s));
	s->attr = e->attr;
	s->name_len = e->name_len;
	memcpy(s->name, e->name, e->name_len);
	s->loc_len = e->locator_len;
	s->loc = arena_copy(j, e->locator, e->locator_len, false);
	s->link_len = e->link_len;
	s->link = e->link ? arena_copy(j, e->link, e->link_len, true) : NULL;
	s->xattrs_len = e->xattrs_len;
	s->xattrs = arena_copy(j, e->xattrs, e->xattrs_len, false);
	s->shift = augur_shift_for(e->attr.size, j->c->chunk_shift);
	return s;
}

void stub_job_dir(struct stub_job *j, const struct wire_entry *e)
{
	j->has_dir = true;
	j->dir_attr = e->attr;
	j->dir_xattrs_len = e->xattrs_len;
	j->dir_xattrs = arena_copy(j, e->xattrs, e->xattrs_len, false);
}

static void job_done(struct io_op *op, int res)
{
	struct stub_job *j = container_of(op, struct stub_job, op);

	cache_worked(j->c);
	if (res < 0)
		j->err = res;
	j->done(j);
}

void stub_job_run(struct stub_job *j)
{
	j->op.done = job_done;
	cache_work(j->c, &j->op, stub_work, j);
}

/* ---- what holds the name already (worker from here on) ---- */

static bool unchanged(const struct stub_ent *s, const struct augur_rec *rec, const struct stat *st)
{
	const struct wire_attr *a = &s->attr;

	if ((rec->flags & AUGUR_REC_STALE) || s->differs)
		return false;
	if (memcmp(rec->oid, a->oid, AUGUR_OID_LEN) || rec->version != a->version ||
	    (st->st_mode & S_IFMT) != (a->mode & S_IFMT))
		return false;
	if (s->trust)
		return true;
	return rec->ctime_sec == a->ctime_sec && rec->ctime_nsec == a->ctime_nsec &&
	       (!S_ISREG(a->mode) || rec->size == a->size);
}

/* Attributes of a directory change in place: its names are what a version of it is about. */
static int update_dir(int fd, const struct wire_attr *a, const u8 *xattrs, size_t len, struct augur_rec *rec,
		      u8 set, u8 clear)
{
	int err = attrs_dir(fd, a, xattrs, len);

	if (err)
		return err;
	rec->version = a->version;
	rec->size = a->size;
	rec->nlink = a->nlink;
	rec->ctime_sec = a->ctime_sec;
	rec->ctime_nsec = a->ctime_nsec;
	rec->flags = (rec->flags & ~clear) | set;
	return lower_record_write(fd, rec);
}

static void meet_dir(int dir, struct stub_ent *s, struct augur_rec *rec)
{
	CLEANUP_CLOSE int fd = openat(dir, s->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0) {
		s->res = -errno;
		return;
	}
	if (rec->ctime_sec == s->attr.ctime_sec && rec->ctime_nsec == s->attr.ctime_nsec &&
	    rec->nlink == s->attr.nlink && !(rec->flags & AUGUR_REC_STALE)) {
		s->outcome = STUB_SAME;
		return;
	}
	/* Its names may have changed with it: populated no longer. */
	lower_record_lock();
	s->res = lower_record_read(fd, rec);
	if (!s->res)
		s->res = update_dir(fd, &s->attr, s->xattrs, s->xattrs_len, rec, AUGUR_REC_STUB,
				    AUGUR_REC_COMPLETE | AUGUR_REC_STALE);
	lower_record_unlock();
	s->outcome = s->res ? STUB_FAILED : STUB_ATTR;
}

static void build_aside(struct stub_job *j, struct stub_ent *s)
{
	struct cache *c = j->c;
	struct make_spot tmp;

	/* Before anything else: from here on every name of the old inode asks (CONTRACTS 2). */
	s->res = lower_record_flags(c, &s->old_fh, NULL, AUGUR_REC_STALE, 0);
	if (s->res)
		return;
	snprintf(s->tmp, sizeof(s->tmp), "s%llx", (unsigned long long)__atomic_add_fetch(&c->tmp_no, 1, __ATOMIC_RELAXED));
	tmp = make_spot(c->tmp_fd);
	s->res = make_at(c, &tmp, s->tmp, s);
	if (!s->res)
		s->outcome = STUB_DIFFERS;
}

/* What was pinned by a directory with another name of it: if that one is gone, this directory has the say. */
static bool lost_its_other_name(const struct stub_ent *s, const struct augur_rec *rec)
{
	return !memcmp(rec->oid, s->attr.oid, AUGUR_OID_LEN) && rec->nlink > 1 && s->attr.nlink == 1 && !S_ISDIR(s->attr.mode);
}

/* The name exists: compare. */
static void meet(struct stub_job *j, const struct make_spot *sp, struct stub_ent *s, int fd)
{
	struct augur_rec rec;
	char path[64];
	u8 buf[AUGUR_RECORD_LEN + 1];
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = getxattr(path, AUGUR_XATTR_NAME, buf, sizeof(buf));
	if (fstat(fd, &st)) {
		s->res = -errno;
		return;
	}
	if (n < 0 || augur_rec_decode(buf, n, &rec)) {
		/* A leftover: nobody has seen it. */
		s->res = make_remove(sp->fd, s->name);
		if (!s->res)
			s->res = make_at(j->c, sp, s->name, s);
		if (!s->res)
			s->outcome = STUB_NEW;
		return;
	}
	s->res = fh_of(fd, "", &s->fh);
	if (s->res)
		return;
	if (getxattr(path, "security.capability", NULL, 0) > 0)
		s->flags |= COBJ_CAPS;
	s->shift = rec.chunk_shift;
	if (S_ISDIR(st.st_mode) && S_ISDIR(s->attr.mode) && !memcmp(rec.oid, s->attr.oid, AUGUR_OID_LEN)) {
		meet_dir(sp->fd, s, &rec);
		if (s->outcome == STUB_SAME && (rec.flags & AUGUR_REC_COMPLETE))
			s->flags |= COBJ_COMPLETE;
		return;
	}
	if (unchanged(s, &rec, &st)) {
		s->outcome = STUB_SAME;
		if (rec.flags & AUGUR_REC_COMPLETE)
			s->flags |= COBJ_COMPLETE;
		return;
	}
	s->old_fh = s->fh;
	s->fh.len = 0;
	s->flags = 0;
	s->shift = augur_shift_for(s->attr.size, j->c->chunk_shift);
	memcpy(s->old_oid, rec.oid, AUGUR_OID_LEN);
	s->pinned |= (rec.flags & AUGUR_REC_PINNED) && !lost_its_other_name(s, &rec);
	/* A directory takes no file's place, nor the reverse. */
	if (S_ISDIR(st.st_mode) || S_ISDIR(s->attr.mode)) {
		s->outcome = STUB_IN_WAY;
		return;
	}
	build_aside(j, s);
}

/* The second name of an object in one listing links to the first. */
static void find_twin(struct stub_job *j, u32 i)
{
	struct stub_ent *s = &j->ents[i];

	if (s->attr.nlink < 2 || S_ISDIR(s->attr.mode) || s->link_fh.len)
		return;
	for (u32 k = 0; k < i; k++) {
		struct stub_ent *t = &j->ents[k];

		if (t->outcome != STUB_FAILED && t->fh.len && t->attr.nlink > 1 &&
		    !memcmp(t->attr.oid, s->attr.oid, AUGUR_OID_LEN) && t->attr.version == s->attr.version &&
		    t->attr.tag == s->attr.tag) {
			s->link_fh = t->fh;
			s->flags |= t->flags & COBJ_CAPS;
			return;
		}
	}
}

static void stub_one(struct stub_job *j, const struct make_spot *sp, u32 i)
{
	struct stub_ent *s = &j->ents[i];
	CLEANUP_CLOSE int fd = -1;

	s->outcome = STUB_FAILED;
	s->res = augur_name_check(s->name, s->name_len);
	if (s->res)
		return;
	s->pinned |= sp->pinned;
	find_twin(j, i);
	/* Most often nothing holds the name. */
	if (!s->link_fh.len) {
		s->res = make_at(j->c, sp, s->name, s);
		if (!s->res)
			s->outcome = STUB_NEW;
		if (s->res != -EEXIST)
			return;
	}
	fd = openat(sp->fd, s->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0) {
		meet(j, sp, s, fd);
		return;
	}
	if (errno != ENOENT) {
		s->res = -errno;
		return;
	}
	s->res = make_at(j->c, sp, s->name, s);
	if (!s->res)
		s->outcome = STUB_NEW;
}

static bool expected(const struct stub_job *j, const char *name)
{
	u64 h = j->hash(name, strlen(name));
	size_t lo = 0, hi = j->nexpect;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (j->expect[mid] == h)
			return true;
		if (j->expect[mid] < h)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* Names the owner does not have any more; leftovers among them go at once. */
static int find_extra(struct stub_job *j, int dir)
{
	struct lower_name *all;
	size_t n, i;
	int err;

	err = lower_list_names(dir, &all, &n);
	if (err)
		return err;
	for (i = 0; i < n; i++) {
		if (expected(j, all[i].name))
			continue;
		err = lower_look(dir, &all[i]);
		if (!err && !all[i].valid && !make_remove(dir, all[i].name))
			continue;
		if (err)
			continue;
		j->extra = xrealloc(j->extra, (j->nextra + 1) * sizeof(*j->extra));
		j->extra[j->nextra] = all[i];
		j->extra[j->nextra++].name = xstrdup(all[i].name);
	}
	lower_names_free(all, n);
	return 0;
}

static bool dir_differs(const struct wire_attr *a, const struct augur_rec *rec, const struct stat *st)
{
	return rec->ctime_sec != a->ctime_sec || rec->ctime_nsec != a->ctime_nsec || rec->nlink != a->nlink ||
	       rec->size != a->size || rec->version != a->version || st->st_atim.tv_sec != a->mtime_sec ||
	       st->st_atim.tv_nsec != a->mtime_nsec || st->st_uid != a->uid || st->st_gid != a->gid ||
	       (st->st_mode & 07777) != (a->mode & 07777);
}

/* The owner's word on the directory itself; most often it says nothing new. */
static int take_dir_attr(struct stub_job *j, int dir)
{
	u8 set = j->set_complete ? AUGUR_REC_COMPLETE : 0;
	u8 clear = j->set_complete ? AUGUR_REC_STUB | AUGUR_REC_STALE : 0;
	struct augur_rec rec;
	struct stat st;
	int err = lower_record_read(dir, &rec);

	if (err)
		return err;
	if (fstat(dir, &st))
		return -errno;
	if (memcmp(rec.oid, j->dir_oid, AUGUR_OID_LEN) || memcmp(j->dir_attr.oid, j->dir_oid, AUGUR_OID_LEN))
		return -ESTALE;
	j->dir_changed = dir_differs(&j->dir_attr, &rec, &st);
	if (j->dir_changed)
		return update_dir(dir, &j->dir_attr, j->dir_xattrs, j->dir_xattrs_len, &rec, set, clear);
	if (rec.flags == ((rec.flags & ~clear) | set))
		return 0;
	rec.flags = (rec.flags & ~clear) | set;
	return lower_record_write(dir, &rec);
}

static int finish_dir(struct stub_job *j, int dir)
{
	int err = 0;

	if (j->set_complete && j->expect) {
		err = find_extra(j, dir);
		if (err)
			return err;
		if (j->nextra)
			j->set_complete = false;
	}
	if (!j->has_dir)
		return 0;
	lower_record_lock();
	err = take_dir_attr(j, dir);
	lower_record_unlock();
	return err;
}

int stub_work(void *arg)
{
	struct stub_job *j = arg;
	CLEANUP_CLOSE int dir = fh_open(j->c->top_fd, &j->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	struct make_spot sp;

	if (dir < 0)
		return dir;
	sp = make_spot(dir);
	for (u32 i = 0; i < j->n; i++) {
		stub_one(j, &sp, i);
		if (j->ents[i].outcome == STUB_FAILED)
			j->set_complete = false;	/* a name is missing */
	}
	return finish_dir(j, dir);
}
