// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Changes made at the origin by others: seen by fanotify on the export's filesystem, or,
 * where that is not allowed or would not see them (a network filesystem), by looking at every
 * object of interest again and again.
 *
 * Names that come and go are told at once.  An event on an object only says that something
 * may have happened: a worker compares the object with what was served, so that a file opened
 * for writing and left alone, or written a thousand times, is told at most once.  Loop thread;
 * the workers touch their job alone.
 */
#include <stdio.h>
#include <sys/fanotify.h>

#include "base/log.h"
#include "origin/impl.h"

#ifndef FAN_REPORT_TARGET_FID
#define FAN_REPORT_TARGET_FID	0x00001000
#endif

#define EVENT_BUF	(64 * 1024)
#define CHECK_DELAY_NS	(30 * 1000000ULL)	/* longer than two ticks: a look sees the last change */
#define CHECK_MAX	256
#define RESCAN_NS	(30 * 1000000000ULL)
#define RESCAN_STEP_NS	(500 * 1000000ULL)
#define NAME_EVENTS	(FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO)
#define SELF_EVENTS	(FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE)

struct check_item {
	struct origin_loc loc;
	u64	tag;
	/* worker */
	u64	now;
	int	status;
	bool	young;
};

struct origin_watch {
	struct origin	*o;
	int		fan_fd;		/* -1: none */
	struct io_op	poll_op;
	u8		*buf;

	u8		(*queue)[AUGUR_OID_LEN];	/* to be looked at */
	u32		nqueue, cap;
	struct io_op	delay_op, check_op;
	u32		nitem;
	struct check_item item[CHECK_MAX];

	bool		rescan;
	struct io_op	rescan_op;
	size_t		iter, iter_cap;
	u64		pass_ns;

	struct io_op	root_op;
	EVP_MAC_CTX	*root_mac;
	struct origin_entry root;
	bool		stop;
};

static void check_arm(struct origin_watch *w);

static void watch_put(struct origin_watch *w)
{
	if (!w->stop || w->poll_op.busy || w->delay_op.busy || w->check_op.busy || w->rescan_op.busy || w->root_op.busy)
		return;
	w->o->watch = NULL;
	origin_entry_free(&w->root);
	EVP_MAC_CTX_free(w->root_mac);
	free(w->queue);
	free(w->buf);
	free(w);
}

/* ---- looking at objects ---- */

static int check_run(void *arg)
{
	struct origin_watch *w = arg;
	struct origin_stat st;
	int fd;

	for (u32 i = 0; i < w->nitem; i++) {
		struct check_item *it = &w->item[i];

		fd = origin_loc_open(&w->o->ex, &it->loc, O_PATH);
		it->status = fd < 0 ? fd : origin_stat_fd(&w->o->ex, fd, &it->loc, &st);
		if (!it->status) {
			it->now = st.tag;
			it->young = st.young;
		}
		if (fd >= 0)
			close(fd);
	}
	return 0;
}

static void check_result(struct origin *o, const struct check_item *it)
{
	struct origin_interest *in = origin_interest_get(o, it->loc.oid);

	if (!in || in->tag != it->tag)
		return;		/* settled meanwhile */
	if (it->status == -ESTALE || it->status == -ENOENT) {
		origin_event_note(o, it->loc.oid);
		origin_interest_changed(o, in, 0, true, NULL);
	} else if (!it->status && (it->now != it->tag || in->vague)) {
		origin_event_note(o, it->loc.oid);
		/* While a directory is young a further change would leave the tag as it is. */
		in->vague = it->young;
		origin_interest_changed(o, in, it->now, false, NULL);
	} else if (it->status) {
		origin_watch_check(o, in);	/* it could not be looked at: no verdict, and no second event */
	}
}

static void check_done(struct io_op *op, int res)
{
	struct origin_watch *w = container_of(op, struct origin_watch, check_op);

	for (u32 i = 0; i < w->nitem && !w->stop; i++)
		check_result(w->o, &w->item[i]);
	if (w->stop)
		watch_put(w);
	else
		check_arm(w);
}

static void check_start(struct io_op *op, int res)
{
	struct origin_watch *w = container_of(op, struct origin_watch, delay_op);

	if (w->stop) {
		watch_put(w);
		return;
	}
	w->nitem = 0;
	while (w->nqueue && w->nitem < CHECK_MAX) {
		struct origin_interest *in = origin_interest_get(w->o, w->queue[--w->nqueue]);
		struct check_item *it = &w->item[w->nitem];

		if (!in || !in->checking)
			continue;
		in->checking = false;
		memcpy(it->loc.oid, in->oid, AUGUR_OID_LEN);
		memcpy(it->loc.handle, in->handle, in->len);
		it->loc.type = in->type;
		it->loc.len = in->len;
		it->tag = in->tag;
		w->nitem++;
	}
	w->check_op.done = check_done;
	w->o->io->ops->work(w->o->io, &w->check_op, IO_POOL_ORIGIN, check_run, w);
}

static void check_arm(struct origin_watch *w)
{
	u64 wait = w->nqueue > CHECK_MAX ? 0 : CHECK_DELAY_NS;

	if (!w->nqueue || w->delay_op.busy || w->check_op.busy || w->stop)
		return;
	w->delay_op.done = check_start;
	w->o->io->ops->timer(w->o->io, &w->delay_op, io_now(w->o->io) + wait);
}

void origin_watch_check(struct origin *o, struct origin_interest *in)
{
	struct origin_watch *w = o->watch;

	if (!w || in->checking)
		return;
	if (w->nqueue == w->cap) {
		w->cap = w->cap ? 2 * w->cap : 256;
		w->queue = xrealloc(w->queue, w->cap * sizeof(*w->queue));
	}
	memcpy(w->queue[w->nqueue++], in->oid, AUGUR_OID_LEN);
	in->checking = true;
	check_arm(w);
}

/* ---- events ---- */

struct event {
	u64		mask;
	bool		have_dir, have_self;
	struct origin_loc dir, self;
	const char	*name;
	size_t		name_len;
};

static void event_object(struct origin *o, const struct origin_loc *loc)
{
	struct origin_interest *in = origin_interest_get(o, loc->oid);

	if (in) {
		origin_watch_check(o, in);
		return;
	}
	origin_event_note(o, loc->oid);
}

static void event_name(struct origin *o, const struct event *ev)
{
	struct origin_interest *in = origin_interest_get(o, ev->dir.oid);
	struct origin_change c = { .kind = AUGUR_INVAL_ENTRY, .name = (char *)ev->name, .name_len = ev->name_len };

	if (in && !augur_name_check(ev->name, ev->name_len)) {
		memcpy(c.parent, ev->dir.oid, AUGUR_OID_LEN);
		if (ev->have_self)
			memcpy(c.oid, ev->self.oid, AUGUR_OID_LEN);
		origin_change(o, in->pu, in->mask, NULL, &c);
	}
	event_object(o, &ev->dir);
}

static void event_take(struct origin *o, const struct event *ev)
{
	if (ev->mask & FAN_Q_OVERFLOW) {
		log_warn("event=fanotify_overflow: all agents revalidate");
		origin_reset_all(o);
		return;
	}
	if (ev->mask & NAME_EVENTS && ev->have_dir)
		event_name(o, ev);
	if (ev->have_self)
		event_object(o, &ev->self);
	else if (ev->have_dir && ev->mask & SELF_EVENTS)
		event_object(o, &ev->dir);
}

/* One information record; lengths are the kernel's, and checked all the same. */
static void event_info(struct origin *o, const u8 *p, size_t len, struct event *ev)
{
	const struct fanotify_event_info_fid *f = (const void *)p;
	size_t head = offsetof(struct fanotify_event_info_fid, handle) + sizeof(struct file_handle), n;
	bool dir = f->hdr.info_type == FAN_EVENT_INFO_TYPE_DFID_NAME || f->hdr.info_type == FAN_EVENT_INFO_TYPE_DFID;
	struct file_handle fh;

	if (len < head || (!dir && f->hdr.info_type != FAN_EVENT_INFO_TYPE_FID))
		return;
	memcpy(&fh, f->handle, sizeof(fh));
	n = fh.handle_bytes;
	if (n > len - head ||
	    origin_loc_set(&o->ex, fh.handle_type, f->handle + sizeof(fh), n, dir ? &ev->dir : &ev->self))
		return;
	if (!dir) {
		ev->have_self = true;
		return;
	}
	ev->have_dir = true;
	if (f->hdr.info_type == FAN_EVENT_INFO_TYPE_DFID_NAME) {
		ev->name = (const char *)p + head + n;
		ev->name_len = strnlen(ev->name, len - head - n);
	}
}

static void events_parse(struct origin *o, const u8 *p, size_t len)
{
	struct fanotify_event_metadata m;

	while (len >= sizeof(m)) {
		struct event ev = { .mask = 0 };
		size_t at;

		memcpy(&m, p, sizeof(m));
		if (m.event_len < sizeof(m) || m.event_len > len || m.vers != FANOTIFY_METADATA_VERSION)
			return;
		if (m.fd >= 0)
			close(m.fd);
		ev.mask = m.mask;
		for (at = m.metadata_len; at + sizeof(struct fanotify_event_info_header) <= m.event_len;) {
			struct fanotify_event_info_header h;

			memcpy(&h, p + at, sizeof(h));
			if (h.len < sizeof(h) || h.len > m.event_len - at)
				break;
			event_info(o, p + at, h.len, &ev);
			at += h.len;
		}
		event_take(o, &ev);
		p += m.event_len;
		len -= m.event_len;
	}
}

static void events_arm(struct origin_watch *w);

static void events_ready(struct io_op *op, int res)
{
	struct origin_watch *w = container_of(op, struct origin_watch, poll_op);
	ssize_t n = 0;

	/* A few buffers at a time: requests wait behind a storm of events, not under it. */
	for (int i = 0; i < 4 && !w->stop && res >= 0; i++) {
		n = read(w->fan_fd, w->buf, EVENT_BUF);
		if (n <= 0)
			break;
		events_parse(w->o, w->buf, n);
	}
	if (w->stop) {
		watch_put(w);
		return;
	}
	events_arm(w);
}

static void events_arm(struct origin_watch *w)
{
	w->poll_op.done = events_ready;
	w->o->io->ops->poll_in(w->o->io, &w->poll_op, w->fan_fd);
}

static int events_open(struct origin *o)
{
	unsigned int flags = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE |
			     FAN_REPORT_FID | FAN_REPORT_DFID_NAME;
	int fd = fanotify_init(flags | FAN_REPORT_TARGET_FID, O_RDONLY), err;

	if (fd < 0 && errno == EINVAL)
		fd = fanotify_init(flags, O_RDONLY);
	if (fd < 0)
		return -errno;
	if (fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, NAME_EVENTS | SELF_EVENTS | FAN_ONDIR,
			  o->ex.root_fd, ".")) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* ---- looking at everything ---- */

static void rescan_arm(struct origin_watch *w);

static void rescan_step(struct io_op *op, int res)
{
	struct origin_watch *w = container_of(op, struct origin_watch, rescan_op);
	struct map *m = &w->o->interest;
	struct origin_interest *in;
	u64 n = m->live * RESCAN_STEP_NS / w->pass_ns + 1;

	if (w->stop) {
		watch_put(w);
		return;
	}
	if (w->iter_cap != m->cap) {	/* the table was laid out anew */
		w->iter = 0;
		w->iter_cap = m->cap;
	}
	while (n-- && (in = map_next(m, &w->iter)))
		origin_watch_check(w->o, in);
	if (w->iter >= m->cap) {
		w->iter = 0;
		w->o->n.rescans++;
	}
	rescan_arm(w);
}

static void rescan_arm(struct origin_watch *w)
{
	w->rescan_op.done = rescan_step;
	w->o->io->ops->timer(w->o->io, &w->rescan_op, io_now(w->o->io) + min(RESCAN_STEP_NS, w->pass_ns));
}

/* ---- the root ---- */

static int root_look(void *arg)
{
	struct origin_watch *w = arg;

	w->root.loc.pu = w->o->ex.root.pu;
	return origin_entry_fill(&w->o->ex, w->root_mac, &w->root, w->o->ex.root_fd, NULL, NULL, 0);
}

static void root_keep(struct origin_watch *w)
{
	struct origin *o = w->o;

	o->root_entry.len = 0;
	wire_put_entry(&o->root_entry, WF_ROOT, &w->root.e);
	o->root_seen.loc = w->root.loc;
	o->root_seen.tag = w->root.st.tag;
	o->root_seen.mode = w->root.st.stx.stx_mode;
}

static void root_done(struct io_op *op, int res)
{
	struct origin_watch *w = container_of(op, struct origin_watch, root_op);

	if (w->stop) {
		watch_put(w);
		return;
	}
	if (res) {
		log_err("the export's root cannot be read: %s", strerror(-res));
		return;
	}
	root_keep(w);
}

/* The entry that HELLO hands out; taken anew for the next one. */
void origin_root_refresh(struct origin *o)
{
	struct origin_watch *w = o->watch;

	if (!w || w->root_op.busy || w->stop)
		return;
	w->root_op.done = root_done;
	o->io->ops->work(o->io, &w->root_op, IO_POOL_ORIGIN, root_look, w);
}

/* What HELLO handed out may be old by now: then the next look tells the client, too. */
void origin_root_note(struct origin_client *cl)
{
	struct origin *o = cl->o;
	struct origin_interest *in = origin_interest_get(o, o->root_seen.loc.oid);

	if (!in) {
		origin_interest_note(cl, &o->root_seen, 1, o->event_no);
		return;
	}
	in->mask |= 1ULL << cl->slot;
	if (in->tag != o->root_seen.tag) {
		in->vague = true;
		origin_watch_check(o, in);
	}
}

/* ---- start and stop ---- */

int origin_watch_start(struct origin *o)
{
	struct origin_watch *w = xcalloc(1, sizeof(*w));
	int err;

	o->watch = w;
	w->o = o;
	w->fan_fd = -1;
	w->pass_ns = o->cfg.rescan_ns ? o->cfg.rescan_ns : RESCAN_NS;
	w->root_mac = origin_mac_dup(o);
	err = root_look(w);	/* once, at the start, waited for */
	if (err)
		return err;
	root_keep(w);
	w->fan_fd = o->cfg.no_fanotify ? -ECANCELED : events_open(o);
	if (w->fan_fd >= 0) {
		w->buf = xmalloc(EVENT_BUF);
		events_arm(w);
		o->events_on = o->ex.local_fs;
	} else {
		log_notice("export=%s no events of its filesystem (%s): changes made there are seen within %llu s",
			   o->cfg.path, o->cfg.no_fanotify ? "not wanted" : strerror(-w->fan_fd), (unsigned long long)(w->pass_ns / 1000000000));
		w->fan_fd = -1;
	}
	w->rescan = !o->events_on;
	if (w->rescan)
		rescan_arm(w);
	return 0;
}

void origin_watch_stop(struct origin *o)
{
	struct origin_watch *w = o->watch;
	struct io *io = o->io;

	if (!w)
		return;
	w->stop = true;
	if (w->fan_fd >= 0)
		io->ops->close(io, w->fan_fd);
	w->fan_fd = -1;
	if (w->delay_op.busy)
		io->ops->cancel(io, &w->delay_op);
	if (w->rescan_op.busy)
		io->ops->cancel(io, &w->rescan_op);
	watch_put(w);
}
