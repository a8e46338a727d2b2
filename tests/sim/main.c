// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - seeds, one process each, and what became of them.
 *
 *	sim --seed N | --seeds A-B [--trace] [--bug NAME [--as wrong|lost]] [--jobs N] [--until-found] [--again N] [--json]
 *
 * Prints one line for each seed that failed, with how to see it again, and two at last: what was met,
 * and the sums; or with --json an object.  Exits 1 if one failed, 2 if no run came about.  --again runs the first
 * N seeds once more and wants the same traces; --json does that with 100 of them.  --bug puts a
 * mistake in and ends with the first seed that finds it, so there 1 is the good end.  Most mistakes are met by several
 * checks: --as goes on until the one for wrong bytes, or for lost waiters, finds it, and exits 1 for nothing else.
 */
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "base/log.h"
#include "base/seeded.h"
#include "sim.h"

#define JOBS_MAX	16
#define CPU_SEC		60		/* a run that takes longer hangs */
#define WALL_SEC	900
#define JSON_AGAIN	100

struct opts { u64 from, to, again; bool trace, until_found, json; const char *bug, *as; unsigned int jobs; };
struct result { u64 seed, hash, events, requests, reads, failed, hits[HITS]; };

static char top[] = "/tmp/augur-sim.XXXXXX";

/* ---- one run ---- */

static void until(u64 at)
{
	while (sim_now < at) {
		cluster_poll();
		if (!world_step())
			violated("nothing will ever happen again");
	}
}

static void until_true(bool (*cond)(void), u64 ns, const char *what)
{
	u64 end = sim_now + ns;

	while (!cond()) {
		if (sim_now >= end)
			lost_waiter("%s: not within %lu s", what, ns / SEC);
		cluster_poll();
		if (!world_step())
			violated("%s: nothing will ever happen again", what);
	}
}

static bool no_request(void)
{
	return !kernel_waiting();
}

static struct event edit_ev;
static u64 edits_end;
static bool rescan;

static void edit(struct event *e)
{
	origin_edit(!rescan && !faults_restart_agent());
	if (sim_now < edits_end)
		event_at(&edit_ev, sim_now + between(20 * MSEC, 2 * SEC), edit);
}

/* What stands in the way of a run is no finding: no seeded mistake may pass for found because of it. */
static void __attribute__((noreturn)) cannot(const char *what)
{
	printf("CANNOT %s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(END_SETUP);
}

/*
 * Nothing that is mounted here may be seen outside, so all mounts of the new namespace become
 * private, from its root on.  Where this process sees only a part of it (a chroot that is no mount
 * point), it steps out for that call: with its root further down, ".." ends only at the real one.
 */
static void make_private(void)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat here, above;

	if (root < 0 || cwd < 0 || chroot(top) || fchdir(root))
		cannot("step out of the root folder");
	do {
		if (stat(".", &here) || stat("..", &above) || chdir(".."))
			cannot("find the root of the mounts");
	} while (here.st_ino != above.st_ino || here.st_dev != above.st_dev);
	if (chroot(".") || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		cannot("make the mounts private");
	if (fchdir(root) || chroot(".") || fchdir(cwd))
		cannot("step back into the root folder");
	close(root);
	close(cwd);
}

/* Each is a small filesystem, which goes with the process. */
static const char *const dirs[] = { "origin", "cache", "store" };

static void own_filesystems(void)
{
	char path[128], opts[32];

	if (unshare(CLONE_NEWNS))
		cannot("make a namespace of mounts");
	make_private();
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", top, dirs[i]);
		snprintf(opts, sizeof(opts), "size=%lu", SIM_DISK);
		if (mount("sim", path, "tmpfs", 0, opts))
			cannot("mount a tmpfs");
	}
	snprintf(path, sizeof(path), "%s/cache/c", top);
	mkdir(path, 0755);
}

static unsigned int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void life(void)
{
	static char cache[128];
	u64 load = between(6, 16) * SEC;
	char path[128];

	rescan = chance(200);
	net_begin();
	snprintf(cache, sizeof(cache), "%s/cache", top);
	fs_begin(cache);
	snprintf(path, sizeof(path), "%s/origin", top);
	origin_build(path);
	sim_now += SEC;
	cluster_begin(top, rescan);
	until_true(cluster_ready, 60 * SEC, "the start of the cluster");
	note("ready");
	readers_start(between(1, 6), LEASE_MS * MSEC + (rescan ? 8 : 5) * SEC);
	faults_plan(sim_now, sim_now + load);
	edits_end = sim_now + load;
	event_at(&edit_ev, sim_now + between(0, SEC), edit);
	until(sim_now + load);
	readers_stop();
	faults_end();
	note("healed");
	sim_quiet = true;
	until_true(readers_idle, 120 * SEC, "the end of the readers");
	until_true(no_request, 120 * SEC, "the end of the requests");
	until_true(cluster_ready, 120 * SEC, "the cluster after the faults");
	until(sim_now + LEASE_MS * MSEC + 8 * SEC);
	readers_stat_dirs();
	readers_final();
	until_true(readers_idle, 120 * SEC, "the last reading of all files");
	until(sim_now + 6 * SEC);
	until_true(no_request, 60 * SEC, "the end of the last requests");
	cluster_check_rest();
	kernel_check_all();
}

static void run_seed(const struct opts *o, u64 seed, struct result *res)
{
	unsigned int fds;

	world_begin(seed, o->trace);
	seeded_choose(o->bug);
	own_filesystems();
	fds = count_fds() + 2;		/* the kernel's own two */
	life();
	cluster_end();
	if (count_fds() != fds)
		violated("%u descriptors were open at the start, %u are at the end", fds, count_fds());
	*res = (struct result){ seed, world_hash(), world_events(), kernel_requests, reads_done, reads_failed, { 0 } };
	memcpy(res->hits, hits, sizeof(hits));
}

/* ---- processes ---- */

struct slot { pid_t pid; int fd; u64 seed; u32 run; FILE *out; u64 began; };

static u64 wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SEC + ts.tv_nsec;
}

static void start(const struct opts *o, struct slot *s, u64 seed, u32 run)
{
	int fds[2];

	fflush(stdout);
	s->out = o->trace ? NULL : tmpfile();
	if (pipe(fds) || (!o->trace && !s->out))
		abort();
	s->seed = seed;
	s->run = run;
	s->began = wall();
	s->pid = fork();
	if (!s->pid) {
		struct result r;

		close(fds[0]);
		if (!o->trace)
			dup2(fileno(s->out), STDOUT_FILENO), dup2(fileno(s->out), STDERR_FILENO);
		/* In its own time: a machine that is busy with others makes nothing hang. */
		setitimer(ITIMER_PROF, &(struct itimerval){ .it_value.tv_sec = CPU_SEC }, NULL);
		alarm(WALL_SEC);
		run_seed(o, seed, &r);
		fflush(stdout);
		if (write(fds[1], &r, sizeof(r)) != sizeof(r))
			_exit(4);
		exit(0);		/* the leak checker looks */
	}
	close(fds[1]);
	s->fd = fds[0];
}

/* What the run itself said of its end: the first line that says so, without its newline. */
static void why_of(FILE *out, char *why, size_t cap)
{
	char line[512];

	*why = 0;
	if (!out)
		return;
	rewind(out);
	while (fgets(line, sizeof(line), out))
		if (strstr(line, "VIOLATED") || strstr(line, "CANNOT") || strstr(line, "ERROR") || strstr(line, "runtime error"))
			snprintf(why, cap, "%s", line + strspn(line, " "));
	why[strcspn(why, "\n")] = 0;
}

static json_t *failures;

static void say_failed(const struct opts *o, const struct slot *s, const char *how, const char *why)
{
	/* The object of --json has standard output for itself. */
	fprintf(o->json ? stderr : stdout, "seed %" PRIu64 " failed (%s): %s\n    again: tests/sim/run --seed %" PRIu64 " --trace%s%s\n",
		s->seed, how, why, s->seed, o->bug ? " --bug " : "", o->bug ? o->bug : "");
	fflush(stdout);
	json_array_append_new(failures, json_pack("{s:I, s:s, s:s}", "seed", (json_int_t)s->seed, "how", how, "why", why));
}

struct totals { u64 runs, wrong, lost, failed, unlike, events, requests, reads, read_errors, hash, hits[HITS]; bool cannot; };

static u64 bad(const struct totals *t)
{
	return t->wrong + t->lost + t->failed + t->unlike;
}

/* What was looked for. */
static u64 found(const struct opts *o, const struct totals *t)
{
	if (!o->as)
		return bad(t);
	return strcmp(o->as, "lost") ? t->wrong : t->lost;
}

static const char *count_end(struct totals *t, int status)
{
	static char how[64];

	if (WIFSIGNALED(status)) {
		snprintf(how, sizeof(how), WTERMSIG(status) == SIGALRM || WTERMSIG(status) == SIGPROF ? "hangs" : "signal %d", WTERMSIG(status));
		t->failed++;
		return how;
	}
	switch (WEXITSTATUS(status)) {
	case END_WRONG:
		t->wrong++;
		return "wrong bytes";
	case END_LOST:
		t->lost++;
		return "lost waiter";
	case END_SETUP:
		t->cannot = true;
		break;
	}
	t->failed++;
	snprintf(how, sizeof(how), "status %d", WEXITSTATUS(status));
	return how;
}

static void add(struct totals *t, const struct result *r)
{
	t->events += r->events;
	t->requests += r->requests;
	t->reads += r->reads;
	t->read_errors += r->failed;
	for (size_t i = 0; i < HITS; i++)
		t->hits[i] += r->hits[i];
	t->hash ^= r->hash * (r->seed * 2 + 1);
}

static u64 *seen;	/* by --again: the trace of whichever of two runs ended first */

static void compare(const struct opts *o, struct totals *t, const struct slot *s, u64 hash)
{
	u64 *first = &seen[s->seed - o->from];
	char why[80];

	if (*first && *first != hash) {
		snprintf(why, sizeof(why), "trace %016" PRIx64 ", then %016" PRIx64, *first, hash);
		say_failed(o, s, "not the same twice", why);
		t->unlike++;
	}
	*first = hash;
}

static void judge(const struct opts *o, struct totals *t, struct slot *s, int status)
{
	struct result r;
	bool whole = read(s->fd, &r, sizeof(r)) == sizeof(r);
	char why[512];

	close(s->fd);
	t->runs += !s->run;
	if (!WIFEXITED(status) || WEXITSTATUS(status) || !whole) {
		why_of(s->out, why, sizeof(why));
		say_failed(o, s, count_end(t, status), why);
	} else {
		if (!s->run)
			add(t, &r);
		if (o->from == o->to && !o->json)
			printf("seed %" PRIu64 " trace %016" PRIx64 " (%" PRIu64 " events)\n", r.seed, r.hash, r.events);
		if (s->seed - o->from < o->again)
			compare(o, t, s, r.hash);
	}
	if (s->out)
		fclose(s->out);
}

static void run_all(const struct opts *o, struct totals *t)
{
	struct slot slots[JOBS_MAX] = { 0 };
	u64 n = o->to - o->from + 1, next = 0;
	unsigned int live = 0;
	int status;

	while (live || (next < n + o->again && !(o->until_found && found(o, t)))) {
		while (live < o->jobs && next < n + o->again && !(o->until_found && found(o, t))) {
			unsigned int i = 0;

			while (slots[i].pid)
				i++;
			start(o, &slots[i], o->from + (next < n ? next : next - n), next >= n);
			next++;
			live++;
		}
		pid_t pid = wait(&status);

		for (unsigned int i = 0; i < o->jobs; i++) {
			if (slots[i].pid != pid)
				continue;
			judge(o, t, &slots[i], status);
			slots[i].pid = 0;
			live--;
		}
	}
}

/* ---- what is said at last ---- */

#define SIM_NAME(id, name) name,
static const char *const hit_names[HITS] = { SIM_HITS(SIM_NAME) };

static json_t *hits_json(const struct totals *t)
{
	json_t *j = json_object();

	for (size_t i = 0; i < HITS; i++)
		json_object_set_new(j, hit_names[i], json_integer(t->hits[i]));
	return j;
}

static void say_json(const struct opts *o, const struct totals *t, double seconds)
{
	char traces[24];
	json_t *j;

	snprintf(traces, sizeof(traces), "%016" PRIx64, t->hash);
	j = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:f, s:s, s:O}", "runs", (json_int_t)t->runs,
		      "wrong", (json_int_t)t->wrong, "lost", (json_int_t)t->lost, "failed", (json_int_t)t->failed, "again",
		      (json_int_t)o->again, "unlike", (json_int_t)t->unlike, "requests", (json_int_t)t->requests, "reads",
		      (json_int_t)t->reads, "read_errors", (json_int_t)t->read_errors, "hits", hits_json(t), "events",
		      (json_int_t)t->events, "seconds", seconds, "traces", traces, "failures", failures);
	json_dumpf(j, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(j);
}

static void say_totals(const struct totals *t, double seconds)
{
	printf("hit:");
	for (size_t i = 0; i < HITS; i++)
		printf(" %s %" PRIu64, hit_names[i], t->hits[i]);
	printf("\n");
	printf("%" PRIu64 " runs, %" PRIu64 " failed (%" PRIu64 " wrong bytes, %" PRIu64 " lost waiters, %" PRIu64 " not the same twice); %"
	       PRIu64 " requests, %" PRIu64 " reads, %" PRIu64 " of them errors, %" PRIu64
	       " events; %.1f s; traces %016" PRIx64 "\n", t->runs, bad(t), t->wrong, t->lost, t->unlike, t->requests, t->reads,
	       t->read_errors, t->events, seconds, t->hash);
}

/* ---- options ---- */

static int usage(void)
{
	fprintf(stderr, "usage: sim --seed N | --seeds A-B [--trace] [--bug NAME [--as wrong|lost]] [--jobs N] [--until-found] [--again N] [--json]\nbugs:%s\n",
		seeded_names());
	return 2;
}

static int parse(struct opts *o, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "seed", 1, NULL, 's' }, { "seeds", 1, NULL, 'r' }, { "trace", 0, NULL, 't' }, { "bug", 1, NULL, 'b' }, { "as", 1, NULL, 'A' },
		{ "jobs", 1, NULL, 'j' }, { "until-found", 0, NULL, 'u' }, { "again", 1, NULL, 'a' }, { "json", 0, NULL, 'J' }, { 0 },
	};
	bool given = false;
	int c;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (c) {
		case 's':
			given = sscanf(optarg, "%" SCNu64, &o->from) == 1;
			o->to = o->from;
			break;
		case 'r':
			given = sscanf(optarg, "%" SCNu64 "-%" SCNu64, &o->from, &o->to) == 2;
			break;
		case 't': o->trace = true; break;
		case 'b':
			o->bug = optarg;
			o->until_found = true;
			break;
		case 'A':
			if (strcmp(optarg, "wrong") && strcmp(optarg, "lost"))
				return usage();
			o->as = optarg;
			break;
		case 'j': o->jobs = min(max(atoi(optarg), 1), JOBS_MAX); break;
		case 'u': o->until_found = true; break;
		case 'a': o->again = strtoull(optarg, NULL, 10); break;
		case 'J':
			o->json = true;
			o->again = o->again ? o->again : JSON_AGAIN;
			break;
		default: return usage();
		}
	}
	if (!given || optind < argc || o->to < o->from || (o->bug && seeded_choose(o->bug)) || (o->as && !o->bug))
		return usage();
	o->again = o->bug ? 0 : min(o->again, o->to - o->from + 1);
	return 0;
}

int main(int argc, char **argv)
{
	struct opts o = { .jobs = 2 };
	struct totals t = { 0 };
	u64 began = wall();
	char cmd[128];

	if (parse(&o, argc, argv))
		return 2;
	if (o.trace)
		setvbuf(stdout, NULL, _IOLBF, 0);	/* in order with the log */
	log_open("sim", o.trace ? LOG_L_DEBUG : LOG_L_ERR - 1);
	if (geteuid() || !mkdtemp(top)) {
		printf("needs root: file handles, trusted attributes, mounts\n");
		return 77;
	}
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(cmd, sizeof(cmd), "%s/%s", top, dirs[i]);
		mkdir(cmd, 0755);
	}
	umask(0);
	failures = json_array();
	seen = xcalloc(o.again + 1, sizeof(*seen));
	run_all(&o, &t);
	free(seen);
	snprintf(cmd, sizeof(cmd), "rmdir %s/* %s", top, top);
	if (system(cmd))
		fprintf(stderr, "%s is left\n", top);
	if (o.json)
		say_json(&o, &t, (wall() - began) / 1e9);
	else
		say_totals(&t, (wall() - began) / 1e9);
	json_decref(failures);
	return t.cannot ? 2 : found(&o, &t) != 0;
}
