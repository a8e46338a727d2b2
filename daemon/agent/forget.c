// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * forget.c - names that go so that inodes are free; who waits for one.
 *
 * A stub stays after eviction, so a cache has an inode for each name that anybody has looked at.
 * Percent of inodes free below evict/inode_cull begins a round, above evict/inode_run it ends: of
 * directories, the longest unused first, the names go that nobody uses, and a directory that has
 * none left goes as a name of the one above it.  Each is asked for again by who wants it.
 *
 * In a batch of directories: they are held, so that nothing makes names in them; their names are
 * looked at; the record of each says durably that names may be missing; only then the kernel
 * removes one after the other, refusing those that are used, a few in each turn of the loop.
 * A directory that is being asked about is passed over, and so is a name of an object with work
 * under way.  Loop thread only.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/log.h"

#define DIRS		16	/* of a batch; beside them the directories above */
#define NAMES		256	/* of a directory in a batch */
#define STEP		64	/* names in a turn of the loop */
#define TRY_AGAIN_NS	(1ull * 1000000000)	/* after a round that found nothing */
#define LOG_NS		(10ull * 1000000000)
#define WANT_MIN	64	/* for those who wait */

/* What a batch holds beside the job's directories, in the same order. */
struct held { struct cobj *o; struct dwork *d; size_t above, gone, nlisted; bool taken, go; };
#define NOWHERE		SIZE_MAX

struct forget {
	struct vol	*v;
	struct forget_job job;
	struct forget_dir dirs[2 * DIRS];
	struct held	held[2 * DIRS];
	u8		oids[DIRS][AUGUR_OID_LEN];
	size_t		noids, nlisted;
	unsigned int	loading;
	struct use_brief after;
	u64		want, gone, turn;
	size_t		at, name;		/* where the removals are */
	struct io_op	pause;
};

static void round_next(struct forget *g);
static void remove_some(struct forget *g);

/* ---- how many are free ---- */

void names_look(struct vol *v, const struct cache_space *cs)
{
	struct space *s = &v->space;

	s->inode_run = space_knob(v, "inode_run", 0);
	s->inode_cull = space_knob(v, "inode_cull", 0);
	s->inode_stop = space_knob(v, "inode_stop", 0);
	s->inodes = cs->inodes;
	s->inodes_free = cs->inodes_free;
	s->inode_percent = cs->inodes ? cs->inodes_free * 100 / cs->inodes : 100;
	if (s->inode_percent < s->inode_cull)
		s->names_culling = true;
	else if (s->inode_percent >= s->inode_run)
		s->names_culling = false;
}

bool space_names_tight(const struct vol *v)
{
	return v->space.inode_percent < v->space.inode_stop;
}

/* ---- who waits ---- */

bool names_wait(struct vol *v, struct space_wait *w, bool blocks)
{
	struct space *s = &v->space;
	bool few = s->inodes_free < WANT_MIN || s->inode_percent < max(s->inode_cull, 1u);

	/* Some may have come free since; where there are blocks as well it was an inode that was missing. */
	if (!s->inodes || (s->inodes_free && !(few && blocks)))
		return false;
	list_add_tail(&s->names, &w->link);
	return true;
}

void names_wake(struct vol *v)
{
	struct list all;

	list_init(&all);
	while (!list_empty(&v->space.names)) {
		struct list *l = v->space.names.next;

		list_del(l);
		list_add_tail(&all, l);
	}
	while (!list_empty(&all)) {
		struct space_wait *w = list_first(&all, struct space_wait, link);

		list_del(&w->link);
		w->fn(w);
	}
}

void names_refused(struct vol *v)
{
	struct space *s = &v->space;
	u64 now = io_now(v->io);

	if (now - s->names_said_ns < LOG_NS && s->names_said_ns)
		return;
	s->names_said_ns = now;
	log_warn("event=no_room_for_names cache=%s inodes=%llu free=%llu effect=\"lookups of new names end with ENOSPC\" hint=\"unpin, close files, or make the cache's filesystem with more inodes\"",
		 v->c->dir, (unsigned long long)s->inodes, (unsigned long long)s->inodes_free);
}

/* ---- end of a batch, of a round ---- */

static void batch_end(struct forget *g)
{
	for (size_t i = 0; i < g->job.n; i++) {
		struct forget_dir *d = &g->dirs[i];

		for (size_t k = 0; k < g->held[i].nlisted; k++)
			free(d->names[k].name);
		free(d->names);
		if (g->held[i].d)
			dir_release(g->held[i].d);
	}
	memset(g->dirs, 0, sizeof(g->dirs));
	memset(g->held, 0, sizeof(g->held));
	g->job.n = g->nlisted = 0;
}

static void round_end(struct forget *g)
{
	struct vol *v = g->v;
	struct space *s = &v->space;

	s->forget = NULL;
	s->names_exhausted_ns = g->gone ? 0 : max(io_now(v->io), (u64)1);
	if (g->gone)
		log_info("event=forgotten cache=%s names=%llu inodes_free=%llu", v->c->dir, (unsigned long long)g->gone,
			 (unsigned long long)s->inodes_free);
	free(g);
	if (!v->dead)
		space_forgotten(v);
	vol_put(v);
}

static bool is_over(const struct forget *g)
{
	return g->v->dead || !g->v->m || g->gone >= g->want;
}

static void batch_over(struct forget *g)
{
	struct vol *v = g->v;

	batch_end(g);
	if (g->gone && !v->dead)
		names_wake(v);
	if (is_over(g))
		round_end(g);
	else
		round_next(g);
}

/* ---- removing ---- */

static bool is_busy(struct vol *v, const struct forget_name *n)
{
	const struct fwork *f = map_get(&v->files, n->oid);
	const struct cobj *o = cobj_peek_any(v->c, n->oid);

	if (map_get(&v->dirs, n->oid) || (n->several && v->links_job) || (f && !fwork_idle(f)))
		return true;
	return o && ((o->flags & COBJ_EVICTING) || o->streamed || o->user);
}

static bool remove_name(struct forget *g, const struct forget_dir *in, const struct forget_name *n)
{
	struct vol *v = g->v;

	if (is_busy(v, n) || upcall_remove(v->m, &in->fh, n->name, strlen(n->name), &n->fh, true))
		return false;
	g->gone++;
	v->c->names_forgotten++;
	/* One of several names may have gone alone. */
	if (n->several && lower_lives(v->c, &n->fh))
		return true;
	/* The object may be here in another inode, by another name. */
	if (cobj_forget_inode(v->c, n->oid, &n->fh, true))
		use_gone(v->c, n->oid);
	return true;
}

/* Its names are gone: it goes as a name of the directory above it. */
static void remove_dir(struct forget *g, size_t i)
{
	struct held *h = &g->held[i];
	struct forget_dir *d = &g->dirs[i];
	struct forget_name n = { .fh = d->fh, .is_dir = true };
	CLEANUP_FREE char *name = NULL;

	if (!h->go || h->gone < d->n || g->dirs[h->above].res || dir_awaited(h->d))
		return;
	name = xstrdup(h->o->name);
	n.name = name;
	memcpy(n.oid, d->oid, AUGUR_OID_LEN);
	dir_release(h->d);
	h->d = NULL;
	if (remove_name(g, &g->dirs[h->above], &n))
		use_dir_gone(g->v->c, d->oid);
}

static void go_on(struct io_op *op, int res)
{
	struct forget *g = container_of(op, struct forget, pause);

	if (g->v->dead || !g->v->m)
		batch_over(g);
	else
		remove_some(g);
}

static void remove_some(struct forget *g)
{
	struct vol *v = g->v;

	for (int step = 0; g->at < g->nlisted; g->at++, g->name = 0) {
		struct forget_dir *d = &g->dirs[g->at];
		struct hint *h = d->n ? map_get(&v->hints, d->oid) : NULL;

		if (h)
			h->listed = false;
		/* Who asks about the directory meanwhile is served first: the kernel would refuse anyhow. */
		for (; !d->res && g->name < d->n && !dir_awaited(g->held[g->at].d); g->name++) {
			if (step++ == STEP) {
				g->pause.done = go_on;
				v->io->ops->timer(v->io, &g->pause, io_now(v->io));
				return;
			}
			g->held[g->at].gone += remove_name(g, d, &d->names[g->name]);
		}
	}
	for (size_t i = 0; i < g->nlisted; i++)
		remove_dir(g, i);
	batch_over(g);
}

/* ---- the claims ---- */

static void disclaimed(struct forget_job *j)
{
	struct forget *g = j->user;

	g->v->c->evictions++;
	for (size_t i = 0; i < j->n; i++) {
		struct cobj *o = g->held[i].o;

		if (g->dirs[i].res)
			log_debug("event=disclaim error=\"%s\"", strerror(-g->dirs[i].res));
		if (!g->dirs[i].disclaim || g->dirs[i].res)
			continue;
		o->flags &= ~COBJ_COMPLETE;
		o->disclaimed = true;
	}
	g->at = g->name = 0;
	if (g->v->dead || !g->v->m)
		batch_over(g);
	else
		remove_some(g);
}

static void disclaim(struct forget *g)
{
	bool any = false;

	for (size_t i = 0; i < g->job.n; i++) {
		struct forget_dir *d = &g->dirs[i];
		bool needed = i >= g->nlisted || d->n;

		for (size_t k = 0; k < g->nlisted && !needed; k++)
			needed = g->held[k].go && g->held[k].above == i;
		any |= needed;
		d->disclaim = !d->res && needed && !g->held[i].o->disclaimed;
	}
	if (!any || g->v->dead) {
		batch_over(g);
		return;
	}
	g->job.done = disclaimed;
	forget_disclaim(&g->job);
}

/* ---- the directories above ---- */

static size_t hold(struct forget *g, struct cobj *o)
{
	size_t i = g->job.n;

	for (size_t k = 0; k < i; k++)
		if (g->held[k].o == o)
			return g->held[k].d ? k : NOWHERE;
	g->held[i].d = dir_hold(g->v, o);
	if (!g->held[i].d)
		return NOWHERE;
	g->held[i].o = o;
	memcpy(g->dirs[i].oid, o->oid, AUGUR_OID_LEN);
	g->dirs[i].fh = o->fh;
	g->job.n++;
	return i;
}

static void above_loaded(void *arg, struct cobj *o)
{
	struct forget *g = arg;

	if (--g->loading)
		return;
	for (size_t i = 0; i < g->nlisted && !g->v->dead; i++) {
		struct held *h = &g->held[i];

		if (!h->go)
			continue;
		o = cobj_peek_any(g->v->c, h->o->parent);
		h->above = o && cobj_is_dir(o) ? hold(g, o) : NOWHERE;
		h->go = h->above != NOWHERE;
	}
	disclaim(g);
}

/* Of which directories will no name be left? */
static void find_above(struct forget *g)
{
	g->loading = 1;
	for (size_t i = 0; i < g->nlisted && !g->v->dead; i++) {
		struct held *h = &g->held[i];

		if (g->dirs[i].res || !g->dirs[i].all || !h->o->name || !h->o->name_len ||
		    !memcmp(h->o->oid, g->v->c->root_oid, AUGUR_OID_LEN))
			continue;
		h->go = true;
		g->loading++;
		cobj_load_any(g->v->c, h->o->parent, above_loaded, g);
	}
	above_loaded(g, NULL);
}

/* ---- the names ---- */

/* Would the kernel agree?  Else the directory's claim would go for nothing. */
static bool may_go(struct vol *v, const struct forget_name *n)
{
	u32 why = 0;

	if (is_busy(v, n) || !v->m)
		return false;
	return !n->is_file || !upcall_evict(v->m, n->oid, &n->fh, 0, 0, true, &why);
}

/* What may go of it; no more than is wanted. */
static void choose(struct forget *g, struct forget_dir *d, u64 left)
{
	size_t kept = 0;

	for (size_t k = 0; k < d->n && kept < left; k++) {
		struct forget_name n = d->names[k];

		if (!may_go(g->v, &n))
			continue;
		d->names[k] = d->names[kept];
		d->names[kept++] = n;
	}
	d->all = d->all && kept == d->n;
	d->n = kept;
}

static void listed(struct forget_job *j)
{
	struct forget *g = j->user;
	struct vol *v = g->v;
	u64 chosen = 0;

	for (size_t i = 0; i < g->nlisted; i++) {
		struct forget_dir *d = &g->dirs[i];

		g->held[i].nlisted = d->n;
		/* One that is pinned is in the order again when it is unpinned. */
		if (d->res == -ESTALE || d->res == -ENOENT || d->res == -EBUSY)
			use_dir_gone(v->c, d->oid);
		if (d->res || v->dead)
			continue;
		choose(g, d, g->want - min(g->want, g->gone + chosen));
		chosen += d->n;
	}
	find_above(g);
}

static void take(struct forget *g)
{
	for (size_t i = 0; i < g->noids && !is_over(g); i++) {
		struct cobj *o = cobj_peek_any(g->v->c, g->oids[i]);
		size_t at;

		if (!o || !cobj_is_dir(o)) {
			use_dir_gone(g->v->c, g->oids[i]);
			continue;
		}
		at = hold(g, o);
		if (at == NOWHERE)
			continue;
		g->dirs[at].max = NAMES;
		g->dirs[at].turn = g->turn += NAMES;
	}
	g->nlisted = g->job.n;
	if (!g->nlisted) {
		batch_over(g);
		return;
	}
	g->job.c = g->v->c;
	g->job.dirs = g->dirs;
	g->job.user = g;
	g->job.done = listed;
	forget_list(&g->job);
}

static void loaded(void *arg, struct cobj *o)
{
	struct forget *g = arg;

	if (!--g->loading)
		take(g);
}

/* ---- a round ---- */

static void scanned(void *arg, size_t found)
{
	struct forget *g = arg;

	log_info("event=cache_scan cache=%s directories=%zu", g->v->c->dir, found);
	g->after.rank = INT64_MIN;
	if (is_over(g) || !found)
		round_end(g);
	else
		round_next(g);
}

static void oldest_found(void *arg, struct use_brief *b, size_t n)
{
	struct forget *g = arg;
	struct space *s = &g->v->space;

	if (n && !is_over(g)) {
		g->after = b[n - 1];
		g->noids = g->loading = n;
		for (size_t i = 0; i < n; i++) {
			memcpy(g->oids[i], b[i].oid, AUGUR_OID_LEN);
			cobj_load_any(g->v->c, g->oids[i], loaded, g);
		}
	} else if (!is_over(g) && !g->gone && !s->names_scanned) {
		/* Rows that a crash took along, or a cache of before there were rows. */
		s->names_scanned = true;
		use_scan(g->v->c, true, scanned, g);
	} else {
		round_end(g);
	}
	free(b);
}

static void round_next(struct forget *g)
{
	use_oldest_dirs(g->v->c, &g->after, DIRS, oldest_found, g);
}

void forget_names(struct vol *v, u64 want)
{
	struct forget *g = v->space.forget;

	if (g) {
		g->want = max(g->want, want);
		return;
	}
	g = xcalloc(1, sizeof(*g));
	g->v = vol_get(v);
	g->want = want;
	g->after.rank = INT64_MIN;
	v->space.forget = g;
	round_next(g);
}

void names_tick(struct vol *v, bool no_bytes)
{
	struct space *s = &v->space;
	bool waits = no_bytes || !list_empty(&s->names);
	u64 run = s->inodes / 100 * s->inode_run, want = 0;

	if (!s->names_culling && !waits) {
		s->names_exhausted_ns = 0;
		return;
	}
	if (s->forget || (s->names_exhausted_ns && io_now(v->io) - s->names_exhausted_ns < TRY_AGAIN_NS))
		return;
	if (s->names_culling && run > s->inodes_free)
		want = run - s->inodes_free;
	if (waits)
		want = max(want, (u64)WANT_MIN);
	forget_names(v, max(want, (u64)1));
}
