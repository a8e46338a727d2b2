// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_pin.c - what stays in the local cache (pin, unpin), and what goes at once (evict).
 *
 * augurd walks its own tree; this file sends it the paths and says what came of it.  Nothing is
 * fetched: what is pinned and not here stays from its first read on.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include "augur.h"

struct paths {
	struct augur	*a;
	struct progress	bar;
	struct mount	*m;
	size_t		n;
	json_t		*list;
};

static int add_path(struct paths *p, const char *arg)
{
	char path[PATH_MAX];
	int err = path_absolute(arg, p->m, p->n, path, sizeof(path));

	if (err)
		fault_set(&p->a->fault, AUGUR_E_USAGE, -err, "%s: %s", printable(arg), strerror(-err));
	else
		json_array_append_new(p->list, json_string(path) ?: json_null());
	return err;
}

static void add_mounts(struct paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->m[i].id && p->m[i].point[0] && !p->m[i].again)
			json_array_append_new(p->list, json_string(p->m[i].point) ?: json_null());
}

static int on_line(void *ctx, const char *kind, json_t *obj)
{
	struct paths *p = ctx;

	if (!strcmp(kind, "progress"))
		progress_show(&p->bar, obj);
	return 0;
}

/* The answer, or NULL with the fault set. */
static json_t *ask(struct paths *p, const char *name, json_t *paths, long long bytes)
{
	const struct verb verb = { .name = name }, *own = p->a->verb;
	json_t *req = json_object(), *ans;

	if (paths)
		json_object_set(req, "paths", paths);
	if (bytes)
		json_object_set_new(req, "bytes", json_integer(bytes));
	p->a->verb = &verb;
	progress_init(&p->bar, p->a);
	ans = client_call(p->a, req, on_line, p);
	progress_end(&p->bar);
	p->a->verb = own;
	return ans;
}

/* ---- pin, unpin ---- */

static int say_pinned(struct paths *p, json_t *ans, bool set)
{
	long long files = json_int(ans, "files", 0), errors = json_int(ans, "errors", 0), bytes = json_int(ans, "bytes", 0);
	long long kept = json_int(ans, "kept", 0);

	if (p->a->json) {
		json_t *obj = json_begin(p->a, true);

		json_object_set_new(obj, "files", json_integer(files));
		json_object_set_new(obj, "bytes", json_integer(bytes));
		json_object_set_new(obj, "kept", json_integer(kept));
		json_object_set_new(obj, "errors", json_integer(errors));
		json_line(obj);
	} else {
		printf("%lld files %s, %s of them here", files, set ? "pinned" : "unpinned", human_bytes((unsigned long long)bytes));
		printf(errors ? ", %lld could not be changed\n" : "\n", errors);
		if (kept)
			printf("%lld of the paths stay pinned by what is above them: %s\n", kept, printable(json_str(ans, "above", "?")));
	}
	return errors || kept ? RC_DEGRADED : RC_OK;
}

static int run_pin(struct paths *p, bool set)
{
	json_t *ans = ask(p, set ? "pin" : "unpin", p->list, 0);
	int rc;

	if (!ans)
		return fault_report(p->a, RC_FAILED);
	rc = say_pinned(p, ans, set);
	json_decref(ans);
	return rc;
}

static int on_pin(void *ctx, const char *kind, json_t *obj)
{
	const char *named = json_str(obj, "named", NULL);
	struct paths *p = ctx;

	if (strcmp(kind, "row"))
		return 0;
	if (p->a->json)
		json_line(json_pack("{s:{s:s,s:s,s:b,s:s*}}", "row", "path", printable(json_str(obj, "path", "?")), "volume",
				    printable(json_str(obj, "volume", "?")), "here", json_bool(obj, "here", false), "named",
				    named ? printable(named) : NULL));
	else
		printf("%-20s %s%s%s%s%s\n", printable(json_str(obj, "volume", "?")), printable(json_str(obj, "path", "?")),
		       json_bool(obj, "here", true) ? "" : "   (not known here any more)",
		       named ? "   (pinned as " : "", named ? printable(named) : "", named ? ")" : "");
	return 0;
}

static int run_list(struct paths *p)
{
	static const struct verb pins = { .name = "pins" };
	const struct verb *own = p->a->verb;
	json_t *ans;

	p->a->verb = &pins;
	ans = client_call(p->a, json_object(), on_pin, p);
	p->a->verb = own;
	if (!ans)
		return fault_report(p->a, RC_FAILED);
	if (p->a->json) {
		json_t *obj = json_begin(p->a, true);

		json_object_set_new(obj, "pins", json_integer(json_int(ans, "pins", 0)));
		json_line(obj);
	} else if (!json_int(ans, "pins", 0)) {
		puts("nothing is pinned");
	}
	json_decref(ans);
	return RC_OK;
}

static void paths_begin(struct paths *p, struct augur *a)
{
	memset(p, 0, sizeof(*p));
	p->a = a;
	p->m = xcalloc(MOUNTS_MAX, sizeof(struct mount));
	p->n = mounts_read(p->m);
	p->list = json_array();
}

static int paths_end(struct paths *p, int rc)
{
	json_decref(p->list);
	free(p->m);
	return rc;
}

static int pin_args(struct paths *p, int argc, char **argv, bool set)
{
	static const struct option opts[] = {
		{ "list", no_argument, NULL, 'l' }, { "remove", no_argument, NULL, 'r' }, { 0 }
	};
	bool list = false;
	int c, err = 0;

	while ((c = getopt_long(argc, argv, set ? "lr" : "", set ? opts : opts + 2, NULL)) != -1) {
		if (c == 'l')
			list = true;
		else if (c == 'r')
			set = false;
		else
			return usage_error(p->a, "unknown option");
	}
	for (; !err && optind < argc; optind++)
		err = add_path(p, argv[optind]);
	if (err)
		return fault_report(p->a, RC_FAILED);
	if (list)
		return json_array_size(p->list) ? usage_error(p->a, "--list takes no paths") : run_list(p);
	return json_array_size(p->list) ? run_pin(p, set) : usage_error(p->a, "which paths?");
}

int cmd_pin(struct augur *a, int argc, char **argv)
{
	struct paths p;

	paths_begin(&p, a);
	return paths_end(&p, pin_args(&p, argc, argv, true));
}

int cmd_unpin(struct augur *a, int argc, char **argv)
{
	struct paths p;

	paths_begin(&p, a);
	return paths_end(&p, pin_args(&p, argc, argv, false));
}

/* ---- evict ---- */

static long long say_refused(json_t *refused, bool print)
{
	const char *why;
	long long n = 0;
	json_t *val;

	json_object_foreach(refused, why, val) {
		n += json_integer_value(val);
		if (print)
			printf(" %lld %s", (long long)json_integer_value(val), printable(why));
	}
	return n;
}

static int say_evicted(struct paths *p, json_t *ans)
{
	json_t *refused = json_object_get(ans, "refused");
	long long stay = say_refused(refused, false), errors = json_int(ans, "errors", 0);

	if (p->a->json) {
		json_t *obj = json_begin(p->a, true);

		json_object_set_new(obj, "evicted", json_integer(json_int(ans, "evicted", 0)));
		json_object_set_new(obj, "bytes", json_integer(json_int(ans, "bytes", 0)));
		json_object_set(obj, "refused", json_is_object(refused) ? refused : json_null());
		json_object_set_new(obj, "errors", json_integer(errors));
		json_line(obj);
	} else {
		printf("%lld objects evicted, %s freed", json_int(ans, "evicted", 0),
		       human_bytes((unsigned long long)json_int(ans, "bytes", 0)));
		if (stay)
			printf("; stay:");
		say_refused(refused, true);
		printf(errors ? "; %lld could not be looked at\n" : "\n", errors);
	}
	return stay || errors ? RC_DEGRADED : RC_OK;
}

static int run_evict(struct paths *p, json_t *list, long long bytes)
{
	json_t *ans = ask(p, "evict", list, bytes);
	int rc;

	if (!ans)
		return fault_report(p->a, RC_FAILED);
	rc = say_evicted(p, ans);
	json_decref(ans);
	return rc;
}

/* Each mount has a cache of its own. */
static int evict_mounts(struct paths *p, long long bytes)
{
	int rc = RC_OK, ret;

	for (size_t i = 0; i < json_array_size(p->list) && rc != RC_FAILED; i++) {
		json_t *one = json_pack("[O]", json_array_get(p->list, i));

		ret = run_evict(p, one, bytes);
		rc = ret == RC_FAILED ? ret : rc ? rc : ret;
		json_decref(one);
	}
	return rc;
}

static int parse_bytes(const char *s, long long *n)
{
	static const char units[] = "KMGT";
	const char *u;
	char *end;

	errno = 0;
	*n = strtoll(s, &end, 10);
	u = *end ? strchr(units, *end) : NULL;
	if (errno || end == s || *n < 1 || (*end && (!u || end[1])))
		return -EINVAL;
	for (; u && u >= units; u--)
		if (__builtin_mul_overflow(*n, 1024LL, n))
			return -EINVAL;
	return 0;
}

static int evict_args(struct paths *p, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "all", no_argument, NULL, 'a' }, { "bytes", required_argument, NULL, 'b' }, { 0 }
	};
	long long bytes = 0;
	bool all = false;
	int c, err = 0;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (c == 'a')
			all = true;
		else if (c != 'b' || parse_bytes(optarg, &bytes))
			return usage_error(p->a, c == 'b' ? "--bytes is a number, with K, M, G or T if you like" : "unknown option");
	}
	for (; !err && optind < argc; optind++)
		err = add_path(p, argv[optind]);
	if (err)
		return fault_report(p->a, RC_FAILED);
	if ((all || bytes) && !json_array_size(p->list)) {
		add_mounts(p);
		if (!json_array_size(p->list)) {
			fault_set(&p->a->fault, AUGUR_E_NOT_MOUNTED, ENOENT, "no augurfs mount");
			return fault_report(p->a, RC_FAILED);
		}
		return evict_mounts(p, bytes);
	}
	if (all)
		return usage_error(p->a, "--all takes no paths");
	return json_array_size(p->list) ? run_evict(p, p->list, bytes) : usage_error(p->a, "which paths? or --all, or --bytes N");
}

int cmd_evict(struct augur *a, int argc, char **argv)
{
	struct paths p;

	paths_begin(&p, a);
	return paths_end(&p, evict_args(&p, argc, argv));
}
