// SPDX-License-Identifier: GPL-2.0-only
/*
 * nlobj.c - commands of the daemon about objects, names and leases.
 *
 * As in nlcmd.c a message is looked at as a whole before it changes anything.  Objects that
 * are not in memory have nothing cached and are passed over in silence.
 */
#include "netlink.h"

typedef int (*item_fn)(struct augur_call *call, struct nlattr **tb, struct nlattr *item,
		       bool apply);

/*
 * Calls @fn for every ITEM twice: first with apply false, for its opinion, then, if it had
 * none, with apply true.
 */
static int walk_items(struct augur_call *call, const struct nla_policy *policy, int max,
		      item_fn fn)
{
	struct nlattr *tb[AUGUR_A_MAX + 1], *pos;
	struct genl_info *info = call->info;
	int rem, err, n = 0, pass;

	for (pass = 0; pass < 2; pass++) {
		augur_for_each_nested(pos, info, AUGUR_A_ITEM, rem) {
			if (!pass && ++n > AUGUR_ITEMS_MAX)
				return -E2BIG;
			err = nla_parse_nested(tb, max, pos, policy, info->extack);
			if (!err)
				err = fn(call, tb, pos, pass);
			if (err)
				return err;
		}
	}
	return n ? 0 : -EINVAL;
}

#define WALK(call, policy, fn) \
	walk_items(call, policy, ARRAY_SIZE(policy) - 1, fn)

#define NEED(call, item, tb, attr) NL_REQ_ATTR_CHECK((call)->info->extack, item, tb, attr)

/* -------- SETTLE -------- */

static int settle_item(struct augur_call *call, struct nlattr **tb, struct nlattr *item, bool apply)
{
	struct inode *inode;
	u64 bytes = 0;
	u32 flags = 0;

	if (NEED(call, item, tb, AUGUR_A_OID))
		return -EINVAL;
	if (!apply)
		return 0;
	if (tb[AUGUR_A_FLAGS])
		flags = nla_get_u32(tb[AUGUR_A_FLAGS]);
	if (tb[AUGUR_A_LENGTH])
		bytes = nla_get_u64(tb[AUGUR_A_LENGTH]);
	inode = augur_ilookup(call->asb->sb, nla_data(tb[AUGUR_A_OID]));
	if (!inode)
		return 0;
	augur_settle(inode, bytes, flags);
	augur_iput_async(call->asb, inode);
	return 0;
}

int augur_nl_settle(struct augur_call *call)
{
	return WALK(call, augur_policy_settle_item, settle_item);
}

/* -------- INVAL -------- */

#define INVAL_TWINS	16	/* inodes of one object looked for */

static void inval_inode(struct inode *inode, u32 kind)
{
	bool dir = S_ISDIR(inode->i_mode);

	switch (kind) {
	case AUGUR_INVAL_ATTR:
		augur_inode_refresh(inode);
		break;
	case AUGUR_INVAL_DATA:
		/* A directory is not replaced by a newer version. */
		if (dir)
			augur_dir_incomplete(inode);
		else
			augur_set_stale(inode);
		break;
	case AUGUR_INVAL_ENTRY:
		/* Coarse: the directory's names are looked at again, in the lower one first. */
		if (dir)
			augur_dir_changed(inode);
		break;
	case AUGUR_INVAL_DIR:
		if (dir)
			augur_dir_incomplete(inode);
		break;
	}
}

/* An object may be in memory as several versions: none but stale ones are left. */
static void inval_twins(struct augur_sb *asb, const u8 *oid)
{
	struct inode *inode;
	int tries;

	for (tries = 0; tries < INVAL_TWINS; tries++) {
		inode = augur_ilookup(asb->sb, oid);
		if (!inode)
			return;
		if (S_ISDIR(inode->i_mode) ||
		    (READ_ONCE(AUGUR_I(inode)->state) & AUGUR_IS_STALE))
			tries = INVAL_TWINS;
		else
			augur_set_stale(inode);
		augur_iput_async(asb, inode);
	}
}

static int inval_item(struct augur_call *call, struct nlattr **tb, struct nlattr *item, bool apply)
{
	struct augur_sb *asb = call->asb;
	struct nlattr *oid, *name;
	struct inode *inode;
	u32 kind;

	if (NEED(call, item, tb, AUGUR_A_KIND))
		return -EINVAL;
	kind = nla_get_u32(tb[AUGUR_A_KIND]);
	oid = tb[kind == AUGUR_INVAL_ENTRY ? AUGUR_A_PARENT_OID : AUGUR_A_OID];
	if (!oid || (kind == AUGUR_INVAL_ENTRY && NEED(call, item, tb, AUGUR_A_NAME)))
		return -EINVAL;
	name = tb[AUGUR_A_NAME];
	if (name && augur_name_check(nla_data(name), nla_len(name)))
		return -EINVAL;
	if (!apply)
		return 0;
	inode = augur_ilookup(asb->sb, nla_data(oid));
	trace_augur_inval(asb->mount_id, kind, augur_oid_ino(nla_data(oid)), inode);
	augur_stat_inc(asb, invals);
	if (!inode)
		return 0;
	if (augur_inject(AUGUR_INJECT_handler_lock)) {
		inode_lock(inode);
		inode_unlock(inode);
	}
	inval_inode(inode, kind);
	augur_iput_async(asb, inode);
	if (kind == AUGUR_INVAL_DATA)
		inval_twins(asb, nla_data(oid));
	return 0;
}

int augur_nl_inval(struct augur_call *call)
{
	return WALK(call, augur_policy_inval_item, inval_item);
}

/* -------- SWITCH, REMOVE -------- */

/* Both ends of a change of one name. */
struct change {
	struct inode	*dir;		/* upper */
	struct dentry	*old_lower;
	struct inode	*old;		/* upper, or NULL: not one of ours */
	struct qstr	name;
};

static int get_name(struct genl_info *info, int attr, struct qstr *name)
{
	struct nlattr *a = info->attrs[attr];

	if (augur_name_check(nla_data(a), nla_len(a))) {
		NL_SET_ERR_MSG_ATTR(info->extack, a, "augurfs: not a name");
		return -EINVAL;
	}
	*name = (struct qstr)QSTR_INIT((const char *)nla_data(a), nla_len(a));
	return 0;
}

static void change_end(struct augur_call *call, struct change *c)
{
	if (c->old)
		augur_iput_async(call->asb, c->old);
	if (c->old_lower)
		dput(c->old_lower);
	if (c->dir)
		augur_iput_async(call->asb, c->dir);
}

static struct inode *inode_of(struct augur_call *call, int attr)
{
	struct nlattr *a = call->info->attrs[attr];

	return augur_iget_fh(call->asb->sb, nla_data(a), nla_len(a));
}

static int find_old(struct augur_call *call, struct change *c)
{
	struct nlattr *a = call->info->attrs[AUGUR_A_OLD_FH];
	struct inode *inode;

	c->old_lower = augur_lower_decode_fh(call->asb, nla_data(a), nla_len(a));
	if (IS_ERR(c->old_lower)) {
		int err = PTR_ERR(c->old_lower);

		c->old_lower = NULL;
		return err;
	}
	if (d_is_negative(c->old_lower))
		return -ESTALE;
	inode = inode_of(call, AUGUR_A_OLD_FH);
	if (IS_ERR(inode))
		return PTR_ERR(inode) == -ENODATA ? 0 : PTR_ERR(inode);
	c->old = inode;
	return READ_ONCE(AUGUR_I(inode)->state) & AUGUR_IS_DIRTY ? -EBUSY : 0;
}

/*
 * A change of a frozen filesystem would wait for the thaw, and with it every user of generic
 * netlink behind the next registration of a family.  A freeze that begins just now is waited
 * for, which is no longer than any writer's wait.
 */
static bool is_frozen(struct augur_sb *asb)
{
	return READ_ONCE(asb->lower_root.dentry->d_sb->s_writers.frozen) != SB_UNFROZEN;
}

/* On an error change_end() is still to be called. */
static int change_begin(struct augur_call *call, struct change *c)
{
	struct genl_info *info = call->info;
	struct inode *dir;
	int err;

	if (is_frozen(call->asb)) {
		NL_SET_ERR_MSG(info->extack, "augurfs: the cache's filesystem is frozen");
		return -EBUSY;
	}
	if (GENL_REQ_ATTR_CHECK(info, AUGUR_A_PARENT_FH) ||
	    GENL_REQ_ATTR_CHECK(info, AUGUR_A_NAME) || GENL_REQ_ATTR_CHECK(info, AUGUR_A_OLD_FH))
		return -EINVAL;
	err = get_name(info, AUGUR_A_NAME, &c->name);
	if (err)
		return err;
	dir = inode_of(call, AUGUR_A_PARENT_FH);
	if (IS_ERR(dir))
		return PTR_ERR(dir);
	c->dir = dir;
	if (!S_ISDIR(dir->i_mode))
		return -ENOTDIR;
	return find_old(call, c);
}

/* The name was changed: what memory knows of the directory is past, and of the old inode if @gone. */
static void change_done(struct augur_call *call, struct change *c, bool gone)
{
	augur_stat_inc(call->asb, switches);
	if (c->old && !S_ISDIR(c->old->i_mode) && gone)
		augur_set_stale(c->old);
	augur_dir_changed(c->dir);
}

int augur_nl_switch(struct augur_call *call)
{
	struct nlattr *fh = call->info->attrs[AUGUR_A_NEW_FH];
	struct change c = {};
	struct dentry *new_lower;
	struct qstr tmp;
	int err;

	if (GENL_REQ_ATTR_CHECK(call->info, AUGUR_A_NEW_FH) ||
	    GENL_REQ_ATTR_CHECK(call->info, AUGUR_A_NEW_NAME))
		return -EINVAL;
	err = get_name(call->info, AUGUR_A_NEW_NAME, &tmp);
	if (err)
		return err;
	new_lower = augur_lower_decode_fh(call->asb, nla_data(fh), nla_len(fh));
	if (IS_ERR(new_lower))
		return PTR_ERR(new_lower);
	err = d_is_negative(new_lower) ? -ESTALE : change_begin(call, &c);
	if (!err)
		err = augur_lower_switch(call->asb, c.dir, &c.name, d_inode(c.old_lower), &tmp,
					 d_inode(new_lower));
	if (!err)
		change_done(call, &c, true);
	change_end(call, &c);
	dput(new_lower);
	return err;
}

int augur_nl_remove(struct augur_call *call)
{
	struct nlattr *flags = call->info->attrs[AUGUR_A_FLAGS];
	u32 how = flags ? nla_get_u32(flags) : 0;
	struct change c = {};
	int err;

	if (how & ~AUGUR_RM_FORGET)
		return -EINVAL;
	err = change_begin(call, &c);
	/* Before any lock of ours is taken: whoever waits for a thaw here keeps nobody from his names. */
	if (!err)
		err = mnt_want_write(call->asb->lower_mnt);
	if (!err) {
		if (how)
			err = augur_forget_name(c.dir, &c.name, c.old, c.old_lower);
		else
			err = augur_lower_remove(call->asb, c.dir, &c.name, d_inode(c.old_lower));
		mnt_drop_write(call->asb->lower_mnt);
	}
	/* It may live on under other names, and is what it was. */
	if (!err)
		change_done(call, &c, !READ_ONCE(d_inode(c.old_lower)->i_nlink));
	change_end(call, &c);
	return err;
}

/* -------- PU_TABLE, LEASE -------- */

int augur_nl_pu_table(struct augur_call *call)
{
	struct genl_info *info = call->info;
	struct nlattr *groups;
	u32 base, n;

	if (GENL_REQ_ATTR_CHECK(info, AUGUR_A_PU_BASE) ||
	    GENL_REQ_ATTR_CHECK(info, AUGUR_A_PU_GROUPS) ||
	    GENL_REQ_ATTR_CHECK(info, AUGUR_A_SEQ))
		return -EINVAL;
	base = nla_get_u32(info->attrs[AUGUR_A_PU_BASE]);
	groups = info->attrs[AUGUR_A_PU_GROUPS];
	n = nla_len(groups) / sizeof(u16);
	if (nla_len(groups) % sizeof(u16) || base >= AUGUR_PU_MAX || n > AUGUR_PU_MAX - base) {
		NL_SET_ERR_MSG_ATTR(info->extack, groups, "augurfs: beyond AUGUR_PU_MAX");
		return -ERANGE;
	}
	return augur_lease_groups(call->asb, base, nla_data(groups), n,
				  nla_get_u64(info->attrs[AUGUR_A_SEQ]));
}

static int lease_item(struct augur_call *call, struct nlattr **tb, struct nlattr *item, bool apply)
{
	if (NEED(call, item, tb, AUGUR_A_GROUP) || NEED(call, item, tb, AUGUR_A_SEQ) ||
	    NEED(call, item, tb, AUGUR_A_DEADLINE_NS))
		return -EINVAL;
	if (!apply)
		return 0;
	return augur_lease_set(call->asb, nla_get_u32(tb[AUGUR_A_GROUP]),
			       nla_get_u64(tb[AUGUR_A_SEQ]),
			       nla_get_u64(tb[AUGUR_A_DEADLINE_NS]));
}

int augur_nl_lease(struct augur_call *call)
{
	return WALK(call, augur_policy_lease_item, lease_item);
}

/* -------- EVICT -------- */

static int evict_check(struct augur_call *call, struct nlattr **tb, struct nlattr *item, bool apply)
{
	if (NEED(call, item, tb, AUGUR_A_OID) || NEED(call, item, tb, AUGUR_A_FH) ||
	    !tb[AUGUR_A_OFFSET] != !tb[AUGUR_A_LENGTH])
		return -EINVAL;
	return tb[AUGUR_A_LENGTH] && !nla_get_u64(tb[AUGUR_A_LENGTH]) ? -EINVAL : 0;
}

static int evict_one(struct augur_call *call, struct nlattr **tb, u32 *why)
{
	bool ask = tb[AUGUR_A_FLAGS] && (nla_get_u32(tb[AUGUR_A_FLAGS]) & AUGUR_EV_ASK);
	u64 off = tb[AUGUR_A_OFFSET] ? nla_get_u64(tb[AUGUR_A_OFFSET]) : 0;
	u64 len = tb[AUGUR_A_LENGTH] ? nla_get_u64(tb[AUGUR_A_LENGTH]) : 0;
	struct nlattr *fh = tb[AUGUR_A_FH];
	struct inode *inode;
	int err;

	*why = 0;
	inode = augur_iget_fh(call->asb->sb, nla_data(fh), nla_len(fh));
	if (IS_ERR(inode))
		return PTR_ERR(inode);
	err = -ESTALE;
	if (!memcmp(AUGUR_I(inode)->oid, nla_data(tb[AUGUR_A_OID]), AUGUR_OID_LEN))
		err = augur_try_evict(inode, off, len, ask, why);
	augur_iput_async(call->asb, inode);
	return err;
}

static int put_evicted(struct sk_buff *skb, const struct nlattr *oid, int status, u32 why)
{
	struct nlattr *nest = nla_nest_start(skb, AUGUR_A_ITEM);

	if (!nest || nla_put(skb, AUGUR_A_OID, AUGUR_OID_LEN, nla_data(oid)) ||
	    nla_put_s32(skb, AUGUR_A_STATUS, status) ||
	    (why && nla_put_u32(skb, AUGUR_A_KIND, why)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

int augur_nl_evict(struct augur_call *call)
{
	size_t one = nla_total_size(nla_total_size(AUGUR_OID_LEN) + 2 * nla_total_size(sizeof(s32)));
	struct nlattr *tb[AUGUR_A_LENGTH + 1], *pos;
	struct sk_buff *skb;
	int rem, err;
	u32 why;
	void *hdr;

	err = WALK(call, augur_policy_evict_item, evict_check);
	if (err)
		return err;
	/* The answer's memory first: an eviction nobody hears of would be a hole read as data. */
	skb = augur_netlink_reply(call->info, AUGUR_ITEMS_MAX * one, &hdr);
	if (!skb)
		return -ENOMEM;
	augur_for_each_nested(pos, call->info, AUGUR_A_ITEM, rem) {
		if (nla_parse_nested(tb, AUGUR_A_LENGTH, pos, augur_policy_evict_item, NULL))
			continue;
		err = evict_one(call, tb, &why);
		err = put_evicted(skb, tb[AUGUR_A_OID], err, why);
		if (err) {
			nlmsg_free(skb);
			return err;
		}
	}
	return augur_netlink_finish(call->info, skb, hdr);
}

/* -------- PIN, EPOCH -------- */

int augur_nl_pin(struct augur_call *call)
{
	struct genl_info *info = call->info;
	struct nlattr *fh = info->attrs[AUGUR_A_FH];
	struct inode *inode;
	u32 flags;
	int err = 0;

	if (GENL_REQ_ATTR_CHECK(info, AUGUR_A_OID) || GENL_REQ_ATTR_CHECK(info, AUGUR_A_FLAGS))
		return -EINVAL;
	flags = nla_get_u32(info->attrs[AUGUR_A_FLAGS]);
	if (flags != AUGUR_PIN_SET && flags != AUGUR_PIN_CLEAR)
		return -EINVAL;
	if (fh)
		inode = augur_iget_fh(call->asb->sb, nla_data(fh), nla_len(fh));
	else
		inode = augur_ilookup(call->asb->sb, nla_data(info->attrs[AUGUR_A_OID]));
	if (IS_ERR_OR_NULL(inode))
		return inode ? PTR_ERR(inode) : -ENOENT;
	if (memcmp(AUGUR_I(inode)->oid, nla_data(info->attrs[AUGUR_A_OID]), AUGUR_OID_LEN))
		err = -ESTALE;
	else
		augur_pin(inode, flags == AUGUR_PIN_SET);
	augur_iput_async(call->asb, inode);
	return err;
}

int augur_nl_epoch(struct augur_call *call)
{
	struct genl_info *info = call->info;
	s64 old, epoch;

	if (GENL_REQ_ATTR_CHECK(info, AUGUR_A_EPOCH))
		return -EINVAL;
	epoch = nla_get_u64(info->attrs[AUGUR_A_EPOCH]);
	old = atomic64_read(&call->asb->epoch);
	/* It only grows: a late message does not make old names good again. */
	do {
		if ((u64)epoch <= (u64)old)
			return 0;
	} while (!atomic64_try_cmpxchg(&call->asb->epoch, &old, epoch));
	augur_sysfs_changed(call->asb, "epoch");
	return 0;
}
