// SPDX-License-Identifier: GPL-2.0-only
/*
 * nlcmd.c - commands of the daemon about its session, its answers and its fills.
 *
 * Each handler looks at the whole message before it changes anything: a message with one
 * bad item has no effect at all.  What is unknown by now (a killed caller's request) is not
 * bad; the other items count and the sender gets -ENOENT.
 */
#include <net/sock.h>
#include "netlink.h"

#define ABI_MAJOR(v)	((v) >> 16)

int augur_nl_hello(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *reply;
	u32 version;
	void *hdr;

	if (!augur_netlink_may(skb))
		return -EPERM;
	if (GENL_REQ_ATTR_CHECK(info, AUGUR_A_ABI_VERSION) ||
	    GENL_REQ_ATTR_CHECK(info, AUGUR_A_FEATURES))
		return -EINVAL;
	version = nla_get_u32(info->attrs[AUGUR_A_ABI_VERSION]);
	if (ABI_MAJOR(version) != ABI_MAJOR(AUGUR_ABI_VERSION)) {
		pr_warn_ratelimited("augurfs: augurd speaks interface %#x, the module %#x; install matching augurd and augurfs packages\n",
				    version, AUGUR_ABI_VERSION);
		NL_SET_ERR_MSG(info->extack, "augurfs: incompatible interface version");
		return -EPROTO;
	}
	reply = augur_netlink_reply(info, 3 * nla_total_size_64bit(sizeof(u64)), &hdr);
	if (!reply)
		return -ENOMEM;
	if (nla_put_u32(reply, AUGUR_A_ABI_VERSION, AUGUR_ABI_VERSION) ||
	    nla_put_u64_64bit(reply, AUGUR_A_FEATURES, AUGUR_FEATURES, AUGUR_A_PAD)) {
		nlmsg_free(reply);
		return -EMSGSIZE;
	}
	return augur_netlink_finish(info, reply, hdr);
}

/* -------- REGISTER -------- */

static int register_reply(struct augur_session *sess, struct genl_info *info)
{
	struct augur_sb *asb = sess->asb;
	struct inode *root = d_inode(asb->sb->s_root);
	struct sk_buff *skb;
	void *hdr;

	skb = augur_netlink_reply(info, 6 * nla_total_size_64bit(sizeof(u64)) +
				  nla_total_size(AUGUR_OID_LEN), &hdr);
	if (!skb)
		return -ENOMEM;
	if (nla_put_u64_64bit(skb, AUGUR_A_SESSION, sess->events ? 0 : sess->id, AUGUR_A_PAD) ||
	    nla_put_u32(skb, AUGUR_A_WINDOW, sess->window) ||
	    nla_put(skb, AUGUR_A_OID, AUGUR_OID_LEN, AUGUR_I(root)->oid) ||
	    nla_put_u32(skb, AUGUR_A_LEASE_MS, augur_opt(asb, lease_ms)) ||
	    nla_put_u32(skb, AUGUR_A_TIMEOUT_MS, augur_opt(asb, timeout_ms))) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	return augur_netlink_finish(info, skb, hdr);
}

static int do_register(struct augur_sb *asb, struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *flags = info->attrs[AUGUR_A_FLAGS];
	bool events = flags && (nla_get_u32(flags) & AUGUR_REG_EVENTS);
	struct augur_session *sess;
	int err;

	sess = augur_session_open(asb, NETLINK_CB(skb).sk, info->snd_portid, events);
	if (sess == ERR_PTR(-EBUSY))
		NL_SET_ERR_MSG(info->extack, "augurfs: another live socket serves this mount");
	if (IS_ERR(sess))
		return PTR_ERR(sess);
	/* The answer is queued before any request is. */
	err = register_reply(sess, info);
	if (err) {
		augur_session_close(sess);
	} else if (events) {
		augur_event_kick(asb);
	} else {
		augur_sysfs_changed(asb, "state");
		augur_sysfs_changed(asb, "daemon_pid");
		augur_upcall_kick(asb);
	}
	augur_session_put(sess);
	return err;
}

int augur_nl_register(struct sk_buff *skb, struct genl_info *info)
{
	struct augur_sb *asb;
	int err;

	if (!augur_netlink_may(skb))
		return -EPERM;
	if (GENL_REQ_ATTR_CHECK(info, AUGUR_A_MOUNT_ID))
		return -EINVAL;
	asb = augur_netlink_mount(nla_get_u64(info->attrs[AUGUR_A_MOUNT_ID]));
	if (!asb)
		return -ENODEV;
	err = do_register(asb, skb, info);
	augur_mount_unpin(asb);
	return err;
}

/* -------- REPLY -------- */

struct reply_item {
	u64		id, off, len;
	u32		op, flags;
	int		status;
	const u8	*map;
	size_t		map_len;
};

/*
 * An errno the daemon may hand to a caller.  Those above 511 are the kernel's own words
 * (restart, "queued"): a caller would act on them.
 */
static int clean_status(int status)
{
	return status < -511 ? -EIO : status;
}

static int parse_reply_item(const struct nlattr *nest, struct reply_item *it,
			    struct netlink_ext_ack *ack)
{
	struct nlattr *tb[AUGUR_A_MAP + 1];
	int err;

	err = nla_parse_nested(tb, AUGUR_A_MAP, nest, augur_policy_reply_item, ack);
	if (err)
		return err;
	if (NL_REQ_ATTR_CHECK(ack, (struct nlattr *)nest, tb, AUGUR_A_REQ_ID) ||
	    NL_REQ_ATTR_CHECK(ack, (struct nlattr *)nest, tb, AUGUR_A_OP) ||
	    NL_REQ_ATTR_CHECK(ack, (struct nlattr *)nest, tb, AUGUR_A_STATUS))
		return -EINVAL;
	memset(it, 0, sizeof(*it));
	it->id = nla_get_u64(tb[AUGUR_A_REQ_ID]);
	it->op = nla_get_u32(tb[AUGUR_A_OP]);
	it->status = clean_status(nla_get_s32(tb[AUGUR_A_STATUS]));
	if (tb[AUGUR_A_FLAGS])
		it->flags = nla_get_u32(tb[AUGUR_A_FLAGS]);
	if (tb[AUGUR_A_OFFSET])
		it->off = nla_get_u64(tb[AUGUR_A_OFFSET]);
	if (tb[AUGUR_A_LENGTH])
		it->len = nla_get_u64(tb[AUGUR_A_LENGTH]);
	if (tb[AUGUR_A_MAP]) {
		it->map = nla_data(tb[AUGUR_A_MAP]);
		it->map_len = nla_len(tb[AUGUR_A_MAP]);
	}
	return 0;
}

/* Does what it says fit what was asked? */
static int check_fetched(const struct augur_req *req, const struct reply_item *it,
			 struct netlink_ext_ack *ack)
{
	if (it->map && !(req->flags & AUGUR_RQ_WANT_MAP)) {
		NL_SET_ERR_MSG(ack, "augurfs: MAP was not asked for");
		return -EINVAL;
	}
	if ((it->flags & AUGUR_RP_STREAM) && ((it->flags & AUGUR_RP_COMPLETE) || it->map)) {
		NL_SET_ERR_MSG(ack, "augurfs: what is streamed is a range");
		return -EINVAL;
	}
	if (augur_presence_check(req->inode, it->off, it->len, it->map_len)) {
		NL_SET_ERR_MSG(ack, "augurfs: OFFSET, LENGTH or MAP does not fit the file");
		return -ERANGE;
	}
	if (it->flags & AUGUR_RP_COMPLETE)
		return 0;
	/* The policy says nothing of overflow; augur_presence_check() did. */
	if (it->off > req->off || it->off + it->len < req->off + req->len) {
		NL_SET_ERR_MSG(ack, "augurfs: less is present than was asked for");
		return -ERANGE;
	}
	return 0;
}

static int check_reply_item(struct augur_call *call, const struct reply_item *it)
{
	struct netlink_ext_ack *ack = call->info->extack;
	struct augur_req *req;
	int err = 0;

	req = augur_req_get(call->asb, it->id, AUGUR_WHY_REPLY);
	if (!req)
		return 0;
	if (req->op != it->op) {
		NL_SET_ERR_MSG(ack, "augurfs: OP is not the request's");
		err = -EINVAL;
	} else if (it->op == AUGUR_OP_FETCH && !it->status) {
		err = check_fetched(req, it, ack);
	}
	augur_req_put(req, AUGUR_WHY_REPLY);
	return err;
}

static int apply_reply_item(struct augur_call *call, const struct reply_item *it)
{
	struct augur_req *req;
	int status = it->status;
	bool ended;

	req = augur_req_get(call->asb, it->id, AUGUR_WHY_REPLY);
	if (!req || req->op != it->op) {
		if (req)
			augur_req_put(req, AUGUR_WHY_REPLY);
		return -ENOENT;
	}
	/* Before the waiter wakes, what it was told must be true. */
	if (it->op == AUGUR_OP_FETCH && !status)
		status = augur_presence_mark(req->inode, it->off, it->len, it->map, it->map_len,
					     it->flags, req->flags & AUGUR_RQ_WANT_MAP);
	if (it->op == AUGUR_OP_FETCH && !status && (it->flags & AUGUR_RP_STREAM))
		augur_stat_add(call->asb, streamed_bytes, it->len);
	if (S_ISDIR(req->inode->i_mode) && (it->flags & AUGUR_RP_COMPLETE) &&
	    (!status || (status == -ENOENT && it->op == AUGUR_OP_LOOKUP)))
		augur_mark_populated(req->inode);
	ended = augur_req_end(req, status, it->flags, AUGUR_END_REPLY);
	augur_req_put(req, AUGUR_WHY_REPLY);
	return ended ? 0 : -ENOENT;
}

static int do_reply(struct augur_call *call)
{
	struct genl_info *info = call->info;
	struct reply_item it;
	struct nlattr *pos;
	int rem, err, n = 0, ret = 0;

	augur_for_each_nested(pos, info, AUGUR_A_ITEM, rem) {
		if (++n > AUGUR_ITEMS_MAX)
			return -E2BIG;
		err = parse_reply_item(pos, &it, info->extack);
		if (!err)
			err = check_reply_item(call, &it);
		if (err)
			return err;
	}
	if (!n)
		return -EINVAL;
	augur_for_each_nested(pos, info, AUGUR_A_ITEM, rem) {
		if (parse_reply_item(pos, &it, info->extack))
			continue;
		if (apply_reply_item(call, &it))
			ret = -ENOENT;
	}
	/* There is room in the window. */
	augur_upcall_kick(call->asb);
	return ret;
}

/* -------- FILL_BEGIN, FILL_END -------- */

static int put_grant(struct sk_buff *skb, const struct augur_grant *g, bool map_known)
{
	struct nlattr *nest;
	int i;

	if (nla_put_u64_64bit(skb, AUGUR_A_GRANT, g ? g->id : 0, AUGUR_A_PAD) ||
	    nla_put_u32(skb, AUGUR_A_FLAGS, map_known ? AUGUR_FB_MAP_KNOWN : 0))
		return -EMSGSIZE;
	for (i = 0; g && i < g->n; i++) {
		nest = nla_nest_start(skb, AUGUR_A_RANGE);
		if (!nest ||
		    nla_put_u64_64bit(skb, AUGUR_A_OFFSET, g->range[i].off, AUGUR_A_PAD) ||
		    nla_put_u64_64bit(skb, AUGUR_A_LENGTH, g->range[i].len, AUGUR_A_PAD))
			return -EMSGSIZE;
		nla_nest_end(skb, nest);
	}
	return 0;
}

static struct sk_buff *grant_reply(struct augur_call *call, const struct augur_grant *g,
				   bool map_known, void **hdr)
{
	size_t one = nla_total_size(2 * nla_total_size_64bit(sizeof(u64)));
	struct sk_buff *skb;

	skb = augur_netlink_reply(call->info, 2 * nla_total_size_64bit(sizeof(u64)) +
				  (g ? g->n : 0) * one, hdr);
	if (skb && put_grant(skb, g, map_known)) {
		nlmsg_free(skb);
		return NULL;
	}
	return skb;
}

/* Takes the grant out of the session; NULL if the session's end was faster. */
static struct augur_grant *grant_take(struct augur_session *sess, u64 id)
{
	struct augur_grant *g = xa_erase(&sess->grants, id);

	if (g)
		atomic_dec(&sess->nr_grants);
	return g;
}

/* Gives it to the session; on an error the grant is over. */
static int grant_keep(struct augur_session *sess, struct augur_grant *g)
{
	u64 id = g->id;
	bool dead;
	int err;

	err = xa_insert(&sess->grants, id, g, GFP_KERNEL);
	if (err) {
		augur_grant_end(sess->asb, g);
		return err;
	}
	atomic_inc(&sess->nr_grants);
	/* The end of a session drops its grants after it said "dead": one of us sees the other. */
	spin_lock(&sess->asb->req_lock);
	dead = sess->dead;
	spin_unlock(&sess->asb->req_lock);
	if (!dead)
		return 0;
	g = grant_take(sess, id);
	if (g)
		augur_grant_end(sess->asb, g);
	return -ESTALE;
}

/* Tells the daemon of @g (NULL: nothing to do); on an error the grant is over. */
static int fill_answer(struct augur_call *call, struct augur_grant *g, bool map_known)
{
	struct sk_buff *skb;
	u64 id = g ? g->id : 0;
	void *hdr;
	int err;

	skb = grant_reply(call, g, map_known, &hdr);
	if (!skb) {
		if (g)
			augur_grant_end(call->asb, g);
		return -ENOMEM;
	}
	/* Once kept, it may end at any moment: g is not ours any more. */
	err = g ? grant_keep(call->sess, g) : 0;
	if (err) {
		nlmsg_free(skb);
		return err;
	}
	err = augur_netlink_finish(call->info, skb, hdr);
	g = err && id ? grant_take(call->sess, id) : NULL;
	if (g)
		augur_grant_end(call->asb, g);
	return err;
}

static int fill_begin(struct augur_call *call, struct inode *inode)
{
	struct nlattr **tb = call->info->attrs;
	struct augur_grant *g;
	bool map_known;
	int i;

	if (memcmp(AUGUR_I(inode)->oid, nla_data(tb[AUGUR_A_OID]), AUGUR_OID_LEN))
		return -ESTALE;
	if (atomic_read(&call->sess->nr_grants) >= AUGUR_GRANTS_MAX)
		return -ENOSPC;
	g = augur_grant_begin(inode, nla_get_u64(tb[AUGUR_A_OFFSET]),
			      nla_get_u64(tb[AUGUR_A_LENGTH]), &map_known);
	if (IS_ERR(g))
		return PTR_ERR(g);
	if (g)
		augur_stat_inc(call->asb, grants);
	for (i = 0; g && i < g->n; i++)
		augur_stat_add(call->asb, grant_bytes, g->range[i].len);
	return fill_answer(call, g, map_known);
}

static int do_fill_begin(struct augur_call *call)
{
	struct genl_info *info = call->info;
	struct nlattr **tb = info->attrs;
	struct inode *inode;
	int err;

	if (GENL_REQ_ATTR_CHECK(info, AUGUR_A_OID) || GENL_REQ_ATTR_CHECK(info, AUGUR_A_FH) ||
	    GENL_REQ_ATTR_CHECK(info, AUGUR_A_OFFSET) ||
	    GENL_REQ_ATTR_CHECK(info, AUGUR_A_LENGTH))
		return -EINVAL;
	inode = augur_iget_fh(call->asb->sb, nla_data(tb[AUGUR_A_FH]), nla_len(tb[AUGUR_A_FH]));
	if (IS_ERR(inode))
		return PTR_ERR(inode);
	err = fill_begin(call, inode);
	augur_iput_async(call->asb, inode);
	return err;
}

static int parse_ranges(struct genl_info *info, struct augur_range *r, int *n)
{
	struct nlattr *tb[AUGUR_A_LENGTH + 1], *pos;
	int rem, err;

	*n = 0;
	augur_for_each_nested(pos, info, AUGUR_A_RANGE, rem) {
		if (*n == AUGUR_GRANT_RANGES)
			return -E2BIG;
		err = nla_parse_nested(tb, AUGUR_A_LENGTH, pos, augur_policy_range, info->extack);
		if (err)
			return err;
		if (NL_REQ_ATTR_CHECK(info->extack, pos, tb, AUGUR_A_OFFSET) ||
		    NL_REQ_ATTR_CHECK(info->extack, pos, tb, AUGUR_A_LENGTH))
			return -EINVAL;
		r[*n].off = nla_get_u64(tb[AUGUR_A_OFFSET]);
		r[*n].len = nla_get_u64(tb[AUGUR_A_LENGTH]);
		(*n)++;
	}
	return 0;
}

static bool is_granted(const struct augur_grant *g, const struct augur_range *r)
{
	int i;

	for (i = 0; i < g->n; i++) {
		if (r->off >= g->range[i].off && r->len <= g->range[i].len &&
		    r->off - g->range[i].off <= g->range[i].len - r->len)
			return true;
	}
	return false;
}

static int mark_filled(struct augur_call *call, struct augur_grant *g,
		       const struct augur_range *r, int n, unsigned int flags)
{
	int i, err = 0;

	for (i = 0; i < n && !err; i++) {
		augur_stat_add(call->asb, fills_unasked_bytes, r[i].len);
		err = augur_presence_mark(g->inode, r[i].off, r[i].len, NULL, 0, 0, false);
	}
	if (!err && (flags & AUGUR_RP_COMPLETE))
		err = augur_presence_mark(g->inode, 0, 0, NULL, 0, flags, false);
	return err;
}

static int do_fill_end(struct augur_call *call)
{
	struct augur_range r[AUGUR_GRANT_RANGES];
	struct genl_info *info = call->info;
	struct augur_grant *g;
	unsigned int flags = 0;
	int i, n, err;

	if (GENL_REQ_ATTR_CHECK(info, AUGUR_A_GRANT))
		return -EINVAL;
	err = parse_ranges(info, r, &n);
	if (err)
		return err;
	if (info->attrs[AUGUR_A_FLAGS])
		flags = nla_get_u32(info->attrs[AUGUR_A_FLAGS]);
	/* Ours alone from here: the session's end cannot free it under us. */
	g = grant_take(call->sess, nla_get_u64(info->attrs[AUGUR_A_GRANT]));
	if (!g)
		return -ENOENT;
	for (i = 0; i < n; i++) {
		if (is_granted(g, &r[i]))
			continue;
		NL_SET_ERR_MSG(info->extack, "augurfs: RANGE was not granted");
		err = grant_keep(call->sess, g);
		return err ?: -ERANGE;
	}
	err = mark_filled(call, g, r, n, flags);
	augur_grant_end(call->asb, g);
	return err;
}

/* -------- commands of a session -------- */

static int do_reserved(struct augur_call *call)
{
	NL_SET_ERR_MSG(call->info->extack, "augurfs: reserved");
	return -EOPNOTSUPP;
}

typedef int (*session_fn)(struct augur_call *call);

static const session_fn session_fns[AUGUR_CMD_MAX + 1] = {
	[AUGUR_CMD_REPLY]	= do_reply,
	[AUGUR_CMD_FILL_BEGIN]	= do_fill_begin,
	[AUGUR_CMD_FILL_END]	= do_fill_end,
	[AUGUR_CMD_SETTLE]	= augur_nl_settle,
	[AUGUR_CMD_INVAL]	= augur_nl_inval,
	[AUGUR_CMD_SWITCH]	= augur_nl_switch,
	[AUGUR_CMD_REMOVE]	= augur_nl_remove,
	[AUGUR_CMD_PU_TABLE]	= augur_nl_pu_table,
	[AUGUR_CMD_LEASE]	= augur_nl_lease,
	[AUGUR_CMD_EVICT]	= augur_nl_evict,
	[AUGUR_CMD_PIN]		= augur_nl_pin,
	[AUGUR_CMD_COMMITTED]	= do_reserved,
	[AUGUR_CMD_CONFLICT]	= do_reserved,
	[AUGUR_CMD_EPOCH]	= augur_nl_epoch,
};

/* The mount's present session, if @sk is its socket and @id its number. */
static int find_session(struct augur_call *call, const struct sock *sk, u64 id)
{
	struct augur_session *sess = augur_session_get(call->asb, false);
	bool wrong_sender;

	if (sess && ((sess->id == id && sess->sk == sk) || augur_inject(AUGUR_INJECT_any_session))) {
		call->sess = sess;
		return 0;
	}
	NL_SET_ERR_MSG(call->info->extack, "augurfs: not the session of this mount");
	if (!sess)
		return -ESTALE;
	/* The right number from another socket is not an old session but a wrong sender. */
	wrong_sender = sess->id == id;
	augur_session_put(sess);
	return wrong_sender ? -EPERM : -ESTALE;
}

int augur_nl_session(struct sk_buff *skb, struct genl_info *info)
{
	struct augur_call call = { .info = info };
	u8 cmd = info->genlhdr->cmd;
	int err;

	if (!augur_netlink_may(skb))
		return -EPERM;
	if (GENL_REQ_ATTR_CHECK(info, AUGUR_A_MOUNT_ID) ||
	    GENL_REQ_ATTR_CHECK(info, AUGUR_A_SESSION))
		return -EINVAL;
	call.asb = augur_netlink_mount(nla_get_u64(info->attrs[AUGUR_A_MOUNT_ID]));
	if (!call.asb)
		return -ENODEV;
	err = find_session(&call, NETLINK_CB(skb).sk, nla_get_u64(info->attrs[AUGUR_A_SESSION]));
	if (!err) {
		err = session_fns[cmd](&call);
		augur_session_put(call.sess);
	}
	augur_mount_unpin(call.asb);
	return err;
}
