// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_abort.c - ends every wait of a mount, for good.
 *
 * Writes sysfs and asks nobody, so it works when augurd hangs or is gone.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include "augur.h"

/* A mount point or an id; a path below a mount is refused, as the step cannot be undone. */
static const struct mount *exact(const struct mount *m, size_t n, const char *arg)
{
	const struct mount *hit = mount_find(m, n, arg);
	char path[PATH_MAX];

	if (!hit || (arg[0] && strspn(arg, "0123456789") == strlen(arg)))
		return hit;
	if (path_absolute(arg, m, n, path, sizeof(path)) || strcmp(path, hit->point))
		return NULL;
	return hit;
}

static int abort_one(struct augur *a, const struct mount *m, const char *arg)
{
	int err;

	if (!m || !m->id) {
		if (!module_is_loaded())
			fault_set(&a->fault, AUGUR_E_MODULE, ENODEV, "the augurfs kernel module is not loaded");
		else
			fault_set(&a->fault, AUGUR_E_NOT_MOUNTED, ENOENT, "%s is neither the mount point nor the id "
				  "of an augurfs mount", printable(arg));
		return fault_report(a, RC_FAILED);
	}
	err = sysfs_put(m->id, "abort", "1\n");
	if (err == -EACCES || err == -EPERM)
		fault_set(&a->fault, AUGUR_E_PERMISSION, -err, "only root may abort a mount");
	else if (err)
		fault_set(&a->fault, AUGUR_E_INTERNAL, -err, "writing the abort file of mount %llu: %s", m->id, strerror(-err));
	if (err)
		return fault_report(a, RC_FAILED);
	if (a->json) {
		json_t *obj = json_begin(a, true);

		json_object_set_new(obj, "mount", json_integer((json_int_t)m->id));
		json_object_set_new(obj, "mount_point", json_string(printable(m->point)));
		json_line(obj);
		return RC_OK;
	}
	printf("mount %llu (%s) is aborted: waiting calls fail, and so will new ones that need augurd.\n",
	       m->id, m->point[0] ? printable(m->point) : printable(m->source));
	printf("next: umount %s\n", m->point[0] ? printable(m->point) : "it in its namespace");
	return RC_OK;
}

int cmd_abort(struct augur *a, int argc, char **argv)
{
	struct mount *m;
	size_t n;
	int rc;

	if (getopt_long(argc, argv, "", (const struct option[]){ { 0 } }, NULL) != -1)
		return usage_error(a, "unknown option");
	if (argc - optind != 1)
		return usage_error(a, "which mount? give its mount point or its id");
	m = xcalloc(MOUNTS_MAX, sizeof(*m));
	n = mounts_read(m);
	rc = abort_one(a, exact(m, n, argv[optind]), argv[optind]);
	free(m);
	return rc;
}
