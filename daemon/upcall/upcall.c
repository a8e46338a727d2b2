// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * upcall.c - the family, the list of mounts, and sessions.  Loop thread only.
 *
 * Two sockets belong to the daemon: ctl asks and dumps, note hears about mounts and about
 * the family itself (a module loaded later, or reloaded).  Each served mount has its own
 * request socket and, if wanted, one for access records: closing them ends the session.
 */
#include <fcntl.h>
#include <stdio.h>

#include "base/log.h"
#include "upcall/nl.h"

#define RESCAN_EVERY_NS	(30ull * 1000000000)

static const u64 our_features = AUGUR_F_READ | AUGUR_F_FILL | AUGUR_F_LEASE | AUGUR_F_EVENTS |
				AUGUR_F_SWITCH | AUGUR_F_EVICT;

/* ---- HELLO ---- */

struct hello { u32 abi; u64 features; };

static int hello_answer(void *arg, struct nlattr **tb, struct nlmsghdr *nlh)
{
	struct hello *h = arg;

	h->abi = nl_u32(tb, AUGUR_A_ABI_VERSION);
	h->features = nl_u64(tb, AUGUR_A_FEATURES);
	return 0;
}

static int say_hello(struct nl_chan *c)
{
	struct nl_msg *msg = nl_msg_new(c->u, AUGUR_CMD_HELLO, 0, 256);
	struct hello h = { 0 };
	int err;

	nla_put_u32(msg, AUGUR_A_ABI_VERSION, AUGUR_ABI_VERSION);
	nla_put_u64(msg, AUGUR_A_FEATURES, our_features);
	err = nl_ask(c, msg, hello_answer, &h);
	if (!err && h.abi >> 16 != AUGUR_ABI_VERSION >> 16)
		err = -EPROTO;
	if (err == -EPROTO)
		log_err("event=abi_mismatch cause=AUGUR_E_ABI daemon=%08x module=%08x hint=\"install the same version of augurfs-dkms and augurd, then reload the module\"",
			AUGUR_ABI_VERSION, h.abi);
	else if (!err && (h.features & our_features) != our_features)
		log_notice("event=module_lacks features=%llx", (unsigned long long)(our_features & ~h.features));
	return err;
}

/* ---- sessions ---- */

void mount_op_put(struct mount *mt)
{
	if (--mt->open_chans)
		return;
	mount_tx_free(mt);
	free(mt);
}

static void mount_req_closed(struct nl_chan *c)
{
	mount_op_put(container_of(c, struct mount, req));
}

static void mount_ev_closed(struct nl_chan *c)
{
	mount_op_put(container_of(c, struct mount, ev));
}

static void mount_close(struct mount *mt)
{
	bool ev = mt->has_ev;

	if (mt->dead)
		return;
	upcall_flush(&mt->pub);
	mt->dead = true;
	list_del(&mt->link);
	nl_chan_close(&mt->req);
	if (ev)
		nl_chan_close(&mt->ev);
}

/* Keeps mt until the pending operations of the gathered half are back. */
void mount_gone(struct mount *mt)
{
	struct upcall *u = mt->u;

	if (mt->dead)
		return;
	u->ops->gone(u->ctx, &mt->pub);
	mount_close(mt);
}

void upcall_unregister(struct upcall_mount *m)
{
	mount_close(container_of(m, struct mount, pub));
}

static int register_answer(void *arg, struct nlattr **tb, struct nlmsghdr *nlh)
{
	struct upcall_mount *m = arg;

	m->session = nl_u64(tb, AUGUR_A_SESSION);
	m->window = nl_u32(tb, AUGUR_A_WINDOW);
	m->lease_ms = nl_u32(tb, AUGUR_A_LEASE_MS);
	m->timeout_ms = nl_u32(tb, AUGUR_A_TIMEOUT_MS);
	if (tb[AUGUR_A_OID] && nla_len(tb[AUGUR_A_OID]) == AUGUR_OID_LEN)
		memcpy(m->root_oid, nla_data(tb[AUGUR_A_OID]), AUGUR_OID_LEN);
	return 0;
}

static int chan_register(struct mount *mt, struct nl_chan *c, u32 flags, struct upcall_mount *answer)
{
	struct nl_msg *msg;
	int err = nl_chan_open(mt->u, c);

	if (err)
		return err;
	err = say_hello(c);
	if (!err) {
		msg = nl_msg_new(mt->u, AUGUR_CMD_REGISTER, 0, 256);
		nla_put_u64(msg, AUGUR_A_MOUNT_ID, mt->pub.id);
		nla_put_u32(msg, AUGUR_A_FLAGS, flags);
		err = nl_ask(c, msg, register_answer, answer);
	}
	if (err) {
		nl_socket_free(c->sk);
		c->sk = NULL;
		return err;
	}
	mt->open_chans++;
	return 0;
}

static void mount_lost(struct nl_chan *c)
{
	struct mount *mt = container_of(c, struct mount, req);

	log_warn("event=netlink_overflow mount=%llu action=pull", (unsigned long long)mt->pub.id);
	mount_pull(mt);
}

int upcall_register(struct upcall *u, u64 mount_id, bool events, void *user, struct upcall_mount **out)
{
	struct mount *mt = xcalloc(1, sizeof(*mt));
	struct upcall_mount ignored = { 0 };
	int err;

	mt->u = u;
	mt->pub.id = mount_id;
	mt->pub.user = user;
	err = chan_register(mt, &mt->req, 0, &mt->pub);
	if (err) {
		free(mt);
		return err;
	}
	mt->tx = xmalloc(NL_TX);
	list_add_tail(&u->mounts, &mt->link);
	mt->req.msg = mount_msg;
	mt->req.lost = mount_lost;
	mt->req.closed = mount_req_closed;
	nl_chan_start(&mt->req);
	if (events) {
		err = chan_register(mt, &mt->ev, AUGUR_REG_EVENTS, &ignored);
		if (err) {
			log_warn("event=no_access_records mount=%llu error=\"%s\"",
				 (unsigned long long)mount_id, strerror(-err));
		} else {
			mt->has_ev = true;
			mt->ev.msg = mount_ev_msg;
			mt->ev.closed = mount_ev_closed;
			nl_chan_start(&mt->ev);
		}
	}
	*out = &mt->pub;
	return 0;
}

/* ---- the list of mounts ---- */

struct seen { struct list link; struct upcall_info info; };

static void seen_free(struct seen *s)
{
	free((char *)s->info.source);
	free((char *)s->info.cache);
	free((char *)s->info.options);
	free(s);
}

static int mounts_answer(void *arg, struct nlattr **tb, struct nlmsghdr *nlh)
{
	struct list *all = arg;
	struct seen *s = xcalloc(1, sizeof(*s));
	static const int strs[] = { AUGUR_A_SOURCE, AUGUR_A_CACHE, AUGUR_A_OPTIONS };
	const char **dst[] = { &s->info.source, &s->info.cache, &s->info.options };

	s->info.mount_id = nl_u64(tb, AUGUR_A_MOUNT_ID);
	s->info.state = nl_u32(tb, AUGUR_A_STATE);
	s->info.pid = nl_u32(tb, AUGUR_A_PID);
	s->info.lower_dev = nl_u64(tb, AUGUR_A_LOWER_DEV);
	s->info.lower_ino = nl_u64(tb, AUGUR_A_LOWER_INO);
	for (int i = 0; i < 3; i++)
		*dst[i] = tb[strs[i]] ? strndup(nla_data(tb[strs[i]]), nla_len(tb[strs[i]])) : xstrdup("");
	list_add_tail(all, &s->link);
	return 0;
}

static struct mount *mount_find(struct upcall *u, u64 id)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &u->mounts)
		if (container_of(p, struct mount, link)->pub.id == id)
			return container_of(p, struct mount, link);
	return NULL;
}

static void scan_apply(struct upcall *u, struct list *all)
{
	struct list *p, *t, *q, *s;

	list_for_each_safe(p, t, &u->mounts) {
		struct mount *mt = container_of(p, struct mount, link);
		bool alive = false;

		list_for_each_safe(q, s, all) {
			struct upcall_info *in = &container_of(q, struct seen, link)->info;

			alive |= in->mount_id == mt->pub.id && in->state == AUGUR_MS_LIVE;
		}
		if (!alive)
			mount_gone(mt);
	}
	list_for_each_safe(p, t, all) {
		struct seen *e = container_of(p, struct seen, link);

		if (e->info.state != AUGUR_MS_ABORTED && !e->info.pid && !mount_find(u, e->info.mount_id))
			u->ops->found(u->ctx, &e->info);
		list_del(&e->link);
		seen_free(e);
	}
}

void upcall_rescan(struct upcall *u)
{
	struct list all;
	int err;

	list_init(&all);
	if (u->family < 0)
		return;
	err = nl_ask(&u->ctl, nl_msg_new(u, AUGUR_CMD_MOUNTS, NLM_F_DUMP, 256), mounts_answer, &all);
	if (err) {
		log_warn("event=mounts_list error=\"%s\"", strerror(-err));
		while (!list_empty(&all)) {
			struct seen *e = list_first(&all, struct seen, link);

			list_del(&e->link);
			seen_free(e);
		}
		return;
	}
	scan_apply(u, &all);
}

static void rescan_done(struct io_op *op, int res)
{
	struct upcall *u = container_of(op, struct upcall, rescan_op);

	u->rescan_armed = false;
	if (u->freeing)
		return;
	if (u->rescan_sooner || res == -ECANCELED) {
		u64 now = io_now(u->io);

		u->rescan_sooner = false;
		upcall_rescan_in(u, u->rescan_at > now ? u->rescan_at - now : 0);
		return;
	}
	upcall_rescan(u);
	upcall_rescan_in(u, RESCAN_EVERY_NS);
}

void upcall_rescan_in(struct upcall *u, u64 delay_ns)
{
	u64 at = io_now(u->io) + delay_ns;

	if (u->freeing || (u->rescan_armed && at >= u->rescan_at))
		return;
	u->rescan_at = at;
	if (u->rescan_armed) {
		if (!u->rescan_sooner)
			u->io->ops->cancel(u->io, &u->rescan_op);
		u->rescan_sooner = true;
		return;
	}
	u->rescan_armed = true;
	u->rescan_op.done = rescan_done;
	u->io->ops->timer(u->io, &u->rescan_op, at);
}

/* ---- the family ---- */

static int family_up(struct upcall *u)
{
	int id = genl_ctrl_resolve(u->ctl.sk, AUGUR_GENL_NAME);
	int err;

	if (id < 0) {
		u->family = -1;
		u->error = -ENOENT;
		return -ENOENT;
	}
	u->family = id;
	err = say_hello(&u->ctl);
	if (err) {
		u->family = -1;
		u->error = err;
		return err;
	}
	u->error = 0;
	u->state_grp = genl_ctrl_resolve_grp(u->ctl.sk, AUGUR_GENL_NAME, AUGUR_GENL_GRP_STATE);
	if (u->state_grp >= 0)
		nl_socket_add_membership(u->note.sk, u->state_grp);
	log_info("event=module_found family=%d", id);
	return 0;
}

static void family_down(struct upcall *u)
{
	struct list *p, *t;

	if (u->family < 0)
		return;
	log_notice("event=module_gone action=wait");
	if (u->state_grp >= 0)
		nl_socket_drop_membership(u->note.sk, u->state_grp);
	u->family = -1;
	u->error = -ENOENT;
	list_for_each_safe(p, t, &u->mounts)
		mount_gone(container_of(p, struct mount, link));
}

static void note_family(struct upcall *u, struct nlmsghdr *nlh)
{
	struct nlattr *tb[CTRL_ATTR_MAX + 1];
	struct genlmsghdr *g = genlmsg_hdr(nlh);

	if (!genlmsg_valid_hdr(nlh, 0) ||
	    nla_parse(tb, CTRL_ATTR_MAX, genlmsg_attrdata(g, 0), genlmsg_attrlen(g, 0), NULL) ||
	    !tb[CTRL_ATTR_FAMILY_NAME] ||
	    strncmp(nla_data(tb[CTRL_ATTR_FAMILY_NAME]), AUGUR_GENL_NAME, nla_len(tb[CTRL_ATTR_FAMILY_NAME])))
		return;
	if (g->cmd == CTRL_CMD_NEWFAMILY && u->family < 0 && !family_up(u))
		upcall_rescan(u);
	else if (g->cmd == CTRL_CMD_DELFAMILY)
		family_down(u);
}

static void note_msg(struct nl_chan *c, struct nlmsghdr *nlh)
{
	struct upcall *u = c->u;

	if (nlh->nlmsg_type == GENL_ID_CTRL)
		note_family(u, nlh);
	else if (nlh->nlmsg_type == u->family)
		upcall_rescan(u);	/* what it says is a hint; the list is the truth */
}

static void note_lost(struct nl_chan *c)
{
	if (c->u->family < 0 && !family_up(c->u))
		log_notice("event=module_found_late");
	upcall_rescan(c->u);
}

static void ctl_msg(struct nl_chan *c, struct nlmsghdr *nlh)
{
}

static void chan_closed(struct nl_chan *c)
{
}

int upcall_new(struct io *io, const struct upcall_ops *ops, void *ctx, struct upcall **out)
{
	struct upcall *u = xcalloc(1, sizeof(*u));
	int err, grp;

	u->io = io;
	u->ops = ops;
	u->ctx = ctx;
	u->family = -1;
	u->state_grp = -1;
	u->home_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	u->rx = xmalloc(NL_RX);
	u->rx_ask = xmalloc(NL_RX);
	list_init(&u->mounts);
	u->ctl.msg = ctl_msg;
	u->note.msg = note_msg;
	u->note.lost = note_lost;
	u->ctl.closed = u->note.closed = chan_closed;
	err = nl_chan_open(u, &u->ctl);
	if (!err)
		err = nl_chan_open(u, &u->note);
	if (err) {
		log_err("event=netlink_open error=\"%s\"", strerror(-err));
		upcall_free(u);
		return err;
	}
	grp = genl_ctrl_resolve_grp(u->ctl.sk, "nlctrl", "notify");
	if (grp >= 0)
		nl_socket_add_membership(u->note.sk, grp);
	err = family_up(u);
	if (err && err != -ENOENT) {
		if (err != -EPROTO)
			log_err("event=hello error=\"%s\"", strerror(-err));
		upcall_free(u);
		return err;
	}
	if (err)
		log_notice("event=module_absent cause=AUGUR_E_MODULE hint=\"modprobe augurfs\" action=wait");
	nl_chan_start(&u->note);
	upcall_rescan_in(u, 0);
	*out = u;
	return 0;
}

/* At the end of the process: sessions end with their sockets. */
void upcall_free(struct upcall *u)
{
	struct list *p, *t;

	u->freeing = true;
	list_for_each_safe(p, t, &u->mounts)
		mount_close(container_of(p, struct mount, link));
	if (u->ctl.sk)
		nl_chan_close(&u->ctl);
	if (u->note.sk)
		nl_chan_close(&u->note);
	if (u->rescan_armed)
		u->io->ops->cancel(u->io, &u->rescan_op);
}

bool upcall_module_present(const struct upcall *u)
{
	return u->family >= 0;
}

int upcall_module_error(const struct upcall *u)
{
	return u->error;
}
