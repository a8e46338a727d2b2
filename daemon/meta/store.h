/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store.h - private to meta/: the rules of a store, apart from where it keeps its rows.
 *
 * store.c decides (who may join, when a map is published); a struct store_disk makes rows
 * durable.  Nothing is answered or published before its row is durable.  Loop thread only.
 */
#ifndef AUGUR_META_STORE_H
#define AUGUR_META_STORE_H

#include "meta/meta.h"
#include "wire/msg.h"

struct store;
typedef void store_saved_fn(struct store *s, void *arg, int res);

struct store_disk {
	const char *name;
	/* Makes the state named durable, then calls fn on the loop thread (never before it returns). */
	void (*save_volume)(struct store *s, store_saved_fn *fn, void *arg);
	void (*save_map)(struct store *s, const struct meta_map *map, store_saved_fn *fn, void *arg);
	void (*close)(struct store *s);
};

struct store_member {
	struct meta_proxy p;
	bool	joined;
};

struct store_watch {
	struct store_watch *next;
	meta_map_fn	*fn;
	void		*ctx;
};

struct store_join {
	struct store_join *next;
	struct meta_proxy self;
	meta_volume_fn	*fn;
	void		*ctx;
};

struct store {
	struct meta	m;
	const struct store_disk *disk;
	void		*disk_ctx;
	char		volume[64];
	u64		seed, grace_ns;
	u32		nshards;
	void		(*scan)(void *ctx, struct meta *m);
	void		*scan_ctx;

	struct meta_volume vol;
	bool		have_vol;	/* identity exists and is durable */
	bool		creating;	/* being made durable, or scanned */
	bool		scanned;
	struct meta_weight weight[META_SLOTS];

	struct store_member member[META_PROXIES_MAX];
	u32		nmember;
	bool		open_members;	/* none configured: whoever joins */

	struct meta_map	*map;		/* published, or NULL */
	bool		redeal;		/* the stored map does not fit the configuration */
	bool		saving;		/* a map is on its way to the disk */
	bool		again;		/* look again when it is there */
	bool		grace_over;
	struct io_op	timer;
	struct store_join *joins;	/* waiting for the volume */
	struct store_watch *watches;
	bool		closed;
	unsigned int	busy;		/* saves and timer in flight: free when 0 and closed */
};

struct store *store_new(struct io *io, const struct meta_store_cfg *cfg, const struct store_disk *disk, void *ctx);
/* After the rows were read into s: checks the stored map against the configuration. */
void store_loaded(struct store *s);
void store_free(struct store *s);

#endif
