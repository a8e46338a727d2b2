// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - goes through points of a recorded run (powercut.h).
 *
 *	powercut --base IMAGE --fs-size BYTES --log LOG --states FILE --cache PATH --results FILE
 *	         [--points N] [--seed S] [--jobs J] [--point ID] [--keep IMAGE] [--unchecked] [--json]
 *
 * Half of the points are flush boundaries, spread over the run; the others are random parts of
 * the writes between two flushes.  A result is a line "id segment false_claims names_lost claims
 * names what"; points that are in the file already are not done again.  --point shows one, and
 * --keep leaves its image, as it was before the journal was replayed.  --unchecked: as if the daemon did not compare tree and index after a
 * power cut (daemon/cache/check.c), to see what that is for.
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

struct point { u32 id; size_t seg; u64 seed; };	/* seed 0: the boundary before segment seg */

struct run {
	const char *base, *log, *states, *cache, *results, *keep;
	u64	fs_size, seed;
	size_t	npoints, njobs;
	long	only;
	bool	json, unchecked;
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

static void choose(struct run *r)
{
	size_t *busy = xcalloc(r->l.nseg, sizeof(*busy)), nbusy = 0, nb = min(r->npoints / 2, r->l.nseg);
	u64 rnd = r->seed;

	for (size_t i = 0; i < r->l.nseg; i++)
		if (r->l.seg[i + 1] - r->l.seg[i] > 2)
			busy[nbusy++] = i;
	r->points = xcalloc(r->npoints, sizeof(*r->points));
	for (size_t i = 0; i < r->npoints; i++) {
		r->points[i].id = i;
		if (i < nb || !nbusy)
			r->points[i].seg = i * r->l.nseg / max(nb, (size_t)1) % r->l.nseg;
		else
			r->points[i] = (struct point){ i, busy[mix(&rnd) % nbusy], mix(&rnd) | 1 };
	}
	qsort(r->points, r->npoints, sizeof(*r->points), by_segment);
	free(busy);
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
		judge(&s, &r->st, disklog_mark(&r->l, p->seg), !r->unchecked, v);
	}
	image_free(&s);
}

/* ---- many ---- */

static void read_done(struct run *r)
{
	FILE *f = fopen(r->results, "re");
	char line[1024];
	unsigned int id;

	r->done = xcalloc(r->npoints, sizeof(*r->done));
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%u", &id) == 1 && id < r->npoints && strchr(line, '\n'))
			r->done[id] = true;
	if (f)
		fclose(f);
}

static void worker(struct run *r, size_t job)
{
	size_t from = r->npoints * job / r->njobs, to = r->npoints * (job + 1) / r->njobs;
	int fd = open(r->results, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	char line[700];

	snprintf(r->work, sizeof(r->work), "/dev/shm/powercut.%d", getpid());
	if (fd < 0 || mkdir(r->work, 0700))
		_exit(1);
	for (size_t i = from; i < to; i++) {
		struct point *p = &r->points[i];
		struct verdict v;
		int n;

		if (r->done[p->id])
			continue;
		look(r, p, &v);
		n = snprintf(line, sizeof(line), "%u %zu %llu %llu %llu %llu %s\n", p->id, p->seg,
			     (unsigned long long)v.false_claims, (unsigned long long)v.names_lost,
			     (unsigned long long)v.claims, (unsigned long long)v.names, v.first);
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

static int report(struct run *r)
{
	u64 sum[4] = { 0 }, failed = 0, n = 0;
	FILE *f = fopen(r->results, "re");
	char line[1024], what[700];
	u8 *seen = xcalloc(1, r->npoints / 8 + 1);

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long long v[6];

		*what = 0;
		if (sscanf(line, "%llu %llu %llu %llu %llu %llu %699[^\n]", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], what) < 6 ||
		    v[0] >= r->npoints || augur_map_test(seen, v[0]))
			continue;
		augur_map_set(seen, v[0]);
		n++;
		for (int i = 0; i < 4; i++)
			sum[i] += v[2 + i];
		if (!v[2] && !v[3])
			continue;
		if (failed++ < 10)
			fprintf(stderr, "point %llu (segment %llu): %s\n", v[0], v[1], what);
	}
	if (f)
		fclose(f);
	free(seen);
	printf(r->json ? "{\"schema\":\"augur.powercut/1\",\"points\":%llu,\"flushes\":%zu,\"failed\":%llu,\"false_claims\":%llu,\"names_lost\":%llu,\"claims\":%llu,\"names\":%llu}\n" :
	       "%llu points of %zu flushes, %llu failed: %llu false claims, %llu names lost; %llu claims and %llu names looked at\n",
	       (unsigned long long)n, r->l.nseg, (unsigned long long)failed, (unsigned long long)sum[0],
	       (unsigned long long)sum[1], (unsigned long long)sum[2], (unsigned long long)sum[3]);
	return n == r->npoints ? (failed ? 1 : 0) : 3;
}

static int one_point(struct run *r)
{
	struct verdict v;

	snprintf(r->work, sizeof(r->work), "/dev/shm/powercut.%d", getpid());
	if (mkdir(r->work, 0700))
		return 3;
	for (size_t i = 0; i < r->npoints; i++) {
		if (r->points[i].id != r->only)
			continue;
		look(r, &r->points[i], &v);
		printf("segment %zu%s, mark %llu: %llu false claims, %llu names lost; %llu claims and %llu names looked at\n%s\n",
		       r->points[i].seg, r->points[i].seed ? ", in part" : "",
		       (unsigned long long)disklog_mark(&r->l, r->points[i].seg), (unsigned long long)v.false_claims,
		       (unsigned long long)v.names_lost, (unsigned long long)v.claims, (unsigned long long)v.names, v.first);
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
		{ "jobs", 1, NULL, 'j' }, { "point", 1, NULL, 'p' }, { "keep", 1, NULL, 'k' }, { "json", 0, NULL, 'J' }, { "unchecked", 0, NULL, 'u' }, { 0 }
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
		case 'J': r.json = true; break;
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
