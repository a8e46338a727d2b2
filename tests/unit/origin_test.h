/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * origin_test.h - an export served by the real engine over loopback, and a client that asks
 * for one thing at a time.  Each test gets a fresh directory.  For tests/unit/test_origin*.c.
 */
#ifndef TEST_ORIGIN_H
#define TEST_ORIGIN_H

#include <dirent.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>

#include "base/log.h"
#include "origin/impl.h"
#include "loop.h"
#include "place/place.h"

static char dir[64];
static struct origin *origin;
static struct xfer_server *server;
static struct xfer_peer *peer;
static struct meta_volume vol = { .name = "vol" };
static bool use_rescan;

/* Past the time in which a state counts as young. */
static __attribute__((unused)) void grow_old(void)
{
	struct timespec ts = { 0, 50 * MSEC };

	nanosleep(&ts, NULL);
}

/* ---- server ---- */

static __attribute__((unused)) int srv_hello(void *ctx, struct xfer_conn *c, struct wire_in body, struct wire_out *out)
{
	xfer_conn_set(c, origin_client_new(origin, c));
	return origin_put_root(origin, out);
}

static __attribute__((unused)) void srv_request(void *ctx, struct xfer_conn *c, const struct wire_hdr *h, struct wire_in body)
{
	origin_request(xfer_conn_user(c), h, body);
}

static __attribute__((unused)) void srv_gone(void *ctx, struct xfer_conn *c)
{
	origin_client_gone(xfer_conn_user(c));
}

static __attribute__((unused)) const struct xfer_server_ops srv_ops = { .hello = srv_hello, .request = srv_request, .gone = srv_gone };

/* ---- client ---- */

struct obj {
	char	name[256];
	struct wire_attr a;
	u8	loc[WIRE_LOCATOR_MAX];
	size_t	loc_len;
	char	link[256];
	size_t	xattrs_len;
};

struct ask {
	struct xfer_call c;
	bool	done;
	int	status;
	struct obj e[1200];		/* entries, or items of REVAL */
	int	item_status[64];
	u32	n;
	struct obj dir;
	u64	seq, tag, size;
	u32	complete, reset, redirect_version;
	u8	*data;
	size_t	data_len;
	u32	frames, done_frames;
	size_t	largest;
};

static struct obj root;
static struct { u32 kind; u8 oid[16]; char name[256]; } inval[64];
static u32 ninval;

static __attribute__((unused)) void take(struct obj *o, const struct wire_entry *e)
{
	memset(o, 0, sizeof(*o));
	if (e->name)
		memcpy(o->name, e->name, e->name_len);
	o->a = e->attr;
	memcpy(o->loc, e->locator, e->locator_len);
	o->loc_len = e->locator_len;
	if (e->link)
		memcpy(o->link, e->link, min(e->link_len, sizeof(o->link) - 1));
	o->xattrs_len = e->xattrs_len;
}

static __attribute__((unused)) int cl_hello(void *ctx, struct xfer_peer *p, struct wire_in in)
{
	struct wire_entry e;
	struct wire_val v;

	while (wire_next(&in, &v) == 1)
		if (v.tag == WF_ROOT && !wire_get_entry(&v, &e, false))
			take(&root, &e);
	return 0;
}

static __attribute__((unused)) void take_inval(struct wire_in in)
{
	struct wire_val v;

	memset(&inval[ninval], 0, sizeof(inval[0]));
	while (wire_next(&in, &v) == 1) {
		if (v.tag == WF_KIND)
			wire_get_u32(&v, &inval[ninval].kind);
		else if (v.tag == WF_OID && inval[ninval].kind != AUGUR_INVAL_ENTRY)
			wire_get_bin(&v, inval[ninval].oid, 16);
		else if (v.tag == WF_PARENT_OID)
			wire_get_bin(&v, inval[ninval].oid, 16);
		else if (v.tag == WF_NAME)
			memcpy(inval[ninval].name, v.p, v.len);
	}
	if (ninval < ARRAY_SIZE(inval) - 1)
		ninval++;
}

static __attribute__((unused)) void cl_push(void *ctx, struct xfer_peer *p, const struct wire_hdr *h, struct wire_in in)
{
	struct wire_val v;

	assert_int_equal(h->type, WIRE_INVAL);
	while (wire_next(&in, &v) == 1)
		if (v.tag == WF_ITEM)
			take_inval((struct wire_in){ v.p, v.p + v.len });
}

static __attribute__((unused)) void take_item(struct ask *a, struct wire_in in)
{
	struct wire_entry e;
	struct wire_val v;
	u32 st = 0;

	while (wire_next(&in, &v) == 1) {
		if (v.tag == WF_STATUS)
			wire_get_u32(&v, &st);
		else if (v.tag == WF_ENTRY && !wire_get_entry(&v, &e, false))
			take(&a->e[a->n], &e);
		else if (v.tag == WF_RESET)
			wire_get_u32(&v, &a->reset);
		else if (v.tag == WF_SEQ)
			wire_get_u64(&v, &a->seq);
		else if (v.tag == WF_INVAL)
			take_inval((struct wire_in){ v.p, v.p + v.len });
	}
	a->item_status[a->n++] = (s32)st;
}

static __attribute__((unused)) void take_fields(struct ask *a, struct wire_in in)
{
	struct wire_entry e;
	struct wire_val v;
	u64 mv = 0;
	int r;

	while ((r = wire_next(&in, &v)) == 1) {
		if (v.tag == WF_ENTRY && a->n < ARRAY_SIZE(a->e)) {
			assert_int_equal(wire_get_entry(&v, &e, true), 0);
			take(&a->e[a->n++], &e);
		} else if (v.tag == WF_DIR) {
			assert_int_equal(wire_get_entry(&v, &e, false), 0);
			take(&a->dir, &e);
		} else if (v.tag == WF_SEQ)
			wire_get_u64(&v, &a->seq);
		else if (v.tag == WF_COMPLETE)
			wire_get_u32(&v, &a->complete);
		else if (v.tag == WF_TAG)
			wire_get_u64(&v, &a->tag);
		else if (v.tag == WF_SIZE)
			wire_get_u64(&v, &a->size);
		else if (v.tag == WF_ITEM)
			take_item(a, (struct wire_in){ v.p, v.p + v.len });
		else if (v.tag == WF_MAP_VERSION) {
			wire_get_u64(&v, &mv);
			a->redirect_version = mv;
		}
	}
	assert_int_equal(r, 0);
}

static __attribute__((unused)) void ask_frame(struct xfer_call *c, const struct wire_hdr *h, struct xfer_buf *b)
{
	struct ask *a = container_of(c, struct ask, c);

	a->frames++;
	a->largest = max(a->largest, b->len);
	if (h->flags & WIRE_DONE) {
		a->item_status[h->off >> 32] = h->status;
		a->done_frames++;
	} else if (h->flags & WIRE_DATA) {
		a->data = xrealloc(a->data, a->data_len + b->len);
		memcpy(a->data + a->data_len, b->data, b->len);
		a->data_len += b->len;
	} else {
		take_fields(a, (struct wire_in){ b->data, b->data + b->len });
	}
}

static __attribute__((unused)) void ask_done(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *b)
{
	struct ask *a = container_of(c, struct ask, c);

	if (b)
		take_fields(a, (struct wire_in){ b->data, b->data + b->len });
	a->status = status;
	a->done = true;
}

static __attribute__((unused)) struct ask *ask_new(void)
{
	struct ask *a = xcalloc(1, sizeof(*a));

	a->c.frame = ask_frame;
	a->c.done = ask_done;
	wire_out_init(&a->c.req);
	return a;
}

static __attribute__((unused)) void put_obj(struct wire_out *w, const struct obj *o)
{
	wire_put(w, WF_OID, o->a.oid, 16);
	wire_put(w, WF_LOCATOR, o->loc, o->loc_len);
	wire_put_u64(w, WF_VERSION, 0);
	wire_put_u64(w, WF_TAG, o->a.tag);
}

static __attribute__((unused)) struct ask *ask_begin(struct ask *a, u16 type)
{
	xfer_call(peer, &a->c, type);
	return a;
}

static __attribute__((unused)) struct ask *ask_wait(struct ask *a)
{
	assert_true(run_until(&a->done, 10000));
	return a;
}

static __attribute__((unused)) struct ask *ask_send(struct ask *a, u16 type)
{
	return ask_wait(ask_begin(a, type));
}

static __attribute__((unused)) void ask_free(struct ask *a)
{
	free(a->data);
	free(a);
}

static __attribute__((unused)) struct ask *list(const struct obj *o)
{
	struct ask *a = ask_new();

	put_obj(&a->c.req, o);
	return ask_send(a, WIRE_LIST);
}

static __attribute__((unused)) struct ask *lookup(const struct obj *o, const char *name, u32 max)
{
	struct ask *a = ask_new();

	put_obj(&a->c.req, o);
	wire_put_str(&a->c.req, WF_NAME, name);
	wire_put_u32(&a->c.req, WF_MAX, max);
	return ask_send(a, WIRE_LOOKUP);
}

static __attribute__((unused)) struct ask *read_begin(const struct obj *o, u64 off, u64 len)
{
	struct ask *a = ask_new();

	put_obj(&a->c.req, o);
	wire_put_u64(&a->c.req, WF_OFF, off);
	wire_put_u64(&a->c.req, WF_LEN, len);
	return ask_begin(a, WIRE_READ);
}

static __attribute__((unused)) struct ask *read_obj(const struct obj *o, u64 off, u64 len)
{
	return ask_wait(read_begin(o, off, len));
}

static __attribute__((unused)) struct ask *items_begin(const struct obj *o, u32 n, u16 type)
{
	struct ask *a = ask_new();

	for (u32 i = 0; i < n; i++) {
		size_t mark = wire_nest(&a->c.req, WF_ITEM);

		put_obj(&a->c.req, &o[i]);
		if (type == WIRE_BATCH)
			wire_put_u64(&a->c.req, WF_LEN, o[i].a.size);
		wire_nest_end(&a->c.req, mark);
	}
	return ask_begin(a, type);
}

static __attribute__((unused)) struct ask *items(const struct obj *o, u32 n, u16 type)
{
	return ask_wait(items_begin(o, n, type));
}

static __attribute__((unused)) struct obj find(const struct obj *d, const char *name)
{
	struct ask *a = lookup(d, name, 0);
	struct obj o;

	assert_int_equal(a->status, 0);
	assert_int_equal(a->n, 1);
	o = a->e[0];
	ask_free(a);
	return o;
}

static __attribute__((unused)) void write_file(const char *name, const char *text)
{
	CLEANUP_FREE char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static __attribute__((unused)) char *at(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static __attribute__((unused)) void link_names(const char *from, const char *to, int (*fn)(const char *, const char *))
{
	CLEANUP_FREE char *a = xasprintf("%s/%s", dir, from), *b = xasprintf("%s/%s", dir, to);

	assert_int_equal(fn(a, b), 0);
}

/* ---- set-up ---- */

static __attribute__((unused)) int rm_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static __attribute__((unused)) void set_map(u64 version, const char *owner)
{
	struct meta_proxy p = { .state = META_P_UP };
	struct meta_map *m;

	snprintf(p.id, sizeof(p.id), "%s", owner);
	snprintf(p.addr, sizeof(p.addr), "127.0.0.1:1");
	m = meta_map_deal(version, 1, 64, &p, 1);
	origin_set_map(origin, m);
	meta_map_put(m);
}

/* A port that nobody has just now. */
static __attribute__((unused)) void free_addr(char *addr, size_t cap)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	getsockname(fd, (struct sockaddr *)&sa, &len);
	close(fd);
	snprintf(addr, cap, "127.0.0.1:%u", ntohs(sa.sin_port));
}

static __attribute__((unused)) void start(void)
{
	struct origin_cfg cfg = { .io = io, .volume = "vol", .path = dir, .self_id = "p1",
				  .no_fanotify = use_rescan, .rescan_ns = 200 * MSEC };
	struct xfer_peer_cfg pc = { .volume = "vol", .peer_id = "test", .role = WIRE_ROLE_AGENT,
				    .hello = cl_hello, .push = cl_push };
	char why[256], addr[32];
	int err;

	assert_int_equal(origin_new(&cfg, &origin, why, sizeof(why)), 0);
	memset(vol.id, 7, sizeof(vol.id));
	memset(vol.key, 8, sizeof(vol.key));
	assert_int_equal(origin_identify(origin, &vol), 0);
	set_map(1, "p1");
	free_addr(addr, sizeof(addr));
	server = xfer_server_new(io, addr, &srv_ops, NULL, &err);
	assert_non_null(server);
	pc.addr = addr;
	peer = xfer_peer_new(io, &pc);
	ask_free(ask_send(ask_new(), WIRE_PING));
	ninval = 0;
}

static __attribute__((unused)) void end(void)
{
	xfer_peer_free(peer);
	run_until(NULL, 20);
	xfer_server_free(server);
	origin_close(origin);
	for (int i = 0; i < 100 && !origin_idle(origin); i++)
		run_until(NULL, 10);
	assert_true(origin_idle(origin));
	origin_free(origin);
	run_until(NULL, 10);
}

static __attribute__((unused)) int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/augur-origin-XXXXXX");
	assert_non_null(mkdtemp(dir));
	use_rescan = false;
	start();
	return 0;
}

static __attribute__((unused)) int setup_rescan(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/augur-origin-XXXXXX");
	assert_non_null(mkdtemp(dir));
	use_rescan = true;
	start();
	return 0;
}

static __attribute__((unused)) int teardown(void **state)
{
	end();
	nftw(dir, rm_one, 16, FTW_DEPTH | FTW_PHYS);
	free(vol.split);
	vol.split = NULL;
	vol.nsplit = 0;
	return 0;
}

static inline int origin_tests(int (*run_group)(void))
{
	struct origin_export ex;
	char why[256];
	int failed;

	log_open("test", LOG_L_ERR);
	if (origin_export_open(&ex, "/tmp", why, sizeof(why))) {
		fprintf(stderr, "skipped: %s\n", why);
		return 77;
	}
	origin_export_close(&ex);
	io = io_new(getenv("TEST_IO"));
	if (!io)
		return 77;
	failed = run_group();
	io->ops->destroy(io);
	return failed;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
