// SPDX-License-Identifier: GPL-2.0-only
/* opts.c - every knob: its default, its bounds and one beyond, its words, and back to text. */
#include <linux/log2.h>
#include <linux/slab.h>
#include "selftest.h"

static int check_text(const struct augur_knob *knob, u32 val)
{
	char buf[32];
	u32 back = ~val;

	augur_knob_format(knob, val, buf, sizeof(buf));
	CHECK(!augur_knob_parse(knob, buf, &back));
	CHECK(back == val);
	return 0;
}

static int check_number(const struct augur_knob *knob)
{
	char buf[32];
	u32 val;

	CHECK(knob->min <= knob->def && knob->def <= knob->max);
	CHECK(!check_text(knob, knob->min) && !check_text(knob, knob->max));
	snprintf(buf, sizeof(buf), "%llu", (u64)knob->max + 1);
	CHECK(augur_knob_parse(knob, buf, &val) == -ERANGE);
	if (knob->min) {
		snprintf(buf, sizeof(buf), "%u", knob->min - 1);
		CHECK(augur_knob_parse(knob, buf, &val) == -ERANGE);
	}
	CHECK(augur_knob_parse(knob, "", &val) == -EINVAL);
	CHECK(augur_knob_parse(knob, "-1", &val) == -EINVAL);
	CHECK(augur_knob_parse(knob, "7x", &val) == -EINVAL);
	if (knob->flags & AUGUR_KNOB_POW2)
		CHECK(is_power_of_2(knob->min) && is_power_of_2(knob->max));
	return 0;
}

static int check_words(const struct augur_knob *knob)
{
	u32 val;

	for (val = 0; knob->words[val]; val++)
		CHECK(!check_text(knob, val));
	CHECK(val == knob->max + 1);
	CHECK(augur_knob_parse(knob, "no such word", &val) == -EINVAL);
	CHECK(augur_knob_parse(knob, "", &val) == -EINVAL);
	return 0;
}

static int check_knobs(struct augur_opts *opts)
{
	const struct augur_knob *knob;
	char buf[64];
	int i, err;

	augur_opts_init(opts);
	CHECK(!augur_opts_check(NULL, opts));
	augur_opts_print(buf, sizeof(buf), opts);
	CHECK(!buf[0]);
	for (i = 0; i < AUGUR_NR_KNOBS; i++) {
		knob = &augur_knobs[i];
		CHECK(*augur_knob_member(opts, knob) == knob->def);
		err = check_text(knob, knob->def);
		if (!err)
			err = knob->words ? check_words(knob) : check_number(knob);
		if (err) {
			pr_err("augurfs: selftest: knob %s\n", knob->name);
			return err;
		}
	}
	opts->evict_stop = opts->evict_cull + 1;
	CHECK(augur_opts_check(NULL, opts) == -EINVAL);
	opts->evict_stop = opts->evict_cull;
	CHECK(!augur_opts_check(NULL, opts));
	opts->evict_inode_cull = opts->evict_inode_run + 1;
	CHECK(augur_opts_check(NULL, opts) == -EINVAL);
	return 0;
}

int augur_selftest_opts(void)
{
	struct augur_opts *opts = kzalloc(sizeof(*opts), GFP_KERNEL);
	int err;

	if (!opts)
		return -ENOMEM;
	err = check_knobs(opts);
	kfree(opts);
	return err;
}
