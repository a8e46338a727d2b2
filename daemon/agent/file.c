// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * file.c - FETCH: absent bytes of a file.
 *
 * A fill is one range that somebody brings: a READ of its own, or an item of a batch.  Chunks
 * under way are marked, so a second request for them waits for the first's bytes.  A request
 * of the kernel is itself the leave to write its range; everything beyond it is asked for by
 * FILL_BEGIN and ended by FILL_END.  An answer counts only if it is whole and of the version
 * the stub was made from; bytes of another version that landed stay unmarked.  What the disk has
 * no room for is no error of a reader: it waits with space.c.  Loop thread.
 * (long file: requests, fills and waiters of a file are one state)
 */
#include "agent/agent.h"
#include "base/log.h"
#include "base/seeded.h"

#define FILES_KEPT	1024	/* idle fworks that remember where their reader was */

static void waits_check(struct fwork *f);

/* ---- work on one file ---- */

struct fwork *fwork_get(struct vol *v, struct cobj *o)
{
	struct fwork *f = map_get(&v->files, o->oid);

	if (f) {
		f->used_ns = io_now(v->io);
		return f;
	}
	f = xcalloc(1, sizeof(*f));
	memcpy(f->oid, o->oid, AUGUR_OID_LEN);
	f->v = v;
	f->o = o;
	f->used_ns = io_now(v->io);
	cobj_get(o);
	list_init(&f->waits);
	list_init(&f->own);
	list_init(&f->fills);
	list_init(&f->room);
	map_put(&v->files, f);
	return f;
}

bool fwork_idle(const struct fwork *f)
{
	return list_empty(&f->waits) && list_empty(&f->own) && list_empty(&f->fills);
}

static void fwork_free(struct fwork *f)
{
	list_del(&f->room);
	map_del(&f->v->files, f->oid);
	cobj_put(f->v->c, f->o);
	free(f);
}

void fwork_put(struct fwork *f)
{
	struct vol *v = f->v;

	if (!fwork_idle(f))
		return;
	/* A reader of a large file comes back: where it was is worth remembering. */
	if (!v->dead && (f->window || f->jumps) && !(f->o->flags & COBJ_COMPLETE) && v->files.live < FILES_KEPT)
		return;
	fwork_free(f);
}

/* ---- fills ---- */

static void fly_range(struct cobj *o, u64 off, u64 len, bool set)
{
	u64 first, count;

	augur_chunk_range(off, len, o->size, o->shift, &first, &count);
	if (!count)
		return;
	cobj_map_need(o);
	if (set)
		augur_map_set_range(o->fly, first, count);
	else if (o->fly)
		augur_map_clear_range(o->fly, first, count);
}

struct fill *fill_new(struct fwork *f, u64 off, u64 len, struct grant *g, enum fill_why why)
{
	struct fill *fl = xcalloc(1, sizeof(*fl));

	fl->f = f;
	fl->off = off;
	fl->len = len;
	fl->g = g;
	fl->why = why;
	fl->begun_ns = io_now(f->v->io);
	fl->fh = f->o->fh;
	fl->version = f->o->version;
	fl->tag = f->o->tag;
	if (g)
		g->fills++;
	if (why)
		f->v->ahead_bytes += len;
	list_add_tail(&f->fills, &fl->link);
	fly_range(f->o, off, len, true);
	return fl;
}

/* Another version may have taken the object's place meanwhile: these bytes are not its. */
bool fill_current(const struct fill *fl)
{
	const struct cobj *o = fl->f->o;

	return fh_equal(&fl->fh, &o->fh) && fl->version == o->version && fl->tag == o->tag;
}

/* Remembers that [off, off + len) came; ranges are few because frames come in order. */
static int got_add(struct fill *fl, u64 off, u64 len)
{
	for (int i = 0; i < fl->ngot; i++) {
		if (fl->got[i].off + fl->got[i].len == off) {
			fl->got[i].len += len;
			return 0;
		}
		if (off + len == fl->got[i].off) {
			fl->got[i].off = off;
			fl->got[i].len += len;
			return 0;
		}
	}
	if (fl->ngot == (int)ARRAY_SIZE(fl->got))
		return -EBADMSG;
	fl->got[fl->ngot++] = (struct upcall_range){ off, len };
	return 0;
}

static bool got_all(struct fill *fl)
{
	u64 at = fl->off;
	bool moved = true;

	while (moved && at < fl->off + fl->len) {
		moved = false;
		for (int i = 0; i < fl->ngot; i++)
			if (fl->got[i].off <= at && fl->got[i].off + fl->got[i].len > at) {
				at = fl->got[i].off + fl->got[i].len;
				moved = true;
			}
	}
	return at >= fl->off + fl->len;
}

static void grant_fill_done(struct vol *v, struct fill *fl, bool complete)
{
	struct grant *g = fl->g;

	if (!fl->err && g->n < UPCALL_RANGES_MAX)
		g->done[g->n++] = (struct upcall_range){ fl->off, fl->len };
	if (--g->fills)
		return;
	if (v->m)
		upcall_fill_end(v->m, g->id, g->done, g->n, complete);
	free(g);
}

static void fail_own(struct fwork *f, u64 off, u64 len, int err)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &f->own) {
		struct file_wait *w = container_of(p, struct file_wait, link);

		if (w->off >= off + len || off >= w->off + w->len)
			continue;
		list_del(&w->link);
		w->fn(w->arg, err);
		free(w);
	}
}

static void fail_waits(struct fwork *f, u64 off, u64 len, int err)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &f->waits) {
		struct req *r = container_of(p, struct req, link);

		if (r->off < off + len && off < r->off + r->len)
			req_reply(r, err, 0);
	}
	fail_own(f, off, len, err);
}

/* For ourselves there is no point in waiting; a reader waits, as long as the kernel lets it. */
static void no_room(struct fwork *f, u64 off, u64 len)
{
	fail_own(f, off, len, -ENOSPC);
	space_wait_file(f);
}

/* What came unasked is counted until somebody uses it (ahead.c). */
static void brought(const struct fill *fl)
{
	struct vol *v = fl->f->v;

	if (fl->why == FILL_BEHIND) {
		v->behind_brought += fl->len;
	} else if (fl->why == FILL_AHEAD) {
		v->ahead_brought += fl->len;
		fl->f->o->flags |= COBJ_AHEAD;
		fl->f->o->ahead_left += fl->len;
	}
}

void fill_finish(struct fill *fl)
{
	struct fwork *f = fl->f;
	struct vol *v = vol_get(f->v);	/* those who are told may be its last users, and f goes with it */
	struct cobj *o = f->o;
	struct batch *b = fl->b;
	bool current = fill_current(fl);
	int err;

	if (!current)
		fl->err = -ESTALE;
	err = fl->err;
	list_del(&fl->link);
	if (current)
		fly_range(o, fl->off, fl->len, false);
	if (fl->why)
		v->ahead_bytes -= fl->len;
	if (fl->stream)
		v->space.stream_fly -= fl->len;
	/* Begun before the disk was found full, it landed in the room that is for all. */
	if (!err && (fl->stream || (!fl->g && space_streams(v)))) {
		stream_note(v, o, fl->off, fl->len);
	} else if (!err) {
		cobj_present(v->c, o, fl->off, fl->len);
		space_filled(v, fl->len);
		brought(fl);
	}
	if (fl->g)
		grant_fill_done(v, fl, current && (o->flags & COBJ_COMPLETE));
	if (err == -ESTALE && current)
		file_stale(v, o);
	/* An unasked fill that failed is no verdict for those who waited on it: they ask themselves. */
	if (err == -ENOSPC && current && !v->dead)
		no_room(f, fl->off, fl->len);
	else if (err && current && (!fl->why || err == -ESTALE))
		fail_waits(f, fl->off, fl->len, err);
	if (fl->why == FILL_BEHIND)
		behind_done(f, fl, err);
	else if (!fl->why && !err)
		behind_asked(f, fl);
	free(fl);
	if (b)
		batch_item_done(b);
	waits_check(f);
	vol_put(v);
}

static void fill_maybe(struct fill *fl)
{
	if (!fl->ended || fl->writes)
		return;
	if (!fl->err && !got_all(fl))
		fl->err = -EIO;
	if (!fill_give_back(fl))
		fill_finish(fl);
}

struct fill_write { struct cache_write w; struct fill *fl; struct xfer_buf *buf; };

static void write_done(struct cache_write *w, int res)
{
	struct fill_write *fw = container_of(w, struct fill_write, w);
	struct fill *fl = fw->fl;

	xfer_buf_put(fw->buf);
	if (res && !fl->err) {
		fl->err = res;
		if (res != -ENOSPC)
			log_warn("event=fill_write error=\"%s\" hint=\"check the cache disk\"", strerror(-res));
	}
	fl->writes--;
	free(fw);
	fill_maybe(fl);
}

/* Bytes for the lower file, at @off of the file. */
void fill_data(struct fill *fl, u64 off, struct xfer_buf *body)
{
	struct cobj *o = fl->f->o;
	struct fill_write *fw;

	if (fl->err || fl->f->v->dead)
		return;
	if (!fill_current(fl)) {
		fl->err = -ESTALE;
		return;
	}
	if (off < fl->off || off - fl->off > fl->len || body->len > fl->len - (off - fl->off) ||
	    got_add(fl, off, body->len)) {
		log_err("event=bad_answer what=range off=%llu len=%zu", (unsigned long long)off, body->len);
		fl->err = -EIO;
		return;
	}
	fw = xcalloc(1, sizeof(*fw));
	fw->fl = fl;
	fw->buf = body;
	xfer_buf_get(body);
	fw->w.c = fl->f->v->c;
	fw->w.fh = fl->fh;
	fw->w.off = off;
	fw->w.p = body->data;
	fw->w.len = body->len;
	fw->w.caps = o->flags & COBJ_CAPS;
	fw->w.done = write_done;
	fl->writes++;
	fl->wrote = true;
	cache_write(&fw->w);
}

/* No more bytes will come. */
void fill_end(struct fill *fl, int err)
{
	if (err && !fl->err)
		fl->err = err;
	fl->ended = true;
	if (seeded(SEEDED_EARLY_CLAIM) && !fl->err && got_all(fl) && fill_current(fl)) {
		cobj_present(fl->f->v->c, fl->f->o, fl->off, fl->len);
		waits_check(fl->f);
	}
	fill_maybe(fl);
}

/* ---- READ ---- */

static void read_frame(struct ask *a, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct fill *fl = container_of(a, struct fill, a);

	if (h->flags & WIRE_DATA)
		fill_data(fl, h->off, body);
}

static void read_restart(struct ask *a)
{
	struct fill *fl = container_of(a, struct fill, a);

	fl->ngot = 0;
}

static int read_check(struct fill *fl, struct wire_in in)
{
	u64 version = ~0ull, tag = ~0ull;
	struct wire_val val;
	int err;

	while ((err = wire_next(&in, &val)) == 1) {
		err = 0;
		if (val.tag == WF_VERSION)
			err = wire_get_u64(&val, &version);
		else if (val.tag == WF_TAG)
			err = wire_get_u64(&val, &tag);
		if (err)
			return -EIO;
	}
	if (err)
		return -EIO;
	return (version == fl->version && tag == fl->tag) || seeded(SEEDED_STALE_REPLY) ? 0 : -ESTALE;
}

int fill_said(int status)
{
	if (status == -ENOENT)
		return -ESTALE;		/* the object is gone */
	return status == -ENOSPC ? -EIO : status;	/* no disk of ours, for which room would be made */
}

static void read_done(struct ask *a, int status, struct wire_in body)
{
	struct fill *fl = container_of(a, struct fill, a);

	fill_end(fl, status ? fill_said(status) : read_check(fl, body));
}

static void read_start(struct fill *fl)
{
	struct cobj *o = fl->f->o;
	struct ask *a = &fl->a;

	a->v = fl->f->v;
	a->type = WIRE_READ;
	a->pu = o->pu;
	a->frame = read_frame;
	a->restart = read_restart;
	a->done = read_done;
	wire_out_init(&a->body);
	ask_put_object(&a->body, o);
	wire_put_u64(&a->body, WF_VERSION, o->version);
	wire_put_u64(&a->body, WF_TAG, seeded(SEEDED_STALE_REPLY) ? 0 : o->tag);
	wire_put_u64(&a->body, WF_OFF, fl->off);
	wire_put_u64(&a->body, WF_LEN, fl->len);
	ask_start(a);
}

/* ---- what of a range has to be brought ---- */

/* The first chunk in [first, limit) neither here nor under way, and the end of that run. */
static bool absent_run(const struct cobj *o, u64 *first, u64 *end, u64 limit)
{
	u64 c = *first;

	if (o->flags & COBJ_COMPLETE)
		return false;
	while (c < limit && ((o->map && augur_map_test(o->map, c)) || (o->fly && augur_map_test(o->fly, c))))
		c++;
	if (c >= limit)
		return false;
	*first = c;
	while (c < limit && !(o->map && augur_map_test(o->map, c)) && !(o->fly && augur_map_test(o->fly, c)))
		c++;
	*end = c;
	return true;
}

static void pieces(struct fwork *f, u64 off, u64 len, struct grant *g, enum fill_why why)
{
	struct fill *fl;

	while (len) {
		u64 n = min(len, (u64)AGENT_READ_PIECE);

		/* A chunk is never split between two fills. */
		if (n < len && ((u64)1 << f->o->shift) > n)
			n = min(len, (u64)1 << f->o->shift);
		fl = fill_new(f, off, n, g, why);
		fl->stream = !g && space_streams(f->v);
		if (fl->stream)
			f->v->space.stream_fly += n;
		read_start(fl);
		off += n;
		len -= n;
	}
}

static int with_grant(struct fwork *f, u64 off, u64 len, enum fill_why why)
{
	struct upcall_range r[UPCALL_RANGES_MAX];
	int n = UPCALL_RANGES_MAX, err;
	struct grant *g;
	u64 id;

	if (!f->v->m)
		return -ENOTCONN;
	err = upcall_fill_begin(f->v->m, f->o->oid, &f->o->fh, off, len, r, &n, &id, NULL);
	if (err || !id)
		return err;
	g = xcalloc(1, sizeof(*g));
	g->id = id;
	g->fills = 1;		/* ours, until all are started */
	for (int i = 0; i < n; i++)
		if (r[i].off < f->o->size && r[i].len <= f->o->size - r[i].off)
			pieces(f, r[i].off, r[i].len, g, why);
	if (--g->fills == 0) {
		upcall_fill_end(f->v->m, g->id, NULL, 0, false);
		free(g);
	}
	return 0;
}

bool file_absent(const struct cobj *o, u64 *off, u64 *len)
{
	u64 first = *off >> o->shift, end;

	if (!absent_run(o, &first, &end, (o->size + ((u64)1 << o->shift) - 1) >> o->shift))
		return false;
	*off = first << o->shift;
	*len = min(end << o->shift, o->size) - *off;
	return true;
}

/* 0 if what is absent of [first, limit) may be streamed now; -EAGAIN: it waits for that. */
static int stream_room(struct fwork *f, u64 first, u64 limit)
{
	const struct cobj *o = f->o;
	u64 end, bytes = 0;
	int err;

	for (; absent_run(o, &first, &end, limit); first = end)
		bytes += min(end << o->shift, o->size) - (first << o->shift);
	err = bytes ? space_stream_room(f->v, bytes) : 0;
	if (err == -EAGAIN)
		space_wait_file(f);
	return err;
}

int file_fill(struct fwork *f, u64 off, u64 len, bool grants, enum fill_why why)
{
	struct cobj *o = f->o;
	u64 first, count, end, limit;
	int err = 0;

	if ((o->flags & COBJ_EVICTING) || !list_empty(&f->room) || (why && space_tight(f->v)))
		return 0;
	augur_chunk_range(off, len, o->size, o->shift, &first, &count);
	limit = first + count;
	if (!grants && space_streams(f->v))
		err = stream_room(f, first, limit);
	while (!err && absent_run(o, &first, &end, limit)) {
		u64 a = first << o->shift, b = min(end << o->shift, o->size);

		if (grants)
			err = with_grant(f, a, b - a, why);
		else
			pieces(f, a, b - a, NULL, why);
		first = end;
	}
	return err == -EAGAIN ? 0 : err;
}

/* ---- those who wait ---- */

/* False: it is more than a full disk can stream, and was told so. */
static bool req_fill(struct fwork *f, struct req *r)
{
	int err = file_fill(f, r->off, r->len, false, FILL_ASKED);

	if (err)
		req_reply(r, err, 0);
	return !err;
}

static void waits_check(struct fwork *f)
{
	struct vol *v = f->v;
	struct list *p, *t;

	if (f->o->flags & COBJ_EVICTING)
		return;
	vol_get(v);
	list_for_each_safe(p, t, &f->waits) {
		struct req *r = container_of(p, struct req, link);

		if (!fh_equal(&r->fh, &f->o->fh)) {
			req_reply(r, -ESTALE, 0);	/* of an inode that was switched away */
		} else if (cobj_has(f->o, r->off, r->len)) {
			req_reply_fetch(r, f->o);
		} else {
			/* What it waited for came from elsewhere and failed: its own question. */
			req_fill(f, r);
		}
	}
	list_for_each_safe(p, t, &f->own) {
		struct file_wait *w = container_of(p, struct file_wait, link);

		int err = 0;

		if (!cobj_has(f->o, w->off, w->len)) {
			if (space_tight(f->v))
				err = -ENOSPC;	/* for ourselves, of a disk that has no room for readers */
			else if (list_empty(&f->fills))
				err = file_fill(f, w->off, w->len, true, FILL_ASKED);
			if (!err && !list_empty(&f->fills))
				continue;
			/* No error and no grant: the kernel knows that it is all here. */
		}
		list_del(&w->link);
		w->fn(w->arg, err);
		free(w);
	}
	fwork_put(f);
	vol_put(v);
}

void file_kick(struct vol *v, struct cobj *o)
{
	struct fwork *f = map_get(&v->files, o->oid);

	if (f)
		waits_check(f);
}

/* A small file comes whole: the rest of it costs no round trip. */
static void whole_small(struct fwork *f, const struct req *r)
{
	if (f->o->size <= AGENT_SMALL && (r->off || r->len < f->o->size) && !space_tight(f->v))
		file_fill(f, 0, f->o->size, true, FILL_ASKED);
}

void file_request(struct req *r, struct cobj *o)
{
	struct vol *v = r->v;
	struct fwork *f;
	bool prefetch = r->flags & AUGUR_RQ_PREFETCH;

	v->n_fetch++;
	if (r->off >= o->size || r->len > o->size - r->off || (o->flags & COBJ_STALE) ||
	    (r->version && r->version != o->version)) {
		req_reply(r, -ESTALE, 0);
		return;
	}
	f = fwork_get(v, o);
	/* What is here may be gone in a moment. */
	if (o->flags & COBJ_EVICTING) {
		list_add_tail(&f->waits, &r->link);
		return;
	}
	if (cobj_has(o, r->off, r->len)) {
		v->ahead_hits++;
		ahead_read(f, r);
		req_reply_fetch(r, o);
		fwork_put(f);
		return;
	}
	if (prefetch && space_tight(v)) {
		req_reply(r, -ENOSPC, 0);
		fwork_put(f);
		return;
	}
	/* First what is waited for, then what is worth having beside it. */
	list_add_tail(&f->waits, &r->link);
	if (!req_fill(f, r)) {
		fwork_put(f);
		return;
	}
	whole_small(f, r);
	if (!prefetch) {
		if (o->size <= AGENT_SMALL)
			ahead_small(v, o);
		else
			ahead_read(f, r);
	}
}

void file_need(struct vol *v, struct cobj *o, u64 off, u64 len, void (*fn)(void *arg, int err), void *arg)
{
	struct fwork *f = fwork_get(v, o);
	struct file_wait *w = xcalloc(1, sizeof(*w));

	w->off = off;
	w->len = len;
	w->fn = fn;
	w->arg = arg;
	list_add_tail(&f->own, &w->link);
	waits_check(f);
}

void file_drop_requests(struct vol *v)
{
	struct fwork *f;
	size_t it = 0;
	struct list *p, *t;

	while ((f = map_next(&v->files, &it)))
		list_for_each_safe(p, t, &f->waits)
			req_reply(container_of(p, struct req, link), -ENOTCONN, 0);
}

/* What nothing hangs on any more; the rest goes with its last fill. */
void file_free_idle(struct vol *v)
{
	struct fwork *f;
	size_t it = 0;

	while ((f = map_next(&v->files, &it)))
		if (fwork_idle(f)) {
			fwork_free(f);
			it = 0;
		}
}

void file_stale(struct vol *v, struct cobj *o)
{
	if (!(o->flags & COBJ_STALE))
		change_apply(v, AUGUR_INVAL_DATA, o->oid, NULL, NULL, 0, NULL, NULL);
}
