// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes what the daemon reads from netlink (daemon/upcall): requests, cancels, access records,
 * errors, and the answers to its questions, as the kernel of another version might send them.
 * What reaches the agent is in its ranges, and every request that came with a number is
 * answered or handed over.
 *
 * Input: a row of messages {kind, command, flags, length, bytes}, received as one or several
 * datagrams by one of the sockets or as the answer to one of the questions.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "base/log.h"
#include "fuzz_io.h"
#include "upcall/nl.h"

static struct upcall u = { .io = &fz_io, .family = 30, .ctrl_family = GENL_ID_CTRL, .state_grp = -1, .home_ns = -1 };
static struct mount mt;
static unsigned int requests, invalid;
static int kernel_fd, ctl_kernel_fd;

/* ---- what the agent sees ---- */

static void on_found(void *ctx, const struct upcall_info *info)
{
	assert(info->source && info->cache && info->options);
	assert(strlen(info->source) + strlen(info->cache) + strlen(info->options) < NL_RX);
}

static void check_fh(const struct fh *fh)
{
	assert(fh->len >= 5 && fh->len <= AUGUR_FH_MAX);
}

static void on_request(void *ctx, struct upcall_mount *m, const struct upcall_req *rq)
{
	struct upcall_reply rp = { .id = rq->id, .op = rq->op, .status = -(int)(rq->off & 0xfff) };

	assert(rq->id && m == &mt.pub);
	check_fh(&rq->fh);
	assert(rq->op != AUGUR_OP_LOOKUP || rq->name);
	if (rq->name)
		assert(rq->name_len && rq->name_len <= AUGUR_NAME_MAX && !memchr(rq->name, '/', rq->name_len) &&
		       !memchr(rq->name, 0, rq->name_len));
	if (rq->op == AUGUR_OP_FETCH)
		assert(rq->off <= INT64_MAX && rq->off + rq->len <= INT64_MAX);
	requests++;
	upcall_reply(m, &rp);
}

static void on_cancel(void *ctx, struct upcall_mount *m, u64 id)
{
}

static void on_events(void *ctx, struct upcall_mount *m, u32 cpu, u64 seq, u64 dropped, const struct augur_event *ev, size_t n)
{
	u8 sum = 0;

	assert(n * AUGUR_EVENT_LEN < NL_RX);
	for (size_t i = 0; i < n * AUGUR_EVENT_LEN; i++)
		sum ^= ((const u8 *)ev)[i];
	invalid += sum == 1;
}

static void on_gone(void *ctx, struct upcall_mount *m)
{
}

static void on_inode(void *arg, const struct upcall_inode *in)
{
	check_fh(&in->fh);
	assert(!in->map_len || (in->map && in->map_len <= AUGUR_MAP_MAX));
}

static const struct upcall_ops ops = {
	.found = on_found, .request = on_request, .cancel = on_cancel, .events = on_events, .gone = on_gone,
};

/* ---- the kernel's messages ---- */

static void chan(struct nl_chan *c, int *fd)
{
	int fds[2];

	assert(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds));
	*fd = fds[1];
	c->u = &u;
	c->fd = fds[0];
	list_init(&c->stash);
}

static void ignore(struct nl_chan *c, struct nlmsghdr *nlh)
{
}

static void closed(struct nl_chan *c)
{
	mount_op_put(&mt);
}

static void start(void)
{
	log_open("fuzz", 0);
	u.ops = &ops;
	u.rx = xmalloc(NL_RX);
	u.rx_ask = xmalloc(NL_RX);
	list_init(&u.mounts);
	chan(&u.ctl, &ctl_kernel_fd);
	chan(&mt.req, &kernel_fd);
	mt.u = &u;
	mt.tx = xmalloc(NL_TX);
	mt.req.closed = closed;
	list_init(&mt.link);
}

/* Before each input: a session with nothing under way. */
static void fresh(struct nl_chan *c)
{
	struct upcall_mount pub = { .id = 7, .session = 3 };

	mt.pub = pub;
	mt.dead = mt.req.closing = false;
	mt.open_chans = 2;	/* the socket's, and ours */
	mt.pulled_ns = 0;
	c->seq = 0;
	list_del(&mt.link);
	list_add_tail(&u.mounts, &mt.link);
	u.rescan_armed = u.rescan_sooner = false;
	requests = 0;
}

/* One message from @p to @to; returns the bytes read. */
static size_t message(const u8 *p, size_t size, u8 *to, size_t *len)
{
	struct nlmsghdr *nlh = (void *)to;
	size_t n = min((size_t)p[3], size - 4);

	memset(nlh, 0, sizeof(*nlh));
	nlh->nlmsg_len = NLMSG_HDRLEN + n;
	nlh->nlmsg_type = p[0] & 0x40 ? NLMSG_ERROR : p[0] & 0x20 ? NLMSG_DONE : p[0] & 0x10 ? p[1] : u.family;
	nlh->nlmsg_flags = p[2] | (p[0] & 8 ? NLM_F_ACK_TLVS : 0) | (p[0] & 4 ? NLM_F_CAPPED : 0);
	nlh->nlmsg_seq = p[0] & 2 ? 0 : 1;
	memcpy(NLMSG_DATA(nlh), p + 4, n);
	if (nlh->nlmsg_type == u.family && n >= GENL_HDRLEN)
		*(u8 *)NLMSG_DATA(nlh) = p[1] % (AUGUR_CMD_MAX + 1);
	if (p[0] & 1)	/* says more than there is */
		nlh->nlmsg_len += 64;
	*len += NLMSG_ALIGN(NLMSG_HDRLEN + n);
	return n + 4;
}

/* Everything in one datagram, or each message in its own. */
static void queue(int fd, const u8 *data, size_t size, bool apart)
{
	static u8 buf[16384] __attribute__((aligned(8)));
	size_t len = 0;

	while (size > 4 && len + 512 < sizeof(buf)) {
		size_t n = message(data, size, buf + len, &len);

		data += n;
		size -= n;
		if (apart) {
			if (send(fd, buf, len, MSG_DONTWAIT) < 0)
				break;
			len = 0;
		}
	}
	if (len)
		send(fd, buf, len, MSG_DONTWAIT);
}

static void empty(int fd)
{
	static u8 buf[NL_TX];

	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

/* Handed over from an exact copy, so that the sanitizer sees a byte too far. */
static void deliver(void (*msg)(struct nl_chan *c, struct nlmsghdr *nlh), struct nl_chan *c, const u8 *data, size_t size)
{
	static u8 buf[512] __attribute__((aligned(8)));

	while (size > 4) {
		size_t len = 0, n = message(data, size, buf, &len);
		struct nlmsghdr *nlh = (void *)buf;

		if (nlh->nlmsg_len <= len) {	/* as nlmsg_ok() has it */
			nlh = xmemdup(buf, nlh->nlmsg_len);
			msg(c, nlh);
			free(nlh);
		}
		data += n;
		size -= n;
	}
}

static void questions(u8 which)
{
	struct fh fh = { .len = 8 };
	struct upcall_range r[4];
	u8 oid[AUGUR_OID_LEN] = { 1 };
	u64 grant;
	u32 flags, why;
	int n = ARRAY_SIZE(r), err;

	switch (which % 5) {
	case 0:
		upcall_rescan(&u);
		break;
	case 1:
		mt.req.seq = 0;
		err = upcall_fill_begin(&mt.pub, oid, &fh, 0, 4096, r, &n, &grant, &flags);
		assert(n >= 0 && n <= (int)ARRAY_SIZE(r) && (!err || !n));
		break;
	case 2:
		upcall_inodes(&mt.pub, on_inode, NULL);
		break;
	case 3:
		upcall_evict(&mt.pub, oid, &fh, 0, which & 0x20 ? 4096 : 0, which & 0x10, &why);
		assert(why <= AUGUR_BUSY_CLAIMED);
		break;
	case 4:
		mount_pull(&mt);
		break;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	u8 how;

	if (!u.rx)
		start();
	if (size < 5)
		return 0;
	how = data[0];
	fresh(how & 0x80 && how % 5 == 0 ? &u.ctl : &mt.req);
	mt.req.msg = mount_msg;
	u.ctl.msg = ignore;
	if (how & 0x80) {
		queue(how % 5 ? kernel_fd : ctl_kernel_fd, data + 1, size - 1, how & 0x40);
		questions(how);
	} else {
		deliver(how & 1 ? mount_ev_msg : mount_msg, how & 1 ? &mt.ev : &mt.req, data + 1, size - 1);
	}
	fz_turn();
	upcall_flush(&mt.pub);
	fz_turn();
	empty(how & 0x80 && how % 5 == 0 ? ctl_kernel_fd : kernel_fd);
	empty(how & 0x80 && how % 5 == 0 ? u.ctl.fd : mt.req.fd);
	assert(mt.open_chans == (mt.dead ? 1u : 2u) && !fz.n && list_empty(&mt.req.stash));
	if (mt.batch)
		nlmsg_free(mt.batch);
	mt.batch = NULL;
	mt.tx_len = 0;
	return 0;
}
