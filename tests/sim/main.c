// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - seeds, one process each, and what became of them.
 *
 *	sim --seed N | --seeds A-B [--trace] [--bug NAME] [--jobs N] [--until-found] [--twice]
 *
 * Prints one line for each seed that failed, with how to see it again, and one at last.  Exits 1
 * if one failed; with --bug it exits 0 if one failed, because then it has to.  2: no run came about.
 */
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/log.h"
#include "base/seeded.h"
#include "sim.h"

#define JOBS_MAX	16
#define WALL_SEC	60		/* a run that takes longer hangs */
#define SETUP_FAILED	5		/* exit status: no run came about */

struct opts { u64 from, to; bool trace, twice, until_found, quiet; const char *bug; unsigned int jobs; };
struct result { u64 seed, hash, events, requests, reads, failed, faults; };

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
			violated("%s: not within %lu s", what, ns / SEC);
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
	_exit(SETUP_FAILED);
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

/* A small filesystem for the origin and one for the cache, which go with the process. */
static void own_filesystems(void)
{
	static const char *const dirs[] = { "origin", "cache" };
	char path[128];

	if (unshare(CLONE_NEWNS))
		cannot("make a namespace of mounts");
	make_private();
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", top, dirs[i]);
		if (mount("sim", path, "tmpfs", 0, "size=256m"))
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
	u64 load = between(6, 16) * SEC;
	char path[128];

	rescan = chance(200);
	net_begin();
	fs_begin();
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
	*res = (struct result){ seed, world_hash(), world_events(), kernel_requests, reads_done, reads_failed,
				faults_hit + fs_faults };
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

static void say_failed(const struct opts *o, struct slot *s, const char *how)
{
	char line[512], last[512] = "";

	if (s->out) {
		rewind(s->out);
		while (fgets(line, sizeof(line), s->out))
			if (strstr(line, "VIOLATED") || strstr(line, "CANNOT") || strstr(line, "ERROR") || strstr(line, "runtime error") || (!last[0] && line[0] == ' '))
				snprintf(last, sizeof(last), "%s", line);
	}
	last[strcspn(last, "\n")] = 0;
	printf("seed %" PRIu64 " failed (%s):%s%s\n    again: tests/sim/run --seed %" PRIu64 " --trace%s%s\n", s->seed, how,
	       last[0] ? " " : "", last, s->seed, o->bug ? " --bug " : "", o->bug ? o->bug : "");
	fflush(stdout);
}

/* True: the run was as it should be. */
static bool reap(const struct opts *o, struct slot *s, int status, struct result *r)
{
	bool whole = read(s->fd, r, sizeof(*r)) == sizeof(*r);
	char how[64];

	close(s->fd);
	if (WIFEXITED(status) && !WEXITSTATUS(status) && whole) {
		if (s->out)
			fclose(s->out);
		return true;
	}
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), WTERMSIG(status) == SIGALRM ? "hangs" : "signal %d", WTERMSIG(status));
	else
		snprintf(how, sizeof(how), "status %d", WEXITSTATUS(status));
	say_failed(o, s, how);
	if (s->out)
		fclose(s->out);
	return false;
}

struct totals { u64 runs, failed, events, requests, reads, read_errors, faults, hash, first; bool cannot; };

static void add(struct totals *t, const struct result *r)
{
	t->events += r->events;
	t->requests += r->requests;
	t->reads += r->reads;
	t->read_errors += r->failed;
	t->faults += r->faults;
	t->hash ^= r->hash * (r->seed * 2 + 1);
}

static u64 seen_hash;	/* of the first of two runs (--twice) */

static void judge(const struct opts *o, struct totals *t, struct slot *s, int status)
{
	struct result r;

	t->cannot |= WIFEXITED(status) && WEXITSTATUS(status) == SETUP_FAILED;
	t->runs++;
	if (!reap(o, s, status, &r)) {
		if (!t->failed++)
			t->first = s->seed;
		return;
	}
	add(t, &r);
	if (o->from == o->to)
		printf("seed %" PRIu64 " trace %016" PRIx64 " (%" PRIu64 " events)\n", r.seed, r.hash, r.events);
	if (!o->twice)
		return;
	if (s->run && r.hash != seen_hash) {
		printf("seed %" PRIu64 " failed (not the same twice): trace %016" PRIx64 ", then %016" PRIx64 "\n", r.seed,
		       seen_hash, r.hash);
		t->failed++;
	}
	seen_hash = r.hash;
}

static void run_all(const struct opts *o, struct totals *t)
{
	struct slot slots[JOBS_MAX] = { 0 };
	unsigned int live = 0, rounds = o->twice ? 2 : 1;
	u64 next = o->from * rounds, end = (o->to + 1) * rounds;
	int status;

	while (live || (next < end && !(o->until_found && t->failed))) {
		while (live < o->jobs && next < end && !(o->until_found && t->failed)) {
			unsigned int i = 0;

			while (slots[i].pid)
				i++;
			start(o, &slots[i], next / rounds, next % rounds);
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

/* ---- options ---- */

static int usage(void)
{
	fprintf(stderr, "usage: sim --seed N | --seeds A-B [--trace] [--bug NAME] [--jobs N] [--until-found] [--twice]\nbugs:%s\n",
		seeded_names());
	return 2;
}

static int parse(struct opts *o, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "seed", 1, NULL, 's' }, { "seeds", 1, NULL, 'r' }, { "trace", 0, NULL, 't' }, { "bug", 1, NULL, 'b' },
		{ "jobs", 1, NULL, 'j' }, { "until-found", 0, NULL, 'u' }, { "twice", 0, NULL, '2' }, { 0 },
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
		case 'b': o->bug = optarg; break;
		case 'j': o->jobs = min(max(atoi(optarg), 1), JOBS_MAX); break;
		case 'u': o->until_found = true; break;
		case '2': o->twice = true; o->jobs = 1; break;
		default: return usage();
		}
	}
	return !given || optind < argc || (o->bug && seeded_choose(o->bug)) ? usage() : 0;
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
	snprintf(cmd, sizeof(cmd), "%s/origin", top);
	mkdir(cmd, 0755);
	snprintf(cmd, sizeof(cmd), "%s/cache", top);
	mkdir(cmd, 0755);
	umask(0);
	run_all(&o, &t);
	snprintf(cmd, sizeof(cmd), "rmdir %s/origin %s/cache %s", top, top, top);
	if (system(cmd))
		fprintf(stderr, "%s is left\n", top);
	printf("%" PRIu64 " runs, %" PRIu64 " failed; %" PRIu64 " requests, %" PRIu64 " reads, %" PRIu64 " of them errors, %" PRIu64
	       " faults, %" PRIu64 " events; %.1f s; traces %016" PRIx64 "\n", t.runs, t.failed, t.requests, t.reads, t.read_errors,
	       t.faults, t.events, (wall() - began) / 1e9, t.hash);
	if (t.cannot)
		return 2;
	return o.bug ? !t.failed : t.failed != 0;
}
