/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * augurfs.h - private types of the module, and the prototypes of every file, grouped by
 * the file that defines them.
 *
 * Lock order (kernel-wide, outermost first):
 *   mmap_lock (dropped before any wait) -> upper sb_writers -> upper dir i_rwsem ->
 *   upper inode i_rwsem -> [a wait for the daemon is allowed up to here] ->
 *   lower sb_writers -> lower dir i_rwsem -> lower inode i_rwsem ->
 *   leaf spinlocks: the listings' lock -> augur_inode.lock -> augur_sb.req_lock or
 *   augur_sb.unsettled_lock; lease_lock alone; neg_lock -> d_lock.
 * No upcall while holding anything of the lower filesystem or the mmap lock.
 * A netlink handler (doit) never waits and never takes an i_rwsem of the upper tree,
 * except SWITCH and REMOVE, which take the *lower* directory's lock only; for a name that is
 * only forgotten REMOVE takes the upper directory's first if it is free, and does not wait.
 */
#ifndef AUGURFS_H
#define AUGURFS_H

#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/kobject.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mount.h>
#include <linux/path.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <linux/completion.h>
#include <linux/augurfs.h>
#include "common/record.h"
#include "common/bitmap.h"
#include "common/lease.h"
#include "opts.h"

/* -------- statistics: one row each; names are the files under stats/ -------- */
#define AUGUR_STATS(X)							\
	X(upcalls)	/* requests created */				\
	X(upcalls_lookup) X(upcalls_populate) X(upcalls_fetch) X(upcalls_reval) \
	X(upcalls_coalesced)	/* waits that joined another's request */ \
	X(upcalls_timeout) X(upcalls_killed) X(upcalls_error) X(upcalls_resent) \
	X(fetch_wait_us)						\
	X(opens) X(reads) X(read_bytes) X(miss_bytes) X(faults_absent)	\
	X(lookups) X(lookups_negative) X(lookups_ahead) X(negatives_dropped) X(readdirs) X(listings_built)	\
	X(grants) X(grant_bytes) X(fills_unasked_bytes)			\
	X(evictions) X(evicted_bytes) X(evictions_refused) X(streamed_bytes)	\
	X(names_forgotten)						\
	X(opens_unleased) X(opens_offline)				\
	X(invals) X(switches)						\
	X(events_accepted) X(events_dropped) X(events_produced)

enum augur_stat_id {
#define X(n) AUGUR_STAT_##n,
	AUGUR_STATS(X)
#undef X
	AUGUR_NR_STATS
};

struct augur_stats { u64 v[AUGUR_NR_STATS]; };
#define augur_stat_add(asb, n, d) this_cpu_add((asb)->stats->v[AUGUR_STAT_##n], (d))
#define augur_stat_inc(asb, n) augur_stat_add(asb, n, 1)

struct augur_session;		/* upcall.c */
struct augur_req;		/* upcall.c */
struct augur_cpu_ring;		/* event.c */
struct augur_listing;		/* listing.c */

/* -------- superblock -------- */
struct augur_sb {
	struct super_block	*sb;
	u64			mount_id;	/* never reused */
	struct list_head	link;		/* augur_mounts, under augur_mounts_lock */
	struct vfsmount		*lower_mnt;	/* private clone; dentry below is its root/ */
	struct path		lower_root;	/* <cache>/root on lower_mnt */
	struct path		lower_top;	/* <cache> */
	dev_t			lower_dev;	/* of lower_root, as stat() says: btrfs has several */
	u64			lower_ino;
	const struct cred	*cred;		/* mounter's, CAP_SYS_RESOURCE lowered */
	char			*source;	/* PROXY[,PROXY...]:/VOLUME, as given */
	char			*cache;		/* cache= as given */
	struct augur_opts	opts;		/* opts.h: one member a knob */
	bool			plain;		/* lower buffered reads are filemap_read(): lower.c */
	bool			lower_by_ino;	/* its inodes are found by what a listing says: lower.c */
	bool			suid, dev;	/* mount options: setuid bits and devices are honoured */
	atomic64_t		epoch;		/* names with an older one are looked up again */
	atomic_t		state;		/* enum augur_mount_state */
	struct augur_stats __percpu *stats;

	/* upcall.c */
	spinlock_t		req_lock;	/* session, wait lists */
	struct xarray		reqs;		/* id -> augur_req */
	struct augur_session	*session;	/* under req_lock; NULL: orphan */
	bool			stopping;	/* under req_lock: no session any more */
	atomic_t		reqs_live;	/* allocated, must reach 0 */
	wait_queue_head_t	idle_wait;	/* fewer requests, fewer pins */
	struct delayed_work	resend_work;
	atomic_t		pins;		/* netlink handlers inside; umount waits for 0 */
	struct llist_head	iputs;		/* augur_iput_async() */
	struct work_struct	iput_work;

	/* leases: upcall.c writes, inode.c reads; RCU-free, plain arrays under lease_lock */
	spinlock_t		lease_lock;
	u16			*pu_group;	/* AUGUR_PU_MAX entries, vmalloc, or NULL */
	u64			pu_seq;
	struct augur_lease	*leases;	/* AUGUR_GROUPS_MAX, or NULL */

	/* inodes whose memory state is ahead of the durable one; each holds a reference */
	spinlock_t		unsettled_lock;
	struct list_head	unsettled;	/* by augur_inode.unsettled_seq */
	u64			unsettled_seq;

	/* event.c */
	struct augur_cpu_ring __percpu *rings;
	struct delayed_work	event_work;
	struct augur_session	*event_session;	/* under req_lock */

	/* dir.c: the negative names in memory, oldest dropped for a new one */
	spinlock_t		neg_lock;
	struct dentry		**neg_ring;	/* neg_max entries, vmalloc */
	u32			neg_next;
	unsigned long		listed_lookup;	/* jiffies: a name was last looked up after its listing */

	atomic_t		open_ids;
	/* sysfs.c, debugfs.c */
	struct mutex		notify_lock;	/* leaf: sysfs_gone, and notifying */
	bool			sysfs_gone;
	struct kobject		kobj;
	struct completion	kobj_done;
	struct dentry		*debugfs;
};

static inline struct augur_sb *AUGUR_SB(const struct super_block *sb)
{
	return sb->s_fs_info;
}

/* -------- inode -------- */
struct augur_inode {
	struct inode		*lower;		/* holds a reference; never changes */
	umode_t			hidden_mode;	/* setuid/setgid bits that getattr shows and exec ignores */
	u8			oid[AUGUR_OID_LEN];
	u64			version;
	u32			pu;
	u8			chunk_shift;
	spinlock_t		lock;		/* everything below */
	unsigned int		state;		/* AUGUR_IS_*; written by state.c alone */
	u8			*map;		/* presence; NULL when complete or not known */
	u32			map_chunks;	/* bits in map; 0 without one */
	struct list_head	fetches;	/* augur_req of this inode, for coalescing */
	struct list_head	grant_list;	/* augur_grant of this inode */
	unsigned int		grants;		/* fill grants and FETCH requests out */
	u64			map_gen;	/* raised at each newly present chunk */
	atomic_t		mappings;	/* vmas through the wrapper */
	atomic_t		opens;		/* open files, file.c; raised under ai->lock */
	atomic_t		reading;	/* between augur_read_begin() and _end() */
	const void		*vouched_to;	/* a task, to be compared; inode.c */
	unsigned long		vouched_at;	/* jiffies */
	struct list_head	unsettled;	/* augur_sb.unsettled, under its lock */
	u64			unsettled_seq;
	/* directories, dir.c and listing.c */
	u64			dir_gen;	/* raised when names may have changed */
	struct augur_listing __rcu *listing;
	u32			looked;		/* names looked up without a listing, roughly */
	struct inode		vfs;
};

static inline struct augur_inode *AUGUR_I(const struct inode *inode)
{
	return container_of(inode, struct augur_inode, vfs);
}

static inline bool augur_is_complete(const struct inode *inode)
{
	/* Pairs with state.c: who sees COMPLETE sees what made it so. */
	return smp_load_acquire(&AUGUR_I(inode)->state) & AUGUR_IS_COMPLETE;
}

/* -------- open regular file: file->private_data (directories: listing.c's, or NULL) -------- */
struct augur_file {
	struct file	*lower;		/* NULL until needed: augur_file_lower() */
	u32		open_id;
	u64		session_key;
	/* access summary; racy by design, only counters */
	u64		bytes, reads, next_off, miss_us, miss_bytes;
	u64		run_off;	/* start of the present sequential run; event.c */
	u32		jumps;		/* runs so far; event.c */
	/* read-ahead, file.c: where the last read ended, and how much the next miss asks for */
	u64		ra_next, ra_want;
};

/*
 * dentry->d_time is augur_name_gen() of the parent when the name was last looked up.
 * dentry->d_fsdata of a positive dentry: a reference to the lower dentry, until d_release.
 * Of a negative one: the jiffies of the lookup (upper half), twice its place in neg_ring, plus
 * AUGUR_NEG; no reference.
 */
#define AUGUR_NEG	1UL

static inline struct dentry *augur_lower_dentry(const struct dentry *dentry)
{
	unsigned long v = (unsigned long)READ_ONCE(dentry->d_fsdata);

	return (v & AUGUR_NEG) ? NULL : (struct dentry *)v;
}

static inline unsigned long augur_name_gen(const struct inode *dir)
{
	return (unsigned long)(atomic64_read(&AUGUR_SB(dir->i_sb)->epoch) +
			       READ_ONCE(AUGUR_I(dir)->dir_gen));
}

/* -------- main.c -------- */
extern struct list_head augur_mounts;
extern struct mutex augur_mounts_lock;
struct augur_sb *augur_mount_find(u64 mount_id);	/* under augur_mounts_lock */
/* Allocation accounting: every object of ours; printed and checked at unload. */
extern atomic64_t augur_live;
static inline void augur_live_inc(void) { atomic64_inc(&augur_live); }
static inline void augur_live_dec(void) { atomic64_dec(&augur_live); }

/* dmesg: "augurfs (<mount id> <source>): ..." rate limited; say cause and next step. */
#define augur_err(asb, fmt, ...)  pr_err_ratelimited("augurfs (%llu %s): " fmt "\n", (asb)->mount_id, (asb)->source, ##__VA_ARGS__)
#define augur_warn(asb, fmt, ...) pr_warn_ratelimited("augurfs (%llu %s): " fmt "\n", (asb)->mount_id, (asb)->source, ##__VA_ARGS__)
#define augur_info(asb, fmt, ...) pr_info("augurfs (%llu %s): " fmt "\n", (asb)->mount_id, (asb)->source, ##__VA_ARGS__)

/* -------- super.c -------- */
extern struct file_system_type augur_fs_type;
extern const struct super_operations augur_super_ops;
/* cachedir.c: checks asb->cache and fills lower_mnt, lower_top, lower_root; the caller frees. */
int augur_cache_open(struct fs_context *fc, struct augur_sb *asb);
int augur_inode_cache_init(void);
void augur_inode_cache_exit(void);
/* sysfs abort, umount -f: every wait ends with -ENOTCONN; irreversible for the mount. */
void augur_abort(struct augur_sb *asb);
/*
 * End of a mount, in this order: augur_sysfs_del, augur_debugfs_del; off augur_mounts (under
 * the lock); augur_upcall_stop_sb; all inodes go; augur_upcall_exit_sb, augur_event_exit_sb;
 * lower mount and memory.
 */

/* -------- inode.c -------- */
/* Upper inode of @lower (a reference is taken); reads the record. ERR_PTR(-ENODATA): no valid record. */
struct inode *augur_iget(struct super_block *sb, struct inode *lower, struct dentry *lower_dentry);
/* The same with the record at hand, valid. */
struct inode *augur_iget_record(struct super_block *sb, struct inode *lower,
				const struct augur_rec *rec);
bool augur_known_stale(struct super_block *sb, struct inode *lower, const struct augur_rec *rec);
/* The upper inode in memory with this oid (the current version, else a stale one), or NULL; iput() it. */
struct inode *augur_ilookup(struct super_block *sb, const u8 oid[AUGUR_OID_LEN]);
/* From a lower file handle (as in the ABI: type + bytes), loading it if need be. */
struct inode *augur_iget_fh(struct super_block *sb, const void *fh, size_t len);
/* Lower file handle of @inode into @buf (AUGUR_FH_MAX): bytes written or -errno. */
int augur_inode_fh(struct inode *inode, void *buf);
/* Reads the record of the lower inode again and refreshes the attributes (INVAL ATTR). */
int augur_inode_refresh(struct inode *inode);
/* May an open of a present object go on without asking?  Sends REVAL, applies on_loss / offline. */
int augur_check_lease(struct inode *inode);
/* current, which is about to open it, knows already that it may: the next check asks nobody. */
void augur_vouch(struct inode *inode);
extern const struct inode_operations augur_file_iops, augur_sxid_iops, augur_symlink_iops,
	augur_special_iops, augur_dir_iops;

/* -------- dir.c: names; listing.c: readdir -------- */
struct dentry *augur_lookup(struct inode *dir, struct dentry *dentry, unsigned int flags);
extern const struct file_operations augur_dir_fops;
extern const struct dentry_operations augur_dentry_ops;
/* What the dentry cache knows of a name of a listing that is being built: false: nothing certain. */
bool augur_name_known(struct dentry *dir, const struct qstr *name, u64 *ino, umode_t *mode);
bool augur_names_ahead(struct augur_sb *asb);	/* names are looked up after their listing here */
/*
 * The listing has found @name: looks it up for who is about to, if augur_names_ahead().
 * @gen: augur_name_gen() of before that.  The directory is locked shared.
 */
void augur_name_ahead(struct dentry *dir, const struct qstr *name, struct dentry *lower,
		      const struct augur_rec *rec, unsigned long gen);
int augur_negatives_init(struct augur_sb *asb);
void augur_negatives_exit(struct augur_sb *asb);	/* no dentry is left */
void augur_dir_incomplete(struct inode *dir);	/* not all names are here */
void augur_dir_changed(struct inode *dir);	/* raise dir_gen, drop the listing; any context */
void augur_list_ahead(struct dentry *dir);	/* which is complete and locked shared */
void augur_listing_free(struct inode *dir);	/* evict_inode */
/* Cached listings in KiB, and dropping of about so many, oldest first: main.c's shrinker. */
unsigned long augur_listings_count(void);
unsigned long augur_listings_shrink(unsigned long nr_kb);

/* -------- file.c, mmap.c, xattr.c -------- */
int augur_file_cache_init(void);
void augur_file_cache_exit(void);
extern const struct file_operations augur_file_fops;
extern const struct address_space_operations augur_aops;
int augur_mmap(struct file *file, struct vm_area_struct *vma);
struct file *augur_file_lower(struct file *file);	/* of an open, opened at first need */
/* For the second try of an open: does all that could make it -ESTALE again. */
int augur_open_again(struct inode *inode);
extern const struct xattr_handler *AUGUR_XATTR_CONST augur_xattr_handlers[];
struct posix_acl *augur_get_inode_acl(struct inode *inode, int type, bool rcu);
ssize_t augur_listxattr(struct dentry *dentry, char *list, size_t size);

/* -------- state.c: the only writer of augur_inode.state -------- */
/* Legal transition under ai->lock; WARN_ON_ONCE and refuse (-EINVAL) otherwise. */
int augur_state_change(struct augur_inode *ai, unsigned int set, unsigned int clear);
void augur_state_init(struct augur_inode *ai, const struct augur_rec *rec);
/* Whether augur_state_change() would do it; for callers that act on what user space sent. */
bool augur_state_may(const struct augur_inode *ai, unsigned int set, unsigned int clear);

/* -------- presence.c: maps, grants, unsettled list -------- */
/*
 * Makes [pos, pos + len) of a regular file present: returns at once if it is, else asks
 * and waits (killable, deadline).  @want: bytes from pos worth having (>= len).
 * @flags: AUGUR_RQ_*.  @nowait: -EAGAIN instead of waiting.  af may be NULL.
 * Never called with lower locks or mmap_lock held.  0 or -errno
 * (-EINTR killed, -EIO deadline with on_loss=eio, -ETIMEDOUT is never returned,
 * -ENOTCONN aborted, -ESTALE version vanished, -EDEADLK the daemon itself).
 */
int augur_need_range(struct inode *inode, struct augur_file *af, loff_t pos, u64 len,
		     u64 want, unsigned int flags, bool nowait);
struct augur_again { unsigned long until; unsigned int looks; };	/* zero it */
/*
 * What was present was taken again before it was read, one more time: true: often enough, and for
 * longer than timeout_ms; end with -ENOSPC.
 */
bool augur_taken_again(struct inode *inode, struct augur_again *again);
/* Is all of it present now?  Any context that may take ai->lock. */
bool augur_present(struct inode *inode, loff_t pos, u64 len);
/* Fields of presence.c in a fresh augur_inode: alloc_inode calls it. */
void augur_presence_init(struct augur_inode *ai);
void augur_presence_free(struct augur_inode *ai);	/* evict_inode */
/* The directory holds all of its names from now on. */
void augur_mark_populated(struct inode *dir);
/* A newer version exists: this one is not claimed any more, and goes when it is closed. */
void augur_set_stale(struct inode *inode);
/* iput() that never tears an inode down in the caller's context. */
void augur_iput_async(struct augur_sb *asb, struct inode *inode);
/* The rest of presence.c (marks, grants, settling) is in upcall.h. */

/* -------- evict.c: bytes that go again -------- */
/*
 * Around looking at the lower file's bytes in [pos, pos + len) of a file that may be incomplete:
 * true says that they are present and stay so until augur_read_end(); false, that some are not.
 */
bool augur_read_begin(struct inode *inode, loff_t pos, u64 len);
void augur_read_end(struct inode *inode);

/* -------- upcall.c: request table; netlink.c: the only netlink speaker -------- */
int augur_upcall_init(void);		/* module: caches, workqueue; before netlink */
void augur_upcall_exit(void);
int augur_upcall_init_sb(struct augur_sb *asb);
/*
 * umount, after the mount left augur_mounts and before generic_shutdown_super(): ends the
 * sessions, waits for netlink handlers, drops every inode reference that requests, grants
 * and pins hold.
 */
void augur_upcall_stop_sb(struct augur_sb *asb);
void augur_upcall_exit_sb(struct augur_sb *asb);	/* after it; frees */
/* Ends every wait with -ENOTCONN and the sessions; the caller has set the state. */
void augur_upcall_abort(struct augur_sb *asb);
/* Each waits killably until the reply or the deadline. 0 or -errno; *rp gets AUGUR_RP_*. */
int augur_upcall_lookup(struct inode *dir, const struct qstr *name, unsigned int *rp);
int augur_upcall_populate(struct inode *dir);		/* coalesced per directory */
int augur_upcall_reval(struct inode *inode);
/* True if current belongs to the mount's daemon: it gets -EDEADLK instead of an upcall. */
bool augur_is_daemon(struct augur_sb *asb);
/* Does the lease of placement unit @pu hold now? */
bool augur_lease_holds(struct augur_sb *asb, u32 pu);
int augur_netlink_init(void);
void augur_netlink_exit(void);
void augur_netlink_mount_event(struct augur_sb *asb, enum augur_mount_event kind);

/* -------- event.c -------- */
void augur_event_init(void);				/* module: the hash key of this boot */
int augur_event_init_sb(struct augur_sb *asb);
void augur_event_stop_sb(struct augur_sb *asb);		/* no more messages; by augur_upcall_stop_sb() */
void augur_event_exit_sb(struct augur_sb *asb);
u64 augur_session_key(struct augur_sb *asb);		/* of current; cheap */
void augur_event_open(struct inode *inode, struct augur_file *af, unsigned int evf);
void augur_event_read(struct inode *inode, struct augur_file *af, u64 off, u64 len, unsigned int evf);
void augur_event_miss(struct inode *inode, struct augur_file *af, u64 off, u64 len, u64 us, unsigned int evf);
void augur_event_close(struct inode *inode, struct augur_file *af);
void augur_event_lookup_miss(struct inode *dir);
u64 augur_event_sum(struct augur_sb *asb, enum augur_stat_id id);	/* accepted or dropped */
void augur_event_readdir(struct inode *dir, u32 entries, u32 subdirs);

/* -------- sysfs.c, debugfs.c, inject.c -------- */

int augur_sysfs_init(void);
void augur_sysfs_exit(void);
int augur_sysfs_add(struct augur_sb *asb);
void augur_sysfs_del(struct augur_sb *asb);
/* A value of the mount changed outside sysfs: wakes poll() on it. */
void augur_sysfs_changed(struct augur_sb *asb, const char *name);
u64 augur_stat_sum(struct augur_sb *asb, enum augur_stat_id id);
int augur_debugfs_init(void);
void augur_debugfs_exit(void);
void augur_debugfs_add(struct augur_sb *asb);
void augur_debugfs_del(struct augur_sb *asb);
/* Named fault points; debugfs augurfs/inject/<name> holds "times" (0 off). */
#define AUGUR_INJECTS(X) X(leak_req) X(drop_doorbell) X(skip_hide_xattr) X(no_coalesce) X(unstable_ino) X(unkillable) X(ignore_lease) X(lower_mtime) X(evict_pinned) \
	X(forget_complete) X(forget_used) \
	X(show_holes) X(drop_resend) X(unfreezable) X(no_prefault) X(mark_early) X(any_session) \
	X(handler_lock) X(no_wrap) X(map_around) X(late_read) X(lock_order) X(lazy_open) \
	X(no_memory)
enum augur_inject {
#define X(n) AUGUR_INJECT_##n,
	AUGUR_INJECTS(X)
#undef X
	AUGUR_NR_INJECTS
};
bool augur_inject(enum augur_inject point);
void augur_inject_init(struct dentry *debugfs_root);
#ifdef AUGUR_SELFTEST
int augur_selftest(void);			/* selftest/: pure logic, at load */
#endif

/* -------- lower.c: every version-dependent VFS call on the lower filesystem -------- */
bool augur_lower_is_plain(const struct super_block *lower);
int augur_lower_may_read(struct augur_sb *asb, struct inode *lower);	/* as the mounter */
struct file *augur_lower_open(struct file *upper, struct inode *lower);	/* user-visible path is ours */
struct file *augur_lower_open_dir(struct augur_sb *asb, struct dentry *dentry);
ssize_t augur_lower_read_iter(struct file *lower, struct iov_iter *iter, struct kiocb *iocb);
ssize_t augur_lower_splice_read(struct file *lower, struct file *upper, loff_t *ppos,
				struct pipe_inode_info *pipe, size_t len, unsigned int flags);
int augur_lower_mmap(struct file *lower, struct file *upper, struct vm_area_struct *vma);
struct dentry *augur_lower_lookup(struct augur_sb *asb, struct dentry *dir, const struct qstr *name);
ssize_t augur_lower_getxattr(struct augur_sb *asb, struct dentry *dentry, const char *name, void *buf, size_t size);
ssize_t augur_lower_record(struct inode *lower, struct dentry *dentry, struct augur_rec *rec);
/* Errors that say "this name does not exist yet" rather than "the disk is broken". */
static inline bool augur_not_a_record(int err)
{
	return err == -ENODATA || err == -EBADMSG || err == -ERANGE || err == -EPROTONOSUPPORT;
}
bool augur_lower_has_by_ino(const struct super_block *lower);
struct dentry *augur_lower_by_ino(struct augur_sb *asb, u64 ino);
struct dentry *augur_lower_decode_fh(struct augur_sb *asb, const void *fh, size_t len);
int augur_lower_encode_fh(struct inode *lower, void *buf, size_t max);
/*
 * SWITCH / REMOVE; take the lower directory's locks, -ESTALE if the name is not @old. For the
 * second the caller has write access to the lower mount (mnt_want_write).
 */
int augur_lower_switch(struct augur_sb *asb, struct inode *dir, const struct qstr *name,
		       struct inode *old, const struct qstr *tmp_name, struct inode *new_inode);
int augur_lower_remove(struct augur_sb *asb, struct inode *dir, const struct qstr *name, struct inode *old);

#endif /* AUGURFS_H */
