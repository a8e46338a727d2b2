// SPDX-License-Identifier: GPL-2.0-only
/*
 * nldump.c - dumps: mounts, unanswered requests, inodes ahead of their durable claim.
 *
 * A dump goes over several messages with no lock held between them.  Its cursor is a number
 * that only grows along the list (mount id, request id, unsettled_seq), so that what comes
 * or goes meanwhile neither repeats nor hides anything else.
 */
#include <linux/seq_file.h>
#include <net/sock.h>
#include "netlink.h"

#define OPTIONS_MAX	1024

/* cb->args: 0 the cursor. */

int augur_nl_dump_start(struct netlink_callback *cb)
{
	if (!augur_netlink_may(cb->skb))
		return -EPERM;
	/* The largest single entry: a mount's strings. */
	cb->min_dump_alloc = 16384;
	return 0;
}

static void *begin(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd)
{
	return genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			   &augur_genl_family, NLM_F_MULTI, cmd);
}

/* Ends one entry: 0, or -EMSGSIZE with nothing of it left. */
static int end(struct sk_buff *skb, void *hdr, int err)
{
	if (err)
		genlmsg_cancel(skb, hdr);
	else
		genlmsg_end(skb, hdr);
	return err ? -EMSGSIZE : 0;
}

static int put_u64(struct sk_buff *skb, int attr, u64 v)
{
	return nla_put_u64_64bit(skb, attr, v, AUGUR_A_PAD);
}

/* -------- MOUNTS -------- */

static u32 daemon_pid(struct augur_sb *asb)
{
	struct augur_session *sess = augur_session_get(asb, false);
	u32 pid = 0;

	if (sess) {
		pid = pid_nr(sess->tgid);
		augur_session_put(sess);
	}
	return pid;
}

/* Under augur_mounts_lock. */
static int put_mount(struct sk_buff *skb, struct augur_sb *asb)
{
	char options[OPTIONS_MAX];

	augur_opts_print(options, sizeof(options), &asb->opts);
	return put_u64(skb, AUGUR_A_MOUNT_ID, asb->mount_id) ||
	       nla_put_u32(skb, AUGUR_A_STATE, atomic_read(&asb->state)) ||
	       nla_put_string(skb, AUGUR_A_SOURCE, asb->source) ||
	       nla_put_string(skb, AUGUR_A_CACHE, asb->cache) ||
	       nla_put_string(skb, AUGUR_A_OPTIONS, options) ||
	       put_u64(skb, AUGUR_A_LOWER_DEV, asb->lower_dev) ||
	       put_u64(skb, AUGUR_A_LOWER_INO, asb->lower_ino) ||
	       nla_put_u32(skb, AUGUR_A_PID, daemon_pid(asb));
}

/* The mount with the smallest id above @id. */
static struct augur_sb *next_mount(u64 id)
{
	struct augur_sb *asb, *best = NULL;

	list_for_each_entry(asb, &augur_mounts, link) {
		if (asb->mount_id > id && (!best || asb->mount_id < best->mount_id))
			best = asb;
	}
	return best;
}

int augur_nl_dump_mounts(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct augur_sb *asb;
	void *hdr;

	mutex_lock(&augur_mounts_lock);
	while ((asb = next_mount(cb->args[0]))) {
		hdr = begin(skb, cb, AUGUR_CMD_MOUNTS);
		if (!hdr || end(skb, hdr, put_mount(skb, asb)))
			break;
		cb->args[0] = asb->mount_id;
	}
	mutex_unlock(&augur_mounts_lock);
	return skb->len;
}

/* -------- PULL -------- */

static int put_pull(struct sk_buff *skb, struct netlink_callback *cb, u64 session,
		    const struct augur_req *req)
{
	void *hdr = begin(skb, cb, AUGUR_CMD_REQ);

	if (!hdr)
		return -EMSGSIZE;
	return end(skb, hdr, put_u64(skb, AUGUR_A_MOUNT_ID, req->asb->mount_id) ||
		   augur_netlink_put_req(skb, session, req, true));
}

static int pull(struct sk_buff *skb, struct netlink_callback *cb, struct augur_sb *asb,
		u64 session)
{
	struct augur_req *req;
	u64 id = (u64)cb->args[0] + 1;
	int err;

	while ((req = augur_req_next(asb, &id))) {
		err = put_pull(skb, cb, session, req);
		augur_req_put(req, AUGUR_WHY_WALK);
		if (err)
			break;
		cb->args[0] = id++;
	}
	return skb->len;
}

static bool is_session(struct netlink_callback *cb, struct augur_sb *asb, u64 id)
{
	struct augur_session *sess = augur_session_get(asb, false);
	bool is;

	if (!sess)
		return false;
	is = sess->id == id && sess->sk == NETLINK_CB(cb->skb).sk;
	augur_session_put(sess);
	return is;
}

int augur_nl_dump_pull(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct nlattr **tb = compat_dump_attrs(cb);
	struct augur_sb *asb;
	u64 session, after;
	int ret;

	if (!tb[AUGUR_A_MOUNT_ID] || !tb[AUGUR_A_SESSION])
		return -EINVAL;
	session = nla_get_u64(tb[AUGUR_A_SESSION]);
	after = tb[AUGUR_A_REQ_ID] ? nla_get_u64(tb[AUGUR_A_REQ_ID]) : 0;
	/* The cursor starts at what the caller has. */
	if ((u64)cb->args[0] < after)
		cb->args[0] = after;
	if ((u64)cb->args[0] == U64_MAX)
		return skb->len;
	asb = augur_netlink_mount(nla_get_u64(tb[AUGUR_A_MOUNT_ID]));
	if (!asb)
		return -ENODEV;
	ret = is_session(cb, asb, session) ? pull(skb, cb, asb, session) : -ESTALE;
	augur_mount_unpin(asb);
	return ret;
}

/* -------- INODES -------- */

/* The map as it is now, into @buf of AUGUR_MAP_MAX bytes; its length. */
static size_t copy_map(struct augur_inode *ai, u8 *buf, unsigned int *state)
{
	size_t len = 0;

	spin_lock(&ai->lock);
	*state = ai->state;
	if (ai->map) {
		len = DIV_ROUND_UP(ai->map_chunks, 8);
		memcpy(buf, ai->map, len);
	}
	spin_unlock(&ai->lock);
	return len;
}

static int put_inode(struct sk_buff *skb, struct inode *inode, u8 *map)
{
	struct augur_inode *ai = AUGUR_I(inode);
	unsigned int state;
	u8 fh[AUGUR_FH_MAX];
	int fh_len = augur_inode_fh(inode, fh);
	size_t len = copy_map(ai, map, &state);

	return nla_put(skb, AUGUR_A_OID, AUGUR_OID_LEN, ai->oid) ||
	       (fh_len > 0 && nla_put(skb, AUGUR_A_FH, fh_len, fh)) ||
	       nla_put_u32(skb, AUGUR_A_STATE, state) ||
	       put_u64(skb, AUGUR_A_SIZE, i_size_read(inode)) ||
	       nla_put_u32(skb, AUGUR_A_CHUNK_SHIFT, ai->chunk_shift) ||
	       (len && nla_put(skb, AUGUR_A_MAP, len, map));
}

static int dump_inodes(struct sk_buff *skb, struct netlink_callback *cb, struct augur_sb *asb)
{
	u8 *map = kmalloc(AUGUR_MAP_MAX, GFP_KERNEL);
	u64 seq = cb->args[0];
	struct inode *inode;
	void *hdr;
	int err = 0;

	if (!map)
		return -ENOMEM;
	while (!err && (inode = augur_unsettled_next(asb, &seq))) {
		hdr = begin(skb, cb, AUGUR_CMD_INODES);
		err = hdr ? end(skb, hdr, put_inode(skb, inode, map)) : -EMSGSIZE;
		augur_iput_async(asb, inode);
		if (!err)
			cb->args[0] = seq;
	}
	kfree(map);
	return skb->len;
}

int augur_nl_dump_inodes(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct nlattr **tb = compat_dump_attrs(cb);
	struct augur_sb *asb;
	int ret;

	if (!tb[AUGUR_A_MOUNT_ID])
		return -EINVAL;
	asb = augur_netlink_mount(nla_get_u64(tb[AUGUR_A_MOUNT_ID]));
	if (!asb)
		return -ENODEV;
	ret = dump_inodes(skb, cb, asb);
	augur_mount_unpin(asb);
	return ret;
}
