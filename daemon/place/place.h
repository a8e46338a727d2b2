/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * place.h - where an object lives: placement unit -> shard -> proxy.  Pure lookups in the map.
 */
#ifndef AUGUR_PLACE_PLACE_H
#define AUGUR_PLACE_PLACE_H

#include "meta/meta.h"

/* PU of the entries of a directory: its slot + 1 (0 is no PU). */
u32 place_pu_dir(const u8 oid[AUGUR_OID_LEN]);
/* PU of an entry of a split directory: the slot of hash(directory, name) + 1. */
u32 place_pu_name(const u8 dir[AUGUR_OID_LEN], const char *name, size_t len);
/* Shard of a PU, or -ENOENT for PU 0 and unknown ones. */
int place_shard(const struct meta_map *m, u32 pu);
/* Index of the owner in m->proxies, or -ENOENT. */
int place_owner(const struct meta_map *m, u32 pu);

#endif
