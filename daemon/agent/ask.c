// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ask.c - one question to the owner of a placement unit, until it is answered or its time is up.
 *
 * The map says whom to ask.  "Wrong owner" fetches the map and asks once more; a broken or
 * missing connection is tried again with growing pauses, because the caller in the kernel
 * waits for its deadline anyway and the proxy may be back before it.  Loop thread only.
 */
#include "agent/agent.h"
#include "base/log.h"

#define PAUSE_MIN_NS	(50ull * 1000000)
#define PAUSE_MAX_NS	(1000ull * 1000000)
#define WARN_EVERY_NS	(10ull * 1000000000)

static void ask_try(struct ask *a);

void ask_put_object(struct wire_out *w, const struct cobj *o)
{
	wire_put(w, WF_OID, o->oid, AUGUR_OID_LEN);
	wire_put(w, WF_LOCATOR, o->loc, o->loc_len);
}

static void ask_end(struct ask *a, int status, struct wire_in body)
{
	struct vol *v = a->v;

	if (a->failing)
		a->v->failing--;
	a->failing = false;
	wire_out_free(&a->body);
	a->done(a, status, body);
	vol_put(v);
}

static void ask_fail(struct ask *a, int err)
{
	ask_end(a, err, (struct wire_in){ NULL, NULL });
}

static void pause_over(struct io_op *op, int res)
{
	struct ask *a = container_of(op, struct ask, timer);

	if (a->cancelled)
		ask_fail(a, -ECANCELED);
	else
		ask_try(a);
}

static void say_failing(struct ask *a, int err)
{
	struct vol *v = a->v;
	u64 now = io_now(v->io);

	if (!a->failing) {
		a->failing = true;
		v->failing++;
	}
	if (a->tries < 3 || (v->warned_ns && now - v->warned_ns < WARN_EVERY_NS))
		return;
	v->warned_ns = now;
	log_warn("event=owner_unreachable volume=%s proxy=%s error=\"%s\" waiting=%u action=retry hint=\"check that augurd --role proxy runs there\"",
		 v->volume, a->p ? a->p->addr : "none", strerror(-err), v->failing);
}

/* Later, if there is time left. */
static void ask_again(struct ask *a, int err)
{
	struct io *io = a->v->io;
	u64 now = io_now(io), pause = PAUSE_MIN_NS << min(a->tries, 5u);

	say_failing(a, err);
	pause = min(pause, (u64)PAUSE_MAX_NS);
	if (a->v->dead || now + pause >= a->deadline_ns) {
		ask_fail(a, err == -ECANCELED ? err : -EIO);
		return;
	}
	a->tries++;
	if (a->got_frames && a->restart)
		a->restart(a);
	a->got_frames = false;
	a->timer.done = pause_over;
	io->ops->timer(io, &a->timer, now + pause);
}

static bool worth_retry(int status, bool transport)
{
	switch (status) {
	case -EAGAIN:
	case -ESHUTDOWN:
	case -EREMCHG:
		return true;
	}
	return transport;
}

static void call_frame(struct xfer_call *c, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct ask *a = container_of(c, struct ask, call);

	a->got_frames = true;
	if (a->frame && !a->cancelled)
		a->frame(a, h, body);
}

static void call_done(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct ask *a = container_of(c, struct ask, call);
	struct wire_in in = { NULL, NULL };

	a->in_call = false;
	if (a->cancelled) {
		ask_fail(a, -ECANCELED);
		return;
	}
	if (h && body)
		in = (struct wire_in){ body->data, body->data + body->len };
	if (status == -EREMCHG)
		map_want(a->v);
	if (status == -EREMCHG && !a->redirected) {
		a->redirected = true;
		if (a->got_frames && a->restart)
			a->restart(a);
		a->got_frames = false;
		list_add_tail(&a->v->map_waiters, &a->link);
		return;
	}
	if (status && worth_retry(status, !h)) {
		ask_again(a, status);
		return;
	}
	ask_end(a, status, in);
}

static void ask_try(struct ask *a)
{
	struct peer *p = a->p;
	int err = -EHOSTUNREACH;

	if (a->v->dead) {	/* its peers are gone */
		ask_fail(a, -ECANCELED);
		return;
	}
	if (a->pu)
		a->p = p = peer_of_owner(a->v, a->pu, &err);
	if (!p) {
		/* No map yet, or one that does not name an owner. */
		map_want(a->v);
		ask_again(a, err);
		return;
	}
	memset(&a->call, 0, sizeof(a->call));
	a->call.frame = call_frame;
	a->call.done = call_done;
	wire_out_init(&a->call.req);
	a->call.req.buf = xmemdup(a->body.buf ? a->body.buf : (u8 *)"", a->body.len ? a->body.len : 1);
	a->call.req.len = a->body.len;
	a->call.req.cap = a->body.len ? a->body.len : 1;
	a->in_call = true;
	xfer_call(p->x, &a->call, a->type);
}

static void start_soon(struct io_op *op, int res)
{
	pause_over(op, res);
}

/* done() never comes from inside. */
void ask_start(struct ask *a)
{
	if (!a->deadline_ns)
		a->deadline_ns = io_now(a->v->io) + vol_timeout_ns(a->v);
	list_init(&a->link);
	vol_get(a->v);
	if (!a->v->dead && (a->v->map || !a->pu)) {
		int err;

		if (!a->pu || peer_of_owner(a->v, a->pu, &err)) {
			ask_try(a);
			return;
		}
	}
	a->timer.done = start_soon;
	a->v->io->ops->timer(a->v->io, &a->timer, 0);
}

void ask_cancel(struct ask *a)
{
	if (a->cancelled)
		return;
	a->cancelled = true;
	if (a->in_call) {
		xfer_call_cancel(&a->call);
	} else if (a->timer.busy) {
		a->v->io->ops->cancel(a->v->io, &a->timer);
	} else {
		/* It waits for a map. */
		list_del(&a->link);
		a->timer.done = pause_over;
		a->v->io->ops->timer(a->v->io, &a->timer, 0);
	}
}

/* peers.c calls this when a map has come, or could not be had. */
void asks_map_came(struct vol *v)
{
	struct list todo;

	list_init(&todo);
	while (!list_empty(&v->map_waiters)) {
		struct list *p = v->map_waiters.next;

		list_del(p);
		list_add_tail(&todo, p);
	}
	while (!list_empty(&todo)) {
		struct ask *a = list_first(&todo, struct ask, link);

		list_del(&a->link);
		ask_try(a);
	}
}
