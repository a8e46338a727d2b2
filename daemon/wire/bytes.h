/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bytes.h - little-endian integers at any address.  Private to wire/ and its tests.
 */
#ifndef AUGUR_WIRE_BYTES_H
#define AUGUR_WIRE_BYTES_H

#include "common/types.h"

static inline void put_le16(u8 *p, u16 v) { v = cpu_to_le16(v); memcpy(p, &v, 2); }
static inline void put_le32(u8 *p, u32 v) { v = cpu_to_le32(v); memcpy(p, &v, 4); }
static inline void put_le64(u8 *p, u64 v) { v = cpu_to_le64(v); memcpy(p, &v, 8); }
static inline u16 get_le16(const u8 *p) { u16 v; memcpy(&v, p, 2); return le16_to_cpu(v); }
static inline u32 get_le32(const u8 *p) { u32 v; memcpy(&v, p, 4); return le32_to_cpu(v); }
static inline u64 get_le64(const u8 *p) { u64 v; memcpy(&v, p, 8); return le64_to_cpu(v); }

#endif
