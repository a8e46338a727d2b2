// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * peers.c - the proxies of a volume: those the source names (seeds) and those of the map.
 *
 * The first seed that answers gives the volume's identity, its root and the map; the same
 * connection serves as that proxy's afterwards.  A map that HELLO or an answer calls newer is
 * fetched at once, and every MAP_EVERY_NS in any case.  All proxies of the map are dialled as
 * soon as it is there, and whoever attaches waits a little for the end of these dials: what he
 * is shown next is then how things are, and the first questions find their way open.  Loop
 * thread only.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/log.h"

#define MAP_EVERY_NS	(10ull * 1000000000)
#define RETRY_NS	(500ull * 1000000)
#define SETTLE_NS	(2000ull * 1000000)	/* many round trips, and not felt in a mount */

void asks_map_came(struct vol *v);
static void peers_connect(struct vol *v);

/* ---- waiting for the volume to be usable ---- */

struct ready_wait {
	struct list	link;
	struct vol	*v;
	struct io_op	timer;
	u64		deadline_ns;
	void		(*fn)(void *arg, int err);
	void		*arg;
	bool		all;		/* proxies of the map, not one alone */
	bool		settling, fired;
};

static void ready_timer(struct io_op *op, int res)
{
	struct ready_wait *w = container_of(op, struct ready_wait, timer);

	if (res && !w->fired) {
		w->v->io->ops->timer(w->v->io, &w->timer, w->deadline_ns);	/* it was shortened */
		return;
	}
	list_del(&w->link);
	if (!w->fired)
		w->fn(w->arg, w->v->ready ? 0 : w->v->hello_err ? w->v->hello_err : -EHOSTUNREACH);
	vol_put(w->v);
	free(w);
}

/* Has the first dial to every proxy of the map ended, well or not? */
static bool settled(struct vol *v)
{
	struct xfer_stats st;

	for (u32 i = 0; v->map && i < v->map->nproxies; i++) {
		struct peer *p = peer_find(v, &v->map->proxies[i]);

		if (!p || p->hello)
			continue;
		xfer_peer_stats(p->x, &st);
		if (st.dialling)
			return false;
	}
	return true;
}

/* The rest of the wait is for the other proxies, and short. */
static void ready_shorten(struct ready_wait *w)
{
	struct io *io = w->v->io;

	if (w->settling)
		return;
	w->settling = true;
	w->deadline_ns = min(w->deadline_ns, io_now(io) + SETTLE_NS);
	io->ops->cancel(io, &w->timer);
}

/* fn() may close the volume: each is fired once, whoever asks. */
static void ready_fire(struct vol *v, int err)
{
	bool all = err || settled(v);
	struct list *p, *t;

	list_for_each_safe(p, t, &v->attach_waiters) {
		struct ready_wait *w = container_of(p, struct ready_wait, link);

		if (w->fired)
			continue;
		if (w->all && !all) {
			ready_shorten(w);
			continue;
		}
		w->fired = true;
		w->fn(w->arg, err);
		v->io->ops->cancel(v->io, &w->timer);
	}
}

static void wait_start(struct vol *v, u64 deadline_ns, bool all, void (*fn)(void *arg, int err), void *arg)
{
	struct ready_wait *w = xcalloc(1, sizeof(*w));

	w->v = vol_get(v);
	w->fn = fn;
	w->arg = arg;
	w->all = all;
	w->settling = v->ready;
	w->deadline_ns = !v->ready ? deadline_ns : !all || settled(v) ? 0 : min(deadline_ns, io_now(v->io) + SETTLE_NS);
	list_add_tail(&v->attach_waiters, &w->link);
	w->timer.done = ready_timer;
	v->io->ops->timer(v->io, &w->timer, w->deadline_ns);
}

void vol_when_ready(struct vol *v, u64 deadline_ns, void (*fn)(void *arg, int err), void *arg)
{
	wait_start(v, deadline_ns, false, fn, arg);
}

void vol_when_connected(struct vol *v, u64 deadline_ns, void (*fn)(void *arg, int err), void *arg)
{
	peers_connect(v);
	wait_start(v, deadline_ns, true, fn, arg);
}

static void become_ready(struct vol *v)
{
	bool before = v->ready;

	v->ready = v->c->stamped && v->map;
	if (!v->ready)
		return;
	if (!before)
		log_info("event=volume_ready volume=%s cache=%s map_version=%llu proxies=%u", v->volume, v->c->dir,
			 (unsigned long long)v->map->version, v->map->nproxies);
	ready_fire(v, 0);
}

/* ---- HELLO ---- */

static int refuse(struct vol *v, enum ctl_error cause, int err, const char *addr)
{
	static const char *const names[] = {
#define X(n, msg, hint) #n,
		CTL_ERRORS(X)
#undef X
	};

	if (v->hello_err != err)
		log_err("event=hello cause=%s proxy=%s volume=%s error=\"%s\"", names[cause], addr, v->volume, strerror(-err));
	v->hello_cause = cause;
	v->hello_err = err;
	/* One that refuses does not end the wait for the others of a volume that works. */
	if (!v->ready)
		ready_fire(v, err);
	return err;
}

struct hello { u8 id[16]; bool has_id, has_root; struct wire_entry root; u64 map_version; u32 lease_ms; char peer[64]; };

static int hello_parse(struct wire_in in, struct hello *h)
{
	struct wire_val val;
	int err;

	memset(h, 0, sizeof(*h));
	while ((err = wire_next(&in, &val)) == 1) {
		err = 0;
		switch (val.tag) {
		case WF_VOLUME_ID:
			err = wire_get_bin(&val, h->id, 16);
			h->has_id = true;
			break;
		case WF_ROOT:
			err = wire_get_entry(&val, &h->root, false);
			h->has_root = true;
			break;
		case WF_MAP_VERSION:
			err = wire_get_u64(&val, &h->map_version);
			break;
		case WF_LEASE_MS:
			err = wire_get_u32(&val, &h->lease_ms);
			break;
		case WF_PEER_ID:
			err = wire_get_str(&val, h->peer, sizeof(h->peer));
			break;
		}
		if (err)
			return err;
	}
	return err;
}

static int peer_hello(void *ctx, struct xfer_peer *x, struct wire_in body)
{
	struct peer *p = ctx;
	struct vol *v = p->v;
	struct hello h;
	int err = hello_parse(body, &h);

	if (err || !h.has_id || !h.has_root || !S_ISDIR(h.root.attr.mode))
		return refuse(v, AUGUR_E_PROTO, -EPROTO, p->addr);
	err = cache_stamp(v->c, v->volume, h.id, &h.root);
	if (err)
		return refuse(v, err == -EXDEV ? AUGUR_E_CACHE_FOREIGN : AUGUR_E_INTERNAL, err, p->addr);
	v->hello_err = 0;
	v->lease_ms = h.lease_ms;
	snprintf(p->id, sizeof(p->id), "%s", h.peer);
	p->hello = true;
	if (!v->map || v->map->version < h.map_version)
		map_want(v);
	lease_start(p);
	become_ready(v);
	return 0;
}

static void peer_push(void *ctx, struct xfer_peer *x, const struct wire_hdr *h, struct wire_in body)
{
	struct peer *p = ctx;

	if (h->type == WIRE_INVAL)
		change_push(p->v, p, body);
}

static void peer_down(void *ctx, struct xfer_peer *x, int err)
{
	struct peer *p = ctx;

	if (p->hello)
		log_notice("event=proxy_lost proxy=%s volume=%s error=\"%s\"", p->addr, p->v->volume, strerror(-err));
	p->hello = false;
}

static void peer_failed(void *ctx, struct xfer_peer *x, int err)
{
	struct peer *p = ctx;

	if (p->v->ready)
		ready_fire(p->v, 0);
}

static void peer_refused(void *ctx, struct xfer_peer *x, int status)
{
	struct peer *p = ctx;

	refuse(p->v, status == -ENOENT ? AUGUR_E_NO_VOLUME : status == -EPROTO ? AUGUR_E_PROTO :
	       AUGUR_E_PROXY_UNREACHABLE, status, p->addr);
}

static struct peer *peer_new(struct vol *v, const char *addr)
{
	struct peer *p = xcalloc(1, sizeof(*p));
	struct xfer_peer_cfg cfg = {
		.addr = addr, .volume = v->volume, .peer_id = v->ag->id, .role = WIRE_ROLE_AGENT,
		.hello = peer_hello, .push = peer_push, .down = peer_down, .refused = peer_refused,
		.failed = peer_failed, .ctx = p,
	};

	memcpy(cfg.client_id, v->ag->client_id, sizeof(cfg.client_id));
	p->v = v;
	snprintf(p->addr, sizeof(p->addr), "%s", addr);
	list_add_tail(&v->peers, &p->link);
	p->x = xfer_peer_new(v->io, &cfg);
	if (p->x)
		return p;
	list_del(&p->link);
	free(p);
	return NULL;
}

/* ---- whom to ask ---- */

struct peer *peer_any(struct vol *v)
{
	struct list *p, *t;
	struct peer *first = NULL;

	list_for_each_safe(p, t, &v->peers) {
		struct peer *q = container_of(p, struct peer, link);

		if (q->hello)
			return q;
		if (!first)
			first = q;
	}
	return first;
}

/* The same address, be the usual port said or not. */
static bool same_addr(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	if (n > m)
		return same_addr(b, a);
	return !memcmp(a, b, n) && (n == m || !strcmp(b + n, ":" CTL_PROXY_PORT));
}

bool peer_is(const struct peer *p, const struct meta_proxy *mp)
{
	/* A proxy that moved: the map knows better than an old connection. */
	return (p->hello && !strcmp(p->id, mp->id)) || same_addr(p->addr, mp->addr);
}

struct peer *peer_find(struct vol *v, const struct meta_proxy *mp)
{
	struct list *p, *t;
	struct peer *first = NULL;

	list_for_each_safe(p, t, &v->peers) {
		struct peer *q = container_of(p, struct peer, link);

		if (!peer_is(q, mp))
			continue;
		if (q->hello)
			return q;
		if (!first)
			first = q;
	}
	return first;
}

static struct peer *peer_of(struct vol *v, const struct meta_proxy *mp)
{
	struct peer *p = peer_find(v, mp);

	return p ? p : peer_new(v, mp->addr);
}

/* To all proxies of the map, also those that own nothing: what is said of them should be true. */
static void peers_connect(struct vol *v)
{
	for (u32 i = 0; v->map && i < v->map->nproxies; i++) {
		struct peer *p = peer_of(v, &v->map->proxies[i]);

		if (p)
			xfer_peer_connect(p->x);
	}
}

struct peer *peer_of_owner(struct vol *v, u32 pu, int *err)
{
	int i;

	*err = -EHOSTUNREACH;
	if (!v->map)
		return NULL;
	i = place_owner(v->map, pu);
	if (i < 0) {
		*err = i;
		return NULL;
	}
	return peer_of(v, &v->map->proxies[i]);
}

/* ---- the map ---- */

struct map_call { struct xfer_call c; struct vol *v; struct peer *p; };

static void map_take(struct vol *v, struct meta_map *m)
{
	if (v->map && m->version < v->map->version) {
		meta_map_put(m);
		return;
	}
	if (v->map && m->version == v->map->version) {
		meta_map_put(m);
		asks_map_came(v);
		return;
	}
	meta_map_put(v->map);
	v->map = m;
	log_debug("event=map volume=%s version=%llu", v->volume, (unsigned long long)m->version);
	peers_connect(v);
	/* Leases come from each owner. */
	for (u32 i = 0; i < m->nproxies; i++) {
		struct peer *p = peer_of(v, &m->proxies[i]);

		if (p)
			lease_start(p);
	}
	asks_map_came(v);
	if (v->m)
		lease_mount(v);
	become_ready(v);
}

static void map_done(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct map_call *mc = container_of(c, struct map_call, c);
	struct vol *v = mc->v;
	struct meta_map *m;

	v->map_flying = false;
	if (v->dead) {
		free(mc);
		vol_put(v);
		return;
	}
	if (!status && body)
		status = meta_map_decode((struct wire_in){ body->data, body->data + body->len }, &m);
	if (!status && body) {
		map_take(v, m);
	} else {
		if (status == -ENOENT || status == -ENXIO)
			refuse(v, AUGUR_E_NO_VOLUME, status, mc->p->addr);
		else if (h && status == -EPROTO)
			refuse(v, AUGUR_E_PROTO, status, mc->p->addr);
		/* Those that wait for it ask with what there is. */
		asks_map_came(v);
	}
	free(mc);
	vol_put(v);
}

/* The next seed in turn when the last one did not answer. */
static struct peer *map_source(struct vol *v)
{
	struct peer *p = peer_any(v);
	struct xfer_stats st = { .err = 0 };

	if (p)
		xfer_peer_stats(p->x, &st);
	if (st.err && !st.dialling) {
		list_del(&p->link);
		list_add_tail(&v->peers, &p->link);
		p = peer_any(v);
	}
	return p;
}

void map_want(struct vol *v)
{
	struct map_call *mc;
	struct peer *p;

	if (v->map_flying || v->dead)
		return;
	p = map_source(v);
	if (!p)
		return;
	v->map_flying = true;
	mc = xcalloc(1, sizeof(*mc));
	mc->v = vol_get(v);
	mc->p = p;
	mc->c.done = map_done;
	wire_out_init(&mc->c.req);
	wire_put_str(&mc->c.req, WF_VOLUME, v->volume);
	xfer_call(p->x, &mc->c, WIRE_MAP);
}

static void tick(struct io_op *op, int res)
{
	struct vol *v = container_of(op, struct vol, tick_op);

	if (v->dead) {
		vol_put(v);
		return;
	}
	map_want(v);
	peers_connect(v);
	v->io->ops->timer(v->io, &v->tick_op, io_now(v->io) + (v->ready ? MAP_EVERY_NS : RETRY_NS));
}

void peers_start(struct vol *v)
{
	for (unsigned int i = 0; i < v->nseeds; i++)
		peer_new(v, v->seeds[i]);
	vol_get(v);
	v->tick_op.done = tick;
	v->io->ops->timer(v->io, &v->tick_op, 0);
}

void peers_free(struct vol *v)
{
	struct list *p, *t;

	ready_fire(v, -ECANCELED);
	if (v->tick_op.busy)
		v->io->ops->cancel(v->io, &v->tick_op);
	list_for_each_safe(p, t, &v->peers) {
		struct peer *q = container_of(p, struct peer, link);

		if (q->lease_op.busy)
			v->io->ops->cancel(v->io, &q->lease_op);
		xfer_peer_free(q->x);
		q->x = NULL;
	}
}
