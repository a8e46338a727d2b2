// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * conf.c - one table of options for command line, configuration file and help text.
 */
#include <ini.h>
#include <strings.h>

#include "base/conf.h"
#include "base/log.h"
#include "base/mem.h"

#define NEAR_MAX	3	/* edits that still count as a slip of the pen */
#define NAME_LEN	64

/* '-' and '_' are the same in a name. */
static bool same_name(const char *a, const char *b, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (a[i] != b[i] && !(strchr("-_", a[i]) && a[i] && strchr("-_", b[i]) && b[i]))
			return false;
	return !a[n];
}

static const struct conf_opt *find(const struct conf_opt *t, const char *name, size_t n)
{
	for (; t->name; t++)
		if (strlen(t->name) == n && same_name(t->name, name, n))
			return t;
	return NULL;
}

/* Number of single edits that make @b of @a; both are short. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[NAME_LEN + 1], i, j, diag, up;
	unsigned int n = min(strlen(b), (size_t)NAME_LEN);

	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 1; a[i - 1]; i++) {
		diag = row[0];
		row[0] = i;
		for (j = 1; j <= n; j++) {
			up = row[j];
			row[j] = min(min(up, row[j - 1]) + 1, diag + (a[i - 1] != b[j - 1]));
			diag = up;
		}
	}
	return row[n];
}

static int unknown(const struct conf_opt *t, const char *name, char *err, size_t cap)
{
	const struct conf_opt *best = NULL;
	unsigned int d, least = NEAR_MAX + 1;

	for (; t->name; t++) {
		d = distance(t->name, name);
		if (d < least) {
			least = d;
			best = t;
		}
	}
	if (best)
		snprintf(err, cap, "unknown option '%s'; did you mean '%s'?", log_esc(name, strlen(name)), best->name);
	else
		snprintf(err, cap, "unknown option '%s'", log_esc(name, strlen(name)));
	return -EINVAL;
}

/* ---- values ---- */

struct unit { const char *name; u64 by; };
static const struct unit sizes[] = {
	{ "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 }, { "T", 1ULL << 40 }, { NULL, 0 }
};
static const struct unit times[] = {
	{ "", 1 }, { "ms", 1 }, { "s", 1000 }, { "m", 60 * 1000 }, { "h", 3600 * 1000 }, { NULL, 0 }
};
static const struct unit plain[] = { { "", 1 }, { NULL, 0 } };

static int parse_number(const char *s, const struct unit *u, u64 *out)
{
	char *end;
	u64 v;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno)
		return -ERANGE;
	for (; u->name; u++)
		if (!strcasecmp(u->name, end))
			return __builtin_mul_overflow(v, u->by, out) ? -ERANGE : 0;
	return -EINVAL;
}

static int parse_bool(const char *s, bool *out)
{
	static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no", "false", "off", "0" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(yes); i++) {
		if (!strcasecmp(s, yes[i]) || !strcasecmp(s, no[i])) {
			*out = !strcasecmp(s, yes[i]);
			return 0;
		}
	}
	return -EINVAL;
}

/* Strings live as long as the process; the chain is what says that somebody has them. */
static const char *own(const char *s)
{
	static struct owned { struct owned *next; char text[]; } *all;
	struct owned *o = xmalloc(sizeof(*o) + strlen(s) + 1);

	strcpy(o->text, s);
	o->next = all;
	all = o;
	return o->text;
}

static int set_number(const struct conf_opt *o, const char *s, const struct unit *u)
{
	u64 v;
	int err = parse_number(s, u, &v);

	if (err)
		return err;
	if (v < o->min || (o->max && v > o->max))
		return -ERANGE;
	*(u64 *)o->dst = v;
	return 0;
}

static int set(const struct conf_opt *o, const char *value)
{
	switch (o->type) {
	case CONF_STR:
		*(const char **)o->dst = own(value);
		return 0;
	case CONF_BOOL:
		return parse_bool(value, o->dst);
	case CONF_U64:
		return set_number(o, value, plain);
	case CONF_SIZE:
		return set_number(o, value, sizes);
	case CONF_MS:
		return set_number(o, value, times);
	case CONF_CALL:
		return ((conf_call_fn *)o->dst)(value);
	}
	return -EINVAL;
}

static const char *wants(const struct conf_opt *o, char *buf, size_t cap)
{
	static const char *const kind[] = {
		[CONF_STR] = "a text", [CONF_BOOL] = "yes or no", [CONF_U64] = "a number",
		[CONF_SIZE] = "bytes (K, M, G, T)", [CONF_MS] = "a time (ms, s, m, h)", [CONF_CALL] = "another value",
	};

	if (o->max)
		snprintf(buf, cap, "%s, %llu to %llu", kind[o->type], (unsigned long long)o->min,
			 (unsigned long long)o->max);
	else
		snprintf(buf, cap, "%s", kind[o->type]);
	return buf;
}

static int set_or_say(const struct conf_opt *o, const char *value, char *err, size_t cap)
{
	char want[96];
	int res = set(o, value);

	if (res)
		snprintf(err, cap, "option '%s' does not take '%s'; it wants %s", o->name,
			 log_esc(value, strlen(value)), wants(o, want, sizeof(want)));
	return res;
}

/* ---- command line ---- */

/* One switch at argv[*i]; moves *i past its value. */
static int take_arg(const struct conf_opt *table, int argc, char **argv, int *i, char *err, size_t cap)
{
	const char *name = argv[*i] + 2, *eq = strchr(name, '=');
	size_t n = eq ? (size_t)(eq - name) : strlen(name);
	const struct conf_opt *o = find(table, name, n);
	bool off = false;

	if (!o && !eq && !strncmp(name, "no-", 3)) {
		o = find(table, name + 3, n - 3);
		off = o && o->type == CONF_BOOL;
		o = off ? o : NULL;
	}
	if (!o) {
		CLEANUP_FREE char *bare = xmemdup(name, n + 1);

		bare[n] = 0;
		return unknown(table, bare, err, cap);
	}
	if (eq)
		return set_or_say(o, eq + 1, err, cap);
	if (o->type == CONF_BOOL) {
		*(bool *)o->dst = !off;
		return 0;
	}
	if (*i + 1 >= argc) {
		snprintf(err, cap, "option '%s' wants a value: --%s %s", o->name, o->name, o->arg ? o->arg : "VALUE");
		return -EINVAL;
	}
	return set_or_say(o, argv[++*i], err, cap);
}

int conf_args(const struct conf_opt *table, int argc, char **argv, int *rest, char *err, size_t cap)
{
	int i, res;

	for (i = 1; i < argc; i++) {
		if (argv[i][0] != '-' || !argv[i][1])
			break;
		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		if (argv[i][1] != '-') {
			snprintf(err, cap, "options are written --name, not '%s'", log_esc(argv[i], strlen(argv[i])));
			return -EINVAL;
		}
		res = take_arg(table, argc, argv, &i, err, cap);
		if (res)
			return res;
	}
	*rest = i;
	return 0;
}

/* ---- file ---- */

struct reading {
	const struct conf_opt *table;
	const char	*section;
	char		text[256];
	int		res;
};

static int take_pair(void *user, const char *section, const char *name, const char *value)
{
	struct reading *r = user;
	const struct conf_opt *o;

	if (strcmp(section, r->section) || r->res)
		return 1;
	o = find(r->table, name, strlen(name));
	r->res = o ? set_or_say(o, value, r->text, sizeof(r->text)) :
		     unknown(r->table, name, r->text, sizeof(r->text));
	return !r->res;		/* 0 makes the parser name this line */
}

int conf_file(const struct conf_opt *table, const char *path, const char *section, char *err, size_t cap)
{
	struct reading r = { .table = table, .section = section };
	int line = ini_parse(path, take_pair, &r);

	if (line < 0) {
		snprintf(err, cap, "%s: cannot be read: %m", path);
		return line == -1 && errno ? -errno : -EIO;
	}
	if (!line)
		return 0;
	snprintf(err, cap, "%s:%d: %s", path, line, r.res ? r.text : "not a line of the form 'name = value'");
	return r.res ? r.res : -EINVAL;
}

void conf_help(const struct conf_opt *t, FILE *f)
{
	char left[NAME_LEN];

	for (; t->name; t++) {
		snprintf(left, sizeof(left), "--%s%s%s", t->name, t->arg ? " " : "", t->arg ? t->arg : "");
		fprintf(f, "  %-28s %s\n", left, t->help);
	}
}
