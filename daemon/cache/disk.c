// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * disk.c - can the disk below a cache keep what a sync says it kept? (R12)
 *
 * Claims are written after a sync.  A filesystem that does not flush the disk's cache, has no
 * journal, or lies in memory makes a sync a word only, so a power cut may leave claims whose
 * bytes are gone.  It is said when the cache is attached and by augur doctor; nothing is refused,
 * as some disks have batteries.  A disk that lies about its flushes cannot be told from here.
 */
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cache/cache.h"

static bool has_option(const char *options, const char *want)
{
	size_t n = strlen(want);

	for (const char *p = options; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (!strncmp(p, want, n) && (!p[n] || p[n] == ','))
			return true;
	}
	return false;
}

static bool starts(const char *s, const char *p)
{
	return !strncmp(s, p, strlen(p));
}

const char *disk_weakness(const struct lower_disk *d)
{
	if (!strcmp(d->fs, "tmpfs"))
		return NULL;	/* for tests: gone with the machine, all of it */
	if (starts(d->device, "ram") || starts(d->device, "zram") || starts(d->device, "nullb"))
		return "its disk is memory";
	if (d->no_journal)
		return "its filesystem has no journal";
	if (d->write_back && (has_option(d->options, "nobarrier") || has_option(d->options, "barrier=0")))
		return "it is mounted with nobarrier, and its disk has a cache of its own";
	return NULL;
}

/* One line of mountinfo: "id parent maj:min root point options [more] - fs source super-options". */
static bool parse_mount(char *line, int want, struct lower_disk *d)
{
	char *dash = strstr(line, " - "), *save = NULL, *fs, *opts;
	int id;

	if (!dash || sscanf(line, "%d", &id) != 1 || id != want)
		return false;
	fs = strtok_r(dash + 3, " \n", &save);
	if (!fs || !strtok_r(NULL, " \n", &save))
		return false;
	opts = strtok_r(NULL, " \n", &save);
	snprintf(d->fs, sizeof(d->fs), "%s", fs);
	snprintf(d->options, sizeof(d->options), "%s", opts ? opts : "");
	return true;
}

static bool find_mount(int want, struct lower_disk *d)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	bool found = false;
	size_t cap = 0;

	while (f && !found && getline(&line, &cap, f) > 0)
		found = parse_mount(line, want, d);
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* All options in force, one a line: without a journal there is no mode of its data. */
static bool ext4_without_journal(const char *device)
{
	CLEANUP_FREE char *path = xasprintf("/proc/fs/ext4/%s/options", device);
	FILE *f = fopen(path, "re");
	bool none = f;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		none = none && !starts(line, "data=");
	if (f)
		fclose(f);
	return none;
}

static void look_at_device(u32 major, u32 minor, struct lower_disk *d)
{
	CLEANUP_FREE char *link = xasprintf("/sys/dev/block/%u:%u", major, minor);
	char path[PATH_MAX], name[PATH_MAX + 32], word[16] = "";
	FILE *f;

	if (!realpath(link, path))
		return;		/* btrfs has devices of its own */
	snprintf(name, sizeof(name), "%s/queue/write_cache", path);
	f = fopen(name, "re");
	if (!f) {	/* a partition */
		snprintf(name, sizeof(name), "%s/../queue/write_cache", path);
		f = fopen(name, "re");
	}
	if (f && fgets(word, sizeof(word), f))
		d->write_back = starts(word, "write back");
	if (f)
		fclose(f);
	snprintf(d->device, sizeof(d->device), "%s", basename(path));
	d->no_journal = !strcmp(d->fs, "ext4") && ext4_without_journal(d->device);
}

void cache_disk(struct cache *c)
{
	struct lower_disk d = { 0 };
	struct statx stx;

	if (statx(c->top_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &stx) || !(stx.stx_mask & STATX_MNT_ID) ||
	    !find_mount((int)stx.stx_mnt_id, &d))
		return;
	look_at_device(stx.stx_dev_major, stx.stx_dev_minor, &d);
	c->weakness = disk_weakness(&d);
	if (c->weakness)
		log_warn("event=cache_weak cache=%s why=\"%s\" effect=\"after a power cut it may hold what it only seemed to hold\" hint=\"mount it without nobarrier on a disk that keeps what it is told, or empty the cache after a power cut\"",
			 c->dir, c->weakness);
}
