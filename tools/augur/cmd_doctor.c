// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_doctor.c - looks at everything a mount stands on, and says how to mend what is broken.
 *
 * Local checks need neither the module nor augurd; a running augurd adds its own.  Every
 * check is one line: ok, warn or fail, what was found, and for the latter two a fix.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <linux/magic.h>
#include "augur.h"
#include "doctor.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

#define INODE_MAX 2048	/* bytes; xfs has none that are larger */

void check_add(struct checkup *c, enum check_state s, const char *name, const char *fix, const char *fmt, ...)
{
	static const char *const words[] = { "ok", "warn", "fail" };
	char detail[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	c->count[s]++;
	if (c->list) {
		json_array_append_new(c->list, json_pack("{s:s,s:s,s:s,s:s}", "name", printable(name),
			"state", words[s], "detail", printable(detail), "fix", s == CHECK_OK ? "" : printable(fix)));
		return;
	}
	printf("%-4s  %-10s %s\n", words[s], printable(name), printable(detail));
	if (s != CHECK_OK && fix[0])
		printf("%-4s  %-10s try: %s\n", "", "", printable(fix));
}

static void first_line(const char *path, char *out, size_t cap)
{
	FILE *f = fopen(path, "re");

	out[0] = '\0';
	if (f && fgets(out, (int)cap, f))
		out[strcspn(out, "\n")] = '\0';
	if (f)
		fclose(f);
}

static void check_module(struct checkup *c)
{
	struct utsname un;
	char version[64], abi[32];

	uname(&un);
	if (!module_is_loaded()) {
		check_add(c, CHECK_FAIL, "module", "modprobe augurfs; if it is not found: dkms status",
			  "augurfs is not loaded on %s", un.release);
		return;
	}
	first_line("/sys/module/augurfs/version", version, sizeof(version));
	if (version[0] && strcmp(version, AUGUR_BUILD_VERSION) && strcmp(AUGUR_BUILD_VERSION, "development"))
		check_add(c, CHECK_WARN, "module", "install the same version of augurfs-dkms and augur, reload the module",
			  "version %s, this command is %s", version, AUGUR_BUILD_VERSION);
	else
		check_add(c, CHECK_OK, "module", "", "loaded%s%s%s%s, kernel %s", version[0] ? ", version " : "", version,
			  module_abi(abi, sizeof(abi)) ? "" : ", interface ", abi, un.release);
}

static void check_io_uring(struct checkup *c)
{
	char v[16];

	first_line("/proc/sys/kernel/io_uring_disabled", v, sizeof(v));
	if (v[0] && strcmp(v, "0"))
		check_add(c, CHECK_WARN, "io_uring", "sysctl kernel.io_uring_disabled=0, then restart augurd",
			  "kernel.io_uring_disabled is %s: augurd uses epoll instead, which costs more a byte", v);
	else
		check_add(c, CHECK_OK, "io_uring", "", "not forbidden by sysctl");
}

static void check_clock(struct checkup *c)
{
	struct timex tx = { 0 };

	if (adjtimex(&tx) < 0)
		check_add(c, CHECK_WARN, "clock", "", "its state cannot be read: %s", strerror(errno));
	else if (tx.status & STA_UNSYNC)
		check_add(c, CHECK_WARN, "clock", "install chrony or systemd-timesyncd",
			  "not synchronised; times in the history cannot be compared between hosts");
	else
		check_add(c, CHECK_OK, "clock", "", "synchronised");
}

static const char *fs_name(long type)
{
	switch ((unsigned int)type) {
	case EXT4_SUPER_MAGIC:	return "ext4";
	case XFS_SUPER_MAGIC:	return "xfs";
	case BTRFS_SUPER_MAGIC:	return "btrfs";
	case TMPFS_MAGIC:	return "tmpfs";
	default:		return NULL;
	}
}

/* As the agent reckons: xfs makes inodes of free blocks, up to a number. */
static double inodes_percent(const char *dir, const struct statvfs *sv)
{
	struct statfs sf;

	if (!sv->f_files || (!statfs(dir, &sf) && (unsigned int)sf.f_type == XFS_SUPER_MAGIC &&
			     sv->f_favail >= sv->f_bavail * sv->f_frsize / INODE_MAX))
		return 100;
	return 100.0 * (double)sv->f_favail / (double)sv->f_files;
}

static void check_space(struct checkup *c, const char *dir, unsigned long long id)
{
	struct statvfs sv;
	long long stop = id ? sysfs_get_int(id, "evict/stop", 3) : 3;
	long long cull = id ? sysfs_get_int(id, "evict/cull", 7) : 7;
	long long inode_stop = id ? sysfs_get_int(id, "evict/inode_stop", 3) : 3;
	long long inode_cull = id ? sysfs_get_int(id, "evict/inode_cull", 7) : 7;
	double free_pc, inodes_pc;

	if (statvfs(dir, &sv) || !sv.f_blocks)
		return;
	free_pc = 100.0 * (double)sv.f_bavail / (double)sv.f_blocks;
	inodes_pc = inodes_percent(dir, &sv);
	if (free_pc < (double)stop || inodes_pc < (double)inode_stop)
		check_add(c, CHECK_FAIL, "space", "free some, or choose a larger filesystem for the cache",
			  "%s: %.1f%% of bytes and %.1f%% of inodes are free", dir, free_pc, inodes_pc);
	else if (free_pc < (double)cull || inodes_pc < (double)inode_cull)
		check_add(c, CHECK_WARN, "space", "free some, or choose a larger filesystem for the cache",
			  "%s: %.1f%% of bytes and %.1f%% of inodes are free", dir, free_pc, inodes_pc);
	else
		check_add(c, CHECK_OK, "space", "", "%s: %.1f%% of bytes and %.1f%% of inodes are free", dir, free_pc, inodes_pc);
}

static void check_cache(struct checkup *c, const char *dir, unsigned long long id)
{
	const char *name;
	struct statfs sf;
	char buf[128];

	if (statfs(dir, &sf)) {
		check_add(c, CHECK_FAIL, "cache", "create it on ext4, xfs or btrfs: mkdir -p DIR", "%s: %s", dir, strerror(errno));
		return;
	}
	name = fs_name(sf.f_type);
	if (!name) {
		check_add(c, CHECK_FAIL, "cache", "choose a directory on a local ext4, xfs or btrfs filesystem",
			  "%s is not on ext4, xfs or btrfs (type 0x%lx)", dir, (long)sf.f_type);
		return;
	}
	if (access(dir, W_OK) && errno == EROFS)
		check_add(c, CHECK_FAIL, "cache", "mount its filesystem read-write", "%s is on a read-only filesystem", dir);
	else if (lgetxattr(dir, "trusted.augur", buf, sizeof(buf)) < 0 && errno == EOPNOTSUPP)
		check_add(c, CHECK_FAIL, "cache", "choose another filesystem", "%s: %s here has no trusted.* attributes", dir, name);
	else if (!strcmp(name, "tmpfs"))
		check_add(c, CHECK_WARN, "cache", "choose a directory on ext4, xfs or btrfs", "%s is on tmpfs: for tests only", dir);
	else
		check_add(c, CHECK_OK, "cache", "", "%s is on %s", dir, name);
	check_space(c, dir, id);
}

static void check_mounts(struct checkup *c)
{
	struct mount *m = xcalloc(MOUNTS_MAX, sizeof(*m));
	size_t n = mounts_read(m), i;

	for (i = 0; i < n; i++) {
		if (m[i].again)
			continue;
		if (!strcmp(m[i].state, "live"))
			check_add(c, CHECK_OK, "mount", "", "%s is served by process %lld",
				  m[i].point[0] ? m[i].point : m[i].source, m[i].pid);
		else
			check_add(c, CHECK_FAIL, "mount", strcmp(m[i].state, "aborted") ? "systemctl start augurd" :
				  "unmount it and mount it again",
				  "%s is in state %s", m[i].point[0] ? m[i].point : m[i].source, m[i].state);
		if (m[i].cache[0])
			check_cache(c, m[i].cache, m[i].id);
		check_source(c, m[i].source);
	}
	free(m);
}

/* The daemon's own checks; those it also makes of the proxies stay, they are its view. */
static void check_daemon(struct augur *a, struct checkup *c)
{
	json_t *ans = client_call(a, json_object(), NULL, NULL), *one;
	size_t i;

	if (!ans) {
		check_add(c, CHECK_FAIL, "augurd", a->fault.hint, "%s", a->fault.message);
		return;
	}
	check_add(c, CHECK_OK, "augurd", "", "answers at %s", a->ctl);
	json_array_foreach(json_object_get(ans, "checks"), i, one) {
		const char *s = json_str(one, "state", "fail");

		check_add(c, !strcmp(s, "ok") ? CHECK_OK : !strcmp(s, "warn") ? CHECK_WARN : CHECK_FAIL,
			  json_str(one, "name", "?"), json_str(one, "fix", ""), "%s", json_str(one, "detail", ""));
	}
	json_decref(ans);
}

static int finish(struct augur *a, struct checkup *c)
{
	int rc = c->count[CHECK_FAIL] ? RC_FAILED : c->count[CHECK_WARN] ? RC_DEGRADED : RC_OK;
	json_t *obj;

	if (!a->json) {
		printf("\n%u ok, %u warn, %u fail\n", c->count[CHECK_OK], c->count[CHECK_WARN], c->count[CHECK_FAIL]);
		return rc;
	}
	obj = json_begin(a, true);
	json_object_set_new(obj, "checks", c->list);
	json_object_set_new(obj, "ok_count", json_integer(c->count[CHECK_OK]));
	json_object_set_new(obj, "warn_count", json_integer(c->count[CHECK_WARN]));
	json_object_set_new(obj, "fail_count", json_integer(c->count[CHECK_FAIL]));
	json_line(obj);
	return rc;
}

int cmd_doctor(struct augur *a, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "cache", required_argument, NULL, 'c' }, { "source", required_argument, NULL, 's' }, { 0 }
	};
	const char *cache = NULL, *source = NULL;
	struct checkup c = { .list = a->json ? json_array() : NULL };
	int opt;

	while ((opt = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (opt != 'c' && opt != 's')
			return usage_error(a, "unknown option");
		*(opt == 'c' ? &cache : &source) = optarg;
	}
	if (optind != argc)
		return usage_error(a, "doctor takes no argument");
	check_module(&c);
	check_daemon(a, &c);
	check_io_uring(&c);
	check_clock(&c);
	check_mounts(&c);
	if (cache)
		check_cache(&c, cache, 0);
	if (source)
		check_source(&c, source);
	return finish(a, &c);
}
