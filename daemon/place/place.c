// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * place.c - placement unit -> shard -> proxy.  Pure arithmetic over an immutable map: any
 * thread that holds a reference to the map.
 *
 * Slots are dealt by a hash of the directory's oid and not by its bits: oids of created
 * objects come from other hosts, and nobody should be able to aim at one slot cheaply.
 */
#include "place/place.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert((META_SLOTS & (META_SLOTS - 1)) == 0, "slots are a power of two");

u32 place_pu_dir(const u8 oid[AUGUR_OID_LEN])
{
	return (u32)(XXH3_64bits(oid, AUGUR_OID_LEN) & (META_SLOTS - 1)) + 1;
}

u32 place_pu_name(const u8 dir[AUGUR_OID_LEN], const char *name, size_t len)
{
	u64 seed = XXH3_64bits(dir, AUGUR_OID_LEN);

	return (u32)(XXH3_64bits_withSeed(name, len, seed) & (META_SLOTS - 1)) + 1;
}

int place_shard(const struct meta_map *m, u32 pu)
{
	u16 shard;

	if (pu == 0 || pu > META_SLOTS)
		return -ENOENT;
	shard = m->slot_shard[pu - 1];
	return shard < m->nshards ? shard : -ENOENT;
}

int place_owner(const struct meta_map *m, u32 pu)
{
	int shard = place_shard(m, pu);

	if (shard < 0)
		return shard;
	return m->shards[shard].proxy < m->nproxies ? m->shards[shard].proxy : -ENOENT;
}
