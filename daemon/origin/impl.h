/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * impl.h - private to origin/: the state of one served export.
 *
 * All of struct origin belongs to the loop thread, but for ex, which is constant after
 * origin_identify().  A job (struct origin_job) carries what its worker needs by value; it
 * holds the origin, the client and the connection until it is freed.
 */
#ifndef AUGUR_ORIGIN_IMPL_H
#define AUGUR_ORIGIN_IMPL_H

#include "origin/origin.h"

#define ORIGIN_CLIENTS		64	/* bits of an interest mask; the last is shared */
#define ORIGIN_RING		1024	/* changes remembered per shard */
#define ORIGIN_BACKLOG_MAX	(4u << 20)
#define ORIGIN_JOBS_MAX		1024	/* requests under way per client */
#define ORIGIN_EVENTS		4096	/* events remembered that no interest was found for */

/* A change as told to agents. */
struct origin_change {
	u64	seq;
	u32	kind;			/* AUGUR_INVAL_* */
	u8	oid[AUGUR_OID_LEN];
	u8	parent[AUGUR_OID_LEN];	/* ENTRY */
	u8	name_len;
	char	*name;			/* ENTRY; owned */
	u64	tag;			/* of the state that an answer has told its asker; 0: told nobody */
};

struct origin_shard {
	bool	owned;
	u64	seq;			/* of the newest change */
	u64	first;			/* changes from here on are in the ring */
	struct origin_change *ring;	/* ORIGIN_RING, by seq; allocated at the first change */
};

struct origin_client {
	struct origin	*o;
	struct xfer_conn *conn;
	u32		slot;		/* bit in interest masks */
	unsigned int	refs, jobs;
	bool		gone;
	struct wire_out	push;		/* INVAL items to be sent */
	struct list	link;
	/* by shard: all changes go to it; it has been granted a lease here; it must start anew */
	u8		wild[META_SHARDS_MAX / 8], leased[META_SHARDS_MAX / 8], reset[META_SHARDS_MAX / 8];
};

/* An object that somebody may trust at this tag. */
struct origin_interest {
	u8	oid[AUGUR_OID_LEN];
	u64	tag;
	u64	mask;			/* clients that asked for it */
	u32	pu, mode;
	bool	checking;		/* queued for a look */
	bool	vague;			/* the next look tells a change, whatever the tag says */
	s32	type;
	u32	len;
	u8	handle[];
};

struct origin_open {
	u8	oid[AUGUR_OID_LEN];
	int	fd;
	unsigned int refs;
	u64	used_ns;
	bool	stale;			/* closed when the last user ends */
	struct list lru;
};

struct origin_watch;
struct origin {
	struct origin_cfg cfg;
	struct io	*io;
	struct origin_export ex;
	bool		identified, closing;
	bool		events_on;	/* changes are told by fanotify */
	EVP_MAC_CTX	*mac;		/* the loop thread's own */
	struct meta_map	*map;
	int		self;		/* index in map, or -ENOENT */
	struct origin_counters n;
	unsigned int	jobs;

	struct map	opens;
	struct list	open_lru;	/* oldest first */
	u32		nopen;

	struct map	interest;
	struct origin_shard *shard;	/* META_SHARDS_MAX */
	struct list	clients;
	u64		slots_used;	/* bit a client slot */
	struct io_op	push_op;

	/* Events nobody was interested in, any more: an object being served right now may need one. */
	u64		event_no;
	u64		events[ORIGIN_EVENTS];	/* first half of the oid, by number */
	struct origin_watch *watch;

	struct wire_out	root_entry;	/* the root's entry field, for HELLO */
	struct origin_seen root_seen;	/* the same state */
};

/* Head of every job that serves a request. */
struct origin_job {
	struct io_op	op;
	struct origin	*o;
	struct origin_client *cl;
	u32		stream;
	u16		type;
	u64		event_no;	/* when it began */
};

/* ---- request.c ---- */
struct origin_req {
	u8		oid[AUGUR_OID_LEN];
	const u8	*locator;
	size_t		locator_len;
	const char	*name;
	size_t		name_len;
	u64		version, tag, off, len;
	u32		max;
	bool		have_oid;
};
/* Fields of a request, or of an item of one: 0 or -EBADMSG. */
int origin_req_parse(struct wire_in in, struct origin_req *r);
/* Object of a request: 0, -EBADMSG, -EACCES, -EREMCHG (not ours), -EAGAIN (no map yet). */
int origin_req_object(struct origin *o, const struct origin_req *r, struct origin_loc *loc);
void origin_job_start(struct origin_job *j, struct origin_client *cl, const struct wire_hdr *h);
void origin_job_end(struct origin_job *j);		/* before its memory is freed */
/* LAST with a status and, for -EREMCHG, where to ask. */
void origin_reply_status(struct origin_client *cl, u32 stream, u16 type, int status, u32 pu);
int origin_owner(const struct origin *o, u32 pu);	/* 0, -EREMCHG, -EAGAIN */

/* ---- list.c read.c batch.c reval.c lease.c: the requests ---- */
void origin_list_request(struct origin_client *cl, const struct wire_hdr *h, struct wire_in body);
void origin_read_request(struct origin_client *cl, const struct wire_hdr *h, struct wire_in body);
void origin_batch_request(struct origin_client *cl, const struct wire_hdr *h, struct wire_in body);
void origin_reval_request(struct origin_client *cl, const struct wire_hdr *h, struct wire_in body);
void origin_lease_request(struct origin_client *cl, const struct wire_hdr *h, struct wire_in body);

/* ---- read.c ---- */
/* worker: opens a regular file for reading; descriptor or -errno. */
int origin_open_file(const struct origin_export *ex, const struct origin_loc *loc);
/*
 * worker: between a look at a file (@st) and its bytes: lets those who have stamped it finish their writes.
 * -EBUSY: another worker does that, and it takes long.
 */
int origin_await_writers(int fd, const struct origin_stat *st, u64 off);
/* worker: reads @len bytes at @off unless the file ends: bytes or -errno. */
s64 origin_read_full(int fd, u8 *buf, size_t len, u64 off);
/* A changed or removed object: its descriptor is not used again. */
void origin_open_drop(struct origin *o, const u8 oid[AUGUR_OID_LEN]);
void origin_open_trim(struct origin *o, u64 older_ns, u32 keep);

/* ---- lease.c ---- */
u64 origin_seq(const struct origin *o, u32 pu);		/* of the shard; 0: not ours */
/* Records a change and pushes it to @mask and those that get all; @skip may be NULL. */
void origin_change(struct origin *o, u32 pu, u64 mask, const struct origin_client *skip,
		   const struct origin_change *ch);
void origin_reset_all(struct origin *o);		/* nobody knows what was missed */
void origin_shards_update(struct origin *o);		/* after a new map */
void origin_shards_free(struct origin *o);

/* ---- interest.c ---- */
void origin_interest_note(struct origin_client *cl, const struct origin_seen *seen, u32 n, u64 since_event);
/* Something happened to an object: who is being told of it right now may have looked at it before. */
void origin_event_note(struct origin *o, const u8 oid[AUGUR_OID_LEN]);
struct origin_interest *origin_interest_get(struct origin *o, const u8 oid[AUGUR_OID_LEN]);
/* The object is not what was served: tells everybody.  @gone: it does not exist any more. */
void origin_interest_changed(struct origin *o, struct origin_interest *in, u64 tag, bool gone,
			     const struct origin_client *skip);
void origin_interest_free(struct origin *o);

/* ---- watch.c ---- */
int origin_watch_start(struct origin *o);
void origin_watch_stop(struct origin *o);
/* Has a worker compare the object with its tag soon. */
void origin_watch_check(struct origin *o, struct origin_interest *in);
void origin_root_refresh(struct origin *o);
void origin_root_note(struct origin_client *cl);	/* HELLO told it of the root */

/* What getdents64 fills in. */
struct linux_dirent64 {
	u64		d_ino;
	s64		d_off;
	unsigned short	d_reclen;
	unsigned char	d_type;
	char		d_name[];
};

static inline EVP_MAC_CTX *origin_mac_dup(const struct origin *o)
{
	EVP_MAC_CTX *m = EVP_MAC_CTX_dup(o->ex.mac);

	if (!m)
		abort();	/* out of memory, as xmalloc */
	return m;
}

#endif
