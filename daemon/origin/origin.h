/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * origin.h - the proxy's side of an export: objects by handle, served as frames.
 *
 * One struct origin is one exported directory.  It is made in two steps: origin_open() needs
 * only the directory and gives the fingerprint for the join; origin_identify() brings the
 * volume's id and key, from then on there are oids and locators.
 *
 * Threads.  Everything here runs on the loop thread, except the functions marked "worker",
 * which may block on the origin filesystem and touch only what never changes after
 * origin_identify() (struct origin_export) and their own job.
 *
 * What cannot move under us: the export is a private clone of its mount (open_tree), so no
 * mount is ever crossed and ".." of its root is itself; objects are opened by handle, names
 * only as single components relative to a held descriptor.
 */
#ifndef AUGUR_ORIGIN_H
#define AUGUR_ORIGIN_H

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "meta/meta.h"
#include "wire/msg.h"
#include "xfer/xfer.h"

#define ORIGIN_HANDLE_MAX	128
#define ORIGIN_PRIVATE_NAME	".augur"	/* at the export's root: not part of the volume */

/* An object as its locator names it; what was checked: MAC and oid. */
struct origin_loc {
	u8	oid[AUGUR_OID_LEN];
	u32	pu;
	s32	type;
	u32	len;
	u8	handle[ORIGIN_HANDLE_MAX];
};

/* Never changes after origin_identify(): shared with the workers. */
struct origin_export {
	struct io *io;			/* for its clock */
	int	tree_fd;		/* holds the private clone; -1: none (see clone) */
	int	root_fd;
	bool	clone;			/* the export is a private clone of its mount */
	bool	local_fs;		/* timestamps come from this kernel's clock */
	u64	dev;
	u8	fs_uuid[16];
	u8	volume_id[16];
	u32	nsplit;
	u8	(*split)[AUGUR_OID_LEN];
	u64	tick_ns;		/* granularity of timestamps */
	struct origin_loc root;
	EVP_MAC_CTX *mac;		/* keyed; duplicated by each user */
};

/* State of an object, from one statx; tag is never 0. */
struct origin_stat {
	struct statx stx;
	u64	tag;
	bool	young;			/* may change again within the same timestamp */
};

/* ---- export.c ---- */
/* @why gets one line with cause and next step. */
int origin_export_open(struct origin_export *ex, const char *path, char *why, size_t why_len);
void origin_export_close(struct origin_export *ex);
/* Oid of the root for volume id zero: what proxies compare at the join. */
void origin_export_fingerprint(const struct origin_export *ex, u8 oid[AUGUR_OID_LEN]);
int origin_export_identify(struct origin_export *ex, const struct meta_volume *vol);
/* Handle of @fd itself, with oid; pu is left alone. worker. */
int origin_loc_of(const struct origin_export *ex, int fd, struct origin_loc *loc);
/* From a handle as events bring it: 0 or -EOVERFLOW. any thread. */
int origin_loc_set(const struct origin_export *ex, s32 type, const u8 *handle, u32 len, struct origin_loc *loc);
/* Writes the locator of @loc: bytes, at most WIRE_LOCATOR_MAX. @mac: the caller's own. worker. */
size_t origin_loc_seal(const struct origin_export *ex, EVP_MAC_CTX *mac, const struct origin_loc *loc, u8 *out);
/* Checks a peer's locator against the oid it claims: 0, -EBADMSG (form), -EACCES (forged). */
int origin_loc_check(const struct origin_export *ex, EVP_MAC_CTX *mac, const u8 oid[AUGUR_OID_LEN],
		     const u8 *p, size_t len, struct origin_loc *loc);
/* Opens the object, checks that it still is that one and lies below the export. Descriptor,
 * -ESTALE (gone) or another -errno. worker. */
int origin_loc_open(const struct origin_export *ex, const struct origin_loc *loc, int flags);
/* O_PATH descriptor of a name: -ENOENT, -EXDEV (a mount lies there). worker. */
int origin_open_name(int dir_fd, const char *name);
bool origin_is_split(const struct origin_export *ex, const u8 oid[AUGUR_OID_LEN]);
static inline bool origin_is_root(const struct origin_export *ex, const u8 oid[AUGUR_OID_LEN])
{
	return !memcmp(ex->root.oid, oid, AUGUR_OID_LEN);
}

/* ---- attr.c (worker) ---- */
/* A place for what an entry points to. */
struct origin_entry {
	struct wire_entry e;
	struct origin_loc loc;
	struct origin_stat st;
	u8	locator[WIRE_LOCATOR_MAX];
	char	link[WIRE_LINK_MAX + 1];
	u8	*xattrs;		/* grown, kept between uses */
	size_t	xattrs_cap;
	bool	dropped;		/* an attribute did not fit */
};
int origin_stat_fd(const struct origin_export *ex, int fd, const struct origin_loc *loc, struct origin_stat *st);
/* PU of an object found at @name in the directory @dir. */
u32 origin_pu(const struct origin_export *ex, const struct origin_loc *loc, const struct statx *stx,
	      const u8 dir[AUGUR_OID_LEN], const char *name, size_t len);
/*
 * Everything about the object behind the O_PATH (or readable) descriptor @fd.  @dir: the
 * directory it was found in, with @name, which decide its PU; NULL: ent->loc.pu as it is.
 */
int origin_entry_fill(const struct origin_export *ex, EVP_MAC_CTX *mac, struct origin_entry *ent, int fd,
		      const u8 *dir, const char *name, size_t len);
void origin_entry_free(struct origin_entry *ent);
/*
 * Gives this worker a current directory of its own, /proc/self/fd: xattrs of an O_PATH
 * descriptor then cost one step instead of four.  Only on pool threads: nothing on them uses
 * relative paths.
 */
void origin_worker_enter(void);

/* ---- interest.c ---- */
/* What an object was when it was served: given back by workers, kept as interest. */
struct origin_seen {
	struct origin_loc loc;
	u64	tag;
	u32	mode;
	bool	vague;			/* young: may change and keep this tag */
	bool	part;		/* of a directory one name was served, not its list */
};

struct origin;
struct origin_cfg {
	struct io	*io;
	const char	*volume, *path;
	const char	*self_id;	/* this proxy */
	u32		open_max;	/* descriptors kept open; 0: 512 */
	u32		interest_max;	/* objects watched; 0: 512 Ki */
	u64		rescan_ns;	/* 0: 30 s; without fanotify each object is looked at this often */
	bool		no_fanotify;	/* rescan even where events would come */
};
struct origin_counters {
	u64	requests, list, lookup, read, batch_items, reval, lease, redirects, refused;
	u64	served_bytes, entries, stale, changes, resets, pushes, rescans, opens, open_hits;
};

int origin_new(const struct origin_cfg *cfg, struct origin **out, char *why, size_t why_len);
/* Stops watching and takes no more requests; origin_free() when the loop has brought it to rest. */
void origin_close(struct origin *o);
bool origin_idle(const struct origin *o);
void origin_free(struct origin *o);
void origin_fingerprint(const struct origin *o, u8 oid[AUGUR_OID_LEN]);
/* Identity and key; starts watching.  Looks at the root: may block, start-up only. */
int origin_identify(struct origin *o, const struct meta_volume *vol);
/* The current map; a reference is taken. */
void origin_set_map(struct origin *o, struct meta_map *map);
const struct meta_map *origin_map(const struct origin *o);
/* Root entry for the HELLO answer, from the last look at it. */
int origin_put_root(struct origin *o, struct wire_out *w);	/* -EAGAIN: not identified yet */
/*
 * A connection that asks for objects: what it was given is kept as its interest.  Ends with
 * origin_client_gone(); what is still being served for it goes on and is dropped.
 */
struct origin_client;
struct origin_client *origin_client_new(struct origin *o, struct xfer_conn *c);
void origin_client_gone(struct origin_client *cl);
/* LIST, LOOKUP, READ, BATCH, REVAL or LEASE; always answered, now or later. */
void origin_request(struct origin_client *cl, const struct wire_hdr *h, struct wire_in body);
const struct origin_counters *origin_counters(const struct origin *o);
/* "fanotify" or "rescan". */
const char *origin_watch_kind(const struct origin *o);
const char *origin_path(const struct origin *o);
u32 origin_shards_owned(const struct origin *o);

/* ---- scan.c ---- */
/* Measures the whole tree on workers; done on the loop thread. For meta_store_scanned(). */
typedef void origin_scan_fn(void *ctx, int status, u8 (*split)[AUGUR_OID_LEN], u32 nsplit,
			    const struct meta_weight weight[META_SLOTS]);
void origin_scan(struct origin *o, const u8 volume_id[16], origin_scan_fn *fn, void *ctx);

#endif
