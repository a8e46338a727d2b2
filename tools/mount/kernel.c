// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kernel.c - loads the module and mounts.
 *
 * The mount API with a context (fsopen, fsconfig, fsmount) is used because the kernel writes
 * its reasons into that context, where they reach the person who typed mount.  The old
 * mount(2) is the way where the new one is refused or a value is longer than fsconfig takes;
 * the reasons are then in the kernel log.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>
#include "helper.h"

#define FS_NAME		"augurfs"
#define FSCONFIG_STR_MAX 255	/* longest value fsconfig takes */

static bool type_is_known(void)
{
	FILE *f = fopen("/proc/filesystems", "re");
	char line[128], name[64];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = (sscanf(line, "nodev %63s", name) == 1 || sscanf(line, " %63s", name) == 1) &&
			!strcmp(name, FS_NAME);
	if (f)
		fclose(f);
	return found;
}

/* Runs modprobe and keeps the first line of its complaint: its exit status, or -errno. */
static int modprobe(char *why, size_t cap)
{
	char *const argv[] = { "modprobe", FS_NAME, NULL };
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	why[0] = '\0';
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		dup2(fds[1], STDERR_FILENO);
		clearenv();
		setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(fds[1]);
	n = read(fds[0], why, cap - 1);
	why[n > 0 ? n : 0] = '\0';
	why[strcspn(why, "\n")] = '\0';
	close(fds[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

static const char *module_hint(const char *why)
{
	if (strstr(why, "Key was rejected") || strstr(why, "Required key"))
		return "Secure Boot refuses the module: enrol its key (mokutil --import), see the install page";
	if (strstr(why, "Exec format error") || strstr(why, "Invalid module format"))
		return "the module was built for another kernel: dkms autoinstall";
	if (strstr(why, "not found"))
		return "it is not built for this kernel: dkms status; make dkms-install";
	return "augur doctor";
}

int module_load(const struct request *rq)
{
	char why[512];
	int ret;

	if (type_is_known())
		return 0;
	if (rq->verbose)
		say(NULL, "loading the module");
	ret = modprobe(why, sizeof(why));
	if (!ret && type_is_known())
		return 0;
	say(module_hint(why), "the augurfs kernel module is not loaded and modprobe failed: %s",
	    why[0] ? why : ret == 127 ? "modprobe is not installed" : "no reason given");
	return EX_FAIL;
}

/*
 * Prints what the kernel wrote into the context; true if there was anything.  With @unknown,
 * a line about an option that nobody knows sets it and is not printed.
 */
static bool log_print(int fd, bool *unknown)
{
	char buf[1024];
	bool any = false;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf) - 1)) > 0) {
		const char *text = buf;

		buf[n] = '\0';
		buf[strcspn(buf, "\n")] = '\0';
		if (strchr("ewi", buf[0]) && buf[1] == ' ')
			text += 2;
		if (unknown && (strcasestr(text, "unknown parameter") || strcasestr(text, "unknown option")))
			*unknown = true;
		else
			say(NULL, "kernel: %s", text);
		any = true;
	}
	return any;
}

static const char *errno_hint(int err)
{
	switch (err) {
	case EPERM:	return "mount needs CAP_SYS_ADMIN in the initial user namespace";
	case ENODEV:	return "modprobe augurfs";
	case EBUSY:	return "the mount point or the cache directory is in use: augur status";
	case ENOENT:	return "check that the mount point and the cache directory exist";
	case EPROTO:	return "module and daemon versions differ: install the same version of both";
	case EROFS:	return "the cache directory must be writable";
	default:	return "see the kernel log: dmesg | grep augurfs";
	}
}

static int report(int fd, int err, const char *step)
{
	bool told = fd >= 0 && log_print(fd, NULL);

	if (told && err == EINVAL)
		say("see mount.augurfs(8) for the options", "%s refused", step);
	else
		say(errno_hint(err), "%s: %s", step, strerror(err));
	return err == EPERM ? EX_USAGE_ : EX_FAIL;
}

static int config_one(const struct request *rq, int fd, const char *key, const char *val)
{
	bool unknown = false;
	int err;

	if (!fsconfig(fd, val ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, val, 0))
		return 0;
	err = errno;
	log_print(fd, &unknown);
	if (unknown && rq->sloppy)
		return 0;
	if (unknown)
		say("see mount.augurfs(8) for the options", "unknown option '%s'", key);
	else
		say("see mount.augurfs(8) for the options", "option '%s' refused: %s", key, strerror(err));
	return EX_FAIL;
}

static int config_all(const struct request *rq, int fd)
{
	size_t i;
	int ret = 0;

	if (!rq->remount)
		ret = config_one(rq, fd, "source", rq->source);
	/* of a remount: to be refused if it is another */
	if (!ret && rq->cache)
		ret = config_one(rq, fd, "cache", rq->cache);
	/* the module is read-only for now: say so in the superblock, too */
	if (!ret)
		ret = config_one(rq, fd, "ro", NULL);
	/* the module has its own word on these two, besides the flags of the mount */
	if (!ret && !(rq->attr & MOUNT_ATTR_NOSUID))
		ret = config_one(rq, fd, "suid", NULL);
	if (!ret && !(rq->attr & MOUNT_ATTR_NODEV))
		ret = config_one(rq, fd, "dev", NULL);
	for (i = 0; !ret && i < rq->nopts; i++)
		ret = config_one(rq, fd, rq->opts[i].key, rq->opts[i].val);
	return ret;
}

static int enter_namespace(const char *ns)
{
	char path[4096];
	int fd, ret;

	if (strspn(ns, "0123456789") == strlen(ns))
		snprintf(path, sizeof(path), "/proc/%s/ns/mnt", ns);
	else
		snprintf(path, sizeof(path), "%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ret = fd < 0 || setns(fd, CLONE_NEWNS) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (ret)
		say(NULL, "namespace %s: %s", ns, strerror(-ret));
	return ret ? EX_SYSERR_ : 0;
}

static int place(const struct request *rq, int mnt)
{
	int ret;

	if (rq->ns && (ret = enter_namespace(rq->ns)))
		return ret;
	if (move_mount(mnt, "", AT_FDCWD, rq->dir, MOVE_MOUNT_F_EMPTY_PATH))
		return report(-1, errno, rq->dir);
	return 0;
}

static int mount_new(const struct request *rq, int fd)
{
	int ret = config_all(rq, fd), mnt;

	if (ret)
		return ret;
	if (fsconfig(fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return report(fd, errno, "mount");
	log_print(fd, NULL);
	mnt = fsmount(fd, FSMOUNT_CLOEXEC, (unsigned int)rq->attr);
	if (mnt < 0)
		return report(fd, errno, "fsmount");
	ret = place(rq, mnt);
	close(mnt);
	return ret;
}

static int remount(const struct request *rq)
{
	struct mount_attr attr = { .attr_set = rq->attr };
	int fd = fspick(AT_FDCWD, rq->dir, FSPICK_CLOEXEC), ret;

	if (fd < 0)
		return report(-1, errno, rq->dir);
	ret = config_all(rq, fd);
	if (!ret && fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0))
		ret = report(fd, errno, "remount");
	/* atime flags are one field, so it is always cleared as a whole */
	attr.attr_clr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
			MOUNT_ATTR_NODIRATIME | MOUNT_ATTR__ATIME;
	if (!ret && mount_setattr(AT_FDCWD, rq->dir, 0, &attr, sizeof(attr)))
		ret = report(-1, errno, "remount");
	close(fd);
	return ret;
}

static const struct {
	unsigned long attr, ms;
} attr_to_ms[] = {
	{ MOUNT_ATTR_RDONLY, MS_RDONLY }, { MOUNT_ATTR_NOSUID, MS_NOSUID },
	{ MOUNT_ATTR_NODEV, MS_NODEV }, { MOUNT_ATTR_NOEXEC, MS_NOEXEC },
	{ MOUNT_ATTR_NODIRATIME, MS_NODIRATIME }, { MOUNT_ATTR_NOATIME, MS_NOATIME },
	{ MOUNT_ATTR_STRICTATIME, MS_STRICTATIME },
};

static int old_data(const struct request *rq, char *buf, size_t cap)
{
	size_t n, i;

	if (rq->cache && strchr(rq->cache, ','))
		return -EINVAL;
	n = (size_t)snprintf(buf, cap, "%s%s%s%s", rq->cache ? "cache=" : "ro", rq->cache ?: "",
			     rq->attr & MOUNT_ATTR_NOSUID ? "" : ",suid",
			     rq->attr & MOUNT_ATTR_NODEV ? "" : ",dev");
	for (i = 0; i < rq->nopts && n < cap; i++) {
		const struct kernel_opt *o = &rq->opts[i];

		if (!strcmp(o->key, "sync") || !strcmp(o->key, "dirsync") || !strcmp(o->key, "lazytime"))
			continue;
		n += (size_t)snprintf(buf + n, cap - n, ",%s%s%s", o->key, o->val ? "=" : "", o->val ?: "");
	}
	return n < cap ? 0 : -E2BIG;
}

static int mount_old(const struct request *rq)
{
	char data[4000];
	unsigned long flags = rq->remount ? MS_REMOUNT : 0;
	size_t i;
	int ret = old_data(rq, data, sizeof(data));

	if (ret)
		return report(-1, -ret, "options");
	if (rq->ns && (ret = enter_namespace(rq->ns)))
		return ret;
	for (i = 0; i < sizeof(attr_to_ms) / sizeof(attr_to_ms[0]); i++)
		if (rq->attr & attr_to_ms[i].attr)
			flags |= attr_to_ms[i].ms;
	if (mount(rq->source, rq->dir, FS_NAME, flags, data))
		return report(-1, errno, "mount");
	return 0;
}

static bool value_too_long(const struct request *rq)
{
	size_t i;

	for (i = 0; i < rq->nopts; i++)
		if (rq->opts[i].val && strlen(rq->opts[i].val) > FSCONFIG_STR_MAX)
			return true;
	if (rq->cache && strlen(rq->cache) > FSCONFIG_STR_MAX)
		return true;
	return !rq->remount && strlen(rq->source) > FSCONFIG_STR_MAX;
}

int kernel_mount(const struct request *rq)
{
	int fd, ret;

	if (value_too_long(rq))
		return mount_old(rq);
	if (rq->remount)
		return remount(rq);
	fd = fsopen(FS_NAME, FSOPEN_CLOEXEC);
	if (fd < 0 && errno == ENOSYS)
		return mount_old(rq);
	if (fd < 0)
		return report(-1, errno, "fsopen");
	ret = mount_new(rq, fd);
	close(fd);
	return ret;
}
