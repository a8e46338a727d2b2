// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes how answers become bytes of the cache (daemon/agent/file.c, ahead.c): READ and BATCH of
 * small files, whose owner sends any frames in any order, cuts off, begins anew, ends with any
 * state, while files change and the disk fails.  Whatever comes: no byte is written outside of
 * what was granted or into another file, a chunk is present only when all its bytes have been
 * written into this inode, everybody who waits is told once, and nothing is left over.
 *
 * Input: steps of four bytes {what, whom, from, how much}.  Questions, writes and grants end
 * here, for which the linker wraps their functions.
 *
 * max_len: 256
 */
#include <sys/stat.h>

#include "cache/index.h"
#include "fuzz_io.h"
/* Whole, for the batches: they are private to it. */
#include "agent/ahead.c"

#define FILES	5
#define ROOM	(16 * 1024)
#define SHIFT	12
#define ASKS	64

static const u32 sizes[FILES] = { 1, 4096, 4097, 9000, ROOM };
static u8 content[FILES][ROOM];
static struct file {
	struct cobj	*o;
	u8		written[ROOM];		/* into this inode */
	unsigned int	gen;
	bool		stale;
} files[FILES];

static struct cache c = { .io = &fz_io, .db = (struct db *)&c, .batch_op.busy = true, .settle_op.busy = true };
static struct upcall_mount m;
static struct vol v = { .io = &fz_io, .c = &c, .m = &m, .users = 1,
	.space = { .total = 1ull << 60 } /* nobody looks how much is free */ };
static struct ask *asks[ASKS];
static unsigned int nasks, waiting, told;
static u64 grants, grant_ends;
static bool disk_fails;

/* ---- around it ---- */

int __wrap_upcall_fill_begin(struct upcall_mount *m, const u8 *oid, const struct fh *fh, u64 off, u64 len,
			     struct upcall_range *r, int *n, u64 *grant, u32 *flags);
void __wrap_upcall_fill_end(struct upcall_mount *m, u64 grant, const struct upcall_range *r, int n, bool complete);
void __wrap_ask_start(struct ask *a);
void __wrap_cache_write(struct cache_write *w);
void __wrap_db_queue(struct db *db, struct db_job *job);
void __wrap_change_apply(struct vol *v, u32 kind, const u8 *oid, const u8 *parent, const char *name, size_t name_len,
			 void (*done)(void *arg), void *arg);

void __wrap_ask_start(struct ask *a)
{
	assert(nasks < ASKS);
	asks[nasks++] = a;
}

/* Rows of objects, lazily: not in here. */
void __wrap_db_queue(struct db *db, struct db_job *job)
{
	job->free_fn(job);
}

static struct file *file_of(const u8 *oid)
{
	assert(oid[0] < FILES);
	return &files[oid[0]];
}

void __wrap_change_apply(struct vol *v, u32 kind, const u8 *oid, const u8 *parent, const char *name, size_t name_len,
			 void (*done)(void *arg), void *arg)
{
	file_of(oid)->o->flags |= COBJ_STALE;
	file_of(oid)->stale = true;
}

static void write_end(struct io_op *op, int res)
{
	struct cache_write *w = container_of(op, struct cache_write, op);

	w->done(w, res);
}

/* On the worker: the bytes of the file that the inode stands for, or of one that is no more. */
static int write_here(void *arg)
{
	struct cache_write *w = arg;
	size_t i = w->fh.b[4];
	struct file *f = &files[i];

	assert(i < FILES && w->off <= sizes[i] && w->len <= sizes[i] - w->off);
	assert(!memcmp(w->p, content[i] + w->off, w->len));
	if (disk_fails)
		return -EIO;	/* a full disk makes room first: that is the simulator's */
	if (fh_equal(&w->fh, &f->o->fh))
		memset(f->written + w->off, 1, w->len);
	return 0;
}

void __wrap_cache_write(struct cache_write *w)
{
	w->op.done = write_end;
	fz_work(NULL, &w->op, 0, write_here, w);
}

int __wrap_upcall_fill_begin(struct upcall_mount *m, const u8 *oid, const struct fh *fh, u64 off, u64 len,
			     struct upcall_range *r, int *n, u64 *grant, u32 *flags)
{
	assert(off < sizes[oid[0]] && len && fh_equal(fh, &file_of(oid)->o->fh));
	*n = 1;
	r[0] = (struct upcall_range){ off, len };
	*grant = ++grants;
	return 0;
}

void __wrap_upcall_fill_end(struct upcall_mount *m, u64 grant, const struct upcall_range *r, int n, bool complete)
{
	assert(grant && grant <= grants);
	grant_ends++;
}

/* ---- files ---- */

/* Another inode, of another version. */
static void change(unsigned int i)
{
	struct wire_attr a = { .mode = S_IFREG | 0644, .nlink = 1, .size = sizes[i], .tag = 100 + ++files[i].gen };
	struct fh fh = { .len = 12 };

	a.oid[0] = i;
	fh.b[4] = i;
	memcpy(fh.b + 5, &files[i].gen, sizeof(files[i].gen));
	memset(files[i].written, 0, sizes[i]);
	files[i].stale = false;
	files[i].o = cobj_update(&c, &a, (const u8 *)"L", 1, a.oid, "f", 1, &fh, SHIFT, 0);
}

static void check(void)
{
	for (unsigned int i = 0; i < FILES; i++) {
		const struct cobj *o = files[i].o;

		for (u32 at = 0; at < sizes[i]; at += 1 << SHIFT)
			if (cobj_has(o, at, 1))
				assert(!memchr(files[i].written + at, 0, min(sizes[i] - at, 1u << SHIFT)));
	}
}

/* ---- what the owner does ---- */

/* One that no write under way holds; what it points to lives on. */
static struct xfer_buf *body_new(void)
{
	static struct xfer_buf bufs[FZ_OPS];
	unsigned int i = 0;

	if (fz.n > FZ_OPS / 2)
		fz_turn();
	while (bufs[i].refs > 1)
		i++;
	bufs[i] = (struct xfer_buf){ .refs = 1 };
	return &bufs[i];
}

static void frame(struct ask *a, const u8 *step)
{
	struct wire_hdr h = { .type = a->type, .stream = 1, .flags = WIRE_REPLY };
	struct xfer_buf *body = body_new();
	bool batch = a->type == WIRE_BATCH;
	struct fill *fl = batch ? NULL : container_of(a, struct fill, a);
	unsigned int i = batch ? 0 : fl->f->o->oid[0];
	u64 off = (u64)step[2] << 8 | (step[3] & 15);
	struct wire_out w;

	wire_out_init(&w);
	if (batch) {
		unsigned int item = step[0] >> 4;
		struct batch *b = container_of(a, struct batch, a);

		if (item < b->n)
			i = b->oids[item][0];
		off |= (u64)item << 32;
	}
	if (step[3] & 0x80) {
		h.flags |= WIRE_DONE;
		h.status = step[3] & 0x40 ? -(int)(step[2] & 127) : 0;
		wire_put_u64(&w, WF_VERSION, step[3] & 0x20 ? 1 : files[i].o->version);
		wire_put_u64(&w, WF_TAG, files[i].o->tag);
		body->data = w.buf;
		body->len = w.len;
	} else {
		u32 at = off & 0xffffffff;

		h.flags |= WIRE_DATA;
		body->len = (size_t)(step[3] >> 4 & 7) << 11 | (step[3] & 15);
		if (at > ROOM - body->len)
			body->len = at < ROOM ? ROOM - at : 0;
		body->data = content[i] + min(at, (u32)ROOM - 1);
	}
	h.off = off;
	a->frame(a, &h, body);
	wire_out_free(&w);
}

static void end(unsigned int k, int status, u64 tag)
{
	struct ask *a = asks[k];
	struct wire_out w;

	asks[k] = asks[--nasks];
	wire_out_init(&w);
	wire_put_u64(&w, WF_VERSION, 0);
	wire_put_u64(&w, WF_TAG, tag);
	wire_out_free(&a->body);
	a->done(a, status, (struct wire_in){ w.buf, w.buf + w.len });
	wire_out_free(&w);
}

/* ---- what the agent does ---- */

static void on_need(void *arg, int err)
{
	told++;
}

static void need(unsigned int i, u64 off, u64 len)
{
	struct cobj *o = files[i].o;

	off %= sizes[i];
	len = 1 + len % (sizes[i] - off);
	if (files[i].stale || nasks > ASKS / 2)
		return;
	waiting++;
	file_need(&v, o, off, len, on_need, NULL);
}

static void batch(u8 which)
{
	static const u8 dir[AUGUR_OID_LEN] = { 99 };
	struct batch *b;

	if (nasks > ASKS / 2)
		return;
	b = batch_new(hint_get(&v, dir));
	for (unsigned int i = 0; i < FILES; i++) {
		memcpy(b->oids[b->n], files[i].o->oid, AUGUR_OID_LEN);
		if (which >> i & 1)
			batch_add(b, files[i].o);
	}
	if (!b->n) {
		list_del(&b->link);
		free(b);
		return;
	}
	b->h->fly += b->bytes;
	batch_send(b, 0);
}

static void step(const u8 *s)
{
	unsigned int k = nasks ? s[1] % nasks : 0;

	switch (s[0] & 15) {
	case 0:
		need(s[1] % FILES, s[2] << 8 | s[3], s[3] << 7);
		break;
	case 1:
		batch(s[1]);
		break;
	case 2:
		if (nasks)
			end(k, s[2] & 1 ? -(int)s[3] : 0, s[2] & 2 ? s[3] : files[s[3] % FILES].o->tag);
		break;
	case 3:
		if (nasks && asks[k]->restart)
			asks[k]->restart(asks[k]);
		break;
	case 4:
		change(s[1] % FILES);
		break;
	case 5:
		disk_fails = s[1] & 1;
		break;
	case 6:
		fz_turn();
		break;
	default:
		if (nasks)
			frame(asks[k], s);
	}
	check();
}

static void start(void)
{
	log_open("fuzz", 0);
	index_init(&c);
	map_init(&v.files, offsetof(struct fwork, oid), AUGUR_OID_LEN);
	map_init(&v.hints, offsetof(struct hint, oid), AUGUR_OID_LEN);
	for (size_t i = 0; i < FILES; i++)
		for (size_t k = 0; k < ROOM; k++)
			content[i][k] = 1 + (i * 31 + k * 7 + (k >> 8)) % 251;
}

/* All that was asked ends, as it does when the time is up. */
static void finish(void)
{
	for (unsigned int n = 0; nasks || fz.n; n++) {
		assert(n < 10000);
		if (nasks)
			end(0, -EIO, 0);
		fz_turn();
	}
	check();
	assert(told == waiting && grants == grant_ends && !v.ahead_bytes && !fz.n);
	file_free_idle(&v);
	assert(!v.files.live);
	hints_free(&v);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	if (!files[0].o)
		start();
	waiting = told = 0;
	grants = grant_ends = 0;
	disk_fails = false;
	c.unsettled_bytes = 0;
	for (unsigned int i = 0; i < FILES; i++)
		change(i);
	for (; size >= 4; data += 4, size -= 4)
		step(data);
	finish();
	return 0;
}
