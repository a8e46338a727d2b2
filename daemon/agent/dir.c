// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dir.c - LOOKUP and POPULATE: the names of a directory.
 *
 * All that goes on about one directory hangs on its struct dwork, so ten lookups in one cold
 * directory make one question: the first asks for the name and for everything if the
 * directory is small; a large one is asked name by name, and as a whole once it is clear
 * that many of its names are wanted.  Answers become names in names.c, one job at a time.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "agent/agent.h"
#include "base/log.h"

#define SINGLES_BEFORE_LIST	4
#define ROUNDS_MAX		3
#define YOUNG_NS		(200ull * 1000000)

struct list_call {
	struct ask	a;
	struct list	link;		/* single: dwork.calls */
	struct dwork	*d;
	struct dir_job	*job;		/* LOOKUP: gathers until the last frame */
	struct req	*r;		/* the lookup this was made for; NULL: LIST, or it went */
	bool		lookup, single;
};

u64 dir_name_hash(const char *name, size_t len)
{
	return XXH3_64bits(name, len);
}

static void dwork_step(struct dwork *d);

static struct dwork *dwork_get(struct vol *v, struct cobj *o)
{
	struct dwork *d = map_get(&v->dirs, o->oid);

	if (d)
		return d;
	d = xcalloc(1, sizeof(*d));
	memcpy(d->oid, o->oid, AUGUR_OID_LEN);
	d->v = v;
	d->o = o;
	cobj_get(o);
	list_init(&d->lookups);
	list_init(&d->populates);
	list_init(&d->waiters);
	list_init(&d->jobs);
	list_init(&d->calls);
	map_put(&v->dirs, d);
	return d;
}

static bool dwork_idle(const struct dwork *d)
{
	return list_empty(&d->lookups) && list_empty(&d->populates) && list_empty(&d->waiters) &&
	       list_empty(&d->jobs) && !d->running && !d->listing && !d->singles && !d->held;
}

static void dwork_maybe_free(struct dwork *d)
{
	if (!dwork_idle(d))
		return;
	map_del(&d->v->dirs, d->oid);
	cobj_put(d->v->c, d->o);
	free(d->names);
	free(d->subs);
	free(d);
}

/* ---- answers to those who wait ---- */

static void answer_waiting(struct dwork *d, int err)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &d->populates)
		req_reply(container_of(p, struct req, link), err, err ? 0 : AUGUR_RP_COMPLETE);
	while (!list_empty(&d->waiters)) {
		struct dir_wait *w = list_first(&d->waiters, struct dir_wait, link);

		list_del(&w->link);
		if (w->fn)
			w->fn(w->arg, err);
		free(w);
	}
}

static void answer_all(struct dwork *d, int err)
{
	u32 flags = err ? 0 : AUGUR_RP_COMPLETE;
	struct list *p, *t;

	list_for_each_safe(p, t, &d->lookups) {
		struct req *r = container_of(p, struct req, link);
		u64 h = dir_name_hash(r->name, r->name_len);
		bool found = false;

		if (r->asked)
			continue;	/* has a question of its own */
		for (size_t i = 0; i < d->nnames && !found; i++)
			found = d->names[i] == h;
		req_reply(r, err ? err : found ? 0 : -ENOENT, flags);
	}
	answer_waiting(d, err);
}

static void listed(struct dwork *d)
{
	struct vol *v = d->v;
	bool ahead = d->ahead;

	d->o->flags |= COBJ_COMPLETE;
	walk_children(d);
	if (ahead)
		d->o->flags |= COBJ_AHEAD;
	answer_all(d, 0);
	if (!ahead)
		walk_note(v, d->o);
}

/* ---- a listing that was true and is not to be trusted for long ---- */

struct young { struct io_op op; struct vol *v; u8 oid[AUGUR_OID_LEN]; };

static void young_due(struct io_op *op, int res)
{
	struct young *y = container_of(op, struct young, op);

	if (!y->v->dead)
		change_apply(y->v, AUGUR_INVAL_DIR, y->oid, NULL, NULL, 0, NULL, NULL);
	vol_put(y->v);
	free(y);
}

static void young_again(struct dwork *d)
{
	struct young *y = xcalloc(1, sizeof(*y));

	y->v = vol_get(d->v);
	memcpy(y->oid, d->oid, AUGUR_OID_LEN);
	y->op.done = young_due;
	d->v->io->ops->timer(d->v->io, &y->op, io_now(d->v->io) + YOUNG_NS);
}

/* ---- asking ---- */

static void names_add(struct dwork *d, const struct stub_job *j)
{
	if (d->nnames + j->n > d->names_cap) {
		d->names_cap = max(d->names_cap * 2, d->nnames + j->n);
		d->names = xrealloc(d->names, d->names_cap * sizeof(u64));
	}
	for (u32 i = 0; i < j->n; i++)
		d->names[d->nnames++] = dir_name_hash(j->ents[i].name, j->ents[i].name_len);
}

static void list_restart(struct ask *a)
{
	struct list_call *lc = container_of(a, struct list_call, a);

	if (lc->job)
		dir_job_free(lc->job);
	lc->job = NULL;
	if (!lc->single)
		lc->d->nnames = lc->d->nsubs = 0;
}

static void list_frame(struct ask *a, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct list_call *lc = container_of(a, struct list_call, a);
	struct dwork *d = lc->d;
	struct dir_job *dj = lc->job;
	struct wire_entry dir;
	bool has_dir;
	u32 complete;
	int err;

	if (d->err && !lc->single)
		return;
	if (!dj)
		dj = lc->job = dir_job_new(d);
	err = dir_job_entries(dj, (struct wire_in){ body->data, body->data + body->len }, &dir, &has_dir, &complete);
	if (err) {
		log_err("event=bad_answer type=%u volume=%s proxy=%s error=\"%s\"", h->type, d->v->volume, a->p->addr, strerror(-err));
		if (!lc->single)
			d->err = -EIO;
		return;
	}
	if (lc->lookup)
		return;
	/* LIST: names appear while the rest is on its way. */
	names_add(d, dj->j);
	lc->job = NULL;
	dir_job_queue(dj);
}

static void take_dir(struct dir_job *dj, const struct wire_entry *dir)
{
	struct dwork *d = dj->d;

	stub_job_dir(dj->j, dir);
	/* A directory's version is known from its own entry; 0: it may change unseen. */
	if (!dir->attr.tag && dj->final && !d->ahead)
		young_again(d);
}

/* The answer to one lookup, whether or not its request is still there. */
static void job_single(struct dir_job *dj, struct req *r, int status)
{
	dj->single = true;
	dj->status = status;
	if (!r)
		return;
	req_hold(&dj->r, r);
	r->asked = true;
}

static void list_ended(struct list_call *lc, int status, struct wire_in body)
{
	struct dwork *d = lc->d;
	struct dir_job *dj = lc->job ? lc->job : dir_job_new(d);
	struct wire_entry dir;
	bool has_dir = false;
	u32 complete = 0;
	int err = 0;

	lc->job = NULL;
	if (!status || (lc->lookup && status == -ENOENT))
		err = dir_job_entries(dj, body, &dir, &has_dir, &complete);
	else
		err = status;
	if (err || d->v->dead) {
		dir_job_free(dj);
		d->err = err ? err : -ECANCELED;
		return;
	}
	if (lc->lookup && complete)
		names_add(d, dj->j);
	dj->final = !lc->lookup || complete;
	if (has_dir)
		take_dir(dj, &dir);
	dj->j->set_complete = dj->final && has_dir;
	if (lc->lookup && !complete) {
		d->big = true;
		job_single(dj, lc->r, status);
	}
	dir_job_queue(dj);
}

static void list_done(struct ask *a, int status, struct wire_in body)
{
	struct list_call *lc = container_of(a, struct list_call, a);
	struct dwork *d = lc->d;

	d->listing = NULL;
	/* Unless a single answer goes to it alone, it waits for the outcome like the others. */
	if (lc->r)
		lc->r->asked = false;
	list_ended(lc, status, body);
	req_let_go(&lc->r);
	free(lc);
	dwork_step(d);
}

static void single_done(struct ask *a, int status, struct wire_in body)
{
	struct list_call *lc = container_of(a, struct list_call, a);
	struct dwork *d = lc->d;
	struct dir_job *dj = lc->job ? lc->job : dir_job_new(d);
	struct wire_entry dir;
	bool has_dir = false;
	u32 complete = 0;
	int err = status;

	d->singles--;
	list_del(&lc->link);
	if (!status || status == -ENOENT) {
		err = dir_job_entries(dj, body, &dir, &has_dir, &complete);
		job_single(dj, lc->r, status);
	}
	if (err || d->v->dead) {
		struct req *r = lc->r ? lc->r : dj->r;

		if (r)
			req_reply(r, err ? err : -EIO, 0);
		dir_job_free(dj);
	} else {
		if (has_dir)
			take_dir(dj, &dir);
		dir_job_queue(dj);
	}
	free(lc);
	dwork_step(d);
}

static struct list_call *call_new(struct dwork *d, u16 type, struct req *r, u32 max)
{
	struct list_call *lc = xcalloc(1, sizeof(*lc));

	lc->d = d;
	if (r)
		req_hold(&lc->r, r);
	lc->lookup = type == WIRE_LOOKUP;
	lc->a.v = d->v;
	lc->a.type = type;
	lc->a.pu = d->o->pu;
	lc->a.frame = list_frame;
	lc->a.restart = list_restart;
	wire_out_init(&lc->a.body);
	ask_put_object(&lc->a.body, d->o);
	if (r) {
		r->asked = true;
		wire_put(&lc->a.body, WF_NAME, r->name, r->name_len);
		wire_put_u32(&lc->a.body, WF_MAX, max);
	}
	return lc;
}

static void ask_listing(struct dwork *d, struct req *r)
{
	struct list_call *lc = call_new(d, r ? WIRE_LOOKUP : WIRE_LIST, r, AGENT_LOOKUP_MAX);

	d->err = 0;
	d->nnames = d->nsubs = 0;
	d->gen = d->o->gen;
	d->whole = !r;
	lc->a.done = list_done;
	d->listing = &lc->a;
	ask_start(&lc->a);
}

static void ask_single(struct dwork *d, struct req *r)
{
	struct list_call *lc = call_new(d, WIRE_LOOKUP, r, 0);

	lc->single = true;
	list_add_tail(&d->calls, &lc->link);
	lc->a.done = single_done;
	d->singles++;
	d->single_count++;
	ask_start(&lc->a);
}

/* ---- what to do next ---- */

static bool wants_whole(const struct dwork *d)
{
	return !list_empty(&d->populates) || !list_empty(&d->waiters) ||
	       (d->big && d->single_count >= SINGLES_BEFORE_LIST && !space_names_tight(d->v));
}

static struct req *lookup_unasked(struct dwork *d)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &d->lookups) {
		struct req *r = container_of(p, struct req, link);

		if (!r->asked)
			return r;
	}
	return NULL;
}

static void fail_all(struct dwork *d)
{
	int err = d->err;

	d->err = 0;
	log_debug("event=directory_failed error=\"%s\"", strerror(-err));
	answer_all(d, err);
	if (err == -ESTALE || err == -ENOENT || err == -ENOTDIR)
		reval_object(d->v, d->o);
}

/* It was listed ahead of the kernel's question: the names are in the lower directory. */
static void answer_listed(struct dwork *d)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &d->lookups) {
		struct req *r = container_of(p, struct req, link);
		u8 oid[AUGUR_OID_LEN];
		int err = r->asked ? -ESTALE : lower_has(d->v->c, &d->o->fh, r->name, oid);
		struct cobj *o = err ? NULL : cobj_peek_any(d->v->c, oid);

		if (o && (o->flags & COBJ_STALE))
			err = -ESTALE;		/* its record could not be marked yet */

		if (err == -ESTALE)
			continue;	/* the name is there, of a version that is no more */
		d->v->ahead_hits++;
		req_reply(r, err, AUGUR_RP_COMPLETE);
	}
	d->v->ahead_hits += !list_empty(&d->populates);
	answer_waiting(d, 0);
}

static void dwork_step(struct dwork *d)
{
	struct req *r;

	if (d->running || d->listing || d->held || !list_empty(&d->jobs))
		return;
	dir_begun_ahead(d);
	if (d->err)
		fail_all(d);
	if (d->v->dead) {
		answer_all(d, -EIO);
		dwork_maybe_free(d);
		return;
	}
	if ((d->o->flags & (COBJ_COMPLETE | COBJ_STALE)) == COBJ_COMPLETE) {
		if (d->o->flags & COBJ_AHEAD)
			walk_note(d->v, d->o);
		answer_listed(d);
	}
	if (wants_whole(d)) {
		d->single_count = 0;
		ask_listing(d, NULL);
		return;
	}
	r = lookup_unasked(d);
	/* Where inodes are few, a name comes alone. */
	if (r && !d->big && !space_names_tight(d->v) && !(d->o->flags & COBJ_COMPLETE)) {
		ask_listing(d, r);
		return;
	}
	while ((r = lookup_unasked(d)))
		ask_single(d, r);
	dwork_maybe_free(d);
}

void dir_names_made(struct dwork *d, const struct stub_job *j)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &d->lookups) {
		struct req *r = container_of(p, struct req, link);

		for (u32 i = 0; i < j->n && !r->asked; i++) {
			const struct stub_ent *s = &j->ents[i];

			if (s->name_len != r->name_len || memcmp(s->name, r->name, r->name_len))
				continue;
			if (s->outcome != STUB_FAILED && s->outcome != STUB_IN_WAY)
				req_reply(r, 0, 0);
			break;
		}
	}
}

/* names.c: a job has been carried out; its names are there. */
void dir_job_ended(struct dwork *d, struct dir_job *dj)
{
	bool final = dj->final;
	int err = dj->j->err;

	if (dj->single) {
		struct req *r = dj->r;

		if (!err && !dj->status && dj->j->n && dj->j->ents[0].outcome == STUB_FAILED)
			err = dj->j->ents[0].res;
		if (dj->fn)
			dj->fn(dj->arg, err);
		if (r)
			req_reply(r, err ? err : dj->status, 0);
		err = 0;
	} else if (!final && !err) {
		dir_names_made(d, dj->j);
	}
	if (err && !d->err)
		d->err = err;
	dir_job_free(dj);
	if (final && !d->err) {
		if (d->gen != d->o->gen && ++d->rounds < ROUNDS_MAX) {
			ask_listing(d, NULL);	/* it changed while we listened */
			return;
		}
		if (d->gen != d->o->gen)
			young_again(d);		/* it does not stop changing: looked at again soon */
		d->rounds = 0;
		listed(d);
	}
	dwork_step(d);
}

void dir_request(struct req *r, struct cobj *dir)
{
	struct dwork *d = dwork_get(r->v, dir);

	if (r->op == AUGUR_OP_LOOKUP) {
		r->v->n_lookup++;
		list_add_tail(&d->lookups, &r->link);
	} else {
		r->v->n_populate++;
		d->ahead = false;
		list_add_tail(&d->populates, &r->link);
	}
	if (r->op == AUGUR_OP_LOOKUP)
		d->ahead = false;
	dwork_step(d);
}

/* ---- a directory that nobody may ask about for a moment ---- */

struct dwork *dir_hold(struct vol *v, struct cobj *dir)
{
	struct dwork *d = map_get(&v->dirs, dir->oid);

	if (d)
		return NULL;
	d = dwork_get(v, dir);
	d->held = true;
	return d;
}

bool dir_awaited(const struct dwork *d)
{
	return !list_empty(&d->lookups) || !list_empty(&d->populates) || !list_empty(&d->waiters) || !list_empty(&d->jobs);
}

void dir_release(struct dwork *d)
{
	d->held = false;
	dir_jobs_go(d);
	dwork_step(d);
}

void dir_populate(struct vol *v, struct cobj *dir, bool ahead, dir_done_fn *fn, void *arg)
{
	struct dwork *d = map_get(&v->dirs, dir->oid);
	struct dir_wait *w = xcalloc(1, sizeof(*w));

	if (!d) {
		d = dwork_get(v, dir);
		d->ahead = ahead;
	}
	w->fn = fn;
	w->arg = arg;
	list_add_tail(&d->waiters, &w->link);
	dwork_step(d);
}

void dir_shows(struct vol *v, struct cobj *dir, const struct wire_entry *e, dir_done_fn *fn, void *arg)
{
	struct dwork *d = dwork_get(v, dir);
	struct dir_job *dj = dir_job_new(d);

	stub_job_dir(dj->j, e);
	dj->single = true;	/* of no name: its failure is nobody else's */
	dj->fn = fn;
	dj->arg = arg;
	dir_job_queue(dj);
}

void dir_cancelled(struct vol *v, const u8 *oid, struct req **slot)
{
	struct dwork *d = map_get(&v->dirs, oid);
	struct list *p, *t;

	if (!d)
		return;
	list_for_each_safe(p, t, &d->calls) {
		struct list_call *lc = container_of(p, struct list_call, link);

		if (slot == &lc->r)
			ask_cancel(&lc->a);	/* of that name alone */
	}
	dwork_maybe_free(d);
}

/* The mount went: nobody waits any more. */
void dir_drop_requests(struct vol *v)
{
	size_t it = 0;
	struct req *r;
	bool again;

	do {
		again = false;
		it = 0;
		while ((r = map_next(&v->reqs, &it))) {
			if (r->op != AUGUR_OP_LOOKUP && r->op != AUGUR_OP_POPULATE)
				continue;
			if (r->asked || list_empty(&r->link)) {
				r->cancelled = true;	/* something points at it: answered (to nobody) later */
				continue;
			}
			req_reply(r, -ENOTCONN, 0);
			again = true;
			break;
		}
	} while (again);
}
