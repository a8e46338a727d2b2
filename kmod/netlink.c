// SPDX-License-Identifier: GPL-2.0-only
/*
 * netlink.c - the generic netlink family: policies, sending, and the news that a socket
 * has closed.
 *
 * Policies are strict and per command: an attribute that a command does not list is
 * refused before any of our code runs.  Sending never blocks (MSG_DONTWAIT): a full socket
 * is an error to the caller, which keeps what it wanted to say.
 */
#include <linux/netlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include "netlink.h"

#define POLICY(name) static const struct nla_policy name[AUGUR_A_MAX + 1]

#define P_OID		NLA_POLICY_EXACT_LEN(AUGUR_OID_LEN)
#define P_FH		NLA_POLICY_RANGE(NLA_BINARY, 5, AUGUR_FH_MAX)
#define P_NAME		NLA_POLICY_RANGE(NLA_BINARY, 1, AUGUR_NAME_MAX)
#define P_U32		{ .type = NLA_U32 }
#define P_U64		{ .type = NLA_U64 }
#define P_MAP		NLA_POLICY_RANGE(NLA_BINARY, 1, AUGUR_MAP_MAX)
#define P_SESSION \
	[AUGUR_A_MOUNT_ID] = P_U64, [AUGUR_A_SESSION] = P_U64

const struct nla_policy augur_policy_range[AUGUR_A_LENGTH + 1] = {
	[AUGUR_A_OFFSET]	= P_U64,
	[AUGUR_A_LENGTH]	= P_U64,
};

const struct nla_policy augur_policy_reply_item[AUGUR_A_MAP + 1] = {
	[AUGUR_A_REQ_ID]	= P_U64,
	[AUGUR_A_OP]		= NLA_POLICY_RANGE(NLA_U32, AUGUR_OP_LOOKUP, AUGUR_OP_NAMEOP),
	[AUGUR_A_STATUS]	= NLA_POLICY_RANGE(NLA_S32, -MAX_ERRNO, 0),
	[AUGUR_A_FLAGS]		= NLA_POLICY_MASK(NLA_U32, AUGUR_RP_COMPLETE | AUGUR_RP_STREAM),
	[AUGUR_A_OFFSET]	= P_U64,
	[AUGUR_A_LENGTH]	= P_U64,
	[AUGUR_A_MAP]		= P_MAP,
};

const struct nla_policy augur_policy_settle_item[AUGUR_A_LENGTH + 1] = {
	[AUGUR_A_OID]		= P_OID,
	[AUGUR_A_FLAGS]		= NLA_POLICY_MASK(NLA_U32, AUGUR_RP_COMPLETE),
	[AUGUR_A_LENGTH]	= P_U64,
};

const struct nla_policy augur_policy_inval_item[AUGUR_A_KIND + 1] = {
	[AUGUR_A_KIND]		= NLA_POLICY_RANGE(NLA_U32, AUGUR_INVAL_ATTR, AUGUR_INVAL_DIR),
	[AUGUR_A_OID]		= P_OID,
	[AUGUR_A_PARENT_OID]	= P_OID,
	[AUGUR_A_NAME]		= P_NAME,
};

const struct nla_policy augur_policy_lease_item[AUGUR_A_DEADLINE_NS + 1] = {
	[AUGUR_A_GROUP]		= NLA_POLICY_MAX(NLA_U32, AUGUR_GROUPS_MAX - 1),
	[AUGUR_A_SEQ]		= P_U64,
	[AUGUR_A_DEADLINE_NS]	= P_U64,
};

const struct nla_policy augur_policy_evict_item[AUGUR_A_LENGTH + 1] = {
	[AUGUR_A_OID]		= P_OID,
	[AUGUR_A_FH]		= P_FH,
	[AUGUR_A_FLAGS]		= NLA_POLICY_MASK(NLA_U32, AUGUR_EV_ASK),
	[AUGUR_A_OFFSET]	= P_U64,
	[AUGUR_A_LENGTH]	= P_U64,
};

POLICY(policy_hello) = {
	[AUGUR_A_ABI_VERSION]	= P_U32,
	[AUGUR_A_FEATURES]	= P_U64,
};

POLICY(policy_register) = {
	[AUGUR_A_MOUNT_ID]	= P_U64,
	[AUGUR_A_FLAGS]		= NLA_POLICY_MASK(NLA_U32, AUGUR_REG_EVENTS),
};

POLICY(policy_reply) = {
	P_SESSION,
	[AUGUR_A_ITEM]		= NLA_POLICY_NESTED(augur_policy_reply_item),
};

POLICY(policy_fill_begin) = {
	P_SESSION,
	[AUGUR_A_OID]		= P_OID,
	[AUGUR_A_FH]		= P_FH,
	[AUGUR_A_OFFSET]	= P_U64,
	[AUGUR_A_LENGTH]	= P_U64,
};

POLICY(policy_fill_end) = {
	P_SESSION,
	[AUGUR_A_GRANT]		= P_U64,
	[AUGUR_A_RANGE]		= NLA_POLICY_NESTED(augur_policy_range),
	[AUGUR_A_FLAGS]		= NLA_POLICY_MASK(NLA_U32, AUGUR_RP_COMPLETE),
};

POLICY(policy_settle) = {
	P_SESSION,
	[AUGUR_A_ITEM]		= NLA_POLICY_NESTED(augur_policy_settle_item),
};

POLICY(policy_inval) = {
	P_SESSION,
	[AUGUR_A_ITEM]		= NLA_POLICY_NESTED(augur_policy_inval_item),
};

POLICY(policy_switch) = {
	P_SESSION,
	[AUGUR_A_PARENT_FH]	= P_FH,
	[AUGUR_A_NAME]		= P_NAME,
	[AUGUR_A_OLD_FH]	= P_FH,
	[AUGUR_A_NEW_FH]	= P_FH,
	[AUGUR_A_NEW_NAME]	= P_NAME,
};

POLICY(policy_remove) = {
	P_SESSION,
	[AUGUR_A_PARENT_FH]	= P_FH,
	[AUGUR_A_NAME]		= P_NAME,
	[AUGUR_A_OLD_FH]	= P_FH,
	[AUGUR_A_FLAGS]		= P_U32,
};

POLICY(policy_pu_table) = {
	P_SESSION,
	[AUGUR_A_PU_BASE]	= P_U32,
	[AUGUR_A_PU_GROUPS]	= NLA_POLICY_RANGE(NLA_BINARY, 2, AUGUR_PU_TABLE_MAX * 2),
	[AUGUR_A_SEQ]		= P_U64,
};

POLICY(policy_lease) = {
	P_SESSION,
	[AUGUR_A_ITEM]		= NLA_POLICY_NESTED(augur_policy_lease_item),
};

POLICY(policy_evict) = {
	P_SESSION,
	[AUGUR_A_ITEM]		= NLA_POLICY_NESTED(augur_policy_evict_item),
};

POLICY(policy_pin) = {
	P_SESSION,
	[AUGUR_A_OID]		= P_OID,
	[AUGUR_A_FH]		= P_FH,
	[AUGUR_A_FLAGS]		= NLA_POLICY_MASK(NLA_U32, AUGUR_PIN_SET | AUGUR_PIN_CLEAR),
};

/* COMMITTED and CONFLICT, reserved: well-formed ones are told "not supported". */
POLICY(policy_reserved) = {
	P_SESSION,
	[AUGUR_A_OID]		= P_OID,
	[AUGUR_A_COMMIT_ID]	= NLA_POLICY_EXACT_LEN(16),
	[AUGUR_A_DIRTY_SEQ]	= P_U64,
	[AUGUR_A_VERSION]	= P_U64,
};

POLICY(policy_epoch) = {
	P_SESSION,
	[AUGUR_A_EPOCH]		= P_U64,
};

POLICY(policy_pull) = {
	P_SESSION,
	[AUGUR_A_REQ_ID]	= P_U64,
};

POLICY(policy_inodes) = {
	[AUGUR_A_MOUNT_ID]	= P_U64,
};

POLICY(policy_none) = {
};

#define OP(_cmd, _policy, _doit)						\
	{									\
		.cmd = AUGUR_CMD_##_cmd, .flags = GENL_ADMIN_PERM,		\
		.policy = _policy, .maxattr = AUGUR_A_MAX, .doit = _doit,	\
	}
#define DUMP(_cmd, _policy, _dump)						\
	{									\
		.cmd = AUGUR_CMD_##_cmd, .flags = GENL_ADMIN_PERM,		\
		.policy = _policy, .maxattr = AUGUR_A_MAX,			\
		.start = augur_nl_dump_start, .dumpit = _dump,			\
	}

static const struct genl_ops augur_ops[] = {
	OP(HELLO, policy_hello, augur_nl_hello),
	OP(REGISTER, policy_register, augur_nl_register),
	OP(REPLY, policy_reply, augur_nl_session),
	OP(FILL_BEGIN, policy_fill_begin, augur_nl_session),
	OP(FILL_END, policy_fill_end, augur_nl_session),
	OP(SETTLE, policy_settle, augur_nl_session),
	OP(INVAL, policy_inval, augur_nl_session),
	OP(SWITCH, policy_switch, augur_nl_session),
	OP(REMOVE, policy_remove, augur_nl_session),
	OP(PU_TABLE, policy_pu_table, augur_nl_session),
	OP(LEASE, policy_lease, augur_nl_session),
	OP(EVICT, policy_evict, augur_nl_session),
	OP(PIN, policy_pin, augur_nl_session),
	OP(COMMITTED, policy_reserved, augur_nl_session),
	OP(CONFLICT, policy_reserved, augur_nl_session),
	OP(EPOCH, policy_epoch, augur_nl_session),
	DUMP(PULL, policy_pull, augur_nl_dump_pull),
	DUMP(MOUNTS, policy_none, augur_nl_dump_mounts),
	DUMP(INODES, policy_inodes, augur_nl_dump_inodes),
};

enum { GRP_STATE };

static const struct genl_multicast_group augur_groups[] = {
	[GRP_STATE] = { .name = AUGUR_GENL_GRP_STATE },
};

struct genl_family augur_genl_family __ro_after_init = {
	.name		= AUGUR_GENL_NAME,
	.version	= AUGUR_GENL_VERSION,
	.maxattr	= AUGUR_A_MAX,
	.netnsok	= false,
	.parallel_ops	= true,
	.module		= THIS_MODULE,
	.ops		= augur_ops,
	.n_ops		= ARRAY_SIZE(augur_ops),
	/* Every command is newer than the check of reserved header bytes. */
	.resv_start_op	= AUGUR_CMD_HELLO,
	.mcgrps		= augur_groups,
	.n_mcgrps	= ARRAY_SIZE(augur_groups),
};

bool augur_netlink_may(struct sk_buff *skb)
{
	return netlink_capable(skb, CAP_SYS_ADMIN);
}

struct augur_sb *augur_netlink_mount(u64 mount_id)
{
	struct augur_sb *asb;

	mutex_lock(&augur_mounts_lock);
	asb = augur_mount_find(mount_id);
	if (asb)
		augur_mount_pin(asb);
	mutex_unlock(&augur_mounts_lock);
	return asb;
}

/* -------- sending -------- */

struct sk_buff *augur_netlink_reply(struct genl_info *info, size_t size, void **hdr)
{
	struct sk_buff *skb = genlmsg_new(size, GFP_KERNEL);

	if (!skb)
		return NULL;
	*hdr = genlmsg_put_reply(skb, info, &augur_genl_family, 0, info->genlhdr->cmd);
	if (*hdr)
		return skb;
	nlmsg_free(skb);
	return NULL;
}

int augur_netlink_finish(struct genl_info *info, struct sk_buff *skb, void *hdr)
{
	genlmsg_end(skb, hdr);
	return genlmsg_reply(skb, info);
}

static int put_u64(struct sk_buff *skb, int attr, u64 v)
{
	return nla_put_u64_64bit(skb, attr, v, AUGUR_A_PAD);
}

static struct sk_buff *new_message(struct augur_session *sess, size_t size, u8 cmd, void **hdr)
{
	struct sk_buff *skb = genlmsg_new(size, GFP_KERNEL | __GFP_NOWARN);

	if (!skb)
		return NULL;
	*hdr = genlmsg_put(skb, 0, 0, &augur_genl_family, 0, cmd);
	if (*hdr && !put_u64(skb, AUGUR_A_MOUNT_ID, sess->asb->mount_id))
		return skb;
	nlmsg_free(skb);
	return NULL;
}

static int send_to(struct augur_session *sess, struct sk_buff *skb, void *hdr)
{
	genlmsg_end(skb, hdr);
	/* Consumes skb; -EAGAIN when the socket is full, -ECONNREFUSED when it is gone. */
	return genlmsg_unicast(&init_net, skb, sess->portid);
}

static int put_fetch(struct sk_buff *skb, const struct augur_req *req)
{
	return put_u64(skb, AUGUR_A_OFFSET, req->off) ||
	       put_u64(skb, AUGUR_A_LENGTH, req->len) ||
	       put_u64(skb, AUGUR_A_WANT, req->want) ||
	       nla_put_u32(skb, AUGUR_A_OPEN_ID, req->open_id);
}

/* All of a REQ but MOUNT_ID. */
int augur_netlink_put_req(struct sk_buff *skb, u64 session, const struct augur_req *req,
			  bool resend)
{
	u32 flags = req->flags | (resend ? AUGUR_RQ_RESEND : 0);

	if (put_u64(skb, AUGUR_A_SESSION, session) ||
	    put_u64(skb, AUGUR_A_REQ_ID, req->id) ||
	    nla_put_u32(skb, AUGUR_A_OP, req->op) ||
	    nla_put_u32(skb, AUGUR_A_FLAGS, flags) ||
	    nla_put(skb, AUGUR_A_OID, sizeof(req->oid), req->oid) ||
	    nla_put(skb, AUGUR_A_FH, req->fh_len, req->fh) ||
	    nla_put_u32(skb, AUGUR_A_PID, req->pid) ||
	    nla_put_u32(skb, AUGUR_A_UID, req->uid) ||
	    put_u64(skb, AUGUR_A_SESSION_KEY, req->session_key))
		return -EMSGSIZE;
	if (req->name_len && nla_put(skb, AUGUR_A_NAME, req->name_len, req->name))
		return -EMSGSIZE;
	if (req->op == AUGUR_OP_FETCH && put_fetch(skb, req))
		return -EMSGSIZE;
	if ((req->op == AUGUR_OP_FETCH || req->op == AUGUR_OP_REVAL) &&
	    put_u64(skb, AUGUR_A_VERSION, req->version))
		return -EMSGSIZE;
	return 0;
}

/* Room for a REQ: twelve numbers with padding, and the rest of what is in it. */
static size_t req_size(const struct augur_req *req)
{
	return 12 * nla_total_size_64bit(sizeof(u64)) + nla_total_size(AUGUR_OID_LEN) +
	       nla_total_size(req->fh_len) + nla_total_size(req->name_len);
}

int augur_netlink_send_req(struct augur_session *sess, struct augur_req *req, bool resend)
{
	struct sk_buff *skb;
	void *hdr;
	int err;

	skb = new_message(sess, req_size(req), AUGUR_CMD_REQ, &hdr);
	if (!skb)
		return -ENOMEM;
	err = augur_netlink_put_req(skb, sess->id, req, resend);
	if (err) {
		nlmsg_free(skb);
		return err;
	}
	return send_to(sess, skb, hdr);
}

void augur_netlink_send_cancel(struct augur_session *sess, u64 req_id)
{
	struct sk_buff *skb;
	void *hdr;

	skb = new_message(sess, 3 * nla_total_size_64bit(sizeof(u64)), AUGUR_CMD_CANCEL, &hdr);
	if (!skb)
		return;
	if (put_u64(skb, AUGUR_A_SESSION, sess->id) || put_u64(skb, AUGUR_A_REQ_ID, req_id))
		nlmsg_free(skb);
	else
		send_to(sess, skb, hdr);	/* advice: may be lost */
}

int augur_netlink_send_events(struct augur_session *sess, u32 cpu, u64 seq, u64 dropped,
			      const struct augur_event *ev, unsigned int n)
{
	size_t bytes = n * sizeof(*ev);
	struct sk_buff *skb;
	void *hdr;

	skb = new_message(sess, 4 * nla_total_size_64bit(sizeof(u64)) + nla_total_size(bytes),
			  AUGUR_CMD_EVENTS, &hdr);
	if (!skb)
		return -ENOMEM;
	if (nla_put_u32(skb, AUGUR_A_CPU, cpu) || put_u64(skb, AUGUR_A_SEQ, seq) ||
	    put_u64(skb, AUGUR_A_DROPPED, dropped) || nla_put(skb, AUGUR_A_RECORDS, bytes, ev)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	return send_to(sess, skb, hdr);
}

static int put_mount_event(struct sk_buff *skb, struct augur_sb *asb,
			   enum augur_mount_event kind)
{
	return nla_put_u32(skb, AUGUR_A_KIND, kind) ||
	       put_u64(skb, AUGUR_A_MOUNT_ID, asb->mount_id) ||
	       put_u64(skb, AUGUR_A_LOWER_DEV, asb->lower_dev) ||
	       put_u64(skb, AUGUR_A_LOWER_INO, asb->lower_ino) ||
	       nla_put_string(skb, AUGUR_A_SOURCE, asb->source) ||
	       nla_put_string(skb, AUGUR_A_CACHE, asb->cache);
}

void augur_netlink_mount_event(struct augur_sb *asb, enum augur_mount_event kind)
{
	size_t size = 5 * nla_total_size_64bit(sizeof(u64)) +
		      nla_total_size(strlen(asb->source) + 1) +
		      nla_total_size(strlen(asb->cache) + 1);
	struct sk_buff *skb = genlmsg_new(size, GFP_KERNEL);
	void *hdr;

	if (!skb)
		return;
	hdr = genlmsg_put(skb, 0, 0, &augur_genl_family, 0, AUGUR_CMD_MOUNT_EVENT);
	if (!hdr || put_mount_event(skb, asb, kind)) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, hdr);
	/* -ESRCH when nobody listens; a hint in any case. */
	genlmsg_multicast(&augur_genl_family, skb, 0, GRP_STATE, GFP_KERNEL);
}

/* -------- life -------- */

static int netlink_released(struct notifier_block *nb, unsigned long state, void *data)
{
	struct netlink_notify *n = data;

	if (state == NETLINK_URELEASE && n->protocol == NETLINK_GENERIC && n->net == &init_net)
		augur_session_socket_gone(n->portid);
	return NOTIFY_DONE;
}

static struct notifier_block netlink_notifier = {
	.notifier_call = netlink_released,
};

int augur_netlink_init(void)
{
	int err = netlink_register_notifier(&netlink_notifier);

	if (err)
		return err;
	err = genl_register_family(&augur_genl_family);
	if (err)
		netlink_unregister_notifier(&netlink_notifier);
	return err;
}

void augur_netlink_exit(void)
{
	genl_unregister_family(&augur_genl_family);
	netlink_unregister_notifier(&netlink_notifier);
}
