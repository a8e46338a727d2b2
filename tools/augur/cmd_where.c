// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_where.c - which proxy owns an object, and how much of it is here.
 *
 * Placement is known to augurd alone.  With augurd down the mount that the path lies in and
 * its state are still said, because that is what one wants to know next.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include "augur.h"

static void print_one(json_t *ans, const char *path)
{
	printf("   path: %s\n", printable(path));
	printf("  state: %s\n", printable(json_str(ans, "state", "?")));
	printf("  proxy: %s (%s)\n", printable(json_str(ans, "proxy", "?")), printable(json_str(ans, "addr", "?")));
	printf("  shard: %lld, placement unit %lld\n", json_int(ans, "shard", -1), json_int(ans, "pu", -1));
	printf(" object: %s, version %lld, inode %llu\n", printable(json_str(ans, "oid", "?")),
	       json_int(ans, "version", 0), (unsigned long long)json_int(ans, "ino", 0));
}

/* 64 bits do not fit the numbers of most JSON readers, and not all fit jansson's: a string. */
static void ino_to_text(json_t *ans)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)json_int(ans, "ino", 0));
	json_object_set_new(ans, "ino", json_string(text));
}

/* augurd is away: what the kernel says about the mount the path lies in. */
static int from_sysfs(struct augur *a, const struct mount *m)
{
	if (!m) {
		fault_set(&a->fault, AUGUR_E_NOT_MOUNTED, ENOENT, "the path is not in a mounted augurfs volume");
		return fault_report(a, RC_FAILED);
	}
	if (!a->json)
		printf("  mount: %s on %s, state %s\n", printable(m->source), printable(m->point), m->state);
	return fault_report(a, RC_FAILED);
}

static int one(struct augur *a, const char *arg, const struct mount *m, size_t n)
{
	char path[PATH_MAX];
	json_t *ans;

	if (paths_take(a, arg, m, n, path))
		return fault_report(a, RC_FAILED);
	ans = paths_where(a, mount_of(m, n, path), path);
	if (!ans)
		return fault_is_down(&a->fault) ? from_sysfs(a, mount_find(m, n, path)) : fault_report(a, RC_FAILED);
	if (a->json) {
		json_object_set_new(ans, "path", json_string(printable(path)));
		ino_to_text(ans);
		json_line(ans);
		return RC_OK;
	}
	print_one(ans, path);
	json_decref(ans);
	return RC_OK;
}

int cmd_where(struct augur *a, int argc, char **argv)
{
	struct mount *m;
	size_t n;
	int rc = RC_OK, i;

	if (getopt_long(argc, argv, "", (const struct option[]){ { 0 } }, NULL) != -1)
		return usage_error(a, "unknown option");
	if (optind == argc)
		return usage_error(a, "which path?");
	m = xcalloc(MOUNTS_MAX, sizeof(*m));
	n = mounts_read(m);
	for (i = optind; i < argc; i++) {
		int ret = one(a, argv[i], m, n);

		rc = ret > rc ? ret : rc;
	}
	free(m);
	return rc;
}
