/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * helper.h - shapes shared by the parts of mount.augurfs.
 *
 * The helper is one short-lived, single-threaded process: strings live until it exits and
 * are never freed.  Nothing here allocates without bound: the argument list is the bound.
 */
#ifndef AUGUR_MOUNT_HELPER_H
#define AUGUR_MOUNT_HELPER_H

#include <stdbool.h>
#include <stddef.h>

/* Exit codes of mount(8). */
enum { EX_OK = 0, EX_USAGE_ = 1, EX_SYSERR_ = 2, EX_FAIL = 32 };

#define OPTS_MAX	64
#define TIMEOUT_MS_DEF	30000	/* the default of the timeout_ms knob */

struct kernel_opt {
	const char *key;
	const char *val;	/* NULL: a flag */
};

struct request {
	const char *source;		/* PROXY[,PROXY...]:/VOLUME */
	const char *dir;		/* mount point, canonical */
	const char *cache;		/* cache=, canonical where it exists */
	const char *ctl;		/* ctl=, or the default socket */
	const char *ns;			/* -N: pid or path of a mount namespace */
	unsigned long attr;		/* MOUNT_ATTR_* of this mount */
	struct kernel_opt opts[OPTS_MAX];	/* passed to the kernel, without cache */
	size_t nopts;
	unsigned int timeout_ms;
	bool fake, sloppy, verbose, remount;
	bool rw;			/* asked for; see opts.c */
};

/* Prints "mount.augurfs: ..." and, if @hint is not NULL, a second line "  try: ...". */
void say(const char *hint, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* -------- opts.c -------- */
/* Splits a -o list into @rq; @list is copied.  0 or an exit code, having said why. */
int opts_parse(struct request *rq, const char *list);
/* Checks the source's syntax: 0 or an exit code, having said why. */
int source_check(const char *source);

/* -------- attach.c -------- */
/*
 * Waits for augurd until @deadline_ms of CLOCK_MONOTONIC and has it prepare the cache.
 * 0 or an exit code, having said why.
 */
int attach(struct request *rq, unsigned long long deadline_ms);
unsigned long long clock_ms(void);

/* -------- kernel.c -------- */
/* Makes the filesystem type known: 0 or an exit code, having said why. */
int module_load(const struct request *rq);
/* Mounts, or changes the options of a mount: 0 or an exit code, having said why. */
int kernel_mount(const struct request *rq);

#endif
