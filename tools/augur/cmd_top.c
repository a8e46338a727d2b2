// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_top.c - what a mount does now: a line an interval, from the module's counters, and what
 * only augurd knows (bytes on the wire, the paths opened most).  Without augurd the counters are
 * shown alone.  On a terminal the lines stay in one place above the paths.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <time.h>
#include "augur.h"

#define LINES		15	/* that stay on a terminal */
#define PATHS		10
#define PATH_ROWS	10000	/* opens looked at for them */
#define INTERVAL_MAX	3600

struct sample { unsigned long long ns, opens, reads, read_bytes, miss_bytes, misses, wait_us, dropped, rx, tx; };
struct path { char *name; unsigned int opens; };

struct top {
	struct augur	*a;
	unsigned long long id;
	struct sample	last;
	struct path	*paths;		/* opened since the last line */
	size_t		npaths;
	bool		down;		/* augurd does not answer */
	char		lines[LINES][128];
	unsigned int	nlines;
};

static unsigned long long stat_of(json_t *stats, const char *name)
{
	return (unsigned long long)json_int(stats, name, 0);
}

/* ---- looking ---- */

/* Bytes on the wire of this mount's proxies. */
static void look_wire(struct top *t, struct sample *s)
{
	const struct verb *was = t->a->verb;
	struct verb status = { .name = "status" };
	json_t *ans, *list, *m, *p;
	size_t i, k;

	t->a->verb = &status;
	ans = client_call(t->a, json_object(), NULL, NULL);
	t->a->verb = was;
	t->down = !ans;
	list = json_object_get(ans, "mounts");
	json_array_foreach(list, i, m) {
		json_t *proxies = json_object_get(m, "proxies");

		if ((unsigned long long)json_int(m, "id", 0) != t->id)
			continue;
		json_array_foreach(proxies, k, p) {
			s->rx += stat_of(p, "rx_bytes");
			s->tx += stat_of(p, "tx_bytes");
		}
	}
	json_decref(ans);
}

static void look(struct top *t, struct sample *s)
{
	json_t *stats = sysfs_stats(t->id);
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	*s = (struct sample){
		.ns = ts.tv_sec * 1000000000ull + ts.tv_nsec, .opens = stat_of(stats, "opens"), .reads = stat_of(stats, "reads"),
		.read_bytes = stat_of(stats, "read_bytes"), .miss_bytes = stat_of(stats, "miss_bytes"),
		.misses = stat_of(stats, "upcalls_fetch"), .wait_us = stat_of(stats, "fetch_wait_us"),
		.dropped = stat_of(stats, "events_dropped"),
	};
	json_decref(stats);
	look_wire(t, s);
}

static int on_open(void *ctx, const char *kind, json_t *row)
{
	struct top *t = ctx;
	const char *name = json_str(row, "path", NULL);

	if (strcmp(kind, "row") || !name)
		return 0;
	for (size_t i = 0; i < t->npaths; i++) {
		if (!strcmp(t->paths[i].name, name)) {
			t->paths[i].opens++;
			return 0;
		}
	}
	if (t->npaths < PATH_ROWS / 10) {
		t->paths = xrealloc(t->paths, (t->npaths + 1) * sizeof(*t->paths));
		t->paths[t->npaths++] = (struct path){ xstrdup(name), 1 };
	}
	return 0;
}

static int by_opens(const void *a, const void *b)
{
	const struct path *x = a, *y = b;

	return x->opens != y->opens ? (x->opens < y->opens ? 1 : -1) : strcmp(x->name, y->name);
}

/* What the log says was opened in the last @sec seconds. */
static void look_paths(struct top *t, unsigned int sec)
{
	const struct verb *was = t->a->verb;
	struct verb log = { .name = "log" };

	for (size_t i = 0; i < t->npaths; i++)
		free(t->paths[i].name);
	t->npaths = 0;
	if (t->down)
		return;
	t->a->verb = &log;
	json_decref(client_call(t->a, json_pack("{s:I, s:i, s:[s], s:I}", "mount", (json_int_t)t->id, "limit", PATH_ROWS,
		"kinds", "open", "since", (json_int_t)(time(NULL) - sec) * 1000000000), on_open, t));
	t->a->verb = was;
	if (t->npaths)
		qsort(t->paths, t->npaths, sizeof(*t->paths), by_opens);
}

/* ---- showing ---- */

static const char head[] = "    TIME  OPENS/s  READS/s     READ/s   HIT%  MISS/s  WAIT/miss    WIRE IN   WIRE OUT  DROPPED";

struct rates { double opens, reads, bytes, hit, misses, wait_ms, rx, tx; unsigned long long dropped; };

static void rate(const struct sample *a, const struct sample *b, struct rates *r)
{
	double s = (b->ns - a->ns) / 1e9, read = (double)(b->read_bytes - a->read_bytes), miss = (double)(b->miss_bytes - a->miss_bytes);

	s = s > 0 ? s : 1;
	*r = (struct rates){
		.opens = (b->opens - a->opens) / s, .reads = (b->reads - a->reads) / s, .bytes = read / s,
		.hit = read > 0 ? (miss < read ? 100 * (1 - miss / read) : 0) : 100, .misses = (b->misses - a->misses) / s,
		.wait_ms = b->misses > a->misses ? (b->wait_us - a->wait_us) / 1e3 / (b->misses - a->misses) : 0,
		/* A new augurd counts from nothing. */
		.rx = b->rx >= a->rx ? (b->rx - a->rx) / s : 0, .tx = b->tx >= a->tx ? (b->tx - a->tx) / s : 0,
		.dropped = b->dropped - a->dropped,
	};
}

static void print_json(struct top *t, const struct rates *r)
{
	json_t *row = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:b}", "opens_s", r->opens, "reads_s", r->reads,
		"read_bytes_s", r->bytes, "hit_percent", r->hit, "misses_s", r->misses, "wait_ms", r->wait_ms, "rx_bytes_s", r->rx,
		"tx_bytes_s", r->tx, "dropped", (json_int_t)r->dropped, "daemon", !t->down);
	json_t *list = json_array();

	for (size_t i = 0; i < t->npaths && i < PATHS; i++)
		json_array_append_new(list, json_pack("{s:s, s:i}", "path", t->paths[i].name, "opens", (int)t->paths[i].opens));
	json_object_set_new(row, "paths", list);
	json_line(json_pack("{s:o}", "row", row));
}

static void print_paths(const struct top *t)
{
	for (size_t i = 0; i < t->npaths && i < PATHS; i++)
		printf(" %7u  %s\n", t->paths[i].opens, printable(t->paths[i].name));
	if (t->down)
		puts(" augurd does not answer: no bytes on the wire and no paths");
}

static void print_text(struct top *t, const struct rates *r, bool screen, bool paths)
{
	char *line = t->lines[t->nlines % LINES];
	time_t now = time(NULL);
	struct tm tm;
	size_t n;

	localtime_r(&now, &tm);
	n = strftime(line, sizeof(t->lines[0]), "%H:%M:%S", &tm);
	snprintf(line + n, sizeof(t->lines[0]) - n, " %8.0f %8.0f %10s %6.1f %7.0f %8.1fms %10s %10s %8llu", r->opens, r->reads,
		 human_bytes((unsigned long long)r->bytes), r->hit, r->misses, r->wait_ms, human_bytes((unsigned long long)r->rx),
		 human_bytes((unsigned long long)r->tx), r->dropped);
	t->nlines++;
	if (screen) {
		printf("\033[H\033[J%s\n", head);
		for (unsigned int i = t->nlines > LINES ? t->nlines - LINES : 0; i < t->nlines; i++)
			puts(t->lines[i % LINES]);
		putchar('\n');
	} else {
		if (t->nlines % 20 == 1)
			puts(head);
		puts(line);
	}
	if (screen || paths)
		print_paths(t);
	fflush(stdout);
}

/* ---- the command ---- */

static int pick(struct top *t, const char *arg)
{
	struct mount *m = xcalloc(MOUNTS_MAX, sizeof(*m));
	size_t n = mounts_read(m), found = 0;
	const struct mount *hit = arg ? mount_find(m, n, arg) : NULL;

	for (size_t i = 0; i < n && !arg; i++) {
		if (!m[i].id || m[i].again)
			continue;
		hit = &m[i];
		found++;
	}
	if (found > 1)
		fault_set(&t->a->fault, AUGUR_E_USAGE, EINVAL, "several volumes are mounted: name one");
	else if (!hit || !hit->id)
		fault_set(&t->a->fault, AUGUR_E_NOT_MOUNTED, ENOENT, arg ? "%s is neither in an augurfs mount nor the id of one" :
			  "nothing is mounted%s", arg ? printable(arg) : "");
	else
		t->id = hit->id;
	free(m);
	return t->id ? 0 : -ENOENT;
}

static int run(struct top *t, unsigned int sec, bool once)
{
	bool screen = !once && !t->a->json && isatty(STDOUT_FILENO);
	struct timespec wait = { .tv_sec = sec };
	struct sample now;
	struct rates r;

	look(t, &t->last);
	do {
		nanosleep(&wait, NULL);
		look(t, &now);
		rate(&t->last, &now, &r);
		t->last = now;
		look_paths(t, sec);
		if (t->a->json)
			print_json(t, &r);
		else
			print_text(t, &r, screen, once);
	} while (!once && !ferror(stdout) && sysfs_get_int(t->id, "daemon_pid", -1) >= 0);
	if (t->a->json)
		json_line(json_begin(t->a, true));
	return RC_OK;
}

int cmd_top(struct augur *a, int argc, char **argv)
{
	static const struct option opts[] = { { "once", no_argument, NULL, '1' }, { "interval", required_argument, NULL, 'i' }, { 0 } };
	struct top t = { .a = a };
	long sec = 1;
	bool once = false;
	char *end;
	int c, ret;

	while ((c = getopt_long(argc, argv, "1i:", opts, NULL)) != -1) {
		if (c == '1') {
			once = true;
			continue;
		}
		sec = c == 'i' ? strtol(optarg, &end, 10) : 0;
		if (sec < 1 || *end || sec > INTERVAL_MAX)
			return usage_error(a, c == 'i' ? "-i takes seconds, from 1 to 3600" : "unknown option");
	}
	if (argc - optind > 1)
		return usage_error(a, "one mount at most");
	ret = pick(&t, optind < argc ? argv[optind] : NULL) ? fault_report(a, fault_rc(&a->fault)) : run(&t, (unsigned int)sec, once);
	for (size_t i = 0; i < t.npaths; i++)
		free(t.paths[i].name);
	free(t.paths);
	return ret;
}
