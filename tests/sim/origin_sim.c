// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * origin_sim.c - the tree that the proxies export, who changes it behind their backs, and the
 * history of every name: which content it had from when to when.
 *
 * A content is a number (cid); each of its 8-byte words holds it, so any aligned piece of a file
 * says whose it is.  Timestamps have the granularity of a kernel's tick, so two edits may well
 * be indistinguishable by size and times.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "sim.h"

#define DIRS	3
#define FILES	24
#define CIDS	8192

struct ofile ofiles[FILES];
unsigned int nofiles;

static u32 lens[CIDS];
static u64 last_cid;
static char *root;
static unsigned int ntmp;
static struct event soon_ev;
static struct ofile *soon_file;

/* ---- contents ---- */

static u64 word(u64 cid, u64 k)
{
	return cid << 32 | (u32)((k + 1) * 2654435761u);
}

void pattern(u64 cid, u64 off, u8 *buf, size_t len)
{
	for (size_t i = 0; i < len;) {
		u64 w = word(cid, (off + i) / 8);
		size_t at = (off + i) % 8, n = min(8 - at, len - i);

		memcpy(buf + i, (u8 *)&w + at, n);
		i += n;
	}
}

bool pattern_is(u64 cid, const u8 *p, size_t len, u64 off)
{
	u8 want[4096];

	for (size_t i = 0, n; i < len; i += n) {
		n = min(len - i, sizeof(want));
		pattern(cid, off + i, want, n);
		if (memcmp(want, p + i, n))
			return false;
	}
	return true;
}

u64 pattern_cid(const u8 *p, size_t len, u64 off)
{
	u32 cid;

	if (off % 8 || len < 8)
		return 0;
	memcpy(&cid, p + 4, 4);
	return cid && cid <= last_cid ? cid : 0;
}

u32 cid_len(u64 cid)
{
	return lens[cid];
}

static u64 cid_new(u32 len)
{
	if (last_cid + 1 == CIDS)
		violated("the run has more states than it has room for");
	lens[++last_cid] = len;
	return last_cid;
}

static u32 some_len(void)
{
	return chance(100) ? between(200000, 900000) : chance(300) ? between(20000, 140000) : between(8, 9000);
}

/* ---- history ---- */

static void now_is(struct ofile *f, u64 cid)
{
	struct state *s = xcalloc(1, sizeof(*s));

	s->cid = cid;
	s->from = sim_now;
	s->to = UINT64_MAX;
	if (f->last) {
		f->last->to = sim_now;
		f->last->next = s;
	} else {
		f->first = s;
	}
	f->last = s;
	note("origin %s/%s is %lu (%u bytes)", f->dir, f->name, cid, cid ? lens[cid] : 0);
}

/* ---- the tree ---- */

static char *path_of(const char *dir, const char *name)
{
	return xasprintf("%s/%s%s%s", root, dir, *dir ? "/" : "", name);
}

/* Times as a kernel's tick gives them. */
static void stamp(const char *path)
{
	u64 t = now_real() / TICK_NS * TICK_NS;
	struct timespec ts[2] = { { t / SEC, t % SEC }, { t / SEC, t % SEC } };
	struct stat st;

	if (utimensat(AT_FDCWD, path, ts, AT_SYMLINK_NOFOLLOW) || lstat(path, &st))
		violated("origin: %s: %s", path, strerror(errno));
	fs_changed(st.st_ino);
}

u64 dir_mtime(unsigned int d, char name[16])
{
	CLEANUP_FREE char *p = NULL;
	struct stat st;

	snprintf(name, 16, "d%u", d);
	p = path_of(name, "");
	if (d >= DIRS || lstat(p, &st))
		return 0;
	return st.st_mtim.tv_sec * SEC + st.st_mtim.tv_nsec;
}

static void stamp_dir(const char *dir)
{
	CLEANUP_FREE char *p = path_of(dir, "");

	stamp(p);
}

static void put_content(const char *path, u64 cid, int flags)
{
	CLEANUP_FREE u8 *buf = xmalloc(lens[cid] + 1);
	int fd = open(path, O_WRONLY | O_CREAT | flags, 0644);

	pattern(cid, 0, buf, lens[cid]);
	if (fd < 0 || pwrite(fd, buf, lens[cid], 0) != (ssize_t)lens[cid] || ftruncate(fd, lens[cid]))
		violated("origin: %s: %s", path, strerror(errno));
	close(fd);
	stamp(path);
}

static void overwrite(struct ofile *f, bool same_size)
{
	CLEANUP_FREE char *p = path_of(f->dir, f->name);
	u64 cid = cid_new(same_size ? lens[f->last->cid] : some_len());

	put_content(p, cid, 0);
	now_is(f, cid);
}

static void replace(struct ofile *f)
{
	CLEANUP_FREE char *tmp = xasprintf("%s/%s/.tmp%u", root, f->dir, ntmp++);
	CLEANUP_FREE char *p = path_of(f->dir, f->name);
	u64 cid = cid_new(chance(300) && f->last->cid ? lens[f->last->cid] : some_len());

	put_content(tmp, cid, O_EXCL);
	if (rename(tmp, p))
		violated("origin: %s: %s", p, strerror(errno));
	stamp(p);
	stamp_dir(f->dir);
	now_is(f, cid);
}

static void drop(struct ofile *f)
{
	CLEANUP_FREE char *p = path_of(f->dir, f->name);

	unlink(p);
	stamp_dir(f->dir);
	now_is(f, 0);
}

static void move(struct ofile *f, struct ofile *to)
{
	CLEANUP_FREE char *a = path_of(f->dir, f->name);
	CLEANUP_FREE char *b = path_of(to->dir, to->name);
	u64 cid = f->last->cid;

	if (f == to || rename(a, b))
		return;
	stamp(b);
	stamp_dir(f->dir);
	stamp_dir(to->dir);
	now_is(f, 0);
	now_is(to, cid);
}

/*
 * An agent that was started anew does not know by which name it had an object that it meets by
 * another; if the owner was away, too, the old name is served until its directory is listed.
 * A known defect, left out here: no renames in runs in which the agent restarts, or in which
 * the origin tells of no change by itself.
 */
void origin_edit(bool renames)
{
	struct ofile *f = &ofiles[below(nofiles)];

	if (!f->last->cid)
		replace(f);
	else if (chance(450))
		overwrite(f, chance(600));
	else if (chance(450))
		replace(f);
	else if (chance(400))
		drop(f);
	else if (renames)
		move(f, &ofiles[below(nofiles)]);
	/* Another one within the tick: size and times may tell nothing. */
	if (f->last->cid && chance(150))
		overwrite(f, true);
	io_sim_polls();
}

static void edit_now(struct event *e)
{
	struct ofile *f = soon_file;

	if (!f->last->cid || chance(500))
		replace(f);
	else
		overwrite(f, chance(600));
	io_sim_polls();
}

void origin_edit_soon(struct ofile *f)
{
	if (soon_ev.queued)
		return;
	soon_file = f;
	event_at(&soon_ev, sim_now + (chance(500) ? below(2 * MSEC) : below(60 * MSEC)), edit_now);
}

void origin_build(const char *top)
{
	root = xasprintf("%s/tree", top);
	mkdir(root, 0755);
	for (int d = 0; d < DIRS; d++) {
		char name[16];
		CLEANUP_FREE char *p = NULL;

		snprintf(name, sizeof(name), "d%d", d);
		p = path_of(name, "");
		mkdir(p, 0755);
		for (unsigned int i = 0, n = between(3, FILES / DIRS); i < n; i++) {
			struct ofile *f = &ofiles[nofiles++];
			CLEANUP_FREE char *q = NULL;
			u64 cid = chance(900) ? cid_new(some_len()) : 0;

			snprintf(f->dir, sizeof(f->dir), "%s", name);
			snprintf(f->name, sizeof(f->name), "f%u", i);
			q = path_of(f->dir, f->name);
			if (cid)
				put_content(q, cid, O_EXCL);
			now_is(f, cid);
		}
		stamp_dir(name);
	}
	stamp_dir("");
}
