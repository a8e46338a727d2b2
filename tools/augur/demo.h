/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * demo.h - what the two files of "augur demo" share.
 */
#ifndef AUGUR_TOOLS_DEMO_H
#define AUGUR_TOOLS_DEMO_H

#include <sys/types.h>
#include "augur.h"

#define DEMO_READY_MS 15000

struct demo_proc { pid_t pid; };	/* 0: not running */

/*
 * Starts argv[0] with @ready_opt and the number of a descriptor appended (argv has room for
 * three more members), its output in @log, and waits until it writes a byte there.
 * 0, -ECHILD (it ended), -ETIMEDOUT, -errno.
 */
int demo_start(struct demo_proc *p, const char *log, char **argv, const char *ready_opt);
int demo_run(char *const *argv);
/* SIGTERM, then after 5 s SIGKILL. */
void demo_end(struct demo_proc *p);

#endif
