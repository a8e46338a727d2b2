// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * space.c - room on the cache's filesystem: watermarks, who waits for room, reads of a full disk.
 *
 * Percent free below evict/cull begins eviction, oldest use first, above evict/run it ends; below
 * evict/stop nothing is fetched that nobody waits for.  A fill that the disk refuses does not fail
 * its reader: it waits here while objects are evicted, and is tried again; one that has waited for
 * most of timeout_ms is told ENOSPC.  When none can be evicted the volume streams: the reserve
 * (.augur/reserve) is let go, requests are filled a few chunks at a time, never claimed, and each
 * chunk is taken away again after STREAM_KEEP_NS or as soon as another needs its room (decision
 * 0007).  Loop thread only.
 * (long file: watermarks, who waits and what is streamed are one state)
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/log.h"

#define TICK_NS		(1ull * 1000000000)
#define HURRY_NS	(20ull * 1000000)	/* while somebody waits for room */
#define TRY_AGAIN_NS	(1ull * 1000000000)	/* after a round that found nothing to evict */
#define LOG_NS		(10ull * 1000000000)
#define STREAM_MIN_NS	(250ull * 1000000)	/* a chunk stays for the reader it came for */
#define STREAM_KEEP_NS	(2ull * 1000000000)
#define RESERVE_MIN	(2ull << 20)
#define RESERVE_MAX	(64ull << 20)

struct stream { struct list link; struct cobj *o; struct fh fh; u64 off, len, born_ns; bool going; };

static void space_tick(struct vol *v);
static void space_arm(struct vol *v, u64 delay_ns);
static void wake_all(struct vol *v);

static const char *const state_names[] = { "ok", "culling", "full", "streaming" };

const char *space_state(const struct vol *v)
{
	return state_names[v->space.state];
}

bool space_tight(const struct vol *v)
{
	return v->space.tight || v->space.state >= SPACE_FULL;
}

bool space_streams(const struct vol *v)
{
	return v->space.state == SPACE_STREAMING;
}

/* ---- what is free ---- */

u32 space_knob(const struct vol *v, const char *name, u32 def)
{
	char path[96], buf[16];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/sys/fs/augurfs/%llu/evict/%s", (unsigned long long)v->m->id, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, buf, sizeof(buf) - 1);
		close(fd);
	}
	if (n <= 0)
		return def;
	buf[n] = 0;
	return strtoul(buf, NULL, 10);
}

/* Without the files (no kernel) nothing is evicted by itself. */
static void space_look(struct vol *v)
{
	struct space *s = &v->space;
	struct cache_space cs;
	u64 percent;

	s->run = space_knob(v, "run", 0);
	s->cull = space_knob(v, "cull", 0);
	s->stop = space_knob(v, "stop", 0);
	cache_space(v->c, &cs);
	s->free = cs.free;
	s->used = cs.used;
	s->total = cs.total;
	percent = cs.total ? cs.free * 100 / cs.total : 100;
	if (percent < s->cull)
		s->culling = true;
	else if (percent >= s->run)
		s->culling = false;
	s->tight = percent < s->stop;
	s->percent = percent;
	names_look(v, &cs);
}

/* One line a transition, and not more than one in LOG_NS. */
static void space_say(struct vol *v, enum space_state state)
{
	struct space *s = &v->space;
	u64 now = io_now(v->io);

	if (s->state == state)
		return;
	s->state = state;
	s->changes++;
	if (now - s->said_ns < LOG_NS && s->said_ns)
		return;
	s->said_ns = now;
	log_notice("event=cache_space cache=%s state=%s free_percent=%u inodes_free_percent=%u evicted_bytes=%llu names_forgotten=%llu changes=%u%s",
		   v->c->dir, state_names[state], s->percent, s->inode_percent, (unsigned long long)v->c->evicted_bytes,
		   (unsigned long long)v->c->names_forgotten, s->changes,
		   state < SPACE_FULL ? "" : " hint=\"nothing more can be evicted: make room, unpin, or close files\"");
}

/* ---- the reserve ---- */

static void reserve_done(void *arg, int res)
{
	struct vol *v = arg;
	struct space *s = &v->space;

	s->reserve_busy = false;
	if (!res)
		s->reserve_held = s->reserve_want;
	if (!v->dead) {
		if (!res && !s->reserve_held)
			wake_all(v);
		space_arm(v, 0);
	}
	vol_put(v);
}

static void reserve_set(struct vol *v, bool hold)
{
	struct space *s = &v->space;

	if (s->reserve_busy || s->reserve_held == hold)
		return;
	s->reserve_busy = true;
	s->reserve_want = hold;
	cache_reserve(v->c, hold ? s->reserve : 0, reserve_done, vol_get(v));
}

static bool has_room(const struct space *s)
{
	return s->free > 2 * s->reserve && s->percent > s->stop;
}

/* ---- who waits ---- */

/* Before the kernel gives them up with a less telling error. */
static void fail_roomless(struct fwork *f)
{
	u64 now = io_now(f->v->io);
	struct list *p, *t;

	list_for_each_safe(p, t, &f->waits) {
		struct req *r = container_of(p, struct req, link);

		if (!f->v->m || now - r->created_ns > vol_timeout_ns(f->v) / 4 * 3)
			req_reply(r, -ENOSPC, 0);
	}
}

void space_wait_file(struct fwork *f)
{
	struct vol *v = f->v;

	if (list_empty(&f->waits))
		return;
	if (list_empty(&f->room))
		list_add_tail(&v->space.files, &f->room);
	space_arm(v, 0);
}

void space_wait(struct vol *v, struct space_wait *w, void (*fn)(struct space_wait *w))
{
	w->fn = fn;
	space_look(v);
	if (!names_wait(v, w, has_room(&v->space)))
		list_add_tail(&v->space.others, &w->link);
	space_arm(v, 0);
}

static bool somebody_waits(const struct vol *v)
{
	return !list_empty(&v->space.files) || !list_empty(&v->space.others);
}

/* There may be room: everybody tries once more. */
static void wake_all(struct vol *v)
{
	struct list files, others;

	list_init(&files);
	list_init(&others);
	while (!list_empty(&v->space.others)) {
		struct list *l = v->space.others.next;

		list_del(l);
		list_add_tail(&others, l);
	}
	while (!list_empty(&v->space.files)) {
		struct list *l = v->space.files.next;

		list_del(l);
		list_add_tail(&files, l);
	}
	while (!list_empty(&others)) {
		struct space_wait *w = list_first(&others, struct space_wait, link);

		list_del(&w->link);
		w->fn(w);
	}
	while (!list_empty(&files)) {
		struct fwork *f = list_first(&files, struct fwork, room);

		list_del(&f->room);
		fail_roomless(f);
		file_kick(v, f->o);
	}
}

/* ---- eviction by the watermarks ---- */

static void round_next(struct vol *v);

static void round_end(struct vol *v, bool found)
{
	struct space *s = &v->space;

	s->running = false;
	s->exhausted_ns = found ? 0 : io_now(v->io);
	if (!v->dead) {
		space_look(v);
		/* Found nothing: others may have made room, and who waits too long is to be told. */
		wake_all(v);
		space_arm(v, 0);
	}
	vol_put(v);
}

static void scanned(void *arg, size_t found)
{
	struct vol *v = arg;

	log_info("event=cache_scan cache=%s files=%zu", v->c->dir, found);
	if (v->dead || !found) {
		round_end(v, false);
		return;
	}
	memset(&v->space.after, 0, sizeof(v->space.after));
	v->space.after.rank = INT64_MIN;
	round_next(v);
}

static void batch_done(void *arg, const struct evict_result *res)
{
	struct vol *v = arg;
	struct space *s = &v->space;

	s->round_freed += res->freed;
	evict_result_add(&s->sum, res);
	if (!v->dead && v->m)
		space_look(v);
	/* Enough for those who wait; the watermark may want more. */
	if (v->dead || !v->m || (s->round_freed && somebody_waits(v)) || (!s->culling && !somebody_waits(v)))
		round_end(v, s->round_freed);
	else
		round_next(v);
}

/* Bytes still to be freed; never 0. */
static u64 round_want(const struct vol *v)
{
	const struct space *s = &v->space;
	u64 want = s->culling && s->run > s->percent ? s->total / 100 * (s->run - s->percent) : 0;

	if (somebody_waits(v))
		want = max(want, max(s->total / 32, (u64)1 << 20));
	return max(want, (u64)1);
}

static void oldest_found(void *arg, struct use_brief *b, size_t n)
{
	struct vol *v = arg;
	struct space *s = &v->space;
	u8 oids[EVICT_BATCH][AUGUR_OID_LEN];

	if (n && !v->dead && v->m) {
		u64 want = round_want(v), bytes = 0;
		size_t k = 0;

		while (k < n && bytes < want) {
			memcpy(oids[k], b[k].oid, AUGUR_OID_LEN);
			bytes += b[k++].bytes;
		}
		s->after = b[k - 1];
		evict_objects(v, oids, k, batch_done, v);
	} else if (!n && !s->scanned && !s->round_freed && !v->dead) {
		/* Rows that a crash took along, or a cache of before there were rows. */
		s->scanned = true;
		use_scan(v->c, false, scanned, v);
	} else {
		round_end(v, s->round_freed);
	}
	free(b);
}

static void round_next(struct vol *v)
{
	use_oldest(v->c, &v->space.after, EVICT_BATCH, oldest_found, v);
}

static void round_start(struct vol *v)
{
	struct space *s = &v->space;

	if (s->running || (s->exhausted_ns && io_now(v->io) - s->exhausted_ns < TRY_AGAIN_NS))
		return;
	s->running = true;
	s->round_freed = 0;
	memset(&s->after, 0, sizeof(s->after));
	s->after.rank = INT64_MIN;
	vol_get(v);
	round_next(v);
}

/* ---- streams ---- */

void stream_note(struct vol *v, struct cobj *o, u64 off, u64 len)
{
	struct stream *st = xcalloc(1, sizeof(*st));

	cobj_streamed(o, off, len);
	o->streamed++;
	cobj_get(o);
	st->o = o;
	st->fh = o->fh;
	st->off = off;
	st->len = len;
	st->born_ns = io_now(v->io);
	v->space.stream_bytes += len;
	list_add_tail(&v->space.streams, &st->link);
	space_arm(v, STREAM_MIN_NS);
}

static void stream_free(struct vol *v, struct stream *st)
{
	struct cobj *o = st->o;

	list_del(&st->link);
	v->space.stream_bytes -= st->len;
	/* What is left of it is as good as any: claimed, and counted. */
	if (!--o->streamed && o->map) {
		settle_add(v->c, o, 0);
		if (cobj_present_bytes(o))
			use_filled(v->c, o->oid, cobj_present_bytes(o));
	}
	cobj_put(v->c, o);
	free(st);
}

void stream_forget(struct vol *v, struct cobj *o)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &v->space.streams) {
		struct stream *st = container_of(p, struct stream, link);

		if (st->o == o && !st->going)
			stream_free(v, st);
	}
}

/* What is under way counts as well: more than the reserve holds is refused by the disk somewhere in the middle. */
int space_stream_room(struct vol *v, u64 len)
{
	struct space *s = &v->space;
	u64 now = io_now(v->io);

	if (len <= s->reserve)
		return s->stream_bytes + s->stream_fly + len <= s->reserve ? 0 : -EAGAIN;
	if (now - s->large_ns >= LOG_NS || !s->large_ns) {
		s->large_ns = now;
		log_warn("event=too_large_to_stream cache=%s bytes=%llu reserve=%llu effect=\"the request ends with ENOSPC\" hint=\"the disk is full: make room, unpin, close files, or read in smaller pieces\"",
			 v->c->dir, (unsigned long long)len, (unsigned long long)s->reserve);
	}
	return -ENOSPC;
}

/* Nobody asks the kernel any more, or there is room for it: what is here stays, and may be claimed. */
static void streams_end(struct vol *v)
{
	struct list *p, *t;

	list_for_each_safe(p, t, &v->space.streams) {
		struct stream *st = container_of(p, struct stream, link);

		if (!st->going)
			stream_free(v, st);
	}
}

/* The kernel lets go of the inodes a moment later. */
void space_forgotten(struct vol *v)
{
	names_wake(v);
	space_arm(v, HURRY_NS);
}

void space_drop(struct vol *v)
{
	streams_end(v);
	wake_all(v);
	names_wake(v);
}

struct stream_punch { struct evict_job job; struct evict_item it; struct vol *v; struct stream *st; };

static void fly_mark(struct stream *st, bool set)
{
	struct cobj *o = st->o;
	u64 first, count;

	if (!fh_equal(&o->fh, &st->fh) || (o->flags & COBJ_COMPLETE))
		return;
	augur_chunk_range(st->off, st->len, o->size, o->shift, &first, &count);
	cobj_map_need(o);
	if (!set) {
		augur_map_clear_range(o->fly, first, count);
		return;
	}
	augur_map_clear_range(o->map, first, count);
	augur_map_set_range(o->fly, first, count);
}

static void stream_punched(struct evict_job *j)
{
	struct stream_punch *sp = container_of(j, struct stream_punch, job);
	struct vol *v = sp->v;
	struct cobj *o = sp->st->o;

	cobj_get(o);
	fly_mark(sp->st, false);
	stream_free(v, sp->st);
	if (!v->dead) {
		file_kick(v, o);
		wake_all(v);
		space_arm(v, HURRY_NS);
	}
	cobj_put(v->c, o);
	free(sp);
	vol_put(v);
}

/* Until the hole is punched the range counts as on its way: whoever wants it waits. */
static void stream_punch(struct vol *v, struct stream *st)
{
	struct stream_punch *sp = xcalloc(1, sizeof(*sp));

	st->going = true;
	fly_mark(st, true);
	sp->v = vol_get(v);
	sp->st = st;
	sp->it.fh = st->fh;
	sp->it.off = st->off;
	sp->it.len = st->len;
	sp->job.c = v->c;
	sp->job.it = &sp->it;
	sp->job.n = 1;
	sp->job.done = stream_punched;
	cache_punch(&sp->job);
}

static void stream_whole(void *arg, const struct evict_result *res)
{
	struct vol *v = arg;

	if (!v->dead && res->evicted)
		wake_all(v);
	vol_put(v);
}

/* Takes it away if the kernel lets it go. */
static void stream_drop(struct vol *v, struct stream *st)
{
	const u8 (*oid)[AUGUR_OID_LEN] = (const void *)st->o->oid;
	u32 why = 0;
	int err;

	if (!fh_equal(&st->o->fh, &st->fh)) {
		stream_free(v, st);	/* another version took its place: its inode goes when it is closed */
		return;
	}
	err = upcall_evict(v->m, st->o->oid, &st->fh, st->off, st->len, false, &why);
	if (!err) {
		stream_punch(v, st);
	} else if (err == -ESTALE || err == -ENOENT) {
		stream_free(v, st);	/* its inode is gone, and the room with it */
	} else if (why == AUGUR_BUSY_CLAIMED && !(st->o->flags & COBJ_EVICTING)) {
		/* Closed and forgotten by the kernel: all of it may go. */
		st->born_ns = io_now(v->io);
		evict_objects(v, oid, 1, stream_whole, vol_get(v));
	}
}

static void streams_tick(struct vol *v)
{
	bool need = somebody_waits(v);
	u64 now = io_now(v->io);
	struct list *p, *t;

	list_for_each_safe(p, t, &v->space.streams) {
		struct stream *st = container_of(p, struct stream, link);
		u64 age = now - st->born_ns;

		if (st->going || age < (need ? STREAM_MIN_NS : STREAM_KEEP_NS))
			continue;
		stream_drop(v, st);
	}
}

/* ---- turning the wheel ---- */

static enum space_state judge(const struct vol *v)
{
	const struct space *s = &v->space;
	bool no_names = s->names_exhausted_ns && (space_names_tight(v) || !list_empty(&s->names));

	if (somebody_waits(v) || s->stream_bytes || s->stream_fly)
		return s->exhausted_ns ? SPACE_STREAMING : SPACE_FULL;
	if ((s->tight && s->exhausted_ns) || no_names)
		return SPACE_FULL;
	return s->culling || s->names_culling ? SPACE_CULLING : SPACE_OK;
}

static void space_tick(struct vol *v)
{
	struct space *s = &v->space;
	enum space_state before = s->state;

	if (!v->m) {
		wake_all(v);
		names_wake(v);
		return;
	}
	space_look(v);
	names_tick(v, !list_empty(&s->others) && s->exhausted_ns);
	if (!somebody_waits(v) && has_room(s))
		streams_end(v);		/* somebody who never stops reading would keep them for ever */
	if (somebody_waits(v) && s->exhausted_ns)
		reserve_set(v, false);
	if (s->culling || somebody_waits(v))
		round_start(v);
	else if (!s->stream_bytes)
		s->exhausted_ns = 0;
	space_say(v, judge(v));
	streams_tick(v);
	/* Streaming begins: those who wait are filled by it. */
	if (s->state == SPACE_STREAMING && before != SPACE_STREAMING)
		wake_all(v);
	if (s->state <= SPACE_CULLING && has_room(s))
		reserve_set(v, true);
	space_arm(v, somebody_waits(v) || s->stream_bytes || !list_empty(&s->names) ? HURRY_NS : TICK_NS);
}

static void space_due(struct io_op *op, int res)
{
	struct vol *v = container_of(op, struct vol, space.op);

	v->space.armed = false;
	if (!v->dead && res != -ECANCELED)
		space_tick(v);
	else if (!v->dead)
		space_arm(v, 0);
	vol_put(v);
}

static void space_arm(struct vol *v, u64 delay_ns)
{
	struct space *s = &v->space;
	u64 due = io_now(v->io) + delay_ns;

	if (v->dead)
		return;
	if (s->armed) {
		if (due + HURRY_NS / 2 < s->due_ns && !s->hastened) {
			s->hastened = true;
			v->io->ops->cancel(v->io, &s->op);
		}
		return;
	}
	s->armed = true;
	s->hastened = false;
	s->due_ns = due;
	s->op.done = space_due;
	vol_get(v);
	v->io->ops->timer(v->io, &s->op, due);
}

void space_filled(struct vol *v, u64 bytes)
{
	struct space *s = &v->space;

	s->filled += bytes;
	if (s->filled < max(s->total / 256, (u64)1 << 20))
		return;
	s->filled = 0;
	space_arm(v, 0);
}

void space_init(struct vol *v)
{
	list_init(&v->space.files);
	list_init(&v->space.others);
	list_init(&v->space.names);
	list_init(&v->space.streams);
	list_init(&v->evicts);
}

void space_mount(struct vol *v)
{
	struct cache_space cs;
	struct stat st;

	/* The last daemon's. */
	v->space.reserve_held = !fstatat(v->c->priv_fd, "reserve", &st, AT_SYMLINK_NOFOLLOW) && st.st_blocks;
	cache_space(v->c, &cs);
	v->space.reserve = min(max(cs.total / 64, RESERVE_MIN), RESERVE_MAX);
	space_arm(v, 0);
	pins_measure(v);
}

/* At the end: nothing waits for room any more, nothing is streamed. */
void space_end(struct vol *v)
{
	if (v->space.armed)
		v->io->ops->cancel(v->io, &v->space.op);
	streams_end(v);
	wake_all(v);
	names_wake(v);
}
