// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * readers.c - processes that open files by their names and read them, as the module lets them;
 * and the judgement of what they saw.
 *
 * What an open may see: a content that the name had at some moment between "so long before the
 * open as a lease and the watching of the origin may hide a change" and now.  All reads of one
 * open are of one content.  "No such file" needs a moment at which there was none.  An error is
 * legal while something is broken, and counted.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "sim.h"

#define READERS_MAX	8
#define TRIES		6

enum want { WANT_DIR, WANT_FILE };

struct reader {
	struct event	ev;
	int		id;
	bool		busy, final;
	struct ofile	*f;
	u64		began, opened;
	struct kino	*dir, *k;
	enum want	want;
	int		tries, reads, fd;
	bool		asked, revalidated, brought;
	u64		cid, off, len;
};

u64 reads_done, reads_failed;

static struct reader readers[READERS_MAX];
static unsigned int nreaders, final_next;
static u64 stale;
static bool stopping;

static void walk(struct reader *r);
static void go_on(struct reader *r);

static void think(struct event *e);

static void rest(struct reader *r)
{
	r->busy = false;
	if (!stopping || r->final)
		event_at(&r->ev, sim_now + (r->final ? 1000 : between(MSEC, 400 * MSEC)), think);
}

static void finish(struct reader *r, const char *how)
{
	note("r%d %s/%s: %s", r->id, r->f->dir, r->f->name, how);
	if (r->fd >= 0)
		kernel_close(r->k, r->fd);
	r->fd = -1;
	rest(r);
}

static void fail(struct reader *r, int status)
{
	reads_failed++;
	if (r->final && sim_quiet)
		violated("the world is whole again, and %s/%s cannot be read: error %d", r->f->dir, r->f->name, status);
	finish(r, "failed");
}

/* ---- what may be seen ---- */

static bool was(const struct ofile *f, u64 cid, u64 since)
{
	for (const struct state *s = f->first; s; s = s->next)
		if (s->cid == cid && s->to > since)
			return true;
	return false;
}

static u64 horizon(const struct reader *r, u64 from)
{
	return r->final ? sim_now : from - min(from, stale);
}

static void judge_absent(struct reader *r)
{
	if (!was(r->f, 0, horizon(r, r->began)))
		wrong_bytes("r%d: %s/%s is said not to exist, and it does", r->id, r->f->dir, r->f->name);
	reads_done++;
	finish(r, "absent");
}

static void judge_bytes(struct reader *r, const u8 *p, size_t len)
{
	u64 cid = pattern_cid(p, len, r->off);

	if (!cid || !pattern_is(cid, p, len, r->off))
		wrong_bytes("r%d: %s/%s at %lu: bytes of no state that it ever had", r->id, r->f->dir, r->f->name, r->off);
	if (r->cid && r->cid != cid)
		wrong_bytes("r%d: %s/%s: one open saw state %lu, then %lu", r->id, r->f->dir, r->f->name, r->cid, cid);
	if (cid_len(cid) != r->k->size)
		wrong_bytes("r%d: %s/%s: state %lu has %u bytes, the file %lu", r->id, r->f->dir, r->f->name, cid, cid_len(cid), r->k->size);
	if (!was(r->f, cid, horizon(r, r->opened)))
		wrong_bytes("r%d: %s/%s: state %lu is too old, or another file's (now it has %lu)", r->id, r->f->dir, r->f->name, cid,
			 r->f->last->cid);
	r->cid = cid;
}

/* ---- an open file ---- */

static void read_some(struct reader *r);

static void fetched(void *arg, int status, u32 flags)
{
	struct reader *r = arg;

	if (status == -ESTALE && r->final)
		walk(r);		/* the name is looked up again */
	else if (status == -ESTALE)
		finish(r, "stale handle");
	else if (status)
		fail(r, status);
	else
		read_some(r);
}

static void read_some(struct reader *r)
{
	CLEANUP_FREE u8 *buf = NULL;
	u64 mask = (1ull << r->k->shift) - 1, a, b;

	if (!kino_has(r->k, r->off, r->len)) {
		if (++r->tries > 100) {
			fail(r, -EIO);
			return;
		}
		a = r->off & ~mask;
		b = min((r->off + r->len + mask) & ~mask, r->k->size);
		if (!r->final && chance(80))
			origin_edit_soon(r->f);
		kernel_ask(AUGUR_OP_FETCH, r->k, NULL, a, b - a, fetched, r);
		return;
	}
	buf = xmalloc(r->len + 1);
	if (pread(r->fd, buf, r->len, r->off) != (ssize_t)r->len)
		wrong_bytes("r%d: %s/%s: a short read of present bytes", r->id, r->f->dir, r->f->name);
	judge_bytes(r, buf, r->len);
	reads_done++;
	if (--r->reads > 0)
		go_on(r);
	else
		finish(r, "read");
}

static void go_on(struct reader *r)
{
	u64 size = r->k->size;

	/* Whole words at the beginning: they say whose bytes these are.  No file is shorter than one. */
	r->off = r->final || chance(300) ? 0 : below((size - 7) / 8 + 1) * 8;
	r->off = min(r->off, (size - 8) / 8 * 8);
	r->len = r->final || chance(300) ? size - r->off : between(8, 70000);
	r->len = min(r->len, size - r->off);
	read_some(r);
}

static void opened(struct reader *r);

/* An open brings the bytes of a small file, and is made again if that version is gone. */
static void brought(void *arg, int status, u32 flags)
{
	struct reader *r = arg;

	r->brought = status != -ESTALE;
	if (r->brought) {
		opened(r);
	} else {
		r->k->stale = true;
		walk(r);
	}
}

static void opened(struct reader *r)
{
	if (!r->brought && r->k->size <= AGENT_SMALL && !kino_has(r->k, 0, r->k->size)) {
		if (!r->final && chance(80))
			origin_edit_soon(r->f);
		kernel_ask(AUGUR_OP_FETCH, r->k, NULL, 0, r->k->size, brought, r);
		return;
	}
	r->fd = kernel_open(r->k);
	if (r->fd < 0) {
		finish(r, "gone");
		return;
	}
	r->opened = sim_now;
	r->cid = 0;
	r->reads = r->final ? 1 : between(1, 4);
	go_on(r);
}

/* ---- the way to it ---- */

static void looked_up(void *arg, int status, u32 flags)
{
	struct reader *r = arg;

	if (status == -ENOENT)
		judge_absent(r);
	else if (status == -ESTALE)
		walk(r);
	else if (status)
		fail(r, status);
	else
		walk(r);
}

static void revalidated(void *arg, int status, u32 flags)
{
	struct reader *r = arg;

	if (status && status != -ESTALE) {
		fail(r, status);
		return;
	}
	r->revalidated = !status;
	if (status && r->want == WANT_FILE)
		r->k->stale = true;
	walk(r);
}

static void populated(void *arg, int status, u32 flags)
{
	struct reader *r = arg;

	if (status && status != -ESTALE && status != -ENOENT)
		fail(r, status);
	else
		walk(r);
}

static void component(struct reader *r, struct kino *dir, const char *name, enum want want)
{
	struct kino *k;
	int err = kernel_peek(dir, name, &k);

	r->want = want;
	if (!err && want == WANT_DIR) {
		r->dir = k;
		component(r, k, r->f->name, WANT_FILE);
	} else if (!err) {
		r->k = k;
		if (kernel_leased(k) || r->revalidated)
			opened(r);
		else
			kernel_ask(AUGUR_OP_REVAL, k, NULL, 0, 0, revalidated, r);
	} else if (err == -ENOENT && dir->complete && want == WANT_FILE) {
		/* An answer from memory needs the directory's lease. */
		if (kernel_leased(dir) || r->revalidated)
			judge_absent(r);
		else
			kernel_ask(AUGUR_OP_REVAL, dir, NULL, 0, 0, revalidated, r);
	} else if (want == WANT_FILE && !r->asked && chance(200)) {
		r->asked = true;
		kernel_ask(AUGUR_OP_POPULATE, dir, NULL, 0, 0, populated, r);
	} else {
		kernel_ask(AUGUR_OP_LOOKUP, dir, name, 0, 0, looked_up, r);
	}
}

static void walk(struct reader *r)
{
	struct kino *root = kino_root();

	if (r->fd >= 0)
		kernel_close(r->k, r->fd);
	r->fd = -1;
	if (!root || ++r->tries > (r->final ? 60 : TRIES)) {
		fail(r, -ESTALE);
		return;
	}
	component(r, root, r->f->dir, WANT_DIR);
}

static void think(struct event *e)
{
	struct reader *r = container_of(e, struct reader, ev);

	if (stopping && !r->final)
		return;
	if (r->final && final_next >= nofiles)
		return;
	r->f = &ofiles[r->final ? final_next++ : below(nofiles)];
	r->busy = true;
	r->tries = 0;
	r->asked = r->revalidated = r->brought = false;
	r->began = sim_now;
	r->dir = r->k = NULL;
	walk(r);
}

void readers_start(unsigned int n, u64 stale_ns)
{
	stale = stale_ns;
	nreaders = n;
	for (unsigned int i = 0; i < n; i++) {
		readers[i].id = i;
		readers[i].fd = -1;
		event_at(&readers[i].ev, sim_now + below(100 * MSEC), think);
	}
}

void readers_stop(void)
{
	stopping = true;
	for (unsigned int i = 0; i < nreaders; i++)
		if (!readers[i].busy)
			event_cancel(&readers[i].ev);
}

bool readers_idle(void)
{
	for (unsigned int i = 0; i < nreaders; i++)
		if (readers[i].busy || readers[i].ev.queued)
			return false;
	return true;
}

void readers_stat_dirs(void)
{
	struct kino *root = kino_root(), *k;
	struct stat st;
	char name[16];
	u64 want;

	for (unsigned int d = 0; root && (want = dir_mtime(d, name)); d++) {
		/* The owner of one that was not does not know that it is shown here. */
		CLEANUP_CLOSE int fd = kernel_peek(root, name, &k) || !k->listed ? -1 : kernel_open(k);

		if (fd >= 0 && !fstat(fd, &st) && st.st_atim.tv_sec * SEC + st.st_atim.tv_nsec != want)
			violated("%s shows the time %lu.%09lu, and it is %lu", name, st.st_atim.tv_sec, st.st_atim.tv_nsec, want);
	}
}

void readers_final(void)
{
	for (unsigned int i = 0; i < nreaders; i++) {
		readers[i].final = true;
		event_at(&readers[i].ev, sim_now + 1000, think);
	}
}
