// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vol.c - a volume and its cache, bound to a mount while there is one; the kernel's requests
 * come in here and their answers leave here.
 *
 * A request lives from its arrival to its one answer (req_reply*), and waits on the work it
 * needs.  A mount that goes takes its requests along: their callers have been answered by the
 * kernel.  Loop thread only.
 *
 * long file: the life of a volume and of what is asked of it.
 */
#include <limits.h>
#include <stdio.h>

#include "agent/agent.h"
#include "base/log.h"
#include "wire/bytes.h"

/* ---- source ---- */

int vol_source_parse(const char *source, struct vol *v)
{
	const char *sep = strstr(source, ":/"), *p, *next;

	if (!sep || sep == source)
		return -EINVAL;
	if (!sep[2] || strlen(sep + 2) >= sizeof(v->volume))
		return -EINVAL;
	strcpy(v->volume, sep + 2);
	for (p = source; p < sep; p = next + 1) {
		next = memchr(p, ',', sep - p);
		if (!next)
			next = sep;
		if (next == p || v->nseeds == AGENT_SEEDS_MAX || next - p >= 256)
			return -EINVAL;
		v->seeds[v->nseeds++] = strndup(p, next - p);
	}
	return v->nseeds ? 0 : -EINVAL;
}

/* ---- requests ---- */

void req_hold(struct req **slot, struct req *r)
{
	if (r->slot)
		*r->slot = NULL;
	r->slot = slot;
	*slot = r;
}

void req_let_go(struct req **slot)
{
	if (*slot)
		(*slot)->slot = NULL;
	*slot = NULL;
}

static void req_free(struct req *r)
{
	if (r->slot)
		*r->slot = NULL;
	map_del(&r->v->reqs, &r->id);
	list_del(&r->link);
	free(r);
}

static bool req_alive(const struct req *r)
{
	return r->v->m && r->v->m->session == r->session;
}

void req_reply(struct req *r, int status, u32 flags)
{
	struct upcall_reply rp = { .id = r->id, .op = r->op, .status = status, .flags = flags };

	/* The kernel has words of its own for these. */
	if (status == -ETIMEDOUT || status == -ECANCELED || status == -EHOSTUNREACH || status == -ECONNRESET ||
	    status == -EREMCHG || status == -EBADMSG || status == -EAGAIN)
		rp.status = -EIO;
	if (req_alive(r))
		upcall_reply(r->v->m, &rp);
	req_free(r);
}

void req_reply_fetch(struct req *r, struct cobj *o)
{
	struct upcall_reply rp = { .id = r->id, .op = r->op, .off = r->off, .len = r->len };

	if (r->off > o->size || r->len > o->size - r->off) {
		/* The kernel's idea of the size is another version's. */
		req_reply(r, -ESTALE, 0);
		return;
	}
	if (o->flags & COBJ_COMPLETE) {
		rp.flags = AUGUR_RP_COMPLETE;
		rp.off = 0;
		rp.len = o->size;
	} else if (o->streamed) {
		rp.flags = AUGUR_RP_STREAM;
	} else if ((r->flags & AUGUR_RQ_WANT_MAP) && o->map) {
		rp.map = o->map;
		rp.map_len = augur_map_bytes(o->size, o->shift);
	}
	if (req_alive(r))
		upcall_reply(r->v->m, &rp);
	req_free(r);
}

static void req_dispatch(void *arg, struct cobj *o, int err)
{
	struct req *r = arg;

	if (!o || r->cancelled) {
		req_reply(r, r->cancelled ? -EINTR : err ? err : -ESTALE, 0);
		return;
	}
	switch (r->op) {
	case AUGUR_OP_LOOKUP:
	case AUGUR_OP_POPULATE:
		if (cobj_is_dir(o))
			dir_request(r, o);
		else
			req_reply(r, -ENOTDIR, 0);
		return;
	case AUGUR_OP_FETCH:
		if (cobj_is_file(o))
			file_request(r, o);
		else
			req_reply(r, -EINVAL, 0);
		return;
	case AUGUR_OP_REVAL:
		reval_request(r, o);
		return;
	}
	req_reply(r, -EOPNOTSUPP, 0);
}

/* A request whose object is being found: answered at once if nobody waits any more, however long that takes. */
struct req_find { struct req *r; };

static void req_found(void *arg, struct cobj *o, int err)
{
	struct req_find *f = arg;
	struct req *r = f->r;

	req_let_go(&f->r);
	free(f);
	if (r)
		req_dispatch(r, o, err);
}

static void req_find(struct req *r)
{
	struct req_find *f = xcalloc(1, sizeof(*f));

	req_hold(&f->r, r);
	vol_object(r->v, r->oid, &r->fh, req_found, f);
}

static void on_request(void *ctx, struct upcall_mount *m, const struct upcall_req *rq)
{
	struct vol *v = m->user;
	struct req *r = map_get(&v->reqs, &rq->id);

	v->n_requests++;
	if (r)
		return;		/* sent again; it is being worked on */
	r = xcalloc(1, sizeof(*r));
	r->id = rq->id;
	list_init(&r->link);
	r->v = v;
	r->session = m->session;
	r->op = rq->op;
	r->flags = rq->flags;
	memcpy(r->oid, rq->oid, AUGUR_OID_LEN);
	r->fh = rq->fh;
	r->off = rq->off;
	r->len = rq->len;
	r->want = rq->want;
	r->version = rq->version;
	r->created_ns = io_now(v->io);
	if (rq->name) {
		r->name_len = rq->name_len;
		memcpy(r->name, rq->name, rq->name_len);
	}
	map_put(&v->reqs, r);
	log_debug("event=request mount=%llu req=%llu oid=%llx op=%u off=%llu len=%llu want=%llu flags=%x name=%s",
		  (unsigned long long)m->id, (unsigned long long)r->id, (unsigned long long)get_le64(r->oid), r->op, (unsigned long long)r->off,
		  (unsigned long long)r->len, (unsigned long long)r->want, r->flags,
		  rq->name ? log_esc(rq->name, rq->name_len) : "");
	req_find(r);
}

/*
 * Its caller was killed or has waited long enough.  It is answered, to whoever may still look, and
 * gone, also while its owner does not answer: what others wait for goes on without it.  Bytes go
 * on in any case, as a FETCH is itself the leave to write them and lives in the kernel until then.
 */
static void on_cancel(void *ctx, struct upcall_mount *m, u64 req_id)
{
	struct vol *v = m->user;
	struct req *r = map_get(&v->reqs, &req_id);
	struct req **slot = r ? r->slot : NULL;
	u8 oid[AUGUR_OID_LEN];

	if (!r || r->op == AUGUR_OP_FETCH)
		return;
	log_debug("event=cancel mount=%llu req=%llu", (unsigned long long)m->id, (unsigned long long)req_id);
	if (!slot && list_empty(&r->link)) {
		r->cancelled = true;	/* between two of those that hold it */
		return;
	}
	memcpy(oid, r->oid, sizeof(oid));
	req_reply(r, -EINTR, 0);
	dir_cancelled(v, oid, slot);
}

static void opened(struct vol *v, const u8 *oid)
{
	const struct cobj *o = cobj_peek_any(v->c, oid);

	use_opened(v->c, oid);
	if (o)
		use_dir(v->c, o->parent);
}

static void on_events(void *ctx, struct upcall_mount *m, u32 cpu, u64 seq, u64 dropped,
		      const struct augur_event *ev, size_t n)
{
	struct vol *v = m->user;

	for (size_t i = 0; i < n; i++) {
		ahead_event(v, &ev[i]);
		if (ev[i].op == AUGUR_EV_OPEN)
			opened(v, ev[i].oid);
		else if (ev[i].op == AUGUR_EV_READDIR)
			use_dir(v->c, ev[i].oid);
	}
	if (v->h)
		history_add(v->h, cpu, seq, dropped, ev, n);
}

/* ---- the object a request is about ---- */

struct obj_wait { struct vol *v; u8 oid[AUGUR_OID_LEN]; struct fh fh; vol_obj_fn *fn; void *arg; struct io_op op; };

static void obj_give(struct obj_wait *w, struct cobj *o, int err)
{
	w->fn(w->arg, o, err);
	vol_put(w->v);
	free(w);
}

static void obj_loaded(void *arg, struct cobj *o)
{
	struct obj_wait *w = arg;

	if (w->v->dead) {
		obj_give(w, NULL, -ECANCELED);
	} else if (!o || (w->fh.len && !fh_equal(&o->fh, &w->fh))) {
		/* A row lost with the power, or older than the tree: the tree and the owner know. */
		recover_object(w->v, w->oid, &w->fh, w->fn, w->arg);
		vol_put(w->v);
		free(w);
	} else {
		obj_give(w, o, 0);
	}
}

void vol_object(struct vol *v, const u8 *oid, const struct fh *fh, vol_obj_fn *fn, void *arg)
{
	struct cobj *o = cobj_peek(v->c, oid);
	struct obj_wait *w;

	if (o && (!fh || !fh->len || fh_equal(&o->fh, fh))) {
		fn(arg, o, 0);
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->v = vol_get(v);
	memcpy(w->oid, oid, AUGUR_OID_LEN);
	if (fh)
		w->fh = *fh;
	w->fn = fn;
	w->arg = arg;
	if (o)
		obj_loaded(w, o);
	else
		cobj_load(v->c, oid, obj_loaded, w);
}

/* ---- mounts ---- */

static void on_settled(void *ctx, const u8 *oid, bool complete, u64 present)
{
	struct vol *v = ctx;

	if (v->m)
		upcall_settle(v->m, oid, complete, present);
}

/* R8: the name gets another inode, and its bytes are brought again. */
static void on_lost(void *ctx, const u8 *oid)
{
	struct vol *v = ctx;

	if (!v->dead)
		change_apply(v, AUGUR_INVAL_DATA, oid, NULL, NULL, 0, NULL, NULL);
}

/* The mount's smallest chunk is that of stubs made from now on. */
static void take_options(struct vol *v, const char *options)
{
	const char *p = strstr(options, "chunk_kb=");
	unsigned long kb = p ? strtoul(p + 9, NULL, 10) : 0;
	unsigned int shift = 10;

	if (!kb || (kb & (kb - 1)))
		return;
	while (kb >>= 1)
		shift++;
	if (shift >= AUGUR_CHUNK_SHIFT_MIN && shift <= AUGUR_CHUNK_SHIFT_MAX)
		v->c->chunk_shift = shift;
}

void vol_mount(struct vol *v, u64 mount_id)
{
	int err = upcall_register(v->ag->up, mount_id, true, v, &v->m);

	if (err) {
		v->m = NULL;
		log_warn("event=register mount=%llu cache=%s error=\"%s\"", (unsigned long long)mount_id, v->c->dir, strerror(-err));
		return;
	}
	if (v->c->stamped && memcmp(v->m->root_oid, v->c->root_oid, AUGUR_OID_LEN)) {
		log_err("event=mount_refused mount=%llu cache=%s error=\"the mount's root is not this volume's\" hint=\"unmount, then mount again\"",
			(unsigned long long)mount_id, v->c->dir);
		upcall_unregister(v->m);
		v->m = NULL;
		return;
	}
	log_info("event=mounted mount=%llu source=%s cache=%s window=%u", (unsigned long long)mount_id, v->source, v->c->dir, v->m->window);
	recover_inodes(v);
	lease_mount(v);
	space_mount(v);
}

static void on_gone(void *ctx, struct upcall_mount *m)
{
	struct vol *v = m->user;

	log_info("event=unmounted mount=%llu cache=%s", (unsigned long long)m->id, v->c->dir);
	v->m = NULL;
	dir_drop_requests(v);
	file_drop_requests(v);
	walk_drop(v);
	space_drop(v);
	look_drop(v);
	settle_now(v->c, NULL, NULL);
}

static struct vol *vol_of_info(struct agent *ag, const struct upcall_info *info)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &ag->vols) {
		struct vol *v = container_of(p, struct vol, link);

		if (v->c->root_dev == info->lower_dev && v->c->root_ino == info->lower_ino)
			return v;
	}
	return NULL;
}

static void on_found(void *ctx, const struct upcall_info *info)
{
	struct agent *ag = ctx;
	struct vol *v = vol_of_info(ag, info);
	enum ctl_error cause;

	if (!v && ag->only_static)
		return;
	if (!v) {
		/* A mount whose daemon went: its cache says where it belongs. */
		if (vol_find_cache(ag, info->cache) || vol_new(ag, info->source, info->cache, &v, &cause))
			return;
		if (v->c->root_dev != info->lower_dev || v->c->root_ino != info->lower_ino) {
			log_warn("event=orphan_mismatch mount=%llu cache=%s", (unsigned long long)info->mount_id, info->cache);
			vol_close(v, NULL, NULL);
			return;
		}
	}
	if (v->m)
		return;
	take_options(v, info->options);
	vol_mount(v, info->mount_id);
}

const struct upcall_ops agent_upcall_ops = {
	.found = on_found,
	.request = on_request,
	.cancel = on_cancel,
	.events = on_events,
	.gone = on_gone,
};

/* ---- life ---- */

static void vol_free_strings(struct vol *v);

u64 vol_timeout_ns(const struct vol *v)
{
	return v->m && v->m->timeout_ms ? v->m->timeout_ms * 1000000ull : AGENT_TIMEOUT_NS;
}

struct vol *vol_find_cache(struct agent *ag, const char *dir)
{
	struct list *p, *t;
	char a[PATH_MAX], b[PATH_MAX];

	if (!realpath(dir, a))
		return NULL;
	list_for_each_safe(p, t, &ag->vols) {
		struct vol *v = container_of(p, struct vol, link);

		if (realpath(v->c->dir, b) && !strcmp(a, b))
			return v;
	}
	return NULL;
}

static void vol_free(struct vol *v)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &v->peers)
		free(container_of(p, struct peer, link));
	hints_free(v);
	meta_map_put(v->map);
	map_free(&v->reqs);
	map_free(&v->dirs);
	map_free(&v->files);
	map_free(&v->hints);
	map_free(&v->looks);
	map_free(&v->told);
	vol_free_strings(v);
	free(v);
}

static void vol_cache_closed(void *arg)
{
	struct vol *v = arg;

	v->c = NULL;
	if (v->closed)
		v->closed(v->closed_arg);
	vol_put(v);		/* the list's */
}

/*
 * Work under way has v, and through it the cache.  When a closed volume has no user left but
 * the list, the cache is closed; when that is done, the volume is freed.
 */
void vol_put(struct vol *v)
{
	if (--v->users == 0) {
		vol_free(v);
	} else if (v->users == 1 && v->dead && !v->cache_closing) {
		v->cache_closing = true;
		file_free_idle(v);
		cache_close(v->c, vol_cache_closed, v);
	}
}

static void vol_free_strings(struct vol *v)
{
	for (unsigned int i = 0; i < v->nseeds; i++)
		free(v->seeds[i]);
	free(v->source);
	free(v->leases);
}

static void seqs_load(struct vol *v)
{
	CLEANUP_FREE struct cache_seq *s = xcalloc(META_SHARDS_MAX, sizeof(*s));

	/* After a power cut a mark may be lost that its number says is there: compare everything. */
	if (v->c->cut || cache_seq_load(v->c, s, META_SHARDS_MAX))
		return;
	for (u32 i = 0; i < META_SHARDS_MAX; i++)
		v->leases[i].seq = s[i].seq;
}

/* After a power cut nothing is asked before the tree was compared with the index, so nothing answered. */
static void checked_cut(void *arg, int err)
{
	struct vol *v = arg;

	if (!v->dead && !err)
		peers_start(v);
	vol_put(v);
}

static void checked(void *arg, int err)
{
	struct vol *v = arg;

	if (!v->dead && !err)
		lease_all(v);
	vol_put(v);
}

static void on_doubted(void *ctx, const u8 *oid, bool is_dir, const u8 *parent, const char *name)
{
	struct vol *v = ctx;

	if (!v->dead)
		change_apply(v, is_dir ? AUGUR_INVAL_DIR : AUGUR_INVAL_DATA, oid, parent, name, strlen(name), NULL, NULL);
}

static void start(struct vol *v)
{
	bool cut = v->c->cut;

	if (v->c->unclean)
		cache_check(v->c, cut ? checked_cut : checked, vol_get(v));
	if (!cut)
		peers_start(v);
}

static int attach_cache(struct vol *v, const char *dir, enum ctl_error *cause)
{
	static const enum ctl_error causes[] = {
		[CACHE_F_MISSING] = AUGUR_E_CACHE_MISSING, [CACHE_F_FS] = AUGUR_E_CACHE_FS,
		[CACHE_F_READONLY] = AUGUR_E_CACHE_READONLY, [CACHE_F_BUSY] = AUGUR_E_CACHE_BUSY,
		[CACHE_F_COPIED] = AUGUR_E_CACHE_COPIED, [CACHE_F_NESTED] = AUGUR_E_CACHE_NESTED,
		[CACHE_F_INTERNAL] = AUGUR_E_INTERNAL,
	};
	enum cache_fault fault;
	int err = cache_attach(v->io, dir, &v->c, &fault);

	if (!err)
		return 0;
	*cause = causes[fault];
	log_err("event=attach cause=%s cache=%s message=\"%s\" hint=\"%s\"", ctl_error_name(*cause), dir,
		ctl_error_message(*cause), ctl_error_hint(*cause));
	return err;
}

int vol_new(struct agent *ag, const char *source, const char *dir, struct vol **out, enum ctl_error *cause)
{
	struct vol *v = vol_get(xcalloc(1, sizeof(*v)));
	CLEANUP_FREE char *log = xasprintf("%s/.augur/log.db", dir);
	int err = vol_source_parse(source, v);

	*cause = AUGUR_E_SOURCE;
	list_init(&v->peers);
	list_init(&v->map_waiters);
	list_init(&v->links_wait);
	list_init(&v->attach_waiters);
	list_init(&v->walkq);
	list_init(&v->streamq);
	list_init(&v->reval_q);
	list_init(&v->unpins);
	space_init(v);
	map_init(&v->reqs, offsetof(struct req, id), sizeof(u64));
	map_init(&v->dirs, offsetof(struct dwork, oid), AUGUR_OID_LEN);
	map_init(&v->files, offsetof(struct fwork, oid), AUGUR_OID_LEN);
	map_init(&v->hints, offsetof(struct hint, oid), AUGUR_OID_LEN);
	change_init(v);
	look_init(v);
	v->ag = ag;
	v->io = ag->io;
	v->source = xstrdup(source);
	v->leases = xcalloc(META_SHARDS_MAX, sizeof(*v->leases));
	if (!err)
		err = attach_cache(v, dir, cause);
	if (err) {
		vol_put(v);
		return err;
	}
	v->c->settled = on_settled;
	v->c->lost = on_lost;
	v->c->settled_ctx = v;
	v->c->doubted = on_doubted;
	v->c->doubted_ctx = v;
	if (!ag->no_history && history_open(ag->io, log, &ag->history, &v->h))
		v->h = NULL;	/* said there; a log is no reason not to serve */
	if (v->h) {
		history_set_namer(v->h, log_name_wanted, v);
		history_set_found(v->h, events_scanner, v);
	}
	seqs_load(v);
	list_add_tail(&ag->vols, &v->link);
	log_info("event=attached cache=%s source=%s stamped=%d", dir, source, v->c->stamped);
	start(v);
	*out = v;
	return 0;
}

/* Answers under way end first (they are cancelled by peers_free), then the cache is closed. */
void vol_close(struct vol *v, void (*done)(void *arg), void *arg)
{
	vol_get(v);
	v->closed = done;
	v->closed_arg = arg;
	list_del(&v->link);
	if (v->m)
		upcall_unregister(v->m);
	v->m = NULL;
	v->dead = true;
	cache_check_stop(v->c);
	peers_free(v);
	dir_drop_requests(v);
	file_drop_requests(v);
	walk_drop(v);
	space_end(v);
	look_drop(v);
	if (v->h)
		history_close(v->h);
	v->h = NULL;
	vol_put(v);
}
