/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim.h - a whole cluster in one thread: an agent, three proxies, the network between them, the
 * kernel above the agent and the disks below all, under one virtual clock and one seed.
 *
 *	world.c		clock, events, random numbers, trace	io_sim.c	the I/O table of a node
 *	net.c		connections and what happens to them	fs.c		system calls of the jobs
 *	kernel.c	the module: requests, grants, leases	readers.c	who reads, and what may be seen
 *	origin_sim.c	the tree, its history, edits		cluster.c	proxies and agent, start and end
 *	faults.c	what goes wrong, and when		rows.c		the agent's index, and what a kill leaves
 *	main.c		seeds, processes, verdicts
 *
 * A run is a child process of its own, so every run begins with the same memory.  Nothing here
 * asks the real clock or a real source of random numbers; what the real filesystem (a tmpfs of
 * the run's own) would answer differently each time is made the same in fs.c.
 */
#ifndef AUGUR_TESTS_SIM_H
#define AUGUR_TESTS_SIM_H

#include "base/fh.h"
#include "base/io_impl.h"
#include "base/mem.h"
#include "upcall/upcall.h"

#define MSEC		1000000ul
#define SEC		1000000000ul
#define SIM_START	(1000 * SEC)		/* CLOCK_BOOTTIME at the beginning */
#define SIM_REAL	(1000000000 * SEC)	/* what CLOCK_REALTIME is ahead of it */
#define TICK_NS		(4 * MSEC)		/* granularity of timestamps */
#define LEASE_MS	3000
#define TIMEOUT_MS	8000
#define PROXIES		3
#define SIM_DISK	(256ul << 20)		/* bytes of each filesystem */
#define SIM_INODES	100000ul		/* of the cache's */

/* ---- world.c ---- */
struct event { u64 at, key; size_t place; bool queued; void (*fn)(struct event *e); };
extern u64 sim_now;
extern bool sim_quiet;				/* the load is over and the world is healed */
/* What a run met, counted where it has an effect: a kind that never hits is a hole in the test. */
#define SIM_HITS(X)								\
	X(RESET, "reset") X(DROP, "drop") X(DELAY, "delay") X(REORDER, "reorder") X(CUT_ANSWER, "cut_answer")	\
	X(REFUSE, "refuse") X(PROXY, "proxy_restart") X(AGENT, "agent_restart") X(AGENT_KILL, "agent_kill") X(EIO, "eio") X(ENOSPC, "enospc")	\
	X(SHORT, "short_io") X(SLOW, "slow_disk") X(SQUEEZE, "disk_filled") X(INODES, "inodes_filled") X(FORGET, "forget") X(EVICT, "evict") X(STREAM, "stream")	\
	X(NO_DAEMON, "no_daemon") X(KILL, "kill") X(TIMEOUT, "timeout")
#define SIM_HIT(id, name) HIT_##id,
enum hit { SIM_HITS(SIM_HIT) HITS };
extern u64 hits[HITS];
void world_begin(u64 seed, bool trace);
void event_at(struct event *e, u64 at, void (*fn)(struct event *e));
void event_cancel(struct event *e);
/* The next event happens; false: there is none. */
bool world_step(void);
u64 rnd(void);
u64 below(u64 n);				/* 0 .. n-1 */
u64 between(u64 a, u64 b);			/* a .. b */
bool chance(unsigned int permille);
/* A line of the trace: printed if wanted, hashed always. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
u64 world_hash(void);
u64 world_events(void);
/* The run has failed: says why and ends it; bytes or names that never were, a waiter that nobody answers, all else. */
enum run_end { END_FAILED = 3, END_SETUP = 5, END_WRONG, END_LOST };
void violated(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void wrong_bytes(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void lost_waiter(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- io_sim.c ---- */
#define VFD		(1 << 20)		/* descriptors of the simulated network begin here */
enum { AGENT = 0 };				/* nodes: the agent, then the proxies */
#define NODES		(1 + PROXIES)
struct node {
	struct io	io;
	int		id;
	bool		up;
	unsigned int	ops;			/* in flight */
	struct list	pending;		/* struct pend */
	struct list	polls;
	struct spool	*pools[64];
};
extern struct node nodes[NODES];
extern struct node *running;			/* whose job or callback runs now */
struct io *io_sim_open(int id);
/* An operation is about to end: done(res) comes after @delay. */
void io_sim_finish(struct node *n, struct io_op *op, int res, u64 delay);
/* Looks at the real descriptors that somebody polls. */
void io_sim_polls(void);

/* ---- net.c ---- */
void net_begin(void);
int net_listen(struct node *n, const struct sockaddr *addr);
void net_accept(struct node *n, struct io_op *op, int fd);
void net_connect(struct node *n, struct io_op *op, const struct sockaddr *addr);
void net_send(struct node *n, struct io_op *op, int fd);
void net_send_last(struct node *n, int fd, const void *buf, size_t len);
void net_recv(struct node *n, struct io_op *op, int fd, void *buf, size_t len, size_t least);
void net_close(struct node *n, int fd);
bool net_cancel(struct node *n, struct io_op *op);	/* false: it has ended already */
void net_down(struct node *n);			/* the machine is gone: everything of it is reset */
unsigned int net_open(int node);		/* descriptors of it */
/* Faults. */
bool net_reset_one(void);
void net_cut(int a, int b, u64 until, bool one_way);	/* nothing passes (to a); connections stay */
void net_cut_in_answer(int a, int b, u64 ns);	/* for so long, at the next piece of an answer from b to a */
void net_refuse(int node, u64 until);
void net_heal(void);

/* ---- fs.c ---- */
enum disk_fault { DISK_OK, DISK_FULL, DISK_EIO, DISK_SHORT, DISK_SLOW };
struct disk { enum disk_fault fault; unsigned int permille; u64 until; };
extern struct disk disks[NODES];
u64 disk_delay(int node);
/* Somebody else fills the cache's disk up to @room bytes; he takes it all away. */
void disk_squeeze(u64 room);
void disk_squeeze_inodes(u64 room);		/* the same of its inodes */
void disk_release(void);
void disk_trouble(int node, u64 until);		/* it may refuse everything as long as that */
u64 disk_trouble_until(int node);
void fs_changed(u64 ino);			/* its ctime is now */
void fs_begin(const char *cache);
u64 now_real(void);
u64 fs_ctime(u64 ino);
u64 fs_blocks(u64 ctime, u64 size);		/* st_blocks of a file with these */

/* ---- origin_sim.c ---- */
struct state { u64 cid, from, to; u32 len; struct state *next; };	/* cid 0: the name is absent */
struct ofile { char dir[16], name[16]; struct state *first, *last; };
extern struct ofile ofiles[];
extern unsigned int nofiles;
void origin_build(const char *top);
void origin_edit(bool renames);
/* It is changed while somebody's question about it is on its way, or the answer. */
void origin_edit_soon(struct ofile *f);
void pattern(u64 cid, u64 off, u8 *buf, size_t len);
/* What content a file of @len bytes is that has @p at @off: its cid, or 0. */
u64 pattern_cid(const u8 *p, size_t len, u64 off);
bool pattern_is(u64 cid, const u8 *p, size_t len, u64 off);
u32 cid_len(u64 cid);
/* When a directory below the root was changed last, as its times say. */
u64 dir_mtime(unsigned int d, char name[16]);

/* ---- kernel.c ---- */
typedef void kdone_fn(void *arg, int status, u32 flags);
struct kino { u64 ino; struct fh fh; u8 oid[AUGUR_OID_LEN]; u64 size, version; u32 pu, shift; bool dir, complete, stale;
	      bool settled, listed; u8 *map, *lent; u64 cid; unsigned int opens; };
extern struct upcall_mount kmount;
void kernel_begin(const char *cache);
/* Somebody has all files open: none of them can be evicted. */
void kernel_hold(bool all);
struct kino *kino_root(void);
/* Of a name in the lower tree: 0, -ENOENT (ask), -ESTALE (ask again). */
int kernel_peek(struct kino *dir, const char *name, struct kino **out);
/* The lower inode, as an open holds it. */
int kernel_open(struct kino *k);
void kernel_close(struct kino *k, int fd);
bool kernel_leased(const struct kino *k);
void kernel_ask(u32 op, struct kino *k, const char *name, u64 off, u64 len, kdone_fn *fn, void *arg);
bool kino_has(const struct kino *k, u64 off, u64 len);
unsigned int kernel_waiting(void);
void kernel_check_all(void);
extern u64 kernel_requests;

/* ---- readers.c ---- */
void readers_start(unsigned int n, u64 stale_ns);
void readers_stop(void);
bool readers_idle(void);
/* Every directory that was ever listed shows what the origin's does, though nobody has listed it since. */
void readers_stat_dirs(void);
/* Reads everything once: all of it must be there and new. */
void readers_final(void);
extern u64 reads_done, reads_failed;

/* ---- cluster.c ---- */
void cluster_begin(const char *top, bool rescan);
void cluster_end(void);
void proxy_bounce(int i, u64 down_ns);
void agent_bounce(bool kill);
/* What was asked for by the two above happens here, outside of any event. */
void cluster_poll(void);
bool cluster_ready(void);
bool cluster_claims(void);		/* an agent is there, and has never failed to sync a file */
void cluster_check_rest(void);

/* ---- rows.c ---- */
void rows_keep(const char *cache);		/* the agent is about to be killed */
void rows_back(const char *cache);		/* it was */
void rows_check(const char *cache);		/* it has ended: all that lies there has a row */

/* ---- faults.c ---- */
void faults_plan(u64 from, u64 to);
bool faults_restart_agent(void);		/* is it in the plan? */
void faults_end(void);

#endif
