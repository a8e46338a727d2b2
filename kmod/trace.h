/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace.h - tracepoints of the module (perf, bpftrace, /sys/kernel/tracing/events/augurfs).
 *
 * Requests are named by the id that netlink carries and augurd logs, objects by their inode
 * number.  Every get and put of a request states its reason, so that a leak can be read off
 * the trace.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM augurfs

#if !defined(AUGUR_TRACE_ONCE)
#define AUGUR_TRACE_ONCE

/* Why a reference to a request was taken or dropped. */
#define AUGUR_REQ_WHY(E)						\
	E(AUGUR_WHY_NEW,	"new")		/* creator, waits */	\
	E(AUGUR_WHY_TABLE,	"table")	/* the request table */	\
	E(AUGUR_WHY_JOIN,	"join")		/* a second waiter */	\
	E(AUGUR_WHY_SEND,	"send")		/* netlink */		\
	E(AUGUR_WHY_REPLY,	"reply")	/* REPLY handler */	\
	E(AUGUR_WHY_WALK,	"walk")		/* session end, dump */	\
	E(AUGUR_WHY_UNUSED,	"unused")	/* another's was joined */

/* How a request ended. */
#define AUGUR_REQ_ENDS(E)						\
	E(AUGUR_END_REPLY,	"reply")				\
	E(AUGUR_END_KILLED,	"killed")				\
	E(AUGUR_END_TIMEOUT,	"timeout")				\
	E(AUGUR_END_LOST,	"lost")		/* no daemon */		\
	E(AUGUR_END_ABORT,	"abort")				\
	E(AUGUR_END_UMOUNT,	"umount")

#define E(name, text) name,
enum augur_req_why { AUGUR_REQ_WHY(E) AUGUR_NR_WHY };
enum augur_req_end { AUGUR_REQ_ENDS(E) AUGUR_NR_ENDS };
#undef E

#endif /* AUGUR_TRACE_ONCE */

#if !defined(AUGUR_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define AUGUR_TRACE_H

#include <linux/tracepoint.h>

struct augur_req;
struct augur_session;

#define E(name, text) TRACE_DEFINE_ENUM(name);
AUGUR_REQ_WHY(E)
AUGUR_REQ_ENDS(E)
#undef E
#define E(name, text) { name, text },

TRACE_EVENT(augur_req_ref,
	TP_PROTO(u64 id, unsigned int refs, enum augur_req_why why, bool get),
	TP_ARGS(id, refs, why, get),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(unsigned int, refs)
		__field(int, why)
		__field(bool, get)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->refs = refs;
		__entry->why = why;
		__entry->get = get;
	),
	TP_printk("req=%llu %s %s refs=%u", __entry->id, __entry->get ? "get" : "put",
		  __print_symbolic(__entry->why, AUGUR_REQ_WHY(E) { -1, "?" }), __entry->refs)
);

TRACE_EVENT(augur_upcall_new,
	TP_PROTO(u64 mount_id, const struct augur_req *req),
	TP_ARGS(mount_id, req),
	TP_STRUCT__entry(
		__field(u64, mount_id)
		__field(u64, id)
		__field(u64, ino)
		__field(u64, off)
		__field(u64, len)
		__field(u64, want)
		__field(u32, op)
		__field(u32, flags)
	),
	TP_fast_assign(
		__entry->mount_id = mount_id;
		__entry->id = req->id;
		__entry->ino = augur_oid_ino(req->oid);
		__entry->off = req->off;
		__entry->len = req->len;
		__entry->want = req->want;
		__entry->op = req->op;
		__entry->flags = req->flags;
	),
	TP_printk("mount=%llu req=%llu op=%u flags=%#x ino=%llu off=%llu len=%llu want=%llu",
		  __entry->mount_id, __entry->id, __entry->op, __entry->flags, __entry->ino,
		  __entry->off, __entry->len, __entry->want)
);

TRACE_EVENT(augur_upcall_sent,
	TP_PROTO(u64 mount_id, u64 id, u64 session, bool resend, int err),
	TP_ARGS(mount_id, id, session, resend, err),
	TP_STRUCT__entry(
		__field(u64, mount_id)
		__field(u64, id)
		__field(u64, session)
		__field(bool, resend)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->mount_id = mount_id;
		__entry->id = id;
		__entry->session = session;
		__entry->resend = resend;
		__entry->err = err;
	),
	TP_printk("mount=%llu req=%llu session=%llu%s err=%d", __entry->mount_id, __entry->id,
		  __entry->session, __entry->resend ? " resend" : "", __entry->err)
);

TRACE_EVENT(augur_upcall_done,
	TP_PROTO(u64 mount_id, u64 id, u32 op, int status, enum augur_req_end end, s64 us),
	TP_ARGS(mount_id, id, op, status, end, us),
	TP_STRUCT__entry(
		__field(u64, mount_id)
		__field(u64, id)
		__field(u32, op)
		__field(int, status)
		__field(int, end)
		__field(s64, us)
	),
	TP_fast_assign(
		__entry->mount_id = mount_id;
		__entry->id = id;
		__entry->op = op;
		__entry->status = status;
		__entry->end = end;
		__entry->us = us;
	),
	TP_printk("mount=%llu req=%llu op=%u status=%d end=%s us=%lld", __entry->mount_id,
		  __entry->id, __entry->op, __entry->status,
		  __print_symbolic(__entry->end, AUGUR_REQ_ENDS(E) { -1, "?" }), __entry->us)
);

TRACE_EVENT(augur_session,
	TP_PROTO(u64 mount_id, u64 session, u32 portid, bool open),
	TP_ARGS(mount_id, session, portid, open),
	TP_STRUCT__entry(
		__field(u64, mount_id)
		__field(u64, session)
		__field(u32, portid)
		__field(bool, open)
	),
	TP_fast_assign(
		__entry->mount_id = mount_id;
		__entry->session = session;
		__entry->portid = portid;
		__entry->open = open;
	),
	TP_printk("mount=%llu session=%llu portid=%u %s", __entry->mount_id, __entry->session,
		  __entry->portid, __entry->open ? "open" : "close")
);

TRACE_EVENT(augur_grant,
	TP_PROTO(u64 id, u64 ino, u64 off, u64 len, int ranges, bool begin),
	TP_ARGS(id, ino, off, len, ranges, begin),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(u64, ino)
		__field(u64, off)
		__field(u64, len)
		__field(int, ranges)
		__field(bool, begin)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->ino = ino;
		__entry->off = off;
		__entry->len = len;
		__entry->ranges = ranges;
		__entry->begin = begin;
	),
	TP_printk("grant=%llu ino=%llu off=%llu len=%llu ranges=%d %s", __entry->id,
		  __entry->ino, __entry->off, __entry->len, __entry->ranges,
		  __entry->begin ? "begin" : "end")
);

TRACE_EVENT(augur_evict,
	TP_PROTO(u64 ino, u64 off, u64 len, int err, u32 why),
	TP_ARGS(ino, off, len, err, why),
	TP_STRUCT__entry(
		__field(u64, ino)
		__field(u64, off)
		__field(u64, len)
		__field(int, err)
		__field(u32, why)
	),
	TP_fast_assign(
		__entry->ino = ino;
		__entry->off = off;
		__entry->len = len;
		__entry->err = err;
		__entry->why = why;
	),
	TP_printk("ino=%llu off=%llu len=%llu err=%d busy=%u", __entry->ino, __entry->off,
		  __entry->len, __entry->err, __entry->why)
);

TRACE_EVENT(augur_state,
	TP_PROTO(u64 ino, unsigned int old, unsigned int now),
	TP_ARGS(ino, old, now),
	TP_STRUCT__entry(
		__field(u64, ino)
		__field(unsigned int, old)
		__field(unsigned int, now)
	),
	TP_fast_assign(
		__entry->ino = ino;
		__entry->old = old;
		__entry->now = now;
	),
	TP_printk("ino=%llu %#x -> %#x", __entry->ino, __entry->old, __entry->now)
);

TRACE_EVENT(augur_lease,
	TP_PROTO(u64 mount_id, u32 group, u64 seq, u64 deadline_ns, bool taken),
	TP_ARGS(mount_id, group, seq, deadline_ns, taken),
	TP_STRUCT__entry(
		__field(u64, mount_id)
		__field(u32, group)
		__field(u64, seq)
		__field(u64, deadline_ns)
		__field(bool, taken)
	),
	TP_fast_assign(
		__entry->mount_id = mount_id;
		__entry->group = group;
		__entry->seq = seq;
		__entry->deadline_ns = deadline_ns;
		__entry->taken = taken;
	),
	TP_printk("mount=%llu group=%u seq=%llu deadline=%llu%s", __entry->mount_id,
		  __entry->group, __entry->seq, __entry->deadline_ns,
		  __entry->taken ? "" : " older")
);

TRACE_EVENT(augur_inval,
	TP_PROTO(u64 mount_id, u32 kind, u64 ino, bool known),
	TP_ARGS(mount_id, kind, ino, known),
	TP_STRUCT__entry(
		__field(u64, mount_id)
		__field(u32, kind)
		__field(u64, ino)
		__field(bool, known)
	),
	TP_fast_assign(
		__entry->mount_id = mount_id;
		__entry->kind = kind;
		__entry->ino = ino;
		__entry->known = known;
	),
	TP_printk("mount=%llu kind=%u ino=%llu%s", __entry->mount_id, __entry->kind,
		  __entry->ino, __entry->known ? "" : " unknown")
);

TRACE_EVENT(augur_event_drop,
	TP_PROTO(u64 mount_id, unsigned int cpu, u64 dropped),
	TP_ARGS(mount_id, cpu, dropped),
	TP_STRUCT__entry(
		__field(u64, mount_id)
		__field(unsigned int, cpu)
		__field(u64, dropped)
	),
	TP_fast_assign(
		__entry->mount_id = mount_id;
		__entry->cpu = cpu;
		__entry->dropped = dropped;
	),
	TP_printk("mount=%llu cpu=%u dropped=%llu", __entry->mount_id, __entry->cpu,
		  __entry->dropped)
);

#undef E

#endif /* AUGUR_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
