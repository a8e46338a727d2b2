// SPDX-License-Identifier: GPL-2.0-only
/*
 * inject.c - named fault points: each takes one cure of a pitfall away, so that a test can
 * show that the cure is what makes it pass.
 *
 * debugfs augurfs/inject/<name> holds how many more times the fault is injected; 0, the
 * start, is off.  Root only, and never set outside tests.
 */
#include <linux/atomic.h>
#include <linux/debugfs.h>
#include "augurfs.h"

static atomic_t times[AUGUR_NR_INJECTS];

static const char * const names[AUGUR_NR_INJECTS] = {
#define X(n) \
	[AUGUR_INJECT_##n] = #n,
	AUGUR_INJECTS(X)
#undef X
};

bool augur_inject(enum augur_inject point)
{
	if (likely(!atomic_read(&times[point])))
		return false;
	return atomic_dec_if_positive(&times[point]) >= 0;
}

void augur_inject_init(struct dentry *debugfs_root)
{
	struct dentry *dir = debugfs_create_dir("inject", debugfs_root);
	int i;

	for (i = 0; i < AUGUR_NR_INJECTS; i++)
		debugfs_create_atomic_t(names[i], 0600, dir, &times[i]);
}
