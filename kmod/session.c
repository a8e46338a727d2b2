// SPDX-License-Identifier: GPL-2.0-only
/*
 * session.c - which daemon socket serves which mount, and the leases it has brought.
 *
 * A session is tied to the socket itself, not to its port id: an id is free for another
 * process before the release of the old socket has been announced.  So a command must come
 * from the very socket that registered, and the release notifier ends only sessions whose
 * socket is dead.  A live session is never replaced; REGISTER is refused until it ends.
 *
 * Ending has two halves.  Detaching needs spinlocks only (the notifier is atomic); the rest
 * (grants, requests, telling people) is a work item.  sessions_lock guards the list of all
 * sessions and is never held with another lock.
 */
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/slab.h>
#include <net/sock.h>
#include "upcall.h"

/*
 * What a request costs of a receive buffer (truesize), generously.  Requests get half of
 * the buffer: acknowledgements and replies to commands need room in it too, and are lost,
 * not sent again, where there is none.
 */
#define REQ_TRUESIZE	1536
#define WINDOW_MIN	1
#define WINDOW_MAX	8192

static LIST_HEAD(sessions);
static DEFINE_SPINLOCK(sessions_lock);
static atomic64_t last_session_id;

static void session_free(struct kref *ref)
{
	struct augur_session *sess = container_of(ref, struct augur_session, ref);

	xa_destroy(&sess->grants);
	put_pid(sess->tgid);
	sock_put(sess->sk);
	kfree(sess);
	augur_live_dec();
}

void augur_session_init(void)
{
	/* Ids differ between loads, so that a session of an earlier one is never taken for ours. */
	atomic64_set(&last_session_id, (s64)(ktime_get_real_seconds() << 20));
}

void augur_session_put(struct augur_session *sess)
{
	kref_put(&sess->ref, session_free);
}

struct augur_session *augur_session_get(struct augur_sb *asb, bool events)
{
	struct augur_session *sess;

	spin_lock(&asb->req_lock);
	sess = events ? asb->event_session : asb->session;
	if (sess)
		kref_get(&sess->ref);
	spin_unlock(&asb->req_lock);
	return sess;
}

/* Grants end with their session, marking nothing. */
static void drop_grants(struct augur_session *sess)
{
	struct augur_grant *g;
	unsigned long id;

	xa_for_each(&sess->grants, id, g) {
		xa_erase(&sess->grants, id);
		augur_grant_end(sess->asb, g);
	}
}

static void session_end_work(struct work_struct *work)
{
	struct augur_session *sess = container_of(work, struct augur_session, end_work);
	struct augur_sb *asb = sess->asb;

	drop_grants(sess);
	if (!sess->events) {
		augur_upcall_session_lost(asb, sess->id);
		augur_sysfs_changed(asb, "state");
		augur_sysfs_changed(asb, "daemon_pid");
		/* Not at umount or abort. */
		if (sock_flag(sess->sk, SOCK_DEAD)) {
			augur_info(asb, "augurd has gone; waiting requests are kept for the next one");
			augur_netlink_mount_event(asb, AUGUR_ME_ORPHANED);
		}
	}
	trace_augur_session(asb->mount_id, sess->id, sess->portid, false);
	augur_session_put(sess);
	augur_mount_unpin(asb);
}

/* Takes it off its mount; true for the one caller that did. */
static bool session_detach(struct augur_session *sess)
{
	struct augur_sb *asb = sess->asb;
	bool mine;

	spin_lock(&asb->req_lock);
	mine = !sess->dead;
	sess->dead = true;
	if (asb->session == sess) {
		WRITE_ONCE(asb->session, NULL);
		atomic_cmpxchg(&asb->state, AUGUR_MS_LIVE, AUGUR_MS_ORPHAN);
	}
	if (asb->event_session == sess)
		asb->event_session = NULL;
	spin_unlock(&asb->req_lock);
	return mine;
}

void augur_session_close(struct augur_session *sess)
{
	if (!session_detach(sess))
		return;
	spin_lock(&sessions_lock);
	list_del_init(&sess->link);
	spin_unlock(&sessions_lock);
	/* The mount's reference is the work's now. */
	queue_work(augur_wq, &sess->end_work);
}

/* A session of that port whose socket is dead, referenced. */
static struct augur_session *find_dead(u32 portid)
{
	struct augur_session *sess;

	spin_lock(&sessions_lock);
	list_for_each_entry(sess, &sessions, link) {
		if (sess->portid == portid && sock_flag(sess->sk, SOCK_DEAD)) {
			list_del_init(&sess->link);
			kref_get(&sess->ref);
			spin_unlock(&sessions_lock);
			return sess;
		}
	}
	spin_unlock(&sessions_lock);
	return NULL;
}

void augur_session_socket_gone(u32 portid)
{
	struct augur_session *sess;

	while ((sess = find_dead(portid))) {
		augur_session_close(sess);
		augur_session_put(sess);
	}
}

void augur_sessions_close(struct augur_sb *asb)
{
	struct augur_session *sess;
	int events;

	for (events = 0; events < 2; events++) {
		sess = augur_session_get(asb, events);
		if (!sess)
			continue;
		augur_session_close(sess);
		augur_session_put(sess);
	}
}

void augur_session_stop(struct augur_sb *asb)
{
	/* A handler that is inside may be about to attach: its pin would be held by its socket. */
	spin_lock(&asb->req_lock);
	asb->stopping = true;
	spin_unlock(&asb->req_lock);
	augur_sessions_close(asb);
	/* Their end works and the handlers inside; none of them waits for a daemon. */
	wait_var_event(&asb->pins, !atomic_read(&asb->pins));
}

static u32 window_of(struct sock *sk)
{
	return clamp_t(u32, READ_ONCE(sk->sk_rcvbuf) / 2 / REQ_TRUESIZE, WINDOW_MIN, WINDOW_MAX);
}

static struct augur_session *session_alloc(struct augur_sb *asb, struct sock *sk, u32 portid,
					   bool events)
{
	struct augur_session *sess = kzalloc(sizeof(*sess), GFP_KERNEL);

	if (!sess)
		return NULL;
	augur_live_inc();
	kref_init(&sess->ref);
	INIT_LIST_HEAD(&sess->link);
	INIT_WORK(&sess->end_work, session_end_work);
	xa_init(&sess->grants);
	sess->id = atomic64_inc_return(&last_session_id);
	sess->asb = asb;
	sock_hold(sk);
	sess->sk = sk;
	sess->portid = portid;
	sess->tgid = get_pid(task_tgid(current));
	sess->events = events;
	sess->window = window_of(sk);
	return sess;
}

/* Becomes the mount's session, unless there is one. */
static int session_attach(struct augur_session *sess)
{
	struct augur_sb *asb = sess->asb;
	int err = 0;

	spin_lock(&asb->req_lock);
	if (asb->stopping) {
		err = -ENODEV;
	} else if (atomic_read(&asb->state) == AUGUR_MS_ABORTED) {
		err = -ENOTCONN;
	} else if (sess->events ? asb->event_session : asb->session) {
		err = -EBUSY;
	} else {
		kref_get(&sess->ref);	/* the mount's */
		augur_mount_pin(asb);	/* until the end work is done */
		if (sess->events) {
			asb->event_session = sess;
		} else {
			WRITE_ONCE(asb->session, sess);
			atomic_set(&asb->state, AUGUR_MS_LIVE);
		}
	}
	spin_unlock(&asb->req_lock);
	return err;
}

struct augur_session *augur_session_open(struct augur_sb *asb, struct sock *sk, u32 portid,
					 bool events)
{
	struct augur_session *sess = session_alloc(asb, sk, portid, events);
	int err;

	if (!sess)
		return ERR_PTR(-ENOMEM);
	err = session_attach(sess);
	if (err) {
		augur_session_put(sess);
		return ERR_PTR(err);
	}
	spin_lock(&sessions_lock);
	list_add_tail(&sess->link, &sessions);
	spin_unlock(&sessions_lock);
	/* Closed meanwhile (abort): the end work has run or will; take it off the list again. */
	if (READ_ONCE(sess->dead)) {
		spin_lock(&sessions_lock);
		list_del_init(&sess->link);
		spin_unlock(&sessions_lock);
	}
	trace_augur_session(asb->mount_id, sess->id, portid, true);
	return sess;
}

/* -------- leases -------- */

bool augur_lease_holds(struct augur_sb *asb, u32 pu)
{
	u64 now = ktime_get_boottime_ns();
	bool holds = false;
	u16 group;

	if (augur_inject(AUGUR_INJECT_ignore_lease))
		return true;
	if (pu >= AUGUR_PU_MAX)
		return false;
	spin_lock(&asb->lease_lock);
	if (asb->pu_group && asb->leases) {
		group = asb->pu_group[pu];
		if (group < AUGUR_GROUPS_MAX)
			holds = augur_lease_valid(&asb->leases[group], now);
	}
	spin_unlock(&asb->lease_lock);
	return holds;
}

static int lease_tables(struct augur_sb *asb)
{
	struct augur_lease *leases;
	u16 *groups;

	if (READ_ONCE(asb->leases) && READ_ONCE(asb->pu_group))
		return 0;
	leases = kvcalloc(AUGUR_GROUPS_MAX, sizeof(*leases), GFP_KERNEL);
	groups = kvmalloc_array(AUGUR_PU_MAX, sizeof(*groups), GFP_KERNEL);
	if (!leases || !groups) {
		kvfree(leases);
		kvfree(groups);
		return -ENOMEM;
	}
	memset(groups, 0xff, AUGUR_PU_MAX * sizeof(*groups));	/* AUGUR_GROUP_NONE */
	spin_lock(&asb->lease_lock);
	if (!asb->leases) {
		asb->leases = leases;
		asb->pu_group = groups;
		leases = NULL;
		groups = NULL;
	}
	spin_unlock(&asb->lease_lock);
	kvfree(leases);
	kvfree(groups);
	return 0;
}

int augur_lease_groups(struct augur_sb *asb, u32 base, const void *groups, u32 n, u64 seq)
{
	int err = lease_tables(asb);

	if (err)
		return err;
	spin_lock(&asb->lease_lock);
	if (seq >= asb->pu_seq) {
		asb->pu_seq = seq;
		memcpy(asb->pu_group + base, groups, n * sizeof(u16));
	}
	spin_unlock(&asb->lease_lock);
	return 0;
}

int augur_lease_set(struct augur_sb *asb, u32 group, u64 seq, u64 deadline_ns)
{
	int err = lease_tables(asb);
	bool taken;

	if (err)
		return err;
	spin_lock(&asb->lease_lock);
	taken = augur_lease_update(&asb->leases[group], seq, deadline_ns);
	spin_unlock(&asb->lease_lock);
	trace_augur_lease(asb->mount_id, group, seq, deadline_ns, taken);
	return 0;
}
