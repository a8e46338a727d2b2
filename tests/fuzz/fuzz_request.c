// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes what an authenticated but hostile peer may send to a proxy as the body of a request:
 * LIST, LOOKUP, READ, BATCH, REVAL, LEASE on a real export.  Transfer engine and I/O table are
 * stubs: jobs run when the loop would, and every request must be answered by exactly one last
 * frame.
 *
 * Input: one byte of type, with the top bit to put a valid object in front; then the body.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "origin/impl.h"

/* ---- stubs ---- */

struct xfer_conn { int refs; };

static struct io_op *ready[64];
static int nready, lasts;
static struct xfer_conn conn;

void xfer_conn_get(struct xfer_conn *c) { c->refs++; }
void xfer_conn_put(struct xfer_conn *c) { c->refs--; }
u64 xfer_conn_backlog(const struct xfer_conn *c) { return 0; }

void xfer_reply(struct xfer_conn *c, u32 stream, u16 type, u16 flags, int status, u64 off, struct wire_out *w)
{
	if (w && w->len > (flags & WIRE_DATA ? WIRE_DATA_MAX : WIRE_BODY_MAX))
		abort();
	if (status > 0 || status < -4095)
		abort();
	lasts += !!(flags & WIRE_LAST);
	if (w)
		free(w->buf);
}

void xfer_push(struct xfer_conn *c, u16 type, struct wire_out *w)
{
	free(w->buf);
}

static struct xfer_file *file;

void xfer_reply_file(struct xfer_conn *c, u32 stream, u16 type, struct xfer_file *f)
{
	file = f;
}

static u64 fake_ns = 1000000000;

static u64 st_now(struct io *io) { return fake_ns; }
static u64 st_real(struct io *io) { return (u64)time(NULL) * 1000000000ULL; }
static void st_random(struct io *io, void *buf, size_t len) { memset(buf, 5, len); }

static void st_queue(struct io_op *op)
{
	if (nready == 64)
		abort();
	op->busy = true;
	ready[nready++] = op;
}

static void st_timer(struct io *io, struct io_op *op, u64 deadline)
{
	op->p1 = NULL;
	st_queue(op);
}

static void st_work(struct io *io, struct io_op *op, int pool, int (*fn)(void *arg), void *arg)
{
	op->p1 = (void *)fn;
	op->p2 = arg;
	st_queue(op);
}

static void st_poll(struct io *io, struct io_op *op, int fd) { }
static void st_cancel(struct io *io, struct io_op *op) { }

static const struct io_ops ops = {
	.name = "fuzz", .now_ns = st_now, .real_ns = st_real, .stamp_ns = st_real, .random = st_random, .timer = st_timer,
	.work = st_work, .poll_in = st_poll, .cancel = st_cancel,
};

static void drain(void)
{
	while (nready || file) {
		struct io_op *op = nready ? ready[--nready] : NULL;

		if (file) {
			struct xfer_file *f = file;

			file = NULL;
			f->done(f, f->len);
		}
		if (!op)
			continue;
		op->busy = false;
		op->done(op, op->p1 ? ((int (*)(void *))op->p1)(op->p2) : 0);
	}
}

/* ---- the export ---- */

/* Workers have a current directory of their own (origin_worker_enter); here they are us. */
static int home_fd, proc_fd;

static struct io io = { .ops = &ops };
static struct origin *origin;
static struct origin_client *client;
static struct origin_entry objects[3];

static void make(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f)
		abort();
	fputs(text, f);
	fclose(f);
}

static void object(int i, const char *name)
{
	int fd = name ? origin_open_name(origin->ex.root_fd, name) : dup(origin->ex.root_fd);

	objects[i].loc.pu = origin->ex.root.pu;
	if (fd < 0 || origin_entry_fill(&origin->ex, origin->mac, &objects[i], fd, name ? origin->ex.root.oid : NULL,
					name, name ? strlen(name) : 0))
		abort();
	close(fd);
}

static void start(void)
{
	static char dir[] = "/tmp/augur-fuzz-XXXXXX";
	struct meta_proxy p = { .id = "p1", .addr = "x", .state = META_P_UP };
	struct origin_cfg cfg = { .io = &io, .volume = "v", .path = dir, .self_id = "p1", .no_fanotify = true,
				  .rescan_ns = 3600 * 1000000000ULL };
	struct meta_volume vol = { .name = "v" };
	char why[256], path[64];

	log_open("fuzz", LOG_L_ERR);
	home_fd = open(".", O_PATH | O_DIRECTORY);
	proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY);
	if (!mkdtemp(dir))
		abort();
	snprintf(path, sizeof(path), "%s/file", dir);
	make(path, "some bytes");
	snprintf(path, sizeof(path), "%s/sub", dir);
	mkdir(path, 0755);
	if (origin_new(&cfg, &origin, why, sizeof(why)) || origin_identify(origin, &vol)) {
		fprintf(stderr, "%s\n", why);
		exit(77);
	}
	nready = 0;	/* the rescan timer: not in here */
	origin_set_map(origin, meta_map_deal(1, 1, 64, &p, 1));
	client = origin_client_new(origin, &conn);
	object(0, NULL);
	object(1, "file");
	object(2, "sub");
}

static void put_object(struct wire_out *w, int i)
{
	wire_put(w, WF_OID, objects[i].loc.oid, AUGUR_OID_LEN);
	wire_put(w, WF_LOCATOR, objects[i].locator, objects[i].e.locator_len);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const u16 type[8] = { WIRE_LIST, WIRE_LOOKUP, WIRE_READ, WIRE_BATCH, WIRE_REVAL, WIRE_LEASE, 99, 98 };
	struct wire_hdr h = { .stream = 1 };
	struct wire_out w;

	if (!origin)
		start();
	if (size < 1 || size > WIRE_BODY_MAX)
		return 0;
	wire_out_init(&w);
	h.type = type[data[0] & 7];
	if (data[0] & 0x80) {
		bool item = h.type == WIRE_BATCH || h.type == WIRE_REVAL;
		size_t mark = item ? wire_nest(&w, WF_ITEM) : 0;

		put_object(&w, (data[0] >> 3) % 3);
		if (item)
			wire_nest_end(&w, mark);
	}
	w.buf = xrealloc(w.buf, w.len + size);
	memcpy(w.buf + w.len, data + 1, size - 1);
	w.len += size - 1;
	lasts = 0;
	origin_request(client, &h, (struct wire_in){ w.buf, w.buf + w.len });
	if (fchdir(proc_fd))
		abort();
	drain();
	if (fchdir(home_fd))
		abort();
	if (lasts != 1 || origin->jobs || client->refs != 1)
		abort();
	free(w.buf);
	fake_ns += 1000000;
	return 0;
}
