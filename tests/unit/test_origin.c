// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An export as its agents see it: oids stay and hard links share one, forged locators are
 * refused, a listing is what readdir says, split directories spread, bytes are of one state,
 * and a change made at the origin reaches those who asked.  The export is served by the real
 * engine over loopback.  Opening by handle needs root: without it, skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>

#include "base/log.h"
#include "origin/impl.h"
#include "place/place.h"

#define MSEC	1000000ULL
#define SEC	1000000000ULL

static struct io *io;
static char dir[64];
static struct origin *origin;
static struct xfer_server *server;
static struct xfer_peer *peer;
static struct meta_volume vol = { .name = "vol" };
static bool use_rescan;

/* ---- the loop ---- */

static void ticked(struct io_op *op, int res) { }

static bool run(const bool *flag, unsigned int ms)
{
	struct io_op t = { .done = ticked };
	u64 end = io_now(io) + ms * MSEC;

	while (!(flag && *flag) && io_now(io) < end) {
		if (!t.busy)
			io->ops->timer(io, &t, min(end, io_now(io) + 5 * MSEC));
		assert_int_equal(io->ops->step(io), 0);
	}
	io->ops->cancel(io, &t);
	while (t.busy)
		io->ops->step(io);
	return flag && *flag;
}

/* Past the time in which a state counts as young. */
static void grow_old(void)
{
	struct timespec ts = { 0, 50 * MSEC };

	nanosleep(&ts, NULL);
}

/* ---- server ---- */

static int srv_hello(void *ctx, struct xfer_conn *c, struct wire_in body, struct wire_out *out)
{
	xfer_conn_set(c, origin_client_new(origin, c));
	return origin_put_root(origin, out);
}

static void srv_request(void *ctx, struct xfer_conn *c, const struct wire_hdr *h, struct wire_in body)
{
	origin_request(xfer_conn_user(c), h, body);
}

static void srv_gone(void *ctx, struct xfer_conn *c)
{
	origin_client_gone(xfer_conn_user(c));
}

static const struct xfer_server_ops srv_ops = { .hello = srv_hello, .request = srv_request, .gone = srv_gone };

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

static void take(struct obj *o, const struct wire_entry *e)
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

static int cl_hello(void *ctx, struct xfer_peer *p, struct wire_in in)
{
	struct wire_entry e;
	struct wire_val v;

	while (wire_next(&in, &v) == 1)
		if (v.tag == WF_ROOT && !wire_get_entry(&v, &e, false))
			take(&root, &e);
	return 0;
}

static void take_inval(struct wire_in in)
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

static void cl_push(void *ctx, struct xfer_peer *p, const struct wire_hdr *h, struct wire_in in)
{
	struct wire_val v;

	assert_int_equal(h->type, WIRE_INVAL);
	while (wire_next(&in, &v) == 1)
		if (v.tag == WF_ITEM)
			take_inval((struct wire_in){ v.p, v.p + v.len });
}

static void take_item(struct ask *a, struct wire_in in)
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

static void take_fields(struct ask *a, struct wire_in in)
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

static void ask_frame(struct xfer_call *c, const struct wire_hdr *h, struct xfer_buf *b)
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

static void ask_done(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *b)
{
	struct ask *a = container_of(c, struct ask, c);

	if (b)
		take_fields(a, (struct wire_in){ b->data, b->data + b->len });
	a->status = status;
	a->done = true;
}

static struct ask *ask_new(void)
{
	struct ask *a = xcalloc(1, sizeof(*a));

	a->c.frame = ask_frame;
	a->c.done = ask_done;
	wire_out_init(&a->c.req);
	return a;
}

static void put_obj(struct wire_out *w, const struct obj *o)
{
	wire_put(w, WF_OID, o->a.oid, 16);
	wire_put(w, WF_LOCATOR, o->loc, o->loc_len);
	wire_put_u64(w, WF_VERSION, 0);
	wire_put_u64(w, WF_TAG, o->a.tag);
}

static struct ask *ask_send(struct ask *a, u16 type)
{
	xfer_call(peer, &a->c, type);
	assert_true(run(&a->done, 10000));
	return a;
}

static void ask_free(struct ask *a)
{
	free(a->data);
	free(a);
}

static struct ask *list(const struct obj *o)
{
	struct ask *a = ask_new();

	put_obj(&a->c.req, o);
	return ask_send(a, WIRE_LIST);
}

static struct ask *lookup(const struct obj *o, const char *name, u32 max)
{
	struct ask *a = ask_new();

	put_obj(&a->c.req, o);
	wire_put_str(&a->c.req, WF_NAME, name);
	wire_put_u32(&a->c.req, WF_MAX, max);
	return ask_send(a, WIRE_LOOKUP);
}

static struct ask *read_obj(const struct obj *o, u64 off, u64 len)
{
	struct ask *a = ask_new();

	put_obj(&a->c.req, o);
	wire_put_u64(&a->c.req, WF_OFF, off);
	wire_put_u64(&a->c.req, WF_LEN, len);
	return ask_send(a, WIRE_READ);
}

static struct ask *items(const struct obj *o, u32 n, u16 type)
{
	struct ask *a = ask_new();

	for (u32 i = 0; i < n; i++) {
		size_t mark = wire_nest(&a->c.req, WF_ITEM);

		put_obj(&a->c.req, &o[i]);
		if (type == WIRE_BATCH)
			wire_put_u64(&a->c.req, WF_LEN, o[i].a.size);
		wire_nest_end(&a->c.req, mark);
	}
	return ask_send(a, type);
}

static struct obj find(const struct obj *d, const char *name)
{
	struct ask *a = lookup(d, name, 0);
	struct obj o;

	assert_int_equal(a->status, 0);
	assert_int_equal(a->n, 1);
	o = a->e[0];
	ask_free(a);
	return o;
}

static void write_file(const char *name, const char *text)
{
	CLEANUP_FREE char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static char *at(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void link_names(const char *from, const char *to, int (*fn)(const char *, const char *))
{
	CLEANUP_FREE char *a = xasprintf("%s/%s", dir, from), *b = xasprintf("%s/%s", dir, to);

	assert_int_equal(fn(a, b), 0);
}

/* ---- set-up ---- */

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static void set_map(u64 version, const char *owner)
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
static void free_addr(char *addr, size_t cap)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	getsockname(fd, (struct sockaddr *)&sa, &len);
	close(fd);
	snprintf(addr, cap, "127.0.0.1:%u", ntohs(sa.sin_port));
}

static void start(void)
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

static void end(void)
{
	xfer_peer_free(peer);
	run(NULL, 20);
	xfer_server_free(server);
	origin_close(origin);
	for (int i = 0; i < 100 && !origin_idle(origin); i++)
		run(NULL, 10);
	assert_true(origin_idle(origin));
	origin_free(origin);
	run(NULL, 10);
}

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/augur-origin-XXXXXX");
	assert_non_null(mkdtemp(dir));
	use_rescan = false;
	start();
	return 0;
}

static int setup_rescan(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/augur-origin-XXXXXX");
	assert_non_null(mkdtemp(dir));
	use_rescan = true;
	start();
	return 0;
}

static int teardown(void **state)
{
	end();
	nftw(dir, rm_one, 16, FTW_DEPTH | FTW_PHYS);
	free(vol.split);
	vol.split = NULL;
	vol.nsplit = 0;
	return 0;
}

/* ---- tests ---- */

static void oids_stay_and_links_share(void **state)
{
	struct obj a, b, c;

	write_file("one", "1");
	link_names("one", "two", link);
	grow_old();
	a = find(&root, "one");
	b = find(&root, "two");
	assert_memory_equal(a.a.oid, b.a.oid, 16);
	assert_int_equal(a.a.nlink, 2);
	assert_int_equal(a.a.pu, place_pu_dir(a.a.oid));
	assert_int_equal(b.a.pu, a.a.pu);
	link_names("one", "three", rename);
	c = find(&root, "three");
	assert_memory_equal(a.a.oid, c.a.oid, 16);
	end();
	start();
	c = find(&root, "two");
	assert_memory_equal(a.a.oid, c.a.oid, 16);
	write_file("new", "1");
	c = find(&root, "new");
	assert_memory_not_equal(a.a.oid, c.a.oid, 16);
	assert_int_equal(c.a.pu, place_pu_dir(root.a.oid));
}

static void forged_locators_are_refused(void **state)
{
	struct obj o, bad;
	struct ask *a;
	u64 before;

	write_file("f", "secret");
	grow_old();
	o = find(&root, "f");
	before = origin_counters(origin)->refused;
	for (size_t i = 0; i < o.loc_len; i++) {
		bad = o;
		bad.loc[i] ^= 1;
		a = read_obj(&bad, 0, 100);
		assert_true(a->status == -EACCES || a->status == -EBADMSG);
		assert_int_equal(a->data_len, 0);
		ask_free(a);
	}
	for (size_t n = 1; n < o.loc_len; n++) {
		bad = o;
		bad.loc_len = n;
		a = read_obj(&bad, 0, 100);
		assert_int_equal(a->status, -EBADMSG);
		ask_free(a);
	}
	bad = o;
	bad.a.oid[3] ^= 1;
	a = read_obj(&bad, 0, 100);
	assert_int_equal(a->status, -EACCES);
	ask_free(a);
	bad = root;
	memcpy(bad.loc, o.loc, o.loc_len);	/* one object's locator under another's name */
	bad.loc_len = o.loc_len;
	a = list(&bad);
	assert_int_equal(a->status, -EACCES);
	ask_free(a);
	assert_true(origin_counters(origin)->refused > before);
	a = read_obj(&o, 0, 100);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->data_len, 6);
	ask_free(a);
}

static void moved_out_directories_are_gone(void **state)
{
	char out[] = "/tmp/augur-out-XXXXXX";
	struct obj d, f;
	struct ask *a;

	mkdir(at("d"), 0755);
	write_file("d/f", "x");
	grow_old();
	d = find(&root, "d");
	f = find(&d, "f");
	assert_non_null(mkdtemp(out));
	rmdir(out);
	assert_int_equal(rename(at("d"), out), 0);
	a = list(&d);
	assert_int_equal(a->status, -ESTALE);
	ask_free(a);
	a = lookup(&d, "f", 0);
	assert_int_equal(a->status, -ESTALE);
	ask_free(a);
	(void)f;
	nftw(out, rm_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void check_entry(const struct obj *o)
{
	struct stat st;

	assert_int_equal(lstat(at(o->name), &st), 0);
	assert_int_equal(o->a.mode, st.st_mode);
	assert_int_equal(o->a.nlink, st.st_nlink);
	assert_int_equal(o->a.size, st.st_size);
	assert_int_equal(o->a.uid, st.st_uid);
	assert_int_equal(o->a.mtime_sec, st.st_mtim.tv_sec);
	assert_int_equal(o->a.mtime_nsec, st.st_mtim.tv_nsec);
	assert_int_equal(o->a.ctime_nsec, st.st_ctim.tv_nsec);
	assert_int_not_equal(o->a.tag, 0);
}

static void listing_is_readdir(void **state)
{
	char name[32];
	struct ask *a;
	u32 n = 0;

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "file-%04d", i);
		write_file(name, name);
	}
	mkdir(at("sub"), 01777);
	assert_int_equal(symlink("file-0001", at("sym")), 0);
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	mkdir(at(".augur"), 0700);
	assert_int_equal(setxattr(at("file-0007"), "user.note", "seven", 5, 0), 0);
	setxattr(at("file-0008"), "trusted.augur", "x", 1, 0);
	grow_old();
	a = list(&root);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->n, 1003);
	assert_true(a->largest <= 64 * 1024);
	assert_true(a->frames >= 3);
	assert_int_not_equal(a->dir.a.tag, 0);
	assert_int_not_equal(a->seq, 0);
	for (u32 i = 0; i < a->n; i++) {
		check_entry(&a->e[i]);
		n += a->e[i].xattrs_len > 0;
		assert_string_not_equal(a->e[i].name, ".augur");
		if (!strcmp(a->e[i].name, "sym"))
			assert_string_equal(a->e[i].link, "file-0001");
	}
	assert_true(n >= 1);
	ask_free(a);
}

static void lookup_tells_all_of_a_small_directory(void **state)
{
	struct ask *a;

	write_file("a", "");
	write_file("b", "");
	mkdir(at(".augur"), 0700);
	grow_old();
	a = lookup(&root, "a", 16);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->complete, 1);
	assert_int_equal(a->n, 2);
	ask_free(a);
	a = lookup(&root, "a", 1);
	assert_int_equal(a->complete, 0);
	assert_int_equal(a->n, 1);
	assert_string_equal(a->e[0].name, "a");
	ask_free(a);
	a = lookup(&root, "none", 16);
	assert_int_equal(a->status, -ENOENT);
	assert_int_equal(a->complete, 1);
	assert_int_equal(a->n, 2);
	ask_free(a);
	a = lookup(&root, "none", 0);
	assert_int_equal(a->status, -ENOENT);
	assert_int_equal(a->n, 0);
	ask_free(a);
	a = lookup(&root, ".augur", 0);
	assert_int_equal(a->status, -ENOENT);
	ask_free(a);
	a = lookup(&root, "..", 0);
	assert_int_equal(a->status, -EBADMSG);
	ask_free(a);
	a = lookup(&root, "a/b", 0);
	assert_int_equal(a->status, -EBADMSG);
	ask_free(a);
}

static void split_directories_spread(void **state)
{
	u32 pus = 0, last = 0;
	char name[32];
	struct ask *a;

	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		write_file(name, name);
	}
	mkdir(at("d"), 0755);
	end();
	vol.nsplit = 1;
	vol.split = xmemdup(root.a.oid, 16);
	start();
	grow_old();
	a = list(&root);
	assert_int_equal(a->status, 0);
	for (u32 i = 0; i < a->n; i++) {
		const struct obj *o = &a->e[i];

		if (S_ISDIR(o->a.mode))
			assert_int_equal(o->a.pu, place_pu_dir(o->a.oid));
		else
			assert_int_equal(o->a.pu, place_pu_name(root.a.oid, o->name, strlen(o->name)));
		pus += o->a.pu != last;
		last = o->a.pu;
	}
	assert_true(pus > 32);
	ask_free(a);
}

static void bytes_are_the_file(void **state)
{
	size_t len = 3 * 1024 * 1024 + 77;
	u8 *data = xmalloc(len);
	struct obj o, many[20];
	struct ask *a;
	char name[32];
	FILE *f;

	for (size_t i = 0; i < len; i++)
		data[i] = i * 2654435761U >> 13;
	f = fopen(at("big"), "w");
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "s%02d", i);
		write_file(name, i ? name : "");
	}
	grow_old();
	o = find(&root, "big");
	a = read_obj(&o, 0, len);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->data_len, len);
	assert_memory_equal(a->data, data, len);
	assert_int_equal(a->tag, o.a.tag);
	assert_int_equal(a->size, len);
	ask_free(a);
	a = read_obj(&o, 100001, 5);
	assert_int_equal(a->data_len, 5);
	assert_memory_equal(a->data, data + 100001, 5);
	ask_free(a);
	a = read_obj(&o, len - 3, 1 << 20);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->data_len, 3);
	ask_free(a);
	a = read_obj(&o, len + 10, 10);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->data_len, 0);
	ask_free(a);
	a = read_obj(&o, 1ULL << 63, 10);
	assert_int_equal(a->status, -EOVERFLOW);
	ask_free(a);
	a = read_obj(&root, 0, 10);
	assert_int_equal(a->status, -EISDIR);
	ask_free(a);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "s%02d", i);
		many[i] = find(&root, name);
	}
	a = items(many, 20, WIRE_BATCH);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->done_frames, 20);
	assert_int_equal(a->data_len, 19 * 3);
	for (int i = 0; i < 20; i++)
		assert_int_equal(a->item_status[i], 0);
	ask_free(a);
	many[3] = o;
	many[3].a.size = 10;
	many[5].loc[20] ^= 1;
	many[7].a.tag++;
	a = items(many, 20, WIRE_BATCH);
	assert_int_equal(a->item_status[3], -EFBIG);
	assert_int_equal(a->item_status[5], -EACCES);
	assert_int_equal(a->item_status[7], -ESTALE);
	assert_int_equal(a->item_status[8], 0);
	ask_free(a);
	free(data);
}

static void states_are_not_mixed(void **state)
{
	struct obj o;
	struct ask *a;

	write_file("f", "first");
	grow_old();
	o = find(&root, "f");
	write_file("f", "other");	/* same size, and young */
	a = read_obj(&o, 0, 100);
	assert_int_equal(a->status, -ESTALE);
	assert_int_equal(a->data_len, 0);
	assert_int_not_equal(a->tag, o.a.tag);
	o.a.tag = a->tag;
	ask_free(a);
	write_file("f", "third");
	o = find(&root, "f");
	a = read_obj(&o, 0, 100);	/* waited out, then served */
	assert_int_equal(a->status, 0);
	assert_memory_equal(a->data, "third", 5);
	ask_free(a);
	o.a.tag = 0;			/* whatever is current */
	a = read_obj(&o, 0, 100);
	assert_int_equal(a->status, 0);
	ask_free(a);
	unlink(at("f"));
	a = read_obj(&o, 0, 100);
	assert_int_equal(a->status, -ESTALE);
	ask_free(a);
}

static void reval_says_what_changed(void **state)
{
	struct obj o[3];
	struct ask *a;

	write_file("same", "1");
	write_file("changed", "2");
	write_file("gone", "3");
	grow_old();
	o[0] = find(&root, "same");
	o[1] = find(&root, "changed");
	o[2] = find(&root, "gone");
	write_file("changed", "22");
	unlink(at("gone"));
	a = items(o, 3, WIRE_REVAL);
	assert_int_equal(a->status, 0);
	assert_int_equal(a->n, 3);
	assert_int_equal(a->item_status[0], 0);
	assert_int_equal(a->item_status[1], -ESTALE);
	assert_int_equal(a->e[1].a.size, 2);
	assert_memory_equal(a->e[1].a.oid, o[1].a.oid, 16);
	assert_int_equal(a->item_status[2], -ENOENT);
	ask_free(a);
}

static void others_are_redirected(void **state)
{
	struct obj o[1];
	struct ask *a;

	write_file("f", "1");
	grow_old();
	o[0] = find(&root, "f");
	set_map(2, "p2");
	a = list(&root);
	assert_int_equal(a->status, -EREMCHG);
	assert_int_equal(a->redirect_version, 2);
	ask_free(a);
	a = read_obj(o, 0, 10);
	assert_int_equal(a->status, -EREMCHG);
	ask_free(a);
	a = items(o, 1, WIRE_REVAL);
	assert_int_equal(a->item_status[0], -EREMCHG);
	ask_free(a);
}

static bool told(u32 kind, const u8 oid[16], const char *name)
{
	for (u32 i = 0; i < ninval; i++)
		if (inval[i].kind == kind && !memcmp(inval[i].oid, oid, 16) && (!name || !strcmp(inval[i].name, name)))
			return true;
	return false;
}

static bool wait_told(u32 kind, const u8 oid[16], const char *name, unsigned int ms)
{
	for (unsigned int t = 0; t < ms && !told(kind, oid, name); t += 10)
		run(NULL, 10);
	return told(kind, oid, name);
}

static struct ask *lease(const u8 oid[16], u64 seq)
{
	struct ask *a = ask_new();
	size_t mark = wire_nest(&a->c.req, WF_ITEM);

	wire_put_u32(&a->c.req, WF_SHARD_ID, place_shard(origin_map(origin), place_pu_dir(oid)));
	wire_put_u64(&a->c.req, WF_SEQ, seq);
	wire_nest_end(&a->c.req, mark);
	return ask_send(a, WIRE_LEASE);
}

static void changes_are_told(void **state)
{
	struct obj f, g;
	struct ask *a;

	if (!use_rescan && strcmp(origin_watch_kind(origin), "fanotify"))
		skip();
	write_file("f", "1");
	write_file("g", "1");
	run(NULL, 100);
	a = list(&root);
	ask_free(a);
	f = find(&root, "f");
	g = find(&root, "g");
	run(NULL, 100);
	ninval = 0;
	write_file("f", "changed");
	assert_true(wait_told(AUGUR_INVAL_DATA, f.a.oid, NULL, 1000));
	assert_false(told(AUGUR_INVAL_DATA, g.a.oid, NULL));
	ninval = 0;
	write_file("new", "");
	assert_true(wait_told(AUGUR_INVAL_DIR, root.a.oid, NULL, 1000));
	if (!use_rescan)
		assert_true(told(AUGUR_INVAL_ENTRY, root.a.oid, "new"));
	ninval = 0;
	unlink(at("g"));
	assert_true(wait_told(AUGUR_INVAL_DIR, root.a.oid, NULL, 1000));
	if (!use_rescan)
		assert_true(told(AUGUR_INVAL_ENTRY, root.a.oid, "g"));
}

static void leases_tell_what_was_missed(void **state)
{
	struct ask *a;
	u64 seq;

	if (strcmp(origin_watch_kind(origin), "fanotify"))
		skip();
	write_file("f", "1");
	run(NULL, 100);
	a = list(&root);
	seq = a->seq;
	ask_free(a);
	a = lease(root.a.oid, 0);
	assert_int_equal(a->item_status[0], 0);
	assert_int_equal(a->reset, 1);
	ask_free(a);
	a = lease(root.a.oid, seq);
	assert_int_equal(a->reset, 0);
	ask_free(a);
	write_file("new", "1");
	run(NULL, 150);
	ninval = 0;
	a = lease(root.a.oid, seq);
	assert_int_equal(a->reset, 0);
	assert_true(a->seq > seq);
	assert_true(told(AUGUR_INVAL_ENTRY, root.a.oid, "new"));
	assert_true(told(AUGUR_INVAL_DIR, root.a.oid, NULL));
	seq = a->seq;
	ask_free(a);
	a = lease(root.a.oid, seq - 100000);	/* before this process */
	assert_int_equal(a->reset, 1);
	ask_free(a);
	a = lease(root.a.oid, seq + 5);		/* never given out */
	assert_int_equal(a->reset, 1);
	assert_true(a->seq > seq + 5);
	ask_free(a);
	/* A second connection that brings a number from before gets everything of the shard. */
	end();
	start();
	a = lease(root.a.oid, seq);
	assert_int_equal(a->reset, 1);		/* another process: nothing is known of it */
	ask_free(a);
}

static void long_lists_survive_a_hang_up(void **state)
{
	struct ask *a;
	char name[32];

	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "file-%04d", i);
		write_file(name, name);
	}
	for (int i = 0; i < 8; i++) {
		a = ask_new();
		put_obj(&a->c.req, &root);
		xfer_call(peer, &a->c, WIRE_LIST);
		run(NULL, i);
		end();
		assert_true(a->done);
		ask_free(a);
		start();
	}
}

static void bad_exports_are_explained(void **state)
{
	struct origin_cfg cfg = { .io = io, .volume = "vol", .self_id = "p1" };
	struct origin *o;
	char why[256];

	cfg.path = "/nonexistent/augur";
	assert_int_equal(origin_new(&cfg, &o, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "/nonexistent/augur"));
	write_file("f", "");
	cfg.path = at("f");
	assert_int_equal(origin_new(&cfg, &o, why, sizeof(why)), -ENOTDIR);
	assert_non_null(strstr(why, "not a directory"));
	cfg.path = "/proc";
	assert_int_not_equal(origin_new(&cfg, &o, why, sizeof(why)), 0);
	assert_non_null(strstr(why, "/proc"));
}

struct scanned { bool done; int status; u32 nsplit; u8 split[8][16]; u64 total; };

static void scan_done(void *ctx, int status, u8 (*split)[16], u32 nsplit, const u64 weight[META_SLOTS])
{
	struct scanned *s = ctx;

	s->done = true;
	s->status = status;
	s->nsplit = nsplit;
	for (u32 i = 0; i < nsplit && i < 8; i++)
		memcpy(s->split[i], split[i], 16);
	for (u32 i = 0; i < META_SLOTS; i++)
		s->total += weight[i];
}

static void scan_finds_what_to_split(void **state)
{
	struct scanned s = { .done = false };
	char name[64];
	struct obj d;

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "d%02d", i);
		mkdir(at(name), 0755);
		for (int j = 0; j < (i == 7 ? 400 : 4); j++) {
			snprintf(name, sizeof(name), "d%02d/f%d", i, j);
			write_file(name, "0123456789");
		}
	}
	grow_old();
	d = find(&root, "d07");
	origin_scan(origin, vol.id, scan_done, &s);
	assert_true(run(&s.done, 5000));
	assert_int_equal(s.status, 0);
	assert_int_equal(s.nsplit, 1);
	assert_memory_equal(s.split[0], d.a.oid, 16);
	assert_int_equal(s.total, (39 * 4 + 400) * 10);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(oids_stay_and_links_share),
		T(forged_locators_are_refused),
		T(moved_out_directories_are_gone),
		T(listing_is_readdir),
		T(lookup_tells_all_of_a_small_directory),
		T(split_directories_spread),
		T(bytes_are_the_file),
		T(states_are_not_mixed),
		T(reval_says_what_changed),
		T(others_are_redirected),
		T(changes_are_told),
		cmocka_unit_test_setup_teardown(changes_are_told, setup_rescan, teardown),
		T(leases_tell_what_was_missed),
		T(long_lists_survive_a_hang_up),
		T(bad_exports_are_explained),
		T(scan_finds_what_to_split),
	};
	struct origin_export ex;
	char why[256];
	int failed;

	log_open("test", LOG_L_ERR);
	if (origin_export_open(&ex, "/tmp", why, sizeof(why))) {
		fprintf(stderr, "skipped: %s\n", why);
		return 77;
	}
	origin_export_close(&ex);
	io = io_uring_new();
	if (!io)
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	io->ops->destroy(io);
	return failed;
}
