// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The map: slot -> shard -> proxy, how it is dealt at first, and its form on the wire.  A
 * published map is immutable; holders share it by reference count.  Loop thread only.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "meta/meta.h"
#include "wire/msg.h"

struct meta_map *meta_map_get(struct meta_map *m)
{
	m->refs++;
	return m;
}

void meta_map_put(struct meta_map *m)
{
	if (m && --m->refs == 0)
		free(m);
}

/* The n-th number of a stream named by seed and purpose: the same on every machine. */
static u64 deal_rand(u64 seed, u32 purpose, u32 n)
{
	u8 key[8];

	for (int i = 0; i < 4; i++) {
		key[i] = purpose >> (8 * i);
		key[4 + i] = n >> (8 * i);
	}
	return XXH3_64bits_withSeed(key, sizeof(key), seed);
}

/* Shuffles 0 .. n - 1 into perm. */
static void deal_shuffle(u64 seed, u32 purpose, u16 *perm, u32 n)
{
	for (u32 i = 0; i < n; i++)
		perm[i] = i;
	for (u32 i = n; i > 1; i--) {
		u32 j = deal_rand(seed, purpose, i) % i;
		u16 t = perm[i - 1];

		perm[i - 1] = perm[j];
		perm[j] = t;
	}
}

struct meta_map *meta_map_deal(u64 version, u64 seed, u32 nshards, const struct meta_proxy *p, u32 n)
{
	struct meta_map *m;
	u16 perm[META_SLOTS];

	if (!nshards || nshards > META_SHARDS_MAX || !n || n > META_PROXIES_MAX)
		return NULL;
	m = xcalloc(1, sizeof(*m));
	m->refs = 1;
	m->version = version;
	m->seed = seed;
	m->nshards = nshards;
	m->nproxies = n;
	memcpy(m->proxies, p, n * sizeof(*p));
	/* Permutations dealt round robin: each share differs from another by one at most. */
	deal_shuffle(seed, 1, perm, META_SLOTS);
	for (u32 i = 0; i < META_SLOTS; i++)
		m->slot_shard[perm[i]] = i % nshards;
	deal_shuffle(seed, 2, perm, nshards);
	for (u32 i = 0; i < nshards; i++) {
		m->shards[perm[i]].proxy = i % n;
		m->shards[perm[i]].epoch = 1;
	}
	return m;
}

/* A shard's or a proxy's part of the volume, of 2^32, by each measure. */
struct load {
	u64	bytes, entries;
	u32	shard, count;		/* which; how many */
};

static u64 load_larger(const struct load *l)
{
	return max(l->bytes, l->entries);
}

static int load_cmp(const void *a, const void *b)
{
	const struct load *x = a, *y = b;

	if (load_larger(x) != load_larger(y))
		return load_larger(x) > load_larger(y) ? -1 : 1;
	return x->shard < y->shard ? -1 : x->shard > y->shard;
}

static u64 part_of(u64 n, u64 total)
{
	return total ? (u64)(((unsigned __int128)n << 32) / total) : 0;
}

/* Is the shard better put to a than to b? Empty ones may be filled tomorrow, and go by number. */
static bool load_prefer(const struct load *a, const struct load *b, const struct load *shard)
{
	u64 x = max(a->bytes + shard->bytes, a->entries + shard->entries);
	u64 y = max(b->bytes + shard->bytes, b->entries + shard->entries);

	if (load_larger(shard) && x != y)
		return x < y;
	x = a->bytes + a->entries;
	y = b->bytes + b->entries;
	if (load_larger(shard) && x != y)
		return x < y;
	return a->count < b->count;
}

/*
 * Heaviest shard first, to the proxy whose larger part it leaves smallest.  Two measures, as a
 * small object costs its owner what some 64 KiB of a large one do: by bytes alone one large file
 * may be all that a proxy owns; by a sum of both the small ones may all lie where a large one is
 * not.  Counting shards alone leaves the shares to the seed.  (decision 0006)
 */
void meta_map_balance(struct meta_map *m, const struct meta_weight weight[META_SLOTS])
{
	struct load *shard = xcalloc(m->nshards, sizeof(*shard)), proxy[META_PROXIES_MAX] = { { 0 } };
	u64 bytes = 0, entries = 0;

	for (u32 i = 0; i < META_SLOTS; i++) {
		shard[m->slot_shard[i]].bytes += weight[i].bytes;
		shard[m->slot_shard[i]].entries += weight[i].entries;
		bytes += weight[i].bytes;
		entries += weight[i].entries;
	}
	for (u32 i = 0; i < m->nshards; i++)
		shard[i] = (struct load){ part_of(shard[i].bytes, bytes), part_of(shard[i].entries, entries), i, 1 };
	qsort(shard, m->nshards, sizeof(*shard), load_cmp);
	for (u32 i = 0; i < m->nshards; i++) {
		struct load *p = &proxy[0];

		for (u32 k = 1; k < m->nproxies; k++)
			if (load_prefer(&proxy[k], p, &shard[i]))
				p = &proxy[k];
		p->bytes += shard[i].bytes;
		p->entries += shard[i].entries;
		p->count++;
		m->shards[shard[i].shard].proxy = p - proxy;
	}
	free(shard);
}

/* ---- wire form ---- */

void meta_map_encode(const struct meta_map *m, struct wire_out *w)
{
	u8 slots[META_SLOTS * 2];

	wire_put_u64(w, WF_MAP_VERSION, m->version);
	wire_put_u64(w, WF_SEED, m->seed);
	wire_put_u32(w, WF_NSHARDS, m->nshards);
	for (u32 i = 0; i < META_SLOTS; i++) {
		slots[2 * i] = m->slot_shard[i] & 0xff;
		slots[2 * i + 1] = m->slot_shard[i] >> 8;
	}
	wire_put(w, WF_SHARDS, slots, sizeof(slots));
	for (u32 i = 0; i < m->nproxies; i++) {
		size_t mark = wire_nest(w, WF_PROXY);

		wire_put_str(w, WF_PROXY_ID, m->proxies[i].id);
		wire_put_str(w, WF_ADDR, m->proxies[i].addr);
		wire_put_u32(w, WF_STATE, m->proxies[i].state);
		wire_nest_end(w, mark);
	}
	for (u32 i = 0; i < m->nshards; i++) {
		size_t mark = wire_nest(w, WF_SHARD);

		wire_put_u32(w, WF_SHARD_ID, i);
		wire_put_u64(w, WF_EPOCH, m->shards[i].epoch);
		wire_put_str(w, WF_PROXY_ID, m->proxies[m->shards[i].proxy].id);
		wire_nest_end(w, mark);
	}
}

static int decode_slots(const struct wire_val *v, struct meta_map *m)
{
	if (v->len != META_SLOTS * 2)
		return -EBADMSG;
	for (u32 i = 0; i < META_SLOTS; i++)
		m->slot_shard[i] = v->p[2 * i] | v->p[2 * i + 1] << 8;
	return 0;
}

static int decode_proxy(struct wire_in in, struct meta_map *m)
{
	struct meta_proxy *p;
	struct wire_val v;
	int err;

	if (m->nproxies == META_PROXIES_MAX)
		return -EBADMSG;
	p = &m->proxies[m->nproxies];
	while ((err = wire_next(&in, &v)) == 1) {
		err = 0;
		if (v.tag == WF_PROXY_ID)
			err = wire_get_str(&v, p->id, sizeof(p->id));
		else if (v.tag == WF_ADDR)
			err = wire_get_str(&v, p->addr, sizeof(p->addr));
		else if (v.tag == WF_STATE)
			err = wire_get_u32(&v, &p->state);
		if (err)
			return -EBADMSG;
	}
	if (err || !p->id[0] || !p->addr[0] || p->state < META_P_UP || p->state > META_P_DRAINING)
		return -EBADMSG;
	for (u32 i = 0; i < m->nproxies; i++)
		if (!strcmp(m->proxies[i].id, p->id))
			return -EBADMSG;
	m->nproxies++;
	return 0;
}

int meta_map_proxy_index(const struct meta_map *m, const char *id)
{
	for (u32 i = 0; i < m->nproxies; i++)
		if (!strcmp(m->proxies[i].id, id))
			return i;
	return -ENOENT;
}

/* @seen: bit a shard; the proxies have been decoded before. */
static int decode_shard(struct wire_in in, struct meta_map *m, u8 *seen)
{
	char id[sizeof(m->proxies[0].id)] = "";
	u32 shard = META_SHARDS_MAX;
	u64 epoch = 0;
	struct wire_val v;
	int err, proxy;

	while ((err = wire_next(&in, &v)) == 1) {
		err = 0;
		if (v.tag == WF_SHARD_ID)
			err = wire_get_u32(&v, &shard);
		else if (v.tag == WF_EPOCH)
			err = wire_get_u64(&v, &epoch);
		else if (v.tag == WF_PROXY_ID)
			err = wire_get_str(&v, id, sizeof(id));
		if (err)
			return -EBADMSG;
	}
	proxy = meta_map_proxy_index(m, id);
	if (err || shard >= m->nshards || proxy < 0 || seen[shard])
		return -EBADMSG;
	seen[shard] = 1;
	m->shards[shard].epoch = epoch;
	m->shards[shard].proxy = proxy;
	return 0;
}

/* Scalars, slots and proxies; shards refer to these and come second. */
static int decode_head(struct wire_in in, struct meta_map *m)
{
	struct wire_val v;
	bool slots = false;
	int err;

	while ((err = wire_next(&in, &v)) == 1) {
		err = 0;
		if (v.tag == WF_MAP_VERSION)
			err = wire_get_u64(&v, &m->version);
		else if (v.tag == WF_SEED)
			err = wire_get_u64(&v, &m->seed);
		else if (v.tag == WF_NSHARDS)
			err = wire_get_u32(&v, &m->nshards);
		else if (v.tag == WF_SHARDS)
			err = decode_slots(&v, m), slots = true;
		else if (v.tag == WF_PROXY)
			err = decode_proxy((struct wire_in){ v.p, v.p + v.len }, m);
		if (err)
			return -EBADMSG;
	}
	if (err || !slots || !m->version || !m->nproxies || !m->nshards || m->nshards > META_SHARDS_MAX)
		return -EBADMSG;
	for (u32 i = 0; i < META_SLOTS; i++)
		if (m->slot_shard[i] >= m->nshards)
			return -EBADMSG;
	return 0;
}

int meta_map_decode(struct wire_in in, struct meta_map **out)
{
	struct meta_map *m = xcalloc(1, sizeof(*m));
	u8 seen[META_SHARDS_MAX] = { 0 };
	struct wire_val v;
	u32 n = 0;
	int err;

	m->refs = 1;
	err = decode_head(in, m);
	while (!err && (err = wire_next(&in, &v)) == 1) {
		err = 0;
		if (v.tag != WF_SHARD)
			continue;
		err = decode_shard((struct wire_in){ v.p, v.p + v.len }, m, seen);
		n++;
	}
	if (err || n != m->nshards) {
		free(m);
		return -EBADMSG;
	}
	*out = m;
	return 0;
}

/* ---- volume on the wire ---- */

void meta_volume_encode(const struct meta_volume *vol, struct wire_out *w)
{
	wire_put(w, WF_VOLUME_ID, vol->id, sizeof(vol->id));
	wire_put(w, WF_KEY, vol->key, sizeof(vol->key));
	for (u32 i = 0; i < vol->nsplit; i++)
		wire_put(w, WF_OID, vol->split[i], AUGUR_OID_LEN);
}

static int oid_cmp(const void *a, const void *b)
{
	return memcmp(a, b, AUGUR_OID_LEN);
}

int meta_volume_decode(struct wire_in in, struct meta_volume *vol)
{
	bool id = false, key = false;
	struct wire_val v;
	int err;

	vol->nsplit = 0;
	vol->split = NULL;
	while ((err = wire_next(&in, &v)) == 1) {
		err = 0;
		if (v.tag == WF_VOLUME_ID) {
			err = wire_get_bin(&v, vol->id, sizeof(vol->id));
			id = true;
		} else if (v.tag == WF_KEY) {
			err = wire_get_bin(&v, vol->key, sizeof(vol->key));
			key = true;
		} else if (v.tag == WF_OID && vol->nsplit < META_SLOTS) {
			vol->split = xrealloc(vol->split, (vol->nsplit + 1) * sizeof(*vol->split));
			err = wire_get_bin(&v, vol->split[vol->nsplit++], AUGUR_OID_LEN);
		}
		if (err)
			break;
	}
	if (err || !id || !key) {
		free(vol->split);
		vol->split = NULL;
		vol->nsplit = 0;
		return -EBADMSG;
	}
	if (vol->nsplit)
		qsort(vol->split, vol->nsplit, AUGUR_OID_LEN, oid_cmp);
	return 0;
}
