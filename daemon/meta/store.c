// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The rules of a store: a volume's identity is made at the first join, a proxy that sees
 * other file handles is refused, and the map is published when all members have joined, or
 * the grace is over (those that are missing keep their shards, marked down).  Rows are kept
 * by a struct store_disk.  Loop thread only.
 */
#include <stdio.h>

#include "base/log.h"
#include "meta/store.h"

#define GRACE_NS (10 * 1000000000ULL)

static struct store *to_store(struct meta *m)
{
	return container_of(m, struct store, m);
}

static void store_put(struct store *s)
{
	if (s->closed && !s->busy)
		store_free(s);
}

void store_free(struct store *s)
{
	struct store_watch *w;
	struct store_join *j;

	while ((w = s->watches)) {
		s->watches = w->next;
		free(w);
	}
	while ((j = s->joins)) {
		s->joins = j->next;
		free(j);
	}
	meta_map_put(s->map);
	free(s->vol.split);
	explicit_bzero(s->vol.key, sizeof(s->vol.key));
	free(s);
}

static struct store_member *member_find(struct store *s, const char *id)
{
	for (u32 i = 0; i < s->nmember; i++)
		if (!strcmp(s->member[i].p.id, id))
			return &s->member[i];
	return NULL;
}

static void map_saved(struct store *s, void *arg, int res);

static bool all_joined(const struct store *s)
{
	for (u32 i = 0; i < s->nmember; i++)
		if (!s->member[i].joined)
			return false;
	return s->nmember > 0;
}

/* A map of the members as they are now, or NULL if the published one still says so. */
static struct meta_map *next_map(struct store *s)
{
	struct meta_proxy p[META_PROXIES_MAX];
	struct meta_map *m;
	u64 version = s->map ? s->map->version + 1 : 1;

	for (u32 i = 0; i < s->nmember; i++) {
		p[i] = s->member[i].p;
		p[i].state = s->member[i].joined ? META_P_UP : META_P_DOWN;
	}
	if (!s->map || s->redeal) {
		m = meta_map_deal(version, s->seed, s->nshards, p, s->nmember);
		if (m && s->scanned)
			meta_map_balance(m, s->weight);
		return m;
	}
	if (s->map->nproxies == s->nmember && !memcmp(s->map->proxies, p, s->nmember * sizeof(*p)))
		return NULL;
	m = xmemdup(s->map, sizeof(*m));
	m->refs = 1;
	m->version = version;
	memcpy(m->proxies, p, s->nmember * sizeof(*p));
	return m;
}

static void publish(struct store *s)
{
	struct meta_map *m;

	if (s->saving) {
		s->again = true;
		return;
	}
	if (!s->have_vol || s->creating || s->closed)
		return;
	if ((!s->map || s->redeal) && !all_joined(s) && !s->grace_over)
		return;
	m = next_map(s);
	if (!m)
		return;
	s->saving = true;
	s->busy++;
	s->disk->save_map(s, m, map_saved, m);
}

static void map_saved(struct store *s, void *arg, int res)
{
	struct meta_map *m = arg;

	s->busy--;
	s->saving = false;
	if (res || s->closed) {
		if (res)
			log_err("cannot store map version %llu of %s: %s", (unsigned long long)m->version,
				s->volume, strerror(-res));
		meta_map_put(m);
		store_put(s);
		return;
	}
	meta_map_put(s->map);
	s->map = m;
	s->redeal = false;
	log_notice("volume=%s map version=%llu shards=%u proxies=%u published", s->volume,
		   (unsigned long long)m->version, m->nshards, m->nproxies);
	for (struct store_watch *w = s->watches; w; w = w->next)
		w->fn(w->ctx, 0, meta_map_get(m));
	if (s->again) {
		s->again = false;
		publish(s);
	}
}

static void grace_done(struct io_op *op, int res)
{
	struct store *s = container_of(op, struct store, timer);

	s->busy--;
	if (s->closed) {
		store_put(s);
		return;
	}
	s->grace_over = true;
	for (u32 i = 0; i < s->nmember && !all_joined(s) && (!s->map || s->redeal); i++)
		if (!s->member[i].joined)
			log_warn("volume=%s proxy=%s has not joined: its shards are published without it, "
				 "start augurd there", s->volume, s->member[i].p.id);
	publish(s);
}

/* ---- join ---- */

static void join_answer(struct store *s, struct store_join *j, int status)
{
	struct store_member *mb = member_find(s, j->self.id);

	if (!status && mb) {
		if (!mb->joined)
			log_notice("volume=%s proxy=%s addr=%s joined", s->volume, mb->p.id, mb->p.addr);
		mb->joined = true;
		publish(s);
	}
	j->fn(j->ctx, status, status ? NULL : &s->vol);
	free(j);
}

static void joins_answer(struct store *s, int status)
{
	struct store_join *j, *list = s->joins;

	s->joins = NULL;
	while ((j = list)) {
		list = j->next;
		join_answer(s, j, status);
	}
}

/* The volume is durable: the waiting joins are answered. */
static void volume_ready(struct store *s, void *arg, int res)
{
	s->busy--;
	s->creating = false;
	if (s->closed) {
		store_put(s);
		return;
	}
	if (res)
		log_err("cannot store the identity of volume %s: %s", s->volume, strerror(-res));
	s->have_vol = !res;
	joins_answer(s, res);
}

void meta_store_scanned(struct meta *m, int status, u8 (*split)[AUGUR_OID_LEN], u32 nsplit,
			const struct meta_weight weight[META_SLOTS])
{
	struct store *s = to_store(m);

	s->busy--;
	if (s->closed) {
		store_put(s);
		return;
	}
	if (status) {
		log_err("cannot measure volume %s: %s", s->volume, strerror(-status));
		s->creating = false;
		joins_answer(s, status);
		return;
	}
	s->vol.nsplit = nsplit;
	s->vol.split = nsplit ? xmemdup(split, nsplit * sizeof(*split)) : NULL;
	memcpy(s->weight, weight, sizeof(s->weight));
	s->scanned = true;
	s->busy++;
	s->disk->save_volume(s, volume_ready, NULL);
}

static void volume_create(struct store *s, const struct meta_volume *from)
{
	s->creating = true;
	snprintf(s->vol.name, sizeof(s->vol.name), "%s", s->volume);
	s->m.io->ops->random(s->m.io, s->vol.id, sizeof(s->vol.id));
	s->m.io->ops->random(s->m.io, s->vol.key, sizeof(s->vol.key));
	memcpy(s->vol.root_oid, from->root_oid, sizeof(s->vol.root_oid));
	s->busy++;
	if (s->scan)
		s->scan(s->scan_ctx, &s->m);
	else
		s->disk->save_volume(s, volume_ready, NULL);
}

static int join_check(struct store *s, const struct meta_volume *vol, const struct meta_proxy *self)
{
	struct store_member *mb = member_find(s, self->id);

	if (strcmp(vol->name, s->volume))
		return -ENOENT;
	if (!mb && (!s->open_members || s->nmember == META_PROXIES_MAX)) {
		log_err("proxy=%s is not one of the configured members of %s: refused", self->id, s->volume);
		return -EPERM;
	}
	if ((s->have_vol || s->creating) && memcmp(vol->root_oid, s->vol.root_oid, sizeof(vol->root_oid))) {
		log_err("proxy=%s sees other file handles for %s than the store: refused; both must export "
			"the same directory of the same filesystem", self->id, s->volume);
		return -EXDEV;
	}
	if (!mb)
		mb = &s->member[s->nmember++];
	mb->p = *self;
	return 0;
}

static void store_join(struct meta *m, const struct meta_volume *vol, const struct meta_proxy *self,
		       meta_volume_fn *fn, void *ctx)
{
	struct store *s = to_store(m);
	struct store_join *j;
	int err = join_check(s, vol, self);

	if (err) {
		fn(ctx, err, NULL);
		return;
	}
	j = xcalloc(1, sizeof(*j));
	j->self = *self;
	j->fn = fn;
	j->ctx = ctx;
	if (s->have_vol) {
		join_answer(s, j, 0);
		return;
	}
	j->next = s->joins;
	s->joins = j;
	if (!s->creating)
		volume_create(s, vol);
}

static void store_map(struct meta *m, meta_map_fn *fn, void *ctx)
{
	struct store *s = to_store(m);

	fn(ctx, s->map ? 0 : -EAGAIN, s->map ? meta_map_get(s->map) : NULL);
}

static void store_watch(struct meta *m, meta_map_fn *fn, void *ctx)
{
	struct store *s = to_store(m);
	struct store_watch *w = xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->ctx = ctx;
	w->next = s->watches;
	s->watches = w;
	if (s->map)
		fn(ctx, 0, meta_map_get(s->map));
}

static void store_close(struct meta *m)
{
	struct store *s = to_store(m);

	s->closed = true;
	if (s->timer.busy)
		m->io->ops->cancel(m->io, &s->timer);
	s->disk->close(s);
	store_put(s);
}

static const struct meta_ops store_ops = {
	.name = "store",
	.join = store_join,
	.map = store_map,
	.watch = store_watch,
	.close = store_close,
};

const struct meta_volume *meta_store_volume(const struct meta *m)
{
	const struct store *s = container_of(m, struct store, m);

	return s->have_vol || s->creating ? &s->vol : NULL;
}

struct store *store_new(struct io *io, const struct meta_store_cfg *cfg, const struct store_disk *disk, void *ctx)
{
	struct store *s = xcalloc(1, sizeof(*s));

	s->m.ops = &store_ops;
	s->m.io = io;
	s->disk = disk;
	s->disk_ctx = ctx;
	snprintf(s->volume, sizeof(s->volume), "%s", cfg->volume);
	s->seed = cfg->seed;
	s->nshards = cfg->nshards ? cfg->nshards : META_SHARDS_DEF;
	s->grace_ns = cfg->grace_ns ? cfg->grace_ns : GRACE_NS;
	s->scan = cfg->scan;
	s->scan_ctx = cfg->ctx;
	s->open_members = !cfg->nmembers;
	for (u32 i = 0; i < cfg->nmembers; i++)
		s->member[s->nmember++].p = cfg->members[i];
	return s;
}

/* Does the stored map deal to the members and by the seed that are configured now? */
static bool map_fits(const struct store *s)
{
	if (s->seed && s->seed != s->map->seed)
		return false;
	if (s->nshards != s->map->nshards || s->map->nproxies != s->nmember)
		return false;
	for (u32 i = 0; i < s->nmember; i++)
		if (strcmp(s->map->proxies[i].id, s->member[i].p.id))
			return false;
	return true;
}

void store_loaded(struct store *s)
{
	if (s->map && s->open_members) {
		s->nmember = s->map->nproxies;
		for (u32 i = 0; i < s->nmember; i++)
			s->member[i].p = s->map->proxies[i];
	}
	for (u32 i = 0; s->map && i < s->nmember && map_fits(s); i++) {
		s->member[i].joined = s->map->proxies[i].state != META_P_DOWN;
		s->member[i].p = s->map->proxies[i];
	}
	if (s->map && !map_fits(s)) {
		log_notice("volume=%s members, seed or shards differ from map version %llu: dealing again",
			   s->volume, (unsigned long long)s->map->version);
		s->redeal = true;
	}
	if (!s->seed)
		s->seed = s->map ? s->map->seed : 1;
	s->busy++;
	s->timer.done = grace_done;
	s->m.io->ops->timer(s->m.io, &s->timer, io_now(s->m.io) + s->grace_ns);
}
