// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * probe: walks a volume through its proxies, without the kernel module, and prints one line
 * per object: every attribute, xattrs, link target and a hash of the bytes.  With --local it
 * prints the same of a directory, so that `diff` proves a proxy right.
 *
 *   probe PROXY[:PORT] VOLUME [--stat] [--seq]
 *   probe --local DIR
 *
 * --stat: attributes only.  --seq: READ for every file, no BATCH.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/log.h"
#include "meta/meta.h"
#include "place/place.h"
#include "xfer/xfer.h"

#define WINDOW		32
#define BATCH_ITEMS	64
#define READ_LEN	(4 << 20)

struct node {
	struct node	*next;
	char		*path;
	struct wire_attr a;
	u8		loc[WIRE_LOCATOR_MAX];
	size_t		loc_len;
	char		*link;
	u64		xhash, dhash;
	XXH3_state_t	*xs;
	u64		off;
	int		status;
};

struct list_call { struct xfer_call c; struct node *dir; };
struct read_call { struct xfer_call c; struct node *f; u64 got; };
struct batch_call { struct xfer_call c; u32 n; struct node *f[BATCH_ITEMS]; u64 bytes; };
struct peer { struct xfer_peer *p; char id[64]; u64 bytes; };

static struct io *io;
static const char *volume;
static struct meta_map *map;
static struct peer peers[META_PROXIES_MAX];
static struct node *dirs, *files, *results;
static struct batch_call *open_batch[META_PROXIES_MAX];
static unsigned int active;
static bool seq, stat_only;
static u64 n_dirs, n_files, n_bytes, n_lists, n_batches, n_reads, n_errors;
static struct node root;

/* ---- output ---- */

static void print_node(const struct node *n)
{
	printf("%s\t%o %u:%u %u %x %llu %lld.%09u %lld.%09u x%016llx d%016llx %s\n", n->path[0] ? n->path : "/",
	       n->a.mode, n->a.uid, n->a.gid, n->a.nlink, n->a.rdev, (unsigned long long)n->a.size,
	       (long long)n->a.mtime_sec, n->a.mtime_nsec, (long long)n->a.ctime_sec, n->a.ctime_nsec,
	       (unsigned long long)n->xhash, (unsigned long long)n->dhash, n->link ? n->link : "-");
}

static int by_path(const void *a, const void *b)
{
	return strcmp((*(struct node *const *)a)->path, (*(struct node *const *)b)->path);
}

static void print_all(void)
{
	struct node **v = NULL;
	size_t n = 0, cap = 0;

	for (struct node *p = results; p; p = p->next) {
		if (n == cap) {
			cap = cap ? 2 * cap : 1024;
			v = xrealloc(v, cap * sizeof(*v));
		}
		v[n++] = p;
	}
	if (n)
		qsort(v, n, sizeof(*v), by_path);
	for (size_t i = 0; i < n; i++)
		print_node(v[i]);
	free(v);
}

static void result(struct node *n)
{
	n->next = results;
	results = n;
}

/* Independent of the order of the pairs. */
static u64 xattr_hash(const char *name, size_t nlen, const void *val, size_t vlen)
{
	return XXH3_64bits_withSeed(val, vlen, XXH3_64bits(name, nlen));
}

/* ---- local ---- */

static u64 file_hash(int fd)
{
	XXH3_state_t *s = XXH3_createState();
	static char buf[1 << 20];
	ssize_t n;
	u64 h;

	XXH3_64bits_reset(s);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		XXH3_64bits_update(s, buf, n);
	h = XXH3_64bits_digest(s);
	XXH3_freeState(s);
	return h;
}

static void local_xattrs(struct node *n, const char *full)
{
	static char names[65536], val[65536];
	ssize_t len = llistxattr(full, names, sizeof(names)), v;

	for (char *p = names; len > 0 && p < names + len; p += strlen(p) + 1) {
		if (!strncmp(p, "trusted.augur", 13))
			continue;
		v = lgetxattr(full, p, val, sizeof(val));
		if (v >= 0)
			n->xhash ^= xattr_hash(p, strlen(p), val, v);
	}
}

static void local_walk(const char *base, const char *rel, dev_t dev)
{
	CLEANUP_FREE char *full = xasprintf("%s%s", base, rel);
	struct node *n = xcalloc(1, sizeof(*n));
	char link[4096];
	struct dirent *d;
	struct stat st;
	DIR *dir;
	int fd;

	if (lstat(full, &st) || st.st_dev != dev)
		return;
	n->path = xstrdup(rel);
	n->a = (struct wire_attr){ .mode = st.st_mode, .uid = st.st_uid, .gid = st.st_gid, .nlink = st.st_nlink,
		.rdev = S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode) ? st.st_rdev : 0, .size = st.st_size,
		.mtime_sec = st.st_mtim.tv_sec, .mtime_nsec = st.st_mtim.tv_nsec,
		.ctime_sec = st.st_ctim.tv_sec, .ctime_nsec = st.st_ctim.tv_nsec };
	local_xattrs(n, full);
	if (S_ISLNK(st.st_mode)) {
		ssize_t l = readlink(full, link, sizeof(link) - 1);

		link[l < 0 ? 0 : l] = 0;
		n->link = xstrdup(link);
	}
	if (S_ISREG(st.st_mode)) {
		fd = open(full, O_RDONLY | O_NOATIME);
		n->dhash = file_hash(fd);
		close(fd);
	}
	result(n);
	if (!S_ISDIR(st.st_mode) || !(dir = opendir(full)))
		return;
	while ((d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") || (!rel[0] && !strcmp(d->d_name, ".augur")))
			continue;
		CLEANUP_FREE char *sub = xasprintf("%s/%s", rel, d->d_name);

		local_walk(base, sub, dev);
	}
	closedir(dir);
}

/* ---- remote ---- */

static void fail_node(struct node *n, const char *what, int err)
{
	fprintf(stderr, "probe: %s: %s: %s\n", n->path, what, strerror(-err));
	n->status = err;
	n_errors++;
}

static int owner(const struct node *n)
{
	int o = place_owner(map, n->a.pu);

	if (o < 0) {
		fprintf(stderr, "probe: %s: pu %u has no owner\n", n->path, n->a.pu);
		exit(1);
	}
	return o;
}

static struct node *node_new(const struct node *dir, const struct wire_entry *e)
{
	struct node *n = xcalloc(1, sizeof(*n));
	const u8 *p = e->xattrs, *val;
	const char *name;
	size_t nl, vl;

	n->path = dir ? xasprintf("%s/%.*s", dir->path, (int)e->name_len, e->name) : xstrdup("");
	n->a = e->attr;
	memcpy(n->loc, e->locator, e->locator_len);
	n->loc_len = e->locator_len;
	if (e->link)
		n->link = xasprintf("%.*s", (int)e->link_len, e->link);
	while (p && wire_xattr_next(&p, e->xattrs + e->xattrs_len, &name, &nl, &val, &vl) == 1)
		n->xhash ^= xattr_hash(name, nl, val, vl);
	return n;
}

static void pump(void);

static void list_frame(struct xfer_call *c, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct list_call *l = container_of(c, struct list_call, c);
	struct wire_in in = { body->data, body->data + body->len };
	struct wire_entry e;
	struct wire_val v;
	int r;

	while ((r = wire_next(&in, &v)) == 1) {
		struct node *n;

		if (v.tag != WF_ENTRY)
			continue;
		if (wire_get_entry(&v, &e, true)) {
			fprintf(stderr, "probe: bad entry in %s\n", l->dir->path);
			n_errors++;
			continue;
		}
		n = node_new(l->dir, &e);
		if (S_ISDIR(n->a.mode)) {
			n->next = dirs;
			dirs = n;
		} else if (S_ISREG(n->a.mode) && n->a.size) {
			n->next = files;
			files = n;
		} else {
			if (S_ISREG(n->a.mode))
				n->dhash = XXH3_64bits("", 0);
			result(n);
		}
	}
	if (r < 0)
		n_errors++;
}

static void list_done(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct list_call *l = container_of(c, struct list_call, c);

	if (status)
		fail_node(l->dir, "LIST", status);
	n_dirs++;
	result(l->dir);
	free(l);
	active--;
	pump();
}

static void put_object(struct wire_out *w, const struct node *n)
{
	wire_put(w, WF_OID, n->a.oid, AUGUR_OID_LEN);
	wire_put(w, WF_LOCATOR, n->loc, n->loc_len);
	wire_put_u64(w, WF_VERSION, n->a.version);
	wire_put_u64(w, WF_TAG, n->a.tag);
}

static void list_start(struct node *dir)
{
	struct list_call *l = xcalloc(1, sizeof(*l));

	l->dir = dir;
	l->c.frame = list_frame;
	l->c.done = list_done;
	wire_out_init(&l->c.req);
	put_object(&l->c.req, dir);
	active++;
	n_lists++;
	xfer_call(peers[owner(dir)].p, &l->c, WIRE_LIST);
}

static void read_start(struct node *f);

static void read_frame(struct xfer_call *c, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct read_call *r = container_of(c, struct read_call, c);

	if (h->off != r->f->off + r->got) {
		fail_node(r->f, "READ out of order", -EPROTO);
		return;
	}
	XXH3_64bits_update(r->f->xs, body->data, body->len);
	r->got += body->len;
}

static void read_done(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct read_call *r = container_of(c, struct read_call, c);
	struct node *f = r->f;

	n_bytes += r->got;
	peers[owner(f)].bytes += r->got;
	f->off += r->got;
	active--;
	if (status || (!r->got && f->off < f->a.size))
		fail_node(f, "READ", status ? status : -EIO);
	else if (f->off < f->a.size && r->got) {
		read_start(f);
		free(r);
		return;
	}
	f->dhash = XXH3_64bits_digest(f->xs);
	XXH3_freeState(f->xs);
	n_files++;
	result(f);
	free(r);
	pump();
}

static void read_start(struct node *f)
{
	struct read_call *r = xcalloc(1, sizeof(*r));

	if (!f->xs) {
		f->xs = XXH3_createState();
		XXH3_64bits_reset(f->xs);
	}
	r->f = f;
	r->c.frame = read_frame;
	r->c.done = read_done;
	wire_out_init(&r->c.req);
	put_object(&r->c.req, f);
	wire_put_u64(&r->c.req, WF_OFF, f->off);
	wire_put_u64(&r->c.req, WF_LEN, READ_LEN);
	active++;
	n_reads++;
	xfer_call(peers[owner(f)].p, &r->c, WIRE_READ);
}

static void batch_frame(struct xfer_call *c, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct batch_call *b = container_of(c, struct batch_call, c);
	u32 i = h->off >> 32;

	if (i >= b->n) {
		n_errors++;
		return;
	}
	if (h->flags & WIRE_DONE) {
		if (h->status)
			fail_node(b->f[i], "BATCH", h->status);
		return;
	}
	b->f[i]->dhash = XXH3_64bits(body->data, body->len);
	b->f[i]->off = body->len;
	n_bytes += body->len;
	peers[owner(b->f[i])].bytes += body->len;
}

static void batch_done(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *body)
{
	struct batch_call *b = container_of(c, struct batch_call, c);

	for (u32 i = 0; i < b->n; i++) {
		if (status)
			fail_node(b->f[i], "BATCH", status);
		else if (!b->f[i]->status && b->f[i]->off != b->f[i]->a.size)
			fail_node(b->f[i], "BATCH short", -EIO);
		n_files++;
		result(b->f[i]);
	}
	free(b);
	active--;
	pump();
}

static void batch_flush(int o)
{
	struct batch_call *b = open_batch[o];

	open_batch[o] = NULL;
	b->c.frame = batch_frame;
	b->c.done = batch_done;
	wire_out_init(&b->c.req);
	for (u32 i = 0; i < b->n; i++) {
		size_t mark = wire_nest(&b->c.req, WF_ITEM);

		put_object(&b->c.req, b->f[i]);
		wire_put_u64(&b->c.req, WF_LEN, b->f[i]->a.size);
		wire_nest_end(&b->c.req, mark);
	}
	active++;
	n_batches++;
	xfer_call(peers[o].p, &b->c, WIRE_BATCH);
}

static void file_start(struct node *f)
{
	int o = owner(f);
	struct batch_call *b = open_batch[o];

	if (stat_only) {
		result(f);
		return;
	}
	if (seq || f->a.size > WIRE_BATCH_FILE_MAX) {
		read_start(f);
		return;
	}
	if (b && (b->n == BATCH_ITEMS || b->bytes + f->a.size > WIRE_BATCH_BYTES_MAX)) {
		batch_flush(o);
		b = NULL;
	}
	if (!b)
		b = open_batch[o] = xcalloc(1, sizeof(*b));
	b->f[b->n++] = f;
	b->bytes += f->a.size;
}

static void pump(void)
{
	struct node *n;

	while (active < WINDOW && (dirs || files)) {
		if ((n = dirs)) {
			dirs = n->next;
			list_start(n);
		} else {
			n = files;
			files = n->next;
			file_start(n);
		}
	}
	for (u32 i = 0; i < map->nproxies && !dirs && !files; i++)
		if (open_batch[i])
			batch_flush(i);
	if (!active && !dirs && !files)
		io->stop = true;
}

static struct xfer_peer *dial(const char *addr, int (*hello)(void *, struct xfer_peer *, struct wire_in))
{
	struct xfer_peer_cfg cfg = { .addr = addr, .volume = volume, .peer_id = "probe", .role = WIRE_ROLE_AGENT,
				     .hello = hello };

	return xfer_peer_new(io, &cfg);
}

static int on_hello(void *ctx, struct xfer_peer *p, struct wire_in in)
{
	struct wire_entry e;
	struct wire_val v;

	while (wire_next(&in, &v) == 1) {
		if (v.tag != WF_ROOT)
			continue;
		if (wire_get_entry(&v, &e, false)) {
			fprintf(stderr, "probe: bad root entry\n");
			return -EBADMSG;
		}
		root = *node_new(NULL, &e);
	}
	return 0;
}

static void map_done(struct xfer_call *c, int status, const struct wire_hdr *h, struct xfer_buf *body)
{
	if (!status)
		status = meta_map_decode((struct wire_in){ body->data, body->data + body->len }, &map);
	if (status || !root.path) {
		fprintf(stderr, "probe: MAP: %s\n", status ? strerror(-status) : "no root");
		exit(1);
	}
	for (u32 i = 0; i < map->nproxies; i++) {
		snprintf(peers[i].id, sizeof(peers[i].id), "%s", map->proxies[i].id);
		peers[i].p = dial(map->proxies[i].addr, NULL);
	}
	list_start(xmemdup(&root, sizeof(root)));
}

static int remote(const char *addr)
{
	struct xfer_call c = { .done = map_done };
	struct timespec a, b;
	struct xfer_peer *first;

	io = io_new(NULL);
	if (!io)
		return 1;
	first = dial(addr, on_hello);
	wire_out_init(&c.req);
	wire_put_str(&c.req, WF_VOLUME, volume);
	clock_gettime(CLOCK_MONOTONIC, &a);
	xfer_call(first, &c, WIRE_MAP);
	io_run(io);
	clock_gettime(CLOCK_MONOTONIC, &b);
	print_all();
	fprintf(stderr, "probe: %.3f s dirs=%llu files=%llu bytes=%llu lists=%llu batches=%llu reads=%llu errors=%llu map=%llu",
		b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9, (unsigned long long)n_dirs,
		(unsigned long long)n_files, (unsigned long long)n_bytes, (unsigned long long)n_lists,
		(unsigned long long)n_batches, (unsigned long long)n_reads, (unsigned long long)n_errors,
		(unsigned long long)map->version);
	for (u32 i = 0; i < map->nproxies; i++)
		fprintf(stderr, " %s=%.1f%%", peers[i].id, n_bytes ? 100.0 * peers[i].bytes / n_bytes : 0.0);
	fputc('\n', stderr);
	return n_errors != 0;
}

int main(int argc, char **argv)
{
	struct stat st;

	log_open("probe", LOG_L_WARN);
	if (argc >= 3 && !strcmp(argv[1], "--local")) {
		if (stat(argv[2], &st))
			return 1;
		local_walk(argv[2], "", st.st_dev);
		print_all();
		return 0;
	}
	if (argc < 3) {
		fprintf(stderr, "usage: probe PROXY[:PORT] VOLUME [--stat] [--seq] | probe --local DIR\n");
		return 2;
	}
	for (int i = 3; i < argc; i++) {
		seq |= !strcmp(argv[i], "--seq");
		stat_only |= !strcmp(argv[i], "--stat");
	}
	volume = argv[2];
	return remote(argv[1]);
}
