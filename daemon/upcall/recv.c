// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * recv.c - what the kernel sends: requests, cancels, access records, errors of messages that
 * were not acknowledged.  The kernel is trusted more than a peer, but a daemon of another
 * version must not crash: every attribute is checked for presence and length.
 */
#include "base/log.h"
#include "common/record.h"
#include "upcall/nl.h"

#define PULL_EVERY_NS	1000000000ull

static int take_oid(struct nlattr *a, u8 *oid)
{
	if (!a || nla_len(a) != AUGUR_OID_LEN)
		return -EBADMSG;
	memcpy(oid, nla_data(a), AUGUR_OID_LEN);
	return 0;
}

static int take_req(struct nlattr **tb, struct upcall_req *rq)
{
	rq->id = nl_u64(tb, AUGUR_A_REQ_ID);
	rq->op = nl_u32(tb, AUGUR_A_OP);
	rq->flags = nl_u32(tb, AUGUR_A_FLAGS);
	if (!rq->id || take_oid(tb[AUGUR_A_OID], rq->oid) || !tb[AUGUR_A_FH] ||
	    fh_set(&rq->fh, nla_data(tb[AUGUR_A_FH]), nla_len(tb[AUGUR_A_FH])))
		return -EBADMSG;
	if (tb[AUGUR_A_NAME]) {
		rq->name = nla_data(tb[AUGUR_A_NAME]);
		rq->name_len = nla_len(tb[AUGUR_A_NAME]);
		if (augur_name_check(rq->name, rq->name_len))
			return -EBADMSG;
	} else if (rq->op == AUGUR_OP_LOOKUP) {
		return -EBADMSG;
	}
	rq->off = nl_u64(tb, AUGUR_A_OFFSET);
	rq->len = nl_u64(tb, AUGUR_A_LENGTH);
	rq->want = nl_u64(tb, AUGUR_A_WANT);
	rq->version = nl_u64(tb, AUGUR_A_VERSION);
	rq->session_key = nl_u64(tb, AUGUR_A_SESSION_KEY);
	rq->open_id = nl_u32(tb, AUGUR_A_OPEN_ID);
	rq->pid = nl_u32(tb, AUGUR_A_PID);
	rq->uid = nl_u32(tb, AUGUR_A_UID);
	if (rq->op == AUGUR_OP_FETCH && (rq->off > INT64_MAX || rq->len > INT64_MAX - rq->off))
		return -EBADMSG;
	return 0;
}

static void deliver(struct mount *mt, struct nlattr **tb)
{
	struct upcall_req rq = { 0 };
	struct upcall_reply rp = { 0 };

	if (!take_req(tb, &rq)) {
		mt->u->ops->request(mt->u->ctx, &mt->pub, &rq);
		return;
	}
	log_warn("event=bad_request mount=%llu req=%llu", (unsigned long long)mt->pub.id, (unsigned long long)rq.id);
	if (!rq.id)
		return;
	rp.id = rq.id;
	rp.op = rq.op;
	rp.status = -EINVAL;
	upcall_reply(&mt->pub, &rp);
}

/* A message of many answers is refused as a whole: what was in it is asked for again, at leisure. */
static void refused(struct mount *mt, int err)
{
	u64 now = io_now(mt->u->io);

	if ((err != -EINVAL && err != -ERANGE) || (mt->pulled_ns && now - mt->pulled_ns < PULL_EVERY_NS))
		return;
	mt->pulled_ns = now;
	mount_pull(mt);
}

void mount_msg(struct nl_chan *c, struct nlmsghdr *nlh)
{
	struct mount *mt = container_of(c, struct mount, req);
	struct nlattr *tb[AUGUR_A_MAX + 1];
	const char *text;
	int err;

	if (mt->dead)
		return;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		err = nl_error_of(nlh, &text);
		if (err == -ESTALE) {
			log_notice("event=session_replaced mount=%llu", (unsigned long long)mt->pub.id);
			upcall_rescan_in(mt->u, 0);
			mount_gone(mt);
		} else if (err == -ENODEV) {
			/* What was under way when it was unmounted. */
			log_debug("event=netlink_late mount=%llu", (unsigned long long)mt->pub.id);
			refused(mt, err);
		} else if (err && err != -ENOENT) {
			log_warn("event=netlink_refused mount=%llu error=\"%s\" text=\"%s\"",
				 (unsigned long long)mt->pub.id, strerror(-err), text);
			refused(mt, err);
		}
		return;
	}
	if (nlh->nlmsg_type != mt->u->family || nl_parse(nlh, tb))
		return;
	switch (genlmsg_hdr(nlh)->cmd) {
	case AUGUR_CMD_REQ:
		if (nl_u64(tb, AUGUR_A_SESSION) == mt->pub.session)
			deliver(mt, tb);
		break;
	case AUGUR_CMD_CANCEL:
		mt->u->ops->cancel(mt->u->ctx, &mt->pub, nl_u64(tb, AUGUR_A_REQ_ID));
		break;
	default:
		log_debug("event=unknown_message cmd=%u", genlmsg_hdr(nlh)->cmd);
	}
}

void mount_ev_msg(struct nl_chan *c, struct nlmsghdr *nlh)
{
	struct mount *mt = container_of(c, struct mount, ev);
	struct nlattr *tb[AUGUR_A_MAX + 1];
	size_t len;

	if (mt->dead || nlh->nlmsg_type != mt->u->family || nl_parse(nlh, tb) ||
	    genlmsg_hdr(nlh)->cmd != AUGUR_CMD_EVENTS || !tb[AUGUR_A_RECORDS])
		return;
	len = nla_len(tb[AUGUR_A_RECORDS]);
	if (len % AUGUR_EVENT_LEN)
		return;
	mt->u->ops->events(mt->u->ctx, &mt->pub, nl_u32(tb, AUGUR_A_CPU), nl_u64(tb, AUGUR_A_SEQ),
			   nl_u64(tb, AUGUR_A_DROPPED), nla_data(tb[AUGUR_A_RECORDS]), len / AUGUR_EVENT_LEN);
}

/* ---- PULL: after lost messages ---- */

struct pulled { struct list link; struct upcall_req rq; char name[AUGUR_NAME_MAX]; };

static int pull_answer(void *arg, struct nlattr **tb, struct nlmsghdr *nlh)
{
	struct list *all = arg;
	struct pulled *p = xcalloc(1, sizeof(*p));

	if (take_req(tb, &p->rq)) {
		free(p);
		return 0;
	}
	if (p->rq.name) {
		memcpy(p->name, p->rq.name, p->rq.name_len);
		p->rq.name = p->name;
	}
	list_add_tail(all, &p->link);
	return 0;
}

static void pull_run(struct mount *mt)
{
	struct nl_msg *msg;
	struct list all;
	int err;

	list_init(&all);
	msg = nl_msg_new(mt->u, AUGUR_CMD_PULL, NLM_F_DUMP, 256);
	nla_put_u64(msg, AUGUR_A_MOUNT_ID, mt->pub.id);
	nla_put_u64(msg, AUGUR_A_SESSION, mt->pub.session);
	nla_put_u64(msg, AUGUR_A_REQ_ID, 0);
	err = nl_ask(&mt->req, msg, pull_answer, &all);
	if (err)
		log_warn("event=pull error=\"%s\"", strerror(-err));
	while (!list_empty(&all)) {
		struct pulled *p = list_first(&all, struct pulled, link);

		list_del(&p->link);
		if (!mt->dead)
			mt->u->ops->request(mt->u->ctx, &mt->pub, &p->rq);
		free(p);
	}
}

static void pull_done(struct io_op *op, int res)
{
	struct mount *mt = container_of(op, struct mount, pull_op);

	mt->pull_armed = false;
	if (!mt->dead)
		pull_run(mt);
	mount_op_put(mt);
}

/* From the loop, not here: the loss may have been noticed in the middle of a question. */
int mount_pull(struct mount *mt)
{
	if (mt->pull_armed)
		return 0;
	mt->pull_armed = true;
	mt->open_chans++;
	mt->pull_op.done = pull_done;
	mt->u->io->ops->timer(mt->u->io, &mt->pull_op, 0);
	return 0;
}
