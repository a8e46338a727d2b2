/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * selftest.h - checks of pure logic that run when a module built with AUGUR_SELFTEST is
 * loaded.  A failed check is logged with its line and makes the load fail with -EINVAL.
 */
#ifndef AUGUR_SELFTEST_H
#define AUGUR_SELFTEST_H

#include "augurfs.h"

/* Inside "static int some_test(void)". */
#define CHECK(cond)								\
	do {									\
		if (!(cond)) {							\
			pr_err("augurfs: selftest %s:%d: %s\n", __func__, __LINE__, #cond); \
			return -EINVAL;						\
		}								\
	} while (0)

int augur_selftest_state(void);
int augur_selftest_opts(void);
int augur_selftest_common(void);

#endif /* AUGUR_SELFTEST_H */
