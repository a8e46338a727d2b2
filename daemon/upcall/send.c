// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * send.c - what the daemon tells the kernel.  Answers and notices are gathered in mt->tx in
 * their order and leave once a turn; items of one kind share a message.  A question flushes
 * first, so that the order the caller sees is the order the kernel sees.
 */
#include "base/log.h"
#include "upcall/nl.h"

#define BATCH_ROOM	16384
#define BATCH_ITEMS	64
#define ITEM_ROOM	(AUGUR_MAP_MAX + 512)

static void put_ids(struct nl_msg *msg, const struct mount *mt)
{
	nla_put_u64(msg, AUGUR_A_MOUNT_ID, mt->pub.id);
	nla_put_u64(msg, AUGUR_A_SESSION, mt->pub.session);
}

static void tx_send(struct mount *mt)
{
	int err;

	if (!mt->tx_len)
		return;
	err = nl_send_raw(&mt->req, mt->tx, mt->tx_len);
	/* The receiver is the kernel and takes messages inside send: a failure is not congestion. */
	if (err)
		log_err("event=netlink_send mount=%llu bytes=%zu error=\"%s\"",
			(unsigned long long)mt->pub.id, mt->tx_len, strerror(-err));
	mt->tx_len = 0;
}

static void tx_append(struct mount *mt, struct nl_msg *msg)
{
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	size_t len = NLMSG_ALIGN(nlh->nlmsg_len);

	nlh->nlmsg_seq = ++mt->req.seq;
	if (mt->tx_len + len > NL_TX)
		tx_send(mt);
	memcpy(mt->tx + mt->tx_len, nlh, nlh->nlmsg_len);
	memset(mt->tx + mt->tx_len + nlh->nlmsg_len, 0, len - nlh->nlmsg_len);
	mt->tx_len += len;
	nlmsg_free(msg);
}

static void batch_seal(struct mount *mt)
{
	struct nl_msg *msg = mt->batch;

	mt->batch = NULL;
	mt->batch_items = 0;
	if (msg)
		tx_append(mt, msg);
}

void mount_tx_free(struct mount *mt)
{
	if (mt->batch)
		nlmsg_free(mt->batch);
	free(mt->tx);
}

void upcall_flush(struct upcall_mount *m)
{
	struct mount *mt = container_of(m, struct mount, pub);

	if (mt->dead)
		return;
	batch_seal(mt);
	tx_send(mt);
}

static void flush_done(struct io_op *op, int res)
{
	struct mount *mt = container_of(op, struct mount, flush_op);

	mt->flush_armed = false;
	upcall_flush(&mt->pub);
	mount_op_put(mt);
}

static void flush_later(struct mount *mt)
{
	if (mt->flush_armed || mt->dead)
		return;
	mt->flush_armed = true;
	mt->open_chans++;
	mt->flush_op.done = flush_done;
	mt->u->io->ops->timer(mt->u->io, &mt->flush_op, 0);
}

/* Opens an item of a message of @cmd. */
static struct nlattr *item_start(struct mount *mt, int cmd)
{
	if (mt->batch && (mt->batch_cmd != cmd || mt->batch_items >= BATCH_ITEMS ||
			  nlmsg_hdr(mt->batch)->nlmsg_len + ITEM_ROOM > BATCH_ROOM))
		batch_seal(mt);
	if (!mt->batch) {
		mt->batch = nl_msg_new(mt->u, cmd, 0, BATCH_ROOM);
		mt->batch_cmd = cmd;
		put_ids(mt->batch, mt);
	}
	mt->batch_items++;
	return nla_nest_start(mt->batch, AUGUR_A_ITEM | NLA_F_NESTED);
}

static void item_end(struct mount *mt, struct nlattr *nest)
{
	nla_nest_end(mt->batch, nest);
	flush_later(mt);
}

void upcall_reply(struct upcall_mount *m, const struct upcall_reply *rp)
{
	struct mount *mt = container_of(m, struct mount, pub);
	struct nlattr *nest;
	int status = rp->status;

	if (mt->dead)
		return;
	if (status > 0 || status < -4095)
		status = -EIO;
	nest = item_start(mt, AUGUR_CMD_REPLY);
	nla_put_u64(mt->batch, AUGUR_A_REQ_ID, rp->id);
	nla_put_u32(mt->batch, AUGUR_A_OP, rp->op);
	nla_put_s32(mt->batch, AUGUR_A_STATUS, status);
	nla_put_u32(mt->batch, AUGUR_A_FLAGS, rp->flags);
	if (rp->op == AUGUR_OP_FETCH && !status) {
		nla_put_u64(mt->batch, AUGUR_A_OFFSET, rp->off);
		nla_put_u64(mt->batch, AUGUR_A_LENGTH, rp->len);
		if (rp->map && rp->map_len && rp->map_len <= AUGUR_MAP_MAX)
			nla_put(mt->batch, AUGUR_A_MAP, rp->map_len, rp->map);
	}
	item_end(mt, nest);
}

void upcall_settle(struct upcall_mount *m, const u8 *oid, bool complete, u64 present_bytes)
{
	struct mount *mt = container_of(m, struct mount, pub);
	struct nlattr *nest;

	if (mt->dead)
		return;
	nest = item_start(mt, AUGUR_CMD_SETTLE);
	nla_put(mt->batch, AUGUR_A_OID, AUGUR_OID_LEN, oid);
	nla_put_u32(mt->batch, AUGUR_A_FLAGS, complete ? AUGUR_RP_COMPLETE : 0);
	nla_put_u64(mt->batch, AUGUR_A_LENGTH, present_bytes);
	item_end(mt, nest);
}

void upcall_inval(struct upcall_mount *m, u32 kind, const u8 *oid, const char *name, size_t name_len)
{
	struct mount *mt = container_of(m, struct mount, pub);
	struct nlattr *nest;

	if (mt->dead)
		return;
	nest = item_start(mt, AUGUR_CMD_INVAL);
	nla_put_u32(mt->batch, AUGUR_A_KIND, kind);
	nla_put(mt->batch, name ? AUGUR_A_PARENT_OID : AUGUR_A_OID, AUGUR_OID_LEN, oid);
	if (name)
		nla_put(mt->batch, AUGUR_A_NAME, name_len, name);
	item_end(mt, nest);
}

void upcall_lease(struct upcall_mount *m, u32 group, u64 seq, u64 deadline_ns)
{
	struct mount *mt = container_of(m, struct mount, pub);
	struct nlattr *nest;

	if (mt->dead)
		return;
	nest = item_start(mt, AUGUR_CMD_LEASE);
	nla_put_u32(mt->batch, AUGUR_A_GROUP, group);
	nla_put_u64(mt->batch, AUGUR_A_SEQ, seq);
	nla_put_u64(mt->batch, AUGUR_A_DEADLINE_NS, deadline_ns);
	item_end(mt, nest);
}

/* Ends what is gathered and adds one whole message. */
static void put_whole(struct mount *mt, struct nl_msg *msg)
{
	batch_seal(mt);
	tx_append(mt, msg);
	flush_later(mt);
}

static void put_ranges(struct nl_msg *msg, const struct upcall_range *r, int n)
{
	for (int i = 0; i < n; i++) {
		struct nlattr *nest = nla_nest_start(msg, AUGUR_A_RANGE | NLA_F_NESTED);

		nla_put_u64(msg, AUGUR_A_OFFSET, r[i].off);
		nla_put_u64(msg, AUGUR_A_LENGTH, r[i].len);
		nla_nest_end(msg, nest);
	}
}

void upcall_fill_end(struct upcall_mount *m, u64 grant, const struct upcall_range *r, int n, bool complete)
{
	struct mount *mt = container_of(m, struct mount, pub);
	struct nl_msg *msg;

	if (mt->dead)
		return;
	msg = nl_msg_new(mt->u, AUGUR_CMD_FILL_END, 0, 256 + 64 * (size_t)n);
	put_ids(msg, mt);
	nla_put_u64(msg, AUGUR_A_GRANT, grant);
	nla_put_u32(msg, AUGUR_A_FLAGS, complete ? AUGUR_RP_COMPLETE : 0);
	put_ranges(msg, r, n);
	put_whole(mt, msg);
}

void upcall_pu_table(struct upcall_mount *m, u32 base, const u16 *groups, u32 n, u64 seq)
{
	struct mount *mt = container_of(m, struct mount, pub);
	struct nl_msg *msg;

	if (mt->dead || !n || n > AUGUR_PU_TABLE_MAX)
		return;
	msg = nl_msg_new(mt->u, AUGUR_CMD_PU_TABLE, 0, 256 + 2 * (size_t)n);
	put_ids(msg, mt);
	nla_put_u32(msg, AUGUR_A_PU_BASE, base);
	nla_put(msg, AUGUR_A_PU_GROUPS, 2 * n, groups);
	nla_put_u64(msg, AUGUR_A_SEQ, seq);
	put_whole(mt, msg);
}

void upcall_epoch(struct upcall_mount *m, u64 epoch)
{
	struct mount *mt = container_of(m, struct mount, pub);
	struct nl_msg *msg;

	if (mt->dead)
		return;
	msg = nl_msg_new(mt->u, AUGUR_CMD_EPOCH, 0, 256);
	put_ids(msg, mt);
	nla_put_u64(msg, AUGUR_A_EPOCH, epoch);
	put_whole(mt, msg);
}

/* ---- questions ---- */

struct begin { struct upcall_range *r; int max, n; u64 grant; u32 flags; };

/* Ranges repeat, so they are walked apart from the table of attributes. */
static int begin_answer(void *arg, struct nlattr **tb, struct nlmsghdr *nlh)
{
	struct genlmsghdr *g = genlmsg_hdr(nlh);
	struct nlattr *a, *in[AUGUR_A_MAX + 1];
	struct begin *b = arg;
	int rem;

	b->grant = nl_u64(tb, AUGUR_A_GRANT);
	b->flags = nl_u32(tb, AUGUR_A_FLAGS);
	nla_for_each_attr(a, genlmsg_attrdata(g, 0), genlmsg_attrlen(g, 0), rem) {
		if (nla_type(a) != AUGUR_A_RANGE || b->n == b->max)
			continue;
		if (nla_parse_nested(in, AUGUR_A_MAX, a, NULL))
			return -EBADMSG;
		b->r[b->n++] = (struct upcall_range){ nl_u64(in, AUGUR_A_OFFSET), nl_u64(in, AUGUR_A_LENGTH) };
	}
	return 0;
}

int upcall_fill_begin(struct upcall_mount *m, const u8 *oid, const struct fh *fh, u64 off, u64 len,
		      struct upcall_range *r, int *n, u64 *grant, u32 *flags)
{
	struct mount *mt = container_of(m, struct mount, pub);
	struct begin b = { .r = r, .max = *n };
	struct nl_msg *msg;
	int err;

	*n = 0;
	*grant = 0;
	if (mt->dead)
		return -ENOTCONN;
	upcall_flush(m);
	msg = nl_msg_new(mt->u, AUGUR_CMD_FILL_BEGIN, 0, 512);
	put_ids(msg, mt);
	nla_put(msg, AUGUR_A_OID, AUGUR_OID_LEN, oid);
	nla_put(msg, AUGUR_A_FH, fh->len, fh->b);
	nla_put_u64(msg, AUGUR_A_OFFSET, off);
	nla_put_u64(msg, AUGUR_A_LENGTH, len);
	err = nl_ask(&mt->req, msg, begin_answer, &b);
	if (err)
		return err;
	*n = b.n;
	*grant = b.grant;
	if (flags)
		*flags = b.flags;
	return 0;
}

int upcall_switch(struct upcall_mount *m, const struct fh *parent, const char *name, size_t name_len,
		  const struct fh *old_fh, const struct fh *new_fh, const char *tmp_name)
{
	struct mount *mt = container_of(m, struct mount, pub);
	struct nl_msg *msg;

	if (mt->dead)
		return -ENOTCONN;
	upcall_flush(m);
	msg = nl_msg_new(mt->u, AUGUR_CMD_SWITCH, 0, 2048);
	put_ids(msg, mt);
	nla_put(msg, AUGUR_A_PARENT_FH, parent->len, parent->b);
	nla_put(msg, AUGUR_A_NAME, name_len, name);
	nla_put(msg, AUGUR_A_OLD_FH, old_fh->len, old_fh->b);
	nla_put(msg, AUGUR_A_NEW_FH, new_fh->len, new_fh->b);
	nla_put(msg, AUGUR_A_NEW_NAME, strlen(tmp_name), tmp_name);
	return nl_ask(&mt->req, msg, NULL, NULL);
}

int upcall_remove(struct upcall_mount *m, const struct fh *parent, const char *name, size_t name_len,
		  const struct fh *old_fh, bool forget)
{
	struct mount *mt = container_of(m, struct mount, pub);
	struct nl_msg *msg;

	if (mt->dead)
		return -ENOTCONN;
	upcall_flush(m);
	msg = nl_msg_new(mt->u, AUGUR_CMD_REMOVE, 0, 2048);
	put_ids(msg, mt);
	nla_put(msg, AUGUR_A_PARENT_FH, parent->len, parent->b);
	nla_put(msg, AUGUR_A_NAME, name_len, name);
	nla_put(msg, AUGUR_A_OLD_FH, old_fh->len, old_fh->b);
	if (forget)
		nla_put_u32(msg, AUGUR_A_FLAGS, AUGUR_RM_FORGET);
	return nl_ask(&mt->req, msg, NULL, NULL);
}

struct evict_said { int status; u32 why; };

static int evict_answer(void *arg, struct nlattr **tb, struct nlmsghdr *nlh)
{
	struct nlattr *in[AUGUR_A_MAX + 1];
	struct evict_said *said = arg;

	if (!tb[AUGUR_A_ITEM] || nla_parse_nested(in, AUGUR_A_MAX, tb[AUGUR_A_ITEM], NULL) || !in[AUGUR_A_STATUS] ||
	    nla_len(in[AUGUR_A_STATUS]) != 4)
		return 0;
	said->status = nla_get_s32(in[AUGUR_A_STATUS]);
	said->why = nl_u32(in, AUGUR_A_KIND);
	return 0;
}

int upcall_evict(struct upcall_mount *m, const u8 *oid, const struct fh *fh, u64 off, u64 len, bool ask, u32 *why)
{
	struct mount *mt = container_of(m, struct mount, pub);
	struct evict_said said = { .status = -EIO };
	struct nlattr *nest;
	struct nl_msg *msg;
	int err;

	*why = 0;
	if (mt->dead)
		return -ENOTCONN;
	upcall_flush(m);
	msg = nl_msg_new(mt->u, AUGUR_CMD_EVICT, 0, 512);
	put_ids(msg, mt);
	nest = nla_nest_start(msg, AUGUR_A_ITEM | NLA_F_NESTED);
	nla_put(msg, AUGUR_A_OID, AUGUR_OID_LEN, oid);
	nla_put(msg, AUGUR_A_FH, fh->len, fh->b);
	if (ask)
		nla_put_u32(msg, AUGUR_A_FLAGS, AUGUR_EV_ASK);
	if (len) {
		nla_put_u64(msg, AUGUR_A_OFFSET, off);
		nla_put_u64(msg, AUGUR_A_LENGTH, len);
	}
	nla_nest_end(msg, nest);
	err = nl_ask(&mt->req, msg, evict_answer, &said);
	if (!err && said.why <= AUGUR_BUSY_CLAIMED)
		*why = said.why;
	return err ? err : said.status;
}

int upcall_pin(struct upcall_mount *m, const u8 *oid, const struct fh *fh, bool set)
{
	struct mount *mt = container_of(m, struct mount, pub);
	struct nl_msg *msg;

	if (mt->dead)
		return -ENOTCONN;
	upcall_flush(m);
	msg = nl_msg_new(mt->u, AUGUR_CMD_PIN, 0, 512);
	put_ids(msg, mt);
	nla_put(msg, AUGUR_A_OID, AUGUR_OID_LEN, oid);
	if (fh)
		nla_put(msg, AUGUR_A_FH, fh->len, fh->b);
	nla_put_u32(msg, AUGUR_A_FLAGS, set ? AUGUR_PIN_SET : AUGUR_PIN_CLEAR);
	return nl_ask(&mt->req, msg, NULL, NULL);
}

struct inodes { void (*fn)(void *arg, const struct upcall_inode *in); void *arg; };

static int inodes_answer(void *arg, struct nlattr **tb, struct nlmsghdr *nlh)
{
	struct inodes *w = arg;
	struct upcall_inode in = { 0 };

	if (!tb[AUGUR_A_OID] || nla_len(tb[AUGUR_A_OID]) != AUGUR_OID_LEN || !tb[AUGUR_A_FH] ||
	    fh_set(&in.fh, nla_data(tb[AUGUR_A_FH]), nla_len(tb[AUGUR_A_FH])))
		return 0;
	memcpy(in.oid, nla_data(tb[AUGUR_A_OID]), AUGUR_OID_LEN);
	in.state = nl_u32(tb, AUGUR_A_STATE);
	in.size = nl_u64(tb, AUGUR_A_SIZE);
	in.chunk_shift = nl_u32(tb, AUGUR_A_CHUNK_SHIFT);
	if (tb[AUGUR_A_MAP]) {
		in.map = nla_data(tb[AUGUR_A_MAP]);
		in.map_len = nla_len(tb[AUGUR_A_MAP]);
	}
	w->fn(w->arg, &in);
	return 0;
}

int upcall_inodes(struct upcall_mount *m, void (*fn)(void *arg, const struct upcall_inode *in), void *arg)
{
	struct mount *mt = container_of(m, struct mount, pub);
	struct inodes w = { fn, arg };
	struct nl_msg *msg;

	if (mt->dead)
		return -ENOTCONN;
	upcall_flush(m);
	msg = nl_msg_new(mt->u, AUGUR_CMD_INODES, NLM_F_DUMP, 256);
	nla_put_u64(msg, AUGUR_A_MOUNT_ID, mt->pub.id);
	return nl_ask(&mt->req, msg, inodes_answer, &w);
}
