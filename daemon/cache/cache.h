/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cache.h - one local cache directory: <cache>/root with the real names, <cache>/.augur with
 * what is private, and the index of objects in <cache>/.augur/db.
 *
 * What is durable, and when (reliability.md 4.1):
 *   - the record trusted.augur of an inode is written last, so a half-made stub is never seen;
 *   - bytes land without a sync; their claim (the COMPLETE flag of the record, or the map row
 *     of a partial file) follows lazily in groups, after a sync (settle.c);
 *   - rows of the index are written lazily: one lost with the power, a killed agent or a full disk
 *     is found again by the next start (check.c), and what only its owner can say of it, there.
 *
 * Threads: everything here is called on the loop thread.  Functions marked "worker" run on
 * IO_POOL_LOWER, touch only the job they were given and the descriptors and constants of
 * struct cache.
 */
#ifndef AUGUR_CACHE_CACHE_H
#define AUGUR_CACHE_CACHE_H

#include "base/db.h"
#include "base/fh.h"
#include "base/mem.h"
#include "common/bitmap.h"
#include "wire/msg.h"

#define CACHE_LRU_MAX	(128 * 1024)	/* objects kept in memory beside those in use */
#define CACHE_SETTLE_NS	(2ull * 1000000000)
#define CACHE_SETTLE_BYTES (64ull << 20)

enum {
	COBJ_COMPLETE	= 1 << 0,	/* all bytes (all names) present, as the record will or does say */
	COBJ_STALE	= 1 << 1,	/* the record says so */
	COBJ_CAPS	= 1 << 2,	/* has security.capability: a plain write would strip it */
	COBJ_LINKS	= 1 << 3,	/* has more names, in table name */
	COBJ_SUSPECT	= 1 << 4,	/* a sync failed: never claim again (R8) */
	COBJ_AHEAD	= 1 << 5,	/* fetched before anybody asked */
	COBJ_EVICTING	= 1 << 6,	/* from before its claim is taken back until its hole is punched: no fills */
	COBJ_HALF	= 1 << 7,	/* found in the tree, its row was lost: where it lies is known, not what its owner said */
};
#define COBJ_STORED	(COBJ_CAPS | COBJ_LINKS | COBJ_HALF)	/* kept in the index */

/* An object, in memory. */
struct cobj {
	u8		oid[AUGUR_OID_LEN];
	struct list	lru;
	unsigned int	refs;		/* users: stays in memory */
	u8		parent[AUGUR_OID_LEN];
	struct fh	fh;		/* lower inode */
	u32		pu, mode, nlink;
	u64		version, tag, size;
	s64		mtime_sec, ctime_sec;
	u32		mtime_nsec, ctime_nsec;
	u8		shift, flags, loc_len, name_len;
	u8		*loc;
	char		*name;		/* one of its names, terminated; "" for the root */
	/* regular files that are not complete; NULL: nothing */
	u8		*map;		/* chunks whose bytes are in the lower file */
	u8		*fly;		/* chunks asked for */
	u64		ahead_left;	/* bytes brought unasked that nobody used; as long as it is in memory */
	u64		settled;	/* present bytes the durable claim says */
	struct list	unsettled;
	unsigned int	streamed;	/* ranges of it in vol.streams: not claimed until they are gone */
	u64		inval_seq;	/* last change of inval_shard applied to it */
	u64		names_seq;	/* and to one of its names: these come apart, and not in the order of both */
	u32		inval_shard;
	bool		disclaimed;	/* a directory: its record has said durably that names may be missing, and nobody claims otherwise */
	u32		gen;		/* raised at every notice of a change: an answer older than it is asked again */
	void		*user;		/* work under way on it, the agent's */
};

struct cache {
	struct io	*io;
	char		*dir;
	int		top_fd, root_fd, priv_fd, tmp_fd, lock_fd;
	u64		root_dev, root_ino;	/* new-style encoded, as the kernel lists it */
	char		volume[64];
	u8		volume_id[16];
	bool		stamped;	/* belongs to volume_id; root has a record */
	bool		unclean;	/* the last user did not close it, or could not write all rows: not checked yet */
	bool		cut;		/* and the machine restarted: marks may be lost, too */
	bool		rows_lost;	/* rows that were not written will not be: the end is not clean */
	struct check	*checking;
	/* check.c: at this name is another inode of the object than that of its row */
	void		(*doubted)(void *ctx, const u8 *oid, bool is_dir, const u8 *parent, const char *name);
	void		*doubted_ctx;
	u8		root_oid[AUGUR_OID_LEN];
	const char	*weakness;	/* why its disk may not keep what was synced (disk.c), or NULL */
	bool		modes_stay;	/* no umask: an inode is made with the mode it shall have */
	bool		inodes_of_blocks;	/* xfs: they are made of free space, up to a limit */
	bool		noatime_each;	/* inodes do not get NOATIME from their directory */
	unsigned int	chunk_shift;
	struct db	*db;
	u64		tmp_no;
	/* index.c */
	struct map	objs;
	struct list	lru;
	size_t		nlru;
	struct index_batch *batch;
	bool		rows_refused;	/* the last batch, by the disk */
	u64		suspects;	/* objects whose sync failed, in this run */
	struct io_op	batch_op;
	/* settle.c */
	struct list	unsettled;
	struct list	loads;		/* index.c: under way */
	u64		unsettled_bytes;
	struct settle	*settling;
	struct io_op	settle_op;
	void		(*hold)(void *arg);	/* waits for the end of the round under way */
	void		*hold_arg;
	bool		held;
	struct settle_pass *passes;	/* asked for while held */
	/* use.c */
	struct map	uses;		/* not written yet */
	struct io_op	use_op;
	struct map	pins, pin_names;	/* pins.c: as the table says */
	u64		pin_no;
	bool		closing;
	unsigned int	busy;		/* worker jobs under way that use this structure */
	void		(*settled)(void *ctx, const u8 *oid, bool complete, u64 present);
	void		(*lost)(void *ctx, const u8 *oid);	/* bytes of it that the disk took, and could not keep */
	void		*settled_ctx;
	/* counters */
	u64		n_objects, n_stubs, n_fills, fill_bytes, evicted_bytes, names_forgotten;
	u64		evictions;	/* claims taken back so far: who looked at records before must not believe them after it */
};

/* A worker job on the cache, whoever starts it: it is not freed while one is under way. */
static inline void cache_work(struct cache *c, struct io_op *op, int (*fn)(void *), void *arg)
{
	c->busy++;
	c->io->ops->work(c->io, op, IO_POOL_LOWER, fn, arg);
}
static inline void cache_worked(struct cache *c) { c->busy--; }		/* first thing in its done() */

/* ---- attach.c ---- */
/*
 * Opens @dir: locks it, makes its layout if it is empty, checks that it is the directory that
 * was stamped.  Blocks shortly.  0, or -errno with *fault and a logged line.
 */
enum cache_fault { CACHE_F_MISSING, CACHE_F_FS, CACHE_F_READONLY, CACHE_F_BUSY, CACHE_F_COPIED, CACHE_F_NESTED, CACHE_F_INTERNAL };
int cache_attach(struct io *io, const char *dir, struct cache **out, enum cache_fault *fault);
/* Binds it to a volume and gives root/ its record; -EXDEV: it belongs to another volume. */
int cache_stamp(struct cache *c, const char *volume, const u8 id[16], const struct wire_entry *root);
/*
 * After an unclean end (check.c): what lies in the tree has a row, and its bytes are accounted for.
 * Without a cut the cache may be used meanwhile, but for leases, and what the disk refuses is tried
 * again.  After one nothing may be asked or served before: what is not as its row says is marked,
 * and no sequence number is believed; an error then means that the cache cannot be used.
 * done(arg, err) on the loop; -ECANCELED: it was stopped, and the next start checks.
 */
void cache_check(struct cache *c, void (*done)(void *arg, int err), void *arg);
void cache_check_stop(struct cache *c);
/* Final settle, then closes; done(arg) when over.  With done NULL: without the settle, at once. */
void cache_close(struct cache *c, void (*done)(void *arg), void *arg);
struct cache_space { u64 total, free, used, inodes, inodes_free; };	/* free: for everybody; inodes 0: no limit of their own */
void cache_space(const struct cache *c, struct cache_space *s);
/* Shard sequence numbers: what INVALs have been applied. */
struct cache_seq { u64 epoch, seq; };
int cache_seq_load(struct cache *c, struct cache_seq *seqs, u32 n);	/* at start: blocks */
void cache_seq_store(struct cache *c, u32 shard, u64 epoch, u64 seq);

/* ---- disk.c ---- */
struct lower_disk { char fs[16], device[64], options[1024]; bool write_back, no_journal; };
const char *disk_weakness(const struct lower_disk *d);
void cache_disk(struct cache *c);		/* at attach: fills weakness, says so */

/* ---- index.c ---- */
struct cobj *cobj_peek(struct cache *c, const u8 *oid);		/* in memory, or NULL; no reference */
typedef void cobj_fn(void *arg, struct cobj *o);
/* fn from the loop, never from inside; o NULL: not known. */
void cobj_load(struct cache *c, const u8 *oid, cobj_fn *fn, void *arg);
/* The same for who asks only where it lies: also one that is known by half. */
struct cobj *cobj_peek_any(struct cache *c, const u8 *oid);
void cobj_load_any(struct cache *c, const u8 *oid, cobj_fn *fn, void *arg);
static inline void cobj_get(struct cobj *o) { o->refs++; }
void cobj_put(struct cache *c, struct cobj *o);
/* Takes an entry of the owner whose stub is @fh; resets presence if the version is another. */
struct cobj *cobj_update(struct cache *c, const struct wire_attr *a, const u8 *loc, size_t loc_len,
			 const u8 *parent, const char *name, size_t name_len, const struct fh *fh,
			 u8 shift, u8 flags);
void cobj_forget(struct cache *c, const u8 *oid);
/*
 * A name of the inode @fh is gone: in memory or not, the object is forgotten if that is the inode it is known by and
 * has no other name, or @last: the inode itself is gone.  True if it was in memory and was forgotten.
 */
bool cobj_forget_inode(struct cache *c, const u8 *oid, const struct fh *fh, bool last);
void cobj_store(struct cache *c, struct cobj *o);		/* row, lazily */
/* One more name of an object with several. */
void cobj_name_add(struct cache *c, const u8 *oid, const u8 *parent, const char *name, size_t len);
struct cobj_name { u8 parent[AUGUR_OID_LEN]; struct fh parent_fh; u8 len; char name[AUGUR_NAME_MAX + 1]; };
typedef void cobj_names_fn(void *arg, struct cobj_name *names, size_t n);
/* All known names, with the handles of their directories; names valid in the call. */
void cobj_names(struct cache *c, struct cobj *o, cobj_names_fn *fn, void *arg);
/* Every object whose PU satisfies want(), for a sweep: fn gets an array it must free. */
struct cobj_brief { u8 oid[AUGUR_OID_LEN]; u64 version, tag; u32 pu, mode; bool half; u8 loc_len; u8 loc[WIRE_LOCATOR_MAX]; };
typedef void cobj_briefs_fn(void *arg, struct cobj_brief *b, size_t n);
void cobj_briefs(struct cache *c, bool (*want)(void *arg, u32 pu), cobj_briefs_fn *fn, void *arg);
void index_flush(struct cache *c);
static inline bool cobj_is_file(const struct cobj *o) { return (o->mode & 0170000) == 0100000; }
static inline bool cobj_is_dir(const struct cobj *o) { return (o->mode & 0170000) == 0040000; }

/* A name in the lower tree. */
struct lower_name { char *name; u8 oid[AUGUR_OID_LEN]; struct fh fh; bool is_dir, valid, complete, stale; u64 size; u32 pu; };

/* ---- stub.c ---- */
enum stub_outcome {
	STUB_FAILED,		/* res */
	STUB_NEW,		/* made */
	STUB_SAME,		/* was there, unchanged */
	STUB_ATTR,		/* a directory or node whose attributes were brought up to date */
	STUB_DIFFERS,		/* another object or version holds the name: old_fh; the new one is in tmp/ */
	STUB_IN_WAY,		/* a directory holds the name: its tree has to go first: old_fh */
};
struct stub_ent {
	struct wire_attr attr;
	char		name[AUGUR_NAME_MAX + 1];
	u8		name_len, loc_len, shift, flags;	/* flags: COBJ_* found out */
	u16		xattrs_len, link_len;
	u8		*loc, *xattrs;		/* in the job's arena */
	char		*link;
	struct fh	link_fh;		/* in: an inode of this object and version exists */
	bool		pinned;			/* its record says so: the directory's does, that of what it replaces, or (in) it was named */
	bool		trust, differs;		/* in: the index knows: it is this version; it is another */
	bool		placed;			/* in: pinned, as it is where something was named */
	bool		pinned_now;		/* out: by this name; the inode was there, and was not */
	/* out */
	int		res;
	enum stub_outcome outcome;
	struct fh	fh, old_fh;
	u8		old_oid[AUGUR_OID_LEN];
	char		tmp[32];
};
struct stub_job {
	struct io_op	op;
	struct cache	*c;
	struct fh	dir;
	u8		dir_oid[AUGUR_OID_LEN];
	struct stub_ent	*ents;
	u32		n, cap;
	struct list	arena;			/* blocks of copied bytes */
	bool		has_dir;		/* dir_attr is current: bring the directory up to date */
	bool		set_complete;		/* and mark it populated */
	const u64	*expect;		/* with set_complete: sorted hashes of all names it should have */
	size_t		nexpect;
	u64		(*hash)(const char *name, size_t len);
	struct lower_name *extra;		/* out: names it should not have; then it is not complete */
	size_t		nextra;
	bool		dir_changed;		/* out: its attributes were */
	struct wire_attr dir_attr;
	u8		*dir_xattrs;		/* in the arena */
	u16		dir_xattrs_len;
	int		err;			/* out: of the directory itself */
	void		(*done)(struct stub_job *j);
	void		*user;
};
struct stub_job *stub_job_new(struct cache *c, const struct cobj *dir);
void stub_job_free(struct stub_job *j);
/* Copies an entry of a frame. */
struct stub_ent *stub_job_add(struct stub_job *j, const struct wire_entry *e);
/* The directory's own entry, of the same moment. */
void stub_job_dir(struct stub_job *j, const struct wire_entry *e);
void stub_job_run(struct stub_job *j);		/* j->done from the loop */
int stub_work(void *job);			/* worker; tests call it directly */

/* ---- attrs.c: attributes (worker) ---- */
/* Sets what of the pairs may come from a peer; *caps: security.capability is among them. */
int attrs_set(const char *path, const u8 *pairs, size_t len, bool *caps);
/* The same, and removes what is not among them. */
int attrs_replace(const char *path, const u8 *pairs, size_t len, bool *caps);
/* Attributes, owner, mode and times of a directory that exists. */
int attrs_dir(int fd, const struct wire_attr *a, const u8 *pairs, size_t len);

/* ---- lower.c: small things done to lower inodes (worker) ---- */
int lower_record_read(int fd, struct augur_rec *rec);
int lower_record_write(int fd, const struct augur_rec *rec);
int lower_record_look(int fd, struct augur_rec *rec);	/* of an O_PATH descriptor */
/* Around reading, changing and writing a record: workers share the inodes. Not recursive. */
void lower_record_lock(void);
void lower_record_unlock(void);
/* Sets and clears AUGUR_REC_* flags of the inode if its record carries @oid (NULL: any). -ESTALE if not. */
int lower_record_flags(struct cache *c, const struct fh *fh, const u8 *oid, u8 set, u8 clear);
/* The times of an inode that stands for @a: the owner's mtime is what its atime says. */
void lower_times(const struct wire_attr *a, struct timespec ts[2]);
/* Nobody's reading moves the atime of this inode, nor (but for btrfs) of what is made in it: 1, 0 it was so, -errno. */
int lower_noatime(int fd);
/* Names alone, in the directory's order; then what lies at one of them. */
int lower_list_names(int dirfd, struct lower_name **names, size_t *n);
int lower_look(int dirfd, struct lower_name *ln);
/* Names of a directory with their records, in the directory's order. */
int lower_list(struct cache *c, const struct fh *dir, struct lower_name **names, size_t *n);
int lower_has(struct cache *c, const struct fh *dir, const char *name, u8 oid[AUGUR_OID_LEN]);	/* 0 and the oid, -ENOENT, -ESTALE; quick */
void lower_names_free(struct lower_name *names, size_t n);
/* Where is this inode? parent's oid and handle, by its name in the lower tree. */
int lower_parent(struct cache *c, const struct fh *fh, u8 parent_oid[AUGUR_OID_LEN], struct fh *parent_fh,
		 char *name, size_t cap);
/* Has the inode a name? One system call or two; from the loop. */
bool lower_lives(struct cache *c, const struct fh *fh);
int lower_unlink_tmp(struct cache *c, const char *name);
/* tmp/name over name in dir, when no kernel serves the cache. */
int lower_switch(struct cache *c, const struct fh *dir, const char *name, const char *tmp);
int lower_remove(struct cache *c, const struct fh *dir, const char *name);

/* ---- fill.c ---- */
struct cache_write {
	struct io_op	op;
	struct cache	*c;
	struct fh	fh;
	u64		off;
	const u8	*p;		/* the caller keeps it until done */
	size_t		len;
	bool		caps;
	void		(*done)(struct cache_write *w, int res);
	void		*user;
	u64		aux;
};
/* Writes absent bytes; fields set by the caller except op. */
void cache_write(struct cache_write *w);
/* Presence in memory. */
void cobj_map_need(struct cobj *o);
void cobj_present(struct cache *c, struct cobj *o, u64 off, u64 len);	/* whole chunks covered become present */
bool cobj_has(const struct cobj *o, u64 off, u64 len);
u64 cobj_present_bytes(const struct cobj *o);
void cobj_drop_presence(struct cobj *o);

/* Present for a moment: no claim of it, and the file is not complete by it. */
void cobj_streamed(struct cobj *o, u64 off, u64 len);

/* ---- use.c: which objects hold bytes, by last use ---- */
void use_opened(struct cache *c, const u8 *oid);
void use_filled(struct cache *c, const u8 *oid, u64 bytes);
void use_gone(struct cache *c, const u8 *oid);
void use_flush(struct cache *c);
struct use_brief { u8 oid[AUGUR_OID_LEN]; u64 bytes; s64 rank; };
typedef void use_fn(void *arg, struct use_brief *b, size_t n);
/* The first @n behind @after (NULL: from the oldest on); fn from the loop, must free b. */
void use_oldest(struct cache *c, const struct use_brief *after, size_t n, use_fn *fn, void *arg);
s64 use_rank(s64 last_s, u64 bytes);		/* its place in the order */
/* The same of directories: names were made, listed or opened in it just now; it is no more; oldest first, bytes 0. */
void use_dir(struct cache *c, const u8 *oid);
void use_dir_gone(struct cache *c, const u8 *oid);
void use_oldest_dirs(struct cache *c, const struct use_brief *after, size_t n, use_fn *fn, void *arg);
/* Looks for files with blocks (@dirs: for directories) without a row; they become the oldest. */
void use_scan(struct cache *c, bool dirs, void (*done)(void *arg, size_t found), void *arg);
void use_init(struct cache *c);
void use_exit(struct cache *c);

/* ---- pins.c: what was pinned by name (the pin itself is in the records) ---- */
/* As it was named, or NULL: not pinned by itself. */
const char *pin_path(const struct cache *c, const u8 *oid);
/* Those that were named so, at most @max; the oids are the pins' own. */
size_t pin_named(const struct cache *c, const char *path, const u8 **oids, size_t max);
/* Was something named by a path that ends in this name?  Now and then a wrong yes. */
bool pin_expects(const struct cache *c, const char *name, size_t len);
/* Each path that something was named by and that ends in "/@rel": from *it = 0 until NULL.  And who was named so last. */
const char *pin_ending(const struct cache *c, const char *rel, size_t *it);
const u8 *pin_newest(const struct cache *c, const char *path);
/* Known at once; done() (or NULL): it is on disk, or res says why not. */
void pin_put(struct cache *c, const u8 *oid, const char *path, void (*done)(void *arg, int res), void *arg);
void pin_drop(struct cache *c, const u8 *oid, void (*done)(void *arg, int res), void *arg);
/* @oid took the place of @old, which is pinned by name: it gets a pin of that name.  What lost it before and is nowhere has none. */
void pin_replace(struct cache *c, const u8 *old, const u8 *oid);
struct index_pin {
	u8		oid[AUGUR_OID_LEN];
	struct fh	fh;		/* as the index knows it, or empty */
	char		*path;		/* as it was named */
	char		*place;		/* where it is by now, from the root, or NULL */
};
/* Where the index has an object, from the root, or NULL. */
typedef void index_place_fn(void *arg, const char *place);
void index_place(struct cache *c, const u8 *oid, index_place_fn *fn, void *arg);
/* p is the callee's to free; err: the table cannot be read. */
typedef void index_pins_fn(void *arg, struct index_pin *p, size_t n, int err);
void index_pins_free(struct index_pin *p, size_t n);
void index_pins(struct cache *c, index_pins_fn *fn, void *arg);
int pins_load(struct cache *c);			/* at attach: blocks */
void pins_init(struct cache *c);
void pins_exit(struct cache *c);

/* ---- evict.c ---- */
struct evict_item {
	u8		oid[AUGUR_OID_LEN];
	struct fh	fh;
	u64		off, len;	/* punch: len 0: all */
	bool		changed;	/* its record was */
	int		res;		/* out: 0 or -errno; punch: only items with 0 */
	u64		freed;		/* out of punch: bytes of the disk */
};
struct evict_job {
	struct io_op	op;
	struct cache	*c;
	struct evict_item *it;
	size_t		n;
	void		(*done)(struct evict_job *j);
	void		*user;
};
/* The claims of these objects are gone, durably, where res is 0. */
void cache_unclaim(struct evict_job *j);
void cache_punch(struct evict_job *j);
/* Holds so many bytes of the disk in .augur/reserve; 0: lets them go. */
void cache_reserve(struct cache *c, u64 bytes, void (*done)(void *arg, int res), void *arg);

/* ---- forget.c: names that go while their owner has them (worker) ---- */
struct forget_name { char *name; u8 oid[AUGUR_OID_LEN]; struct fh fh; bool is_dir, is_file, several; };
struct forget_dir {
	u8		oid[AUGUR_OID_LEN];
	struct fh	fh;
	size_t		max;		/* names at most */
	u64		turn;		/* where to begin in one that has more */
	struct forget_name *names;	/* out: not pinned; of directories those that are empty */
	size_t		n;
	bool		all;		/* out: there is no other name */
	bool		disclaim;	/* in: the claim that all names are here goes, durably */
	int		res;
};
/* A job for both: the names of the directories; or the claims of those that disclaim, written first and synced after. */
struct forget_job { struct io_op op; struct cache *c; struct forget_dir *dirs; size_t n; void (*done)(struct forget_job *j); void *user; };
void forget_list(struct forget_job *j);
void forget_disclaim(struct forget_job *j);

/* ---- settle.c ---- */
void settle_start(struct cache *c);		/* the timer */
void settle_add(struct cache *c, struct cobj *o, u64 bytes);
/* No round runs when fn(arg) is called, perhaps at once, nor begins before settle_release(); one holder. */
void settle_hold(struct cache *c, void (*fn)(void *arg), void *arg);
void settle_release(struct cache *c);
/* One pass now; done(arg) after it (and after one that was running). */
void settle_now(struct cache *c, void (*done)(void *arg), void *arg);

#endif
