/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netlink.h - what netlink.c (family, policies, sending), nlcmd.c and nlobj.c (commands of
 * the daemon) and nldump.c (dumps) share; nobody else includes it.
 *
 * A command runs inside the sender's sendmsg(), many at a time.  It never waits for the
 * daemon and takes no i_rwsem of the upper tree.  While it runs it pins the mount.
 */
#ifndef AUGUR_NETLINK_H
#define AUGUR_NETLINK_H

#include <net/genetlink.h>
#include "compat/netlink.h"
#include "upcall.h"

extern struct genl_family augur_genl_family;

/* What this module can do, HELLO. */
#define AUGUR_FEATURES	(AUGUR_F_READ | AUGUR_F_FILL | AUGUR_F_LEASE | AUGUR_F_EVENTS | \
			 AUGUR_F_SWITCH | AUGUR_F_EVICT)

/* One command of a session: mount pinned, session referenced, sender checked. */
struct augur_call {
	struct augur_sb		*asb;
	struct augur_session	*sess;
	struct genl_info	*info;
};

/* -------- netlink.c -------- */
/* Policies of the nested attributes, by command. */
extern const struct nla_policy augur_policy_range[AUGUR_A_LENGTH + 1];
extern const struct nla_policy augur_policy_reply_item[AUGUR_A_MAP + 1];
extern const struct nla_policy augur_policy_settle_item[AUGUR_A_LENGTH + 1];
extern const struct nla_policy augur_policy_inval_item[AUGUR_A_KIND + 1];
extern const struct nla_policy augur_policy_lease_item[AUGUR_A_DEADLINE_NS + 1];
extern const struct nla_policy augur_policy_evict_item[AUGUR_A_LENGTH + 1];

/* Every message needs this; the sender and the opener of the socket. */
bool augur_netlink_may(struct sk_buff *skb);
/* The mount, pinned, or NULL. */
struct augur_sb *augur_netlink_mount(u64 mount_id);
/* A reply of @cmd to @info, for genlmsg_end() + genlmsg_reply(); *hdr as genlmsg_put(). */
struct sk_buff *augur_netlink_reply(struct genl_info *info, size_t size, void **hdr);
int augur_netlink_finish(struct genl_info *info, struct sk_buff *skb, void *hdr);

/* Every ITEM (or RANGE) of a message, in order. */
#define augur_for_each_nested(pos, info, type, rem)				\
	nlmsg_for_each_attr(pos, (info)->nlhdr, GENL_HDRLEN, rem)		\
		if (nla_type(pos) == (type))

/* -------- nlcmd.c: sessions, replies, fills -------- */
int augur_nl_hello(struct sk_buff *skb, struct genl_info *info);
int augur_nl_register(struct sk_buff *skb, struct genl_info *info);
int augur_nl_session(struct sk_buff *skb, struct genl_info *info);

/* -------- nlobj.c: objects, names, leases -------- */
int augur_nl_settle(struct augur_call *call);
int augur_nl_inval(struct augur_call *call);
int augur_nl_switch(struct augur_call *call);
int augur_nl_remove(struct augur_call *call);
int augur_nl_pu_table(struct augur_call *call);
int augur_nl_lease(struct augur_call *call);
int augur_nl_evict(struct augur_call *call);
int augur_nl_pin(struct augur_call *call);
int augur_nl_epoch(struct augur_call *call);

/* -------- nldump.c -------- */
int augur_nl_dump_start(struct netlink_callback *cb);
int augur_nl_dump_mounts(struct sk_buff *skb, struct netlink_callback *cb);
int augur_nl_dump_pull(struct sk_buff *skb, struct netlink_callback *cb);
int augur_nl_dump_inodes(struct sk_buff *skb, struct netlink_callback *cb);

#endif /* AUGUR_NETLINK_H */
