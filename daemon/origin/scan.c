// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The first look at a volume: how many bytes and entries each directory holds.  Directories
 * with more than a twentieth of either are split by name hash (CONTRACTS 1), and what each slot
 * holds lets the store deal the shards evenly.  One worker job, once in a volume's life.
 */
#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/log.h"
#include "origin/impl.h"
#include "place/place.h"

#define SHARE		20		/* 1/SHARE of the volume */
#define MIN_BYTES	(1 << 20)	/* splitting what is small moves nothing worth it */
#define MIN_ENTRIES	64
#define KEEP		256
#define PROGRESS_S	2

struct scan_dir {
	struct origin_loc loc;
	u64	bytes, entries, here;	/* here: entries that count at its slot */
};

struct scan {
	struct io_op	op;
	struct origin	*o;
	struct origin_export ex;	/* copy: the volume's id is not official yet */
	origin_scan_fn	*fn;
	void		*ctx;
	/* worker */
	struct origin_loc *todo;
	size_t		ntodo, todo_cap;
	struct scan_dir	*big;		/* may become more than a share */
	size_t		nbig, big_cap;
	u64		bytes, entries, dirs, skipped;
	struct meta_weight weight[META_SLOTS];
	u8		(*split)[AUGUR_OID_LEN];
	u32		nsplit;
	time_t		last;
};

static void todo_add(struct scan *s, const struct origin_loc *loc)
{
	if (s->ntodo == s->todo_cap) {
		s->todo_cap = s->todo_cap ? 2 * s->todo_cap : 256;
		s->todo = xrealloc(s->todo, s->todo_cap * sizeof(*s->todo));
	}
	s->todo[s->ntodo++] = *loc;
}

static bool over_share(const struct scan *s, const struct scan_dir *d)
{
	return (d->bytes >= MIN_BYTES && d->entries > 1 && d->bytes > s->bytes / SHARE) ||
	       (d->entries >= MIN_ENTRIES && d->entries > s->entries / SHARE);
}

/* The totals only grow, so what is below its share now stays there. */
static void big_prune(struct scan *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->nbig; i++)
		if (over_share(s, &s->big[i]))
			s->big[n++] = s->big[i];
	s->nbig = n;
}

static void big_add(struct scan *s, const struct scan_dir *d)
{
	if (!over_share(s, d))
		return;
	if (s->nbig >= KEEP)
		big_prune(s);
	if (s->nbig == s->big_cap) {
		s->big_cap = s->big_cap ? 2 * s->big_cap : 64;
		s->big = xrealloc(s->big, s->big_cap * sizeof(*s->big));
	}
	s->big[s->nbig++] = *d;
}

static void scan_progress(struct scan *s)
{
	time_t now = time(NULL);

	if (now - s->last < PROGRESS_S)
		return;
	s->last = now;
	log_info("volume=%s measuring: dirs=%llu entries=%llu bytes=%llu left=%zu", s->o->cfg.volume,
		 (unsigned long long)s->dirs, (unsigned long long)s->entries, (unsigned long long)s->bytes, s->ntodo);
}

/* One entry; @by_name: the second look at a split directory, files only. */
static void scan_entry(struct scan *s, int dir_fd, struct scan_dir *d, const char *name, bool by_name)
{
	bool top = origin_is_root(&s->ex, d->loc.oid);
	struct origin_loc loc;
	struct stat st;
	u32 pu;
	int fd;

	if (!strcmp(name, ".") || !strcmp(name, "..") || (top && !strcmp(name, ORIGIN_PRIVATE_NAME)))
		return;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) || st.st_dev != s->ex.dev)
		return;
	if (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && st.st_nlink > 1)) {
		if (by_name)
			return;
		fd = origin_open_name(dir_fd, name);
		if (fd < 0)
			return;
		if (!origin_loc_of(&s->ex, fd, &loc)) {
			pu = place_pu_dir(loc.oid);
			s->weight[pu - 1].entries++;
			if (S_ISDIR(st.st_mode))
				todo_add(s, &loc);
			else
				s->weight[pu - 1].bytes += st.st_size / st.st_nlink;
		}
		close(fd);
		d->entries++;
		return;
	}
	if (!S_ISREG(st.st_mode))
		st.st_size = 0;
	pu = by_name ? place_pu_name(d->loc.oid, name, strlen(name)) : place_pu_dir(d->loc.oid);
	s->weight[pu - 1].bytes += st.st_size;
	s->weight[pu - 1].entries++;
	d->here++;
	d->entries++;
	d->bytes += st.st_size;
}

static void scan_dir(struct scan *s, struct scan_dir *d, bool by_name)
{
	u8 buf[32768] __attribute__((aligned(8)));
	int fd = origin_loc_open(&s->ex, &d->loc, O_RDONLY | O_DIRECTORY);
	long n = 0, at;

	if (fd < 0) {
		s->skipped++;
		return;
	}
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n;) {
			struct linux_dirent64 *e = (struct linux_dirent64 *)(buf + at);

			scan_entry(s, fd, d, e->d_name, by_name);
			at += e->d_reclen;
		}
		scan_progress(s);
	}
	if (n < 0)
		s->skipped++;
	close(fd);
}

static int oid_cmp(const void *a, const void *b)
{
	return memcmp(a, b, AUGUR_OID_LEN);
}

/* Those over their share become split, and their files weigh where their names fall. */
static void scan_split(struct scan *s)
{
	big_prune(s);
	s->split = xcalloc(s->nbig, sizeof(*s->split));
	for (size_t i = 0; i < s->nbig; i++) {
		struct scan_dir again = { .loc = s->big[i].loc };
		struct meta_weight *w = &s->weight[place_pu_dir(again.loc.oid) - 1];

		memcpy(s->split[s->nsplit++], again.loc.oid, AUGUR_OID_LEN);
		w->bytes -= min(w->bytes, s->big[i].bytes);
		w->entries -= min(w->entries, s->big[i].here);
		scan_dir(s, &again, true);
	}
	if (s->nsplit)
		qsort(s->split, s->nsplit, AUGUR_OID_LEN, oid_cmp);
}

static int scan_run(void *arg)
{
	struct scan *s = arg;

	s->last = time(NULL);
	todo_add(s, &s->ex.root);
	while (s->ntodo && !__atomic_load_n(&s->o->closing, __ATOMIC_RELAXED)) {
		struct scan_dir d = { .loc = s->todo[--s->ntodo] };

		scan_dir(s, &d, false);
		s->dirs++;
		s->bytes += d.bytes;
		s->entries += d.entries;
		big_add(s, &d);
	}
	if (s->ntodo)
		return -ECANCELED;
	scan_split(s);
	return 0;
}

static void scan_done(struct io_op *op, int res)
{
	struct scan *s = container_of(op, struct scan, op);

	if (!res)
		log_notice("volume=%s measured: dirs=%llu entries=%llu bytes=%llu unreadable=%llu split=%u", s->o->cfg.volume,
			   (unsigned long long)s->dirs, (unsigned long long)s->entries, (unsigned long long)s->bytes,
			   (unsigned long long)s->skipped, s->nsplit);
	s->o->jobs--;
	s->fn(s->ctx, res, s->split, s->nsplit, s->weight);
	free(s->todo);
	free(s->big);
	free(s->split);
	free(s);
}

void origin_scan(struct origin *o, const u8 volume_id[16], origin_scan_fn *fn, void *ctx)
{
	struct scan *s = xcalloc(1, sizeof(*s));

	s->o = o;
	s->fn = fn;
	s->ctx = ctx;
	s->ex = o->ex;
	memcpy(s->ex.volume_id, volume_id, sizeof(s->ex.volume_id));
	origin_loc_set(&s->ex, o->ex.root.type, o->ex.root.handle, o->ex.root.len, &s->ex.root);
	o->jobs++;
	s->op.done = scan_done;
	o->io->ops->work(o->io, &s->op, IO_POOL_ORIGIN, scan_run, s);
}
