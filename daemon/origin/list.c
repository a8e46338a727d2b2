// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * LIST and LOOKUP: a directory as one answer, entries with their attributes.
 *
 * A worker reads names and attributes until a frame is full, the loop sends it and queues
 * the next step, so a long directory streams, shares the workers with others and stops while
 * the connection is behind.  The directory's entry in the last frame has tag 0 if it changed
 * meanwhile or could still change unseen within the same timestamp: the listing is true
 * then, but has to be asked for again instead of being trusted.
 */
#include <dirent.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "origin/impl.h"

#define FRAME_FIRST	(16 * 1024)	/* the first frame goes early */
#define FRAME_FULL	(56 * 1024)	/* an entry of usual size still fits 64 KiB */
#define WAIT_NS		2000000
#define MAX_CAP		8192		/* LOOKUP's MAX is cut here */
#define REPLACED_TRIES	100	/* of one name, replaced again and again while it is looked at */
#define DENTS_LEN	32768

struct list_job {
	struct origin_job j;
	const struct origin_export *ex;
	EVP_MAC_CTX	*mac;
	struct origin_loc dir;
	int		fd;
	char		name[AUGUR_NAME_MAX + 1];	/* LOOKUP */
	size_t		name_len;
	u32		max;
	u64		seq;
	/* worker */
	bool		events;
	bool		whole, end, young, found;
	struct origin_entry self, ent;
	struct wire_out	out;
	size_t		full;
	struct origin_seen *seen;
	u32		nseen, seen_cap;
	size_t		dents_len, dents_pos;
	u8		dents[DENTS_LEN] __attribute__((aligned(8)));
};

/* ---- worker ---- */

static void seen_add(struct list_job *l, const struct origin_entry *ent, bool vague)
{
	struct origin_seen *s;

	if (l->nseen == l->seen_cap) {
		l->seen_cap = l->seen_cap ? 2 * l->seen_cap : 64;
		l->seen = xrealloc(l->seen, l->seen_cap * sizeof(*l->seen));
	}
	s = &l->seen[l->nseen++];
	s->loc = ent->loc;
	s->tag = ent->st.tag;
	s->vague = vague;
	s->part = false;
	s->mode = ent->st.stx.stx_mode;
}

static bool hidden(const struct list_job *l, const char *name)
{
	return origin_is_root(l->ex, l->dir.oid) && !strcmp(name, ORIGIN_PRIVATE_NAME);
}

/*
 * l->ent of what is at @name now.  The inode may be replaced between opening and looking: then
 * it is the next one's turn, as the name was never gone.
 */
static int entry_at(struct list_job *l, const char *name)
{
	int tries = 0, err, fd;

	do {
		fd = origin_open_name(l->fd, name);
		if (fd < 0)
			return fd == -EXDEV ? -ENOENT : fd;
		err = origin_entry_fill(l->ex, l->mac, &l->ent, fd, l->dir.oid, name, strlen(name));
		close(fd);
	} while ((err == -ESTALE || err == -ENOENT) && ++tries < REPLACED_TRIES);
	return err == -ENOENT ? -ESTALE : err;
}

/* Adds the entry @name. 1 added, 0 no such name, or -errno. */
static int add_name(struct list_job *l, const char *name)
{
	int err = hidden(l, name) ? -ENOENT : entry_at(l, name);

	if (err == -ENOENT)
		return 0;
	if (err)
		return err;
	if (l->ent.dropped)
		log_warn("event=xattr_too_large name=%s", log_esc(name, strlen(name)));
	err = wire_put_entry(&l->out, WF_ENTRY, &l->ent.e);
	if (err)
		return err;
	seen_add(l, &l->ent, false);
	return 1;
}

/* The next name of the directory, or NULL: end or *err. */
static const char *next_name(struct list_job *l, int *err)
{
	struct linux_dirent64 *d;
	long n;

	for (;;) {
		if (l->dents_pos == l->dents_len) {
			n = syscall(SYS_getdents64, l->fd, l->dents, sizeof(l->dents));
			*err = n < 0 ? -errno : 0;
			if (n <= 0)
				return NULL;
			l->dents_len = n;
			l->dents_pos = 0;
		}
		d = (struct linux_dirent64 *)(l->dents + l->dents_pos);
		l->dents_pos += d->d_reclen;
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			return d->d_name;
	}
}

/* LOOKUP: has the directory few enough names to send them all? */
static int count_names(struct list_job *l)
{
	u32 n = 0;
	int err;

	while (n <= l->max && next_name(l, &err))
		n++;
	if (n <= l->max && err)
		return err;
	l->whole = n <= l->max;
	l->dents_len = l->dents_pos = 0;
	return lseek(l->fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

static int list_open(struct list_job *l)
{
	int err = 0;

	l->fd = origin_loc_open(l->ex, &l->dir, O_RDONLY | O_DIRECTORY);
	if (l->fd < 0)
		return l->fd;
	l->self.loc.pu = l->dir.pu;
	err = origin_entry_fill(l->ex, l->mac, &l->self, l->fd, NULL, NULL, 0);
	if (err)
		return err;
	l->young = l->self.st.young;
	l->whole = !l->name_len;
	if (l->name_len && l->max)
		err = count_names(l);
	return err;
}

static int list_fill(struct list_job *l)
{
	const char *name;
	int err = 0, r;

	while (l->out.len < l->full) {
		name = next_name(l, &err);
		if (!name) {
			l->end = true;
			return err;
		}
		r = add_name(l, name);
		if (r < 0)
			return r;
		if (r && l->name_len && !strcmp(name, l->name))
			l->found = true;
	}
	return 0;
}

/* Is the directory still what it was when we began? */
static int list_close(struct list_job *l)
{
	struct origin_stat st;
	int err = origin_stat_fd(l->ex, l->fd, &l->dir, &st);

	if (err)
		return err;
	if (st.tag != l->self.st.tag || st.young)
		l->young = true;
	/* Where events tell of changes, they tell of those within the timestamp, too. */
	seen_add(l, &l->self, l->young && !l->events);
	l->seen[l->nseen - 1].part = !l->whole;
	return 0;
}

static int list_step(void *arg)
{
	struct list_job *l = arg;
	int err = 0;

	origin_worker_enter();
	if (l->fd < 0)
		err = list_open(l);
	if (err)
		return err;
	if (l->whole) {
		err = list_fill(l);
	} else {
		err = add_name(l, l->name);
		l->found = err > 0;
		l->end = true;
		if (err > 0)
			err = 0;
	}
	if (!err && l->end)
		err = list_close(l);
	return err;
}

/* ---- loop ---- */

static void list_free(struct list_job *l)
{
	if (l->fd >= 0)
		close(l->fd);
	EVP_MAC_CTX_free(l->mac);
	origin_entry_free(&l->self);
	origin_entry_free(&l->ent);
	wire_out_free(&l->out);
	free(l->seen);
	origin_job_end(&l->j);
	free(l);
}

static void list_last(struct list_job *l)
{
	struct wire_out w;
	int status = l->name_len && !l->found ? -ENOENT : 0;

	if (l->young)
		l->self.e.attr.tag = 0;
	wire_out_init(&w);
	wire_put_u64(&w, WF_SEQ, l->seq);
	wire_put_entry(&w, WF_DIR, &l->self.e);
	if (l->name_len && l->whole)
		wire_put_u32(&w, WF_COMPLETE, 1);
	xfer_reply(l->j.cl->conn, l->j.stream, l->j.type, WIRE_LAST, status, 0, &w);
}

static void list_queue(struct list_job *l);

static void list_wait_done(struct io_op *op, int res)
{
	list_queue(container_of(op, struct list_job, j.op));
}

static void list_done(struct io_op *op, int res)
{
	struct list_job *l = container_of(op, struct list_job, j.op);
	struct origin *o = l->j.o;

	if (l->j.cl->gone) {
		list_free(l);
		return;
	}
	o->n.entries += l->nseen;
	origin_interest_note(l->j.cl, l->seen, l->nseen, l->j.event_no);
	l->nseen = 0;
	if (res < 0) {
		origin_reply_status(l->j.cl, l->j.stream, l->j.type, res, l->dir.pu);
		list_free(l);
		return;
	}
	if (l->out.len) {
		o->n.served_bytes += l->out.len;
		xfer_reply(l->j.cl->conn, l->j.stream, l->j.type, 0, 0, 0, &l->out);
		wire_out_init(&l->out);
	}
	if (l->end) {
		list_last(l);
		list_free(l);
		return;
	}
	list_queue(l);
}

static void list_queue(struct list_job *l)
{
	struct io *io = l->j.o->io;

	if (!l->j.cl->gone && xfer_conn_backlog(l->j.cl->conn) > ORIGIN_BACKLOG_MAX) {
		l->j.op.done = list_wait_done;
		io->ops->timer(io, &l->j.op, io_now(io) + WAIT_NS);
		return;
	}
	l->full = l->full ? FRAME_FULL : FRAME_FIRST;
	l->j.op.done = list_done;
	io->ops->work(io, &l->j.op, IO_POOL_ORIGIN, list_step, l);
}

void origin_list_request(struct origin_client *cl, const struct wire_hdr *h, struct wire_in body)
{
	struct origin *o = cl->o;
	struct origin_loc loc = { .pu = 0 };
	struct origin_req r;
	struct list_job *l;
	int err = origin_req_parse(body, &r);

	if (!err && h->type == WIRE_LOOKUP && !r.name)
		err = -EBADMSG;
	if (!err)
		err = origin_req_object(o, &r, &loc);
	if (err) {
		origin_reply_status(cl, h->stream, h->type, err, loc.pu);
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->fd = -1;
	l->dir = loc;
	l->ex = &o->ex;
	l->mac = origin_mac_dup(o);
	l->seq = origin_seq(o, loc.pu);
	l->events = o->events_on;
	wire_out_init(&l->out);
	if (h->type == WIRE_LOOKUP) {
		o->n.lookup++;
		l->name_len = r.name_len;
		memcpy(l->name, r.name, r.name_len);
		l->max = min(r.max, (u32)MAX_CAP);
	} else {
		o->n.list++;
	}
	origin_job_start(&l->j, cl, h);
	list_queue(l);
}
