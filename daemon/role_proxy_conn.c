// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Connections to a proxy: HELLO, what is asked of the store (JOIN, MAP), STATUS; requests on
 * objects go to the connection's volume.  Loop thread.
 */
#include <stdio.h>

#include "base/log.h"
#include "role_proxy.h"

/* What is kept for a connection. */
struct proxy_conn {
	struct proxy	*p;
	struct proxy_vol *vol;		/* NULL: speaks with the store only */
	struct origin_client *client;
	u32		role;
	char		peer_id[64];
};

const char *proxy_volume_name(const char *s)
{
	return s + strspn(s, "/");
}

struct proxy_vol *proxy_find_vol(struct proxy *p, const char *name)
{
	name = proxy_volume_name(name);
	for (unsigned int i = 0; i < p->nvol; i++)
		if (!strcmp(p->vol[i].name, name))
			return &p->vol[i];
	return NULL;
}

/* ---- HELLO ---- */

static int hello_fields(struct wire_in in, struct proxy_conn *pc, char *volume, size_t cap)
{
	struct wire_val v;
	int err;

	volume[0] = 0;
	while ((err = wire_next(&in, &v)) == 1) {
		err = 0;
		if (v.tag == WF_ROLE)
			err = wire_get_u32(&v, &pc->role);
		else if (v.tag == WF_PEER_ID)
			err = wire_get_str(&v, pc->peer_id, sizeof(pc->peer_id));
		else if (v.tag == WF_VOLUME)
			err = wire_get_str(&v, volume, cap);
		if (err)
			return -EBADMSG;
	}
	return err ? -EBADMSG : 0;
}

static int hello_volume(struct proxy *p, struct proxy_conn *pc, const char *name, struct wire_out *out)
{
	const struct meta_map *map;
	struct proxy_vol *vol = proxy_find_vol(p, name);
	int err;

	if (!vol) {
		log_notice("peer=%s asks for volume '%s', which is not exported here", log_esc(pc->peer_id, strlen(pc->peer_id)),
			   log_esc(name, strlen(name)));
		return -ENOENT;
	}
	if (!vol->joined)
		return -EAGAIN;
	err = origin_put_root(vol->origin, out);
	if (err)
		return err;
	map = origin_map(vol->origin);
	wire_put(out, WF_VOLUME_ID, vol->id, sizeof(vol->id));
	wire_put_u64(out, WF_MAP_VERSION, map ? map->version : 0);
	wire_put_u32(out, WF_LEASE_MS, p->lease_ms);
	pc->vol = vol;
	return 0;
}

static int on_hello(void *ctx, struct xfer_conn *c, struct wire_in body, struct wire_out *out)
{
	struct proxy *p = ctx;
	struct proxy_conn *pc = xcalloc(1, sizeof(*pc));
	char volume[256];
	int err = hello_fields(body, pc, volume, sizeof(volume));

	pc->p = p;
	if (!err)
		wire_put_str(out, WF_PEER_ID, p->cfg->id);
	if (!err && volume[0])
		err = hello_volume(p, pc, volume, out);
	if (err) {
		free(pc);
		return err;
	}
	if (pc->vol)
		pc->client = origin_client_new(pc->vol->origin, c);
	p->conns++;
	xfer_conn_set(c, pc);
	log_info("peer=%s id=%s connected", xfer_conn_peer(c), log_esc(pc->peer_id, strlen(pc->peer_id)));
	return 0;
}

static void on_gone(void *ctx, struct xfer_conn *c)
{
	struct proxy_conn *pc = xfer_conn_user(c);

	if (!pc)
		return;
	if (pc->client)
		origin_client_gone(pc->client);
	pc->p->conns--;
	xfer_conn_set(c, NULL);
	free(pc);
}

/* ---- JOIN, MAP, STATUS ---- */

struct reply {
	struct xfer_conn *c;
	u32	stream;
	u16	type;
	char	id[64];
};

static struct reply *reply_new(struct xfer_conn *c, const struct wire_hdr *h)
{
	struct reply *r = xcalloc(1, sizeof(*r));

	xfer_conn_get(c);
	r->c = c;
	r->stream = h->stream;
	r->type = h->type;
	return r;
}

static void reply_end(struct reply *r, int status, struct wire_out *w)
{
	xfer_reply(r->c, r->stream, r->type, WIRE_LAST, status, 0, w);
	xfer_conn_put(r->c);
	free(r);
}

static void join_done(void *ctx, int status, const struct meta_volume *vol)
{
	struct reply *r = ctx;
	struct wire_out w;

	wire_out_init(&w);
	if (!status)
		meta_volume_encode(vol, &w);
	reply_end(r, status, &w);
}

static int join_fields(struct wire_in in, struct meta_volume *vol, struct meta_proxy *self)
{
	struct wire_entry root = { .attr.mode = 0 };
	char name[256] = "";
	struct wire_val v;
	int err;

	memset(vol, 0, sizeof(*vol));
	memset(self, 0, sizeof(*self));
	while ((err = wire_next(&in, &v)) == 1) {
		err = 0;
		if (v.tag == WF_VOLUME)
			err = wire_get_str(&v, name, sizeof(name));
		else if (v.tag == WF_PROXY_ID)
			err = wire_get_str(&v, self->id, sizeof(self->id));
		else if (v.tag == WF_ADDR)
			err = wire_get_str(&v, self->addr, sizeof(self->addr));
		else if (v.tag == WF_ROOT)
			err = wire_get_entry(&v, &root, false);
		if (err)
			return -EBADMSG;
	}
	if (err || !self->id[0] || !self->addr[0] || !root.attr.mode || strlen(name) >= sizeof(vol->name))
		return -EBADMSG;
	snprintf(vol->name, sizeof(vol->name), "%s", proxy_volume_name(name));
	memcpy(vol->root_oid, root.attr.oid, sizeof(vol->root_oid));
	self->state = META_P_UP;
	return 0;
}

static void do_join(struct proxy_conn *pc, struct xfer_conn *c, const struct wire_hdr *h, struct wire_in body)
{
	struct meta_proxy self;
	struct meta_volume vol;
	struct proxy_vol *pv;
	int err = join_fields(body, &vol, &self);

	if (!err && (pc->role != WIRE_ROLE_PROXY || !pc->p->db))
		err = -EPERM;
	pv = err ? NULL : proxy_find_vol(pc->p, vol.name);
	if (!err && !pv)
		err = -ENOENT;
	/* Our own name comes from the command line, never from the network. */
	if (!err && !strcmp(self.id, pc->p->cfg->id))
		err = -EEXIST;
	if (err) {
		xfer_reply(c, h->stream, h->type, WIRE_LAST, err, 0, NULL);
		return;
	}
	pv->meta->ops->join(pv->meta, &vol, &self, join_done, reply_new(c, h));
}

static void do_map(struct proxy_conn *pc, struct xfer_conn *c, const struct wire_hdr *h, struct wire_in body)
{
	struct proxy_vol *vol = pc->vol;
	const struct meta_map *map;
	char name[256];
	struct wire_out w;
	struct wire_val v;
	int err;

	while ((err = wire_next(&body, &v)) == 1)
		if (v.tag == WF_VOLUME && !wire_get_str(&v, name, sizeof(name)) && name[0])
			vol = proxy_find_vol(pc->p, name);
	map = vol ? origin_map(vol->origin) : NULL;
	if (err || !vol || !map) {
		xfer_reply(c, h->stream, h->type, WIRE_LAST, err ? -EBADMSG : vol ? -EAGAIN : -ENOENT, 0, NULL);
		return;
	}
	wire_out_init(&w);
	meta_map_encode(map, &w);
	xfer_reply(c, h->stream, h->type, WIRE_LAST, 0, 0, &w);
}

static void do_status(struct proxy_conn *pc, struct xfer_conn *c, const struct wire_hdr *h)
{
	json_t *js = proxy_status(pc->p);
	char *text = json_dumps(js, JSON_COMPACT);
	struct wire_out w;

	wire_out_init(&w);
	if (text && strlen(text) < 65536)
		wire_put_str(&w, WF_JSON, text);
	xfer_reply(c, h->stream, h->type, WIRE_LAST, text ? 0 : -ENOMEM, 0, &w);
	free(text);
	json_decref(js);
}

static void on_request(void *ctx, struct xfer_conn *c, const struct wire_hdr *h, struct wire_in body)
{
	struct proxy_conn *pc = xfer_conn_user(c);

	switch (h->type) {
	case WIRE_JOIN:
		do_join(pc, c, h, body);
		return;
	case WIRE_MAP:
		do_map(pc, c, h, body);
		return;
	case WIRE_STATUS:
		do_status(pc, c, h);
		return;
	case WIRE_LIST: case WIRE_LOOKUP: case WIRE_READ: case WIRE_BATCH: case WIRE_REVAL: case WIRE_LEASE:
		if (pc->client) {
			origin_request(pc->client, h, body);
			return;
		}
		xfer_reply(c, h->stream, h->type, WIRE_LAST, -ENOENT, 0, NULL);
		return;
	}
	xfer_reply(c, h->stream, h->type, WIRE_LAST, -EOPNOTSUPP, 0, NULL);
}

const struct xfer_server_ops proxy_server_ops = {
	.hello = on_hello,
	.request = on_request,
	.gone = on_gone,
};
