// SPDX-License-Identifier: GPL-2.0-only
/*
 * opts.c - the knob table of opts.h as data, its parser and its printer.
 *
 * Mount options and sysfs files go through the same parser, so a bound is checked in one
 * place.  No locks: a value is one u32, written with WRITE_ONCE by sysfs.c and read with
 * augur_opt(); mount-time code owns its struct augur_opts alone.
 */
#include <linux/fs_context.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/seq_file.h>
#include "augurfs.h"

#define NUM(...)
#define ENUM(member, dir, file, words, ...) \
	static const char *const words_##member[] = { words, NULL };
AUGUR_KNOBS(NUM, ENUM)
#undef NUM
#undef ENUM

const struct augur_knob augur_knobs[AUGUR_NR_KNOBS] = {
#define NUM(_member, _dir, _file, _min, _max, _def, _unit, _flags, _sentence)	\
	[AUGUR_KNOB_##_member] = {						\
		.name = #_member, .dir = _dir, .file = _file,			\
		.offset = offsetof(struct augur_opts, _member),			\
		.min = _min, .max = _max, .def = _def, .flags = _flags,		\
	},
#define ENUM(_member, _dir, _file, _words, _def, _flags, _sentence)		\
	[AUGUR_KNOB_##_member] = {						\
		.name = #_member, .dir = _dir, .file = _file,			\
		.words = words_##_member,					\
		.offset = offsetof(struct augur_opts, _member),			\
		.max = ARRAY_SIZE(words_##_member) - 2,				\
		.def = _def, .flags = _flags,					\
	},
	AUGUR_KNOBS(NUM, ENUM)
#undef NUM
#undef ENUM
};

void augur_opts_init(struct augur_opts *opts)
{
	int i;

	for (i = 0; i < AUGUR_NR_KNOBS; i++)
		*augur_knob_member(opts, &augur_knobs[i]) = augur_knobs[i].def;
}

static int parse_word(const struct augur_knob *knob, const char *s, u32 *val)
{
	u32 i;

	for (i = 0; knob->words[i]; i++) {
		if (sysfs_streq(s, knob->words[i])) {
			*val = i;
			return 0;
		}
	}
	return -EINVAL;
}

int augur_knob_parse(const struct augur_knob *knob, const char *s, u32 *val)
{
	u32 v;
	int err;

	if (knob->words)
		return parse_word(knob, s, val);
	err = kstrtou32(s, 0, &v);
	if (err)
		return err;
	if (v < knob->min || v > knob->max)
		return -ERANGE;
	if ((knob->flags & AUGUR_KNOB_POW2) && !is_power_of_2(v))
		return -EINVAL;
	*val = v;
	return 0;
}

int augur_knob_format(const struct augur_knob *knob, u32 val, char *buf, size_t size)
{
	if (!knob->words)
		return scnprintf(buf, size, "%u", val);
	return scnprintf(buf, size, "%s", val <= knob->max ? knob->words[val] : "?");
}

/* log=sample:N is the one option that sets two knobs. */
static int set_sample(struct augur_opts *opts, const char *s)
{
	u32 n;
	int err = augur_knob_parse(&augur_knobs[AUGUR_KNOB_log_sample], s, &n);

	if (err)
		return err;
	opts->log = AUGUR_LOG_SAMPLE;
	opts->log_sample = n;
	return 0;
}

static int set_plain(struct augur_opts *opts, const struct augur_knob *knob, const char *s)
{
	u32 val;
	int err = augur_knob_parse(knob, s, &val);

	if (!err)
		*augur_knob_member(opts, knob) = val;
	return err;
}

int augur_opts_set(struct fs_context *fc, struct augur_opts *opts, unsigned int id, const char *s)
{
	const struct augur_knob *knob;
	int err;

	if (id >= AUGUR_NR_KNOBS || !s)
		return -EINVAL;
	knob = &augur_knobs[id];
	if (id == AUGUR_KNOB_log && !strncmp(s, "sample:", 7))
		err = set_sample(opts, s + 7);
	else
		err = set_plain(opts, knob, s);
	if (!err)
		return 0;
	if (err == -ERANGE && !knob->words)
		errorf(fc, "augurfs: %s=%s is out of range (%u to %u)",
		       knob->name, s, knob->min, knob->max);
	else
		errorf(fc, "augurfs: %s=%s is not a valid value", knob->name, s);
	return -EINVAL;
}

int augur_opts_check(struct fs_context *fc, const struct augur_opts *opts)
{
	const struct { const char *what; u32 stop, cull, run; } marks[] = {
		{ "", opts->evict_stop, opts->evict_cull, opts->evict_run },
		{ "inode_", opts->evict_inode_stop, opts->evict_inode_cull, opts->evict_inode_run },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(marks); i++) {
		if (marks[i].stop <= marks[i].cull && marks[i].cull <= marks[i].run)
			continue;
		if (fc)
			errorf(fc, "augurfs: evict_%sstop <= cull <= run must hold (%u, %u, %u)",
			       marks[i].what, marks[i].stop, marks[i].cull, marks[i].run);
		return -EINVAL;
	}
	return 0;
}

/* ",name=value" into @buf, or nothing if the knob has its default. */
static int print_one(const struct augur_knob *knob, const struct augur_opts *opts, char *buf,
		     size_t size)
{
	u32 val = READ_ONCE(*(const u32 *)((const char *)opts + knob->offset));
	int n;

	buf[0] = '\0';
	if (val == knob->def)
		return 0;
	n = scnprintf(buf, size, ",%s=", knob->name);
	return n + augur_knob_format(knob, val, buf + n, size - n);
}

void augur_opts_show(struct seq_file *m, const struct augur_opts *opts)
{
	char buf[64];
	int i;

	for (i = 0; i < AUGUR_NR_KNOBS; i++) {
		print_one(&augur_knobs[i], opts, buf, sizeof(buf));
		seq_puts(m, buf);
	}
}

void augur_opts_print(char *buf, size_t size, const struct augur_opts *opts)
{
	size_t n = 0;
	int i;

	buf[0] = '\0';
	for (i = 0; i < AUGUR_NR_KNOBS && n + 1 < size; i++)
		n += print_one(&augur_knobs[i], opts, buf + n, size - n);
}
