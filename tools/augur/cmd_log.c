// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_log.c - the history of accesses as augurd has recorded it.
 *
 * Rows are printed as they come, so --follow can be piped.  Times are local time, to the
 * millisecond; sessions are the keys that tell jobs apart.  Without augurd the rows are read
 * from the file of the mount's cache directory, or from the one that is named.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include "augur.h"
#include "history/query.h"

#define LIMIT_DEF 20
#define LIMIT_MAX 10000		/* what augurd gives at once */

struct log {
	struct augur	*a;
	long long	rows;
	bool		follow;
	const char	*file, *mount;		/* --file; MOUNT */
	char		db[PATH_MAX];		/* of the mount's cache directory, or "" */
	char		path[PATH_MAX];		/* --path, from the volume's root */
	json_t		*kinds;
	struct history_query q;
};

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
	else if (!strcmp(json_str(row, "op", ""), "readdir") && len)
		snprintf(buf, sizeof(buf), "%lld names", len);
	else if (len)
		snprintf(buf, sizeof(buf), "%lld+%lld", off, len);
	else
		return "-";
	return buf;
}

/* Records that were lost are said first: what follows is not all. */
static void print_drops(json_t *h)
{
	json_t *d = json_object_get(h, "drops");

	if (json_int(h, "dropped", 0) > 0)
		printf("dropped: %lld of %lld records: %lld by the module's ring, %lld on the way, %lld by the queue, %lld by the file\n",
		       json_int(h, "dropped", 0), json_int(h, "accepted", 0) + json_int(h, "dropped", 0),
		       json_int(d, "ring", 0), json_int(d, "lost", 0), json_int(d, "queue", 0), json_int(d, "write", 0));
}

static int on_line(void *ctx, const char *kind, json_t *row)
{
	struct log *l = ctx;
	char cost[24] = "-";

	if (strcmp(kind, "row")) {
		if (!l->a->json)
			print_drops(json_object_get(row, "history"));
		return 0;
	}
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
	if (json_bool(row, "scanner", false))
		printf("  scanner");
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
		puts("no accesses are recorded that fit; the mount option log= says which are recorded");
	json_decref(ans);
	return RC_OK;
}

/* ---- from a file ---- */

/* What is not UTF-8 is shown as '?', as printable() would. */
static json_t *bytes_json(const char *s, size_t len)
{
	CLEANUP_FREE char *copy = xmalloc(len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return json_string(printable(copy));
}

static void file_rows(void *arg, const struct history_result *res)
{
	struct log *l = arg;

	for (size_t i = 0; i < res->n; i++) {
		const struct history_row *h = &res->rows[i];
		char session[17];
		json_t *row;

		snprintf(session, sizeof(session), "%016llx", (unsigned long long)h->session);
		row = json_pack("{s:I, s:I, s:s, s:s, s:i, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:b}",
			"id", (json_int_t)h->id, "time", (json_int_t)h->time_ns, "session", session,
			"op", history_op_name(h->op), "flags", h->flags, "path", bytes_json(h->path, h->path_len),
			"off", (json_int_t)h->off, "len", (json_int_t)h->len, "latency_us", (json_int_t)h->latency_us,
			"pid", (json_int_t)h->pid, "uid", (json_int_t)h->uid, "comm", bytes_json(h->comm, strlen(h->comm)),
			"open", (json_int_t)h->open_id, "scanner", h->scanner);
		if (on_line(l, "row", row)) {
			json_decref(row);
			return;
		}
		json_decref(row);
	}
}

static int from_file(struct log *l, const char *file)
{
	struct augur *a = l->a;
	json_t *ans;
	int err = history_file_read(file, &l->q, file_rows, l);

	if (err) {
		fault_set(&a->fault, err == -EACCES || err == -EPERM ? AUGUR_E_PERMISSION : AUGUR_E_NO_HISTORY, -err, "%s: %s",
			  printable(file), err == -EUCLEAN ? "damaged, or no access log" :
			  err == -EPROTONOSUPPORT ? "written by another version" : strerror(-err));
		if (err == -ENOENT || err == -EUCLEAN)
			snprintf(a->fault.hint, sizeof(a->fault.hint), "name the log of a cache directory: --file CACHE/.augur/log.db");
		return fault_report(a, RC_FAILED);
	}
	ans = json_begin(a, true);
	json_object_set_new(ans, "file", json_string(printable(file)));
	return finish(l, ans);
}

/* ---- the question ---- */

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

/* A path that lies in the mount becomes one from the volume's root; any other is one already. */
static void resolve_path(struct log *l, const struct mount *m, size_t n, const struct mount *hit)
{
	char abs[PATH_MAX];
	size_t len = hit ? strlen(hit->point) : 0;

	if (!l->q.path)
		return;
	if (len && !path_absolute(l->q.path, m, n, abs, sizeof(abs)) && mount_find(m, n, abs) == hit)
		snprintf(l->path, sizeof(l->path), "%s", abs[len] ? abs + len : "/");
	else
		snprintf(l->path, sizeof(l->path), "%s%s", l->q.path[0] == '/' ? "" : "/", l->q.path);
	l->q.path = l->path;
	l->q.path_len = strlen(l->path);
}

static int add_mount(struct log *l, json_t *req)
{
	struct mount *m = xcalloc(MOUNTS_MAX, sizeof(*m));
	size_t n = mounts_read(m);
	const struct mount *hit = pick(l->a, m, n, l->mount);

	if (hit && hit->id)
		json_object_set_new(req, "mount", json_integer((json_int_t)hit->id));
	if (hit && hit->cache[0])
		snprintf(l->db, sizeof(l->db), "%.*s/.augur/log.db", (int)sizeof(l->db) - 32, hit->cache);
	resolve_path(l, m, n, hit);
	free(m);
	return l->a->fault.code ? -ENOENT : 0;
}

static json_t *request(const struct log *l)
{
	static const char *const words[] = { NULL, "only", "not" };
	json_t *req = json_pack("{s:I,s:b}", "limit", (json_int_t)l->q.limit, "follow", l->follow);
	char session[17];

	if (l->q.by_session) {
		snprintf(session, sizeof(session), "%016llx", (unsigned long long)l->q.session);
		json_object_set_new(req, "session", json_string(session));
	}
	if (l->q.comm[0])
		json_object_set_new(req, "program", json_string(l->q.comm));
	if (l->kinds)
		json_object_set(req, "kinds", l->kinds);
	if (l->q.since_ns)
		json_object_set_new(req, "since", json_integer((json_int_t)l->q.since_ns));
	if (l->q.until_ns)
		json_object_set_new(req, "until", json_integer((json_int_t)l->q.until_ns));
	if (l->q.scanners)
		json_object_set_new(req, "scanners", json_string(words[l->q.scanners]));
	return req;
}

/* ---- the command line ---- */

/* "10m" ago, "@1700000000", "HH:MM[:SS]" of today, or "YYYY-MM-DD[ HH:MM[:SS]]": ns, 0 if it is none of them. */
static unsigned long long parse_time(const char *s)
{
	static const char *const forms[] = { "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%H:%M:%S", "%H:%M" };
	time_t now = time(NULL), t;
	unsigned long long n;
	struct tm tm;
	char *end;

	n = strtoull(s + (*s == '@'), &end, 10);
	if (*s == '@')
		return *end || end == s + 1 || n > 9000000000ull ? 0 : n * 1000000000;
	if (end != s && end[0] && !end[1] && strchr("smhd", *end)) {
		n *= *end == 's' ? 1 : *end == 'm' ? 60 : *end == 'h' ? 3600 : 86400;
		return n < (unsigned long long)now ? (now - n) * 1000000000ull : 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		localtime_r(&now, &tm);
		tm.tm_sec = 0;
		if (forms[i][1] == 'Y')
			tm.tm_hour = tm.tm_min = 0;
		end = strptime(s, forms[i], &tm);
		tm.tm_isdst = -1;
		if (end && !*end) {
			t = mktime(&tm);
			return t > 0 ? t * 1000000000ull : 0;
		}
	}
	return 0;
}

static const char *take_kinds(struct log *l, char *list)
{
	char *save, *word;

	l->kinds = l->kinds ? l->kinds : json_array();
	for (word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		int op = history_op_number(word);

		if (op < 0)
			return "--kind takes open, read, miss, fault, close, lookup or readdir, separated by commas";
		l->q.ops |= 1u << op;
		json_array_append_new(l->kinds, json_string(word));
	}
	return NULL;
}

/* NULL, or what is wrong with the option. */
static const char *take_option(struct log *l, int c, char *arg)
{
	char *end;

	switch (c) {
	case 'f':
		l->follow = true;
		return NULL;
	case 'n':
		l->q.limit = (u32)strtoul(arg, &end, 10);
		return *end || !*arg || strlen(arg) > 5 || l->q.limit < 1 || l->q.limit > LIMIT_MAX ?
			"-n takes a number from 1 to 10000" : NULL;
	case 'F':
		l->file = arg;
		return NULL;
	case 'p':
		l->q.path = arg;
		return strlen(arg) >= PATH_MAX ? "--path is too long" : NULL;
	case 's':
		l->q.session = strtoull(arg, &end, 16);
		l->q.by_session = true;
		return *end || !*arg || strlen(arg) > 16 ? "--session takes a key as the rows show it: 16 hexadecimal digits" : NULL;
	case 'P':
		snprintf(l->q.comm, sizeof(l->q.comm), "%s", arg);
		return *arg ? NULL : "--program takes a name";
	case 'k':
		return take_kinds(l, arg);
	case 'a':
	case 'u':
		*(c == 'a' ? &l->q.since_ns : &l->q.until_ns) = parse_time(arg);
		return parse_time(arg) ? NULL : "a time is '10m' (ago; s, m, h, d), 'HH:MM', 'YYYY-MM-DD HH:MM' or '@SECONDS'";
	case 'y':
		l->q.scanners = HISTORY_SCANNERS_ONLY;
		return NULL;
	case 'N':
		l->q.scanners = HISTORY_SCANNERS_NOT;
		return NULL;
	}
	return "unknown option";
}

static int run(struct log *l)
{
	struct augur *a = l->a;
	json_t *req = request(l), *ans;

	if (l->file) {
		json_decref(req);
		resolve_path(l, NULL, 0, NULL);
		return from_file(l, l->file);
	}
	if (add_mount(l, req)) {
		json_decref(req);
		return fault_report(a, fault_rc(&a->fault));
	}
	if (l->q.path)
		json_object_set_new(req, "path", json_string(l->q.path));
	if (l->follow)
		a->timeout_s = 0;	/* silence is what one waits through */
	ans = client_call(a, req, on_line, l);
	if (ans || l->follow || !l->db[0] || !fault_is_down(&a->fault))
		return finish(l, ans);
	if (!a->json)
		fprintf(stderr, "augur log: augurd does not answer; from %s, which it may not have finished\n", printable(l->db));
	memset(&a->fault, 0, sizeof(a->fault));
	return from_file(l, l->db);
}

int cmd_log(struct augur *a, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "follow", no_argument, NULL, 'f' }, { "lines", required_argument, NULL, 'n' },
		{ "limit", required_argument, NULL, 'n' }, { "file", required_argument, NULL, 'F' },
		{ "path", required_argument, NULL, 'p' }, { "session", required_argument, NULL, 's' },
		{ "program", required_argument, NULL, 'P' }, { "kind", required_argument, NULL, 'k' },
		{ "since", required_argument, NULL, 'a' }, { "until", required_argument, NULL, 'u' },
		{ "scanners", no_argument, NULL, 'y' }, { "no-scanners", no_argument, NULL, 'N' }, { 0 }
	};
	struct log l = { .a = a, .q = { .after = -1, .limit = LIMIT_DEF } };
	const char *bad = NULL;
	int c, ret;

	while (!bad && (c = getopt_long(argc, argv, "fn:", opts, NULL)) != -1)
		bad = take_option(&l, c, optarg);
	if (!bad && argc - optind > 1)
		bad = "one mount at most";
	if (!bad && l.file && (l.follow || optind < argc))
		bad = "--file goes with neither --follow nor a mount";
	l.mount = optind < argc ? argv[optind] : NULL;
	ret = bad ? usage_error(a, "%s", bad) : run(&l);
	json_decref(l.kinds);
	return ret;
}
