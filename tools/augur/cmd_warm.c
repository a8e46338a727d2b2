// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_warm.c - brings named trees into the local cache before they are wanted.
 *
 * augurd walks and fetches; this file sends it the paths and shows how far it is.  --check fetches nothing: it asks where each
 * named object is and counts.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include "augur.h"

struct warm {
	struct augur	*a;
	struct progress	bar;
	struct paths	paths;
	long long	depth;
	long long	files, bytes, errors;
};

static int add_list(struct warm *w, const char *file)
{
	FILE *f = strcmp(file, "-") ? fopen(file, "re") : stdin;
	CLEANUP_FREE char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	int err = 0;

	if (!f) {
		err = -errno;
		fault_set(&w->a->fault, AUGUR_E_USAGE, -err, "%s: %s", printable(file), strerror(-err));
		return err;
	}
	while (!err && (len = getline(&line, &cap, f)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (line[0])
			err = paths_add(&w->paths, line);
	}
	/* A part of a list is not what was to be fetched. */
	if (!err && ferror(f)) {
		err = -errno;
		fault_set(&w->a->fault, AUGUR_E_USAGE, -err, "%s: %s", printable(file), strerror(-err));
	}
	if (f != stdin)
		fclose(f);
	return err;
}

static int on_line(void *ctx, const char *kind, json_t *obj)
{
	struct warm *w = ctx;

	if (!strcmp(kind, "progress"))
		progress_show(&w->bar, obj);
	return 0;
}

static void add_up(void *ctx, json_t *ans)
{
	struct warm *w = ctx;

	w->files += json_int(ans, "files", 0);
	w->bytes += json_int(ans, "bytes", 0);
	w->errors += json_int(ans, "errors", 0);
}

static int warm_run(struct warm *w)
{
	json_t *more = w->depth >= 0 ? json_pack("{s:I}", "depth", (json_int_t)w->depth) : json_object();
	int err;

	progress_init(&w->bar, w->a);
	err = paths_ask(&w->paths, more, on_line, add_up, w);
	progress_end(&w->bar);
	json_decref(more);
	if (err)
		return fault_report(w->a, RC_FAILED);
	if (w->a->json) {
		json_t *obj = json_begin(w->a, true);

		json_object_set_new(obj, "files", json_integer(w->files));
		json_object_set_new(obj, "bytes", json_integer(w->bytes));
		json_object_set_new(obj, "errors", json_integer(w->errors));
		json_line(obj);
	} else {
		printf("%lld files, %s, %lld not fetched\n", w->files,
		       human_bytes((unsigned long long)w->bytes), w->errors);
	}
	return w->errors ? RC_DEGRADED : RC_OK;
}

struct counts { long long present, partial, absent; };

static void count_state(struct augur *a, struct counts *c, const char *path, const char *state)
{
	/* a populated directory holds all of its names */
	bool here = !strcmp(state, "present") || !strcmp(state, "populated") || !strcmp(state, "complete");
	bool partial = !strcmp(state, "partial");

	*(here ? &c->present : partial ? &c->partial : &c->absent) += 1;
	if (a->json)
		json_line(json_pack("{s:{s:s,s:s}}", "row", "path", printable(path), "state", printable(state)));
	else if (!here)
		printf("%-9s %s\n", printable(state), printable(path));
}

static int check_run(struct warm *w)
{
	struct counts c = { 0 };
	size_t i;

	for (i = 0; i < w->paths.n; i++) {
		const char *path = w->paths.p[i].text;
		json_t *ans;

		ans = paths_where(w->a, w->paths.p[i].m, path);
		if (!ans)
			return fault_report(w->a, RC_FAILED);
		count_state(w->a, &c, path, json_str(ans, "state", "absent"));
		json_decref(ans);
	}
	if (w->a->json) {
		json_t *obj = json_begin(w->a, true);

		json_object_set_new(obj, "present", json_integer(c.present));
		json_object_set_new(obj, "partial", json_integer(c.partial));
		json_object_set_new(obj, "absent", json_integer(c.absent));
		json_line(obj);
	} else {
		printf("%lld present, %lld partial, %lld absent\n", c.present, c.partial, c.absent);
	}
	return c.partial || c.absent ? RC_DEGRADED : RC_OK;
}

static int parse_depth(const char *s, long long *depth)
{
	char *end;

	*depth = strtoll(s, &end, 10);
	return *s && !*end && *depth >= 0 && *depth <= 1000 ? 0 : -EINVAL;
}

static int run(struct augur *a, struct warm *w, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "file", required_argument, NULL, 'f' }, { "depth", required_argument, NULL, 'd' },
		{ "check", no_argument, NULL, 'c' }, { 0 }
	};
	bool check = false;
	int c, err = 0;

	while (!err && (c = getopt_long(argc, argv, "f:", opts, NULL)) != -1) {
		if (c == 'f')
			err = add_list(w, optarg);
		else if (c == 'c')
			check = true;
		else if (c != 'd' || parse_depth(optarg, &w->depth))
			return usage_error(a, c == 'd' ? "--depth is a number from 0 to 1000" : "unknown option");
	}
	for (; !err && optind < argc; optind++)
		err = paths_add(&w->paths, argv[optind]);
	if (err)
		return fault_report(a, RC_FAILED);
	if (!w->paths.n)
		return usage_error(a, "which paths?");
	return check ? check_run(w) : warm_run(w);
}

int cmd_warm(struct augur *a, int argc, char **argv)
{
	struct warm w = { .a = a, .depth = -1 };
	int rc;

	paths_init(&w.paths, a);
	rc = run(a, &w, argc, argv);
	paths_free(&w.paths);
	return rc;
}
