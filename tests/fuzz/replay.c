// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * replay: a fuzz target without libFuzzer: runs it on each file of the folder named, in order of names. With it every
 * check builds the targets and runs them on the committed corpus, under the sanitizers of the unit tests.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int main(int argc, char **argv)
{
	struct dirent **e;
	int i, n, dir, ran = 0;

	if (argc != 2 || (n = scandir(argv[1], &e, NULL, alphasort)) < 0) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (i = 0; i < n; i++) {
		const char *name = e[i]->d_name;
		u8 *data;
		ssize_t len;
		int fd;

		if (name[0] == '.')
			continue;
		fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
		/* Of its own and no larger than the input: the sanitizer sees a read beyond it. */
		data = malloc(1 << 20);
		len = fd < 0 ? -1 : read(fd, data, 1 << 20);
		if (len < 0) {
			fprintf(stderr, "%s: cannot be read\n", name);
			return 2;
		}
		close(fd);
		data = realloc(data, len ? len : 1);
		printf("%s\n", name);
		fflush(stdout);
		LLVMFuzzerTestOneInput(data, len);
		free(data);
		ran++;
	}
	for (i = 0; i < n; i++)
		free(e[i]);
	free(e);
	printf("%d inputs\n", ran);
	return ran ? 0 : 1;
}
