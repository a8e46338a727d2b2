// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ops: the file work that the benchmark times, as one static program without surprises: no locale, no buffering
 * layer, the same system calls in the same order on every filesystem.  Reads only; one thread.
 *
 *   ops walk DIR             every directory in the order the filesystem lists it; each file: lstat, open, fstat, read
 *                            to the end, close, when its turn comes.  Prints files, directories and bytes.
 *   ops randread FILE N      N aligned 4 KiB reads at places fixed by a seed
 *   ops replay ROOT LIST US  open, fstat, read to the end and close of every path in LIST; US of thinking between
 *   ops micro DIR N [COUNT]  nanoseconds of one warm operation, "name ns own moved" lines (own: of this thread's processor
 *                            time only, without what others did meanwhile; moved: by how much the number in the file
 *                            COUNT is larger after all of them); DIR is `micro` of tests/bench/mkorigin.py
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BUF_SIZE	(128 << 10)
#define MICRO_SIZE	(4L << 20)	/* of micro/a/b/f */
#define PAGE		4096L
#define FAULT_AROUND	(64L << 10)	/* the kernel's default */
#define SETTLE_S	12		/* what a first read leaves to be done behind it is done */

static char buf[BUF_SIZE];

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		err(1, "open %s", path);
	return fd;
}

/* Reads an open file to its end; returns the bytes. */
static uint64_t drain(int fd, const char *path)
{
	uint64_t sum = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		sum += n;
	if (n < 0)
		err(1, "read %s", path);
	return sum;
}

/* ---- walk */

struct names {
	char **at;
	size_t count, room;
};

static struct totals {
	uint64_t files, dirs, bytes;
} total;

static void names_add(struct names *n, const char *name)
{
	if (n->count == n->room) {
		n->room = n->room ? 2 * n->room : 64;
		n->at = realloc(n->at, n->room * sizeof(*n->at));
	}
	if (!n->at || !(n->at[n->count++] = strdup(name)))
		err(1, "out of memory");
}

static void read_file(int dirfd, const char *name)
{
	struct stat st;
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st))
		err(1, "open %s", name);
	total.bytes += drain(fd, name);
	total.files++;
	close(fd);
}

static void walk(int dirfd)
{
	struct names n = { 0 };
	DIR *dir = fdopendir(dirfd);
	struct dirent *e;
	struct stat st;
	int fd;

	if (!dir)
		err(1, "fdopendir");
	total.dirs++;
	for (errno = 0; (e = readdir(dir)); errno = 0)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			names_add(&n, e->d_name);
	if (errno)
		err(1, "readdir");
	for (size_t i = 0; i < n.count; i++) {
		if (fstatat(dirfd, n.at[i], &st, AT_SYMLINK_NOFOLLOW))
			err(1, "stat %s", n.at[i]);
		if (S_ISREG(st.st_mode)) {
			read_file(dirfd, n.at[i]);
		} else if (S_ISDIR(st.st_mode)) {
			fd = openat(dirfd, n.at[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (fd < 0)
				err(1, "open %s", n.at[i]);
			walk(fd);
		}
		free(n.at[i]);
	}
	free(n.at);
	closedir(dir);
}

/* ---- randread, replay */

static void randread(const char *path, int count)
{
	int fd = open_or_die(path, O_RDONLY);
	uint64_t x = 0x9e3779b97f4a7c15ull;
	struct stat st;

	if (fstat(fd, &st) || st.st_size < PAGE)
		errx(1, "%s: too small", path);
	for (int i = 0; i < count; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		if (pread(fd, buf, PAGE, (x >> 20) % (st.st_size / PAGE) * PAGE) != PAGE)
			err(1, "pread %s", path);
	}
	close(fd);
}

static void replay(const char *root, const char *list, long think_us)
{
	struct timespec think = { think_us / 1000000, think_us % 1000000 * 1000 };
	FILE *f = fopen(list, "r");
	char path[4096];
	struct stat st;
	int fd;

	if (!f || chdir(root))
		err(1, "%s, %s", list, root);
	while (fgets(path, sizeof(path), f)) {
		path[strcspn(path, "\n")] = 0;
		fd = open_or_die(path, O_RDONLY);
		if (fstat(fd, &st))
			err(1, "fstat %s", path);
		drain(fd, path);
		close(fd);
		if (think_us)
			nanosleep(&think, NULL);
	}
	fclose(f);
}

/* ---- micro: each operation once unmeasured, then `count` times */

static const char file[] = "a/b/f", absent[] = "a/b/none", list[] = "ls";
static int open_fd;

static void op_stat(int i)
{
	struct stat st;

	if (stat(file, &st))
		err(1, "stat");
}

static void op_enoent(int i)
{
	struct stat st;

	if (!stat(absent, &st) || errno != ENOENT)
		errx(1, "%s exists", absent);
}

static void op_fstat(int i)
{
	struct stat st;

	if (fstat(open_fd, &st))
		err(1, "fstat");
}

static void op_open(int i)
{
	int fd = open_or_die(file, O_RDONLY);

	if (read(fd, buf, PAGE) != PAGE)
		err(1, "read");
	close(fd);
}

static void op_getdents(int i)
{
	int fd = open_or_die(list, O_RDONLY | O_DIRECTORY);
	long n;

	while ((n = syscall(SYS_getdents64, fd, buf, 32768)) > 0)
		;
	if (n < 0)
		err(1, "getdents");
	close(fd);
}

static void op_pread4k(int i)
{
	if (pread(open_fd, buf, PAGE, i % (MICRO_SIZE / PAGE) * PAGE) != PAGE)
		err(1, "pread");
}

static void op_pread128k(int i)
{
	if (pread(open_fd, buf, BUF_SIZE, i % (MICRO_SIZE / BUF_SIZE) * BUF_SIZE) != BUF_SIZE)
		err(1, "pread");
}

/* Maps the file and touches one page; every 1024th time anew, so that all pages are touched once a mapping. */
static void op_mmap(int i)
{
	static volatile char *m, sum;

	if (i % (MICRO_SIZE / PAGE) == 0) {
		if (m)
			munmap((void *)m, MICRO_SIZE);
		m = mmap(NULL, MICRO_SIZE, PROT_READ, MAP_SHARED, open_fd, 0);
		if (m == MAP_FAILED)
			err(1, "mmap");
	}
	sum += m[i % (MICRO_SIZE / PAGE) * PAGE];
}

/* The same, of the first page of what one fault maps at a time: each touch is one minor fault. */
static void op_fault(int i)
{
	static volatile char *m, sum;
	int at = i % (MICRO_SIZE / FAULT_AROUND);

	if (!at) {
		if (m)
			munmap((void *)m, MICRO_SIZE);
		m = mmap(NULL, MICRO_SIZE, PROT_READ, MAP_SHARED, open_fd, 0);
		if (m == MAP_FAILED)
			err(1, "mmap");
	}
	sum += m[at * FAULT_AROUND];
}

static long counter(const char *path)
{
	FILE *f = path ? fopen(path, "r") : NULL;
	long n = 0;

	if (path && (!f || fscanf(f, "%ld", &n) != 1))
		err(1, "%s", path);
	if (f)
		fclose(f);
	return n;
}

static void measure(const char *name, void (*op)(int i), int count, const char *count_file)
{
	long before = counter(count_file);
	uint64_t wall, own;

	op(0);
	wall = clock_ns(CLOCK_MONOTONIC);
	own = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	for (int i = 0; i < count; i++)
		op(i);
	own = clock_ns(CLOCK_THREAD_CPUTIME_ID) - own;
	wall = clock_ns(CLOCK_MONOTONIC) - wall;
	printf("%s %llu %llu", name, (unsigned long long)(wall / count), (unsigned long long)(own / count));
	if (count_file)
		printf(" %ld", counter(count_file) - before);
	printf("\n");
}

static void micro(const char *dir, int count, const char *count_file)
{
	static const struct {
		const char *name;
		void (*op)(int i);
		int share;	/* done count / share times */
	} ops[] = {
		{ "stat", op_stat, 1 }, { "stat-enoent", op_enoent, 1 }, { "fstat", op_fstat, 1 },
		{ "getdents200", op_getdents, 10 }, { "pread4k", op_pread4k, 1 }, { "pread128k", op_pread128k, 10 },
		{ "mmap-touch-page", op_mmap, 1 }, { "mmap-fault", op_fault, 1 }, { "open+read4k+close", op_open, 1 },
	};

	if (chdir(dir))
		err(1, "%s", dir);
	open_fd = open_or_die(file, O_RDONLY);
	for (int i = 0; i < 2; i++)
		if (lseek(open_fd, 0, SEEK_SET) || drain(open_fd, file) != MICRO_SIZE)
			errx(1, "%s has another size", file);
	op_getdents(0);
	op_stat(0);
	sleep(SETTLE_S);
	for (size_t k = 0; k < sizeof(ops) / sizeof(ops[0]); k++)
		measure(ops[k].name, ops[k].op, count / ops[k].share + 1, count_file);
	close(open_fd);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";

	if (argc == 3 && !strcmp(verb, "walk")) {
		walk(open_or_die(argv[2], O_RDONLY | O_DIRECTORY));
		printf("files %llu dirs %llu bytes %llu\n", (unsigned long long)total.files,
		       (unsigned long long)total.dirs, (unsigned long long)total.bytes);
	} else if (argc == 4 && !strcmp(verb, "randread")) {
		randread(argv[2], atoi(argv[3]));
	} else if (argc == 5 && !strcmp(verb, "replay")) {
		replay(argv[2], argv[3], atol(argv[4]));
	} else if ((argc == 4 || argc == 5) && !strcmp(verb, "micro")) {
		micro(argv[2], atoi(argv[3]), argv[4]);
	} else {
		fprintf(stderr, "ops: see the head of tests/bench/ops.c\n");
		return 2;
	}
	return 0;
}
