// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * augurd: options, process set-up, and the choice of the role.  No logic beyond that.
 *
 * One table of options makes the command line, the configuration file and the help.  Signals
 * SIGTERM and SIGINT are blocked here, before any thread exists; the role reads them from a
 * signalfd.
 */
#include <fcntl.h>
#include <getopt.h>
#include <ini.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/mem.h"
#include "ctl/ctl_proto.h"
#include "role.h"
#include "wire/msg.h"

#ifndef AUGUR_BUILD_VERSION
#define AUGUR_BUILD_VERSION "unknown"
#endif

#define CONFIG_DEFAULT	"/etc/augur/augurd.conf"
#define OOM_SCORE	"-900"		/* a killed daemon stalls every reader of its mounts */

struct main_cfg {
	struct role_cfg	role;
	const char	*name;		/* agent, proxy */
	const char	*config;
	const char	*log_level;
	bool		help, version;
	bool		export_given;	/* on the command line: replaces the file's */
};

enum kind { K_STR, K_FLAG, K_U32, K_U64, K_INT, K_EXPORT, K_HEX16, K_STORE, K_IO, K_WATCH };

struct option_row {
	const char	*name;
	enum kind	kind;
	size_t		offset;
	const char	*arg;		/* shown in the help */
	const char	*help;		/* one line; first letter: roles (a, p, b for both) */
};

#define AT(member) offsetof(struct main_cfg, member)

static const struct option_row rows[] = {
	{ "role", K_STR, AT(name), "agent|proxy", "bwhat this daemon is" },
	{ "config", K_STR, AT(config), "FILE", "boptions as lines 'name = value'; default " CONFIG_DEFAULT ", if it exists" },
	{ "id", K_STR, AT(role.id), "NAME", "bname of this daemon in the map and in logs" },
	{ "insecure", K_FLAG, AT(role.insecure), NULL, "bplain TCP without TLS: anybody on the network can read and pretend" },
	{ "netns", K_STR, AT(role.netns), "NAME", "bnetwork namespace (/run/netns/NAME) for the sockets" },
	{ "ctl", K_STR, AT(role.ctl), "PATH", "bcontrol socket; default " CTL_SOCK_DEFAULT },
	{ "io", K_IO, AT(role.io), "uring|epoll", "bhow the kernel is asked; default: io_uring, and epoll where it is forbidden" },
	{ "lease-ms", K_U32, AT(role.lease_ms), "N", "bproxy: length of leases given; agent: longest asked for" },
	{ "log-level", K_STR, AT(log_level), "LEVEL", "berr, warn, notice, info or debug; default info" },
	{ "ready-fd", K_INT, AT(role.ready_fd), "N", "bdescriptor that gets one line once this daemon serves" },
	{ "listen", K_STR, AT(role.listen), "ADDR[:PORT]", "paddress to serve on" },
	{ "advertise", K_STR, AT(role.advertise), "ADDR[:PORT]", "paddress that others dial; default: that of --proxies, or --listen" },
	{ "export", K_EXPORT, 0, "VOLUME=DIR", "pdirectory to serve under a name; repeatable" },
	{ "watch", K_WATCH, AT(role.watch), "auto|rescan", "phow changes at the origin are seen; default: events where they tell all" },
	{ "rescan-s", K_U32, AT(role.rescan_s), "N", "pwithout events each object is looked at this often; default 30" },
	{ "store", K_STORE, 0, "sqlite:FILE|remote:ADDR", "pthe metadata store: in this proxy, or which proxy has it" },
	{ "join", K_STR, AT(role.join), "ADDR", "psame as --store remote:ADDR" },
	{ "proxies", K_STR, AT(role.proxies), "ID=ADDR[,...]", "pstore: all proxies of the volume; default: who joins" },
	{ "seed", K_U64, AT(role.seed), "N", "pstore: seed by which shards are dealt" },
	{ "shards", K_U32, AT(role.nshards), "N", "pstore: number of shards; default 64" },
	{ "cache", K_STR, AT(role.cache), "DIR", "acache directory to attach at the start, with --source" },
	{ "source", K_STR, AT(role.source), "PROXY[,PROXY]:/VOLUME", "awhat --cache is a cache of" },
	{ "client-id", K_HEX16, AT(role.client_id), "HEX", "a32 hex digits; default: from the machine's id" },
	{ "history-rows", K_U32, AT(role.history_rows), "N", "arows kept of each mount's access log; default 5000000" },
	{ "history-days", K_U32, AT(role.history_days), "N", "adays they are kept; default 30" },
	{ "no-history", K_FLAG, AT(role.no_history), NULL, "akeep no access log" },
	{ "help", K_FLAG, AT(help), NULL, "bthis text" },
	{ "version", K_FLAG, AT(version), NULL, "bversion of program and protocol" },
};

static const char examples[] =
	"\nexamples:\n"
	"  a proxy that is also the store, alone:\n"
	"    augurd --role proxy --id p1 --insecure --listen 10.9.0.1 --export home=/srv/home \\\n"
	"           --store sqlite:/var/lib/augur/p1.db --ctl /run/augur/p1.sock\n"
	"  two proxies, the first being the store; the second:\n"
	"    augurd --role proxy --id p2 --insecure --listen 10.9.0.2 --export home=/srv/home \\\n"
	"           --store remote:10.9.0.1 --ctl /run/augur/p2.sock\n"
	"    (the first then also has --proxies p1=10.9.0.1,p2=10.9.0.2)\n"
	"  the agent of a host:\n"
	"    augurd --role agent --insecure\n"
	"    mount -t augurfs 10.9.0.1,10.9.0.2:/home /mnt/home -o cache=/var/cache/augur/home\n";

static void help(void)
{
	static const struct { char role; const char *title; } part[] = {
		{ 'b', "options" }, { 'p', "of a proxy" }, { 'a', "of an agent" },
	};

	printf("augurd: serves a tree (proxy), or keeps the cache of a host's mounts (agent).\n"
	       "usage: augurd --role agent|proxy [options]\n");
	for (size_t p = 0; p < ARRAY_SIZE(part); p++) {
		printf("\n%s:\n", part[p].title);
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			char left[64];

			if (rows[i].help[0] != part[p].role)
				continue;
			snprintf(left, sizeof(left), "--%s%s%s", rows[i].name, rows[i].arg ? " " : "",
				 rows[i].arg ? rows[i].arg : "");
			printf("  %-34s %s\n", left, rows[i].help + 1);
		}
	}
	fputs(examples, stdout);
}

/* ---- values ---- */

static int bad(const char *where, const char *name, const char *value, const char *want)
{
	log_err("%s: %s: '%s' is not %s; see augurd --help", where, name, value, want);
	return -EINVAL;
}

static int parse_u64(const char *s, u64 limit, u64 *out)
{
	char *end;

	errno = 0;
	*out = strtoull(s, &end, 0);
	return errno || end == s || *end || *s == '-' || *out > limit ? -EINVAL : 0;
}

static int set_export(struct role_cfg *r, const char *value)
{
	const char *eq = strchr(value, '=');
	char *name;

	if (!eq || eq == value || !eq[1] || r->nexports == ROLE_EXPORTS_MAX)
		return -EINVAL;
	name = xmemdup(value, eq - value + 1);
	name[eq - value] = 0;
	r->exports[r->nexports++] = (struct role_export){ .volume = name, .dir = xstrdup(eq + 1) };
	return 0;
}

static int set_store(struct role_cfg *r, const char *value)
{
	r->store = r->join = NULL;
	if (!strncmp(value, "sqlite:", 7) && value[7])
		r->store = xstrdup(value + 7);
	else if (!strncmp(value, "remote:", 7) && value[7])
		r->join = xstrdup(value + 7);
	else
		return -EINVAL;
	return 0;
}

static int set_hex16(struct main_cfg *c, const char *value)
{
	if (strlen(value) != 32 || strspn(value, "0123456789abcdefABCDEF") != 32)
		return -EINVAL;
	for (int i = 0; i < 16; i++) {
		char two[3] = { value[2 * i], value[2 * i + 1], 0 };

		c->role.client_id[i] = strtoul(two, NULL, 16);
	}
	c->role.client_id_set = true;
	return 0;
}

static int set_flag(const char *value, bool *out)
{
	if (!value || !strcmp(value, "yes") || !strcmp(value, "true") || !strcmp(value, "1"))
		*out = true;
	else if (!strcmp(value, "no") || !strcmp(value, "false") || !strcmp(value, "0"))
		*out = false;
	else
		return -EINVAL;
	return 0;
}

/* One option, from the command line (@where "command line") or a file. */
static int set_option(struct main_cfg *c, const struct option_row *row, const char *value, const char *where)
{
	void *p = (char *)c + row->offset;
	u64 v;

	switch (row->kind) {
	case K_STR:
		if (!*value)
			return bad(where, row->name, value, "a text");
		*(const char **)p = xstrdup(value);
		return 0;
	case K_FLAG:
		return set_flag(value, p) ? bad(where, row->name, value, "yes or no") : 0;
	case K_U32:
		if (parse_u64(value, UINT32_MAX, &v) || !v)
			return bad(where, row->name, value, "a number from 1 to 2^32 - 1");
		*(u32 *)p = v;
		return 0;
	case K_U64:
		return parse_u64(value, UINT64_MAX, p) ? bad(where, row->name, value, "a number") : 0;
	case K_INT:
		if (parse_u64(value, INT32_MAX, &v))
			return bad(where, row->name, value, "a descriptor number");
		*(int *)p = v;
		return 0;
	case K_EXPORT:
		return set_export(&c->role, value) ? bad(where, row->name, value, "VOLUME=DIRECTORY") : 0;
	case K_STORE:
		return set_store(&c->role, value) ? bad(where, row->name, value, "sqlite:FILE or remote:ADDR") : 0;
	case K_IO:
		if (strcmp(value, "uring") && strcmp(value, "epoll"))
			return bad(where, row->name, value, "uring or epoll");
		*(const char **)p = xstrdup(value);
		return 0;
	case K_WATCH:
		if (strcmp(value, "auto") && strcmp(value, "rescan"))
			return bad(where, row->name, value, "auto or rescan");
		*(const char **)p = xstrdup(value);
		return 0;
	case K_HEX16:
		return set_hex16(c, value) ? bad(where, row->name, value, "32 hex digits") : 0;
	}
	return -EINVAL;
}

/* ---- unknown names ---- */

static size_t distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), row[64], prev, old;

	if (lb >= ARRAY_SIZE(row))
		return 99;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		prev = row[0];
		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			old = row[j];
			row[j] = min(min(row[j], row[j - 1]) + 1, prev + (a[i - 1] != b[j - 1]));
			prev = old;
		}
	}
	return row[lb];
}

static void unknown(const char *where, const char *name)
{
	const char *best = NULL;
	size_t d, least = 4;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		d = distance(name, rows[i].name);
		if (d < least) {
			least = d;
			best = rows[i].name;
		}
	}
	if (best)
		log_err("%s: there is no option '%s'; did you mean '%s'?", where, name, best);
	else
		log_err("%s: there is no option '%s'; see augurd --help", where, name);
}

static const struct option_row *find_row(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	return NULL;
}

/* ---- sources ---- */

struct file_ctx {
	struct main_cfg *c;
	const char	*path;
	int		err;
};

static int file_option(void *arg, const char *section, const char *name, const char *value)
{
	struct file_ctx *f = arg;
	const struct option_row *row;
	char *dashed = xstrdup(name);

	for (char *p = dashed; *p; p++)
		if (*p == '_')
			*p = '-';
	row = find_row(dashed);
	if (!row) {
		unknown(f->path, dashed);
		f->err = -EINVAL;
	} else if (set_option(f->c, row, value, f->path)) {
		f->err = -EINVAL;
	}
	free(dashed);
	return 1;
}

static int read_file(struct main_cfg *c)
{
	struct file_ctx f = { .c = c, .path = c->config ? c->config : CONFIG_DEFAULT };
	FILE *file = fopen(f.path, "re");
	int line, err;

	if (!file && errno == ENOENT && !c->config)
		return 0;
	line = file ? ini_parse_file(file, file_option, &f) : -1;
	/* A folder opens, and half a file is not its options. */
	err = !file || line < 0 || ferror(file);
	if (err)
		log_err("%s: cannot be read: %s", f.path, strerror(errno));
	if (file)
		fclose(file);
	if (err)
		return -EIO;
	if (line > 0) {
		log_err("%s: line %d is not 'name = value'", f.path, line);
		return -EINVAL;
	}
	return f.err;
}

/* @only: just this option (to find the file before the rest). */
static int read_argv(struct main_cfg *c, int argc, char **argv, const char *only)
{
	struct option opts[ARRAY_SIZE(rows) + 1] = { 0 };
	int i, ch;

	for (size_t n = 0; n < ARRAY_SIZE(rows); n++)
		opts[n] = (struct option){ rows[n].name, rows[n].arg ? required_argument : no_argument, NULL, 0 };
	optind = 1;
	opterr = 0;
	while ((ch = getopt_long(argc, argv, ":", opts, &i)) != -1) {
		if (ch) {
			if (only)
				continue;
			if (ch == ':')
				log_err("command line: %s needs a value; see augurd --help", argv[optind - 1]);
			else
				unknown("command line", argv[optind - 1] + strspn(argv[optind - 1], "-"));
			return -EINVAL;
		}
		if (only && strcmp(only, rows[i].name))
			continue;
		if (rows[i].kind == K_EXPORT && !c->export_given) {
			c->export_given = true;
			c->role.nexports = 0;
		}
		if (set_option(c, &rows[i], optarg, "command line"))
			return -EINVAL;
	}
	if (!only && optind < argc) {
		log_err("command line: '%s' is not an option; see augurd --help", argv[optind]);
		return -EINVAL;
	}
	return 0;
}

/* ---- process ---- */

static int set_log(struct main_cfg *c)
{
	static const char *const name[] = { "err", "warn", "notice", "info", "debug" };
	char *tag;

	c->role.log_level = LOG_L_INFO;
	for (size_t i = 0; c->log_level; i++) {
		if (i == ARRAY_SIZE(name))
			return bad("options", "log-level", c->log_level, "err, warn, notice, info or debug");
		if (!strcmp(name[i], c->log_level) || (c->log_level[0] == '3' + (char)i && !c->log_level[1])) {
			c->role.log_level = LOG_L_ERR + i;
			break;
		}
	}
	tag = c->role.id ? xasprintf("augurd[%s]", c->role.id) : xstrdup("augurd");
	log_open(tag, c->role.log_level);
	return 0;
}

static void set_process(void)
{
	struct rlimit rl;
	sigset_t set;
	FILE *f;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	umask(0077);
	if (!getrlimit(RLIMIT_NOFILE, &rl)) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	f = fopen("/proc/self/oom_score_adj", "we");
	if (f) {
		fputs(OOM_SCORE, f);
		fclose(f);
	}
}

int role_enter_netns(const char *name)
{
	CLEANUP_FREE char *path = xasprintf("/run/netns/%s", name);
	CLEANUP_CLOSE int fd = -1;
	int err;

	if (strchr(name, '/')) {
		log_err("--netns %s: a name as of 'ip netns list', without '/'", name);
		return -EINVAL;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET)) {
		err = -errno;
		log_err("cannot enter network namespace %s: %s; see 'ip netns list'", path, strerror(-err));
		return err;
	}
	return 0;
}

static void notify_systemd(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (!len || len >= sizeof(sa.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sa.sun_path, path, len);
	if (path[0] == '@')
		sa.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&sa, offsetof(struct sockaddr_un, sun_path) + len) < 0)
		log_warn("systemd was not told that augurd is ready: %s", strerror(errno));
	close(fd);
}

void role_ready(struct role_cfg *cfg)
{
	notify_systemd();
	if (cfg->ready_fd < 0)
		return;
	if (write(cfg->ready_fd, "1\n", 2) != 2)
		log_warn("--ready-fd %d: %s", cfg->ready_fd, strerror(errno));
	close(cfg->ready_fd);
	cfg->ready_fd = -1;
}

static int check_common(struct main_cfg *c)
{
	if (!c->name || (strcmp(c->name, "agent") && strcmp(c->name, "proxy"))) {
		log_err("say what this daemon is: --role agent or --role proxy; see augurd --help");
		return -EINVAL;
	}
	if (!c->role.insecure) {
		log_err("connections cannot be encrypted yet: on a network that you trust, add --insecure for plain TCP");
		return -EPERM;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct main_cfg c = { .role.ready_fd = -1, .role.ctl = CTL_SOCK_DEFAULT };

	log_open("augurd", LOG_L_INFO);
	if (read_argv(&c, argc, argv, "config") || read_file(&c) || read_argv(&c, argc, argv, NULL))
		return 1;
	if (c.help || argc == 1) {
		help();
		return 0;
	}
	if (c.version) {
		printf("augurd %s (protocol %d)\n", AUGUR_BUILD_VERSION, WIRE_PROTO);
		return 0;
	}
	if (set_log(&c) || check_common(&c))
		return 1;
	if (c.role.ready_fd >= 0)
		fcntl(c.role.ready_fd, F_SETFD, FD_CLOEXEC);
	set_process();
	return !strcmp(c.name, "proxy") ? role_proxy_run(&c.role) : role_agent_run(&c.role);
}
