/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * augur.h - shapes shared by the verbs of the augur command, grouped by the file that
 * defines them.
 *
 * One short-lived, single-threaded process.  A verb reads its arguments, asks augurd over
 * the control socket or reads sysfs, prints, and returns an exit code.  It never opens
 * netlink, a database of the daemon (but for the access log, to read it while no daemon
 * answers), or a path below a mount: a command that is meant to explain a hanging mount must
 * not hang on it.  (A name that augurd says it does not know is looked up: paths.c.)
 *
 * Exit codes: 0 fine, 1 failed, 2 degraded or wrong usage, 77 not applicable here.
 */
#ifndef AUGUR_TOOLS_AUGUR_H
#define AUGUR_TOOLS_AUGUR_H

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include "base/mem.h"
#include "ctl/ctl_proto.h"

#ifndef AUGUR_BUILD_VERSION
#define AUGUR_BUILD_VERSION "development"
#endif

enum { RC_OK = 0, RC_FAILED = 1, RC_DEGRADED = 2, RC_USAGE = 2, RC_NA = 77 };

/* What went wrong, in the words that every surface of augurfs uses. */
struct fault {
	const char	*code;		/* "AUGUR_E_..." or NULL: nothing */
	int		err;		/* positive errno, or 0 */
	char		message[512];
	char		hint[512];
};

struct verb;
struct augur {
	const char		*ctl;		/* --ctl, AUGUR_CTL, or the default */
	bool			json;		/* --json */
	int			timeout_s;	/* --timeout: silence of augurd that is an error; 0: none */
	const struct verb	*verb;
	struct fault		fault;
};

struct verb {
	const char	*name;
	const char	*args;		/* usage after the name */
	const char	*summary;	/* one line of the list */
	const char	*options;	/* lines of the help, or "" */
	const char	*examples[3];
	int		(*run)(struct augur *a, int argc, char **argv);	/* argv[0]: the verb */
};

/* -------- main.c -------- */
extern const struct verb verbs[];
extern const size_t verbs_count;
/* Wrong arguments: prints the reason and where to read; RC_USAGE. */
int usage_error(struct augur *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* -------- cmd_*.c -------- */
int cmd_status(struct augur *a, int argc, char **argv);
int cmd_where(struct augur *a, int argc, char **argv);
int cmd_warm(struct augur *a, int argc, char **argv);
int cmd_pin(struct augur *a, int argc, char **argv);
int cmd_unpin(struct augur *a, int argc, char **argv);
int cmd_evict(struct augur *a, int argc, char **argv);
int cmd_log(struct augur *a, int argc, char **argv);
int cmd_top(struct augur *a, int argc, char **argv);
int cmd_events(struct augur *a, int argc, char **argv);
int cmd_abort(struct augur *a, int argc, char **argv);
int cmd_doctor(struct augur *a, int argc, char **argv);
int cmd_demo(struct augur *a, int argc, char **argv);

/* -------- status_proxy.c -------- */
void status_proxy_print(json_t *ans);
/* Every volume joined, no proxy of one known to be down; true of an agent's answer. */
bool status_proxy_is_fine(json_t *ans);

/* -------- client.c -------- */
/* A line before the last one; @kind is "progress" or "row", @obj borrowed.  Non-zero ends the call. */
typedef int client_line_fn(void *ctx, const char *kind, json_t *obj);
/*
 * One request.  Takes over @req (without "verb", which is the name of a->verb unless set).
 * The last line's object, owned by the caller, if it says ok; else NULL and a->fault.
 */
json_t *client_call(struct augur *a, json_t *req, client_line_fn *line, void *ctx);
/* True if the fault says that augurd is not there, as opposed to having refused. */
bool fault_is_down(const struct fault *f);
bool fault_is_permission(const struct fault *f);

/* -------- json_out.c -------- */
void fault_set(struct fault *f, enum ctl_error code, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* RC_USAGE or RC_FAILED. */
int fault_rc(const struct fault *f);
/* Prints the fault as text on stderr or, with --json, as an object on stdout.  Returns @rc. */
int fault_report(struct augur *a, int rc);
/* {"schema": "augur.VERB/1", "ok": @ok}, to be filled. */
json_t *json_begin(struct augur *a, bool ok);
/* Prints one line and drops the object. */
void json_line(json_t *obj);
/* A member, or a harmless default when it is missing or of another type. */
const char *json_str(json_t *obj, const char *key, const char *def);
long long json_int(json_t *obj, const char *key, long long def);
bool json_bool(json_t *obj, const char *key, bool def);
/* Copies @s for a terminal: control bytes and invalid UTF-8 become '?'.  A rotating buffer. */
const char *printable(const char *s);

/* -------- table.c -------- */
#define TABLE_COLS 12
struct table;
/* Columns by name; a leading '>' aligns to the right. */
struct table *table_new(const char *const *cols);
void table_row(struct table *t, const char *const *cells);	/* copies */
void table_print(struct table *t, FILE *out);			/* and frees it */
/* "12.4 GiB" into a rotating buffer. */
const char *human_bytes(unsigned long long n);
const char *human_time(unsigned long long seconds);

/* -------- progress.c -------- */
/* A bar on a terminal; JSON lines with --json; nothing else. */
struct progress { bool bar, lines, shown; int last_len; };
void progress_init(struct progress *p, struct augur *a);
void progress_show(struct progress *p, json_t *obj);
void progress_end(struct progress *p);

/* -------- sysfs.c: what the kernel and /proc say, with augurd down, too -------- */
#define MOUNTS_MAX 64
struct mount {
	unsigned long long id;		/* 0: no sysfs entry found for this line of mountinfo */
	char	source[512], cache[512], point[512];	/* point: "" if mounted in another namespace */
	char	state[16];		/* live, orphan, aborted; "unknown" */
	long long pid;			/* of the daemon; 0: none */
	bool	again;			/* a further mount point of an id seen before */
};
/* Fills up to MOUNTS_MAX; their number. */
size_t mounts_read(struct mount *m);
/* The one that an absolute path lies in, or NULL. */
const struct mount *mount_of(const struct mount *m, size_t n, const char *path);
/* By mount point (or a path below it), or by id; NULL if none or, for an id, not known. */
const struct mount *mount_find(const struct mount *m, size_t n, const char *arg);
bool module_is_loaded(void);
/* Version of its interface to the daemon, "MAJOR.MINOR": 0 or -ENODATA. */
int module_abi(char *out, size_t cap);
/* One value of /sys/fs/augurfs/<id>/<file>: 0 or -errno; the newline is cut. */
int sysfs_get(unsigned long long id, const char *file, char *out, size_t cap);
long long sysfs_get_int(unsigned long long id, const char *file, long long def);
int sysfs_put(unsigned long long id, const char *file, const char *val);
/* All of stats/ as an object. */
json_t *sysfs_stats(unsigned long long id);
/*
 * Absolute form of @path without touching a mount: links are followed up to a mount point,
 * the rest is taken as it is written.  0 or -errno.
 */
int path_absolute(const char *path, const struct mount *m, size_t n, char *out, size_t cap);

/* -------- paths.c -------- */
struct named { char *text; const struct mount *m; bool sent; };	/* absolute; m: that it lies in, or NULL */
struct paths {
	struct augur	*a;
	struct mount	*m;
	size_t		nm;
	struct named	*p;
	size_t		n;
};
void paths_init(struct paths *p, struct augur *a);
void paths_free(struct paths *p);
/* The absolute form of what was given, if augurd can be asked for it.  0, or -errno with the fault set. */
int paths_take(struct augur *a, const char *arg, const struct mount *m, size_t n, char path[PATH_MAX]);
/* 0, or -errno with the fault set. */
int paths_add(struct paths *p, const char *arg);
/* Requests of a->verb with @more and "paths", until all are sent; sum() takes each answer.  0, or -errno with the fault set. */
typedef void paths_sum_fn(void *ctx, json_t *ans);
int paths_ask(struct paths *p, const json_t *more, client_line_fn *line, paths_sum_fn *sum, void *ctx);
/* The answer to "where" of an absolute path that lies in @m (or NULL), or NULL with the fault set. */
json_t *paths_where(struct augur *a, const struct mount *m, const char *path);

#endif
