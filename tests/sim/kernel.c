// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kernel.c - the module above the agent: the upcall room's interface, played by a simulation.
 *
 * It keeps what the module keeps: objects seen, which chunks are present, which are lent out,
 * the leases, the requests that wait.  Each claim is compared with the lower file on the spot:
 * an answer or the end of a grant says "these bytes are here", and they must be, all of one
 * state.  Requests time out as the module's do; one that the daemon never ends is a lost waiter.
 * (long file: the whole interface of a room, over one set of objects)
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "agent/agent.h"
#include "common/lease.h"
#include "wire/bytes.h"
#include "sim.h"

#define INOS		(1 << 16)
#define LOST_NS		(4ul * TIMEOUT_MS * MSEC)
#define GROUPS		64

struct kreq {
	struct list	link;
	struct event	send, expire, wake;
	u64		id, off, len;
	u32		op;
	struct kino	*k;
	char		*name;
	kdone_fn	*fn;		/* NULL: nobody waits any more */
	void		*arg;
	int		status;
	u32		flags;
	bool		sent, answered, killed;
};
struct kgrant { struct list link; u64 id; struct kino *k; int n; struct upcall_range r[UPCALL_RANGES_MAX]; };

struct upcall_mount kmount;
u64 kernel_requests;
extern struct agent sim_agent;

static struct kino *inos[INOS];
static struct list reqs, grants;
static u64 last_req, last_grant;
static int top_fd, root_fd;
static bool daemon_here, loss_eio, held;	/* loss_eio: on_loss=eio */
static u16 groups[META_SLOTS + 1];
static struct augur_lease leases[GROUPS];

/* What the module does is no job of a node: no fault of a disk hits it. */
#define AS_KERNEL	struct node *was_ __attribute__((cleanup(back_))) = enter_()
static struct node *enter_(void) { struct node *n = running; running = NULL; return n; }
static void back_(struct node **n) { running = *n; }

void kernel_begin(const char *cache)
{
	CLEANUP_FREE char *root = xasprintf("%s/root", cache);

	list_init(&reqs);
	list_init(&grants);
	memset(groups, 0xff, sizeof(groups));
	loss_eio = chance(300);
	top_fd = open(cache, O_RDONLY | O_DIRECTORY);
	root_fd = open(root, O_RDONLY | O_DIRECTORY);
	kmount = (struct upcall_mount){ .id = 7, .session = 1, .timeout_ms = TIMEOUT_MS, .lease_ms = LEASE_MS };
}

/* ---- objects ---- */

static int record_of(int fd, struct augur_rec *rec)
{
	u8 buf[AUGUR_RECORD_LEN + 1];
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = getxattr(path, AUGUR_XATTR_NAME, buf, sizeof(buf));
	return n < 0 || augur_rec_decode(buf, n, rec) ? -ENOENT : 0;
}

static int kino_of(int fd, struct kino **out, bool *stale)
{
	struct augur_rec rec;
	struct kino *k;
	struct stat st;

	if (fstat(fd, &st) || record_of(fd, &rec))
		return -ENOENT;
	*stale = rec.flags & AUGUR_REC_STALE;
	k = inos[st.st_ino % INOS];
	if (!k) {
		k = inos[st.st_ino % INOS] = xcalloc(1, sizeof(*k));
		k->ino = st.st_ino;
		fh_of(fd, "", &k->fh);
		memcpy(k->oid, rec.oid, AUGUR_OID_LEN);
		k->size = rec.size;
		k->version = rec.version;
		k->pu = rec.pu;
		k->shift = rec.chunk_shift;
		k->dir = S_ISDIR(st.st_mode);
		k->complete = k->settled = rec.flags & AUGUR_REC_COMPLETE;
		k->map = xcalloc(1, k->dir ? 1 : augur_map_bytes(k->size, k->shift) + 1);
		k->lent = xcalloc(1, k->dir ? 1 : augur_chunks(k->size, k->shift) + 1);
	}
	*out = k;
	return 0;
}

static struct kino *kino_of_fh(const struct fh *fh)
{
	CLEANUP_CLOSE int fd = fh_open(top_fd, fh, O_PATH | O_NOFOLLOW);
	struct kino *k;
	bool stale;

	return fd < 0 || kino_of(fd, &k, &stale) ? NULL : k;
}

struct kino *kino_root(void)
{
	struct kino *k;
	bool stale;

	return kino_of(root_fd, &k, &stale) ? NULL : k;
}

int kernel_peek(struct kino *dir, const char *name, struct kino **out)
{
	CLEANUP_CLOSE int dfd = fh_open(top_fd, &dir->fh, O_RDONLY | O_DIRECTORY);
	CLEANUP_CLOSE int fd = dfd < 0 ? -1 : openat(dfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	bool stale = false;

	if (dfd < 0)
		return -ENOTDIR;
	if (fd < 0 || kino_of(fd, out, &stale))
		return -ENOENT;
	return stale || (*out)->stale ? -ESTALE : 0;
}

int kernel_open(struct kino *k)
{
	int fd = fh_open(top_fd, &k->fh, O_RDONLY | O_NOFOLLOW);

	k->opens += fd >= 0;
	return fd;
}

void kernel_close(struct kino *k, int fd)
{
	close(fd);
	k->opens--;
}

bool kernel_leased(const struct kino *k)
{
	u16 g = k->pu <= META_SLOTS ? groups[k->pu] : AUGUR_GROUP_NONE;

	return g < GROUPS && augur_lease_valid(&leases[g], sim_now);
}

/* ---- claims ---- */

static void claim(struct kino *k, u64 off, u64 len, const char *by)
{
	CLEANUP_CLOSE int fd = fh_open(top_fd, &k->fh, O_RDONLY | O_NOFOLLOW);
	CLEANUP_FREE u8 *buf = xmalloc(len + 1);
	u64 cid;

	if (!len)
		return;
	if (off > k->size || len > k->size - off)
		violated("%s claims %lu+%lu of %lu bytes", by, off, len, k->size);
	if (fd < 0)
		return;		/* switched away and forgotten: nobody can read it */
	if (pread(fd, buf, len, off) != (ssize_t)len)
		wrong_bytes("%s claims bytes that the lower file does not have", by);
	cid = len < 8 ? k->cid : pattern_cid(buf, len, off);
	if (!cid && len < 8)
		return;		/* too short to say whose it is */
	if (!cid || (k->cid && cid != k->cid))
		wrong_bytes("%s claims %lu+%lu of inode %lu, whose bytes are of state %lu and not %lu", by, off, len,
			 k->ino, cid, k->cid);
	k->cid = cid;
	if (!pattern_is(cid, buf, len, off) || cid_len(cid) != k->size)
		wrong_bytes("%s claims %lu+%lu of inode %lu (state %lu), and the bytes are others", by, off, len, k->ino, cid);
}

static void present(struct kino *k, u64 off, u64 len, const char *by)
{
	u64 first, count;

	claim(k, off, len, by);
	augur_chunk_range(off, len, k->size, k->shift, &first, &count);
	if (count)
		augur_map_set_range(k->map, first, count);
}

bool kino_has(const struct kino *k, u64 off, u64 len)
{
	u64 first, count;

	if (k->complete)
		return true;
	augur_chunk_range(off, len, k->size, k->shift, &first, &count);
	return !count || augur_map_all(k->map, first, count);
}

static void lend(struct kino *k, u64 off, u64 len, int by)
{
	u64 first, count;

	if (k->dir)
		return;
	augur_chunk_range(off, len, k->size, k->shift, &first, &count);
	for (u64 i = first; i < first + count; i++)
		k->lent[i] += by;
}

/* Of an inode that was switched away or removed nobody claims anything. */
static bool has_name(const struct kino *k)
{
	AS_KERNEL;
	CLEANUP_CLOSE int fd = fh_open(top_fd, &k->fh, O_PATH | O_NOFOLLOW);
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) && st.st_nlink;
}

void kernel_check_all(void)
{
	for (size_t i = 0; i < INOS; i++) {
		struct kino *k = inos[i];

		for (u64 c = 0; k && !k->dir && c < augur_chunks(k->size, k->shift); c++)
			if (k->complete || augur_map_test(k->map, c))
				claim(k, c << k->shift, min(1ull << k->shift, k->size - (c << k->shift)), "the kernel's map");
		/* Long after the last fill: its record says so, and the inode may leave the memory. */
		if (k && !k->dir && !k->stale && k->complete && !k->settled && cluster_claims() && has_name(k))
			violated("ino=%lu has been complete for long, and nobody has claimed it", k->ino);
	}
}

/* ---- requests ---- */

static void kreq_free(struct kreq *r)
{
	event_cancel(&r->send);
	event_cancel(&r->expire);
	list_del(&r->link);
	free(r->name);
	free(r);
}

/* The reader runs a little later, as a process that was woken. */
static void wake(struct event *e)
{
	struct kreq *r = container_of(e, struct kreq, wake);
	kdone_fn *fn = r->fn;
	void *arg = r->arg;
	int status = r->status;
	u32 flags = r->flags;
	bool answered = r->answered;

	r->fn = NULL;
	if (answered)
		kreq_free(r);
	fn(arg, status, flags);
}

static void tell(struct kreq *r, int status, u32 flags)
{
	if (!r->fn || r->wake.queued)
		return;
	r->status = status;
	r->flags = flags;
	event_at(&r->wake, sim_now + between(2000, 60000), wake);
}

/* on_loss=eio, and there is no daemon: nobody waits for the next one. */
static void give_up(struct kreq *r)
{
	note("req %lu: no daemon", r->id);
	hits[HIT_NO_DAEMON]++;
	r->answered = true;
	event_cancel(&r->send);
	event_cancel(&r->expire);
	if (r->fn)
		tell(r, -EIO, 0);
	else
		kreq_free(r);
}

static void lost(struct event *e)
{
	struct kreq *r = container_of(e, struct kreq, expire);

	if (!daemon_here) {
		event_at(&r->expire, sim_now + LOST_NS, lost);
		return;
	}
	lost_waiter("request %lu op %u name %s off %lu len %lu was never answered", r->id, r->op,
		 r->name ? r->name : "", r->off, r->len);
}

/* What is cancelled frees its slot; bytes on their way go on. */
static void expired(struct event *e)
{
	struct kreq *r = container_of(e, struct kreq, expire);

	note("req %lu %s", r->id, r->killed ? "is killed" : "timed out");
	hits[r->killed ? HIT_KILL : HIT_TIMEOUT]++;
	tell(r, r->killed ? -EINTR : -EIO, 0);
	event_at(&r->expire, sim_now + LOST_NS, lost);
	if (!daemon_here || !r->sent)
		return;
	if (r->op != AUGUR_OP_FETCH) {
		event_cancel(&r->expire);
		event_at(&r->expire, sim_now + SEC, lost);
	}
	running = &nodes[AGENT];
	agent_upcall_ops.cancel(&sim_agent, &kmount, r->id);
	running = NULL;
}

static void deliver(struct event *e)
{
	struct kreq *r = container_of(e, struct kreq, send);
	struct upcall_req rq = { .id = r->id, .op = r->op, .fh = r->k->fh, .name = r->name, .off = r->off, .len = r->len,
				 .name_len = r->name ? strlen(r->name) : 0, .want = r->len, .version = r->k->version,
				 .open_id = 1, .flags = r->sent ? AUGUR_RQ_RESEND : 0 };

	if (!daemon_here)
		return;		/* the next one gets it */
	if (r->op == AUGUR_OP_FETCH && !r->k->complete && chance(300))
		rq.flags |= AUGUR_RQ_WANT_MAP;
	memcpy(rq.oid, r->k->oid, AUGUR_OID_LEN);
	r->sent = true;
	note("req %lu op=%u ino=%lu name=%s off=%lu len=%lu", r->id, r->op, r->k->ino, r->name ? r->name : "", r->off, r->len);
	running = &nodes[AGENT];
	agent_upcall_ops.request(&sim_agent, &kmount, &rq);
	running = NULL;
}

void kernel_ask(u32 op, struct kino *k, const char *name, u64 off, u64 len, kdone_fn *fn, void *arg)
{
	struct kreq *r = xcalloc(1, sizeof(*r));

	kernel_requests++;
	r->id = ++last_req;
	r->op = op;
	r->k = k;
	r->name = name ? xstrdup(name) : NULL;
	r->off = off;
	r->len = len;
	r->fn = fn;
	r->arg = arg;
	list_add_tail(&reqs, &r->link);
	if (loss_eio && !daemon_here) {
		give_up(r);
		return;
	}
	if (op == AUGUR_OP_FETCH)
		lend(k, off, len, 1);
	event_at(&r->send, sim_now + between(2000, 50000), deliver);
	r->killed = !sim_quiet && chance(15);
	event_at(&r->expire, sim_now + (r->killed ? below(100 * MSEC) : TIMEOUT_MS * MSEC), expired);
}

unsigned int kernel_waiting(void)
{
	unsigned int n = 0;

	for (struct list *p = reqs.next; p != &reqs; p = p->next)
		n += !container_of(p, struct kreq, link)->answered;
	return n;
}

static void answer_fetch(struct kreq *r, const struct upcall_reply *rp)
{
	struct kino *k = r->k;

	if (rp->off > r->off || rp->off + rp->len < min(r->off + r->len, k->size))
		violated("answer %lu has %lu+%lu, and %lu+%lu was asked for", r->id, rp->off, rp->len, r->off, r->len);
	if (rp->flags & AUGUR_RP_COMPLETE) {
		claim(k, 0, k->size, "a complete answer");
		k->complete = true;
		return;
	}
	present(k, rp->off, rp->len, "an answer");
	for (u64 c = 0; rp->map && c < augur_chunks(k->size, k->shift) && c / 8 < rp->map_len; c++)
		if (augur_map_test(rp->map, c))
			present(k, c << k->shift, min(1ull << k->shift, k->size - (c << k->shift)), "a map");
}

void upcall_reply(struct upcall_mount *m, const struct upcall_reply *rp)
{
	struct kreq *r = NULL;
	AS_KERNEL;

	for (struct list *p = reqs.next; p != &reqs; p = p->next)
		if (container_of(p, struct kreq, link)->id == rp->id)
			r = container_of(p, struct kreq, link);
	note("reply %lu op=%u status=%d flags=%u", rp->id, rp->op, rp->status, rp->flags);
	if (!r || r->answered || !r->sent)
		violated("answer to request %lu, which nobody waits for", rp->id);
	if (r->op != rp->op)
		violated("answer %lu is to op %u, asked was %u", rp->id, rp->op, r->op);
	r->answered = true;
	event_cancel(&r->expire);
	if (r->op == AUGUR_OP_FETCH)
		lend(r->k, r->off, r->len, -1);
	if (r->op == AUGUR_OP_FETCH && !rp->status)
		answer_fetch(r, rp);
	if (r->k->dir && (!rp->status || rp->status == -ENOENT) && (rp->flags & AUGUR_RP_COMPLETE))
		r->k->complete = r->k->listed = true;
	if (r->fn)
		tell(r, rp->status, rp->flags);
	else
		kreq_free(r);
}

/* ---- grants ---- */

int upcall_fill_begin(struct upcall_mount *m, const u8 *oid, const struct fh *fh, u64 off, u64 len,
		      struct upcall_range *r, int *n, u64 *grant, u32 *flags)
{
	struct kgrant *g;
	u64 first, count;
	struct kino *k;
	int room = min(*n, UPCALL_RANGES_MAX);
	AS_KERNEL;

	k = kino_of_fh(fh);
	*n = 0;
	*grant = 0;
	if (!k || k->stale || memcmp(k->oid, oid, AUGUR_OID_LEN))
		return -ESTALE;
	if (!sim_quiet && chance(20))
		return -EBUSY;
	if (k->complete)
		return 0;
	augur_chunk_range(off, len, k->size, k->shift, &first, &count);
	for (u64 c = first; c < first + count; c++) {
		u64 a = c << k->shift, b = min((c + 1) << k->shift, k->size);

		if (augur_map_test(k->map, c) || k->lent[c])
			continue;
		if (*n && r[*n - 1].off + r[*n - 1].len == a)
			r[*n - 1].len += b - a;
		else if (*n == room)
			break;
		else
			r[(*n)++] = (struct upcall_range){ a, b - a };
	}
	if (!*n)
		return 0;
	g = xcalloc(1, sizeof(*g));
	*grant = g->id = ++last_grant;
	g->k = k;
	g->n = *n;
	memcpy(g->r, r, *n * sizeof(*r));
	for (int i = 0; i < g->n; i++)
		lend(k, g->r[i].off, g->r[i].len, 1);
	list_add_tail(&grants, &g->link);
	return 0;
}

static void grant_free(struct kgrant *g)
{
	for (int i = 0; i < g->n; i++)
		lend(g->k, g->r[i].off, g->r[i].len, -1);
	list_del(&g->link);
	free(g);
}

void upcall_fill_end(struct upcall_mount *m, u64 grant, const struct upcall_range *r, int n, bool complete)
{
	struct kgrant *g = NULL;
	AS_KERNEL;

	for (struct list *p = grants.next; p != &grants; p = p->next)
		if (container_of(p, struct kgrant, link)->id == grant)
			g = container_of(p, struct kgrant, link);
	note("fill end %lu ranges=%d complete=%d", grant, n, complete);
	if (!g)
		violated("end of grant %lu, which is not out", grant);
	for (int i = 0; i < n; i++)
		present(g->k, r[i].off, r[i].len, "the end of a grant");
	if (complete) {
		claim(g->k, 0, g->k->size, "the end of a grant (complete)");
		g->k->complete = true;
	}
	grant_free(g);
}

void upcall_settle(struct upcall_mount *m, const u8 *oid, bool complete, u64 bytes)
{
	AS_KERNEL;

	note("settle oid=%llx complete=%d bytes=%llu", (unsigned long long)get_le64(oid), complete, (unsigned long long)bytes);
	for (size_t i = 0; i < INOS && complete; i++)
		if (inos[i] && !inos[i]->dir && !inos[i]->stale && !memcmp(inos[i]->oid, oid, AUGUR_OID_LEN) && inos[i]->size == bytes)
			inos[i]->settled = true;
}

/* ---- notices ---- */

void upcall_inval(struct upcall_mount *m, u32 kind, const u8 *oid, const char *name, size_t len)
{
	note("inval kind=%u oid=%llx name=%.*s", kind, (unsigned long long)get_le64(oid), (int)len, name ? name : "");
	for (size_t i = 0; i < INOS; i++) {
		struct kino *k = inos[i];

		if (!k || memcmp(k->oid, oid, AUGUR_OID_LEN))
			continue;
		if (k->dir && (kind == AUGUR_INVAL_DIR || kind == AUGUR_INVAL_DATA))
			k->complete = false;
		else if (!k->dir && kind == AUGUR_INVAL_DATA) {
			note("ino %lu is stale", k->ino);
			k->stale = true;
		}
	}
}

void upcall_pu_table(struct upcall_mount *m, u32 base, const u16 *g, u32 n, u64 seq)
{
	for (u32 i = 0; i < n && base + i <= META_SLOTS; i++)
		groups[base + i] = g[i];
}

void upcall_lease(struct upcall_mount *m, u32 group, u64 seq, u64 deadline)
{
	if (group >= GROUPS)
		violated("a lease for group %u", group);
	augur_lease_update(&leases[group], seq, deadline);
}

/* ---- names ---- */

static int name_fd(const struct fh *parent, const char *name, const struct fh *old)
{
	int fd = fh_open(top_fd, parent, O_RDONLY | O_DIRECTORY);
	struct fh now = { .len = 0 };

	if (fd < 0)
		return fd;
	if (!fh_of(fd, name, &now) && fh_equal(&now, old))
		return fd;
	close(fd);
	return -ESTALE;
}

int upcall_switch(struct upcall_mount *m, const struct fh *parent, const char *name, size_t len,
		  const struct fh *old_fh, const struct fh *new_fh, const char *tmp)
{
	CLEANUP_CLOSE int tmp_fd = -1;
	struct fh is = { .len = 0 };
	AS_KERNEL;
	CLEANUP_CLOSE int fd = name_fd(parent, name, old_fh);

	if (fd < 0)
		return fd;
	if (!sim_quiet && chance(20))
		return -EBUSY;
	tmp_fd = openat(top_fd, ".augur/tmp", O_RDONLY | O_DIRECTORY);
	if (fh_of(tmp_fd, tmp, &is) || !fh_equal(&is, new_fh))
		return -ESTALE;
	note("switch %s", name);
	return renameat(tmp_fd, tmp, fd, name) ? -errno : 0;
}

/* Who waits for an answer about it holds it. */
static bool is_awaited(const struct kino *k)
{
	for (struct list *p = reqs.next; p != &reqs; p = p->next)
		if (container_of(p, struct kreq, link)->k == k && container_of(p, struct kreq, link)->fn)
			return true;
	return false;
}

/*
 * A directory has all names or not as its record says from now on: its inode may go from memory at
 * any moment, and come back.
 */
static int may_forget(int dir_fd, const struct fh *fh)
{
	struct kino *k = kino_of_fh(fh), *dir;
	struct augur_rec rec;
	bool stale;

	if (!k || kino_of(dir_fd, &dir, &stale) || record_of(dir_fd, &rec))
		return -ESTALE;
	if (is_awaited(dir) || is_awaited(k) || k->opens || held || (!sim_quiet && chance(50)))
		return -EBUSY;
	for (u64 c = 0; !k->dir && c < augur_chunks(k->size, k->shift); c++)
		if (k->lent[c])
			return -EBUSY;
	dir->complete = rec.flags & AUGUR_REC_COMPLETE;
	hits[HIT_FORGET]++;
	return 0;
}

int upcall_remove(struct upcall_mount *m, const struct fh *parent, const char *name, size_t len, const struct fh *old_fh,
		  bool forget)
{
	AS_KERNEL;
	CLEANUP_CLOSE int fd = name_fd(parent, name, old_fh);
	int err;

	if (fd < 0)
		return fd;
	if (forget && (err = may_forget(fd, old_fh)))
		return err;
	note("%s %s", forget ? "forget" : "remove", name);
	return unlinkat(fd, name, 0) && unlinkat(fd, name, AT_REMOVEDIR) ? -errno : 0;
}

/* ---- eviction ---- */

void kernel_hold(bool all)
{
	held = all;
}

static u32 busy(const struct kino *k, u64 off, u64 len)
{
	u64 first, count;

	if (!len && (k->opens || held))
		return AUGUR_BUSY_OPEN;
	if (len && k->complete)
		return AUGUR_BUSY_CLAIMED;
	for (struct list *p = reqs.next; !len && p != &reqs; p = p->next)
		if (container_of(p, struct kreq, link)->k == k)
			return AUGUR_BUSY_FILLING;
	augur_chunk_range(off, len ? len : k->size, k->size, k->shift, &first, &count);
	for (u64 c = first; c < first + count; c++)
		if (k->lent[c])
			return AUGUR_BUSY_FILLING;
	return 0;
}

int upcall_evict(struct upcall_mount *m, const u8 *oid, const struct fh *fh, u64 off, u64 len, bool ask, u32 *why)
{
	struct kino *k;
	u64 first, count;
	AS_KERNEL;

	*why = 0;
	k = kino_of_fh(fh);
	if (!k || k->dir || memcmp(k->oid, oid, AUGUR_OID_LEN))
		return -ESTALE;
	*why = busy(k, off, len);
	if (!*why && len && !ask && !sim_quiet && chance(50))
		*why = AUGUR_BUSY_READING;
	if (*why)
		return -EBUSY;
	if (ask)
		return 0;
	note("evict ino=%lu off=%lu len=%lu", k->ino, off, len);
	augur_chunk_range(off, len ? len : k->size, k->size, k->shift, &first, &count);
	augur_map_clear_range(k->map, first, count);
	k->complete = false;
	k->settled = false;
	hits[len ? HIT_STREAM : HIT_EVICT]++;
	return 0;
}

int upcall_pin(struct upcall_mount *m, const u8 *oid, const struct fh *fh, bool set)
{
	return 0;
}

/* ---- sessions ---- */

int upcall_inodes(struct upcall_mount *m, void (*fn)(void *arg, const struct upcall_inode *in), void *arg)
{
	for (size_t i = 0; i < INOS; i++) {
		struct kino *k = inos[i];
		struct upcall_inode in = { .size = k ? k->size : 0 };

		if (!k || k->dir || k->stale || k->settled)
			continue;
		memcpy(in.oid, k->oid, AUGUR_OID_LEN);
		in.fh = k->fh;
		in.state = k->complete ? AUGUR_IS_COMPLETE : 0;
		in.chunk_shift = k->shift;
		in.map = k->map;
		in.map_len = augur_map_bytes(k->size, k->shift);
		fn(arg, &in);
	}
	return 0;
}

int upcall_register(struct upcall *u, u64 id, bool events, void *user, struct upcall_mount **out)
{
	struct kino *root = kino_root();

	if (!root)
		return -ENOENT;
	memcpy(kmount.root_oid, root->oid, AUGUR_OID_LEN);
	/* What the last daemon could not mark before it went is as good as forgotten: the owner knows it by its tag. */
	for (size_t i = 0; i < INOS; i++)
		if (inos[i])
			inos[i]->stale = false;
	kmount.session++;
	kmount.user = user;
	daemon_here = true;
	*out = &kmount;
	/* The table is the truth: what was sent to the one before is sent again. */
	for (struct list *p = reqs.next; p != &reqs; p = p->next) {
		struct kreq *r = container_of(p, struct kreq, link);

		if (!r->answered && !r->send.queued)
			event_at(&r->send, sim_now + between(2000, 50000), deliver);
		if (r->expire.queued && r->expire.fn == lost) {
			event_cancel(&r->expire);	/* this daemon knows nothing of a CANCEL */
			event_at(&r->expire, sim_now + LOST_NS, lost);
		}
	}
	return 0;
}

void upcall_unregister(struct upcall_mount *m)
{
	struct list *p, *t;

	daemon_here = false;
	while (!list_empty(&grants))
		grant_free(list_first(&grants, struct kgrant, link));
	list_for_each_safe(p, t, &reqs) {
		struct kreq *r = container_of(p, struct kreq, link);

		if (!loss_eio || r->answered)
			continue;
		if (r->op == AUGUR_OP_FETCH)
			lend(r->k, r->off, r->len, -1);
		give_up(r);
	}
}

void upcall_flush(struct upcall_mount *m)
{
}

bool upcall_module_present(const struct upcall *u)
{
	return true;
}

int upcall_module_error(const struct upcall *u)
{
	return 0;
}
