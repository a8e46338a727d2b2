// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The store somewhere else: JOIN and MAP over the transfer engine, for the proxies that are
 * not the store and for agents.  A join is repeated while the store cannot be reached, and
 * again whenever the connection was dialled anew (the store may have been restarted).  While
 * somebody watches, the map is asked for at intervals.  Loop thread only.
 */
#include <stdio.h>

#include "base/log.h"
#include "meta/meta.h"
#include "xfer/xfer.h"

#define POLL_NS		(5 * 1000000000ULL)
#define POLL_FAST_NS	(200 * 1000000ULL)	/* while there is no map yet */
#define JOIN_TRY_NS	(30 * 1000000000ULL)

struct remote;
struct remote_call {
	struct xfer_call c;
	struct remote	*r;
	meta_map_fn	*fn;		/* MAP; NULL: the poll */
	void		*ctx;
	struct remote_call *next;
};

struct remote_watch {
	struct remote_watch *next;
	meta_map_fn	*fn;
	void		*ctx;
};

struct remote {
	struct meta	m;
	struct xfer_peer *peer;
	char		volume[64], addr[256];
	u64		poll_ns;
	struct meta_map	*map;
	struct remote_watch *watches;
	struct io_op	timer;
	bool		polling;	/* a MAP of the poll is under way */
	bool		closed;
	unsigned int	busy;		/* calls and timer in flight */

	/* join */
	struct meta_volume self_vol;
	struct meta_proxy self;
	meta_volume_fn	*join_fn;	/* until the first answer */
	void		*join_ctx;
	u64		join_since;
	bool		joining, joined;
	u64		joined_dials;	/* dials of the peer when joined */
};

static void remote_arm(struct remote *r, u64 ns);

static void remote_free(struct remote *r)
{
	struct remote_watch *w;

	while ((w = r->watches)) {
		r->watches = w->next;
		free(w);
	}
	meta_map_put(r->map);
	free(r);
}

/* ---- join ---- */

static void join_finish(struct remote *r, int status, const struct meta_volume *vol)
{
	meta_volume_fn *fn = r->join_fn;

	r->join_fn = NULL;
	if (fn)
		fn(r->join_ctx, status, vol);
}

/* Worth asking again: nobody answered, or the store is not ready. */
static bool join_again(int status)
{
	return status == -EAGAIN || status == -EHOSTUNREACH || status == -ETIMEDOUT || status == -ECONNRESET ||
	       status == -ECONNREFUSED || status == -EPIPE || status == -ENETUNREACH;
}

static void join_done(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct remote_call *rc = container_of(c, struct remote_call, c);
	struct remote *r = rc->r;
	struct meta_volume vol = r->self_vol;
	struct xfer_stats st;

	free(rc);
	r->busy--;
	r->joining = false;
	if (r->closed) {
		if (!r->busy)
			remote_free(r);
		return;
	}
	if (!status && body)
		status = meta_volume_decode((struct wire_in){ body->data, body->data + body->len }, &vol);
	if (status && join_again(status) && io_now(r->m.io) - r->join_since < JOIN_TRY_NS) {
		remote_arm(r, POLL_FAST_NS);
		return;
	}
	if (!status) {
		xfer_peer_stats(r->peer, &st);
		r->joined_dials = st.dials;
		r->joined = true;
	} else if (!r->join_fn) {
		log_err("store=%s refuses this proxy: %s", r->addr, strerror(-status));
	}
	join_finish(r, status, status ? NULL : &vol);
	if (!status)
		free(vol.split);
	explicit_bzero(vol.key, sizeof(vol.key));
	remote_arm(r, POLL_FAST_NS);
}

static void join_send(struct remote *r)
{
	struct remote_call *rc = xcalloc(1, sizeof(*rc));
	struct wire_entry root = { .attr.mode = 0040755, .attr.nlink = 2 };

	rc->r = r;
	rc->c.done = join_done;
	memcpy(root.attr.oid, r->self_vol.root_oid, AUGUR_OID_LEN);
	wire_out_init(&rc->c.req);
	wire_put_str(&rc->c.req, WF_VOLUME, r->volume);
	wire_put_str(&rc->c.req, WF_PROXY_ID, r->self.id);
	wire_put_str(&rc->c.req, WF_ADDR, r->self.addr);
	wire_put_entry(&rc->c.req, WF_ROOT, &root);
	r->joining = true;
	r->busy++;
	xfer_call(r->peer, &rc->c, WIRE_JOIN);
}

static void remote_join(struct meta *m, const struct meta_volume *vol, const struct meta_proxy *self,
			meta_volume_fn *fn, void *ctx)
{
	struct remote *r = container_of(m, struct remote, m);

	r->self_vol = *vol;
	r->self_vol.nsplit = 0;
	r->self_vol.split = NULL;
	r->self = *self;
	r->join_fn = fn;
	r->join_ctx = ctx;
	r->join_since = io_now(m->io);
	join_send(r);
}

/* ---- map ---- */

static void map_new(struct remote *r, struct meta_map *map)
{
	if (r->map && r->map->version >= map->version)
		return;
	meta_map_put(r->map);
	r->map = meta_map_get(map);
	for (struct remote_watch *w = r->watches; w; w = w->next)
		w->fn(w->ctx, 0, meta_map_get(map));
}

static void map_done(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct remote_call *rc = container_of(c, struct remote_call, c);
	struct remote *r = rc->r;
	struct meta_map *map = NULL;

	r->busy--;
	if (!status && body)
		status = meta_map_decode((struct wire_in){ body->data, body->data + body->len }, &map);
	if (r->closed) {
		status = -ECANCELED;
		meta_map_put(map);
		map = NULL;
	}
	if (!status)
		map_new(r, map);
	if (rc->fn)
		rc->fn(rc->ctx, status, status ? NULL : meta_map_get(map));
	else
		r->polling = false;
	meta_map_put(map);
	free(rc);
	if (r->closed) {
		if (!r->busy)
			remote_free(r);
		return;
	}
	remote_arm(r, r->map ? r->poll_ns : POLL_FAST_NS);
}

static void map_send(struct remote *r, meta_map_fn *fn, void *ctx)
{
	struct remote_call *rc = xcalloc(1, sizeof(*rc));

	rc->r = r;
	rc->fn = fn;
	rc->ctx = ctx;
	rc->c.done = map_done;
	wire_out_init(&rc->c.req);
	wire_put_str(&rc->c.req, WF_VOLUME, r->volume);
	r->busy++;
	xfer_call(r->peer, &rc->c, WIRE_MAP);
}

static void remote_map(struct meta *m, meta_map_fn *fn, void *ctx)
{
	map_send(container_of(m, struct remote, m), fn, ctx);
}

static void remote_watch(struct meta *m, meta_map_fn *fn, void *ctx)
{
	struct remote *r = container_of(m, struct remote, m);
	struct remote_watch *w = xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->ctx = ctx;
	w->next = r->watches;
	r->watches = w;
	if (r->map)
		fn(ctx, 0, meta_map_get(r->map));
	remote_arm(r, 0);
}

/* ---- timer ---- */

static void remote_tick(struct io_op *op, int res)
{
	struct remote *r = container_of(op, struct remote, timer);
	struct xfer_stats st;

	r->busy--;
	if (r->closed) {
		if (!r->busy)
			remote_free(r);
		return;
	}
	xfer_peer_stats(r->peer, &st);
	if (!r->joining && (r->join_fn || (r->joined && st.up && st.dials != r->joined_dials))) {
		if (!r->join_fn)
			r->join_since = io_now(r->m.io);
		join_send(r);
	}
	if (r->watches && !r->polling && !r->join_fn) {
		r->polling = true;
		map_send(r, NULL, NULL);
	}
}

static void remote_arm(struct remote *r, u64 ns)
{
	if (r->timer.busy || r->closed)
		return;
	r->busy++;
	r->timer.done = remote_tick;
	r->m.io->ops->timer(r->m.io, &r->timer, io_now(r->m.io) + ns);
}

static void remote_close(struct meta *m)
{
	struct remote *r = container_of(m, struct remote, m);

	r->closed = true;
	if (r->timer.busy)
		m->io->ops->cancel(m->io, &r->timer);
	xfer_peer_free(r->peer);
	r->peer = NULL;
	if (!r->busy)
		remote_free(r);
}

static const struct meta_ops remote_ops = {
	.name = "remote",
	.join = remote_join,
	.map = remote_map,
	.watch = remote_watch,
	.close = remote_close,
};

struct meta *meta_remote_new(struct io *io, const struct meta_remote_cfg *cfg)
{
	struct remote *r = xcalloc(1, sizeof(*r));
	struct xfer_peer_cfg pc = {
		.addr = cfg->addr,
		/* A proxy dials the store, which may have no volume yet. */
		.volume = cfg->role == WIRE_ROLE_PROXY ? "" : cfg->volume,
		.peer_id = cfg->peer_id,
		.role = cfg->role,
	};

	r->m.ops = &remote_ops;
	r->m.io = io;
	r->poll_ns = cfg->poll_ns ? cfg->poll_ns : POLL_NS;
	snprintf(r->volume, sizeof(r->volume), "%s", cfg->volume);
	snprintf(r->addr, sizeof(r->addr), "%s", cfg->addr);
	io->ops->random(io, pc.client_id, sizeof(pc.client_id));
	r->peer = xfer_peer_new(io, &pc);
	return &r->m;
}
