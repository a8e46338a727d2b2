/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf.h - options, each written once: a row makes the command line switch, the key of the
 * configuration file and the line of the help text.
 *
 * Rows end with one whose name is NULL.  Defaults are what the variables hold before.  Strings
 * set from a file are owned by the process and never freed.  Start-up only, one thread.
 */
#ifndef AUGUR_BASE_CONF_H
#define AUGUR_BASE_CONF_H

#include <stdio.h>
#include "common/types.h"

enum conf_type {
	CONF_STR,	/* const char ** */
	CONF_BOOL,	/* bool *: "--flag", "--no-flag"; yes|no|true|false|on|off|1|0 */
	CONF_U64,	/* u64 *, min..max */
	CONF_SIZE,	/* u64 * in bytes, min..max; suffixes K M G T (1024) */
	CONF_MS,	/* u64 * in milliseconds, min..max; suffixes ms s m h */
	CONF_CALL,	/* conf_call_fn *: for lists and the like */
};
typedef int conf_call_fn(const char *value);	/* 0 or -errno */

struct conf_opt {
	const char	*name;		/* "lease-ms"; the file also takes lease_ms */
	enum conf_type	type;
	void		*dst;
	u64		min, max;	/* max 0: no limit */
	const char	*arg;		/* "MS", in the help text; NULL for CONF_BOOL */
	const char	*help;
};

/*
 * --name VALUE, --name=VALUE, --flag; stops at the first word that is no option, or after
 * "--": its index in *rest.  0 or -EINVAL / -ERANGE with a sentence in @err that names the
 * option, the values it takes, and for an unknown one the nearest that exists.
 */
int conf_args(const struct conf_opt *table, int argc, char **argv, int *rest, char *err, size_t cap);
/* Section [@section] of an INI file; other sections are skipped. @err begins with PATH:LINE. */
int conf_file(const struct conf_opt *table, const char *path, const char *section, char *err, size_t cap);
void conf_help(const struct conf_opt *table, FILE *f);

#endif
