// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_warm.c - brings named trees into the local cache before they are wanted.
 *
 * augurd walks and fetches; this file sends it the paths, in requests that fit the control
 * protocol's limit, and shows how far it is.  --check fetches nothing: it asks where each
 * named object is and counts.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include "augur.h"

#define BATCH_BYTES (CTL_REQ_MAX / 4)	/* of paths; JSON may write a byte in up to six */

struct warm {
	struct augur	*a;
	struct progress	bar;
	struct mount	*m;
	size_t		n;
	char		**paths;
	size_t		count;
	long long	depth;
	long long	files, bytes, errors;
};

static int add_path(struct warm *w, const char *arg)
{
	char path[PATH_MAX];
	int err = path_absolute(arg, w->m, w->n, path, sizeof(path));

	if (err) {
		fault_set(&w->a->fault, AUGUR_E_USAGE, -err, "%s: %s", printable(arg), strerror(-err));
		return err;
	}
	w->paths = xrealloc(w->paths, sizeof(*w->paths) * (w->count + 1));
	w->paths[w->count++] = xstrdup(path);
	return 0;
}

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
			err = add_path(w, line);
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

/* Sends paths from @first on, as many as fit: their number, or 0 with the fault set. */
static size_t warm_batch(struct warm *w, size_t first)
{
	json_t *req = json_object(), *list = json_array(), *ans;
	size_t i, bytes = 0;

	for (i = first; i < w->count && (i == first || bytes + strlen(w->paths[i]) < BATCH_BYTES); i++) {
		json_array_append_new(list, json_string(w->paths[i]) ?: json_null());
		bytes += strlen(w->paths[i]) + 4;
	}
	json_object_set_new(req, "paths", list);
	if (w->depth >= 0)
		json_object_set_new(req, "depth", json_integer(w->depth));
	ans = client_call(w->a, req, on_line, w);
	if (!ans)
		return 0;
	w->files += json_int(ans, "files", 0);
	w->bytes += json_int(ans, "bytes", 0);
	w->errors += json_int(ans, "errors", 0);
	json_decref(ans);
	return i - first;
}

static int warm_run(struct warm *w)
{
	size_t done = 0, n = 0;

	progress_init(&w->bar, w->a);
	while (done < w->count && (n = warm_batch(w, done)))
		done += n;
	progress_end(&w->bar);
	if (done < w->count)
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
	static const struct verb where = { .name = "where" };
	const struct verb *own = w->a->verb;
	struct counts c = { 0 };
	size_t i;

	for (i = 0; i < w->count; i++) {
		json_t *ans;

		w->a->verb = &where;
		ans = client_call(w->a, json_pack("{s:s%}", "path", w->paths[i], strlen(w->paths[i])), NULL, NULL);
		w->a->verb = own;
		if (!ans)
			return fault_report(w->a, RC_FAILED);
		count_state(w->a, &c, w->paths[i], json_str(ans, "state", "absent"));
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

	w->n = mounts_read(w->m);
	while (!err && (c = getopt_long(argc, argv, "f:", opts, NULL)) != -1) {
		if (c == 'f')
			err = add_list(w, optarg);
		else if (c == 'c')
			check = true;
		else if (c != 'd' || parse_depth(optarg, &w->depth))
			return usage_error(a, c == 'd' ? "--depth is a number from 0 to 1000" : "unknown option");
	}
	for (; !err && optind < argc; optind++)
		err = add_path(w, argv[optind]);
	if (err)
		return fault_report(a, RC_FAILED);
	if (!w->count)
		return usage_error(a, "which paths?");
	return check ? check_run(w) : warm_run(w);
}

int cmd_warm(struct augur *a, int argc, char **argv)
{
	struct warm w = { .a = a, .depth = -1, .m = xcalloc(MOUNTS_MAX, sizeof(struct mount)) };
	int rc = run(a, &w, argc, argv);

	while (w.count)
		free(w.paths[--w.count]);
	free(w.paths);
	free(w.m);
	return rc;
}
