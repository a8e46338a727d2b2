/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * meta.h - the metadata store behind one ops table: volume identity, membership, the map.
 *
 * Implementations: sqlite (embedded, in the proxy named as store), remote (the same over RPC,
 * for the other proxies and the agents), mem (tests).  Every call is asynchronous: done() on
 * the loop thread.  The store decides: changes of the map compare its version.
 */
#ifndef AUGUR_META_META_H
#define AUGUR_META_META_H

#include "base/io.h"
#include "base/mem.h"
#include "common/record.h"

#define META_SLOTS	4096
#define META_SHARDS_DEF	64
#define META_SHARDS_MAX	4096
#define META_PROXIES_MAX 64
#define META_KEY_LEN	32

struct meta_proxy { char id[64]; char addr[256]; u32 state; };	/* META_P_* */
enum { META_P_UP = 1, META_P_DOWN = 2, META_P_DRAINING = 3 };

struct meta_shard { u64 epoch; u16 proxy; };			/* index into proxies */

/* What a slot holds: what its owner sends, and what it is asked for. */
struct meta_weight { u64 bytes, entries; };

/* The map: slot -> shard -> proxy.  Immutable once published, reference counted. */
struct meta_map {
	unsigned int	refs;
	u64		version;
	u64		seed;
	u16		slot_shard[META_SLOTS];
	u32		nshards;
	struct meta_shard shards[META_SHARDS_MAX];
	u32		nproxies;
	struct meta_proxy proxies[META_PROXIES_MAX];
};
struct meta_map *meta_map_get(struct meta_map *m);
void meta_map_put(struct meta_map *m);
/* Deals slots to shards and shards to proxies evenly by @seed; deterministic on every machine. */
struct meta_map *meta_map_deal(u64 version, u64 seed, u32 nshards, const struct meta_proxy *p, u32 n);
/* Wire form (MAP answer) both ways; decode checks every index. */
struct wire_out; struct wire_in;
/* Deals the shards again by the weight of their slots, evenly by both measures; before publishing only. */
void meta_map_balance(struct meta_map *m, const struct meta_weight weight[META_SLOTS]);
int meta_map_proxy_index(const struct meta_map *m, const char *id);	/* or -ENOENT */
void meta_map_encode(const struct meta_map *m, struct wire_out *w);
int meta_map_decode(struct wire_in in, struct meta_map **out);

struct meta_volume {
	char	name[64];
	u8	id[16];
	u8	key[META_KEY_LEN];	/* MAC key of locators; never leaves the proxies */
	u8	root_oid[AUGUR_OID_LEN];
	/* directories split by name hash (CONTRACTS 1), sorted by oid */
	u32	nsplit;
	u8	(*split)[AUGUR_OID_LEN];
};

struct meta;
struct meta_req;	/* opaque continuation */
typedef void meta_map_fn(void *ctx, int status, struct meta_map *map);		/* reference is the callee's */
typedef void meta_volume_fn(void *ctx, int status, const struct meta_volume *vol);	/* valid in the call */

struct meta_ops {
	const char *name;
	/* Joins as a proxy of the volume: identity is created at the store at the first join.
	 * @vol gives the name, and as root_oid the fingerprint of the root: its oid for volume id
	 * zero, which all proxies can compute before they know the volume.  The answer has the
	 * same fingerprint.  -EPERM: not a configured member.
	 * -EXDEV: this proxy sees other file handles than the store (root oid differs). */
	void (*join)(struct meta *m, const struct meta_volume *vol, const struct meta_proxy *self, meta_volume_fn *fn, void *ctx);
	void (*map)(struct meta *m, meta_map_fn *fn, void *ctx);
	/* Called whenever a newer map is known. */
	void (*watch)(struct meta *m, meta_map_fn *fn, void *ctx);
	void (*close)(struct meta *m);
};
struct meta { const struct meta_ops *ops; struct io *io; };

/* ---- implementations ---- */

/* What the store is told at its start about a volume. */
struct meta_store_cfg {
	const char	*volume;
	struct meta_proxy members[META_PROXIES_MAX];	/* configured proxies; state is ignored */
	u32		nmembers;		/* 0: whoever joins, dealt once the first has joined */
	u64		seed;
	u32		nshards;		/* 0: META_SHARDS_DEF */
	u64		grace_ns;		/* publish without those that never joined after so long; 0: 10 s */
	/*
	 * Called once, when the volume is created, before the first join is answered: measures the
	 * tree.  It calls meta_store_scanned() later, on the loop thread.  NULL: nothing is split.
	 */
	void		(*scan)(void *ctx, struct meta *m);
	void		*ctx;
};
/* One database file for all volumes of a store; opened once, closed after the last volume. */
struct meta_db;
int meta_db_open(struct io *io, const char *path, struct meta_db **out);
void meta_db_close(struct meta_db *db);
/* The embedded store.  NULL and a logged cause if the volume's rows are damaged. */
struct meta *meta_sqlite_new(struct meta_db *db, const struct meta_store_cfg *cfg);
/* The same in memory (tests). */
struct meta *meta_mem_new(struct io *io, const struct meta_store_cfg *cfg);
/* Result of the scan: the directories to split and the weight of each slot. */
void meta_store_scanned(struct meta *m, int status, u8 (*split)[AUGUR_OID_LEN], u32 nsplit,
			const struct meta_weight weight[META_SLOTS]);
/* The volume's identity as stored: for the scan, which needs oids.  NULL before the first join. */
const struct meta_volume *meta_store_volume(const struct meta *m);

/*
 * A store somewhere else, asked over RPC.  Joins only with role proxy; with role agent it is
 * a client of MAP.  Polls for a newer map each @poll_ns (0: 5 s) while watched.
 */
struct meta_remote_cfg {
	const char	*addr;
	const char	*volume;
	const char	*peer_id;
	u32		role;			/* enum wire_role */
	u64		poll_ns;
};
struct meta *meta_remote_new(struct io *io, const struct meta_remote_cfg *cfg);

/* JOIN answer without the map: identity and key (owner: the split array is malloc'ed by decode). */
void meta_volume_encode(const struct meta_volume *vol, struct wire_out *w);
int meta_volume_decode(struct wire_in in, struct meta_volume *vol);

#endif
