// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * augur - one command for people who run augurfs.
 *
 * This file is the table of verbs, their help, and the options that all of them take.  Bare
 * "augur" is "augur status".  An unknown verb names the nearest known one.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include "base/log.h"
#include "augur.h"

#define TIMEOUT_S_DEF 30

const struct verb verbs[] = {
	{ "status", "[-x]", "health of every mount in one screen",
	  "  -x, --unhealthy   only what is not fine\n",
	  { "augur status", "augur status -x", "augur status --json | jq .mounts[].health" }, cmd_status },
	{ "where", "PATH...", "which proxy owns an object, and how much of it is here", "",
	  { "augur where /mnt/src/main.c", "augur where /mnt /mnt/bin", "augur where --json /mnt/data.bin" }, cmd_where },
	{ "warm", "[-f LIST] [--depth N] [--check] PATH...", "fetch trees into the local cache before they are wanted",
	  "  -f, --file LIST   read paths from LIST, one a line; - is standard input\n"
	  "      --depth N     levels below each directory (default: all)\n"
	  "      --check       fetch nothing: say which of the named objects are here\n",
	  { "augur warm /mnt/src", "git ls-files | augur warm -f -", "augur warm --check /mnt/data.bin" }, cmd_warm },
	{ "pin", "[--list] [--remove] PATH...", "keep objects in the local cache, whatever else has to go",
	  "      --list        what is pinned\n"
	  "      --remove      as augur unpin\n",
	  { "augur pin /mnt/src", "augur pin --list", "augur pin --remove /mnt/src" }, cmd_pin },
	{ "unpin", "PATH...", "let pinned objects be evicted again", "",
	  { "augur unpin /mnt/src", "augur pin --list", "augur unpin /mnt/src /mnt/bin" }, cmd_unpin },
	{ "evict", "[--all] [--bytes N] PATH...", "drop bytes from the local cache now; the names stay",
	  "      --all         everything that nobody uses, of every mount\n"
	  "      --bytes N     the longest unused, until N bytes are free; K, M, G, T\n",
	  { "augur evict /mnt/data.bin", "augur evict --bytes 2G", "augur evict --all" }, cmd_evict },
	{ "log", "[-f] [-n N] [FILTER...] [MOUNT]", "the recorded accesses, newest last",
	  "  -n, --lines N     so many rows, at most 10000 (default: 20)\n"
	  "  -f, --follow      go on with new ones until interrupted\n"
	  "      --path PATH   of this object and what is below it\n"
	  "      --program NAME   --session KEY   --kind KIND[,KIND...]\n"
	  "                    of this program or job; open, read, miss, fault, close, lookup, readdir\n"
	  "      --since TIME  --until TIME\n"
	  "                    10m (ago; s, m, h, d), HH:MM, 'YYYY-MM-DD HH:MM', @SECONDS\n"
	  "      --scanners    only jobs that walk trees; --no-scanners: none of them\n"
	  "      --file DB     from this file instead of asking augurd\n",
	  { "augur log", "augur log -f --kind miss /mnt", "augur log --since 1h --no-scanners --path /mnt/src --json" }, cmd_log },
	{ "top", "[--once] [-i SECONDS] [MOUNT]", "what a mount does now, a line an interval, and what is opened most",
	  "  -1, --once        one line, after one interval\n"
	  "  -i, --interval S  seconds between lines (default: 1)\n",
	  { "augur top", "augur top -i 5 /mnt", "augur top --once --json | jq .row.hit_percent" }, cmd_top },
	{ "events", "[-f]", "what state everything is in, and what changes",
	  "  -f, --follow      go on with changes until interrupted\n",
	  { "augur events", "augur events -f", "augur events --follow --json | jq -c 'select(.row.kind == \"proxy\")'" }, cmd_events },
	{ "abort", "MOUNT|ID", "end every wait of a mount, for good; then unmount it", "",
	  { "augur abort /mnt", "augur abort 3", "augur abort /mnt && umount /mnt" }, cmd_abort },
	{ "doctor", "[--cache DIR] [--source SOURCE]", "check what a mount stands on, and how to mend it",
	  "      --cache DIR       look at a cache directory that is not mounted yet\n"
	  "      --source SOURCE   dial the proxies of PROXY[,PROXY...]:/VOLUME\n",
	  { "augur doctor", "augur doctor --source proxy1,proxy2:/home --cache /var/cache/augurfs/home",
	    "augur doctor --json | jq '.checks[] | select(.state != \"ok\")'" }, cmd_doctor },
	{ "demo", "[--keep] [DIR]", "two proxies and an agent on this machine, to try it",
	  "      --keep        leave everything running and say how to end it\n",
	  { "augur demo", "augur demo /usr/share/doc", "augur demo --keep /usr/include" }, cmd_demo },
};
const size_t verbs_count = ARRAY_SIZE(verbs);

static void help_all(FILE *out)
{
	size_t i;

	fputs("usage: augur [--json] [--ctl SOCKET] [--timeout S] VERB [ARGUMENTS]\n\n", out);
	for (i = 0; i < verbs_count; i++)
		fprintf(out, "  %-8s %s\n", verbs[i].name, verbs[i].summary);
	fputs("\n  --json          JSON lines; the last one has \"schema\" and \"ok\"\n"
	      "  --ctl SOCKET    control socket of augurd (default: AUGUR_CTL, or " CTL_SOCK_DEFAULT ")\n"
	      "  --timeout S     give up when augurd is silent so long (default: 30; 0: never)\n"
	      "\n'augur VERB --help' shows its options and examples; manual: augur(8).\n"
	      "Exit codes: 0 fine, 1 failed, 2 degraded or wrong usage, 77 not applicable here.\n", out);
}

static void help_verb(const struct verb *v, FILE *out)
{
	size_t i;

	fprintf(out, "usage: augur %s %s\n%s\n\n%s%sexamples:\n", v->name, v->args, v->summary, v->options,
		v->options[0] ? "\n" : "");
	for (i = 0; i < ARRAY_SIZE(v->examples); i++)
		fprintf(out, "  %s\n", v->examples[i]);
	fprintf(out, "manual: augur-%s(8)\n", v->name);
}

int usage_error(struct augur *a, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fault_set(&a->fault, AUGUR_E_USAGE, EINVAL, "%s", text);
	strcpy(a->fault.hint, "augur --help");
	return fault_report(a, RC_USAGE);
}

/* Edit distance, for the nearest verb; words are short. */
static unsigned int distance(const char *s, const char *t)
{
	unsigned int row[64], n = (unsigned int)strlen(t), i, j;

	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 0; s[i]; i++) {
		unsigned int diag = row[0];

		row[0] = i + 1;
		for (j = 0; j < n; j++) {
			unsigned int up = row[j + 1];

			row[j + 1] = min(min(up, row[j]) + 1, diag + (s[i] != t[j]));
			diag = up;
		}
	}
	return row[n];
}

static const char *nearest(const char *word)
{
	const char *best = NULL;
	unsigned int least = 3;
	size_t i;

	for (i = 0; i < verbs_count; i++) {
		unsigned int d = distance(word, verbs[i].name);

		if (d < least) {
			least = d;
			best = verbs[i].name;
		}
	}
	return best;
}

static const struct verb *verb_find(const char *name)
{
	size_t i;

	for (i = 0; i < verbs_count; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

struct globals { bool help, version, list; };

/* Value of "--name VALUE" or "--name=VALUE" at *i, or NULL if argv[*i] is another option. */
static const char *global_value(char **argv, int *i, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len))
		return NULL;
	if (argv[*i][len] == '=')
		return argv[*i] + len + 1;
	if (argv[*i][len])
		return NULL;
	return argv[*i + 1] ? argv[++*i] : "";
}

static int take_timeout(struct augur *a, const char *val)
{
	char *end;
	long s = strtol(val, &end, 10);

	if (!*val || *end || s < 0 || s > 86400)
		return usage_error(a, "--timeout is a number of seconds up to 86400");
	a->timeout_s = (int)s;
	return 0;
}

/* Takes the global options out of argv, wherever they stand before "--". 0 or an exit code. */
static int take_globals(struct augur *a, struct globals *g, int *argc, char **argv)
{
	int i, out = 1, ret = 0;

	for (i = 1; i < *argc && strcmp(argv[i], "--"); i++) {
		const char *val;

		if (!strcmp(argv[i], "--json"))
			a->json = true;
		else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			g->help = true;
		else if (!strcmp(argv[i], "--version"))
			g->version = true;
		else if (!strcmp(argv[i], "--list-verbs"))
			g->list = true;
		else if ((val = global_value(argv, &i, "--ctl")))
			a->ctl = val;
		else if ((val = global_value(argv, &i, "--timeout")))
			ret = ret ?: take_timeout(a, val);
		else
			argv[out++] = argv[i];
	}
	while (i < *argc)
		argv[out++] = argv[i++];
	argv[*argc = out] = NULL;
	return ret ? ret : *a->ctl ? 0 : usage_error(a, "--ctl needs a path");
}

static int unknown_verb(struct augur *a, const char *word)
{
	const char *near = strlen(word) < 32 ? nearest(word) : NULL;

	if (near)
		return usage_error(a, "there is no verb '%s'; did you mean '%s'?", printable(word), near);
	return usage_error(a, "there is no verb '%.64s'", printable(word));
}

static int run_verb(struct augur *a, struct globals *g, int argc, char **argv)
{
	const struct verb *v;
	bool bare = argc < 2 || argv[1][0] == '-';

	if (!bare && !strcmp(argv[1], "help")) {
		g->help = true;
		argv++;
		argc--;
		bare = argc < 2;
	}
	if (bare && g->help) {
		help_all(stdout);
		return RC_OK;
	}
	v = verb_find(bare ? "status" : argv[1]);
	if (!v)
		return unknown_verb(a, argv[1]);
	if (g->help) {
		help_verb(v, stdout);
		return RC_OK;
	}
	a->verb = v;
	opterr = 0;
	return bare ? v->run(a, argc, argv) : v->run(a, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	const char *env = getenv("AUGUR_CTL");
	struct augur a = { .ctl = env && *env ? env : CTL_SOCK_DEFAULT, .timeout_s = TIMEOUT_S_DEF };
	struct globals g = { 0 };
	size_t i;
	int ret = take_globals(&a, &g, &argc, argv);

	if (ret)
		return ret;
	log_open("augur", LOG_L_WARN);
	if (g.version) {
		puts("augur " AUGUR_BUILD_VERSION);
		return RC_OK;
	}
	for (i = 0; g.list && i < verbs_count; i++)
		puts(verbs[i].name);
	if (g.list)
		return RC_OK;
	ret = run_verb(&a, &g, argc, argv);
	if (fflush(stdout) || ferror(stdout))
		ret = ret ? ret : RC_FAILED;
	return ret;
}
