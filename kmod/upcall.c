// SPDX-License-Identifier: GPL-2.0-only
/*
 * upcall.c - the table of requests to the daemon: making, joining, sending, waiting, ending.
 *
 * The table is the truth and netlink only its doorbell.  A request is NEW until a message
 * with it was queued on the session's socket, then SENT, and NEW again when that session
 * ends; the mark AUGUR_REQ_UNSENT finds what is to be sent, oldest first.  It is on the heap
 * and refcounted, so a waiter that is killed leaves it valid for others and for the reply.
 *
 * Waits are killable and freezable and have a deadline that runs from the start of the
 * call; no lock of ours or of the lower filesystem is held over one.  State changes happen
 * under augur_inode.lock, then augur_sb.req_lock, then the table's own lock.
 *
 * A FETCH that was sent outlives its waiters: the daemon may be writing under the leave it
 * gives, and its bytes are worth having.  Every other request dies with its last waiter.
 *
 * long file: the whole life of a request, from its making to its last reference.
 */
#include <linux/cred.h>
#include <linux/jiffies.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "upcall.h"

#define AUGUR_REQ_UNSENT	XA_MARK_1

/* Doorbells that one caller rings for others before it goes its own way. */
#define KICK_MAX		64

#define WAIT_STATE		(TASK_KILLABLE | TASK_FREEZABLE)

static atomic64_t last_req_id;
struct workqueue_struct *augur_wq;

/* -------- references -------- */

static void req_free(struct kref *ref)
{
	struct augur_req *req = container_of(ref, struct augur_req, ref);
	struct augur_sb *asb = req->asb;

	augur_iput_async(asb, req->inode);
	if (augur_inject(AUGUR_INJECT_leak_req))
		return;
	kfree(req);
	augur_live_dec();
	atomic_dec(&asb->reqs_live);
	wake_up(&asb->idle_wait);
}

void augur_req_put(struct augur_req *req, enum augur_req_why why)
{
	trace_augur_req_ref(req->id, kref_read(&req->ref) - 1, why, false);
	kref_put(&req->ref, req_free);
}

static void req_get(struct augur_req *req, enum augur_req_why why)
{
	kref_get(&req->ref);
	trace_augur_req_ref(req->id, kref_read(&req->ref), why, true);
}

struct augur_req *augur_req_next(struct augur_sb *asb, u64 *id)
{
	unsigned long index = *id;
	struct augur_req *req;

	spin_lock(&asb->req_lock);
	req = xa_find(&asb->reqs, &index, ULONG_MAX, XA_PRESENT);
	if (req)
		req_get(req, AUGUR_WHY_WALK);
	spin_unlock(&asb->req_lock);
	*id = index;
	return req;
}

struct augur_req *augur_req_get(struct augur_sb *asb, u64 id, enum augur_req_why why)
{
	struct augur_req *req;

	spin_lock(&asb->req_lock);
	req = xa_load(&asb->reqs, id);
	if (req)
		req_get(req, why);
	spin_unlock(&asb->req_lock);
	return req;
}

/* -------- making -------- */

bool augur_is_daemon(struct augur_sb *asb)
{
	struct pid *tgid = task_tgid(current);
	bool is;

	spin_lock(&asb->req_lock);
	is = (asb->session && asb->session->tgid == tgid) ||
	     (asb->event_session && asb->event_session->tgid == tgid);
	spin_unlock(&asb->req_lock);
	return is;
}

static bool is_aborted(struct augur_sb *asb)
{
	return atomic_read(&asb->state) == AUGUR_MS_ABORTED;
}

/* No daemon and told not to wait for one. */
static bool is_hopeless(struct augur_sb *asb)
{
	return !READ_ONCE(asb->session) && augur_opt(asb, on_loss) == AUGUR_ON_LOSS_EIO;
}

static int may_ask(struct augur_sb *asb)
{
	if (is_aborted(asb))
		return -ENOTCONN;
	/* Reclaim must not wait for a process that may itself wait for memory. */
	if (current->flags & PF_MEMALLOC)
		return -EIO;
	if ((current->flags & PF_EXITING) || fatal_signal_pending(current))
		return -EINTR;
	if (augur_is_daemon(asb))
		return -EDEADLK;
	if (is_hopeless(asb))
		return -EIO;
	return 0;
}

static long timeout_of(struct augur_sb *asb)
{
	return msecs_to_jiffies(augur_opt(asb, timeout_ms));
}

/* Too many requests: wait for one to end. */
static int wait_for_room(struct augur_sb *asb)
{
	long left = timeout_of(asb);

	if (likely(atomic_read(&asb->reqs_live) < AUGUR_REQS_MAX))
		return 0;
#define HAS_ROOM (atomic_read(&asb->reqs_live) < AUGUR_REQS_MAX || is_aborted(asb))
	left = ___wait_event(asb->idle_wait, ___wait_cond_timeout(HAS_ROOM), WAIT_STATE, 0,
			     left, __ret = schedule_timeout(__ret));
#undef HAS_ROOM
	if (is_aborted(asb))
		return -ENOTCONN;
	if (left < 0)
		return -EINTR;
	return left ? 0 : -EIO;
}

static struct augur_req *req_alloc(struct inode *inode, u32 op, const struct qstr *name)
{
	struct augur_sb *asb = AUGUR_SB(inode->i_sb);
	struct augur_inode *ai = AUGUR_I(inode);
	size_t name_len = name ? name->len : 0;
	struct augur_req *req;
	int fh_len;

	if (name_len > AUGUR_NAME_MAX)
		return ERR_PTR(-ENAMETOOLONG);
	req = kzalloc(struct_size(req, name, name_len), GFP_KERNEL);
	if (!req)
		return ERR_PTR(-ENOMEM);
	fh_len = augur_inode_fh(inode, req->fh);
	if (fh_len < 0) {
		kfree(req);
		return ERR_PTR(fh_len);
	}
	kref_init(&req->ref);
	init_waitqueue_head(&req->wait);
	INIT_LIST_HEAD(&req->inode_link);
	req->asb = asb;
	req->inode = inode;
	ihold(inode);
	req->op = op;
	req->created = ktime_get();
	req->waiters = 1;
	req->fh_len = fh_len;
	memcpy(req->oid, ai->oid, sizeof(req->oid));
	req->version = ai->version;
	req->pid = task_tgid_nr(current);
	req->uid = from_kuid(&init_user_ns, current_uid());
	req->session_key = augur_session_key(asb);
	req->name_len = name_len;
	if (name_len)
		memcpy(req->name, name->name, name_len);
	atomic_inc(&asb->reqs_live);
	augur_live_inc();
	return req;
}

struct augur_req *augur_req_new(struct inode *inode, u32 op, const struct qstr *name)
{
	struct augur_sb *asb = AUGUR_SB(inode->i_sb);
	struct augur_req *req;
	int err;

	err = may_ask(asb);
	if (!err)
		err = wait_for_room(asb);
	if (!err && augur_inject(AUGUR_INJECT_no_memory))
		err = -ENOMEM;
	if (err)
		return ERR_PTR(err);
	req = req_alloc(inode, op, name);
	if (IS_ERR(req))
		return req;
	req->id = atomic64_inc_return(&last_req_id);
	/* A slot now, as memory cannot be had under the locks of augur_req_start(). */
	err = xa_reserve(&asb->reqs, req->id, GFP_KERNEL);
	if (err) {
		augur_req_put(req, AUGUR_WHY_UNUSED);
		return ERR_PTR(err);
	}
	trace_augur_req_ref(req->id, 1, AUGUR_WHY_NEW, true);
	return req;
}

void augur_req_discard(struct augur_req *req)
{
	xa_release(&req->asb->reqs, req->id);
	augur_req_put(req, AUGUR_WHY_UNUSED);
}

static void count_new(struct augur_sb *asb, u32 op)
{
	augur_stat_inc(asb, upcalls);
	switch (op) {
	case AUGUR_OP_LOOKUP:
		augur_stat_inc(asb, upcalls_lookup);
		break;
	case AUGUR_OP_POPULATE:
		augur_stat_inc(asb, upcalls_populate);
		break;
	case AUGUR_OP_FETCH:
		augur_stat_inc(asb, upcalls_fetch);
		break;
	case AUGUR_OP_REVAL:
		augur_stat_inc(asb, upcalls_reval);
		break;
	}
}

int augur_req_start(struct augur_req *req)
{
	struct augur_inode *ai = AUGUR_I(req->inode);
	struct augur_sb *asb = req->asb;

	lockdep_assert_held(&ai->lock);
	spin_lock(&asb->req_lock);
	/* augur_upcall_abort() walks the table after it set the state: none slips through. */
	if (is_aborted(asb)) {
		spin_unlock(&asb->req_lock);
		return -ENOTCONN;
	}
	req_get(req, AUGUR_WHY_TABLE);
	xa_store(&asb->reqs, req->id, req, 0);
	xa_set_mark(&asb->reqs, req->id, AUGUR_REQ_UNSENT);
	spin_unlock(&asb->req_lock);
	list_add_tail(&req->inode_link, &ai->fetches);
	if (req->op == AUGUR_OP_FETCH)
		augur_filling_inc(ai);
	count_new(asb, req->op);
	trace_augur_upcall_new(asb->mount_id, req);
	return 0;
}

void augur_req_join(struct augur_req *req)
{
	lockdep_assert_held(&AUGUR_I(req->inode)->lock);
	spin_lock(&req->asb->req_lock);
	req->waiters++;
	req_get(req, AUGUR_WHY_JOIN);
	spin_unlock(&req->asb->req_lock);
	augur_stat_inc(req->asb, upcalls_coalesced);
}

/* -------- ending -------- */

/* True if @req was alive and is now out of the table; ai->lock and req_lock held. */
static bool req_end_locked(struct augur_req *req, int status, unsigned int rp_flags)
{
	struct augur_sb *asb = req->asb;

	if (req->state == AUGUR_REQ_DONE)
		return false;
	if (req->state == AUGUR_REQ_SENT && asb->session && asb->session->id == req->sent_to)
		asb->session->outstanding--;
	req->status = status;
	req->rp_flags = rp_flags;
	xa_erase(&asb->reqs, req->id);
	/* Pairs with the waiter's load: it reads status without a lock. */
	smp_store_release(&req->state, AUGUR_REQ_DONE);
	return true;
}

static void inode_unlink(struct augur_req *req)
{
	struct augur_inode *ai = AUGUR_I(req->inode);

	list_del_init(&req->inode_link);
	if (req->op == AUGUR_OP_FETCH)
		augur_filling_dec(ai);
}

/* After the locks: wakes, counts, and drops the table's reference. */
static void req_ended(struct augur_req *req, enum augur_req_end end)
{
	trace_augur_upcall_done(req->asb->mount_id, req->id, req->op, req->status, end,
				ktime_us_delta(ktime_get(), req->created));
	wake_up_all(&req->wait);
	augur_req_put(req, AUGUR_WHY_TABLE);
}

/* The two locks the wrong way round, which is what lockdep must see. */
static void inject_lock_order(struct augur_req *req)
{
	if (!augur_inject(AUGUR_INJECT_lock_order))
		return;
	spin_lock(&req->asb->req_lock);
	spin_lock(&AUGUR_I(req->inode)->lock);
	spin_unlock(&AUGUR_I(req->inode)->lock);
	spin_unlock(&req->asb->req_lock);
}

bool augur_req_end(struct augur_req *req, int status, unsigned int rp_flags,
		   enum augur_req_end end)
{
	struct augur_inode *ai = AUGUR_I(req->inode);
	bool ended;

	inject_lock_order(req);
	spin_lock(&ai->lock);
	spin_lock(&req->asb->req_lock);
	ended = req_end_locked(req, status, rp_flags);
	spin_unlock(&req->asb->req_lock);
	if (ended)
		inode_unlink(req);
	spin_unlock(&ai->lock);
	if (ended)
		req_ended(req, end);
	return ended;
}

/* One waiter less; ends a request that nobody waits for, unless it is a FETCH under way. */
static void req_leave(struct augur_req *req, enum augur_req_end end)
{
	struct augur_inode *ai = AUGUR_I(req->inode);
	struct augur_sb *asb = req->asb;
	struct augur_session *sess = NULL;
	bool last, ended = false;

	spin_lock(&ai->lock);
	spin_lock(&asb->req_lock);
	last = !--req->waiters && req->state != AUGUR_REQ_DONE;
	if (last && req->state == AUGUR_REQ_SENT && end != AUGUR_END_REPLY) {
		sess = asb->session;
		if (sess)
			kref_get(&sess->ref);
	}
	if (last && (req->op != AUGUR_OP_FETCH || req->state == AUGUR_REQ_NEW) &&
	    end != AUGUR_END_REPLY)
		ended = req_end_locked(req, -EINTR, 0);
	spin_unlock(&asb->req_lock);
	if (ended)
		inode_unlink(req);
	spin_unlock(&ai->lock);
	if (sess) {
		augur_netlink_send_cancel(sess, req->id);
		augur_session_put(sess);
	}
	if (ended)
		req_ended(req, end);
}

void augur_req_release(struct augur_req *req)
{
	/* Nobody is lost: a prefetch never had a real waiter. */
	req_leave(req, AUGUR_END_REPLY);
	augur_req_put(req, AUGUR_WHY_NEW);
}

/* -------- waiting -------- */

static bool req_is_done(struct augur_req *req)
{
	/* Pairs with req_end_locked(). */
	return smp_load_acquire(&req->state) == AUGUR_REQ_DONE;
}

/* Jiffies left; 0 at the deadline; negative when killed. */
static long wait_done(struct augur_req *req, long left)
{
	unsigned int state = WAIT_STATE;

	if (augur_inject(AUGUR_INJECT_unkillable))
		return wait_event_timeout(req->wait, req_is_done(req), left);
	if (augur_inject(AUGUR_INJECT_unfreezable))
		state = TASK_KILLABLE;
	if (req_is_done(req))
		return 1;
	return ___wait_event(req->wait, ___wait_cond_timeout(req_is_done(req)), state, 0, left,
			     __ret = schedule_timeout(__ret));
}

int augur_req_wait(struct augur_req *req, unsigned int *rp)
{
	struct augur_sb *asb = req->asb;
	enum augur_req_end end = AUGUR_END_REPLY;
	long left;
	int ret;

	might_sleep();
	left = wait_done(req, timeout_of(asb));
	if (req_is_done(req)) {
		ret = req->status;
		if (rp)
			*rp = req->rp_flags;
		if (ret && ret != -ENOENT)
			augur_stat_inc(asb, upcalls_error);
	} else if (left < 0) {
		ret = -EINTR;
		end = AUGUR_END_KILLED;
		augur_stat_inc(asb, upcalls_killed);
	} else {
		ret = -EIO;
		end = AUGUR_END_TIMEOUT;
		augur_stat_inc(asb, upcalls_timeout);
		augur_warn(asb, "request %llu (op %u) was not answered in %u ms; is augurd alive? (augur status)",
			   req->id, req->op, augur_opt(asb, timeout_ms));
	}
	req_leave(req, end);
	augur_req_put(req, AUGUR_WHY_JOIN);
	/* Its last reference may have been ours: to read it now is what KASAN must see. */
	if (augur_inject(AUGUR_INJECT_late_read))
		ret = req->status;
	return ret;
}

/* -------- sending -------- */

/* The oldest unsent request, now SENT, if the window has room; both referenced. */
static struct augur_req *next_to_send(struct augur_sb *asb, struct augur_session **sess,
				      bool *resend)
{
	struct augur_req *req = NULL;
	unsigned long index = 0;

	spin_lock(&asb->req_lock);
	*sess = asb->session;
	if (!*sess || (*sess)->outstanding >= (*sess)->window)
		goto out;
	req = xa_find(&asb->reqs, &index, ULONG_MAX, AUGUR_REQ_UNSENT);
	if (!req)
		goto out;
	xa_clear_mark(&asb->reqs, index, AUGUR_REQ_UNSENT);
	*resend = req->sends++;
	req->state = AUGUR_REQ_SENT;
	req->sent_to = (*sess)->id;
	(*sess)->outstanding++;
	kref_get(&(*sess)->ref);
	req_get(req, AUGUR_WHY_SEND);
out:
	spin_unlock(&asb->req_lock);
	return req;
}

/* The doorbell did not ring: as if it had never been tried. */
static void unsend(struct augur_sb *asb, struct augur_session *sess, struct augur_req *req)
{
	spin_lock(&asb->req_lock);
	if (req->state == AUGUR_REQ_SENT && req->sent_to == sess->id) {
		req->state = AUGUR_REQ_NEW;
		req->sends--;
		xa_set_mark(&asb->reqs, req->id, AUGUR_REQ_UNSENT);
		if (asb->session == sess)
			sess->outstanding--;
	}
	spin_unlock(&asb->req_lock);
}

static int send_one(struct augur_session *sess, struct augur_req *req, bool resend)
{
	int err = -EAGAIN;

	if (!augur_inject(AUGUR_INJECT_drop_doorbell))
		err = augur_netlink_send_req(sess, req, resend);
	trace_augur_upcall_sent(req->asb->mount_id, req->id, sess->id, resend, err);
	if (err)
		unsend(req->asb, sess, req);
	else if (resend)
		augur_stat_inc(req->asb, upcalls_resent);
	return err;
}

void augur_upcall_kick(struct augur_sb *asb)
{
	struct augur_session *sess;
	struct augur_req *req;
	bool resend;
	int i, err;

	for (i = 0; i < KICK_MAX; i++) {
		req = next_to_send(asb, &sess, &resend);
		if (!req)
			return;
		err = send_one(sess, req, resend);
		augur_req_put(req, AUGUR_WHY_SEND);
		augur_session_put(sess);
		if (err)
			break;
	}
	queue_delayed_work(augur_wq, &asb->resend_work,
			   i < KICK_MAX ? msecs_to_jiffies(AUGUR_RESEND_MS) : 0);
}

static void resend_work(struct work_struct *work)
{
	augur_upcall_kick(container_of(work, struct augur_sb, resend_work.work));
}

/* What becomes of one request when session @session is gone. */
static void lose_one(struct augur_sb *asb, struct augur_req *req, u64 session)
{
	struct augur_inode *ai = AUGUR_I(req->inode);
	bool ended = false;

	spin_lock(&ai->lock);
	spin_lock(&asb->req_lock);
	if (req->state == AUGUR_REQ_SENT && req->sent_to == session &&
	    !augur_inject(AUGUR_INJECT_drop_resend)) {
		req->state = AUGUR_REQ_NEW;
		xa_set_mark(&asb->reqs, req->id, AUGUR_REQ_UNSENT);
	}
	if (req->state == AUGUR_REQ_NEW && (!req->waiters || is_hopeless(asb)))
		ended = req_end_locked(req, -EIO, 0);
	spin_unlock(&asb->req_lock);
	if (ended)
		inode_unlink(req);
	spin_unlock(&ai->lock);
	if (ended)
		req_ended(req, AUGUR_END_LOST);
}

typedef void (*req_fn)(struct augur_sb *asb, struct augur_req *req, u64 arg);

static void walk_requests(struct augur_sb *asb, req_fn fn, u64 arg)
{
	struct augur_req *req;
	u64 id;

	for (id = 0; (req = augur_req_next(asb, &id)); id++) {
		fn(asb, req, arg);
		augur_req_put(req, AUGUR_WHY_WALK);
	}
}

void augur_upcall_session_lost(struct augur_sb *asb, u64 session)
{
	walk_requests(asb, lose_one, session);
	/* The next daemon may already be there. */
	augur_upcall_kick(asb);
}

static void abort_one(struct augur_sb *asb, struct augur_req *req, u64 end)
{
	augur_req_end(req, -ENOTCONN, 0, (enum augur_req_end)end);
}

void augur_upcall_abort(struct augur_sb *asb)
{
	walk_requests(asb, abort_one, AUGUR_END_ABORT);
	wake_up_all(&asb->idle_wait);
	augur_sessions_close(asb);
}

/* -------- requests about names and versions -------- */

static struct augur_req *find_same(struct augur_inode *ai, const struct augur_req *like)
{
	struct augur_req *req;

	list_for_each_entry(req, &ai->fetches, inode_link) {
		if (req->op == like->op && req->name_len == like->name_len &&
		    !memcmp(req->name, like->name, like->name_len))
			return req;
	}
	return NULL;
}

/* Joins the same question under way, or asks it; waits. */
static int ask(struct inode *inode, u32 op, const struct qstr *name, unsigned int *rp)
{
	struct augur_inode *ai = AUGUR_I(inode);
	struct augur_req *req, *same = NULL;
	int err = 0;

	req = augur_req_new(inode, op, name);
	if (IS_ERR(req))
		return PTR_ERR(req);
	spin_lock(&ai->lock);
	if (!augur_inject(AUGUR_INJECT_no_coalesce))
		same = find_same(ai, req);
	if (same)
		augur_req_join(same);
	else
		err = augur_req_start(req);
	spin_unlock(&ai->lock);
	if (same || err)
		augur_req_discard(req);
	if (err)
		return err;
	if (!same)
		augur_upcall_kick(req->asb);
	return augur_req_wait(same ?: req, rp);
}

int augur_upcall_lookup(struct inode *dir, const struct qstr *name, unsigned int *rp)
{
	unsigned int flags = 0;
	int err = ask(dir, AUGUR_OP_LOOKUP, name, &flags);

	if (rp)
		*rp = flags;
	return err;
}

int augur_upcall_populate(struct inode *dir)
{
	return ask(dir, AUGUR_OP_POPULATE, NULL, NULL);
}

int augur_upcall_reval(struct inode *inode)
{
	return ask(inode, AUGUR_OP_REVAL, NULL, NULL);
}

/* -------- life -------- */

int augur_upcall_init_sb(struct augur_sb *asb)
{
	spin_lock_init(&asb->req_lock);
	spin_lock_init(&asb->lease_lock);
	spin_lock_init(&asb->unsettled_lock);
	INIT_LIST_HEAD(&asb->unsettled);
	xa_init(&asb->reqs);
	atomic_set(&asb->reqs_live, 0);
	atomic_set(&asb->pins, 0);
	init_waitqueue_head(&asb->idle_wait);
	INIT_DELAYED_WORK(&asb->resend_work, resend_work);
	init_llist_head(&asb->iputs);
	INIT_WORK(&asb->iput_work, augur_iput_work);
	return 0;
}

void augur_upcall_stop_sb(struct augur_sb *asb)
{
	augur_event_stop_sb(asb);
	augur_session_stop(asb);
	walk_requests(asb, abort_one, AUGUR_END_UMOUNT);
	cancel_delayed_work_sync(&asb->resend_work);
	augur_unsettle_all(asb);
	flush_work(&asb->iput_work);
	/* Leaves nothing for later: what the work queued meanwhile is run here. */
	augur_iput_work(&asb->iput_work);
}

void augur_upcall_exit_sb(struct augur_sb *asb)
{
	xa_destroy(&asb->reqs);
	kvfree(asb->pu_group);
	kvfree(asb->leases);
	asb->pu_group = NULL;
	asb->leases = NULL;
}

int augur_upcall_init(void)
{
	augur_wq = alloc_workqueue("augurfs", WQ_UNBOUND, 0);
	if (!augur_wq)
		return -ENOMEM;
	augur_session_init();
	return 0;
}

void augur_upcall_exit(void)
{
	destroy_workqueue(augur_wq);
}
