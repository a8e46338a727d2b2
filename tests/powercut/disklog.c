// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * disklog.c - the log that QEMU's blklogwrites writes, in the format of dm-log-writes.
 *
 * A flush divides: what was written before it is on the disk, of what came after it any part
 * may be.  Marks of the workload are writes behind the end of the filesystem.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "powercut.h"

#define MAGIC		0x6a736677736872ull
#define SECTOR		512
#define LOG_FLUSH	1
#define LOG_FUA		2
#define LOG_DISCARD	4
#define LOG_MARK	8

struct log_super { u64 magic, version, nr_entries; u32 sectorsize; } __attribute__((packed));
struct log_head { u64 sector, nr_sectors, flags, data_len; } __attribute__((packed));

static void add_segment(struct disklog *l, size_t at)
{
	if (!(l->nseg & 255))
		l->seg = xrealloc(l->seg, (l->nseg + 257) * sizeof(*l->seg));
	l->seg[l->nseg++] = at;
}

static int take_entries(struct disklog *l, u64 nr)
{
	u64 at = SECTOR;

	l->e = xcalloc(nr + 1, sizeof(*l->e));
	add_segment(l, 0);
	for (u64 i = 0; i < nr; i++) {
		struct log_head h;
		u64 len;

		if (at + SECTOR > l->size)
			return -EBADMSG;
		memcpy(&h, l->map + at, sizeof(h));
		at += SECTOR;
		len = h.nr_sectors * SECTOR;
		if (h.nr_sectors > l->size / SECTOR || at + len > l->size || (h.flags & LOG_MARK))
			return -EBADMSG;
		if (h.flags & LOG_DISCARD)
			continue;
		l->e[l->n].off = h.sector * SECTOR;
		l->e[l->n].len = len;
		l->e[l->n].data = at;
		l->e[l->n++].flush = h.flags & (LOG_FLUSH | LOG_FUA);
		at += len;
		if (h.flags & (LOG_FLUSH | LOG_FUA))
			add_segment(l, l->n);
	}
	l->seg[l->nseg] = l->n;
	return 0;
}

int disklog_open(struct disklog *l, const char *path, u64 fs_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct log_super sb;
	struct stat st;

	memset(l, 0, sizeof(*l));
	l->fs_size = fs_size;
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	l->size = st.st_size;
	l->map = l->size ? mmap(NULL, l->size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	close(fd);
	if (l->map == MAP_FAILED || l->size < SECTOR)
		return -EBADMSG;
	memcpy(&sb, l->map, sizeof(sb));
	if (sb.magic != MAGIC || sb.sectorsize != SECTOR)
		return -EBADMSG;
	return take_entries(l, sb.nr_entries);
}

void disklog_apply(const struct disklog *l, size_t seg, const u8 *pick, u8 *image)
{
	for (size_t i = l->seg[seg]; i < l->seg[seg + 1]; i++) {
		const struct log_entry *e = &l->e[i];

		if (pick && !augur_map_test(pick, i - l->seg[seg]))
			continue;
		if (e->len && e->off + e->len <= l->fs_size)
			memcpy(image + e->off, l->map + e->data, e->len);
	}
}

const char *disklog_mark(const struct disklog *l, size_t seg, enum disk_mark which)
{
	for (size_t i = l->seg[seg]; i-- > 0;)
		if (l->e[i].len && l->e[i].off == l->fs_size + which * MARK_SIZE)
			return (const char *)l->map + l->e[i].data;
	return "";
}

u64 disklog_mark_no(const struct disklog *l, size_t seg, enum disk_mark which)
{
	return strtoull(disklog_mark(l, seg, which), NULL, 10);
}
