// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ahead.c - bytes before they are asked for: read-ahead in a large file, and the small files
 * of a directory in batches.
 *
 * A sequential reader's window doubles to AGENT_AHEAD_MAX; it moves on with each request, and
 * requests for chunks already on their way are how a reader that is faster than the link
 * shows where it is.  The second small file missed in one directory brings the others in the
 * directory's own order, AGENT_DIR_AHEAD bytes at a time, more as they are used, and in all no more
 * than is used and asked for otherwise: who picks files here and there does not pay for it.  A reader that
 * has begun several directories in a row with their first file is taken to read all of them: the
 * next ones' files come at their first miss, and those of directories listed ahead (walk.c)
 * before it, as long as what came before is used.  Nothing here is written without the
 * kernel's grant.  Loop thread only.
 *
 * long file: the batches and the two kinds of readers that want them share the hints and their credit.
 */
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/log.h"

#define WINDOW_MIN	(1u << 20)
#define BATCH_BYTES	(512u * 1024)
#define BATCH_FILES	64
#define HINTS_MAX	256
#define JUMPS_TRIED	8
#define SCAN_STEP	256		/* names looked at in one go */

struct batch {
	struct ask	a;
	struct list	link;
	struct hint	*h;
	struct vol	*v;
	u8		dir[AUGUR_OID_LEN];
	struct fill	*items[BATCH_FILES];
	u8		oids[BATCH_FILES][AUGUR_OID_LEN];
	u64		bytes;
	unsigned int	n, left;
	bool		sent, over;
};

/* ---- a large file ---- */

static bool sequential(const struct fwork *f, const struct req *r)
{
	return r->off == f->next_off || (r->flags & AUGUR_RQ_SEQ) ||
	       (f->runs && r->off >= f->next_off && r->off <= f->ahead_end);
}

void ahead_read(struct fwork *f, const struct req *r)
{
	struct cobj *o = f->o;
	u64 end = r->off + r->len, to, from;

	if (r->flags & AUGUR_RQ_PREFETCH || (o->flags & COBJ_COMPLETE))
		return;
	if (sequential(f, r)) {
		f->runs++;
		f->window = min(max(max(f->window * 2, r->want), (u64)WINDOW_MIN), (u64)AGENT_AHEAD_MAX);
	} else {
		f->runs = 0;
		f->window = 0;
		f->ahead_end = end;
		behind_miss(f);
	}
	f->next_off = end;
	/* The kernel's own wish is honoured for a first read, until reads are known to jump. */
	to = min(o->size, r->off + max(f->window ? r->len + f->window : 0, f->jumps > JUMPS_TRIED ? 0 : r->want));
	from = max(end, f->ahead_end > end && f->ahead_end <= to ? f->ahead_end : end);
	/* Move on in steps worth a request. */
	if (from >= to || (to - from < WINDOW_MIN / 2 && to < o->size && f->ahead_end > end) ||
	    f->v->ahead_bytes >= AGENT_FLY_MAX || space_tight(f->v))
		return;
	f->v->n_ahead++;
	file_fill(f, from, to - from, true, FILL_AHEAD);
	f->ahead_end = to;
}

/* ---- hints: what is known of a directory's order ---- */

struct hint_list { struct io_op op; struct vol *v; u8 oid[AUGUR_OID_LEN]; struct fh fh; struct cache *c; struct lower_name *names; size_t n; };

static void hint_free(struct hint *h)
{
	struct list *p, *t;

	map_del(&h->v->hints, h->oid);
	list_del(&h->stream);
	list_for_each_safe(p, t, &h->batches) {
		container_of(p, struct batch, link)->h = NULL;
		list_del(p);
	}
	free(h->names);
	free(h->subs);
	free(h);
}

static void hints_trim(struct vol *v)
{
	struct hint *h, *oldest = NULL;
	size_t it = 0;

	if (v->hints.live < HINTS_MAX)
		return;
	while ((h = map_next(&v->hints, &it)))
		if (!h->listing && !h->loading && (!oldest || h->used_ns < oldest->used_ns))
			oldest = h;
	if (oldest)
		hint_free(oldest);
}

void hints_free(struct vol *v)
{
	struct hint *h;
	size_t it = 0;

	while ((h = map_next(&v->hints, &it))) {
		hint_free(h);
		it = 0;
	}
}

struct hint *hint_get(struct vol *v, const u8 *dir)
{
	struct hint *h = map_get(&v->hints, dir);

	if (!h) {
		hints_trim(v);
		h = xcalloc(1, sizeof(*h));
		memcpy(h->oid, dir, AUGUR_OID_LEN);
		h->v = v;
		list_init(&h->batches);
		list_init(&h->stream);
		map_put(&v->hints, h);
	}
	h->used_ns = io_now(v->io);
	return h;
}

static int list_work(void *arg)
{
	struct hint_list *hl = arg;

	return lower_list(hl->c, &hl->fh, &hl->names, &hl->n);
}

static void list_done(struct io_op *op, int res)
{
	struct hint_list *hl = container_of(op, struct hint_list, op);
	struct hint *h = map_get(&hl->v->hints, hl->oid);
	struct cobj *d = cobj_peek(hl->c, hl->oid);

	cache_worked(hl->c);
	if (h) {
		h->listing = false;
		h->n = 0;
		free(h->names);
		h->names = xcalloc(hl->n ? hl->n : 1, sizeof(*h->names));
		for (size_t i = 0; i < hl->n && !res; i++) {
			const struct lower_name *ln = &hl->names[i];
			struct hint_name *hn = &h->names[h->n];

			if (!ln->valid || (ln->complete && !ln->is_dir))
				continue;
			memcpy(hn->oid, ln->oid, AUGUR_OID_LEN);
			hn->fh = ln->fh;
			hn->size = ln->size;
			hn->is_dir = ln->is_dir;
			hn->tried = ln->complete;
			h->n++;
		}
		h->listed = !res;
		h->gen = d ? d->gen : 0;
		h->cursor = 0;
		if (!res && !h->subs_known)
			walk_subs(h);
		if (!res && !hl->v->dead)
			hint_go(h);
		if (!hl->v->dead)
			stream_go(hl->v);
	}
	lower_names_free(hl->names, hl->n);
	vol_put(hl->v);
	free(hl);
}

static void hint_list(struct hint *h, const struct cobj *d)
{
	struct hint_list *hl = xcalloc(1, sizeof(*hl));

	h->listing = true;
	hl->v = vol_get(h->v);
	hl->c = h->v->c;
	memcpy(hl->oid, h->oid, AUGUR_OID_LEN);
	hl->fh = d->fh;
	hl->op.done = list_done;
	cache_work(hl->c, &hl->op, list_work, hl);
}

/* ---- batches of small files ---- */

static void files_go(struct hint *h);

void batch_item_done(struct batch *b)
{
	if (--b->left || !b->over)
		return;
	if (b->h) {
		list_del(&b->link);
		b->h->fly -= b->bytes;
		if (!b->v->dead) {
			files_go(b->h);
			stream_go(b->v);
		}
	}
	free(b);
}

static struct fill *item_of(struct batch *b, const struct wire_hdr *h)
{
	u32 i = h->off >> 32;

	return i < b->n ? b->items[i] : NULL;
}

static int item_check(const struct cobj *o, struct wire_in in)
{
	u64 version = ~0ull, tag = ~0ull;
	struct wire_val val;

	while (wire_next(&in, &val) == 1) {
		if (val.tag == WF_VERSION)
			wire_get_u64(&val, &version);
		else if (val.tag == WF_TAG)
			wire_get_u64(&val, &tag);
	}
	return version == o->version && tag == o->tag ? 0 : -ESTALE;
}

static void batch_frame(struct ask *a, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct batch *b = container_of(a, struct batch, a);
	struct fill *fl = item_of(b, h);
	int status = h->status;

	if (!fl)
		return;
	if (h->flags & WIRE_DATA) {
		fill_data(fl, h->off & 0xffffffff, body);
		return;
	}
	if (!(h->flags & WIRE_DONE))
		return;
	b->items[h->off >> 32] = NULL;
	fill_end(fl, status ? fill_said(status) :
			      item_check(fl->f->o, (struct wire_in){ body->data, body->data + body->len }));
}

/* Items that had ended stay ended; the others begin anew. */
static void batch_restart(struct ask *a)
{
	struct batch *b = container_of(a, struct batch, a);

	for (u32 i = 0; i < b->n; i++)
		if (b->items[i])
			b->items[i]->ngot = 0;
}

static void batch_done(struct ask *a, int status, struct wire_in body)
{
	struct batch *b = container_of(a, struct batch, a);

	b->left++;
	b->over = true;
	for (u32 i = 0; i < b->n; i++) {
		struct fill *fl = b->items[i];

		b->items[i] = NULL;
		if (fl)
			fill_end(fl, status ? fill_said(status) : -EIO);
	}
	batch_item_done(b);
}

static struct batch *batch_new(struct hint *h)
{
	struct batch *b = xcalloc(1, sizeof(*b));

	b->v = h->v;
	b->h = h;
	memcpy(b->dir, h->oid, AUGUR_OID_LEN);
	list_add_tail(&h->batches, &b->link);
	return b;
}

static void batch_send(struct batch *b, u32 pu)
{
	struct ask *a = &b->a;

	a->v = b->v;
	a->type = WIRE_BATCH;
	a->pu = pu;
	a->frame = batch_frame;
	a->restart = batch_restart;
	a->done = batch_done;
	wire_out_init(&a->body);
	for (u32 i = 0; i < b->n; i++) {
		struct cobj *o = b->items[i]->f->o;
		size_t mark = wire_nest(&a->body, WF_ITEM);

		ask_put_object(&a->body, o);
		wire_put_u64(&a->body, WF_VERSION, o->version);
		wire_put_u64(&a->body, WF_TAG, o->tag);
		wire_put_u64(&a->body, WF_LEN, o->size);
		wire_nest_end(&a->body, mark);
	}
	b->v->n_batch++;
	ask_start(a);
}

/* Takes the file into the batch if the kernel grants all of it. */
static bool batch_add(struct batch *b, struct cobj *o)
{
	struct vol *v = b->v;
	struct upcall_range r[1];
	struct grant *g;
	struct fwork *f;
	int n = 1;
	u64 id;

	if ((o->flags & (COBJ_COMPLETE | COBJ_STALE | COBJ_EVICTING)) || !o->size || o->map)
		return false;
	if (upcall_fill_begin(v->m, o->oid, &o->fh, 0, o->size, r, &n, &id, NULL) || !id)
		return false;
	if (n != 1 || r[0].off || r[0].len < o->size) {
		upcall_fill_end(v->m, id, NULL, 0, false);
		return false;
	}
	g = xcalloc(1, sizeof(*g));
	g->id = id;
	f = fwork_get(v, o);
	b->items[b->n] = fill_new(f, 0, o->size, g, FILL_AHEAD);
	b->items[b->n]->b = b;
	b->n++;
	b->left++;
	b->bytes += o->size;
	return true;
}

struct file_load { struct hint *h; struct vol *v; u8 dir[AUGUR_OID_LEN]; };

static void file_loaded(void *arg, struct cobj *o)
{
	struct file_load *fl = arg;
	struct hint *h = map_get(&fl->v->hints, fl->dir);

	if (h && !--h->loading && !fl->v->dead) {
		files_go(h);
		stream_go(fl->v);
	}
	vol_put(fl->v);
	free(fl);
}

/* Objects the memory has forgotten are loaded first. */
static bool load_some(struct hint *h)
{
	size_t end = min(h->n, h->cursor + BATCH_FILES);

	for (size_t i = h->cursor; i < end; i++) {
		struct hint_name *hn = &h->names[i];
		struct file_load *fl;

		if (hn->is_dir || hn->tried || hn->size > AGENT_SMALL || cobj_peek(h->v->c, hn->oid))
			continue;
		fl = xcalloc(1, sizeof(*fl));
		fl->v = vol_get(h->v);
		memcpy(fl->dir, h->oid, AUGUR_OID_LEN);
		h->loading++;
		cobj_load(h->v->c, hn->oid, file_loaded, fl);
	}
	return h->loading;
}

/* From where the reader is to the end, then once from the beginning. */
static void cursor_place(struct hint *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (!memcmp(h->names[i].oid, h->last, AUGUR_OID_LEN)) {
			h->cursor = i + 1;
			return;
		}
}

static bool names_left(struct hint *h)
{
	size_t looked = 0;

	while (looked++ < h->n) {
		if (h->cursor >= h->n)
			h->cursor = 0;
		struct hint_name *hn = &h->names[h->cursor];

		if (!hn->is_dir && !hn->tried && hn->size && hn->size <= AGENT_SMALL)
			return true;
		h->cursor++;
	}
	return false;
}

/* What the volume's small files have not yet repaid; a reader of everything has a limit of his own. */
static u64 trust_left(const struct vol *v)
{
	u64 earned = AGENT_DIR_TRUST + v->small_used + v->small_asked, idle = v->small_brought - v->small_used;

	return scanning(v) ? UINT64_MAX : earned - min(earned, idle);
}

/* One batch from the cursor on; false: nothing more to send now. */
static bool batch_fill(struct hint *h)
{
	u64 most = min(h->credit, trust_left(h->v));
	struct batch *b = batch_new(h);
	size_t looked = 0;
	u32 pu = 0;

	while (names_left(h) && looked++ < SCAN_STEP && b->n < BATCH_FILES && b->bytes < BATCH_BYTES &&
	       h->fly + b->bytes < AGENT_DIR_AHEAD && b->bytes < most) {
		struct hint_name *hn = &h->names[h->cursor];
		struct cobj *o = cobj_peek(h->v->c, hn->oid);

		if (!o && load_some(h))
			break;
		/* One owner a batch: another one's files wait for the next. */
		if (o && pu && place_owner(h->v->map, o->pu) != place_owner(h->v->map, pu))
			break;
		hn->tried = true;
		if (o && cobj_is_file(o) && batch_add(b, o))
			pu = o->pu;
	}
	if (!b->n) {
		list_del(&b->link);
		free(b);
		return false;
	}
	h->fly += b->bytes;
	h->credit -= min(h->credit, b->bytes);
	h->v->small_brought += b->bytes;
	batch_send(b, pu);
	return true;
}

static void files_go(struct hint *h)
{
	struct vol *v = h->v;

	if (!h->want_files || !h->listed || h->loading || !v->m || !v->map || space_tight(v))
		return;
	while (h->credit && h->fly < AGENT_DIR_AHEAD && v->ahead_bytes < AGENT_FLY_MAX && !h->loading)
		if (!batch_fill(h))
			break;
}

/* ---- a reader of everything ---- */

/* Did the first miss fall on the first file that could be missed? */
static void judge(struct hint *h)
{
	struct vol *v = h->v;

	h->judge = false;
	for (size_t i = 0; i < h->n; i++) {
		const struct hint_name *hn = &h->names[i];

		if (hn->is_dir || hn->tried || !hn->size || hn->size > AGENT_SMALL)
			continue;
		if (memcmp(hn->oid, h->last, AUGUR_OID_LEN))
			break;
		if (!v->scan++)
			v->stream_base = v->ahead_brought - v->ahead_used;
		h->want_files |= scanning(v);
		return;
	}
	v->scan = 0;
}

static u64 stream_room(const struct vol *v)
{
	u64 idle = v->ahead_brought - v->ahead_used - min(v->stream_base, v->ahead_brought - v->ahead_used);

	if (!scanning(v) || v->ahead_bytes >= AGENT_STREAM_FLY || v->ahead_bytes + idle >= AGENT_STREAM_MAX)
		return 0;
	return AGENT_STREAM_MAX - v->ahead_bytes - idle;
}

void stream_go(struct vol *v)
{
	u64 room;

	while (!list_empty(&v->streamq) && (room = stream_room(v))) {
		struct hint *h = list_first(&v->streamq, struct hint, stream);

		if (h->listing || h->loading)
			return;		/* goes on when that is done */
		if (!h->listed) {
			list_del(&h->stream);
			continue;
		}
		h->want_files = true;
		h->credit = max(h->credit, min(room, (u64)AGENT_DIR_AHEAD));
		files_go(h);
		if (h->loading)
			return;
		if (names_left(h) && h->fly)
			return;
		list_del(&h->stream);
	}
}

/* @now: its reader is there. */
void stream_push(struct hint *h, bool now)
{
	if (now) {
		list_del(&h->stream);
		list_add_tail(h->v->streamq.next, &h->stream);
	} else if (list_empty(&h->stream)) {
		list_add_tail(&h->v->streamq, &h->stream);
	}
	hint_go(h);
	stream_go(h->v);
}

void hint_go(struct hint *h)
{
	struct cobj *d = cobj_peek(h->v->c, h->oid);

	if (h->want_dirs && h->subs_known)
		walk_push(h);
	if (h->listing || (h->subs_known && !h->want_files && !h->judge && list_empty(&h->stream)))
		return;
	if (!h->listed || (d && d->gen != h->gen)) {
		if (d)
			hint_list(h, d);
		return;
	}
	if (h->judge)
		judge(h);
	if (h->want_files) {
		cursor_place(h);
		files_go(h);
	}
}

void ahead_small(struct vol *v, struct cobj *o)
{
	struct hint *h = hint_get(v, o->parent);

	h->misses++;
	v->small_asked += o->size;
	memcpy(h->last, o->oid, AUGUR_OID_LEN);
#ifdef AUGUR_SEED_NO_BATCH	/* the seeded bug of tests/accept line speed */
	return;
#endif
	h->judge = h->misses == 1 && !h->want_files;
	h->want_files |= h->misses > 1;
	h->credit = max(h->credit, (u64)AGENT_DIR_AHEAD);
	hint_go(h);
}

static void ahead_use(struct vol *v, struct cobj *o, u64 bytes)
{
	bytes = min(bytes, o->ahead_left);
	v->ahead_used += bytes;
	o->ahead_left -= bytes;
}

/*
 * Was it worth it?  A small file is used when it is opened, and its directory may go on; of a
 * large one so many bytes as were read, told when it is closed.
 */
void ahead_event(struct vol *v, const struct augur_event *ev)
{
	struct cobj *o;
	struct hint *h;

	if (ev->op != AUGUR_EV_OPEN && ev->op != AUGUR_EV_CLOSE)
		return;
	o = map_get(&v->c->objs, ev->oid);
	if (!o || !(o->flags & COBJ_AHEAD) || !cobj_is_file(o))
		return;
	if (o->size > AGENT_SMALL) {
		if (ev->op == AUGUR_EV_CLOSE)
			ahead_use(v, o, le64_to_cpu(ev->off));
		return;
	}
	o->flags &= ~COBJ_AHEAD;
	v->small_used += o->ahead_left;
	ahead_use(v, o, o->ahead_left);
	v->ahead_hits++;
	h = map_get(&v->hints, o->parent);
	stream_go(v);
	if (!h || !h->want_files)
		return;
	h->credit = min(h->credit + o->size, (u64)AGENT_DIR_AHEAD);
	files_go(h);
}
