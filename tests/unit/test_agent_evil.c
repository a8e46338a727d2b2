// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The agent and a proxy that lies: bytes outside the range asked for, too many, too few, of
 * another version; listings of another directory, names twice, sizes from nowhere; answers that
 * never end.  Each ends in an error for the one who asked, nothing lands where it should not,
 * and the next honest answer is taken.  Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <ftw.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "agent/agent.h"
#include "base/log.h"
#include "fake_kernel.h"

enum lie {
	HONEST, FAR_OFFSET, BEFORE_RANGE, TOO_MANY, TOO_FEW, TWICE, OTHER_TAG, OTHER_DIR, NAME_TWICE, HUGE_FILE, GARBAGE,
	ALWAYS_ELSEWHERE, DIR_IS_FILE, LEASE_GOOD, LEASE_CUT, LIES
};

#define SIZE 300000

static struct io *io;
static char top[64];
static struct agent ag;
static struct vol *v;
static struct xfer_server *srv;
static enum lie lie;
static struct meta_map *map;
static const u8 root_oid[16] = "root-object-oid", file_oid[16] = "file-object-oid", vol_id[16] = "volume";
static u8 bytes[2 * SIZE];
static u64 tag = 100;
static unsigned int lease_asks;

/* ---- the liar ---- */

static struct wire_entry entry(const char *name, const u8 *oid, u32 mode, u64 size)
{
	struct wire_entry e = { .name = name, .name_len = name ? strlen(name) : 0, .locator = (const u8 *)"L", .locator_len = 1 };

	memcpy(e.attr.oid, oid, AUGUR_OID_LEN);
	e.attr.mode = mode;
	e.attr.nlink = 1;
	e.attr.pu = 1;
	e.attr.size = size;
	e.attr.tag = tag;
	e.attr.mtime_sec = 1000;
	e.attr.ctime_sec = 1000 + tag;
	return e;
}

static int on_hello(void *ctx, struct xfer_conn *c, struct wire_in body, struct wire_out *out)
{
	struct wire_entry root = entry(NULL, root_oid, S_IFDIR | 0755, 4096);

	wire_put_str(out, WF_PEER_ID, "evil");
	wire_put(out, WF_VOLUME_ID, vol_id, 16);
	wire_put_u64(out, WF_MAP_VERSION, 1);
	wire_put_u32(out, WF_LEASE_MS, 5000);
	return wire_put_entry(out, WF_ROOT, &root);
}

static void data(struct xfer_conn *c, const struct wire_hdr *h, u64 off, size_t len)
{
	while (len) {
		size_t n = min(len, (size_t)WIRE_DATA_MAX);
		struct wire_out w = { xmemdup(bytes + off % SIZE, n), n, n };

		xfer_reply(c, h->stream, h->type, WIRE_DATA, 0, off, &w);
		off += n;
		len -= n;
	}
}

static void answer_read(struct xfer_conn *c, const struct wire_hdr *h, struct wire_in in)
{
	u64 off = 0, len = 0;
	struct wire_val val;
	struct wire_out w;

	while (wire_next(&in, &val) == 1) {
		if (val.tag == WF_OFF)
			wire_get_u64(&val, &off);
		else if (val.tag == WF_LEN)
			wire_get_u64(&val, &len);
	}
	switch (lie) {
	case FAR_OFFSET:
		data(c, h, off + (1ull << 40), len);
		break;
	case BEFORE_RANGE:
		data(c, h, off ? off - 1 : ~0ull - 5, len);
		break;
	case TOO_MANY:
		data(c, h, off, len + 100);
		break;
	case TOO_FEW:
		data(c, h, off, len - 1);
		break;
	case TWICE:
		data(c, h, off, len / 2);
		data(c, h, off, len / 2);
		break;
	default:
		data(c, h, off, len);
	}
	wire_out_init(&w);
	wire_put_u64(&w, WF_SIZE, SIZE);
	wire_put_u64(&w, WF_VERSION, 0);
	wire_put_u64(&w, WF_TAG, lie == OTHER_TAG ? tag + 1 : tag);
	xfer_reply(c, h->stream, h->type, WIRE_LAST, 0, 0, &w);
}

static void answer_list(struct xfer_conn *c, const struct wire_hdr *h)
{
	struct wire_entry e = entry("file", file_oid, S_IFREG | 0644, lie == HUGE_FILE ? 1ull << 62 : SIZE);
	struct wire_entry dir = entry(NULL, lie == OTHER_DIR ? file_oid : root_oid, (lie == DIR_IS_FILE ? S_IFREG : S_IFDIR) | 0755, 4096);
	struct wire_out w;

	wire_out_init(&w);
	if (lie == GARBAGE)
		wire_put(&w, WF_ENTRY, bytes, 500);
	else
		wire_put_entry(&w, WF_ENTRY, &e);
	if (lie == NAME_TWICE)
		wire_put_entry(&w, WF_ENTRY, &e);
	xfer_reply(c, h->stream, h->type, 0, 0, 0, &w);
	wire_out_init(&w);
	wire_put_u64(&w, WF_SEQ, 1);
	wire_put_entry(&w, WF_DIR, &dir);
	if (h->type == WIRE_LOOKUP)
		wire_put_u32(&w, WF_COMPLETE, 1);
	xfer_reply(c, h->stream, h->type, WIRE_LAST, 0, 0, &w);
}

/* Of shard 0: nothing new, or a change that is cut off; else what nobody understands. */
static void answer_lease(struct xfer_conn *c, const struct wire_hdr *h)
{
	struct wire_out w;
	size_t mark;

	lease_asks++;
	wire_out_init(&w);
	mark = wire_nest(&w, WF_ITEM);
	if (lie == LEASE_GOOD || lie == LEASE_CUT) {
		wire_put_u32(&w, WF_SHARD_ID, 0);
		wire_put_u64(&w, WF_SEQ, 1);
	} else {
		wire_put(&w, 0, bytes, 300);
		w.len -= 100;
	}
	if (lie == LEASE_CUT) {
		wire_put(&w, WF_INVAL, bytes, 40);
		w.len -= 5;
	}
	wire_nest_end(&w, mark);
	xfer_reply(c, h->stream, h->type, WIRE_LAST, 0, 0, &w);
}

static void on_request(void *ctx, struct xfer_conn *c, const struct wire_hdr *h, struct wire_in body)
{
	struct wire_out w;

	wire_out_init(&w);
	if (h->type == WIRE_MAP) {
		meta_map_encode(map, &w);
		xfer_reply(c, h->stream, h->type, WIRE_LAST, 0, 0, &w);
	} else if (h->type == WIRE_LEASE) {
		answer_lease(c, h);
	} else if (lie == ALWAYS_ELSEWHERE) {
		wire_put_str(&w, WF_PROXY_ID, "nobody");
		xfer_reply(c, h->stream, h->type, WIRE_LAST, -EREMCHG, 0, &w);
	} else if (h->type == WIRE_READ) {
		answer_read(c, h, body);
	} else if (h->type == WIRE_LIST || h->type == WIRE_LOOKUP) {
		answer_list(c, h);
	} else {
		wire_put(&w, WF_ITEM, bytes, 200);
		xfer_reply(c, h->stream, h->type, WIRE_LAST, 0, 0, &w);
	}
}

static void on_gone(void *ctx, struct xfer_conn *c)
{
}

static const struct xfer_server_ops ops = { .hello = on_hello, .request = on_request, .gone = on_gone };

/* ---- the kernel's side ---- */

static void tick(struct io_op *op, int res)
{
}

static void wait_for(const bool *flag, unsigned int ms)
{
	u64 end = io_now(io) + ms * 1000000ull;

	while (!*flag && io_now(io) < end) {
		struct io_op op = { .done = tick };

		io->ops->timer(io, &op, io_now(io) + 2000000);
		while (op.busy)
			assert_int_equal(io->ops->step(io), 0);
	}
	assert_true(*flag);
}

/* One more of something. */
static void wait_more(const unsigned int *n)
{
	unsigned int was = *n;

	for (int i = 0; i < 1000 && *n == was; i++) {
		struct io_op op = { .done = tick };

		io->ops->timer(io, &op, io_now(io) + 10000000);
		while (op.busy)
			assert_int_equal(io->ops->step(io), 0);
	}
	assert_int_not_equal(*n, was);
}

static int request(u32 op, const u8 *oid, const struct fh *fh, u64 off, u64 len)
{
	struct upcall_req rq = { .id = ++fake.last_req, .op = op, .fh = *fh, .off = off, .len = len, .want = len };
	struct fake_reply *r = &fake.replies[rq.id % ARRAY_SIZE(fake.replies)];

	memcpy(rq.oid, oid, AUGUR_OID_LEN);
	memset(r, 0, sizeof(*r));
	agent_upcall_ops.request(&ag, &fake.m, &rq);
	wait_for(&r->come, 10000);
	return r->status;
}

static char *at(const char *rel)
{
	static char buf[4][256];
	static int i;

	i = (i + 1) % 4;
	snprintf(buf[i], sizeof(buf[i]), "%s/%s", top, rel);
	return buf[i];
}

static int list(void)
{
	struct fh fh;

	assert_int_equal(fh_of(v->c->root_fd, "", &fh), 0);
	return request(AUGUR_OP_POPULATE, root_oid, &fh, 0, 0);
}

static int fetch(u64 off, u64 len)
{
	struct fh fh;

	assert_int_equal(fh_of(v->c->root_fd, "file", &fh), 0);
	return request(AUGUR_OP_FETCH, file_oid, &fh, off, len);
}

static void ready(void *arg, int err)
{
	assert_int_equal(err, 0);
	*(bool *)arg = true;
}

/* ---- tests ---- */

static void listings_that_lie(void **state)
{
	static const enum lie lies[] = { OTHER_DIR, GARBAGE, ALWAYS_ELSEWHERE };
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		lie = lies[i];
		assert_int_not_equal(list(), 0);
	}
	lie = DIR_IS_FILE;
	list();
	assert_int_equal(fstat(v->c->root_fd, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	lie = HUGE_FILE;
	list();		/* whatever the disk says; no crash */
	lie = HONEST;
	tag++;
	cobj_peek(v->c, root_oid)->flags &= ~COBJ_COMPLETE;
	assert_int_equal(list(), 0);
	assert_int_equal(stat(at("cache/root/file"), &st), 0);
	assert_int_equal(st.st_size, SIZE);
	lie = NAME_TWICE;
	cobj_peek(v->c, root_oid)->flags &= ~COBJ_COMPLETE;
	assert_int_equal(list(), 0);
}

static void bytes_that_lie(void **state)
{
	static const enum lie lies[] = { FAR_OFFSET, BEFORE_RANGE, TOO_MANY, TOO_FEW, TWICE };
	u8 *got = xmalloc(SIZE);
	struct stat st;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		lie = lies[i];
		assert_int_equal(fetch(65536, 65536), -EIO);
		assert_false(cobj_has(cobj_peek(v->c, file_oid), 65536, 1));
		assert_int_equal(stat(at("cache/root/file"), &st), 0);
		assert_int_equal(st.st_size, SIZE);
	}
	lie = HONEST;
	assert_int_equal(fetch(0, SIZE), 0);
	fd = open(at("cache/root/file"), O_RDONLY);
	assert_int_equal(read(fd, got, SIZE), SIZE);
	close(fd);
	assert_memory_equal(got, bytes, SIZE);
	free(got);
}

static void another_version(void **state)
{
	tag++;
	lie = HONEST;
	cobj_peek(v->c, root_oid)->flags &= ~COBJ_COMPLETE;
	assert_int_equal(list(), 0);
	assert_int_equal(fake.switches, 1 + (fake.switches > 1));
	lie = OTHER_TAG;
	assert_int_equal(fetch(0, 65536), -ESTALE);
	assert_false(cobj_has(cobj_peek(v->c, file_oid), 0, 1));
}

static void leases_that_are_cut(void **state)
{
	unsigned int n;

	lie = LEASE_GOOD;
	wait_more(&fake.leases);
	lie = LEASE_CUT;
	wait_more(&lease_asks);
	n = fake.leases;
	wait_more(&lease_asks);		/* what was answered before has been taken */
	assert_int_equal(fake.leases, n);
	lie = LEASE_GOOD;
	wait_more(&fake.leases);
	lie = HONEST;
}

static void closed(void *arg)
{
	*(bool *)arg = true;
}

static void ends_clean(void **state)
{
	bool done = false;

	assert_int_equal(v->reqs.live, 0);
	agent_upcall_ops.gone(&ag, &fake.m);
	vol_close(v, closed, &done);
	wait_for(&done, 20000);
	xfer_server_free(srv);
	done = false;
	{
		struct io_op op = { .done = tick };

		io->ops->timer(io, &op, io_now(io) + 50000000);
		while (op.busy)
			io->ops->step(io);
	}
	meta_map_put(map);
}

static int group_setup(void **state)
{
	struct meta_proxy p = { .id = "evil", .state = META_P_UP };
	char source[300];
	enum ctl_error cause;
	bool ok = false;
	int err;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i % SIZE * 2654435761u >> 11;
	io = io_new(getenv("TEST_IO"));
	srv = xfer_server_new(io, "127.0.0.1:17503", &ops, NULL, &err);
	assert_non_null(srv);
	strcpy(p.addr, "127.0.0.1:17503");
	map = meta_map_deal(1, 1, 4, &p, 1);
	ag.io = io;
	ag.id = "test";
	list_init(&ag.vols);
	list_init(&ag.listeners);
	fake.m.timeout_ms = 1500;
	assert_int_equal(mkdir(at("cache"), 0755), 0);
	snprintf(source, sizeof(source), "%s:/vol", p.addr);
	assert_int_equal(vol_new(&ag, source, at("cache"), &v, &cause), 0);
	vol_when_ready(v, io_now(io) + 5000000000ull, ready, &ok);
	wait_for(&ok, 6000);
	fake.top_fd = v->c->top_fd;
	fake.m.user = v;
	v->m = &fake.m;
	lease_mount(v);
	return 0;
}

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	return remove(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listings_that_lie), cmocka_unit_test(bytes_that_lie), cmocka_unit_test(another_version), cmocka_unit_test(leases_that_are_cut),
		cmocka_unit_test(ends_clean),
	};
	int failed;

	strcpy(top, "/tmp/augur-test-evil.XXXXXX");
	if (geteuid() || !mkdtemp(top) || setxattr(top, "trusted.augur.probe", "1", 1, 0)) {
		printf("needs root and trusted extended attributes in /tmp\n");
		return 77;
	}
	log_open("test_evil", getenv("V") ? LOG_L_DEBUG : LOG_L_ERR - 1);
	failed = cmocka_run_group_tests(tests, group_setup, NULL);
	io->ops->destroy(io);
	nftw(top, rm_one, 16, FTW_DEPTH | FTW_PHYS);
	return failed;
}
