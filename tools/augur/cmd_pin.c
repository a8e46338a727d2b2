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

struct pin {
	struct augur	*a;
	struct progress	bar;
	struct paths	paths;
	long long	files, bytes, kept, errors, evicted;
	char		above[512];
	json_t		*refused;
};

static int on_line(void *ctx, const char *kind, json_t *obj)
{
	struct pin *p = ctx;

	if (!strcmp(kind, "progress"))
		progress_show(&p->bar, obj);
	return 0;
}

static void add_up(void *ctx, json_t *ans)
{
	struct pin *p = ctx;
	const char *why;
	json_t *val;

	p->files += json_int(ans, "files", 0);
	p->bytes += json_int(ans, "bytes", 0);
	p->kept += json_int(ans, "kept", 0);
	p->errors += json_int(ans, "errors", 0);
	p->evicted += json_int(ans, "evicted", 0);
	if (json_object_get(ans, "above"))
		snprintf(p->above, sizeof(p->above), "%s", json_str(ans, "above", "?"));
	json_object_foreach(json_object_get(ans, "refused"), why, val)
		json_object_set_new(p->refused, why, json_integer(json_int(p->refused, why, 0) + json_integer_value(val)));
}

/* 0, or -errno with the fault set. */
static int ask(struct pin *p, const char *name, struct paths *paths, long long bytes)
{
	const struct verb verb = { .name = name }, *own = p->a->verb;
	json_t *more = bytes ? json_pack("{s:I}", "bytes", (json_int_t)bytes) : json_object();
	int err;

	p->a->verb = &verb;
	progress_init(&p->bar, p->a);
	err = paths_ask(paths, more, on_line, add_up, p);
	progress_end(&p->bar);
	p->a->verb = own;
	json_decref(more);
	return err;
}

/* ---- pin, unpin ---- */

static int run_pin(struct pin *p, bool set)
{
	if (ask(p, set ? "pin" : "unpin", &p->paths, 0))
		return fault_report(p->a, RC_FAILED);
	if (p->a->json) {
		json_t *obj = json_begin(p->a, true);

		json_object_set_new(obj, "files", json_integer(p->files));
		json_object_set_new(obj, "bytes", json_integer(p->bytes));
		json_object_set_new(obj, "kept", json_integer(p->kept));
		json_object_set_new(obj, "errors", json_integer(p->errors));
		json_line(obj);
	} else {
		printf("%lld files %s, %s of them here", p->files, set ? "pinned" : "unpinned",
		       human_bytes((unsigned long long)p->bytes));
		printf(p->errors ? ", %lld could not be changed\n" : "\n", p->errors);
		if (p->kept)
			printf("%lld of the paths stay pinned by what is above them: %s\n", p->kept, printable(p->above));
	}
	return p->errors || p->kept ? RC_DEGRADED : RC_OK;
}

static int on_pin(void *ctx, const char *kind, json_t *obj)
{
	const char *named = json_str(obj, "named", NULL);
	struct pin *p = ctx;

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

static int run_list(struct pin *p)
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

static void pin_begin(struct pin *p, struct augur *a)
{
	memset(p, 0, sizeof(*p));
	p->a = a;
	p->refused = json_object();
	paths_init(&p->paths, a);
}

static int pin_end(struct pin *p, int rc)
{
	json_decref(p->refused);
	paths_free(&p->paths);
	return rc;
}

static int pin_args(struct pin *p, int argc, char **argv, bool set)
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
		err = paths_add(&p->paths, argv[optind]);
	if (err)
		return fault_report(p->a, RC_FAILED);
	if (list)
		return p->paths.n ? usage_error(p->a, "--list takes no paths") : run_list(p);
	return p->paths.n ? run_pin(p, set) : usage_error(p->a, "which paths?");
}

int cmd_pin(struct augur *a, int argc, char **argv)
{
	struct pin p;

	pin_begin(&p, a);
	return pin_end(&p, pin_args(&p, argc, argv, true));
}

int cmd_unpin(struct augur *a, int argc, char **argv)
{
	struct pin p;

	pin_begin(&p, a);
	return pin_end(&p, pin_args(&p, argc, argv, false));
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

/* @point: the mount point, if it was for all of a mount and there are several. */
static int say_evicted(struct pin *p, const char *point)
{
	long long stay = say_refused(p->refused, false);

	if (p->a->json) {
		json_t *obj = json_begin(p->a, true);

		json_object_set_new(obj, "evicted", json_integer(p->evicted));
		json_object_set_new(obj, "bytes", json_integer(p->bytes));
		json_object_set(obj, "refused", p->refused);
		json_object_set_new(obj, "errors", json_integer(p->errors));
		if (point)
			json_object_set_new(obj, "mount", json_string(printable(point)));
		json_line(obj);
	} else {
		printf("%s%s%lld objects evicted, %s freed", point ? printable(point) : "", point ? ": " : "", p->evicted, human_bytes((unsigned long long)p->bytes));
		if (stay)
			printf("; stay:");
		say_refused(p->refused, true);
		printf(p->errors ? "; %lld could not be looked at\n" : "\n", p->errors);
	}
	return stay || p->errors ? RC_DEGRADED : RC_OK;
}

static int run_evict(struct pin *p, struct paths *paths, long long bytes, const char *point)
{
	return ask(p, "evict", paths, bytes) ? fault_report(p->a, RC_FAILED) : say_evicted(p, point);
}

static void forget_sums(struct pin *p)
{
	p->bytes = p->evicted = p->errors = 0;
	json_object_clear(p->refused);
}

/* Each mount has a cache of its own. */
static int evict_mount(struct pin *p, const struct mount *m, long long bytes, bool one_of_many)
{
	struct named path = { .text = (char *)m->point, .m = m };
	struct paths one = { .a = p->a, .p = &path, .n = 1 };

	forget_sums(p);
	return run_evict(p, &one, bytes, one_of_many ? m->point : NULL);
}

static bool has_cache(const struct mount *m)
{
	return m->id && m->point[0] && !m->again;
}

static int evict_mounts(struct pin *p, long long bytes)
{
	int rc = RC_OK, ret, mounts = 0;

	for (size_t i = 0; i < p->paths.nm; i++)
		mounts += has_cache(&p->paths.m[i]);
	for (size_t i = 0; i < p->paths.nm && rc != RC_FAILED; i++) {
		if (!has_cache(&p->paths.m[i]))
			continue;
		ret = evict_mount(p, &p->paths.m[i], bytes, mounts > 1);
		rc = ret == RC_FAILED ? ret : rc ? rc : ret;
	}
	if (mounts)
		return rc;
	fault_set(&p->a->fault, AUGUR_E_NOT_MOUNTED, ENOENT, "no augurfs mount");
	return fault_report(p->a, RC_FAILED);
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

static int evict_args(struct pin *p, int argc, char **argv)
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
		err = paths_add(&p->paths, argv[optind]);
	if (err)
		return fault_report(p->a, RC_FAILED);
	if ((all || bytes) && !p->paths.n)
		return evict_mounts(p, bytes);
	if (all)
		return usage_error(p->a, "--all takes no paths");
	if (bytes && p->paths.n > 1)
		return usage_error(p->a, "--bytes takes one path, or none");
	return p->paths.n ? run_evict(p, &p->paths, bytes, NULL) : usage_error(p->a, "which paths? or --all, or --bytes N");
}

int cmd_evict(struct augur *a, int argc, char **argv)
{
	struct pin p;

	pin_begin(&p, a);
	return pin_end(&p, evict_args(&p, argc, argv));
}
