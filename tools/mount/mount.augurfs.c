// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mount.augurfs - the helper that mount(8) runs for "mount -t augurfs".
 *
 *	mount.augurfs SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]
 *
 * In order: read the options, load the module, wait for augurd and let it prepare the cache
 * directory, mount.  Each step that fails says what failed and what to do next; exit codes
 * are those of mount(8).  Only the C library is linked.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>
#include "daemon/ctl/ctl_proto.h"
#include "helper.h"

#ifndef AUGUR_BUILD_VERSION
#define AUGUR_BUILD_VERSION "development"
#endif

void say(const char *hint, const char *fmt, ...)
{
	va_list ap;

	fputs("mount.augurfs: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (hint)
		fprintf(stderr, "  try: %s\n", hint);
}

static void usage(FILE *out)
{
	fputs("usage: mount -t augurfs PROXY[,PROXY...]:/VOLUME DIR -o cache=DIR[,OPTION...]\n"
	      "       mount.augurfs SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS]\n"
	      "\n"
	      "example: mount -t augurfs proxy1,proxy2:/home /mnt -o cache=/var/cache/augurfs/home\n"
	      "\n"
	      "  -s  ignore options that the module does not know\n"
	      "  -f  check the arguments, mount nothing\n"
	      "  -n  accepted; there is no mtab to write\n"
	      "  -v  say each step\n"
	      "options: mount.augurfs(8)\n", out);
}

static int switches(struct request *rq, int argc, char **argv)
{
	int c, ret = 0;

	optind = 1;
	while (!ret && (c = getopt(argc, argv, "sfnvN:o:t:hV")) != -1) {
		switch (c) {
		case 's': rq->sloppy = true; break;
		case 'f': rq->fake = true; break;
		case 'v': rq->verbose = true; break;
		case 'N': rq->ns = optarg; break;
		case 'o': ret = opts_parse(rq, optarg); break;
		case 'n': case 't': break;
		case 'h': usage(stdout); exit(EX_OK);
		case 'V': puts("mount.augurfs " AUGUR_BUILD_VERSION); exit(EX_OK);
		default: usage(stderr); return EX_USAGE_;
		}
	}
	if (!ret && argc - optind != 2) {
		usage(stderr);
		ret = EX_USAGE_;
	}
	return ret;
}

/* The mount point must exist; the cache directory is judged by augurd. */
static int paths(struct request *rq, const char *dir)
{
	static char dir_abs[PATH_MAX], cache_abs[PATH_MAX];

	if (rq->ns && dir[0] != '/') {
		say(NULL, "with -N the mount point must be an absolute path");
		return EX_USAGE_;
	}
	if (rq->ns)
		rq->dir = dir;
	else if (!(rq->dir = realpath(dir, dir_abs))) {
		say("mkdir -p DIR", "mount point %s: %s", dir, strerror(errno));
		return EX_FAIL;
	}
	/* The kernel says whether it is the mount's. */
	if (rq->remount) {
		if (rq->cache && realpath(rq->cache, cache_abs))
			rq->cache = cache_abs;
		return 0;
	}
	if (!rq->cache) {
		say("mount -t augurfs SOURCE DIR -o cache=/var/cache/augurfs/NAME", "option cache= is missing");
		return EX_USAGE_;
	}
	if (realpath(rq->cache, cache_abs))
		rq->cache = cache_abs;
	else if (rq->cache[0] != '/') {
		say("create it, or name it from the root on: -o cache=/var/cache/augurfs/NAME",
		    "cache=%s is not there, and is not an absolute path", rq->cache);
		return EX_USAGE_;
	}
	return 0;
}

static int carry_out(struct request *rq)
{
	unsigned long long deadline = clock_ms() + rq->timeout_ms;
	int ret;

	if (geteuid()) {
		say("run it as root", "only root may mount");
		return EX_USAGE_;
	}
	if (rq->remount && rq->rw) {
		say("mount -o remount,ro,...", "volumes are read-only for now; a remount with rw is refused");
		return EX_FAIL;
	}
	if (rq->remount)
		return kernel_mount(rq);
	ret = module_load(rq);
	if (!ret)
		ret = attach(rq, deadline);
	if (!ret && rq->verbose)
		say(NULL, "mounting %s on %s, cache %s", rq->source, rq->dir, rq->cache);
	return ret ? ret : kernel_mount(rq);
}

int main(int argc, char **argv)
{
	struct request rq = {
		.ctl = CTL_SOCK_DEFAULT,
		.timeout_ms = TIMEOUT_MS_DEF,
		.attr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
	};
	int ret = switches(&rq, argc, argv);

	if (ret)
		return ret;
	rq.source = argv[optind];
	ret = source_check(rq.source);
	if (!ret)
		ret = paths(&rq, argv[optind + 1]);
	if (ret || rq.fake)
		return ret;
	return carry_out(&rq);
}
