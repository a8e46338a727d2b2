// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sysfs.c - the kernel's side of the story: /sys/fs/augurfs and /proc/self/mountinfo.
 *
 * Works with augurd down.  A line of mountinfo and a directory of sysfs belong together when
 * they name the same cache directory, which one mount at a time can use.  AUGUR_SYSFS and
 * AUGUR_MOUNTINFO name other places for the tests.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "augur.h"

static const char *sysfs_dir(void)
{
	const char *dir = getenv("AUGUR_SYSFS");

	return dir && *dir ? dir : "/sys/fs/augurfs";
}

bool module_is_loaded(void)
{
	return access(sysfs_dir(), F_OK) == 0;
}

int module_abi(char *out, size_t cap)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/features/abi_version", sysfs_dir());
	f = fopen(path, "re");
	out[0] = '\0';
	if (f && fgets(out, (int)cap, f))
		out[strcspn(out, "\n")] = '\0';
	if (f)
		fclose(f);
	return out[0] ? 0 : -ENODATA;
}

static int sysfs_open(unsigned long long id, const char *file, int flags)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%llu/%s", sysfs_dir(), id, file);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int sysfs_get(unsigned long long id, const char *file, char *out, size_t cap)
{
	CLEANUP_CLOSE int fd = sysfs_open(id, file, O_RDONLY);
	ssize_t n;

	out[0] = '\0';
	if (fd < 0)
		return fd;
	n = read(fd, out, cap - 1);
	if (n < 0)
		return -errno;
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return 0;
}

long long sysfs_get_int(unsigned long long id, const char *file, long long def)
{
	char text[64], *end;
	long long v;

	if (sysfs_get(id, file, text, sizeof(text)) || !text[0])
		return def;
	v = strtoll(text, &end, 10);
	return *end ? def : v;
}

int sysfs_put(unsigned long long id, const char *file, const char *val)
{
	CLEANUP_CLOSE int fd = sysfs_open(id, file, O_WRONLY);

	if (fd < 0)
		return fd;
	return write(fd, val, strlen(val)) < 0 ? -errno : 0;
}

json_t *sysfs_stats(unsigned long long id)
{
	json_t *obj = json_object();
	char path[PATH_MAX];
	struct dirent *de;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%llu/stats", sysfs_dir(), id);
	dir = opendir(path);
	while (dir && (de = readdir(dir))) {
		char file[NAME_MAX + 8];
		long long v;

		if (de->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "stats/%s", de->d_name);
		v = sysfs_get_int(id, file, -1);
		if (v >= 0)
			json_object_set_new(obj, de->d_name, json_integer(v));
	}
	if (dir)
		closedir(dir);
	return obj;
}

/* Undoes the octal escapes of mountinfo, cut to @cap. */
static void unescape(const char *s, size_t len, char *out, size_t cap)
{
	size_t i = 0, n = 0;

	while (i < len && n + 1 < cap) {
		if (s[i] == '\\' && i + 3 < len && isdigit(s[i + 1]) && isdigit(s[i + 2]) && isdigit(s[i + 3])) {
			out[n++] = (char)((s[i + 1] - '0') << 6 | (s[i + 2] - '0') << 3 | (s[i + 3] - '0'));
			i += 4;
		} else {
			out[n++] = s[i++];
		}
	}
	out[n] = '\0';
}

/* The value of cache= in the superblock's options. */
static void cache_option(const char *opts, char *out, size_t cap)
{
	const char *p = strncmp(opts, "cache=", 6) ? strstr(opts, ",cache=") : opts;

	out[0] = '\0';
	if (!p)
		return;
	p = strchr(p, '=') + 1;
	unescape(p, strcspn(p, ",\n"), out, cap);
}

static bool parse_line(char *line, struct mount *m)
{
	char *tail = strstr(line, " - "), *point = line, *source;
	int i;

	memset(m, 0, sizeof(*m));
	if (!tail || strncmp(tail + 3, "augurfs ", 8))
		return false;
	for (i = 0; i < 4 && point; i++)
		point = strchr(point + (i > 0), ' ');
	if (!point)
		return false;
	unescape(point + 1, strcspn(point + 1, " "), m->point, sizeof(m->point));
	source = tail + 11;
	unescape(source, strcspn(source, " "), m->source, sizeof(m->source));
	source = strchr(source, ' ');
	if (source)
		cache_option(source + 1, m->cache, sizeof(m->cache));
	strcpy(m->state, "unknown");
	return true;
}

static size_t read_mountinfo(struct mount *m)
{
	const char *path = getenv("AUGUR_MOUNTINFO");
	FILE *f = fopen(path && *path ? path : "/proc/self/mountinfo", "re");
	CLEANUP_FREE char *line = NULL;
	size_t cap = 0, n = 0;

	while (f && n < MOUNTS_MAX && getline(&line, &cap, f) > 0)
		n += parse_line(line, &m[n]);
	if (f)
		fclose(f);
	return n;
}

static void read_entry(struct mount *m, unsigned long long id)
{
	m->id = id;
	m->pid = sysfs_get_int(id, "daemon_pid", 0);
	if (sysfs_get(id, "state", m->state, sizeof(m->state)) || !m->state[0])
		strcpy(m->state, "unknown");
}

/* Ties one sysfs directory to its lines of mountinfo, or adds it without a mount point. */
static size_t add_entry(struct mount *m, size_t n, unsigned long long id)
{
	char cache[sizeof(m->cache)], source[sizeof(m->source)];
	bool found = false;
	size_t i;

	sysfs_get(id, "cache", cache, sizeof(cache));
	sysfs_get(id, "source", source, sizeof(source));
	for (i = 0; i < n; i++) {
		if (m[i].id || strcmp(m[i].cache, cache))
			continue;
		read_entry(&m[i], id);
		m[i].again = found;
		found = true;
	}
	if (found || n == MOUNTS_MAX)
		return n;
	memset(&m[n], 0, sizeof(m[n]));
	strcpy(m[n].cache, cache);
	strcpy(m[n].source, source);
	read_entry(&m[n], id);
	return n + 1;
}

size_t mounts_read(struct mount *m)
{
	size_t n = read_mountinfo(m);
	struct dirent **list = NULL;
	int count = scandir(sysfs_dir(), &list, NULL, versionsort), i;

	for (i = 0; i < count; i++) {
		char *end;
		unsigned long long id = strtoull(list[i]->d_name, &end, 10);

		if (isdigit(list[i]->d_name[0]) && !*end && id)
			n = add_entry(m, n, id);
		free(list[i]);
	}
	free(list);
	return n;
}

static bool is_below(const char *path, const char *point)
{
	size_t len = strlen(point);

	if (!len)
		return false;
	if (len == 1)
		return true;
	return !strncmp(path, point, len) && (path[len] == '/' || !path[len]);
}

/* The mount a path lies in: the longest mount point that is a prefix of it. */
const struct mount *mount_of(const struct mount *m, size_t n, const char *path)
{
	const struct mount *best = NULL;
	size_t i;

	for (i = 0; i < n; i++)
		if (is_below(path, m[i].point) && (!best || strlen(m[i].point) >= strlen(best->point)))
			best = &m[i];
	return best;
}

const struct mount *mount_find(const struct mount *m, size_t n, const char *arg)
{
	char path[PATH_MAX];
	size_t i;

	if (arg[0] && strspn(arg, "0123456789") == strlen(arg)) {
		unsigned long long id = strtoull(arg, NULL, 10);

		for (i = 0; i < n; i++)
			if (m[i].id == id && id)
				return &m[i];
	}
	if (path_absolute(arg, m, n, path, sizeof(path)))
		return NULL;
	return mount_of(m, n, path);
}

/* A path being made absolute, one component a step. */
struct walk {
	char	out[PATH_MAX];
	char	rest[2 * PATH_MAX];	/* still to be walked */
	int	links;
};

static int step_link(struct walk *w, const char *tail)
{
	char target[PATH_MAX], joined[2 * PATH_MAX];
	ssize_t len = readlink(w->out, target, sizeof(target) - 1);
	char *slash = strrchr(w->out, '/');

	if (len < 0)
		return 0;	/* no link, or nothing there: the name stays as it is */
	if (++w->links > 40)
		return -ELOOP;
	target[len] = '\0';
	if ((size_t)snprintf(joined, sizeof(joined), "%s/%s", target, tail) >= sizeof(joined))
		return -ENAMETOOLONG;
	if (target[0] == '/')
		w->out[0] = '\0';
	else
		*slash = '\0';
	strcpy(w->rest, joined);
	return 1;
}

static int step(struct walk *w, const struct mount *m, size_t n, char *part, const char *tail)
{
	size_t len = strlen(w->out);

	if (!*part || !strcmp(part, "."))
		return 0;
	if (!strcmp(part, "..")) {
		char *slash = strrchr(w->out, '/');

		if (slash)
			*slash = '\0';
		return 0;
	}
	if (len + 1 + strlen(part) >= sizeof(w->out))
		return -ENAMETOOLONG;
	w->out[len] = '/';
	strcpy(w->out + len + 1, part);
	return mount_of(m, n, w->out) ? 0 : step_link(w, tail);
}

int path_absolute(const char *path, const struct mount *m, size_t n, char *out, size_t cap)
{
	struct walk w = { .links = 0 };
	int ret = 0;

	if (path[0] != '/' && !getcwd(w.out, sizeof(w.out)))
		return -errno;
	if (!path[0] || strlen(path) >= PATH_MAX)
		return -EINVAL;
	if (!strcmp(w.out, "/"))
		w.out[0] = '\0';
	strcpy(w.rest, path);
	while (w.rest[0] && ret >= 0) {
		char part[PATH_MAX], tail[2 * PATH_MAX];
		size_t len = strcspn(w.rest, "/");

		if (len >= sizeof(part))
			return -ENAMETOOLONG;
		memcpy(part, w.rest, len);
		part[len] = '\0';
		strcpy(tail, w.rest + len + (w.rest[len] == '/'));
		ret = step(&w, m, n, part, tail);
		if (ret == 0)
			strcpy(w.rest, tail);
	}
	if (ret < 0)
		return ret;
	return (size_t)snprintf(out, cap, "%s", w.out[0] ? w.out : "/") < cap ? 0 : -ENAMETOOLONG;
}
