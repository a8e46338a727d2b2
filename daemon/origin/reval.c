// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * REVAL: are these objects still what the asker knows?  One worker job looks at all items
 * by handle; an object that changed is answered with its entry of now, one that is gone with
 * -ENOENT.
 */
#include "origin/impl.h"

#define BODY_FULL	(400 * 1024)	/* beyond it, changes are told without the entry */

struct reval_item {
	struct origin_loc loc;
	u64	tag;
	int	status;
	bool	refused, seen;
	u32	mode;
	u64	now_tag;
};

struct reval_job {
	struct origin_job j;
	EVP_MAC_CTX	*mac;
	struct wire_out	out;
	struct origin_entry ent;
	u32		n;
	struct reval_item item[];
};

/* ---- worker ---- */

static int item_look(struct reval_job *rj, struct reval_item *it)
{
	const struct origin_export *ex = &rj->j.o->ex;
	int fd = origin_loc_open(ex, &it->loc, O_PATH), err;

	if (fd < 0)
		return fd == -ESTALE ? -ENOENT : fd;
	rj->ent.loc.pu = it->loc.pu;
	err = origin_stat_fd(ex, fd, &it->loc, &rj->ent.st);
	if (!err && rj->ent.st.tag != it->tag) {
		err = origin_entry_fill(ex, rj->mac, &rj->ent, fd, NULL, NULL, 0);
		if (!err)
			it->status = -ESTALE;
	}
	close(fd);
	if (err)
		return err == -ESTALE ? -ENOENT : err;
	it->seen = true;
	it->now_tag = rj->ent.st.tag;
	it->mode = rj->ent.st.stx.stx_mode;
	return it->status;
}

static void item_put(struct reval_job *rj, const struct reval_item *it, bool entry)
{
	size_t mark = wire_nest(&rj->out, WF_ITEM);

	wire_put(&rj->out, WF_OID, it->loc.oid, AUGUR_OID_LEN);
	wire_put_u32(&rj->out, WF_STATUS, (u32)it->status);
	if (entry && wire_put_entry(&rj->out, WF_ENTRY, &rj->ent.e) == 0 && wire_nest_end(&rj->out, mark) == 0)
		return;
	if (entry)
		item_put(rj, it, false);
	else
		wire_nest_end(&rj->out, mark);
}

static int reval_run(void *arg)
{
	struct reval_job *rj = arg;

	for (u32 i = 0; i < rj->n; i++) {
		struct reval_item *it = &rj->item[i];

		if (!it->refused)
			it->status = item_look(rj, it);
		item_put(rj, it, it->status == -ESTALE && it->seen && rj->out.len < BODY_FULL);
	}
	return 0;
}

/* ---- loop ---- */

static void reval_done(struct io_op *op, int res)
{
	struct reval_job *rj = container_of(op, struct reval_job, j.op);
	struct origin_client *cl = rj->j.cl;

	for (u32 i = 0; i < rj->n && !cl->gone; i++) {
		struct reval_item *it = &rj->item[i];
		struct origin_seen seen = { .loc = it->loc, .tag = it->now_tag, .mode = it->mode };

		if (it->seen)
			origin_interest_note(cl, &seen, 1, rj->j.event_no);
	}
	if (!cl->gone)
		xfer_reply(cl->conn, rj->j.stream, rj->j.type, WIRE_LAST, res, 0, &rj->out);
	else
		wire_out_free(&rj->out);
	EVP_MAC_CTX_free(rj->mac);
	origin_entry_free(&rj->ent);
	origin_job_end(&rj->j);
	free(rj);
}

static int reval_parse(struct origin *o, struct wire_in body, struct reval_job *rj)
{
	struct origin_req q;
	struct wire_val v;
	int err;

	while ((err = wire_next(&body, &v)) == 1) {
		struct reval_item *it = &rj->item[rj->n];

		if (v.tag != WF_ITEM)
			continue;
		if (rj->n == WIRE_ITEMS_MAX)
			return -E2BIG;
		err = origin_req_parse((struct wire_in){ v.p, v.p + v.len }, &q);
		if (err)
			return err;
		it->status = origin_req_object(o, &q, &it->loc);
		it->refused = it->status;
		memcpy(it->loc.oid, q.oid, AUGUR_OID_LEN);
		/* Only version 0 exists: another one is answered with the entry of now. */
		it->tag = q.version ? 0 : q.tag;
		rj->n++;
	}
	return err;
}

void origin_reval_request(struct origin_client *cl, const struct wire_hdr *h, struct wire_in body)
{
	struct reval_job *rj = xcalloc(1, sizeof(*rj) + WIRE_ITEMS_MAX * sizeof(rj->item[0]));
	struct io *io = cl->o->io;
	int err = reval_parse(cl->o, body, rj);

	if (err) {
		origin_reply_status(cl, h->stream, h->type, err, 0);
		free(rj);
		return;
	}
	cl->o->n.reval += rj->n;
	wire_out_init(&rj->out);
	if (cl->o->map)
		wire_put_u64(&rj->out, WF_MAP_VERSION, cl->o->map->version);
	rj->mac = origin_mac_dup(cl->o);
	origin_job_start(&rj->j, cl, h);
	rj->j.op.done = reval_done;
	io->ops->work(io, &rj->j.op, IO_POOL_ORIGIN, reval_run, rj);
}
