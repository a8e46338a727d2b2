// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * opts.c - the -o list: what is ours, what is a flag of the mount, what is the kernel's.
 *
 * The kernel owns the table of its options and their bounds, so everything that is not known
 * here is passed on and judged there.  suid and dev must be asked for: ids, setuid bits and
 * device nodes of a volume are data from another machine.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include "helper.h"

enum { OPT_IGNORE, OPT_SET, OPT_CLEAR, OPT_ATIME, OPT_SB, OPT_RO, OPT_RW };

static const struct flag_opt {
	const char *name;
	int act;
	unsigned long attr;
} flag_opts[] = {
	/* mount(8) says rw when nobody did, so only a remount takes it for a wish */
	{ "ro", OPT_RO, 0 }, { "rw", OPT_RW, 0 },
	{ "nosuid", OPT_SET, MOUNT_ATTR_NOSUID },	{ "suid", OPT_CLEAR, MOUNT_ATTR_NOSUID },
	{ "nodev", OPT_SET, MOUNT_ATTR_NODEV },		{ "dev", OPT_CLEAR, MOUNT_ATTR_NODEV },
	{ "noexec", OPT_SET, MOUNT_ATTR_NOEXEC },	{ "exec", OPT_CLEAR, MOUNT_ATTR_NOEXEC },
	{ "nodiratime", OPT_SET, MOUNT_ATTR_NODIRATIME },
	{ "diratime", OPT_CLEAR, MOUNT_ATTR_NODIRATIME },
	{ "nosymfollow", OPT_SET, MOUNT_ATTR_NOSYMFOLLOW },
	{ "symfollow", OPT_CLEAR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "noatime", OPT_ATIME, MOUNT_ATTR_NOATIME },	{ "atime", OPT_ATIME, MOUNT_ATTR_RELATIME },
	{ "relatime", OPT_ATIME, MOUNT_ATTR_RELATIME },
	{ "norelatime", OPT_ATIME, MOUNT_ATTR_RELATIME },
	{ "strictatime", OPT_ATIME, MOUNT_ATTR_STRICTATIME },
	{ "nostrictatime", OPT_ATIME, MOUNT_ATTR_RELATIME },
	{ "sync", OPT_SB, 0 }, { "dirsync", OPT_SB, 0 }, { "lazytime", OPT_SB, 0 },
	/* for mount(8), fstab and systemd only */
	{ "_netdev", OPT_IGNORE, 0 }, { "nofail", OPT_IGNORE, 0 }, { "auto", OPT_IGNORE, 0 },
	{ "noauto", OPT_IGNORE, 0 }, { "defaults", OPT_IGNORE, 0 }, { "async", OPT_IGNORE, 0 },
	{ "user", OPT_IGNORE, 0 }, { "nouser", OPT_IGNORE, 0 }, { "users", OPT_IGNORE, 0 },
	{ "nousers", OPT_IGNORE, 0 }, { "owner", OPT_IGNORE, 0 }, { "noowner", OPT_IGNORE, 0 },
	{ "group", OPT_IGNORE, 0 }, { "nogroup", OPT_IGNORE, 0 }, { "silent", OPT_IGNORE, 0 },
	{ "loud", OPT_IGNORE, 0 }, { "nolazytime", OPT_IGNORE, 0 }, { "nodirsync", OPT_IGNORE, 0 },
};

static int flag_apply(struct request *rq, const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(flag_opts) / sizeof(flag_opts[0]); i++) {
		const struct flag_opt *f = &flag_opts[i];

		if (strcmp(f->name, name))
			continue;
		if (f->act == OPT_SET)
			rq->attr |= f->attr;
		else if (f->act == OPT_CLEAR)
			rq->attr &= ~f->attr;
		else if (f->act == OPT_ATIME)
			rq->attr = (rq->attr & ~(unsigned long)MOUNT_ATTR__ATIME) | f->attr;
		else if (f->act == OPT_RO || f->act == OPT_RW)
			rq->rw = f->act == OPT_RW;
		return f->act == OPT_SB ? -EAGAIN : 0;
	}
	return -ENOENT;
}

static int timeout_apply(struct request *rq, const char *val)
{
	char *end;
	unsigned long ms;

	errno = 0;
	ms = strtoul(val, &end, 0);
	if (errno || *end || end == val || ms < 100 || ms > 3600000) {
		say("give milliseconds between 100 and 3600000", "timeout_ms=%s is not a valid value", val);
		return EX_USAGE_;
	}
	rq->timeout_ms = (unsigned int)ms;
	return 0;
}

static int kernel_opt_add(struct request *rq, const char *key, const char *val)
{
	if (rq->nopts == OPTS_MAX) {
		say(NULL, "more than %d options", OPTS_MAX);
		return EX_USAGE_;
	}
	rq->opts[rq->nopts].key = key;
	rq->opts[rq->nopts].val = val;
	rq->nopts++;
	return 0;
}

static bool is_comment(const char *key)
{
	return !strncmp(key, "x-", 2) || !strncmp(key, "X-", 2) || !strcmp(key, "comment") ||
	       !strcmp(key, "user") || !strcmp(key, "helper") || !strcmp(key, "uhelper");
}

static int opt_apply(struct request *rq, const char *key, const char *val)
{
	int err;

	if (is_comment(key))
		return 0;
	if (!val && !strcmp(key, "remount")) {
		rq->remount = true;
		return 0;
	}
	if (!strcmp(key, "cache") || !strcmp(key, "ctl")) {
		if (!val || !*val) {
			say(NULL, "option %s= needs a path", key);
			return EX_USAGE_;
		}
		*(key[1] == 'a' ? &rq->cache : &rq->ctl) = val;
		return 0;
	}
	if (val && !strcmp(key, "timeout_ms") && (err = timeout_apply(rq, val)))
		return err;
	err = val ? -ENOENT : flag_apply(rq, key);
	return err ? kernel_opt_add(rq, key, val) : 0;
}

int opts_parse(struct request *rq, const char *list)
{
	char *copy = strdup(list), *opt, *save = NULL;
	int err;

	if (!copy) {
		say(NULL, "out of memory");
		return EX_SYSERR_;
	}
	for (opt = strtok_r(copy, ",", &save); opt; opt = strtok_r(NULL, ",", &save)) {
		char *val = strchr(opt, '=');

		if (val)
			*val++ = '\0';
		err = opt_apply(rq, opt, val);
		if (err)
			return err;
	}
	return 0;
}

static bool port_is_valid(const char *p, size_t len)
{
	unsigned int port = 0;

	for (size_t i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		port = port * 10 + (unsigned int)(p[i] - '0');
	}
	return port >= 1 && port <= 65535;
}

/* HOST, HOST:PORT, [V6] or [V6]:PORT: only the characters are checked; augurd dials. */
static bool proxy_is_valid(const char *p, size_t len)
{
	const char *host_chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	size_t host, rest;

	if (len && p[0] == '[') {
		const char *end = memchr(p, ']', len);

		if (!end || end == p + 1)
			return false;
		host = (size_t)(end - p) + 1;
		if (strspn(p + 1, "0123456789abcdefABCDEF:.%") < host - 2 && !memchr(p, '%', host))
			return false;
	} else {
		host = strspn(p, host_chars);
	}
	if (!host || host > len || host > 255)
		return false;
	if (host == len)
		return true;
	rest = len - host;
	return p[host] == ':' && rest > 1 && rest <= 6 && port_is_valid(p + host + 1, rest - 1);
}

int source_check(const char *source)
{
	static const char hint[] = "example: proxy1,proxy2:/home";
	const char *sep = strstr(source, ":/"), *p = source;

	if (!sep || !sep[2] || strchr(sep + 2, '/') || strlen(sep + 2) > 63) {
		say(hint, "source '%s' is not PROXY[,PROXY...]:/VOLUME", source);
		return EX_USAGE_;
	}
	while (p <= sep) {
		size_t len = strcspn(p, ",");

		if (len > (size_t)(sep - p))
			len = (size_t)(sep - p);
		if (!proxy_is_valid(p, len)) {
			say(hint, "source '%s': '%.*s' is not HOST[:PORT]", source, (int)len, p);
			return EX_USAGE_;
		}
		p += len + 1;
	}
	return 0;
}
