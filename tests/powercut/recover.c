// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * recover.c - the real recovery of a cache that lost its power: the agent, with a kernel that is
 * played here, starts on it, and all that a reader would then see is compared with the origin.
 *
 *	recover CACHE ORIGIN PROXY[:PORT]
 *
 * As the module does, a name is asked for if it is not there or its record says stale, a
 * directory's names are asked for as a whole, and the bytes of a complete file are not asked
 * for.  Prints what is wrong and a line {"wrong": N, "marked": N}; exits 1 if anything was.
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "agent/agent.h"
#include "base/log.h"
#include "role.h"
#include "tests/unit/fake_kernel.h"

#define ANSWER_NS	30000000000ull
#define TRIES		3

static struct io *io;
static struct agent ag;
static struct vol *v;
static const char *cache, *origin;
static unsigned int wrong;

/* What main.c of the daemon has. */
int role_enter_netns(const char *name)
{
	return -ENOSYS;
}

void role_ready(struct role_cfg *cfg)
{
}

/* ---- the loop ---- */

static void tick(struct io_op *op, int res)
{
}

static bool until(const bool *flag)
{
	u64 end = io_now(io) + ANSWER_NS;

	while (!*flag && io_now(io) < end) {
		struct io_op op = { .done = tick };

		io->ops->timer(io, &op, io_now(io) + 2000000);
		while (op.busy)
			if (io->ops->step(io))
				return false;
	}
	return *flag;
}

struct flag { bool up; int err; };

static void raise_flag(void *arg, int err)
{
	struct flag *f = arg;

	f->up = true;
	f->err = err;
}

static void closed(void *arg)
{
	*(bool *)arg = true;
}

/* ---- a reader ---- */

struct seen { u8 oid[AUGUR_OID_LEN]; struct fh fh; struct augur_rec rec; struct stat st; };

static int look(const char *rel, struct seen *s)
{
	CLEANUP_FREE char *path = xasprintf("%s/root/%s", cache, rel);
	u8 buf[AUGUR_RECORD_LEN + 1];
	ssize_t n = lgetxattr(path, AUGUR_XATTR_NAME, buf, sizeof(buf));

	if (n < 0 || augur_rec_decode(buf, n, &s->rec) || lstat(path, &s->st) || fh_of(AT_FDCWD, path, &s->fh))
		return -ENOENT;
	memcpy(s->oid, s->rec.oid, AUGUR_OID_LEN);
	return 0;
}

static int ask(u32 op, const struct seen *s, const char *name, u64 len)
{
	struct upcall_req rq = { .id = ++fake.last_req, .op = op, .fh = s->fh, .len = len, .want = len, .name = name,
				 .name_len = name ? strlen(name) : 0, .open_id = 1 };
	struct fake_reply *r = &fake.replies[rq.id % ARRAY_SIZE(fake.replies)];

	memcpy(rq.oid, s->oid, AUGUR_OID_LEN);
	memset(r, 0, sizeof(*r));
	agent_upcall_ops.request(&ag, &fake.m, &rq);
	return until(&r->come) ? r->status : -ETIMEDOUT;
}

static void complain(const char *rel, const char *what, int err)
{
	wrong++;
	printf("%s: %s%s%s\n", rel, what, err ? ": " : "", err ? strerror(-err) : "");
}

static bool same_file(const char *rel)
{
	CLEANUP_FREE char *a = xasprintf("%s/%s", origin, rel), *b = xasprintf("%s/root/%s", cache, rel);
	FILE *f = fopen(a, "re"), *g = fopen(b, "re");
	bool same = f && g;
	int x = 0, y = 0;

	while (same && x != EOF) {
		x = getc_unlocked(f);
		y = getc_unlocked(g);
		same = x == y;
	}
	if (f)
		fclose(f);
	if (g)
		fclose(g);
	return same;
}

/* 0: it is at its name, and not marked. */
static int find(const char *dir, const char *name, const char *rel, struct seen *s)
{
	int err = look(rel, s);

	for (int i = 0; i < TRIES && (err || (s->rec.flags & AUGUR_REC_STALE)); i++) {
		err = look(dir, s);
		if (!err)
			err = ask(AUGUR_OP_LOOKUP, s, name, 0);
		if (!err)
			err = look(rel, s);
	}
	return err ? err : s->rec.flags & AUGUR_REC_STALE ? -ESTALE : 0;
}

static void read_file(const char *rel, struct seen *s)
{
	int err = 0;

	if (!(s->rec.flags & AUGUR_REC_COMPLETE))
		err = ask(AUGUR_OP_FETCH, s, NULL, s->rec.size);
	if (err)
		complain(rel, "its bytes do not come", err);
	else if (!same_file(rel))
		complain(rel, "its bytes are not the origin's", 0);
}

static bool same_link(const char *rel)
{
	CLEANUP_FREE char *a = xasprintf("%s/%s", origin, rel), *b = xasprintf("%s/root/%s", cache, rel);
	char x[4096] = "", y[4096] = "";

	return readlink(a, x, sizeof(x) - 1) > 0 && readlink(b, y, sizeof(y) - 1) > 0 && !strcmp(x, y);
}

static void read_dir(const char *rel, int depth);

static void read_name(const char *dir, const char *name, int depth)
{
	CLEANUP_FREE char *rel = xasprintf("%s%s%s", dir, *dir ? "/" : "", name);
	CLEANUP_FREE char *path = xasprintf("%s/%s", origin, rel);
	struct seen s;
	struct stat st;
	int err = find(dir, name, rel, &s);

	if (err || lstat(path, &st))
		complain(rel, "the name does not come", err ? err : -errno);
	else if ((st.st_mode ^ s.st.st_mode) & S_IFMT)
		complain(rel, "another kind of object", 0);
	else if (S_ISDIR(st.st_mode))
		read_dir(rel, depth + 1);
	else if (S_ISREG(st.st_mode))
		read_file(rel, &s);
	else if (S_ISLNK(st.st_mode) && !same_link(rel))
		complain(rel, "the link goes elsewhere", 0);
}

/* Names that the origin does not have: a reader sees them unless they are marked. */
static void find_more(const char *rel)
{
	CLEANUP_FREE char *path = xasprintf("%s/root/%s", cache, rel);
	DIR *d = opendir(path);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		CLEANUP_FREE char *name = xasprintf("%s%s%s", rel, *rel ? "/" : "", de->d_name);
		CLEANUP_FREE char *there = xasprintf("%s/%s", origin, name);
		struct stat st;
		struct seen s;

		if (strcmp(de->d_name, ".") && strcmp(de->d_name, "..") && lstat(there, &st) && !look(name, &s) &&
		    !(s.rec.flags & AUGUR_REC_STALE))
			complain(name, "a name that the origin does not have", 0);
	}
	if (d)
		closedir(d);
}

static void read_dir(const char *rel, int depth)
{
	CLEANUP_FREE char *path = xasprintf("%s/%s", origin, rel);
	struct dirent *de;
	struct seen s;
	int err = look(rel, &s);
	DIR *d;

	if (!err && !(s.rec.flags & AUGUR_REC_COMPLETE))
		err = ask(AUGUR_OP_POPULATE, &s, NULL, 0);
	if (err || depth > 32) {
		complain(rel, "its names do not come", err);
		return;
	}
	d = opendir(path);
	while (d && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			read_name(rel, de->d_name, depth);
	if (d)
		closedir(d);
	find_more(rel);
}

/* ---- start and end ---- */

static int attach(const char *proxy)
{
	CLEANUP_FREE char *source = xasprintf("%s:/vol", proxy);
	struct flag ready = { 0 };
	enum ctl_error cause;
	int err = vol_new(&ag, source, cache, &v, &cause);

	if (err)
		return err;
	vol_when_ready(v, io_now(io) + ANSWER_NS, raise_flag, &ready);
	if (!until(&ready.up) || ready.err)
		return ready.err ? ready.err : -ETIMEDOUT;
	fake.top_fd = v->c->top_fd;
	fake.m.user = v;
	v->m = &fake.m;
	lease_mount(v);
	return 0;
}

/* Every owner's changes are known: a module opens by its records from here on. */
static bool leased(void)
{
	bool all = false;

	for (int i = 0; i < 3000 && !all; i++) {
		bool never = false;
		struct io_op op = { .done = tick };

		io->ops->timer(io, &op, io_now(io) + 10000000);
		while (op.busy && !never)
			never = io->ops->step(io);
		all = true;
		for (u32 s = 0; s < v->map->nshards; s++)
			all = all && v->leases[s].state == LS_OK;
	}
	return all;
}

int main(int argc, char **argv)
{
	bool done = false;
	int err;

	if (argc != 4)
		return 2;
	cache = argv[1];
	origin = argv[2];
	umask(0);
	log_open("recover", LOG_L_INFO);
	io = io_new(NULL);
	if (!io)
		return 2;
	ag.io = io;
	ag.id = "recover";
	list_init(&ag.vols);
	err = attach(argv[3]);
	if (err || !leased()) {
		printf("the agent does not start: %s\n", strerror(err ? -err : ETIMEDOUT));
		return 3;
	}
	read_dir("", 0);
	agent_upcall_ops.gone(&ag, &fake.m);
	vol_close(v, closed, &done);
	until(&done);
	printf("{\"wrong\":%u}\n", wrong);
	return wrong ? 1 : 0;
}
