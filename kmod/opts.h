/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * opts.h - the one table of knobs (CONTRACTS 6).
 *
 * A row makes a member of struct augur_opts, the mount option of the same name, the file
 * below /sys/fs/augurfs/<mount id>/ and the row in tunables.rst; no knob exists without a
 * row.  The table itself needs no kernel header: the documentation generator includes it.
 * Rows marked "not used yet" are parsed, stored and shown, and change nothing.
 *
 * How super.c uses it:
 *	static const struct fs_parameter_spec augur_params[] = {
 *		AUGUR_OPTS_SPEC
 *		fsparam_string("cache", AUGUR_NR_KNOBS), {}
 *	};
 *	augur_opts_init(&opts);
 *	opt = fs_parse(fc, augur_params, param, &result);	(negative: return it)
 *	if (opt < AUGUR_NR_KNOBS)
 *		return augur_opts_set(fc, &opts, opt, param->string);
 *	at the end: augur_opts_check(fc, &opts); show_options: augur_opts_show(m, &opts);
 *
 * Members may change at any time through sysfs: read them with augur_opt(asb, member).
 */
#ifndef AUGUR_OPTS_H
#define AUGUR_OPTS_H

#include "common/types.h"

#define AUGUR_KNOB_LIVE		(1U << 0)	/* writable in sysfs while mounted */
#define AUGUR_KNOB_POW2		(1U << 1)	/* a power of two */

/*
 * NUM(member, directory, file, min, max, default, unit, flags, sentence)
 * ENUM(member, directory, file, words, default, flags, sentence): words is a list of
 *	strings in the order of the enum below, separated by commas.
 */
#define AUGUR_KNOBS(NUM, ENUM)							\
	NUM(timeout_ms, "", "timeout_ms", 100, 3600000, 30000, "ms",		\
	    AUGUR_KNOB_LIVE,							\
	    "Longest wait for one answer of the daemon; then it fails with EIO. A call may need several.")	\
	ENUM(on_loss, "", "on_loss", AUGUR_WORDS("wait", "eio"),		\
	     AUGUR_ON_LOSS_WAIT, AUGUR_KNOB_LIVE,				\
	     "While no daemon serves the mount: wait until timeout_ms, or fail with EIO at once.") \
	ENUM(open, "", "open", AUGUR_WORDS("lease", "strict"),			\
	     AUGUR_OPEN_LEASE, AUGUR_KNOB_LIVE,					\
	     "Opens of present objects: trust a valid lease, or ask the owner each time.") \
	ENUM(durability, "", "durability", AUGUR_WORDS("remote", "local"),	\
	     AUGUR_DURABILITY_REMOTE, AUGUR_KNOB_LIVE,				\
	     "What fsync waits for: the owner, or the local disk. Not used yet.") \
	ENUM(commit, "", "commit", AUGUR_WORDS("close", "fsync", "lazy"),	\
	     AUGUR_COMMIT_CLOSE, AUGUR_KNOB_LIVE,				\
	     "When changes are sent to the owner. Not used yet.")		\
	ENUM(offline, "", "offline", AUGUR_WORDS("no", "ro"),			\
	     AUGUR_OFFLINE_NO, AUGUR_KNOB_LIVE,					\
	     "Without a lease and an answer: fail the open, or serve the last version known.") \
	NUM(lease_ms, "", "lease_ms", 500, 600000, 10000, "ms",			\
	    AUGUR_KNOB_LIVE,							\
	    "Length of the read lease that the agent asks of an owner.")	\
	NUM(dirty_limit, "", "dirty_limit", 1, 4194304, 1024, "MiB",		\
	    AUGUR_KNOB_LIVE,							\
	    "Most uncommitted bytes before writers wait. Not used yet.")	\
	NUM(chunk_kb, "", "chunk_kb", 4, 1073741824, 64, "KiB",			\
	    AUGUR_KNOB_POW2,							\
	    "Smallest presence chunk of new objects; large files use larger ones.") \
	NUM(neg_ttl_ms, "", "neg_ttl_ms", 0, 3600000, 1000, "ms",		\
	    AUGUR_KNOB_LIVE,							\
	    "How long the absence of a name is believed without asking again.")	\
	NUM(neg_max, "", "neg_max", 16, 1048576, 65536, "names",		\
	    AUGUR_KNOB_POW2,							\
	    "Most absent names kept in memory; the oldest go first.")		\
	ENUM(log, "log/", "mode", AUGUR_WORDS("off", "summary", "full", "sample"), \
	     AUGUR_LOG_SUMMARY, AUGUR_KNOB_LIVE,				\
	     "Which accesses are recorded; the mount option takes sample:N too.") \
	NUM(log_sample, "log/", "sample", 1, 1000000, 100, "reads",		\
	    AUGUR_KNOB_LIVE,							\
	    "In mode sample, one read in so many is recorded.")			\
	NUM(log_ring_kb, "log/", "ring_kb", 16, 4096, 256, "KiB",		\
	    AUGUR_KNOB_POW2,							\
	    "Size of the ring of access records of each CPU.")			\
	NUM(prefetch_enabled, "prefetch/", "enabled", 0, 1, 1, "",		\
	    AUGUR_KNOB_LIVE,							\
	    "Whether the agent fetches what is predicted. Not used yet.")			\
	NUM(prefetch_threshold, "prefetch/", "threshold", 0, 1000, 600, "per mille", \
	    AUGUR_KNOB_LIVE,							\
	    "Least confidence of a prediction that is acted upon. Not used yet.")		\
	ENUM(prefetch_destination, "prefetch/", "destination",			\
	     AUGUR_WORDS("agent", "home", "cache"),				\
	     AUGUR_DESTINATION_AGENT, AUGUR_KNOB_LIVE,				\
	     "Where predicted bytes are staged. Not used yet.")				\
	ENUM(predict_at, "prefetch/", "predict_at", AUGUR_WORDS("home", "agent"), \
	     AUGUR_PREDICT_HOME, AUGUR_KNOB_LIVE,				\
	     "Who runs the model: the home proxy, or the agent itself. Not used yet.")	\
	NUM(prefetch_budget_kbps, "prefetch/", "budget_kbps", 0, 4294967295U, 0, "KiB/s", \
	    AUGUR_KNOB_LIVE,							\
	    "Most bytes a second spent on predictions; 0: no limit but demand first. Not used yet.") \
	NUM(prefetch_inflight, "prefetch/", "inflight", 1, 1024, 32, "requests", \
	    AUGUR_KNOB_LIVE,							\
	    "Most predicted objects under way at once. Not used yet.")			\
	NUM(evict_run, "evict/", "run", 0, 100, 10, "percent free",		\
	    AUGUR_KNOB_LIVE,							\
	    "Eviction ends when so much of the cache filesystem is free; above cull.") \
	NUM(evict_cull, "evict/", "cull", 0, 100, 7, "percent free",		\
	    AUGUR_KNOB_LIVE,							\
	    "Eviction of what is longest unused begins below this; above stop.")				\
	NUM(evict_stop, "evict/", "stop", 0, 100, 3, "percent free",		\
	    AUGUR_KNOB_LIVE,							\
	    "Below this nothing is fetched that nobody waits for.")				\
	NUM(evict_inode_run, "evict/", "inode_run", 0, 100, 10, "percent free",	\
	    AUGUR_KNOB_LIVE,							\
	    "Names are forgotten until so many of the cache filesystem's inodes are free; above inode_cull.") \
	NUM(evict_inode_cull, "evict/", "inode_cull", 0, 100, 7, "percent free", \
	    AUGUR_KNOB_LIVE,							\
	    "Below this names longest unused are forgotten, in a filesystem made with a number of inodes; above inode_stop.") \
	NUM(evict_inode_stop, "evict/", "inode_stop", 0, 100, 3, "percent free", \
	    AUGUR_KNOB_LIVE,							\
	    "Below this no names are brought that nobody waits for.")		\
	NUM(reshard_drift, "reshard/", "drift", 0, 1000, 200, "per mille",	\
	    AUGUR_KNOB_LIVE,							\
	    "This host's vote: change of the access pattern that triggers a plan. Not used yet.") \
	NUM(reshard_imbalance, "reshard/", "imbalance", 1000, 10000, 1300, "per mille", \
	    AUGUR_KNOB_LIVE,							\
	    "This host's vote: largest load over mean load that triggers a plan. Not used yet.") \
	NUM(reshard_min_gain, "reshard/", "min_gain", 0, 1000, 50, "per mille",	\
	    AUGUR_KNOB_LIVE,							\
	    "This host's vote: least measured gain for a plan to be carried out. Not used yet.") \
	NUM(reshard_auto, "reshard/", "auto", 0, 1, 0, "",			\
	    AUGUR_KNOB_LIVE,							\
	    "This host's vote: carry plans out without an operator. Not used yet.")

#define AUGUR_WORDS(...) __VA_ARGS__

enum augur_on_loss { AUGUR_ON_LOSS_WAIT, AUGUR_ON_LOSS_EIO };
enum augur_open_mode { AUGUR_OPEN_LEASE, AUGUR_OPEN_STRICT };
enum augur_durability { AUGUR_DURABILITY_REMOTE, AUGUR_DURABILITY_LOCAL };
enum augur_commit_mode { AUGUR_COMMIT_CLOSE, AUGUR_COMMIT_FSYNC, AUGUR_COMMIT_LAZY };
enum augur_offline { AUGUR_OFFLINE_NO, AUGUR_OFFLINE_RO };
enum augur_log_mode { AUGUR_LOG_OFF, AUGUR_LOG_SUMMARY, AUGUR_LOG_FULL, AUGUR_LOG_SAMPLE };
enum augur_destination { AUGUR_DESTINATION_AGENT, AUGUR_DESTINATION_HOME, AUGUR_DESTINATION_CACHE };
enum augur_predict_at { AUGUR_PREDICT_HOME, AUGUR_PREDICT_AGENT };

/* One u32 a row, numbers as given, enums as above. */
struct augur_opts {
#define NUM(member, ...) u32 member;
	AUGUR_KNOBS(NUM, NUM)
#undef NUM
};

/* Index of a row, and the "opt" of its struct fs_parameter_spec. */
enum augur_knob_id {
#define NUM(member, ...) AUGUR_KNOB_##member,
	AUGUR_KNOBS(NUM, NUM)
#undef NUM
	AUGUR_NR_KNOBS
};

#ifdef __KERNEL__

struct fs_context;
struct seq_file;

/* A row as data. */
struct augur_knob {
	const char		*name;		/* mount option */
	const char		*dir;		/* "" or "log/" ... */
	const char		*file;
	const char *const	*words;		/* NULL-terminated; NULL: a number */
	size_t			offset;		/* in struct augur_opts */
	u32			min, max, def;
	unsigned int		flags;		/* AUGUR_KNOB_* */
};

extern const struct augur_knob augur_knobs[AUGUR_NR_KNOBS];

/* Rows for the table of super.c; all take a string, which augur_opts_set parses. */
#define AUGUR_OPT_ROW(member, ...) fsparam_string(#member, AUGUR_KNOB_##member),
#define AUGUR_OPTS_SPEC AUGUR_KNOBS(AUGUR_OPT_ROW, AUGUR_OPT_ROW)

/* Current value; may change under the caller. */
#define augur_opt(asb, member) READ_ONCE((asb)->opts.member)

/* -------- opts.c -------- */
void augur_opts_init(struct augur_opts *opts);
/* Parses @s (one trailing newline allowed): 0, -EINVAL (not a value), -ERANGE. */
int augur_knob_parse(const struct augur_knob *knob, const char *s, u32 *val);
/* Writes the value with no newline: bytes as by scnprintf. */
int augur_knob_format(const struct augur_knob *knob, u32 val, char *buf, size_t size);
/* Mount option @id; logs the reason to @fc. */
int augur_opts_set(struct fs_context *fc, struct augur_opts *opts, unsigned int id, const char *s);
/* What must hold between knobs (evict/stop <= cull <= run): 0 or -EINVAL; @fc may be NULL. */
int augur_opts_check(struct fs_context *fc, const struct augur_opts *opts);
/* ",name=value" for every knob that differs from its default: for show_options, or as text. */
void augur_opts_show(struct seq_file *m, const struct augur_opts *opts);
void augur_opts_print(char *buf, size_t size, const struct augur_opts *opts);

static inline u32 *augur_knob_member(struct augur_opts *opts, const struct augur_knob *knob)
{
	return (u32 *)((char *)opts + knob->offset);
}

#endif /* __KERNEL__ */
#endif /* AUGUR_OPTS_H */
