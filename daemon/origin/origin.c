// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One served export: its beginning and end, its identity and its map.  Loop thread.
 */
#include <stdio.h>

#include "base/log.h"
#include "origin/impl.h"

int origin_new(const struct origin_cfg *cfg, struct origin **out, char *why, size_t why_len)
{
	struct origin *o = xcalloc(1, sizeof(*o));
	int err = origin_export_open(&o->ex, cfg->path, why, why_len);

	if (err) {
		free(o);
		return err;
	}
	o->cfg = *cfg;
	o->cfg.volume = xstrdup(cfg->volume);
	o->cfg.path = xstrdup(cfg->path);
	o->cfg.self_id = xstrdup(cfg->self_id);
	o->io = o->ex.io = cfg->io;
	o->self = -ENOENT;
	o->shard = xcalloc(META_SHARDS_MAX, sizeof(*o->shard));
	map_init(&o->opens, offsetof(struct origin_open, oid), AUGUR_OID_LEN);
	map_init(&o->interest, offsetof(struct origin_interest, oid), AUGUR_OID_LEN);
	list_init(&o->open_lru);
	list_init(&o->clients);
	wire_out_init(&o->root_entry);
	*out = o;
	return 0;
}

/*
 * The loop has to run until origin_idle(): jobs that block on the origin end when they can.
 * What still runs at origin_free() is left to the end of the process.
 */
void origin_close(struct origin *o)
{
	__atomic_store_n(&o->closing, true, __ATOMIC_RELAXED);
	origin_watch_stop(o);
	if (o->push_op.busy)
		o->io->ops->cancel(o->io, &o->push_op);
}

bool origin_idle(const struct origin *o)
{
	return !o->jobs && !o->watch && !o->push_op.busy;
}

void origin_free(struct origin *o)
{
	if (!origin_idle(o))
		return;
	origin_open_trim(o, UINT64_MAX, 0);
	map_free(&o->opens);
	origin_interest_free(o);
	origin_shards_free(o);
	wire_out_free(&o->root_entry);
	EVP_MAC_CTX_free(o->mac);
	origin_export_close(&o->ex);
	meta_map_put(o->map);
	free((char *)o->cfg.volume);
	free((char *)o->cfg.path);
	free((char *)o->cfg.self_id);
	free(o);
}

void origin_fingerprint(const struct origin *o, u8 oid[AUGUR_OID_LEN])
{
	origin_export_fingerprint(&o->ex, oid);
}

int origin_identify(struct origin *o, const struct meta_volume *vol)
{
	int err = origin_export_identify(&o->ex, vol);

	if (err)
		return err;
	o->mac = origin_mac_dup(o);
	err = origin_watch_start(o);
	if (!err)
		o->identified = true;
	return err;
}

void origin_set_map(struct origin *o, struct meta_map *map)
{
	struct meta_map *old = o->map;

	if (old && old->version >= map->version)
		return;
	o->map = meta_map_get(map);
	o->self = meta_map_proxy_index(map, o->cfg.self_id);
	origin_shards_update(o);
	meta_map_put(old);
	log_notice("volume=%s map version=%llu shards_owned=%u of %u", o->cfg.volume,
		   (unsigned long long)map->version, origin_shards_owned(o), map->nshards);
}

const struct meta_map *origin_map(const struct origin *o)
{
	return o->map;
}

u32 origin_shards_owned(const struct origin *o)
{
	u32 n = 0;

	for (u32 i = 0; i < META_SHARDS_MAX; i++)
		n += o->shard[i].owned;
	return n;
}

int origin_put_root(struct origin *o, struct wire_out *w)
{
	struct wire_in in = { o->root_entry.buf, o->root_entry.buf + o->root_entry.len };
	struct wire_val v;

	if (!o->identified || wire_next(&in, &v) != 1)
		return -EAGAIN;
	wire_put(w, v.tag, v.p, v.len);
	origin_root_refresh(o);
	return 0;
}

const struct origin_counters *origin_counters(const struct origin *o)
{
	return &o->n;
}

const char *origin_watch_kind(const struct origin *o)
{
	return o->events_on ? "fanotify" : "rescan";
}

const char *origin_path(const struct origin *o)
{
	return o->cfg.path;
}
