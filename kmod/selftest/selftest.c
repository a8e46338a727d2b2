// SPDX-License-Identifier: GPL-2.0-only
/* selftest.c - runs the checks at load, in builds with AUGUR_SELFTEST; see selftest.h. */
#include "selftest.h"

static const struct {
	const char	*name;
	int		(*run)(void);
} tests[] = {
	{ "state", augur_selftest_state },
	{ "opts", augur_selftest_opts },
	{ "common", augur_selftest_common },
};

int augur_selftest(void)
{
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		err = tests[i].run();
		pr_info("augurfs: selftest %s: %s\n", tests[i].name, err ? "FAIL" : "pass");
		if (err)
			return err;
	}
	return 0;
}
