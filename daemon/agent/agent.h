/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * agent.h - the agent's miss logic: a request of the kernel becomes a question to the owner,
 * and the answer names and bytes in the cache.
 *
 *	upcall -> dir.c | file.c | reval.c -> ask.c (place, xfer) -> cache -> upcall
 *
 * A struct vol is one volume served from one cache directory, mounted or not.  Work under
 * way hangs on the object it is about: struct dwork for a directory, struct fwork for a file;
 * requests wait there.  Everything runs on the loop thread.
 *
 *   vol.c	volumes, their binding to mounts, requests from the kernel
 *   peers.c	proxies, HELLO, the map		ask.c	one question, retried until its deadline
 *   dir.c	LOOKUP, POPULATE		names.c	answers become names, switches, removals
 *   file.c	FETCH: fills			ahead.c	read-ahead, batches of small files
 *   behind.c	the rest of a large file	walk.c	listings ahead of a walk
 *   lease.c	leases, sweeps			reval.c	REVAL
 *   change.c	changes told by an owner	recover.c objects the index does not know
 *   warm.c	fetch whole subtrees		verbs.c	control socket
 *   health.c	what is said of proxies		log.c	the access log, as asked for
 *   pin.c	pins, evictions by hand		evict.c	dropping bytes
 *   space.c	watermarks, full disks		events.c	what changes
 *   giveback.c	bytes of refused fills		look.c	attributes of changed directories
 *   repin.c	what is made at a pinned path	forget.c	names, when inodes are few
 */
#ifndef AUGUR_AGENT_AGENT_H
#define AUGUR_AGENT_AGENT_H

#include "cache/cache.h"
#include "ctl/server.h"
#include "history/history.h"
#include "place/place.h"
#include "upcall/upcall.h"
#include "xfer/xfer.h"

#define AGENT_SMALL		(128 * 1024)	/* fetched whole */
#define AGENT_READ_PIECE	(1024 * 1024)	/* one READ */
#define AGENT_AHEAD_MAX		(16u << 20)	/* read-ahead of one file */
#define AGENT_DIR_AHEAD		(4u << 20)	/* small files of one directory under way */
#define AGENT_FLY_MAX		(64u << 20)	/* unasked bytes under way, all files of a volume */
#define AGENT_LOOKUP_MAX	512		/* a directory of so many names comes whole */
#define AGENT_SEEDS_MAX		16
#define AGENT_BEHIND_STEP	(2u << 20)	/* filled behind for each random miss */
#define AGENT_BEHIND_DENSE	(8u << 20)	/* begun at one random miss in so many bytes of the file, */
#define AGENT_BEHIND_AFTER	16		/* but not before the file has had so many */
#define AGENT_SCAN_SURE		2		/* directories read from their first file on: so is the next */
#define AGENT_DIR_TRUST		(1u << 20)	/* of small files brought and not used, beside as much as is read of such */
#define AGENT_STREAM_FLY	(4u << 20)	/* under way ahead of such a reader */
#define AGENT_STREAM_MAX	(8u << 20)	/* brought for it and not used yet */
#define AGENT_WALK_FLY		32		/* listings under way ahead of a walk */
#define AGENT_WALK_CREDIT	512		/* listings ahead of the last demand */
#define AGENT_TIMEOUT_NS	(30ull * 1000000000)

struct vol;

struct agent {
	struct io	*io;
	struct upcall	*up;
	struct ctl_server *ctl;
	struct list	vols;
	struct list	listeners;	/* events.c */
	const char	*id;
	const char	*mountinfo;	/* of a test; NULL: the process's own */
	u8		client_id[16];
	u32		lease_ms;	/* upper bound, 0: none */
	bool		only_static;	/* serve --cache alone */
	bool		no_history;
	struct history_limits history;
	u64		started_ns;
	unsigned int	closing;	/* volumes still closing at the end */
	struct io_op	close_op;
};

struct peer {
	struct list	link;
	struct vol	*v;
	struct xfer_peer *x;
	char		id[64];		/* of the map, or as HELLO said; "" before */
	char		addr[256];
	bool		hello;		/* connected, and HELLO was answered */
	/* lease.c */
	struct io_op	lease_op;
	bool		lease_armed, lease_flying;
};

enum lease_state { LS_NONE, LS_SWEEP, LS_OK };
/* space.c */
enum space_state { SPACE_OK, SPACE_CULLING, SPACE_FULL, SPACE_STREAMING };
#define EVICT_BATCH	64
#define EVICT_CAPABILITY	(AUGUR_BUSY_CLAIMED + 1)	/* beside AUGUR_BUSY_*: a hole would strip its capabilities */
/* refused: by reason; 0: another error. */
struct evict_result { u64 freed, bytes; unsigned int evicted, refused[EVICT_CAPABILITY + 1]; };
struct space_wait { struct list link; void (*fn)(struct space_wait *w); };
struct space {
	enum space_state state;
	u64		total, free, used, reserve, filled;
	u64		stream_bytes, stream_fly;	/* streamed: here, and under way */
	u32		run, cull, stop, percent;
	/* forget.c */
	u64		inodes, inodes_free;		/* 0: no limit of their own */
	u32		inode_run, inode_cull, inode_stop, inode_percent;
	bool		names_culling, names_scanned;
	u64		names_exhausted_ns, names_said_ns;
	struct list	names;			/* struct space_wait: for an inode */
	struct forget	*forget;		/* the round under way */
	bool		culling, tight;		/* below cull, not above run yet; below stop */
	bool		armed, hastened, running, scanned, reserve_busy, reserve_want, reserve_held;
	u64		due_ns, exhausted_ns, said_ns, large_ns, round_freed;	/* exhausted: when a round found nothing */
	unsigned int	changes;
	struct io_op	op;
	struct list	files, others;		/* struct fwork, struct space_wait: wait for room */
	struct list	streams;		/* oldest first */
	struct use_brief after;			/* where the round is */
	struct evict_result sum;
};
struct shard_lease { u64 seq, floor; enum lease_state state; u8 unclear; u64 sent_ns; };	/* unclear: sweeps in a row that could not compare all */

/* A request of the kernel. */
struct req {
	u64		id;		/* key */
	struct list	link;		/* of the work it waits for */
	struct vol	*v;
	u64		session;
	u32		op, flags;
	u8		oid[AUGUR_OID_LEN];
	struct fh	fh;
	u64		off, len, want, version, created_ns;
	u8		name_len, tries;
	char		name[AUGUR_NAME_MAX + 1];
	bool		cancelled, asked;
	struct req	**slot;		/* what points at it, set to NULL when it goes */
};

struct vol {
	struct list	link;
	struct agent	*ag;
	struct io	*io;
	char		*source;
	char		volume[64];
	char		*seeds[AGENT_SEEDS_MAX];
	unsigned int	nseeds;
	struct cache	*c;
	struct history	*h;
	struct upcall_mount *m;		/* NULL: not mounted */
	unsigned int	users;		/* whoever has v in work under way; freed with the last */
	unsigned int	inodes_loading;	/* recover.c: of inodes whose bytes nobody has claimed */
	bool		inodes_again;
	void		(*closed)(void *arg);	/* of vol_close() */
	void		*closed_arg;
	bool		cache_closing;
	bool		dead, ready;	/* ready: stamped, and HELLO and map have been seen */
	struct list	peers;
	struct meta_map	*map;
	bool		map_flying;
	struct list	map_waiters;	/* struct ask, waiting for a map */
	u32		lease_ms;	/* as the owner says */
	struct shard_lease *leases;	/* META_SHARDS_MAX */
	struct dir_job	*links_job;	/* names.c: makes names of objects with several */
	struct list	links_wait;
	struct map	reqs, dirs, files, hints;
	struct list	attach_waiters;
	struct io_op	tick_op;
	enum ctl_error	hello_cause;	/* why HELLO was refused */
	int		hello_err;
	u64		ahead_bytes;	/* unasked bytes under way */
	unsigned int	walk_fly, walk_credit;
	struct list	walkq;
	unsigned int	scan;		/* directories in a row that were read from their first file on */
	struct list	streamq;	/* struct hint: their files are brought before a miss */
	u64		stream_base;	/* brought and not used when it began */
	unsigned int	nwalkq;
	u64		walk_ns;	/* last demand of a walk */
	u64		warned_ns;
	unsigned int	failing;	/* asks that are being retried */
	unsigned int	unmarked;	/* changes whose mark the disk has not taken yet */
	struct list	changes;	/* change.c: being marked, the kernel is not told yet; oldest first */
	u64		last_change;	/* number of the newest */
	unsigned int	naming;		/* answers about names that are not names yet */
	struct map	told;		/* change.c: what was told since the oldest of them came */
	u64		told_lost;	/* up to this number not all of it is there */
	struct list	change_waits;	/* struct change_wait, in the order they came */
	/* look.c */
	struct map	looks;		/* directories to be asked for */
	struct list	lookq;
	struct look_call *look_call;	/* the question under way */
	/* reval.c */
	struct list	reval_q;
	struct io_op	reval_op;
	bool		reval_armed;
	struct space	space;
	struct list	evicts;		/* evict.c: batches, the first runs */
	struct list	unpins;		/* tree.c: walks under way that unpin */
	u64		pinned_bytes;	/* pin.c, as last counted */
	size_t		npins;
	bool		measuring;
	/* counters */
	u64		n_requests, n_lookup, n_populate, n_fetch, n_reval, n_batch, n_ahead, ahead_hits;
	/* bytes brought unasked, the part of them that was used, and of those brought to fill a file behind */
	u64		ahead_brought, ahead_used, behind_brought;
	u64		small_brought, small_used, small_asked;	/* bytes of small files: in batches; of these, opened; missed */
};

/* ---- vol.c ---- */
/* PROXY[,PROXY...]:/VOLUME; -EINVAL. */
int vol_source_parse(const char *source, struct vol *v);
struct vol *vol_find_cache(struct agent *ag, const char *dir);
/* Opens the cache and starts to dial. */
int vol_new(struct agent *ag, const char *source, const char *dir, struct vol **out, enum ctl_error *cause);
void vol_mount(struct vol *v, u64 mount_id);
void vol_close(struct vol *v, void (*done)(void *arg), void *arg);
static inline struct vol *vol_get(struct vol *v) { v->users++; return v; }
void vol_put(struct vol *v);
u64 vol_timeout_ns(const struct vol *v);
extern const struct upcall_ops agent_upcall_ops;
/* From now on *@slot points at it; what it pointed from before does not. */
void req_hold(struct req **slot, struct req *r);
void req_let_go(struct req **slot);
/* Answers once; the request is gone afterwards. */
void req_reply(struct req *r, int status, u32 flags);
void req_reply_fetch(struct req *r, struct cobj *o);
/* The object of a request: from memory, the index, or the owner. fn(arg, o or NULL, err). */
typedef void vol_obj_fn(void *arg, struct cobj *o, int err);
void vol_object(struct vol *v, const u8 *oid, const struct fh *fh, vol_obj_fn *fn, void *arg);

/* ---- peers.c ---- */
void peers_start(struct vol *v);
void peers_free(struct vol *v);
struct peer *peer_of_owner(struct vol *v, u32 pu, int *err);
struct peer *peer_any(struct vol *v);
/* Does it lead to this proxy of the map? */
bool peer_is(const struct peer *p, const struct meta_proxy *mp);
struct peer *peer_find(struct vol *v, const struct meta_proxy *mp);	/* one that is up if there is one, or NULL */
void map_want(struct vol *v);
/* Somebody waits for a volume to be usable: fn once, err 0 or why not. */
void vol_when_ready(struct vol *v, u64 deadline_ns, void (*fn)(void *arg, int err), void *arg);
/* The same, and then for the end of the first dial to each proxy, at most SETTLE_NS: not their success. */
void vol_when_connected(struct vol *v, u64 deadline_ns, void (*fn)(void *arg, int err), void *arg);

/* ---- ask.c ---- */
struct ask {
	struct xfer_call call;
	struct list	link;		/* map_waiters */
	struct vol	*v;
	struct peer	*p;		/* set: this one and no other */
	u16		type;
	u32		pu;
	struct wire_out	body;		/* kept, sent again at a retry */
	u64		deadline_ns;
	unsigned int	tries;
	bool		redirected, got_frames, cancelled, failing, in_call;
	struct io_op	timer;
	void		(*frame)(struct ask *a, const struct wire_hdr *h, struct xfer_buf *body);
	void		(*restart)(struct ask *a);	/* what the frames brought is void */
	/* Once; body is empty on a transport error.  The ask may be freed in it. */
	void		(*done)(struct ask *a, int status, struct wire_in body);
};
/* Set v, type, pu, body, callbacks before; deadline 0: the volume's time limit from now. */
void ask_start(struct ask *a);
void ask_cancel(struct ask *a);		/* done(-ECANCELED) follows */
/* OID and LOCATOR of an object. */
void ask_put_object(struct wire_out *w, const struct cobj *o);

/* ---- dir.c ---- */
struct dwork {
	u8		oid[AUGUR_OID_LEN];	/* key in vol.dirs */
	struct vol	*v;
	struct cobj	*o;		/* referenced */
	struct list	lookups, populates;	/* struct req */
	struct list	waiters;	/* struct dir_wait */
	struct list	jobs;		/* stub jobs, one at a time: struct dir_job */
	struct dir_job	*running;
	struct ask	*listing;	/* LIST, or the LOOKUP that may bring all */
	struct list	calls;		/* single lookups under way */
	unsigned int	singles;	/* how many */
	unsigned int	single_count;
	bool		big, ahead, whole;
	bool		no_room_ahead;		/* the listing begun for nobody found no room, and did not wait */
	bool		held;			/* forget.c: nothing is asked or made until it is released */
	u32		gen;		/* of the object when the listing was asked for */
	u64		*names;		/* hashes of the names listed */
	size_t		nnames, names_cap;
	u8		*subs;		/* oids of the directories listed */
	size_t		nsubs, subs_cap;
	int		err;
	unsigned int	rounds;
};
typedef void dir_done_fn(void *arg, int err);
struct dir_wait { struct list link; dir_done_fn *fn; void *arg; };
void dir_request(struct req *r, struct cobj *dir);
/* Populates a directory for ourselves; fn may be NULL (ahead). */
void dir_populate(struct vol *v, struct cobj *dir, bool ahead, dir_done_fn *fn, void *arg);
/* Nothing is asked or made in the directory until it is released; NULL: something is under way there. */
struct dwork *dir_hold(struct vol *v, struct cobj *dir);
void dir_release(struct dwork *d);
bool dir_awaited(const struct dwork *d);	/* somebody waits for the release */
void dir_job_ended(struct dwork *d, struct dir_job *j);
void dir_drop_requests(struct vol *v);
/* Nobody waits for it any more, and nothing here needs it. */
void dir_cancelled(struct vol *v, const u8 *oid, struct req **slot);
u64 dir_name_hash(const char *name, size_t len);
/* The owner's entry of a directory: what it shows from now on. Its names are another matter. fn once, from the loop. */
void dir_shows(struct vol *v, struct cobj *dir, const struct wire_entry *e, dir_done_fn *fn, void *arg);

/* ---- names.c ---- */
struct dir_job {
	struct list	link;
	struct dwork	*d;
	struct stub_job	*j;
	bool		final;		/* the last of a listing: extras are looked for */
	u64		since;		/* number of the newest change when the answer came */
	unsigned int	loading;
	u64		evictions;	/* of the cache when the stubs were looked at */
	struct space_wait room;
	u64		roomless_ns;	/* since when the disk has been full */
	bool		single;		/* of a single lookup: */
	struct req	*r;		/* its request, if that is still there */
	int		status;		/* and what the owner said */
	unsigned int	again;
	bool		looked;
	dir_done_fn	*fn;		/* of dir_shows() */
	void		*arg;
	void		(*repinned)(struct dir_job *dj);
};
struct dir_job *dir_job_new(struct dwork *d);
/* Before the next step: a listing begun for nobody that found no room is begun again for who has come since. */
void dir_begun_ahead(struct dwork *d);
/* Puts entries of a frame in; 0 or -EBADMSG. */
int dir_job_entries(struct dir_job *dj, struct wire_in in, struct wire_entry *dir_entry, bool *has_dir, u32 *complete);
void dir_job_queue(struct dir_job *dj);
void dir_job_free(struct dir_job *dj);
void dir_jobs_go(struct dwork *d);		/* the next, unless one runs or the directory is held */
/* Names of a long listing are there before its end: who waits for one of them is answered. */
void dir_names_made(struct dwork *d, const struct stub_job *j);

/* ---- file.c ---- */
struct grant { u64 id; unsigned int fills; struct upcall_range done[UPCALL_RANGES_MAX]; int n; };
struct fwork;
enum fill_why { FILL_ASKED, FILL_AHEAD, FILL_BEHIND };
struct fill {
	struct list	link;		/* fwork.fills */
	struct fwork	*f;
	struct ask	a;		/* unless part of a batch */
	struct batch	*b;
	u64		off, len;
	struct upcall_range got[16];
	int		ngot;
	struct grant	*g;		/* NULL: the request is the grant */
	struct fh	fh;		/* the inode and version it was begun for */
	u64		version, tag;
	unsigned int	writes;
	int		err;
	bool		ended, stream, wrote;
	enum fill_why	why;
	u64		begun_ns;
};
struct file_wait { struct list link; u64 off, len; void (*fn)(void *arg, int err); void *arg; };
struct fwork {
	u8		oid[AUGUR_OID_LEN];	/* key in vol.files */
	struct vol	*v;
	struct cobj	*o;
	struct list	waits;		/* struct req */
	struct list	own;		/* struct file_wait */
	struct list	fills;
	struct list	room;		/* space.files: nothing is begun for those who wait until there is room */
	/* ahead.c */
	u64		next_off, window, ahead_end;
	u32		runs;
	/* behind.c */
	u32		jumps;		/* random misses */
	bool		behind_over;	/* nothing more to bring, or it failed */
	bool		behind_found;	/* the window has been too large */
	u64		behind_at, behind_credit, behind_fly, behind_window;
	u64		asked_base_ns, asked_last_ns;	/* the best that a miss has taken; when the last one ended */
	u64		asked_sum_ns;	/* of those being judged */
	u32		asked_looks;
	u64		used_ns;
};
void file_request(struct req *r, struct cobj *o);
bool fwork_idle(const struct fwork *f);
/* Something that those who wait for its bytes were waiting for has happened. */
void file_kick(struct vol *v, struct cobj *o);
struct fwork *fwork_get(struct vol *v, struct cobj *o);
void fwork_put(struct fwork *f);	/* frees it if nothing hangs on it */
/* Starts fills for what of the range is absent and not under way; with grants if asked for. */
int file_fill(struct fwork *f, u64 off, u64 len, bool grants, enum fill_why why);
/* The first run neither here nor under way at or after *off; false: none. */
bool file_absent(const struct cobj *o, u64 *off, u64 *len);
/* fn when the range is present. */
void file_need(struct vol *v, struct cobj *o, u64 off, u64 len, void (*fn)(void *arg, int err), void *arg);
struct fill *fill_new(struct fwork *f, u64 off, u64 len, struct grant *g, enum fill_why why);
void fill_data(struct fill *fl, u64 off, struct xfer_buf *body);
void fill_end(struct fill *fl, int err);
int fill_said(int status);			/* what the owner says of a file, which is not 0, as an error of the fill */
bool fill_current(const struct fill *fl);	/* the object is still what it was begun for */
void fill_finish(struct fill *fl);		/* nothing of it is under way any more */
void file_drop_requests(struct vol *v);
void file_free_idle(struct vol *v);
/* The present version is not what the owner has any more. */
void file_stale(struct vol *v, struct cobj *o);

/* ---- giveback.c ---- */
/* True: it failed, what it has written is being taken away, and fill_finish() follows. */
bool fill_give_back(struct fill *fl);

/* ---- ahead.c ---- */
void ahead_read(struct fwork *f, const struct req *r);
void ahead_small(struct vol *v, struct cobj *o);
void ahead_event(struct vol *v, const struct augur_event *ev);	/* somebody used it */
void batch_item_done(struct batch *b);
struct hint;
void hints_free(struct vol *v);		/* at the end of v */
/* Lists a directory's names in the lower order, through its hint; kept for a while. */
struct hint_name { u8 oid[AUGUR_OID_LEN]; struct fh fh; u64 size; bool is_dir, tried; };
struct hint {
	u8		oid[AUGUR_OID_LEN];	/* key: directory */
	struct vol	*v;
	unsigned int	misses, walked;
	u64		credit, fly;
	struct hint_name *names;
	size_t		n, cursor;
	u8		*subs;		/* oids of sub-directories nobody has listed */
	size_t		nsubs, sub_cursor;
	bool		subs_known;
	bool		listing, listed;
	u32		gen;
	u64		used_ns;
	struct list	batches;
	bool		want_files, want_dirs;
	bool		judge;		/* its first miss says how it is read */
	struct list	stream;		/* vol.streamq */
	u8		last[AUGUR_OID_LEN];	/* the file missed last */
	unsigned int	loading;
};
/* Its reader takes every file of every directory: these come before they are missed. */
static inline bool scanning(const struct vol *v) { return v->scan >= AGENT_SCAN_SURE; }
void stream_push(struct hint *h, bool now);
void stream_go(struct vol *v);
struct hint *hint_get(struct vol *v, const u8 *dir);
/* Makes the names known, then goes on with what the hint wants. */
void hint_go(struct hint *h);

/* ---- behind.c ---- */
void behind_miss(struct fwork *f);	/* another one out of any order */
void behind_asked(struct fwork *f, const struct fill *fl);
void behind_done(struct fwork *f, const struct fill *fl, int err);

/* ---- walk.c ---- */
void walk_note(struct vol *v, struct cobj *dir);	/* a directory was populated on demand */
void walk_child(struct dwork *d, const u8 *oid);	/* a directory among the names being listed */
void walk_children(struct dwork *d);	/* it is listed */
void walk_subs(struct hint *h);		/* the same from the lower directory */
void walk_push(struct hint *h);
void walk_more(struct vol *v);
void walk_drop(struct vol *v);

/* ---- look.c ---- */
void look_init(struct vol *v);
void look_dir(struct vol *v, const u8 *oid);	/* it changed, if it is one */
void look_at(struct vol *v, const u8 *oid);	/* of a file: is it still as it was told, and its owner tells of changes */
void look_drop(struct vol *v);
static inline bool looks_pending(const struct vol *v) { return v->look_call || v->looks.live; }

/* ---- lease.c, reval.c, change.c, recover.c ---- */
void lease_start(struct peer *p);
void lease_all(struct vol *v);		/* asks for all leases now */
void lease_mount(struct vol *v);	/* a mount has come: table and leases */
void reval_request(struct req *r, struct cobj *o);
/* Looks at one object again; what has changed is applied. */
void reval_object(struct vol *v, struct cobj *o);
/* REVAL answer of any asker. */
struct reval_res { u8 oid[AUGUR_OID_LEN]; int status; bool has_entry; struct wire_entry e; };
int reval_item_parse(struct wire_in in, struct reval_res *res);
/*
 * An object, or a name in a directory, is not what it was: marks the record, then tells the
 * kernel; done(arg) when both have happened.
 */
void change_apply(struct vol *v, u32 kind, const u8 *oid, const u8 *parent, const char *name, size_t name_len,
		  void (*done)(void *arg), void *arg);
/* The same of what an answer shows that is being made into names. */
void change_mark(struct vol *v, u32 kind, const u8 *oid, const u8 *parent, const char *name, size_t name_len,
		 void (*done)(void *arg), void *arg);
/*
 * fn(w) once the kernel knows of every change that was begun before, whoever told of it; perhaps
 * at once.  *w is the caller's and lives until then.
 */
struct change_wait { struct list link; u64 upto; void (*fn)(struct change_wait *w); };
void change_wait(struct vol *v, struct change_wait *w, void (*fn)(struct change_wait *w));
/*
 * An answer about names is being made into names: from begin to end changes are remembered, as one of
 * what has no name yet leaves no mark.  Of the object (another state than @tag), of the name: was one
 * told after number @since?
 */
void change_init(struct vol *v);
void change_naming_begin(struct vol *v);
void change_naming_end(struct vol *v);
bool change_of_object(const struct vol *v, const u8 *oid, u64 tag, u64 since);
bool change_of_name(const struct vol *v, const u8 *parent, const char *name, size_t len, u64 since);
/* WIRE_INVAL bodies and items; what an item points to is the frame's. */
struct change_item {
	u32		shard, kind;
	u64		seq, tag;
	const u8	*oid, *parent;
	const char	*name;
	size_t		name_len;
};
int change_parse_item(struct wire_in in, struct change_item *it);
void change_push(struct vol *v, struct peer *p, struct wire_in body);
/* Applies it unless that was done already. */
void change_told(struct vol *v, const struct change_item *it);
/* Removes a name and what is below it. */
void change_remove(struct vol *v, const struct fh *parent, const char *name, const struct fh *fh, bool is_dir,
		   void (*done)(void *arg, int err), void *arg);
void recover_inodes(struct vol *v);		/* at the start: claims what the kernel says is here and unclaimed */
void recover_object(struct vol *v, const u8 *oid, const struct fh *fh, vol_obj_fn *fn, void *arg);

/* ---- health.c ---- */
json_t *health_proxies(struct vol *v);		/* the member "proxies" of a status */
void health_check(json_t *list, struct vol *v);	/* the doctor's lines of one volume */
void health_add(json_t *list, const char *name, const char *state, const char *fix, char *detail);	/* takes detail */

/* ---- log.c ---- */
void log_name_wanted(void *vol, const u8 *oid);	/* a history_namer */
void log_run(struct agent *ag, struct ctl_req *r, json_t *args);
json_t *log_stats(struct vol *v);		/* the member "history" of a status */

/* ---- events.c ---- */
void events_run(struct agent *ag, struct ctl_req *r, json_t *args);
void events_scanner(void *ctx, const struct history_found *f);	/* ctx: the volume */

/* ---- evict.c ---- */
/* Drops the bytes of at most EVICT_BATCH objects; what is in use, pinned or unknown stays. */
void evict_objects(struct vol *v, const u8 (*oids)[AUGUR_OID_LEN], size_t n,
		   void (*done)(void *arg, const struct evict_result *res), void *arg);
void evict_result_add(struct evict_result *sum, const struct evict_result *res);

/* ---- pin.c ---- */
void pins_measure(struct vol *v);		/* counts what is pinned, for the status */
void pin_verb(void *ctx, struct ctl_req *r, json_t *args);
void unpin_verb(void *ctx, struct ctl_req *r, json_t *args);
void evict_verb(void *ctx, struct ctl_req *r, json_t *args);
void pins_verb(void *ctx, struct ctl_req *r, json_t *args);

/* ---- repin.c ---- */
/* next() when it is known which of the job's entries are at a pinned path. */
void repin_job(struct dir_job *dj, void (*next)(struct dir_job *dj));
void repin_tree(struct vol *v, const struct fh *fh);	/* what is below it is pinned as well */

/* ---- tree.c ---- */
/* An object of several names has got one in a pinned directory. */
void tree_linked(struct vol *v, const u8 *oid, const struct fh *fh);

/* ---- space.c ---- */
u32 space_knob(const struct vol *v, const char *name, u32 def);	/* of evict/ */
void space_forgotten(struct vol *v);		/* a round of forget.c is over */
void space_init(struct vol *v);
void space_mount(struct vol *v);
void space_drop(struct vol *v);			/* the mount is gone */
void space_end(struct vol *v);
const char *space_state(const struct vol *v);
bool space_tight(const struct vol *v);		/* nothing is fetched that nobody waits for */
bool space_streams(const struct vol *v);
void space_filled(struct vol *v, u64 bytes);
/* The disk took no more: kicked, or fn(w), when it is worth another try. */
void space_wait_file(struct fwork *f);
void space_wait(struct vol *v, struct space_wait *w, void (*fn)(struct space_wait *w));
/* May so much be streamed now?  0; -EAGAIN: not yet; -ENOSPC: never, it is more than the reserve. */
int space_stream_room(struct vol *v, u64 len);
void stream_note(struct vol *v, struct cobj *o, u64 off, u64 len);	/* it is here, for a moment */
void stream_forget(struct vol *v, struct cobj *o);			/* all of it is gone */

/* ---- forget.c ---- */
void names_look(struct vol *v, const struct cache_space *cs);
/* Inodes are few: no names are brought that nobody waits for. */
bool space_names_tight(const struct vol *v);
/* False: it is not inodes that are missing.  @blocks: there are enough of these. */
bool names_wait(struct vol *v, struct space_wait *w, bool blocks);
void names_wake(struct vol *v);
void names_refused(struct vol *v);		/* one that has waited long enough: said */
/* @no_bytes: somebody waits for room, and no bytes are left to evict. */
void names_tick(struct vol *v, bool no_bytes);
/* Forgets so many names, if so many are idle; more if a round is under way. */
void forget_names(struct vol *v, u64 want);

/* ---- warm.c, verbs.c ---- */
void warm_run(struct agent *ag, struct ctl_req *r, json_t *args);
/* A volume by the id of its mount; 0: the first that is not mounted. */
struct vol *verbs_vol(struct agent *ag, u64 id);
/* Volume, and the object behind an absolute path in a mount; *rel_fd: O_PATH of the lower inode. */
int verbs_path(struct agent *ag, const char *path, struct vol **v, int *fd);
/* A mount point of the whole volume, one that @path is below if there is one; to be freed, NULL: not mounted here. */
char *verbs_point(const struct vol *v, const char *path);
extern const struct ctl_verb agent_verbs[];

#endif
