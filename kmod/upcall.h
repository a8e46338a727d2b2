/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * upcall.h - requests, sessions and grants: what upcall.c, session.c, presence.c and the
 * netlink files share.  Nobody else includes it (debugfs.c and trace.c print from it).
 *
 * Who holds a request: the table until it ends, every waiter, netlink while it sends.  The
 * table's entry, the link in augur_inode.fetches and the state DONE change together, under
 * augur_inode.lock and augur_sb.req_lock; a request found by either is alive.
 *
 * Who holds a session: its mount until it is detached, its end work, a netlink handler.
 * Each session and each netlink handler also holds a pin of the mount (augur_sb.pins).
 */
#ifndef AUGUR_UPCALL_H
#define AUGUR_UPCALL_H

#include "augurfs.h"
#include "trace.h"

struct netlink_ext_ack;
struct sk_buff;
struct sock;

#define AUGUR_REQS_MAX		16384	/* live requests of a mount */
#define AUGUR_GRANTS_MAX	8192	/* live grants of a session */
#define AUGUR_GRANT_RANGES	16	/* ranges of one grant */
#define AUGUR_RESEND_MS		10	/* after a doorbell that did not ring */

/* Unbound; everything deferred runs here, so that unloading can wait for it. */
extern struct workqueue_struct *augur_wq;

/* -------- requests -------- */

enum augur_req_state {
	AUGUR_REQ_NEW,		/* not delivered; marked in the table */
	AUGUR_REQ_SENT,		/* delivered to session sent_to */
	AUGUR_REQ_DONE,		/* out of the table */
};

struct augur_req {
	struct kref		ref;
	u64			id;		/* never used twice */
	struct augur_sb		*asb;
	struct inode		*inode;		/* reference */
	struct list_head	inode_link;	/* augur_inode.fetches, under its lock */
	wait_queue_head_t	wait;
	ktime_t			created;
	bool			reserved;	/* a slot in the table is reserved */

	/* as sent, fixed when it enters the table */
	u32			op;
	u32			flags;		/* AUGUR_RQ_*, less RESEND */
	u8			oid[AUGUR_OID_LEN];
	u64			off, len, want;	/* FETCH; off, len in whole chunks, cut at the size */
	u64			first, count;	/* FETCH; the same in chunks */
	u64			version;
	u64			session_key;
	u32			open_id;
	u32			pid, uid;
	u32			fh_len;
	u8			fh[AUGUR_FH_MAX];

	/* under augur_sb.req_lock */
	enum augur_req_state	state;
	u64			sent_to;	/* session id */
	unsigned int		sends;
	unsigned int		waiters;
	int			status;
	unsigned int		rp_flags;

	u32			name_len;
	char			name[];		/* LOOKUP */
};

/* Alive requests only; ids are table indices. */
static_assert(sizeof(unsigned long) == sizeof(u64), "request ids need a 64-bit table");

/*
 * A request about @inode that is not in the table yet, with one waiter, the caller.
 * Waits (killably) while the mount has too many.  ERR_PTR: -EDEADLK, -ENOTCONN, -EIO,
 * -EINTR, -ENOMEM.  No locks held.
 */
struct augur_req *augur_req_new(struct inode *inode, u32 op, const struct qstr *name);
/* The caller did not need it after all. */
void augur_req_discard(struct augur_req *req);
/* Puts it into the table; ai->lock held.  0 or -ENOTCONN.  augur_upcall_kick() comes next. */
int augur_req_start(struct augur_req *req);
/* One more waiter of a request found on ai->fetches; ai->lock held. */
void augur_req_join(struct augur_req *req);
/* Waits, then drops the caller's waiter and reference. 0 or -errno. */
int augur_req_wait(struct augur_req *req, unsigned int *rp);
/* Drops the caller's waiter and reference without waiting; the request goes on. */
void augur_req_release(struct augur_req *req);
void augur_req_put(struct augur_req *req, enum augur_req_why why);
/* The live request, referenced, or NULL; with *id the first one at or after it. */
struct augur_req *augur_req_get(struct augur_sb *asb, u64 id, enum augur_req_why why);
struct augur_req *augur_req_next(struct augur_sb *asb, u64 *id);
/* Ends it; false if it had ended already. */
bool augur_req_end(struct augur_req *req, int status, unsigned int rp_flags,
		   enum augur_req_end end);
/* Sends what is unsent and fits the window; process context, no locks. */
void augur_upcall_kick(struct augur_sb *asb);
/* A session is gone: its requests become unsent, those nobody can wait for end. */
void augur_upcall_session_lost(struct augur_sb *asb, u64 session);

/* -------- sessions, session.c -------- */

struct augur_session {
	struct kref		ref;
	u64			id;		/* never used twice */
	struct augur_sb		*asb;
	struct sock		*sk;		/* identity of the socket; reference */
	struct pid		*tgid;		/* of the daemon; reference */
	u32			portid;
	bool			events;
	u32			window;
	struct list_head	link;		/* sessions, session.c's lock */
	struct work_struct	end_work;
	struct xarray		grants;		/* id -> augur_grant */
	atomic_t		nr_grants;
	/* under augur_sb.req_lock */
	u32			outstanding;
	bool			dead;
};

void augur_session_init(void);
/*
 * Registers the sender @sk as the mount's request or event socket.  ERR_PTR(-EBUSY): a live
 * socket is; -ENOTCONN: aborted.  The caller puts the session.
 */
struct augur_session *augur_session_open(struct augur_sb *asb, struct sock *sk, u32 portid,
					 bool events);
/* The mount's session, referenced, or NULL. */
struct augur_session *augur_session_get(struct augur_sb *asb, bool events);
void augur_session_put(struct augur_session *sess);
/* Ends it (at most once): any context that may take a spinlock. */
void augur_session_close(struct augur_session *sess);
void augur_sessions_close(struct augur_sb *asb);	/* both of the mount */
/* Ends both sessions of the mount and waits until nothing of them is left. */
void augur_session_stop(struct augur_sb *asb);
/* The socket @portid of the initial network namespace was released. */
void augur_session_socket_gone(u32 portid);

/* Lease groups of units @base .. @base + @n - 1 (u16 each); ignored if @seq is old. 0 or -ENOMEM. */
int augur_lease_groups(struct augur_sb *asb, u32 base, const void *groups, u32 n, u64 seq);
int augur_lease_set(struct augur_sb *asb, u32 group, u64 seq, u64 deadline_ns);

static inline void augur_mount_pin(struct augur_sb *asb)
{
	atomic_inc(&asb->pins);
}

/* The mount may be gone when this returns. */
static inline void augur_mount_unpin(struct augur_sb *asb)
{
	atomic_t *pins = &asb->pins;

	if (atomic_dec_and_test(pins))
		wake_up_var(pins);
}

/* -------- presence.c -------- */

/* Leave to write absent chunks; belongs to a session, holds the inode. */
struct augur_grant {
	u64			id;		/* never used twice */
	struct inode		*inode;
	struct list_head	link;		/* augur_inode.grant_list, under its lock */
	int			n;
	struct augur_range {
		u64		off, len;	/* bytes, whole chunks, cut at the size */
		u64		first, count;	/* chunks */
	}			range[AUGUR_GRANT_RANGES];
};

/*
 * Grants the absent, unasked parts of [off, off + len): up to AUGUR_GRANT_RANGES of them.
 * NULL: nothing to do.  ERR_PTR(-ESTALE, -EBUSY: dirty without a map, -ENOMEM).
 * *map_known: the kernel had a presence map.
 */
struct augur_grant *augur_grant_begin(struct inode *inode, u64 off, u64 len, bool *map_known);
/* Wakes who waits for it; frees. */
void augur_grant_end(struct augur_sb *asb, struct augur_grant *grant);
/*
 * [off, off + len) is present, and what @map says (NULL: no map), and with
 * AUGUR_RP_COMPLETE all of it.  @map_answered: the daemon said all that it knows.
 * 0 or -EINVAL (a range or map that does not fit the file).
 */
int augur_presence_mark(struct inode *inode, u64 off, u64 len, const u8 *map, size_t map_len,
			unsigned int rp_flags, bool map_answered);
/* Does what augur_presence_mark() would be told fit the file? */
int augur_presence_check(struct inode *inode, u64 off, u64 len, size_t map_len);
/* The durable claim says @present_bytes, or complete: unpins if so does memory. */
void augur_settle(struct inode *inode, u64 present_bytes, unsigned int rp_flags);
/* ai->lock held.  Pins or unpins to what the state says; true: the caller drops one reference. */
bool augur_pin_update(struct augur_inode *ai);
void augur_map_free(u8 *map);
/* Bytes present; ai->lock held. */
u64 augur_present_bytes(struct inode *inode);
/* ai->lock held: FILLING follows the number of grants and FETCH requests. */
void augur_filling_inc(struct augur_inode *ai);
void augur_filling_dec(struct augur_inode *ai);
/* The first inode, referenced, whose unsettled_seq is above *seq, or NULL. */
struct inode *augur_unsettled_next(struct augur_sb *asb, u64 *seq);
/* umount: drops the references of all pins. */
void augur_unsettle_all(struct augur_sb *asb);
void augur_iput_work(struct work_struct *work);

/* -------- evict.c -------- */

void augur_pin(struct inode *inode, bool set);
/*
 * Asks leave to drop all bytes, or with @len those of the whole chunks in [off, off + len):
 * 0, or -EBUSY and *why is AUGUR_BUSY_*, or -EINVAL, -ERANGE.  @ask: only says what it would do.
 */
int augur_try_evict(struct inode *inode, u64 off, u64 len, bool ask, u32 *why);
/* AUGUR_BUSY_*, or 0: nobody reads, maps, fills or relies on it; ai->lock held. */
u32 augur_busy(const struct augur_inode *ai);

/* -------- forget.c -------- */

/*
 * Removes the name of @inode (@lower is a dentry of its lower inode; NULL: it is not one of ours)
 * from @dir, which is no longer complete then.  -EBUSY: somebody uses it, or looks there; 0, -errno.
 * The caller has write access to the lower mount.
 */
int augur_forget_name(struct inode *dir, const struct qstr *name, struct inode *inode,
		      struct dentry *lower);

/* -------- event.c -------- */

/* There is somebody to send records to. */
void augur_event_kick(struct augur_sb *asb);

/* -------- netlink.c, nlcmd.c, nldump.c -------- */

int augur_netlink_send_req(struct augur_session *sess, struct augur_req *req, bool resend);
void augur_netlink_send_cancel(struct augur_session *sess, u64 req_id);
int augur_netlink_send_events(struct augur_session *sess, u32 cpu, u64 seq, u64 dropped,
			      const struct augur_event *ev, unsigned int n);
int augur_netlink_put_req(struct sk_buff *skb, u64 session, const struct augur_req *req,
			  bool resend);

#endif /* AUGUR_UPCALL_H */
