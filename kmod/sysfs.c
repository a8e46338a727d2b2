// SPDX-License-Identifier: GPL-2.0-only
/*
 * sysfs.c - /sys/fs/augurfs/: features/, and one directory a mount with its state, its
 * counters and its knobs.  Documentation/ABI/testing/sysfs-fs-augurfs lists the files.
 *
 * Knob files are made from the table of opts.h.  Everyone may read, root may write; values
 * go through the parser of the mount options.  A file that changes by other hands is
 * announced to poll().  sysfs waits for readers and writers inside when a mount goes.
 */
#include <linux/capability.h>
#include <linux/pid.h>
#include <linux/sysfs.h>
#include "upcall.h"

static struct kset *augur_kset;

static struct augur_sb *to_asb(struct kobject *kobj)
{
	return container_of(kobj, struct augur_sb, kobj);
}

/* -------- state -------- */

struct state_attr {
	struct attribute	attr;
	ssize_t			(*show)(struct augur_sb *asb, char *buf);
	ssize_t			(*store)(struct augur_sb *asb, const char *buf, size_t len);
};

static ssize_t state_show(struct augur_sb *asb, char *buf)
{
	switch (atomic_read(&asb->state)) {
	case AUGUR_MS_LIVE:
		return sysfs_emit(buf, "live\n");
	case AUGUR_MS_ORPHAN:
		return sysfs_emit(buf, "orphan\n");
	case AUGUR_MS_ABORTED:
		return sysfs_emit(buf, "aborted\n");
	}
	return -EIO;
}

static ssize_t daemon_pid_show(struct augur_sb *asb, char *buf)
{
	struct augur_session *sess = augur_session_get(asb, false);
	ssize_t n;

	n = sysfs_emit(buf, "%d\n", sess ? pid_vnr(sess->tgid) : 0);
	if (sess)
		augur_session_put(sess);
	return n;
}

static ssize_t epoch_show(struct augur_sb *asb, char *buf)
{
	return sysfs_emit(buf, "%llu\n", (u64)atomic64_read(&asb->epoch));
}

static ssize_t source_show(struct augur_sb *asb, char *buf)
{
	return sysfs_emit(buf, "%s\n", asb->source);
}

static ssize_t cache_show(struct augur_sb *asb, char *buf)
{
	return sysfs_emit(buf, "%s\n", asb->cache);
}

/* Nothing is written through the mount yet. */
static ssize_t uncommitted_bytes_show(struct augur_sb *asb, char *buf)
{
	return sysfs_emit(buf, "0\n");
}

static ssize_t abort_store(struct augur_sb *asb, const char *buf, size_t len)
{
	if (!sysfs_streq(buf, "1"))
		return -EINVAL;
	augur_abort(asb);
	return len;
}

#define STATE_RO(_name) \
	static struct state_attr attr_##_name = { \
		.attr = { .name = #_name, .mode = 0444 }, .show = _name##_show }

STATE_RO(state);
STATE_RO(daemon_pid);
STATE_RO(epoch);
STATE_RO(source);
STATE_RO(cache);
STATE_RO(uncommitted_bytes);
static struct state_attr attr_abort = {
	.attr = { .name = "abort", .mode = 0200 }, .store = abort_store,
};

static struct attribute *state_attrs[] = {
	&attr_state.attr, &attr_daemon_pid.attr, &attr_epoch.attr, &attr_source.attr,
	&attr_cache.attr, &attr_uncommitted_bytes.attr, &attr_abort.attr, NULL,
};

/* -------- knobs -------- */

/* All of one directory's attributes; where one lies tells which row it is. */
static struct attribute knob_attrs[AUGUR_NR_KNOBS];

static const char * const dirs[] = { "", "log/", "prefetch/", "evict/", "reshard/" };
/* As sysfs wants them: no slash, NULL for the mount's own directory. */
static const char * const dir_names[] = { NULL, "log", "prefetch", "evict", "reshard" };
static struct attribute *dir_attrs[ARRAY_SIZE(dirs)][AUGUR_NR_KNOBS + 1];
static struct attribute_group dir_groups[ARRAY_SIZE(dirs)];

static bool is_knob(const struct attribute *attr)
{
	return attr >= knob_attrs && attr < knob_attrs + AUGUR_NR_KNOBS;
}

static const struct augur_knob *to_knob(const struct attribute *attr)
{
	return &augur_knobs[attr - knob_attrs];
}

static ssize_t knob_show(struct augur_sb *asb, const struct augur_knob *knob, char *buf)
{
	u32 val = READ_ONCE(*augur_knob_member(&asb->opts, knob));
	int n = augur_knob_format(knob, val, buf, PAGE_SIZE - 1);

	buf[n++] = '\n';
	return n;
}

static const char *dir_name(const struct augur_knob *knob)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dirs); i++) {
		if (!strcmp(knob->dir, dirs[i]))
			return dir_names[i];
	}
	return NULL;
}

/* Two writers at a time could each be right alone and wrong together. */
static DEFINE_MUTEX(knob_mutex);

static int knob_set(struct augur_sb *asb, const struct augur_knob *knob, u32 val)
{
	struct augur_opts trial;
	int err;

	mutex_lock(&knob_mutex);
	trial = asb->opts;
	*augur_knob_member(&trial, knob) = val;
	err = augur_opts_check(NULL, &trial);
	if (!err)
		WRITE_ONCE(*augur_knob_member(&asb->opts, knob), val);
	mutex_unlock(&knob_mutex);
	return err;
}

static ssize_t knob_store(struct augur_sb *asb, const struct augur_knob *knob, const char *buf,
			  size_t len)
{
	u32 val;
	int err;

	if (!(knob->flags & AUGUR_KNOB_LIVE))
		return -EPERM;
	err = augur_knob_parse(knob, buf, &val);
	if (!err)
		err = knob_set(asb, knob, val);
	if (err)
		return err;
	sysfs_notify(&asb->kobj, dir_name(knob), knob->file);
	return len;
}

static void knobs_init(void)
{
	size_t dir, n;
	int i;

	for (i = 0; i < AUGUR_NR_KNOBS; i++) {
		knob_attrs[i].name = augur_knobs[i].file;
		knob_attrs[i].mode = augur_knobs[i].flags & AUGUR_KNOB_LIVE ? 0644 : 0444;
	}
	for (dir = 0; dir < ARRAY_SIZE(dirs); dir++) {
		n = 0;
		for (i = 0; i < AUGUR_NR_KNOBS; i++) {
			if (!strcmp(augur_knobs[i].dir, dirs[dir]))
				dir_attrs[dir][n++] = &knob_attrs[i];
		}
		dir_groups[dir].name = dir_names[dir];
		dir_groups[dir].attrs = dir_attrs[dir];
	}
}

/* -------- counters -------- */

u64 augur_stat_sum(struct augur_sb *asb, enum augur_stat_id id)
{
	u64 sum = 0;
	int cpu;

	if (id == AUGUR_STAT_events_accepted || id == AUGUR_STAT_events_dropped)
		return augur_event_sum(asb, id);
	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(asb->stats, cpu)->v[id]);
	return sum;
}

/* The counters, and after them what is alive now. */
enum { STAT_REQS_LIVE = AUGUR_NR_STATS, NR_STAT_FILES };

static struct attribute stat_attr[NR_STAT_FILES] = {
#define X(n) \
	[AUGUR_STAT_##n] = { .name = #n, .mode = 0444 },
	AUGUR_STATS(X)
#undef X
	[STAT_REQS_LIVE] = { .name = "requests_live", .mode = 0444 },
};

static struct attribute *stat_attrs[NR_STAT_FILES + 1];

static const struct attribute_group stats_group = { .name = "stats", .attrs = stat_attrs };

static bool is_stat(const struct attribute *attr)
{
	return attr >= stat_attr && attr < stat_attr + NR_STAT_FILES;
}

static ssize_t stat_show(struct augur_sb *asb, size_t id, char *buf)
{
	if (id == STAT_REQS_LIVE)
		return sysfs_emit(buf, "%d\n", atomic_read(&asb->reqs_live));
	return sysfs_emit(buf, "%llu\n", augur_stat_sum(asb, id));
}

/* -------- dispatch -------- */

static ssize_t mount_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	struct augur_sb *asb = to_asb(kobj);
	struct state_attr *sa;

	if (is_knob(attr))
		return knob_show(asb, to_knob(attr), buf);
	if (is_stat(attr))
		return stat_show(asb, attr - stat_attr, buf);
	sa = container_of(attr, struct state_attr, attr);
	return sa->show ? sa->show(asb, buf) : -EPERM;
}

static ssize_t mount_store(struct kobject *kobj, struct attribute *attr, const char *buf,
			   size_t len)
{
	struct augur_sb *asb = to_asb(kobj);
	struct state_attr *sa;

	/* Root of a container may own a file here and still is not who mounted. */
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (is_knob(attr))
		return knob_store(asb, to_knob(attr), buf, len);
	if (is_stat(attr))
		return -EPERM;
	sa = container_of(attr, struct state_attr, attr);
	return sa->store ? sa->store(asb, buf, len) : -EPERM;
}

static const struct sysfs_ops mount_ops = { .show = mount_show, .store = mount_store };

static const struct attribute_group state_group = { .attrs = state_attrs };

static const struct attribute_group *mount_groups[] = {
	&state_group, &dir_groups[0], &dir_groups[1], &dir_groups[2], &dir_groups[3],
	&dir_groups[4], &stats_group, NULL,
};

static void mount_release(struct kobject *kobj)
{
	complete(&to_asb(kobj)->kobj_done);
}

static struct kobj_type mount_type = {
	.sysfs_ops	= &mount_ops,
	.default_groups	= mount_groups,
	.release	= mount_release,
};

int augur_sysfs_add(struct augur_sb *asb)
{
	int err;

	init_completion(&asb->kobj_done);
	asb->kobj.kset = augur_kset;
	err = kobject_init_and_add(&asb->kobj, &mount_type, NULL, "%llu", asb->mount_id);
	if (err) {
		kobject_put(&asb->kobj);
		wait_for_completion(&asb->kobj_done);
		return err;
	}
	return 0;
}

void augur_sysfs_del(struct augur_sb *asb)
{
	if (!asb->kobj.state_in_sysfs)
		return;
	/* Not held over kobject_del(), which waits for handlers that may be about to notify. */
	mutex_lock(&asb->notify_lock);
	asb->sysfs_gone = true;
	mutex_unlock(&asb->notify_lock);
	kobject_del(&asb->kobj);
	kobject_put(&asb->kobj);
	wait_for_completion(&asb->kobj_done);
}

void augur_sysfs_changed(struct augur_sb *asb, const char *name)
{
	mutex_lock(&asb->notify_lock);
	if (asb->kobj.state_in_sysfs && !asb->sysfs_gone)
		sysfs_notify(&asb->kobj, NULL, name);
	mutex_unlock(&asb->notify_lock);
}

/* -------- features -------- */

static ssize_t feature_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "supported\n");
}

static ssize_t abi_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u.%u\n", AUGUR_ABI_VERSION >> 16, AUGUR_ABI_VERSION & 0xffff);
}

#define FEATURE(_name) \
	static struct kobj_attribute feature_##_name = \
		__ATTR(_name, 0444, feature_show, NULL)

FEATURE(read);
FEATURE(fill);
FEATURE(lease);
FEATURE(events);
FEATURE(switch);
FEATURE(evict);
static struct kobj_attribute feature_abi = __ATTR(abi_version, 0444, abi_show, NULL);

static struct attribute *feature_attrs[] = {
	&feature_read.attr, &feature_fill.attr, &feature_lease.attr, &feature_events.attr,
	&feature_switch.attr, &feature_evict.attr, &feature_abi.attr, NULL,
};

static const struct attribute_group features_group = {
	.name = "features", .attrs = feature_attrs,
};

int augur_sysfs_init(void)
{
	int i, err;

	knobs_init();
	for (i = 0; i < NR_STAT_FILES; i++)
		stat_attrs[i] = &stat_attr[i];
	augur_kset = kset_create_and_add(AUGUR_FS_NAME, NULL, fs_kobj);
	if (!augur_kset)
		return -ENOMEM;
	err = sysfs_create_group(&augur_kset->kobj, &features_group);
	if (err)
		kset_unregister(augur_kset);
	return err;
}

void augur_sysfs_exit(void)
{
	sysfs_remove_group(&augur_kset->kobj, &features_group);
	kset_unregister(augur_kset);
}
