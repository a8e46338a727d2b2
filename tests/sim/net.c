// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * net.c - the simulated network: stream connections between nodes.
 *
 * Bytes go out in pieces that take the link's latency, its bandwidth and a seeded jitter, in
 * order within a connection and in any order between two.  A receiver gets what is there, or
 * less.  A window bounds what is under way, so large sends come in turns.  Faults: a reset (what
 * is under way is lost), a cut link (nothing passes until later; a connect hangs), a machine
 * that refuses, a machine that goes.
 */
#include <netinet/in.h>
#include <stdio.h>

#include "sim.h"

#define FDS	4096

struct end {
	struct node	*n;		/* NULL: its machine has let it go */
	int		fd, from;	/* from: the node, for ever */
	struct end	*other;
	u8		*rx;		/* arrived, not taken */
	size_t		rx_len, rx_cap, flying, window;
	bool		eof;
	int		err;
	u64		last;		/* arrival of the newest piece on its way here */
	struct io_op	*rop, *sop;
	void		*buf;
	size_t		len, least;
	unsigned int	refs;		/* this machine, and pieces on their way here */
};

struct listener { struct node *n; u16 port; int fd; struct io_op *aop; struct list queue; };
struct arrival { struct list link; struct end *e; };
struct piece { struct event ev; struct end *to; size_t len; bool fin; int err; u8 data[]; };
struct dial { struct event ev; struct node *n; struct io_op *op; int to; u16 port; };

static struct { struct end *end; struct listener *lst; } fds[FDS];
/* By receiver and sender: a cut may be of one direction.  trap: of the answer after the next, cut that long. */
static struct { u64 latency, jitter, ns_per_kib, down, trap; } links[NODES][NODES];
static u64 refuse_until[NODES];
static u64 newest[NODES];		/* by receiver: when the last arrives of all that is on its way to it */

void net_begin(void)
{
	static const u64 lat[] = { 50000, 300000, 1000000, 5000000, 20000000 };

	for (int a = 0; a < NODES; a++)
		for (int b = 0; b <= a; b++) {
			links[a][b].latency = lat[below(ARRAY_SIZE(lat))];
			links[a][b].jitter = links[a][b].latency / between(1, 20);
			links[a][b].ns_per_kib = between(1000, 80000);
			links[b][a] = links[a][b];
		}
}

static int fd_new(struct end *e, struct listener *l)
{
	for (int i = 0; i < FDS; i++) {
		if (fds[i].end || fds[i].lst)
			continue;
		fds[i].end = e;
		fds[i].lst = l;
		return VFD + i;
	}
	return -EMFILE;
}

static struct end *end_of(int fd)
{
	return fd >= VFD && fd < VFD + FDS ? fds[fd - VFD].end : NULL;
}

static struct listener *listener_of(int fd)
{
	return fd >= VFD && fd < VFD + FDS ? fds[fd - VFD].lst : NULL;
}

static void end_put(struct end *e)
{
	if (--e->refs)
		return;
	if (e->other)
		e->other->other = NULL;
	free(e->rx);
	free(e);
}

/* ---- receiving ---- */

static void give(struct end *e)
{
	size_t n = min(e->len, e->rx_len);
	struct io_op *op = e->rop;
	int res;

	if (!op || (!e->rx_len && !e->eof && !e->err))
		return;
	if (!e->err && e->rx_len && e->rx_len < min(e->least, e->window / 2) && !e->eof && chance(800))
		return;		/* the mark is a hint */
	if (n > 1 && chance(200))
		n = between(1, n);
	res = e->err ? e->err : (int)n;
	if (res > 0) {
		memcpy(e->buf, e->rx, n);
		memmove(e->rx, e->rx + n, e->rx_len - n);
		e->rx_len -= n;
	}
	e->rop = NULL;
	io_sim_finish(e->n, op, res, between(500, 20000));
}

void net_recv(struct node *n, struct io_op *op, int fd, void *buf, size_t len, size_t least)
{
	struct end *e = end_of(fd);

	op->fd = fd;
	if (!e || e->n != n || e->rop) {
		io_sim_finish(n, op, -EBADF, 0);
		return;
	}
	e->rop = op;
	e->buf = buf;
	e->len = len;
	e->least = least;
	give(e);
}

/* ---- sending ---- */

static void pump(struct end *e);

static void fail_end(struct end *e, int err)
{
	struct io_op *op = e->sop;

	if (e->err || !e->n)
		return;
	e->err = err;
	hits[HIT_DROP] += !!e->rx_len;
	e->rx_len = 0;
	e->sop = NULL;
	if (op)
		io_sim_finish(e->n, op, -EPIPE, 0);
	give(e);
}

static void arrive(struct event *ev)
{
	struct piece *p = container_of(ev, struct piece, ev);
	struct end *e = p->to, *from = e->other;

	e->flying -= p->len;
	if (p->err) {
		fail_end(e, p->err);
	} else if (!e->n || e->err) {
		hits[HIT_DROP] += !!p->len;
	} else {
		if (e->rx_len + p->len > e->rx_cap) {
			e->rx_cap = 2 * (e->rx_len + p->len);
			e->rx = xrealloc(e->rx, e->rx_cap);
		}
		memcpy(e->rx + e->rx_len, p->data, p->len);
		e->rx_len += p->len;
		e->eof |= p->fin;
		give(e);
	}
	free(p);
	if (from && from->n)
		pump(from);
	end_put(e);
}

static struct piece *piece_new(struct end *to, size_t len)
{
	struct piece *p = xcalloc(1, sizeof(*p) + len);

	p->to = to;
	p->len = len;
	to->refs++;
	to->flying += len;
	return p;
}

#define ANSWER_MIN	512	/* bytes: more than questions and renewals have */

static void launch(struct piece *p)
{
	struct end *to = p->to;
	int a = to->from, b = to->other ? to->other->from : a;

	if (links[a][b].trap && p->len >= ANSWER_MIN) {
		note("n%d is cut off from n%d in the middle of an answer", a, b);
		net_cut(a, b, sim_now + links[a][b].trap, false);
		links[a][b].trap = 0;
		hits[HIT_CUT_ANSWER]++;
	}
	u64 at = max(sim_now, links[a][b].down) + links[a][b].latency + below(links[a][b].jitter + 1);

	at = max(at, to->last) + (p->len + 1023) / 1024 * links[a][b].ns_per_kib;
	to->last = at;
	hits[HIT_DELAY] += links[a][b].down > sim_now;
	hits[HIT_REORDER] += at < newest[a];
	newest[a] = max(newest[a], at);
	event_at(&p->ev, at, arrive);
}

/* Puts on the way what the window lets pass. */
static void pump(struct end *e)
{
	struct io_op *op = e->sop;
	struct end *to = e->other;

	while (op && op->msg.msg_iovlen && to && to->n && to->flying + to->rx_len < to->window) {
		size_t room = to->window - to->flying - to->rx_len;
		size_t n = min(min(op->msg.msg_iov->iov_len, room), (size_t)between(1, 65536));
		struct piece *p = piece_new(to, n);

		memcpy(p->data, op->msg.msg_iov->iov_base, n);
		io_send_skip(op, n);
		launch(p);
	}
	if (op && to && !to->n) {	/* nobody is there any more: the answer is a reset */
		e->sop = NULL;
		e->err = -ECONNRESET;
		io_sim_finish(e->n, op, -EPIPE, links[e->from][to->from].latency);
		give(e);
	} else if (op && !op->msg.msg_iovlen) {
		e->sop = NULL;
		io_sim_finish(e->n, op, (int)op->u1, between(500, 20000));
	}
}

void net_send(struct node *n, struct io_op *op, int fd)
{
	struct end *e = end_of(fd);

	if (!e || e->n != n || e->sop || e->err || !e->other) {
		io_sim_finish(n, op, !e || e->n != n ? -EBADF : -EPIPE, 0);
		return;
	}
	e->sop = op;
	pump(e);
}

void net_send_last(struct node *n, int fd, const void *buf, size_t len)
{
	struct end *e = end_of(fd), *to = e ? e->other : NULL;
	struct piece *p;

	if (!e || e->n != n || e->sop || e->err || !to || !to->n || to->flying + to->rx_len >= to->window)
		return;
	p = piece_new(to, len);
	memcpy(p->data, buf, len);
	launch(p);
}

/* ---- connecting ---- */

static struct listener *find_listener(int node, u16 port)
{
	for (int i = 0; i < FDS; i++)
		if (fds[i].lst && fds[i].lst->n == &nodes[node] && fds[i].lst->port == port)
			return fds[i].lst;
	return NULL;
}

static struct end *end_new(struct node *n, size_t window)
{
	struct end *e = xcalloc(1, sizeof(*e));

	e->n = n;
	e->from = n->id;
	e->refs = 1;
	e->window = window;
	e->fd = fd_new(e, NULL);
	return e;
}

static void try_accept(struct listener *l)
{
	struct io_op *op = l->aop;
	struct arrival *a;

	if (!op || list_empty(&l->queue))
		return;
	a = list_first(&l->queue, struct arrival, link);
	list_del(&a->link);
	l->aop = NULL;
	io_sim_finish(l->n, op, a->e->fd, between(500, 50000));
	free(a);
}

static void dialled(struct event *ev)
{
	struct dial *d = container_of(ev, struct dial, ev);
	struct listener *l = find_listener(d->to, d->port);
	size_t window = between(8 * 1024, 512 * 1024);
	struct io_op *op = d->op;
	struct node *n = d->n;
	u64 down = max(links[n->id][d->to].down, links[d->to][n->id].down);
	struct end *mine, *its;
	struct arrival *a;

	if (down > sim_now) {
		event_at(&d->ev, down, dialled);
		return;
	}
	free(d);
	op->p1 = NULL;
	if (!l || refuse_until[l->n->id] > sim_now) {
		hits[HIT_REFUSE]++;
		io_sim_finish(n, op, -ECONNREFUSED, 0);
		return;
	}
	mine = end_new(n, window);
	its = end_new(l->n, window);
	mine->other = its;
	its->other = mine;
	a = xcalloc(1, sizeof(*a));
	a->e = its;
	list_add_tail(&l->queue, &a->link);
	io_sim_finish(n, op, mine->fd, 0);
	try_accept(l);
}

void net_connect(struct node *n, struct io_op *op, const struct sockaddr *addr)
{
	const struct sockaddr_in *sa = (const void *)addr;
	struct dial *d = xcalloc(1, sizeof(*d));

	d->n = n;
	d->op = op;
	d->to = ntohl(sa->sin_addr.s_addr) & 0xff;
	d->port = ntohs(sa->sin_port);
	op->p1 = d;
	if (addr->sa_family != AF_INET || d->to < 1 || d->to >= NODES)
		violated("node %d dials an address that nobody has", n->id);
	event_at(&d->ev, sim_now + 2 * links[n->id][d->to].latency, dialled);
}

int net_listen(struct node *n, const struct sockaddr *addr)
{
	struct listener *l = xcalloc(1, sizeof(*l));

	l->n = n;
	l->port = ntohs(((const struct sockaddr_in *)addr)->sin_port);
	list_init(&l->queue);
	l->fd = fd_new(NULL, l);
	return l->fd;
}

void net_accept(struct node *n, struct io_op *op, int fd)
{
	struct listener *l = listener_of(fd);

	op->fd = fd;
	if (!l || l->n != n || l->aop) {
		io_sim_finish(n, op, -EBADF, 0);
		return;
	}
	l->aop = op;
	try_accept(l);
}

/* ---- ends ---- */

static void end_close(struct end *e, int err)
{
	struct end *to = e->other;
	struct node *n = e->n;
	struct piece *p;

	if (e->rop)
		io_sim_finish(n, e->rop, -ECANCELED, 0);
	if (e->sop)
		io_sim_finish(n, e->sop, -ECANCELED, 0);
	e->rop = e->sop = NULL;
	fds[e->fd - VFD].end = NULL;
	e->n = NULL;
	if (to && to->n) {
		p = piece_new(to, 0);
		p->fin = true;
		p->err = err;
		launch(p);
	}
	end_put(e);
}

static void listener_close(struct listener *l)
{
	if (l->aop)
		io_sim_finish(l->n, l->aop, -ECANCELED, 0);
	while (!list_empty(&l->queue)) {
		struct arrival *a = list_first(&l->queue, struct arrival, link);

		list_del(&a->link);
		if (end_of(a->e->fd) == a->e)
			end_close(a->e, -ECONNRESET);
		free(a);
	}
	fds[l->fd - VFD].lst = NULL;
	free(l);
}

void net_close(struct node *n, int fd)
{
	struct end *e = end_of(fd);
	struct listener *l = listener_of(fd);

	if ((!e && !l) || (e ? e->n : l->n) != n)
		violated("node %d closes a descriptor that is not its own", n->id);
	if (e)
		end_close(e, 0);
	else
		listener_close(l);
}

bool net_cancel(struct node *n, struct io_op *op)
{
	struct end *e = end_of(op->fd);
	struct listener *l = listener_of(op->fd);
	struct dial *d = op->p1;

	if (op->kind == IO_K_CONNECT) {
		event_cancel(&d->ev);
		free(d);
		return true;
	}
	if (l && l->aop == op)
		l->aop = NULL;
	else if (e && e->rop == op)
		e->rop = NULL;
	else if (e && e->sop == op)
		e->sop = NULL;
	else
		return false;
	return true;
}

unsigned int net_open(int node)
{
	unsigned int n = 0;

	for (int i = 0; i < FDS; i++)
		n += (fds[i].end && fds[i].end->n == &nodes[node]) || (fds[i].lst && fds[i].lst->n == &nodes[node]);
	return n;
}

/* ---- faults ---- */

static void reset(struct end *e)
{
	struct end *o = e->other;

	fail_end(e, -ECONNRESET);
	if (o)
		fail_end(o, -ECONNRESET);
}

void net_down(struct node *n)
{
	for (int i = 0; i < FDS; i++)
		if (fds[i].end && fds[i].end->n == n)
			reset(fds[i].end);
}

bool net_reset_one(void)
{
	int at = below(FDS), first = -1;

	for (int i = 0; i < FDS && first < 0; i++)
		if (fds[(at + i) % FDS].end && !fds[(at + i) % FDS].end->err)
			first = (at + i) % FDS;
	if (first < 0)
		return false;
	note("reset fd=%d", first);
	hits[HIT_RESET]++;
	reset(fds[first].end);
	return true;
}

void net_cut(int a, int b, u64 until, bool one_way)
{
	links[a][b].down = until;
	if (!one_way)
		links[b][a].down = until;
}

void net_cut_in_answer(int a, int b, u64 ns)
{
	links[a][b].trap = ns;
}

void net_refuse(int node, u64 until)
{
	refuse_until[node] = until;
}

void net_heal(void)
{
	for (int a = 0; a < NODES; a++) {
		refuse_until[a] = 0;
		for (int b = 0; b < NODES; b++)
			links[a][b].down = links[a][b].trap = 0;
	}
}
