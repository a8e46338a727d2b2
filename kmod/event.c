// SPDX-License-Identifier: GPL-2.0-only
/*
 * event.c - the access log: records of opens, reads, misses and closes on their way to the
 * daemon.
 *
 * One ring a CPU (common/ring.h).  The producer is the current task with preemption off,
 * never an interrupt; the one consumer is the drain work.  A full ring drops the new record
 * and counts it: produced = accepted + dropped holds on every CPU.  Records are written where
 * they will lie and stay in the ring until the event socket took them.
 */
#include <linux/cred.h>
#include <linux/pid_namespace.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/siphash.h>
#include <linux/slab.h>
#include "common/ring.h"
#include "upcall.h"

#define DRAIN_MS	100
#define MSG_RECORDS	400		/* 25.6 KB: one message stays within 26 KiB */
#define RUN_BYTES	(1ULL << 20)	/* summary: a long sequential run is told in such parts */
#define JUMPS_TOLD	64		/* summary: so many runs of one open are told all, */
#define JUMPS_SKIP	16		/* then one in so many */

/* Of one CPU; without records if that CPU was not there at mount. */
struct augur_cpu_ring {
	struct augur_ring	ring;
	unsigned long		tick;		/* jiffies at time_ns */
	u64			time_ns;	/* CLOCK_REALTIME then */
	u32			skipped;	/* reads since the last sample */
};

static siphash_key_t session_hash_key;

void augur_event_init(void)
{
	get_random_bytes(&session_hash_key, sizeof(session_hash_key));
}

/*
 * One key a job: the same for all processes of a process group, another for a later group
 * with the same number (its leader started at another time) and on another host (the hash
 * key).  A leader that has exited counts as started at 0.
 */
u64 augur_session_key(struct augur_sb *asb)
{
	struct task_struct *leader;
	struct pid *pgrp;
	u64 start = 0;
	u32 nr;

	rcu_read_lock();
	pgrp = task_pgrp(current);
	nr = pid_nr(pgrp);
	leader = pid_task(pgrp, PIDTYPE_PID);
	if (leader)
		start = leader->start_boottime;
	rcu_read_unlock();
	return siphash_3u64(nr, start, task_active_pid_ns(current)->ns.inum, &session_hash_key);
}

/* -------- producing -------- */

/* The consumer looks again within DRAIN_MS; it does so by itself while it finds something. */
static __always_inline void plan_drain(struct augur_sb *asb)
{
	if (!delayed_work_pending(&asb->event_work) && READ_ONCE(asb->event_session))
		queue_delayed_work(augur_wq, &asb->event_work, msecs_to_jiffies(DRAIN_MS));
}

/*
 * Room for @n records, all or none, on this CPU, which is ours until ring_put(); NULL and
 * nothing to put if there is none.
 */
static struct augur_ring *ring_get(struct augur_sb *asb, u32 n)
{
	struct augur_ring *ring = &get_cpu_ptr(asb->rings)->ring;
	bool kick = false;

	augur_stat_add(asb, events_produced, n);
	if (!augur_ring_reserve(ring, n, &kick)) {
		trace_augur_event_drop(asb->mount_id, smp_processor_id(), ring->dropped);
		put_cpu_ptr(asb->rings);
		plan_drain(asb);
		return NULL;
	}
	if (kick && READ_ONCE(asb->event_session))
		mod_delayed_work(augur_wq, &asb->event_work, 0);
	return ring;
}

static __always_inline void ring_put(struct augur_sb *asb, struct augur_ring *ring, u32 n)
{
	augur_ring_commit(ring, n);
	put_cpu_ptr(asb->rings);
	plan_drain(asb);
}

static void fill(struct augur_event *ev, struct inode *inode, struct augur_file *af,
		 enum augur_event_op op, unsigned int evf, u64 off, u64 len, u64 us)
{
	struct augur_inode *ai = AUGUR_I(inode);
	u64 key = af ? af->session_key : augur_session_key(AUGUR_SB(inode->i_sb));

	ev->time_ns = cpu_to_le64(ktime_get_real_ns());
	ev->session_key = cpu_to_le64(key);
	memcpy(ev->oid, ai->oid, sizeof(ev->oid));
	ev->off = cpu_to_le64(off);
	ev->len = cpu_to_le64(len);
	ev->open_id = cpu_to_le32(af ? af->open_id : 0);
	ev->latency_us = cpu_to_le32(min_t(u64, us, U32_MAX));
	ev->op = op;
	ev->flags = evf | (S_ISDIR(inode->i_mode) ? AUGUR_EVF_DIR : 0);
	ev->cpu = cpu_to_le16(smp_processor_id());
	ev->pu = cpu_to_le32(ai->pu);
}

/* Who does what @ev says. */
static void fill_who(struct augur_event_who *who, const struct augur_event *ev)
{
	who->time_ns = ev->time_ns;
	who->session_key = ev->session_key;
	who->pid = cpu_to_le32(task_pid_nr(current));
	who->tgid = cpu_to_le32(task_tgid_nr(current));
	who->uid = cpu_to_le32(from_kuid(&init_user_ns, current_uid()));
	who->gid = cpu_to_le32(from_kgid(&init_user_ns, current_gid()));
	memcpy(who->comm, current->comm, sizeof(who->comm));
	who->open_id = ev->open_id;
	who->reserved = 0;
	who->op = AUGUR_EV_WHO;
	who->flags = 0;
	who->cpu = ev->cpu;
	who->reserved2 = 0;
}

static bool is_off(struct inode *inode)
{
	return augur_opt(AUGUR_SB(inode->i_sb), log) == AUGUR_LOG_OFF;
}

static noinline void put(struct inode *inode, struct augur_file *af, enum augur_event_op op,
			 unsigned int evf, u64 off, u64 len, u64 us)
{
	struct augur_sb *asb = AUGUR_SB(inode->i_sb);
	struct augur_ring *ring = ring_get(asb, 1);

	if (!ring)
		return;
	fill(augur_ring_slot(ring, 0), inode, af, op, evf, off, len, us);
	ring_put(asb, ring, 1);
}

/* The same, and who does it. */
static void put_who(struct inode *inode, struct augur_file *af, enum augur_event_op op,
		    unsigned int evf, u64 off, u64 len)
{
	struct augur_sb *asb = AUGUR_SB(inode->i_sb);
	struct augur_ring *ring = ring_get(asb, 2);
	struct augur_event *ev;

	if (!ring)
		return;
	ev = augur_ring_slot(ring, 0);
	fill(ev, inode, af, op, evf, off, len, 0);
	fill_who((struct augur_event_who *)augur_ring_slot(ring, 1), ev);
	ring_put(asb, ring, 2);
}

/* OPEN: len is the size of the file. */
void augur_event_open(struct inode *inode, struct augur_file *af, unsigned int evf)
{
	if (!is_off(inode))
		put_who(inode, af, AUGUR_EV_OPEN, evf, 0, i_size_read(inode));
}

/* The sequential run [run_off, next_off) of this open is over, or long enough to be told. */
static void tell_run(struct inode *inode, struct augur_file *af, unsigned int evf)
{
	if (af->next_off > af->run_off)
		put(inode, af, AUGUR_EV_READ, evf, af->run_off, af->next_off - af->run_off, 0);
}

/* This read does not follow on the one before. */
static noinline void note_jump(struct inode *inode, struct augur_file *af, u64 off,
			       unsigned int evf, u32 mode)
{
	if (!af->reads) {
		af->run_off = off;
		return;
	}
	if (mode == AUGUR_LOG_SUMMARY &&
	    (af->jumps < JUMPS_TOLD || !(af->jumps % JUMPS_SKIP)))
		tell_run(inode, af, evf);
	af->jumps++;
	af->run_off = off;
}

static noinline void tell_long_run(struct inode *inode, struct augur_file *af, unsigned int evf)
{
	tell_run(inode, af, evf | AUGUR_EVF_SEQ);
	af->run_off = af->next_off;
}

/*
 * READ in mode full: what each cached read pays, so flat and short.  The time is that of the
 * tick: asking the clock would cost as much as all the rest.
 */
static __always_inline void put_read(struct augur_sb *asb, struct inode *inode,
				     struct augur_file *af, unsigned int evf, u64 off, u64 len)
{
	struct augur_cpu_ring *cr = get_cpu_ptr(asb->rings);
	const struct augur_inode *ai = AUGUR_I(inode);
	struct augur_ring *ring = &cr->ring;
	unsigned long tick = jiffies;
	struct augur_event *ev;

	if (unlikely(ring->head >= ring->room || cr->tick != tick)) {
		cr->tick = tick;
		cr->time_ns = ktime_get_real_ns();
		put_cpu_ptr(asb->rings);
		put(inode, af, AUGUR_EV_READ, evf, off, len, 0);
		return;
	}
	augur_stat_inc(asb, events_produced);
	ev = augur_ring_slot(ring, 0);
	ev->time_ns = cpu_to_le64(cr->time_ns);
	ev->session_key = cpu_to_le64(af->session_key);
	memcpy(ev->oid, ai->oid, sizeof(ev->oid));
	ev->off = cpu_to_le64(off);
	ev->len = cpu_to_le64(len);
	ev->open_id = cpu_to_le32(af->open_id);
	ev->latency_us = 0;
	ev->op = AUGUR_EV_READ;
	ev->flags = evf;
	ev->cpu = cpu_to_le16(smp_processor_id());
	ev->pu = cpu_to_le32(ai->pu);
	ring_put(asb, ring, 1);
}

/* True for one read in log_sample of those on this CPU. */
static bool is_sampled(struct augur_sb *asb)
{
	if (this_cpu_inc_return(asb->rings->skipped) < augur_opt(asb, log_sample))
		return false;
	this_cpu_write(asb->rings->skipped, 0);
	return true;
}

void augur_event_read(struct inode *inode, struct augur_file *af, u64 off, u64 len,
		      unsigned int evf)
{
	struct augur_sb *asb = AUGUR_SB(inode->i_sb);
	u32 mode = augur_opt(asb, log);

	if (mode == AUGUR_LOG_OFF)
		return;
	if (unlikely(off != af->next_off))
		note_jump(inode, af, off, evf, mode);
	af->next_off = off + len;
	af->bytes += len;
	af->reads++;
	if (likely(mode == AUGUR_LOG_SUMMARY)) {
		if (unlikely(off + len - af->run_off >= RUN_BYTES))
			tell_long_run(inode, af, evf);
		return;
	}
	if (mode == AUGUR_LOG_FULL || is_sampled(asb))
		put_read(asb, inode, af, evf, off, len);
}

void augur_event_miss(struct inode *inode, struct augur_file *af, u64 off, u64 len, u64 us,
		      unsigned int evf)
{
	if (!is_off(inode))
		put(inode, af, evf & AUGUR_EVF_MMAP ? AUGUR_EV_FAULT : AUGUR_EV_MISS, evf, off,
		    len, us);
}

void augur_event_close(struct inode *inode, struct augur_file *af)
{
	unsigned int evf = 0;

	if (is_off(inode))
		return;
	/* One run from the start is what CLOSE itself says. */
	if (augur_opt(AUGUR_SB(inode->i_sb), log) == AUGUR_LOG_SUMMARY && af->run_off)
		tell_run(inode, af, 0);
	if (af->reads && !af->jumps)
		evf |= AUGUR_EVF_SEQ;
	if (!af->miss_bytes)
		evf |= AUGUR_EVF_HIT;
	put(inode, af, AUGUR_EV_CLOSE, evf, af->bytes, af->reads, af->miss_us);
}

void augur_event_lookup_miss(struct inode *dir)
{
	if (!is_off(dir))
		put(dir, NULL, AUGUR_EV_LOOKUP_MISS, 0, 0, 0, 0);
}

/* READDIR: off is the number of directories among the len entries. */
void augur_event_readdir(struct inode *dir, u32 entries, u32 subdirs)
{
	if (!is_off(dir))
		put_who(dir, NULL, AUGUR_EV_READDIR, 0, subdirs, entries);
}

/* -------- delivering -------- */

/* True if the socket took records of this CPU; *full: it takes no more now. */
static bool drain_cpu(struct augur_session *sess, int cpu, bool *full)
{
	struct augur_ring *ring = &per_cpu_ptr(sess->asb->rings, cpu)->ring;
	/* Pairs with the producer's release: what lies before it is written. */
	u64 end = smp_load_acquire(&ring->head), n, seq;
	struct augur_event *rec;
	bool any = false;

	/* What came before we looked: a fast producer must not keep us on this CPU. */
	while (ring->tail < end) {
		n = augur_ring_peek(ring, MSG_RECORDS, &rec, &seq);
		if (augur_netlink_send_events(sess, cpu, seq, READ_ONCE(ring->dropped), rec, n)) {
			*full = true;
			break;
		}
		augur_ring_consume(ring, n);
		any = true;
	}
	return any;
}

/* True if there may be more to do soon. */
static bool drain(struct augur_sb *asb)
{
	struct augur_session *sess = augur_session_get(asb, true);
	bool any = false, full = false;
	int cpu;

	if (!sess)
		return false;
	for_each_possible_cpu(cpu) {
		any |= drain_cpu(sess, cpu, &full);
		if (full)
			break;
	}
	augur_session_put(sess);
	return any || full;
}

static void drain_work(struct work_struct *work)
{
	struct augur_sb *asb = container_of(work, struct augur_sb, event_work.work);

	/*
	 * Again after a run that found something: a producer that saw us pending may have
	 * stored its record after we looked.
	 */
	if (drain(asb))
		queue_delayed_work(augur_wq, &asb->event_work, msecs_to_jiffies(DRAIN_MS));
}

void augur_event_kick(struct augur_sb *asb)
{
	mod_delayed_work(augur_wq, &asb->event_work, 0);
}

/* What the rings count themselves. */
u64 augur_event_sum(struct augur_sb *asb, enum augur_stat_id id)
{
	const struct augur_ring *ring;
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		ring = &per_cpu_ptr(asb->rings, cpu)->ring;
		sum += id == AUGUR_STAT_events_dropped ? READ_ONCE(ring->dropped) :
							 READ_ONCE(ring->head);
	}
	return sum;
}

/* -------- life -------- */

int augur_event_init_sb(struct augur_sb *asb)
{
	u64 size = (u64)asb->opts.log_ring_kb * 1024 / AUGUR_EVENT_LEN;
	struct augur_ring *ring;
	int cpu;

	BUILD_BUG_ON(sizeof(struct augur_event) != AUGUR_EVENT_LEN);
	BUILD_BUG_ON(sizeof(struct augur_event_who) != AUGUR_EVENT_LEN);
	INIT_DELAYED_WORK(&asb->event_work, drain_work);
	asb->rings = alloc_percpu(struct augur_cpu_ring);
	if (!asb->rings)
		return -ENOMEM;
	augur_live_inc();
	for_each_online_cpu(cpu) {
		ring = &per_cpu_ptr(asb->rings, cpu)->ring;
		ring->rec = kvzalloc_node(size * AUGUR_EVENT_LEN, GFP_KERNEL, cpu_to_node(cpu));
		if (!ring->rec) {
			augur_event_exit_sb(asb);
			return -ENOMEM;
		}
		ring->size = size;
	}
	return 0;
}

/* The last records of a mount still reach the daemon if it listens. */
void augur_event_stop_sb(struct augur_sb *asb)
{
	if (!asb->rings)
		return;
	cancel_delayed_work_sync(&asb->event_work);
	drain(asb);
}

void augur_event_exit_sb(struct augur_sb *asb)
{
	int cpu;

	if (!asb->rings)
		return;
	cancel_delayed_work_sync(&asb->event_work);
	for_each_possible_cpu(cpu)
		kvfree(per_cpu_ptr(asb->rings, cpu)->ring.rec);
	free_percpu(asb->rings);
	asb->rings = NULL;
	augur_live_dec();
}
