/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * upcall.h - the kernel module as seen from the daemon; only this room speaks netlink.
 *
 * Loop thread only.  Requests come in through upcall_ops, answers and notices are gathered
 * and sent once a turn of the loop, in the order they were given.  The functions that
 * return int ask and get their answer at once: the kernel answers inside send(), so none
 * of them waits.  The protocol in words is in <linux/augurfs.h>.
 */
#ifndef AUGUR_UPCALL_UPCALL_H
#define AUGUR_UPCALL_UPCALL_H

#include "base/fh.h"
#include "base/io.h"

struct upcall;

/* A mount in the kernel, as listed; strings valid in the call only. */
struct upcall_info {
	u64		mount_id;
	u32		state;			/* AUGUR_MS_* */
	u32		pid;			/* of its daemon, 0: none */
	u64		lower_dev, lower_ino;	/* of <cache>/root */
	const char	*source, *cache, *options;
};

/* A mount this daemon serves. */
struct upcall_mount {
	u64		id, session;
	u32		window, lease_ms, timeout_ms;
	u8		root_oid[AUGUR_OID_LEN];	/* zero: unstamped */
	void		*user;			/* the caller's */
};

struct upcall_req {
	u64		id;
	u32		op, flags;		/* AUGUR_OP_*, AUGUR_RQ_* */
	u8		oid[AUGUR_OID_LEN];
	struct fh	fh;
	const char	*name;			/* LOOKUP; checked */
	size_t		name_len;
	u64		off, len, want, version;	/* FETCH, REVAL */
	u64		session_key;
	u32		open_id, pid, uid;
};

struct upcall_range { u64 off, len; };
#define UPCALL_RANGES_MAX 64

struct upcall_reply {
	u64		id;
	u32		op;
	int		status;			/* 0 or -errno */
	u32		flags;			/* AUGUR_RP_* */
	u64		off, len;		/* FETCH */
	const u8	*map;			/* copied; NULL: none */
	size_t		map_len;
};

struct upcall_inode {				/* INODES */
	u8		oid[AUGUR_OID_LEN];
	struct fh	fh;
	u32		state, chunk_shift;
	u64		size;
	const u8	*map;
	size_t		map_len;
};

struct upcall_ops {
	/* A mount without a daemon: upcall_register() it, if it is one of ours. */
	void (*found)(void *ctx, const struct upcall_info *info);
	/* rq is valid in the call only. */
	void (*request)(void *ctx, struct upcall_mount *m, const struct upcall_req *rq);
	void (*cancel)(void *ctx, struct upcall_mount *m, u64 req_id);
	void (*events)(void *ctx, struct upcall_mount *m, u32 cpu, u64 seq, u64 dropped,
		       const struct augur_event *ev, size_t n);
	/* The session is over (unmounted, aborted, replaced); m is freed after this. */
	void (*gone)(void *ctx, struct upcall_mount *m);
};

/*
 * Opens netlink in the present network namespace, and stays there when the caller's thread
 * moves to another.  Works without the module: waits for it.  0, or -EPROTO (another ABI,
 * logged) or another -errno.
 */
int upcall_new(struct io *io, const struct upcall_ops *ops, void *ctx, struct upcall **out);
void upcall_free(struct upcall *u);
bool upcall_module_present(const struct upcall *u);
/* Why the module cannot be used: 0, -ENOENT (not loaded), -EPROTO. */
int upcall_module_error(const struct upcall *u);
/* Lists the mounts again: found() for each that has no daemon. */
void upcall_rescan(struct upcall *u);

/* 0, -EBUSY (another daemon has it), -ENOENT (no such mount). */
int upcall_register(struct upcall *u, u64 mount_id, bool events, void *user, struct upcall_mount **out);
/* Ends the session; gone() is not called. */
void upcall_unregister(struct upcall_mount *m);

/* ---- gathered ---- */
void upcall_reply(struct upcall_mount *m, const struct upcall_reply *rp);
void upcall_fill_end(struct upcall_mount *m, u64 grant, const struct upcall_range *r, int n, bool complete);
void upcall_settle(struct upcall_mount *m, const u8 *oid, bool complete, u64 present_bytes);
/* name NULL: oid is the object; else oid is the parent. */
void upcall_inval(struct upcall_mount *m, u32 kind, const u8 *oid, const char *name, size_t name_len);
void upcall_pu_table(struct upcall_mount *m, u32 base, const u16 *groups, u32 n, u64 seq);
void upcall_lease(struct upcall_mount *m, u32 group, u64 seq, u64 deadline_ns);
void upcall_epoch(struct upcall_mount *m, u64 epoch);
/* Sends what is gathered now. */
void upcall_flush(struct upcall_mount *m);

/* ---- answered at once ---- */
/* *n: room in, ranges granted out (0: nothing to do). */
int upcall_fill_begin(struct upcall_mount *m, const u8 *oid, const struct fh *fh, u64 off, u64 len,
		      struct upcall_range *r, int *n, u64 *grant, u32 *flags);
int upcall_switch(struct upcall_mount *m, const struct fh *parent, const char *name, size_t name_len,
		  const struct fh *old_fh, const struct fh *new_fh, const char *tmp_name);
/* @forget: the owner has it still; -EBUSY if anybody uses it or looks for names there. */
int upcall_remove(struct upcall_mount *m, const struct fh *parent, const char *name, size_t name_len,
		  const struct fh *old_fh, bool forget);
/*
 * Leave to drop all bytes (len 0), or those of a streamed range; @ask: only what it would say.
 * -EBUSY: *why is AUGUR_BUSY_*.
 */
int upcall_evict(struct upcall_mount *m, const u8 *oid, const struct fh *fh, u64 off, u64 len, bool ask, u32 *why);
/* The inode in memory is pinned, or no longer, as its record says by now; @fh NULL: only if it is there, else -ENOENT. */
int upcall_pin(struct upcall_mount *m, const u8 *oid, const struct fh *fh, bool set);
/* fn for each inode in memory whose state is ahead of the durable one. */
int upcall_inodes(struct upcall_mount *m, void (*fn)(void *arg, const struct upcall_inode *in), void *arg);

#endif
