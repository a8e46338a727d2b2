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

static int on_line(void *ctx, const char *kind, json_t *row)
{
	struct log *l = ctx;
	char range[48] = "-", cost[24] = "-";

	if (strcmp(kind, "row"))
		return 0;
	l->rows++;
	if (l->a->json) {
		json_line(json_pack("{s:O}", "row", row));
		return 0;
	}
	if (json_object_get(row, "len"))
		snprintf(range, sizeof(range), "%lld+%lld", json_int(row, "off", 0), json_int(row, "len", 0));
	if (json_int(row, "latency_us", 0) > 0)
		snprintf(cost, sizeof(cost), "%.1fms", (double)json_int(row, "latency_us", 0) / 1000);
	printf("%s  %-16.16s %-8.8s %-16s %10s  %s", clock_text(json_int(row, "time", -1)), session_text(row),
	       printable(json_str(row, "op", "?")), range, cost, printable(json_str(row, "path", "?")));
	if (json_object_get(row, "comm"))
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

static int add_mount(struct augur *a, json_t *req, const char *arg)
{
	struct mount *m = xcalloc(MOUNTS_MAX, sizeof(*m));
	size_t n = mounts_read(m);
	const struct mount *hit = mount_find(m, n, arg);

	if (hit && hit->id)
		json_object_set_new(req, "mount", json_integer((json_int_t)hit->id));
	else
		fault_set(&a->fault, AUGUR_E_NOT_MOUNTED, ENOENT, "%s is neither in an augurfs mount nor the id of one",
			  printable(arg));
	free(m);
	return hit && json_object_get(req, "mount") ? 0 : -ENOENT;
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
		limit = c == 'n' ? strtoll(optarg, &end, 10) : -1;
		if (limit < 0 || *end || limit > 10000000)
			return usage_error(a, c == 'n' ? "-n takes a number" : "unknown option");
	}
	if (argc - optind > 1)
		return usage_error(a, "one mount at most");
	req = json_pack("{s:I,s:b}", "limit", (json_int_t)limit, "follow", follow);
	if (optind < argc && add_mount(a, req, argv[optind])) {
		json_decref(req);
		return fault_report(a, RC_FAILED);
	}
	if (follow)
		a->timeout_s = 0;	/* silence is what one waits through */
	return finish(&l, client_call(a, req, on_line, &l));
}
