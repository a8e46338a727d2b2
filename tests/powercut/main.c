// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - goes through points of a recorded run (powercut.h).
 *
 *	powercut --base IMAGE --fs-size BYTES --log LOG --states FILE --cache PATH --results FILE
 *	         [--points N] [--seed S] [--jobs J] [--point ID] [--keep IMAGE] [--unchecked]
 *
 * Half of the points are flush boundaries, spread over the run; the others are random parts of
 * the writes between two flushes, as many of each phase of the workload.  A result is a line of
 * numbers, those of COUNTS, and what was wrong first; points that are in the file already are not
 * done again.  --point shows one, and --keep leaves its image, as it was before the journal was
 * replayed.  --unchecked: as if the daemon did not compare tree and index after a power cut
 * (daemon/cache/check.c), to see what that is for.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "powercut.h"

extern char **environ;

/* What the workload was doing, by its mark; PIN: a moment ago it was answered about pins. */
enum phase { PHASE_OTHER, PHASE_FILL, PHASE_SWITCH, PHASE_EVICT, PHASE_PIN, PHASE_FORGET, PHASES };
static const char *const phases[PHASES] = { "other", "fill", "switch", "evict", "pin", "forget" };
#define PIN_SEGMENTS	3

/* Of a result, behind id, segment and phase; the first FAULTS of them are to be 0. */
static const char *const counts[] = { "false_claims", "names_lost", "pins_lost", "punched", "claims", "names", "pins" };
#define FAULTS		3
#define COUNTS		ARRAY_SIZE(counts)
struct result { unsigned long long id, seg, phase, count[COUNTS]; char what[700]; };

struct point { u32 id; size_t seg; u64 seed; };	/* seed 0: the boundary before segment seg */

struct run {
	const char *base, *log, *states, *cache, *results, *keep;
	u64	fs_size, seed;
	size_t	npoints, njobs;
	long	only;
	bool	unchecked;
	char	work[64];
	u8	*image;			/* all segments before `at` */
	size_t	at;
	struct disklog l;
	struct states st;
	struct point *points;
	bool	*done;
};

/* ---- points ---- */

static u64 mix(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static int by_segment(const void *a, const void *b)
{
	const struct point *p = a, *q = b;

	return p->seg != q->seg ? (p->seg < q->seg ? -1 : 1) : p->seed < q->seed ? -1 : p->seed > q->seed;
}

static enum phase phase_of(const struct run *r, size_t seg)
{
	const char *text = disklog_mark(&r->l, seg, MARK_PHASE), *pins = disklog_mark(&r->l, seg, MARK_PINS);

	if (seg >= PIN_SEGMENTS && pins != disklog_mark(&r->l, seg - PIN_SEGMENTS, MARK_PINS))
		return PHASE_PIN;
	for (int i = 0; i < PHASES; i++)
		if (!strncmp(text, phases[i], strlen(phases[i])))
			return i;
	return PHASE_OTHER;
}

/* Segments of which a part may be there, by phase. */
struct parts { size_t *seg[PHASES], n[PHASES]; };

static void parts_find(const struct run *r, struct parts *b)
{
	memset(b, 0, sizeof(*b));
	for (int i = 0; i < PHASES; i++)
		b->seg[i] = xcalloc(r->l.nseg, sizeof(*b->seg[i]));
	for (size_t i = 0; i < r->l.nseg; i++) {
		enum phase ph = phase_of(r, i);

		if (r->l.seg[i + 1] - r->l.seg[i] > 2)
			b->seg[ph][b->n[ph]++] = i;
	}
}

static void choose(struct run *r)
{
	size_t nb = min(r->npoints / 2, r->l.nseg);
	u64 rnd = r->seed;
	struct parts b;

	parts_find(r, &b);
	r->points = xcalloc(r->npoints, sizeof(*r->points));
	for (size_t i = 0; i < r->npoints; i++) {
		enum phase ph = i % PHASES;

		r->points[i].id = i;
		if (i < nb || !b.n[ph])
			r->points[i].seg = i * r->l.nseg / max(nb, (size_t)1) % r->l.nseg;
		else
			r->points[i] = (struct point){ i, b.seg[ph][mix(&rnd) % b.n[ph]], mix(&rnd) | 1 };
	}
	qsort(r->points, r->npoints, sizeof(*r->points), by_segment);
	for (int i = 0; i < PHASES; i++)
		free(b.seg[i]);
}

/* Few, half or most of the writes, or those up to one of them. */
static void pick_writes(u64 seed, size_t n, u8 *pick)
{
	u64 rnd = seed, kind = mix(&rnd) % 4, limit = mix(&rnd) % (n + 1);
	static const u64 of_100[] = { 15, 50, 85 };

	for (size_t i = 0; i < n; i++)
		if (kind == 3 ? i < limit : mix(&rnd) % 100 < of_100[kind])
			augur_map_set(pick, i);
}

/* ---- one point ---- */

static int write_image(const char *path, const u8 *p, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	size_t at = 0;

	while (fd >= 0 && at < len) {
		ssize_t n = pwrite(fd, p + at, len - at, at);

		if (n <= 0)
			break;
		at += n;
	}
	if (fd >= 0)
		close(fd);
	return at == len ? 0 : -EIO;
}

/* As a mount does; the rest of the filesystem is the kernel's affair. */
static int replay_journal(const char *path)
{
	char *argv[] = { "e2fsck", "-y", "-E", "journal_only", (char *)path, NULL };
	posix_spawn_file_actions_t fa;
	int status, err;
	pid_t pid;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	err = posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (err || waitpid(pid, &status, 0) != pid)
		return -ECHILD;
	return WIFEXITED(status) && WEXITSTATUS(status) <= 1 ? 0 : -EIO;
}

static void look(struct run *r, const struct point *p, struct verdict *v)
{
	CLEANUP_FREE char *image = xasprintf("%s/image", r->work);
	size_t n = r->l.seg[p->seg + 1] - r->l.seg[p->seg];
	CLEANUP_FREE u8 *pick = xcalloc(1, n / 8 + 1), *part = NULL;
	struct seen s = { 0 };

	memset(v, 0, sizeof(*v));
	for (; r->at < p->seg; r->at++)
		disklog_apply(&r->l, r->at, NULL, r->image);
	if (p->seed) {
		part = xmemdup(r->image, r->fs_size);
		pick_writes(p->seed, n, pick);
		disklog_apply(&r->l, p->seg, pick, part);
	}
	if (r->keep && write_image(r->keep, part ? part : r->image, r->fs_size))
		fprintf(stderr, "%s: %s\n", r->keep, strerror(errno));
	if (write_image(image, part ? part : r->image, r->fs_size) || replay_journal(image)) {
		v->names_lost++;
		snprintf(v->first, sizeof(v->first), "the journal cannot be replayed");
	} else if (image_read(&s, image, r->cache, r->work)) {
		v->names_lost++;
		snprintf(v->first, sizeof(v->first), "%s", s.fault);
	} else {
		struct evidence e = {
			.st = &r->st, .checked = !r->unchecked,
			.acked = disklog_mark_no(&r->l, p->seg, MARK_EQUAL),
			.pins_acked = disklog_mark_no(&r->l, p->seg, MARK_PINS),
		};

		judge(&s, &e, v);
	}
	image_free(&s);
}

/* ---- results ---- */

static struct result result_of(const struct run *r, const struct point *p, const struct verdict *v)
{
	struct result s = {
		.id = p->id, .seg = p->seg, .phase = phase_of(r, p->seg),
		.count = { v->false_claims, v->names_lost, v->pins_lost, v->punched, v->claims, v->names, v->pins },
	};

	snprintf(s.what, sizeof(s.what), "%s", v->first);
	return s;
}

static int result_print(const struct result *s, char *line, size_t len)
{
	int n = snprintf(line, len, "%llu %llu %llu", s->id, s->seg, s->phase);

	for (size_t i = 0; i < COUNTS; i++)
		n += snprintf(line + n, len - n, " %llu", s->count[i]);
	return n + snprintf(line + n, len - n, " %s\n", s->what);
}

static bool result_scan(struct result *s, const char *line)
{
	int at = 0, n;

	memset(s, 0, sizeof(*s));
	if (!strchr(line, '\n') || sscanf(line, "%llu %llu %llu%n", &s->id, &s->seg, &s->phase, &at) < 3)
		return false;
	for (size_t i = 0; i < COUNTS; i++, at += n)
		if (sscanf(line + at, "%llu%n", &s->count[i], &n) < 1)
			return false;
	sscanf(line + at, " %699[^\n]", s->what);
	return s->phase < PHASES;
}

static bool result_failed(const struct result *s)
{
	for (size_t i = 0; i < FAULTS; i++)
		if (s->count[i])
			return true;
	return false;
}

/* ---- many ---- */

static void read_done(struct run *r)
{
	FILE *f = fopen(r->results, "re");
	char line[1024];
	struct result s;

	r->done = xcalloc(r->npoints, sizeof(*r->done));
	while (f && fgets(line, sizeof(line), f))
		if (result_scan(&s, line) && s.id < r->npoints)
			r->done[s.id] = true;
	if (f)
		fclose(f);
}

static void worker(struct run *r, size_t job)
{
	size_t from = r->npoints * job / r->njobs, to = r->npoints * (job + 1) / r->njobs;
	int fd = open(r->results, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	char line[1024];

	snprintf(r->work, sizeof(r->work), "/dev/shm/powercut.%d", getpid());
	if (fd < 0 || mkdir(r->work, 0700))
		_exit(1);
	for (size_t i = from; i < to; i++) {
		struct point *p = &r->points[i];
		struct verdict v;
		struct result s;
		int n;

		if (r->done[p->id])
			continue;
		look(r, p, &v);
		s = result_of(r, p, &v);
		n = result_print(&s, line, sizeof(line));
		if (write(fd, line, n) != n)
			_exit(1);
	}
	_exit(0);
}

static void remove_work(pid_t pid)
{
	static const char *const files[] = { "image", "db", "db-wal", "db-shm" };
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "/dev/shm/powercut.%d/%s", pid, files[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "/dev/shm/powercut.%d", pid);
	rmdir(path);
}

static int all_points(struct run *r)
{
	int status, err = 0;
	pid_t pid;

	read_done(r);
	for (size_t j = 0; j < r->njobs; j++) {
		pid = fork();
		if (!pid)
			worker(r, j);
		if (pid < 0)
			return -errno;
	}
	while ((pid = wait(&status)) > 0) {
		remove_work(pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			err = -EIO;
	}
	return err;
}

struct sums { u64 n, failed, in[PHASES], count[COUNTS], with[COUNTS]; };

static void sums_print(const struct run *r, const struct sums *u)
{
	printf("{\"schema\":\"augur.powercut/2\",\"points\":%llu,\"flushes\":%zu,\"failed\":%llu", (unsigned long long)u->n,
	       r->l.nseg, (unsigned long long)u->failed);
	for (size_t i = 0; i < COUNTS; i++)
		printf(",\"%s\":%llu,\"points_with_%s\":%llu", counts[i], (unsigned long long)u->count[i], counts[i],
		       (unsigned long long)u->with[i]);
	for (size_t i = 0; i < PHASES; i++)
		printf(",\"points_%s\":%llu", phases[i], (unsigned long long)u->in[i]);
	printf("}\n");
}

static int report(struct run *r)
{
	struct sums u = { 0 };
	FILE *f = fopen(r->results, "re");
	CLEANUP_FREE u8 *seen = xcalloc(1, r->npoints / 8 + 1);
	char line[1024];
	struct result s;

	while (f && fgets(line, sizeof(line), f)) {
		if (!result_scan(&s, line) || s.id >= r->npoints || augur_map_test(seen, s.id))
			continue;
		augur_map_set(seen, s.id);
		u.n++;
		u.in[s.phase]++;
		for (size_t i = 0; i < COUNTS; i++) {
			u.count[i] += s.count[i];
			u.with[i] += s.count[i] != 0;
		}
		if (result_failed(&s) && u.failed++ < 10)
			fprintf(stderr, "point %llu (segment %llu, %s): %s\n", s.id, s.seg, phases[s.phase], s.what);
	}
	if (f)
		fclose(f);
	sums_print(r, &u);
	return u.n == r->npoints ? (u.failed ? 1 : 0) : 3;
}

static int one_point(struct run *r)
{
	struct verdict v;

	snprintf(r->work, sizeof(r->work), "/dev/shm/powercut.%d", getpid());
	if (mkdir(r->work, 0700))
		return 3;
	for (size_t i = 0; i < r->npoints; i++) {
		const struct point *p = &r->points[i];
		struct result s;

		if (p->id != r->only)
			continue;
		look(r, p, &v);
		s = result_of(r, p, &v);
		printf("segment %zu%s, phase %s, marks %llu and %llu:", p->seg, p->seed ? ", in part" : "", phases[s.phase],
		       (unsigned long long)disklog_mark_no(&r->l, p->seg, MARK_EQUAL),
		       (unsigned long long)disklog_mark_no(&r->l, p->seg, MARK_PINS));
		for (size_t k = 0; k < COUNTS; k++)
			printf(" %s %llu", counts[k], s.count[k]);
		printf("\n%s\n", s.what);
	}
	remove_work(getpid());
	return 0;
}

/* ---- start ---- */

/* The id of the volume, which every oid has in it, is known to the cache at the end. */
static int volume_of(struct run *r, u8 id[16])
{
	CLEANUP_FREE u8 *end = xmemdup(r->image, r->fs_size);
	CLEANUP_FREE char *image = NULL;
	struct seen s = { 0 };
	int err;

	snprintf(r->work, sizeof(r->work), "/dev/shm/powercut.%d", getpid());
	image = xasprintf("%s/image", r->work);
	if (mkdir(r->work, 0700))
		return -errno;
	for (size_t i = 0; i < r->l.nseg; i++)
		disklog_apply(&r->l, i, NULL, end);
	err = write_image(image, end, r->fs_size);
	if (!err)
		err = replay_journal(image);
	if (!err)
		err = image_read(&s, image, r->cache, r->work);
	if (!err && !s.has_db)
		err = -ENOENT;
	memcpy(id, s.volume_id, 16);
	image_free(&s);
	remove_work(getpid());
	return err;
}

static int prepare(struct run *r)
{
	u8 volume_id[16];
	int err = disklog_open(&r->l, r->log, r->fs_size);
	FILE *f;

	if (err) {
		fprintf(stderr, "%s: not a log of a disk: %s\n", r->log, strerror(-err));
		return err;
	}
	r->image = xmalloc(r->fs_size);
	f = fopen(r->base, "re");
	if (!f || fread(r->image, 1, r->fs_size, f) != r->fs_size) {
		fprintf(stderr, "%s: not an image of %llu bytes\n", r->base, (unsigned long long)r->fs_size);
		return -EIO;
	}
	fclose(f);
	err = volume_of(r, volume_id);
	if (err) {
		fprintf(stderr, "the image at the end holds no cache at %s\n", r->cache);
		return err;
	}
	choose(r);
	return states_read(&r->st, r->states, volume_id);
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "base", 1, NULL, 'b' }, { "fs-size", 1, NULL, 'f' }, { "log", 1, NULL, 'l' }, { "states", 1, NULL, 's' },
		{ "cache", 1, NULL, 'c' }, { "results", 1, NULL, 'r' }, { "points", 1, NULL, 'n' }, { "seed", 1, NULL, 'S' },
		{ "jobs", 1, NULL, 'j' }, { "point", 1, NULL, 'p' }, { "keep", 1, NULL, 'k' }, { "unchecked", 0, NULL, 'u' }, { 0 }
	};
	struct run r = { .npoints = 100, .njobs = 1, .only = -1, .seed = 1 };
	int o;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1)
		switch (o) {
		case 'b': r.base = optarg; break;
		case 'f': r.fs_size = strtoull(optarg, NULL, 10); break;
		case 'l': r.log = optarg; break;
		case 's': r.states = optarg; break;
		case 'c': r.cache = optarg; break;
		case 'r': r.results = optarg; break;
		case 'n': r.npoints = strtoull(optarg, NULL, 10); break;
		case 'S': r.seed = strtoull(optarg, NULL, 10); break;
		case 'j': r.njobs = strtoull(optarg, NULL, 10); break;
		case 'p': r.only = atol(optarg); break;
		case 'k': r.keep = optarg; break;
		case 'u': r.unchecked = true; break;
		default: return 2;
		}
	if (!r.base || !r.log || !r.states || !r.cache || !r.fs_size || !r.npoints || !r.njobs || (r.only < 0 && !r.results))
		return 2;
	if (prepare(&r))
		return 3;
	if (r.only >= 0)
		return one_point(&r);
	return all_points(&r) ? 3 : report(&r);
}
