// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * reval.c - is this object still what we have?  Requests of one turn of the loop for one
 * owner share a question.  Loop thread only.
 */
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/log.h"

#define ITEMS 256

struct reval_call {
	struct ask	a;
	struct vol	*v;
	u32		n;
	struct { u8 oid[AUGUR_OID_LEN]; struct req *r; bool is_dir, answered; } item[ITEMS];
};

int reval_item_parse(struct wire_in in, struct reval_res *res)
{
	bool oid = false, status = false;
	struct wire_val val;
	u32 st;
	int err;

	memset(res, 0, sizeof(*res));
	while ((err = wire_next(&in, &val)) == 1) {
		err = 0;
		if (val.tag == WF_OID) {
			err = wire_get_bin(&val, res->oid, AUGUR_OID_LEN);
			oid = true;
		} else if (val.tag == WF_STATUS) {
			err = wire_get_u32(&val, &st);
			res->status = (s32)st;
			status = true;
		} else if (val.tag == WF_ENTRY) {
			err = wire_get_entry(&val, &res->e, false);
			res->has_entry = !err;
		}
		if (err)
			return -EBADMSG;
	}
	return err || !oid || !status || res->status > 0 || res->status < WIRE_STATUS_MIN ? -EBADMSG : 0;
}

/* ---- one item's outcome ---- */

struct outcome { struct req *r; int status; };

static void outcome_marked(void *arg)
{
	struct outcome *oc = arg;

	if (oc->r)
		req_reply(oc->r, oc->status, 0);
	free(oc);
}

/*
 * A changed file is another version: the name is looked up again.  A changed directory stays
 * the same object: it is listed again.
 */
static void outcome(struct vol *v, const u8 *oid, bool is_dir, struct req *r, int status)
{
	struct outcome *oc;

	if (status != -ESTALE && status != -ENOENT) {
		if (r)
			req_reply(r, status, 0);
		return;
	}
	oc = xcalloc(1, sizeof(*oc));
	if (r)
		req_hold(&oc->r, r);
	oc->status = is_dir && status == -ESTALE ? 0 : -ESTALE;
	change_apply(v, is_dir ? AUGUR_INVAL_DIR : AUGUR_INVAL_DATA, oid, NULL, NULL, 0, outcome_marked, oc);
}

static void call_done(struct ask *a, int status, struct wire_in body)
{
	struct reval_call *rc = container_of(a, struct reval_call, a);
	struct reval_res res;
	struct wire_val val;

	while (!status && !rc->v->dead && wire_next(&body, &val) == 1) {
		if (val.tag != WF_ITEM)
			continue;
		if (reval_item_parse((struct wire_in){ val.p, val.p + val.len }, &res)) {
			status = -EIO;
			break;
		}
		for (u32 i = 0; i < rc->n; i++) {
			if (rc->item[i].answered || memcmp(rc->item[i].oid, res.oid, AUGUR_OID_LEN))
				continue;
			rc->item[i].answered = true;
			outcome(rc->v, res.oid, rc->item[i].is_dir, rc->item[i].r, res.status);
		}
	}
	for (u32 i = 0; i < rc->n; i++)
		if (!rc->item[i].answered && rc->item[i].r)
			req_reply(rc->item[i].r, status ? status : -EIO, 0);
	free(rc);
}

static struct reval_call *call_new(struct vol *v, u32 pu)
{
	struct reval_call *rc = xcalloc(1, sizeof(*rc));

	rc->v = v;
	rc->a.v = v;
	rc->a.type = WIRE_REVAL;
	rc->a.pu = pu;
	rc->a.done = call_done;
	wire_out_init(&rc->a.body);
	return rc;
}

static void call_add(struct reval_call *rc, struct cobj *o, struct req *r)
{
	size_t mark = wire_nest(&rc->a.body, WF_ITEM);

	ask_put_object(&rc->a.body, o);
	wire_put_u64(&rc->a.body, WF_VERSION, o->version);
	wire_put_u64(&rc->a.body, WF_TAG, o->tag);
	wire_nest_end(&rc->a.body, mark);
	memcpy(rc->item[rc->n].oid, o->oid, AUGUR_OID_LEN);
	if (r)
		req_hold(&rc->item[rc->n].r, r);
	rc->item[rc->n].is_dir = cobj_is_dir(o);
	rc->n++;
}

/* ---- requests ---- */

static int owner_of(struct vol *v, u32 pu)
{
	return v->map ? place_owner(v->map, pu) : -1;
}

static void send_all(struct io_op *op, int res)
{
	struct vol *v = container_of(op, struct vol, reval_op);

	v->reval_armed = false;
	while (!list_empty(&v->reval_q)) {
		struct reval_call *rc = NULL;
		struct list *p, *t;
		int owner = -2;

		list_for_each_safe(p, t, &v->reval_q) {
			struct req *r = container_of(p, struct req, link);
			struct cobj *o = cobj_peek(v->c, r->oid);

			if (!o || v->dead) {
				req_reply(r, -ESTALE, 0);
				continue;
			}
			if (!rc) {
				rc = call_new(v, o->pu);
				owner = owner_of(v, o->pu);
			}
			if (owner_of(v, o->pu) != owner || rc->n == ITEMS)
				continue;
			list_del(p);
			call_add(rc, o, r);
		}
		if (rc)
			ask_start(&rc->a);
	}
	vol_put(v);
}

void reval_request(struct req *r, struct cobj *o)
{
	struct vol *v = r->v;

	v->n_reval++;
	if ((o->flags & COBJ_STALE) || r->version != o->version) {
		req_reply(r, -ESTALE, 0);
		return;
	}
	list_add_tail(&v->reval_q, &r->link);
	if (v->reval_armed)
		return;
	v->reval_armed = true;
	vol_get(v);
	v->reval_op.done = send_all;
	v->io->ops->timer(v->io, &v->reval_op, 0);
}

void reval_object(struct vol *v, struct cobj *o)
{
	struct reval_call *rc = call_new(v, o->pu);

	call_add(rc, o, NULL);
	ask_start(&rc->a);
}
