// SPDX-License-Identifier: GPL-2.0-only
/*
 * event.c - the access log: records of opens, reads, misses and closes on their way to the
 * daemon.
 *
 * One ring a CPU.  The producer is the current task with preemption off, never an
 * interrupt; the one consumer is the drain work.  So head belongs to the producer and tail
 * to the consumer, and neither needs an atomic operation.  A full ring drops the new record
 * and counts it, it never overwrites: produced = accepted + dropped holds on every CPU.
 * Records stay in the ring until the event socket took them.
 */
#include <linux/cred.h>
#include <linux/pid_namespace.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/siphash.h>
#include <linux/slab.h>
#include "upcall.h"

#define DRAIN_MS	100
#define MSG_RECORDS	400		/* 25.6 KB: one message stays within 26 KiB */
#define RUN_BYTES	(1ULL << 20)	/* summary: a long sequential run is told in such parts */
#define JUMPS_TOLD	64		/* summary: so many runs of one open are told all, */
#define JUMPS_SKIP	16		/* then one in so many */

struct augur_ring {
	struct augur_event	*rec;	/* NULL: this CPU was not there at mount */
	u64			size;	/* records, a power of two */
	u64			head;	/* accepted since mount; producer */
	u64			tail;	/* delivered since mount; consumer */
	u64			dropped;	/* producer */
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

static void plan_drain(struct augur_sb *asb, u64 used, u64 n, u64 size)
{
	if (!READ_ONCE(asb->event_session))
		return;
	if (used >= size / 2 && used - n < size / 2)
		mod_delayed_work(augur_wq, &asb->event_work, 0);
	else if (!delayed_work_pending(&asb->event_work))
		queue_delayed_work(augur_wq, &asb->event_work, msecs_to_jiffies(DRAIN_MS));
}

/* Accepts all @n records (in both cases of @ev and @who: 64 bytes) or none. */
static void ring_put(struct augur_sb *asb, struct augur_event *ev, struct augur_event_who *who)
{
	struct augur_ring *ring;
	u64 n = who ? 2 : 1, used, size;

	ring = get_cpu_ptr(asb->rings);
	size = ring->size;
	/* Pairs with the consumer's release: it has read what we overwrite. */
	used = ring->head - smp_load_acquire(&ring->tail) + n;
	augur_stat_add(asb, events_produced, n);
	if (!ring->rec || used > size) {
		WRITE_ONCE(ring->dropped, ring->dropped + n);
		augur_stat_add(asb, events_dropped, n);
		trace_augur_event_drop(asb->mount_id, smp_processor_id(), ring->dropped);
	} else {
		ev->cpu = cpu_to_le16(smp_processor_id());
		ring->rec[ring->head & (size - 1)] = *ev;
		if (who) {
			who->cpu = ev->cpu;
			memcpy(&ring->rec[(ring->head + 1) & (size - 1)], who, sizeof(*who));
		}
		/* Pairs with the consumer's acquire: the records before the count. */
		smp_store_release(&ring->head, ring->head + n);
		augur_stat_add(asb, events_accepted, n);
	}
	put_cpu_ptr(asb->rings);
	plan_drain(asb, used, n, size);
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
	ev->cpu = 0;
	ev->pu = cpu_to_le32(ai->pu);
}

static bool is_off(struct inode *inode)
{
	return augur_opt(AUGUR_SB(inode->i_sb), log) == AUGUR_LOG_OFF;
}

static void put(struct inode *inode, struct augur_file *af, enum augur_event_op op,
		unsigned int evf, u64 off, u64 len, u64 us)
{
	struct augur_event ev;

	fill(&ev, inode, af, op, evf, off, len, us);
	ring_put(AUGUR_SB(inode->i_sb), &ev, NULL);
}

/* OPEN: len is the size of the file. */
void augur_event_open(struct inode *inode, struct augur_file *af, unsigned int evf)
{
	struct augur_event_who who = { .op = AUGUR_EV_WHO };
	struct augur_event ev;

	if (is_off(inode))
		return;
	fill(&ev, inode, af, AUGUR_EV_OPEN, evf, 0, i_size_read(inode), 0);
	who.time_ns = ev.time_ns;
	who.session_key = ev.session_key;
	who.open_id = ev.open_id;
	who.pid = cpu_to_le32(task_pid_nr(current));
	who.tgid = cpu_to_le32(task_tgid_nr(current));
	who.uid = cpu_to_le32(from_kuid(&init_user_ns, current_uid()));
	who.gid = cpu_to_le32(from_kgid(&init_user_ns, current_gid()));
	memcpy(who.comm, current->comm, sizeof(who.comm));
	ring_put(AUGUR_SB(inode->i_sb), &ev, &who);
}

/* The sequential run [run_off, next_off) of this open is over, or long enough to be told. */
static void tell_run(struct inode *inode, struct augur_file *af, unsigned int evf)
{
	if (af->next_off > af->run_off)
		put(inode, af, AUGUR_EV_READ, evf, af->run_off, af->next_off - af->run_off, 0);
}

static void summarise(struct inode *inode, struct augur_file *af, u64 off, u64 len,
		      unsigned int evf, bool seq)
{
	if (!seq) {
		if (af->jumps < JUMPS_TOLD || !(af->jumps % JUMPS_SKIP))
			tell_run(inode, af, evf);
		af->jumps++;
		af->run_off = off;
	}
	af->next_off = off + len;
	if (af->next_off - af->run_off >= RUN_BYTES) {
		tell_run(inode, af, evf | AUGUR_EVF_SEQ);
		af->run_off = af->next_off;
	}
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
	bool seq;

	if (mode == AUGUR_LOG_OFF)
		return;
	if (!af->reads)
		af->run_off = af->next_off = off;
	seq = off == af->next_off;
	af->bytes += len;
	af->reads++;
	af->seq_reads += seq;
	if (mode == AUGUR_LOG_SUMMARY) {
		summarise(inode, af, off, len, evf, seq);
		return;
	}
	if (!seq)
		af->jumps++;
	af->next_off = off + len;
	if (mode == AUGUR_LOG_FULL || is_sampled(asb))
		put(inode, af, AUGUR_EV_READ, evf, off, len, 0);
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

void augur_event_dir(struct inode *dir, enum augur_event_op op)
{
	if (!is_off(dir))
		put(dir, NULL, op, 0, 0, 0, 0);
}

/* -------- delivering -------- */

/* True if the socket took records of this CPU; *full: it takes no more now. */
static bool drain_cpu(struct augur_session *sess, int cpu, bool *full)
{
	struct augur_ring *ring = per_cpu_ptr(sess->asb->rings, cpu);
	u64 head, n, at;
	bool any = false;

	if (!ring->rec)
		return false;
	/* Pairs with the producer's release. */
	head = smp_load_acquire(&ring->head);
	while (ring->tail != head) {
		at = ring->tail & (ring->size - 1);
		n = min3(head - ring->tail, ring->size - at, (u64)MSG_RECORDS);
		if (augur_netlink_send_events(sess, cpu, ring->tail, READ_ONCE(ring->dropped),
					      &ring->rec[at], n)) {
			*full = true;
			break;
		}
		/* Pairs with the producer's acquire: we are done with these slots. */
		smp_store_release(&ring->tail, ring->tail + n);
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

/* -------- life -------- */

int augur_event_init_sb(struct augur_sb *asb)
{
	u64 size = (u64)asb->opts.log_ring_kb * 1024 / AUGUR_EVENT_LEN;
	struct augur_ring *ring;
	int cpu;

	BUILD_BUG_ON(sizeof(struct augur_event) != AUGUR_EVENT_LEN);
	BUILD_BUG_ON(sizeof(struct augur_event_who) != AUGUR_EVENT_LEN);
	INIT_DELAYED_WORK(&asb->event_work, drain_work);
	asb->rings = alloc_percpu(struct augur_ring);
	if (!asb->rings)
		return -ENOMEM;
	augur_live_inc();
	for_each_online_cpu(cpu) {
		ring = per_cpu_ptr(asb->rings, cpu);
		ring->size = size;
		ring->rec = kvzalloc_node(size * AUGUR_EVENT_LEN, GFP_KERNEL, cpu_to_node(cpu));
		if (!ring->rec) {
			augur_event_exit_sb(asb);
			return -ENOMEM;
		}
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
		kvfree(per_cpu_ptr(asb->rings, cpu)->rec);
	free_percpu(asb->rings);
	asb->rings = NULL;
	augur_live_dec();
}
