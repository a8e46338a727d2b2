// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Requests on objects: their fields, whose object it is, and the way to who serves them.
 * A locator is checked here, before any worker touches the origin.  Loop thread.
 */
#include "base/log.h"
#include "origin/impl.h"
#include "place/place.h"

static int req_field(const struct wire_val *v, struct origin_req *r)
{
	switch (v->tag) {
	case WF_OID:
		r->have_oid = true;
		return wire_get_bin(v, r->oid, AUGUR_OID_LEN);
	case WF_LOCATOR:
		if (!v->len || v->len > WIRE_LOCATOR_MAX)
			return -EBADMSG;
		r->locator = v->p;
		r->locator_len = v->len;
		return 0;
	case WF_NAME:
		r->name = (const char *)v->p;
		r->name_len = v->len;
		return augur_name_check(r->name, v->len) ? -EBADMSG : 0;
	case WF_MAX:
		return wire_get_u32(v, &r->max);
	case WF_VERSION:
		return wire_get_u64(v, &r->version);
	case WF_TAG:
		return wire_get_u64(v, &r->tag);
	case WF_OFF:
		return wire_get_u64(v, &r->off);
	case WF_LEN:
		return wire_get_u64(v, &r->len);
	}
	return 0;
}

int origin_req_parse(struct wire_in in, struct origin_req *r)
{
	struct wire_val v;
	int err;

	memset(r, 0, sizeof(*r));
	while ((err = wire_next(&in, &v)) == 1)
		if (req_field(&v, r))
			return -EBADMSG;
	return err || !r->have_oid || !r->locator ? -EBADMSG : 0;
}

int origin_owner(const struct origin *o, u32 pu)
{
	int owner;

	if (!o->map)
		return -EAGAIN;
	owner = place_owner(o->map, pu);
	if (owner < 0)
		return owner;
	return owner == o->self ? 0 : -EREMCHG;
}

int origin_req_object(struct origin *o, const struct origin_req *r, struct origin_loc *loc)
{
	int err = origin_loc_check(&o->ex, o->mac, r->oid, r->locator, r->locator_len, loc);

	if (err) {
		o->n.refused++;
		return err;
	}
	return origin_owner(o, loc->pu);
}

void origin_reply_status(struct origin_client *cl, u32 stream, u16 type, int status, u32 pu)
{
	struct origin *o = cl->o;
	struct wire_out w;
	int owner;

	wire_out_init(&w);
	if (status == -EREMCHG && o->map) {
		o->n.redirects++;
		owner = place_owner(o->map, pu);
		wire_put_u64(&w, WF_MAP_VERSION, o->map->version);
		if (owner >= 0)
			wire_put_str(&w, WF_PROXY_ID, o->map->proxies[owner].id);
	}
	xfer_reply(cl->conn, stream, type, WIRE_LAST, status, 0, &w);
}

/* ---- jobs and clients ---- */

static void client_put(struct origin_client *cl)
{
	if (--cl->refs)
		return;
	wire_out_free(&cl->push);
	xfer_conn_put(cl->conn);
	free(cl);
}

void origin_job_start(struct origin_job *j, struct origin_client *cl, const struct wire_hdr *h)
{
	j->o = cl->o;
	j->cl = cl;
	j->stream = h->stream;
	j->type = h->type;
	j->event_no = cl->o->event_no;
	cl->refs++;
	cl->jobs++;
	cl->o->jobs++;
}

void origin_job_end(struct origin_job *j)
{
	j->o->jobs--;
	j->cl->jobs--;
	client_put(j->cl);
}

struct origin_client *origin_client_new(struct origin *o, struct xfer_conn *c)
{
	struct origin_client *cl = xcalloc(1, sizeof(*cl));
	u32 slot = 0;

	while (slot < ORIGIN_CLIENTS - 1 && o->slots_used >> slot & 1)
		slot++;
	o->slots_used |= 1ULL << slot;
	cl->o = o;
	cl->conn = c;
	cl->slot = slot;
	cl->refs = 1;
	wire_out_init(&cl->push);
	xfer_conn_get(c);
	list_add_tail(&o->clients, &cl->link);
	origin_root_note(cl);
	return cl;
}

void origin_client_gone(struct origin_client *cl)
{
	struct origin *o = cl->o;

	cl->gone = true;
	list_del(&cl->link);
	if (cl->slot < ORIGIN_CLIENTS - 1)
		o->slots_used &= ~(1ULL << cl->slot);
	client_put(cl);
}

void origin_request(struct origin_client *cl, const struct wire_hdr *h, struct wire_in body)
{
	struct origin *o = cl->o;

	o->n.requests++;
	if (!o->identified || o->closing || cl->jobs >= ORIGIN_JOBS_MAX) {
		origin_reply_status(cl, h->stream, h->type, o->closing ? -ESHUTDOWN : -EAGAIN, 0);
		return;
	}
	switch (h->type) {
	case WIRE_LIST:
	case WIRE_LOOKUP:
		origin_list_request(cl, h, body);
		return;
	case WIRE_READ:
		origin_read_request(cl, h, body);
		return;
	case WIRE_BATCH:
		origin_batch_request(cl, h, body);
		return;
	case WIRE_REVAL:
		origin_reval_request(cl, h, body);
		return;
	case WIRE_LEASE:
		origin_lease_request(cl, h, body);
		return;
	}
	origin_reply_status(cl, h->stream, h->type, -EOPNOTSUPP, 0);
}
