/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * msg.h - the frames between daemons, in words and numbers.  No I/O here.
 *
 * A frame is a 32-byte header (struct wire_hdr, little endian) and body_len bytes of body.
 * DATA bodies are raw file bytes; every other body is a sequence of fields: tag u16, length
 * u16, that many bytes.  Unknown fields are skipped, unknown types are answered with
 * -EOPNOTSUPP.  Names are single components, objects are ids with a locator; there are no
 * paths.  Lengths are checked against the limits below before anything is allocated.
 *
 * Streams.  The side that dialled numbers its requests 1, 2, 3 ... (stream); every frame of
 * the answer carries the number; the last one has WIRE_LAST and the status.  Many streams
 * share the connection, so bodies come in pieces of at most WIRE_DATA_MAX.  Stream 0 is for
 * what nobody asked for (INVAL, GOODBYE).
 *
 *  HELLO    first frame of each side.  { PROTO u32, FEATURES u64, ROLE u32, PEER_ID str,
 *           VOLUME str (what the dialler wants; empty: the store), CLIENT_ID 16 }
 *           answer { PROTO, FEATURES, PEER_ID, VOLUME_ID 16, ROOT entry, MAP_VERSION u64,
 *           LEASE_MS u32 }.  Anything else before HELLO, or none within 5 s: closed.
 *  MAP      { VOLUME } -> { MAP_VERSION, SEED u64, NSHARDS u32, SHARDS (u16 per slot),
 *           SHARD* { SHARD_ID u32, EPOCH u64, PROXY_ID str }, PROXY* { PROXY_ID str, ADDR str,
 *           STATE u32 } }
 *  LIST     { OID, LOCATOR } -> ENTRIES frames { ENTRY* }, LAST { SEQ u64, DIR entry }.
 *           The whole directory, entries with attributes, in one round trip.  Tag 0 in DIR:
 *           it changed meanwhile or may still change unseen; do not take it as complete.
 *  LOOKUP   { OID, LOCATOR, NAME, MAX u32 } -> as LIST with only that entry; or, if the
 *           directory has at most MAX names, all of them and COMPLETE u32 1 in the last
 *           frame.  status -ENOENT: no such name (the entries may still come).
 *  READ     { OID, LOCATOR, VERSION u64, TAG u64, OFF u64, LEN u64 } -> DATA frames (off in
 *           the header), LAST { SIZE u64, VERSION, TAG }.  -ESTALE with { VERSION, TAG } if
 *           (VERSION, TAG) is not what the owner has (0, 0 asks for whatever is current).
 *  BATCH    { ITEM* { OID, LOCATOR, VERSION, TAG, LEN } } -> for each item DATA frames
 *           (aux in the header: item number) and a DONE frame (aux, status; { SIZE, VERSION,
 *           TAG } of what was served or of what is there now), then LAST.  Items are small
 *           files, whole; -EFBIG: one has grown beyond WIRE_BATCH_FILE_MAX.
 *  REVAL    { ITEM* { OID, LOCATOR, VERSION, TAG } } -> { ITEM* { OID, STATUS s32, [ENTRY] } }
 *           -ESTALE: changed, with the entry of now; -ENOENT: gone; -EREMCHG: not ours.
 *  LEASE    { ITEM* { SHARD_ID u32, SEQ u64 (last seen) } } -> { ITEM* { SHARD_ID, SEQ,
 *           STATUS, RESET u32, INVAL* } }: the changes since, or RESET, and the lease counts
 *           from the sending of this request.
 *  INVAL    stream 0, owner to agent { ITEM* { SHARD_ID, SEQ, KIND u32 (AUGUR_INVAL_*), OID,
 *           [PARENT_OID, NAME] } }
 *  JOIN     proxy to store { VOLUME, PROXY_ID, ADDR, ROOT entry: its oid is made for volume id
 *           zero } -> { VOLUME_ID, KEY, OID* (split directories) }.  -EXDEV: other handles than
 *           the store's; -EPERM: not a member.  The map is asked for by MAP (-EAGAIN: none yet).
 *  STATUS   {} -> { JSON str }
 *  PING     {} -> {}
 *  GOODBYE  stream 0: no more requests are taken; the peer re-dials.
 *  COMMIT, NAMEOP: numbers reserved.
 *
 * Wrong owner: any request on an object may be answered LAST with status -EREMCHG and
 * { MAP_VERSION, PROXY_ID }: the asker fetches the map and asks the owner, once.
 */
#ifndef AUGUR_WIRE_MSG_H
#define AUGUR_WIRE_MSG_H

#include "common/record.h"

#define WIRE_PROTO		1
#define WIRE_PORT		7433
#define WIRE_HDR_LEN		32
#define WIRE_BODY_MAX		(512 * 1024)	/* non-DATA bodies */
#define WIRE_DATA_MAX		(256 * 1024)
#define WIRE_HELLO_MAX		1024		/* body of the first frame */
#define WIRE_ITEMS_MAX		1024
#define WIRE_BATCH_FILE_MAX	(256 * 1024)	/* a file larger than this is not batched */
#define WIRE_BATCH_BYTES_MAX	(4 * 1024 * 1024)
#define WIRE_LOCATOR_MAX	192
#define WIRE_XATTRS_MAX		(60 * 1024)
#define WIRE_LINK_MAX		4095
#define WIRE_STATUS_MIN		(-4095)

enum wire_type {
	WIRE_HELLO = 1, WIRE_GOODBYE = 2, WIRE_PING = 3, WIRE_MAP = 4, WIRE_JOIN = 5,
	WIRE_LIST = 8, WIRE_LOOKUP = 9, WIRE_READ = 10, WIRE_BATCH = 11, WIRE_REVAL = 12,
	WIRE_LEASE = 16, WIRE_INVAL = 17,
	WIRE_COMMIT = 24, WIRE_NAMEOP = 25,	/* reserved */
	WIRE_STATUS = 40,
	WIRE_TYPE_MAX
};

/* header flags */
#define WIRE_REPLY	(1U << 0)
#define WIRE_LAST	(1U << 1)
#define WIRE_DATA	(1U << 2)	/* raw body; at most WIRE_DATA_MAX */
#define WIRE_DONE	(1U << 3)	/* BATCH: item aux has ended with status */
#define WIRE_SUM	(1U << 4)	/* sum holds XXH3-64 of the body */

/* feature bits */
#define WIRE_F_SUM	(1ULL << 0)	/* bodies carry XXH3-64 (plain TCP) */
#define WIRE_F_LEASE	(1ULL << 1)
#define WIRE_F_BATCH	(1ULL << 2)

struct wire_hdr {
	u32	body_len;
	u16	type;
	u16	flags;
	u32	stream;
	s32	status;		/* of the LAST or DONE frame: 0 or -errno, -4095..0 */
	u64	off;		/* DATA: offset in the file; BATCH: aux << 32 | low half of the offset */
	u64	sum;
};

/*
 * Encodes into 32 bytes / decodes; decode: 0, or -EBADMSG for impossible values (type 0 or
 * >= max, body_len beyond the limit of its kind, status outside -4095..0 or without LAST or
 * DONE, unknown flags, DATA, LAST or DONE without REPLY, REPLY on stream 0, sum without SUM).
 */
void wire_hdr_encode(const struct wire_hdr *h, u8 buf[WIRE_HDR_LEN]);
int wire_hdr_decode(const u8 buf[WIRE_HDR_LEN], struct wire_hdr *h);

enum wire_field {
	WF_PROTO = 1, WF_FEATURES, WF_ROLE, WF_PEER_ID, WF_VOLUME, WF_CLIENT_ID, WF_VOLUME_ID,
	WF_MAP_VERSION, WF_LEASE_MS, WF_SEED, WF_NSHARDS, WF_SHARDS, WF_SHARD, WF_SHARD_ID,
	WF_EPOCH, WF_PROXY, WF_PROXY_ID, WF_ADDR, WF_STATE, WF_KEY,
	WF_OID = 32, WF_LOCATOR, WF_NAME, WF_MAX, WF_VERSION, WF_TAG, WF_OFF, WF_LEN, WF_SIZE,
	WF_ENTRY, WF_ATTR, WF_LINK, WF_XATTRS, WF_COMPLETE, WF_SEQ, WF_ITEM, WF_STATUS, WF_RESET,
	WF_INVAL, WF_KIND, WF_PARENT_OID, WF_DIR, WF_ROOT, WF_JSON, WF_ERROR,
	WF_MAX_TAG
};

enum wire_role { WIRE_ROLE_AGENT = 1, WIRE_ROLE_PROXY = 2, WIRE_ROLE_ADMIN = 3 };

/* Attributes of an object, WF_ATTR: fixed little-endian layout of WIRE_ATTR_LEN bytes. */
struct wire_attr {
	u8	oid[AUGUR_OID_LEN];
	u32	pu, mode, uid, gid, nlink, rdev;
	u64	size, version, tag;
	s64	mtime_sec, ctime_sec;
	u32	mtime_nsec, ctime_nsec;
	u32	flags;		/* reserved 0 */
	u8	holes;		/* as in struct augur_record; 3 reserved bytes follow on the wire */
};
#define WIRE_ATTR_LEN	96

/* An entry as decoded: pointers into the frame, valid as long as it is. */
struct wire_entry {
	struct wire_attr attr;
	const char	*name;		/* checked by augur_name_check(); NULL for ROOT and DIR */
	size_t		name_len;
	const u8	*locator;
	size_t		locator_len;
	const char	*link;		/* symlinks */
	size_t		link_len;
	const u8	*xattrs;	/* sequence of: name length u8, value length u16, name, value */
	size_t		xattrs_len;
};

/* ---- growing body ---- */
struct wire_out { u8 *buf; size_t len, cap; };
void wire_out_init(struct wire_out *w);
void wire_out_free(struct wire_out *w);
void wire_put(struct wire_out *w, u16 tag, const void *p, size_t len);	/* len <= 65535, else abort */
void wire_put_u32(struct wire_out *w, u16 tag, u32 v);
void wire_put_u64(struct wire_out *w, u16 tag, u64 v);
void wire_put_str(struct wire_out *w, u16 tag, const char *s);
size_t wire_nest(struct wire_out *w, u16 tag);			/* returns a mark */
int wire_nest_end(struct wire_out *w, size_t mark);		/* -E2BIG if over 65535: taken back */
int wire_put_entry(struct wire_out *w, u16 tag, const struct wire_entry *e);	/* -E2BIG */

/* ---- bounded reader ---- */
struct wire_in { const u8 *p, *end; };
struct wire_val { u16 tag; size_t len; const u8 *p; };
/* 1: a field in *v; 0: end; -EBADMSG: cut or overlong. */
int wire_next(struct wire_in *in, struct wire_val *v);
int wire_get_u32(const struct wire_val *v, u32 *out);	/* -EBADMSG on a wrong length */
int wire_get_u64(const struct wire_val *v, u64 *out);
int wire_get_bin(const struct wire_val *v, void *out, size_t len);
int wire_get_str(const struct wire_val *v, char *out, size_t cap);	/* no NUL inside; terminated */
/*
 * Checks name, mode, sizes, nanoseconds, lengths of link, locator and xattrs.  A symlink, and
 * nothing else, has a link.
 */
int wire_get_entry(const struct wire_val *v, struct wire_entry *e, bool named);
bool wire_is_mode(u32 mode);		/* a type of file, permission bits, and nothing else */
/* Walks e->xattrs: 1 and the pair, 0 at the end, -EBADMSG. */
int wire_xattr_next(const u8 **p, const u8 *end, const char **name, size_t *name_len, const u8 **val, size_t *val_len);

#endif
