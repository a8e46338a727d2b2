// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * nl.c - one netlink socket: opening it in the namespace netlink was first opened in,
 * asking, and reading what was not asked for.  Loop thread only.
 *
 * libnl resolves and builds; received bytes are parsed here from the raw buffer, because the
 * descriptor belongs to the loop and libnl's receive functions would block.
 */
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/log.h"
#include "upcall/nl.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

#define MSGS_PER_TURN 256

struct stashed {
	struct list	link;
	struct nlmsghdr	nlh;	/* followed by the rest */
};

/* Sockets belong to the namespace of the thread that makes them. */
static int open_at_home(struct upcall *u, struct nl_sock *sk)
{
	CLEANUP_CLOSE int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	bool moved = u->home_ns >= 0 && here >= 0 && !setns(u->home_ns, CLONE_NEWNET);
	int err = nl_connect(sk, NETLINK_GENERIC);

	if (moved && setns(here, CLONE_NEWNET)) {
		log_err("event=netns_return error=\"%s\" action=exit", strerror(errno));
		abort();
	}
	return err ? -EIO : 0;
}

int nl_chan_open(struct upcall *u, struct nl_chan *c)
{
	int size = NL_SOCKBUF, on = 1, err;

	c->u = u;
	list_init(&c->stash);
	c->sk = nl_socket_alloc();
	if (!c->sk)
		return -ENOMEM;
	err = open_at_home(u, c->sk);
	if (err) {
		nl_socket_free(c->sk);
		c->sk = NULL;
		return err;
	}
	c->fd = nl_socket_get_fd(c->sk);
	nl_socket_disable_seq_check(c->sk);
	nl_socket_disable_auto_ack(c->sk);
	/* The kernel's window comes from the receive buffer: a small one means few requests. */
	if (setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(c->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		log_warn("event=netlink_buffer error=\"%s\" hint=\"augurd needs CAP_NET_ADMIN\"", strerror(errno));
	setsockopt(c->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(c->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

struct nl_msg *nl_msg_new(struct upcall *u, int cmd, int flags, size_t room)
{
	struct nl_msg *msg = nlmsg_alloc_size(room);

	if (!msg || !genlmsg_put(msg, 0, 0, u->family, 0, NLM_F_REQUEST | flags, cmd, AUGUR_GENL_VERSION)) {
		log_err("event=netlink_alloc error=\"out of memory\" action=exit");
		abort();
	}
	return msg;
}

int nl_parse(struct nlmsghdr *nlh, struct nlattr **tb)
{
	if (!genlmsg_valid_hdr(nlh, 0) ||
	    nla_parse(tb, AUGUR_A_MAX, genlmsg_attrdata(genlmsg_hdr(nlh), 0),
		      genlmsg_attrlen(genlmsg_hdr(nlh), 0), NULL) < 0)
		return -EBADMSG;
	return 0;
}

u64 nl_u64(struct nlattr **tb, int a)
{
	return tb[a] && nla_len(tb[a]) == 8 ? nla_get_u64(tb[a]) : 0;
}

u32 nl_u32(struct nlattr **tb, int a)
{
	return tb[a] && nla_len(tb[a]) == 4 ? nla_get_u32(tb[a]) : 0;
}

/* An errno as the kernel says it, or -EBADMSG. */
static int errno_of(const void *p)
{
	int err;

	memcpy(&err, p, sizeof(err));
	return err > 0 || err < -4095 ? -EBADMSG : err;
}

/* The kernel's sentence behind the error, and behind the message that it is about unless that was cut. */
static const char *error_text(struct nlmsghdr *nlh)
{
	struct nlmsgerr *e = nlmsg_data(nlh);
	struct nlattr *tb[NLMSGERR_ATTR_MAX + 1] = { NULL }, *text;
	u64 used = sizeof(*e), len = nlmsg_datalen(nlh);

	if (!(nlh->nlmsg_flags & NLM_F_CAPPED) && e->error && e->msg.nlmsg_len > sizeof(e->msg))
		used += e->msg.nlmsg_len - sizeof(e->msg);
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || len <= used ||
	    nla_parse(tb, NLMSGERR_ATTR_MAX, (void *)((char *)e + used), len - used, NULL))
		return "";
	text = tb[NLMSGERR_ATTR_MSG];
	return text && memchr(nla_data(text), 0, nla_len(text)) ? nla_data(text) : "";
}

/* The errno of an NLMSG_ERROR and the kernel's sentence, if it gave one. */
int nl_error_of(struct nlmsghdr *nlh, const char **text)
{
	struct nlmsgerr *e = nlmsg_data(nlh);

	*text = "";
	if (nlmsg_datalen(nlh) < (int)sizeof(*e))
		return -EBADMSG;
	*text = error_text(nlh);
	return errno_of(&e->error);
}

int nl_send_raw(struct nl_chan *c, const void *buf, size_t len)
{
	ssize_t n = send(c->fd, buf, len, MSG_DONTWAIT);

	return n < 0 ? -errno : 0;
}

static void stash_done(struct io_op *op, int res);

static void stash_put(struct nl_chan *c, struct nlmsghdr *nlh)
{
	struct stashed *s = xmalloc(sizeof(*s) + nlh->nlmsg_len);

	memcpy(&s->nlh, nlh, nlh->nlmsg_len);
	list_add_tail(&c->stash, &s->link);
	if (!c->stash_armed) {
		c->stash_armed = true;
		c->stash_op.done = stash_done;
		c->u->io->ops->timer(c->u->io, &c->stash_op, 0);
	}
}

static void stash_drain(struct nl_chan *c)
{
	while (!list_empty(&c->stash) && !c->closing) {
		struct stashed *s = list_first(&c->stash, struct stashed, link);

		list_del(&s->link);
		c->msg(c, &s->nlh);
		free(s);
	}
}

static void maybe_closed(struct nl_chan *c)
{
	if (!c->closing || c->polling || c->stash_armed)
		return;
	while (!list_empty(&c->stash)) {
		struct stashed *s = list_first(&c->stash, struct stashed, link);

		list_del(&s->link);
		free(s);
	}
	nl_socket_free(c->sk);
	c->sk = NULL;
	c->closed(c);
}

static void stash_done(struct io_op *op, int res)
{
	struct nl_chan *c = container_of(op, struct nl_chan, stash_op);

	c->stash_armed = false;
	stash_drain(c);
	maybe_closed(c);
}

/* One received buffer while waiting for the answer to @seq: 1 done (*err set), 0 go on. */
static int ask_eat(struct nl_chan *c, u8 *buf, int len, u32 seq, int *err,
		   nl_answer_fn *fn, void *arg)
{
	struct nlmsghdr *nlh = (void *)buf;
	struct nlattr *tb[AUGUR_A_MAX + 1];
	const char *text;
	int end = 0;

	for (; nlmsg_ok(nlh, len); nlh = nlmsg_next(nlh, &len)) {
		if (nlh->nlmsg_seq != seq) {
			if (nlh->nlmsg_type >= NLMSG_MIN_TYPE)
				stash_put(c, nlh);
		} else if (nlh->nlmsg_type == NLMSG_ERROR) {
			*err = nl_error_of(nlh, &text);
			if (*err && *text)
				log_debug("event=netlink_refused error=%d text=\"%s\"", *err, text);
			end = 1;
		} else if (nlh->nlmsg_type == NLMSG_DONE) {
			if (nlmsg_datalen(nlh) >= 4)
				*err = errno_of(nlmsg_data(nlh));
			end = 1;
		} else if (nlh->nlmsg_type == c->u->family) {
			if (nl_parse(nlh, tb))
				*err = -EBADMSG;
			else if (fn && !*err)
				*err = fn(arg, tb, nlh);
		}
	}
	return end;
}

/* Bytes received into @buf; 0: there is no more now; -errno. That something was lost is told to its owner. */
static ssize_t chan_recv(struct nl_chan *c, u8 *buf)
{
	ssize_t n;
	int err;

	do {
		n = recv(c->fd, buf, NL_RX, MSG_DONTWAIT);
		err = n < 0 ? errno : 0;
		if (err == ENOBUFS && c->lost)
			c->lost(c);
	} while ((err == EINTR || err == ENOBUFS) && !c->closing);
	return err == EAGAIN ? 0 : err ? -err : n;
}

int nl_ask(struct nl_chan *c, struct nl_msg *msg, nl_answer_fn *fn, void *arg)
{
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	u32 seq = ++c->seq;
	int err, res = 0;
	ssize_t n;

	nlh->nlmsg_seq = seq;
	if (!(nlh->nlmsg_flags & NLM_F_DUMP))
		nlh->nlmsg_flags |= NLM_F_ACK;
	err = nl_send_raw(c, nlh, nlh->nlmsg_len);
	nlmsg_free(msg);
	while (!err) {
		n = chan_recv(c, c->u->rx_ask);
		if (n <= 0)
			return n ? n : -ENOBUFS;	/* the answer was lost */
		if (ask_eat(c, c->u->rx_ask, n, seq, &res, fn, arg))
			return res;
	}
	return err;
}

/* ---- reading ---- */

static void poll_start(struct nl_chan *c);

static void read_some(struct nl_chan *c)
{
	struct upcall *u = c->u;

	for (int i = 0; i < MSGS_PER_TURN && !c->closing; i++) {
		struct nlmsghdr *nlh = (void *)u->rx;
		int len = chan_recv(c, u->rx);

		if (len <= 0)
			return;
		for (; nlmsg_ok(nlh, len) && !c->closing; nlh = nlmsg_next(nlh, &len))
			c->msg(c, nlh);
	}
}

static void poll_done(struct io_op *op, int res)
{
	struct nl_chan *c = container_of(op, struct nl_chan, poll_op);

	c->polling = false;
	if (!c->closing) {
		stash_drain(c);
		read_some(c);
	}
	if (!c->closing)
		poll_start(c);
	maybe_closed(c);
}

static void poll_start(struct nl_chan *c)
{
	c->polling = true;
	c->poll_op.done = poll_done;
	c->u->io->ops->poll_in(c->u->io, &c->poll_op, c->fd);
}

void nl_chan_start(struct nl_chan *c)
{
	poll_start(c);
}

void nl_chan_close(struct nl_chan *c)
{
	if (c->closing)
		return;
	c->closing = true;
	if (c->polling)
		c->u->io->ops->cancel(c->u->io, &c->poll_op);
	else
		maybe_closed(c);
}
