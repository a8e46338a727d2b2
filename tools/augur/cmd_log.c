// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_log.c - the history of accesses as augurd has recorded it.
 *
 * Rows are printed as they come, so --follow can be piped.  Times are local time, to the
 * millisecond; sessions are the keys that tell jobs apart.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <time.h>
#include "augur.h"

#define LIMIT_DEF 20
#define LIMIT_MAX 10000		/* what augurd gives at once */

struct log { struct augur *a; long long rows; };

/* "time" of a row is nanoseconds of CLOCK_REALTIME. */
static const char *clock_text(long long ns)
{
	static char buf[48];
	time_t sec = (time_t)(ns / 1000000000);
	struct tm tm;
	size_t n;

	if (ns < 0 || !localtime_r(&sec, &tm))
		return "-";
	n = strftime(buf, sizeof(buf), "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(buf + n, sizeof(buf) - n, ".%03lld", ns / 1000000 % 1000);
	return buf;
}

static const char *session_text(json_t *row)
{
	static char buf[32];
	json_t *v = json_object_get(row, "session");

	if (json_is_string(v))
		return printable(json_string_value(v));
	snprintf(buf, sizeof(buf), "%016llx", json_int(row, "session", 0));
	return buf;
}

/* A range; of an open, the size; of a close, how much was read in how many reads. */
static const char *range_text(json_t *row)
{
	long long off = json_int(row, "off", 0), len = json_int(row, "len", 0);
	static char buf[64];

	if (!strcmp(json_str(row, "op", ""), "open"))
		snprintf(buf, sizeof(buf), "%s", len ? human_bytes((unsigned long long)len) : "-");
	else if (!strcmp(json_str(row, "op", ""), "close"))
		snprintf(buf, sizeof(buf), "%s in %lld", human_bytes((unsigned long long)off), len);
	else if (len)
		snprintf(buf, sizeof(buf), "%lld+%lld", off, len);
	else
		return "-";
	return buf;
}

static int on_line(void *ctx, const char *kind, json_t *row)
{
	struct log *l = ctx;
	char cost[24] = "-";

	if (strcmp(kind, "row"))
		return 0;
	l->rows++;
	if (l->a->json) {
		json_line(json_pack("{s:O}", "row", row));
		return 0;
	}
	if (json_int(row, "latency_us", 0) > 0)
		snprintf(cost, sizeof(cost), "%.1fms", (double)json_int(row, "latency_us", 0) / 1000);
	printf("%s  %-16.16s %-8.8s %-16s %10s  %s", clock_text(json_int(row, "time", -1)), session_text(row),
	       printable(json_str(row, "op", "?")), range_text(row), cost, printable(json_str(row, "path", "?")));
	if (json_str(row, "comm", "")[0])
		printf("  (%s %lld)", printable(json_str(row, "comm", "?")), json_int(row, "pid", 0));
	putchar('\n');
	fflush(stdout);
	return ferror(stdout) ? -EPIPE : 0;
}

static int finish(struct log *l, json_t *ans)
{
	if (!ans)
		return fault_report(l->a, RC_FAILED);
	if (l->a->json) {
		json_object_set_new(ans, "rows", json_integer(l->rows));
		json_line(ans);
		return RC_OK;
	}
	if (!l->rows)
		puts("no accesses are recorded; the mount option log= says which are");
	json_decref(ans);
	return RC_OK;
}

/* Without a name there must be only one mount, or none: then augurd knows what is meant. */
static const struct mount *pick(struct augur *a, const struct mount *m, size_t n, const char *arg)
{
	const struct mount *hit = NULL;
	size_t i;

	if (arg) {
		hit = mount_find(m, n, arg);
		if (!hit || !hit->id)
			fault_set(&a->fault, AUGUR_E_NOT_MOUNTED, ENOENT,
				  "%s is neither in an augurfs mount nor the id of one", printable(arg));
		return hit;
	}
	for (i = 0; i < n; i++) {
		if (!m[i].id || m[i].again)
			continue;
		if (hit)
			fault_set(&a->fault, AUGUR_E_USAGE, EINVAL, "several volumes are mounted (%s, %s): name one",
				  printable(hit->point), printable(m[i].point));
		hit = &m[i];
	}
	return hit;
}

static int add_mount(struct augur *a, json_t *req, const char *arg)
{
	struct mount *m = xcalloc(MOUNTS_MAX, sizeof(*m));
	const struct mount *hit = pick(a, m, mounts_read(m), arg);

	if (hit && hit->id)
		json_object_set_new(req, "mount", json_integer((json_int_t)hit->id));
	free(m);
	return a->fault.code ? -ENOENT : 0;
}

int cmd_log(struct augur *a, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "follow", no_argument, NULL, 'f' }, { "lines", required_argument, NULL, 'n' }, { 0 }
	};
	struct log l = { .a = a };
	long long limit = LIMIT_DEF;
	bool follow = false;
	json_t *req;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "fn:", opts, NULL)) != -1) {
		if (c == 'f') {
			follow = true;
			continue;
		}
		limit = c == 'n' ? strtoll(optarg, &end, 10) : 0;
		if (limit < 1 || *end || limit > LIMIT_MAX)
			return usage_error(a, c == 'n' ? "-n takes a number from 1 to 10000" : "unknown option");
	}
	if (argc - optind > 1)
		return usage_error(a, "one mount at most");
	req = json_pack("{s:I,s:b}", "limit", (json_int_t)limit, "follow", follow);
	if (add_mount(a, req, optind < argc ? argv[optind] : NULL)) {
		json_decref(req);
		return fault_report(a, RC_FAILED);
	}
	if (follow)
		a->timeout_s = 0;	/* silence is what one waits through */
	return finish(&l, client_call(a, req, on_line, &l));
}
