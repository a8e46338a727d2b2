// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_events.c - what state everything is in, and with --follow what changes, as augurd tells
 * it: one line each, printed at once, so that a script can react to it.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <time.h>
#include "augur.h"

static const char *now_text(void)
{
	static char buf[32];
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	n = strftime(buf, sizeof(buf), "%H:%M:%S", &tm);
	snprintf(buf + n, sizeof(buf) - n, ".%03ld", ts.tv_nsec / 1000000);
	return buf;
}

/* What there is beside kind, name and state. */
static void print_rest(json_t *row)
{
	static const char *const shown[] = { "event", "kind", "state", "name", "cache", "mount" };
	const char *key;
	json_t *v;

	json_object_foreach(row, key, v) {
		bool skip = false;

		for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
			skip |= !strcmp(key, shown[i]);
		if (skip)
			continue;
		printf(" %s=", printable(key));
		if (json_is_string(v))
			printf("%s", printable(json_string_value(v)));
		else if (json_is_boolean(v))
			printf("%s", json_is_true(v) ? "yes" : "no");
		else
			printf("%lld", json_int(row, key, 0));
	}
	putchar('\n');
}

static int on_line(void *ctx, const char *kind, json_t *row)
{
	struct augur *a = ctx;
	const char *event = json_str(row, "event", "?"), *name = json_str(row, "name", json_str(row, "cache", "-"));

	if (strcmp(kind, "row"))
		return 0;
	if (a->json) {
		json_line(json_pack("{s:O}", "row", row));
		return ferror(stdout) ? -EPIPE : 0;
	}
	if (!strcmp(event, "now"))
		printf("%s  -- so far; what follows is new\n", now_text());
	else if (!strcmp(event, "dropped"))
		printf("%s  -- %lld events were dropped: this reader was too slow\n", now_text(), json_int(row, "count", 0));
	else
		printf("%s  %-7s %-9s %-11s %s", now_text(), printable(event), printable(json_str(row, "kind", "?")),
		       printable(json_str(row, "state", "-")), printable(name));
	if (json_object_get(row, "kind"))
		print_rest(row);
	fflush(stdout);
	return ferror(stdout) ? -EPIPE : 0;
}

int cmd_events(struct augur *a, int argc, char **argv)
{
	static const struct option opts[] = { { "follow", no_argument, NULL, 'f' }, { 0 } };
	bool follow = false;
	json_t *ans;
	int c;

	while ((c = getopt_long(argc, argv, "f", opts, NULL)) != -1) {
		if (c != 'f')
			return usage_error(a, "unknown option");
		follow = true;
	}
	if (optind < argc)
		return usage_error(a, "events takes no argument");
	if (follow)
		a->timeout_s = 0;	/* silence means that nothing changes */
	ans = client_call(a, json_pack("{s:b}", "follow", follow), on_line, a);
	if (!ans)
		return fault_report(a, RC_FAILED);
	if (a->json)
		json_line(ans);
	else
		json_decref(ans);
	return RC_OK;
}
