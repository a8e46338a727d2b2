/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * augurfs: the one interface between the augurfs kernel module and augurd.
 *
 * Included by the module, the daemon, the tools and the tests; there is no copy
 * of it.  Numbers are never reused and attributes are only added.
 *
 *
 * THE PROTOCOL IN WORDS
 *
 * Transport.  One generic netlink family, AUGUR_GENL_NAME, in the initial network
 * namespace.  Every command needs CAP_SYS_ADMIN in the initial user namespace.
 * Messages are control only: file bytes never cross netlink.  The daemon writes
 * them into the lower file, which it opens by the handle the request carries, and
 * answers with a few dozen bytes.  Integers are in host order (netlink's habit),
 * the binary structures below (record, event) are little endian.
 *
 * Truth.  Waiting requests live in a table in the kernel.  Netlink is a doorbell:
 * a request that could not be delivered stays in the table and is sent again; a
 * daemon that lost messages (ENOBUFS) issues PULL and is whole again.  Request ids
 * are 64 bit and never used twice.  A late, duplicate or unknown reply gets -ENOENT
 * and changes nothing: it is normal after a kill or a timeout.
 *
 * Sessions.  A session ties one mount to one daemon socket.  The mount is named by
 * its mount id.  A session ends when its socket closes: requests that had been sent
 * become unsent again, their callers keep waiting until their deadline, and the next
 * REGISTER for the mount gets them.  Every command that acts on a mount carries
 * SESSION; one from an older session gets -ESTALE and has no effect.
 *
 *   HELLO       u->k  { ABI_VERSION u32, FEATURES u64 }
 *               reply { ABI_VERSION u32, FEATURES u64 }
 *       First message on a socket.  Different major versions (upper 16 bits) get -EPROTO
 *       and a kernel log line that names both; each side uses only the features both have.
 *
 *   MOUNTS      dump  { }
 *               each  { MOUNT_ID, STATE u32, SOURCE str, CACHE str, OPTIONS str,
 *                       LOWER_DEV u64, LOWER_INO u64, PID u32 (0: no daemon) }
 *       LOWER_DEV is the new-style encoded st_dev (major << 20 | minor) and LOWER_INO
 *       the inode number of <cache>/root.
 *
 *   REGISTER    u->k  { MOUNT_ID, FLAGS u32 (AUGUR_REG_*) }
 *               reply { SESSION u64, WINDOW u32, OID (of the root, zero if unstamped),
 *                       LEASE_MS u32, TIMEOUT_MS u32 }
 *       The sending socket becomes the mount's request socket.  -EBUSY while another
 *       live socket holds it.  WINDOW is the number of requests the kernel will have
 *       outstanding on the socket, from its receive buffer.  With AUGUR_REG_EVENTS the
 *       socket gets the EVENTS messages of the mount instead (one per mount; SESSION
 *       of the reply is then 0).
 *
 *   REQ         k->u  { MOUNT_ID, SESSION, REQ_ID, OP u32 (AUGUR_OP_*), FLAGS u32 (AUGUR_RQ_*),
 *                       OID, FH, PID, UID, SESSION_KEY, and by OP:
 *                       LOOKUP    NAME                  (OID, FH: of the directory)
 *                       POPULATE                        (OID, FH: of the directory)
 *                       FETCH     OFFSET, LENGTH, WANT, OPEN_ID, VERSION
 *                       REVAL     VERSION
 *                       COMMIT    COMMIT_ID, VERSION (base), DIRTY_SEQ, SIZE, RANGE*
 *                       NAMEOP    KIND (AUGUR_NAME_*), NAME, NEW_PARENT, NEW_NAME, MODE
 *                                                                        (reserved) }
 *   REPLY       u->k  { SESSION, MOUNT_ID, ITEM+ }, each ITEM nested
 *                     { REQ_ID, OP, STATUS s32 (0 or -errno), FLAGS u32 (AUGUR_RP_*),
 *                       OFFSET, LENGTH, MAP }
 *       OP must match the request's.  LOOKUP: 0 says the name now exists in the lower
 *       directory with a valid record, -ENOENT that the owner has no such name.
 *       AUGUR_RP_COMPLETE on LOOKUP and POPULATE says that the directory now holds all
 *       of its names; on FETCH, that the whole file is present.  AUGUR_RP_STREAM on FETCH
 *       says that the range is here for a moment only, never claimed, and will be evicted
 *       by range: the file is not complete then, even if no byte is missing.  FETCH: OFFSET and
 *       LENGTH are what is present now (at least the range asked for, cut at the size);
 *       MAP, allowed when the request had AUGUR_RQ_WANT_MAP, is the presence bitmap of
 *       the whole file, one bit a chunk, lowest bit first.  REVAL: 0 the version is
 *       current and may be served, -ESTALE the object has changed (the kernel drops the
 *       name and looks it up again).
 *       A FETCH request is itself a fill grant for its range until its reply.
 *
 *   CANCEL      k->u  { MOUNT_ID, SESSION, REQ_ID }
 *       The caller is gone.  Advice only: the daemon may finish and reply.
 *
 *   PULL        dump  { MOUNT_ID, SESSION, REQ_ID (only requests after this id) }
 *               each  as REQ, with AUGUR_RQ_RESEND.
 *
 *   FILL_BEGIN  u->k  { SESSION, MOUNT_ID, OID, FH, OFFSET, LENGTH }
 *               reply { GRANT u64, RANGE* {OFFSET, LENGTH}, FLAGS u32 (AUGUR_FB_*) }
 *       Asks leave to write absent chunks that no request asks for (read-ahead,
 *       prefetch).  Only the ranges in the reply may be written; none: nothing to do
 *       (GRANT 0).  -ESTALE: the inode's version was switched.
 *   FILL_END    u->k  { SESSION, MOUNT_ID, GRANT, RANGE* (present now), FLAGS u32 (AUGUR_RP_COMPLETE) }
 *       Ends the grant.  A grant ends with its session, marking nothing.
 *
 *   SETTLE      u->k  { SESSION, MOUNT_ID, ITEM+ { OID, FLAGS (AUGUR_RP_COMPLETE: the record says
 *                       complete; else a map record), LENGTH (number of present bytes recorded) } }
 *       The durable claim of these objects now says what memory says: the kernel stops
 *       pinning those for which that is true.
 *
 *   INVAL       u->k  { SESSION, MOUNT_ID, ITEM+ { KIND u32 (AUGUR_INVAL_*), OID | PARENT_OID + NAME } }
 *       ATTR: forget attributes, read the record again.  DATA: the version is stale;
 *       the record of the lower inode already says so; names are looked up again.
 *       ENTRY: forget one name.  DIR: the directory is no longer complete.
 *       Never waits; unknown objects are ignored.
 *
 *   SWITCH      u->k  { SESSION, MOUNT_ID, PARENT_FH, NAME, OLD_FH, NEW_FH, NEW_NAME }
 *   REMOVE      u->k  { SESSION, MOUNT_ID, PARENT_FH, NAME, OLD_FH, FLAGS (AUGUR_RM_*) }
 *       The only way an existing name under root/ is changed while mounted.  SWITCH
 *       moves the inode NEW_FH, which must have a name in .augur/tmp given in NEW_NAME,
 *       over NAME; REMOVE unlinks it (a directory must be empty of names).  Refused with
 *       -ESTALE if the inode at NAME is not OLD_FH, -EBUSY if it is dirty or the lower
 *       filesystem is frozen.  With AUGUR_RM_FORGET the owner still has the name: the
 *       directory is no longer complete (its record says so already, durably), and -EBUSY
 *       is said, too, if the inode is open, mapped, pinned, watched or being filled, if
 *       somebody holds the name, or if names are just being looked up in the directory.
 *
 *   PU_TABLE    u->k  { SESSION, MOUNT_ID, PU_BASE u32, PU_GROUPS (u16 each), SEQ u64 }
 *       Lease group of the placement units PU_BASE, PU_BASE + 1, ...  Units that were
 *       never named have no group: their opens revalidate.
 *   LEASE       u->k  { SESSION, MOUNT_ID, ITEM+ { GROUP u32, SEQ u64, DEADLINE_NS u64 } }
 *       Until DEADLINE_NS of CLOCK_BOOTTIME opens of present objects of GROUP make no
 *       upcall.  SEQ only grows; an older one is ignored.  0 ends the lease.
 *
 *   EVICT       u->k  { SESSION, MOUNT_ID, ITEM+ { OID, FH, FLAGS (AUGUR_EV_*), OFFSET, LENGTH } }
 *               reply { ITEM+ { OID, STATUS, KIND u32 (AUGUR_BUSY_*, with -EBUSY) } }
 *       Asks leave to drop the bytes of an object, never waits.  Without OFFSET and LENGTH
 *       all of them; the un-claim is already durable.  0: nobody uses it and the kernel
 *       considers it absent from now on, so that only after this answer a hole may be
 *       punched; -EBUSY: KIND says why.  With OFFSET and LENGTH the chunks that lie wholly
 *       in the range, of a file that is not complete and whose presence in memory is ahead
 *       of its claim: bytes of a streamed read, that were never claimed.  The file may be
 *       open, mapped or pinned then; reads and faults under way keep it (-EBUSY).  A hole
 *       up to the file's end is punched beyond it, so that no page is zeroed in part.  With
 *       AUGUR_EV_ASK nothing is dropped: the answer is what it would be.
 *   PIN         u->k  { SESSION, MOUNT_ID, OID, FH, FLAGS (AUGUR_PIN_*) }
 *       EVICT without a range is refused for it from now on, or no longer.  The record of
 *       the lower inode says so already (AUGUR_REC_PINNED).  With FH an object that is not
 *       in memory is loaded; without, it is -ENOENT.
 *   COMMITTED   u->k  { SESSION, MOUNT_ID, OID, COMMIT_ID, DIRTY_SEQ, VERSION }          (reserved)
 *   CONFLICT    u->k  { SESSION, MOUNT_ID, OID, COMMIT_ID, VERSION }                     (reserved)
 *   EPOCH       u->k  { SESSION, MOUNT_ID, EPOCH u64 }
 *       Every cached name is looked up again, lazily.
 *
 *   INODES      dump  { MOUNT_ID }  each { OID, FH, STATE u32 (AUGUR_IS_*), SIZE, MAP, CHUNK_SHIFT }
 *       Inodes in memory whose state differs from the durable one.
 *
 *   EVENTS      k->u  { MOUNT_ID, CPU u32, SEQ u64, DROPPED u64, RECORDS }
 *       RECORDS is an array of struct augur_event.  SEQ is the number of the first one
 *       on that CPU, DROPPED how many that CPU has dropped in all.  May be lost.
 *
 *   MOUNT_EVENT k->u  multicast group AUGUR_GENL_GRP_STATE
 *               { KIND u32 (AUGUR_ME_*), MOUNT_ID, LOWER_DEV, LOWER_INO, SOURCE, CACHE }
 *       A hint: listeners re-read MOUNTS when in doubt.
 *
 * Errors.  A malformed message (missing attribute, wrong length, out of range) is
 * refused with -EINVAL or -ERANGE and an extended acknowledgement that names it;
 * nothing has happened then.
 */
#ifndef _LINUX_AUGURFS_H
#define _LINUX_AUGURFS_H

#include <linux/types.h>

#define AUGUR_FS_NAME		"augurfs"
#define AUGUR_FS_MAGIC		0x41554752	/* "AUGR", statfs f_type */

#define AUGUR_GENL_NAME		"augurfs"
#define AUGUR_GENL_VERSION	1
#define AUGUR_GENL_GRP_STATE	"state"

/* Upper 16 bits: incompatible changes.  Lower 16: additions. */
#define AUGUR_ABI_VERSION	0x00010001

/* feature bits, HELLO */
#define AUGUR_F_READ		(1ULL << 0)	/* lookup, populate, fetch, reval */
#define AUGUR_F_FILL		(1ULL << 1)	/* fill grants, settle */
#define AUGUR_F_LEASE		(1ULL << 2)	/* PU table, leases */
#define AUGUR_F_EVENTS		(1ULL << 3)	/* access records */
#define AUGUR_F_SWITCH		(1ULL << 4)	/* switch, remove, inval */
#define AUGUR_F_EVICT		(1ULL << 5)	/* evict, pin */
#define AUGUR_F_COMMIT		(1ULL << 6)	/* reserved: writes */
#define AUGUR_F_NAMEOP		(1ULL << 7)	/* reserved: namespace changes */

/* limits */
#define AUGUR_OID_LEN		16
#define AUGUR_NAME_MAX		255
#define AUGUR_FH_MAX		(4 + 128)	/* handle type (u32) + handle bytes */
#define AUGUR_MAP_MAX		2048		/* presence bitmap, bytes: 16384 chunks */
#define AUGUR_ITEMS_MAX		256		/* nested items in one message */
#define AUGUR_CHUNK_SHIFT_MIN	12
#define AUGUR_CHUNK_SHIFT_MAX	40
#define AUGUR_CHUNK_SHIFT_DEF	16		/* 64 KiB */
#define AUGUR_PU_MAX		(1U << 20)	/* PU ids the kernel keeps a group for */
#define AUGUR_PU_TABLE_MAX	4096		/* groups in one message */
#define AUGUR_GROUP_NONE	0xffff
#define AUGUR_GROUPS_MAX	4096

enum augur_cmd {
	AUGUR_CMD_UNSPEC	= 0,
	/* user to kernel */
	AUGUR_CMD_HELLO		= 1,
	AUGUR_CMD_REGISTER	= 2,
	AUGUR_CMD_REPLY		= 3,
	AUGUR_CMD_FILL_BEGIN	= 4,
	AUGUR_CMD_FILL_END	= 5,
	AUGUR_CMD_SETTLE	= 6,
	AUGUR_CMD_INVAL		= 7,
	AUGUR_CMD_SWITCH	= 8,
	AUGUR_CMD_REMOVE	= 9,
	AUGUR_CMD_PU_TABLE	= 10,
	AUGUR_CMD_LEASE		= 11,
	AUGUR_CMD_EVICT		= 12,
	AUGUR_CMD_PIN		= 13,
	AUGUR_CMD_COMMITTED	= 14,	/* reserved */
	AUGUR_CMD_CONFLICT	= 15,	/* reserved */
	AUGUR_CMD_EPOCH		= 16,
	AUGUR_CMD_PULL		= 17,	/* dump */
	AUGUR_CMD_MOUNTS	= 18,	/* dump */
	AUGUR_CMD_INODES	= 19,	/* dump */
	/* kernel to user */
	AUGUR_CMD_REQ		= 32,
	AUGUR_CMD_CANCEL	= 33,
	AUGUR_CMD_EVENTS	= 34,
	AUGUR_CMD_MOUNT_EVENT	= 35,
	__AUGUR_CMD_MAX
};
#define AUGUR_CMD_MAX (__AUGUR_CMD_MAX - 1)

enum augur_attr {
	AUGUR_A_UNSPEC		= 0,
	AUGUR_A_PAD		= 1,
	AUGUR_A_ABI_VERSION	= 2,	/* u32 */
	AUGUR_A_FEATURES	= 3,	/* u64 */
	AUGUR_A_MOUNT_ID	= 4,	/* u64 */
	AUGUR_A_SESSION		= 5,	/* u64 */
	AUGUR_A_FLAGS		= 6,	/* u32 */
	AUGUR_A_WINDOW		= 7,	/* u32 */
	AUGUR_A_REQ_ID		= 8,	/* u64 */
	AUGUR_A_OP		= 9,	/* u32 */
	AUGUR_A_STATUS		= 10,	/* s32, -4095..0 */
	AUGUR_A_OID		= 11,	/* binary, 16 */
	AUGUR_A_FH		= 12,	/* binary, 5..AUGUR_FH_MAX: type u32 (host order), bytes */
	AUGUR_A_PARENT_OID	= 13,	/* binary, 16 */
	AUGUR_A_PARENT_FH	= 14,	/* as FH */
	AUGUR_A_OLD_FH		= 15,	/* as FH */
	AUGUR_A_NEW_FH		= 16,	/* as FH */
	AUGUR_A_NAME		= 17,	/* binary, 1..255, no '/' nor NUL */
	AUGUR_A_NEW_NAME	= 18,	/* as NAME */
	AUGUR_A_OFFSET		= 19,	/* u64, bytes */
	AUGUR_A_LENGTH		= 20,	/* u64, bytes */
	AUGUR_A_WANT		= 21,	/* u64, bytes: how much from OFFSET is worth having */
	AUGUR_A_SIZE		= 22,	/* u64, bytes */
	AUGUR_A_VERSION		= 23,	/* u64 */
	AUGUR_A_PID		= 24,	/* u32, initial pid namespace */
	AUGUR_A_UID		= 25,	/* u32, initial user namespace */
	AUGUR_A_SESSION_KEY	= 26,	/* u64, see struct augur_event */
	AUGUR_A_OPEN_ID		= 27,	/* u32 */
	AUGUR_A_GRANT		= 28,	/* u64 */
	AUGUR_A_RANGE		= 29,	/* nested { OFFSET, LENGTH }, repeated */
	AUGUR_A_MAP		= 30,	/* binary, 1..AUGUR_MAP_MAX */
	AUGUR_A_CHUNK_SHIFT	= 31,	/* u32 */
	AUGUR_A_ITEM		= 32,	/* nested, repeated */
	AUGUR_A_PU_BASE		= 33,	/* u32 */
	AUGUR_A_PU_GROUPS	= 34,	/* binary, u16 each, host order */
	AUGUR_A_GROUP		= 35,	/* u32 */
	AUGUR_A_SEQ		= 36,	/* u64 */
	AUGUR_A_DEADLINE_NS	= 37,	/* u64, CLOCK_BOOTTIME */
	AUGUR_A_KIND		= 38,	/* u32 */
	AUGUR_A_COMMIT_ID	= 39,	/* binary, 16 */
	AUGUR_A_EPOCH		= 40,	/* u64 */
	AUGUR_A_DIRTY_SEQ	= 41,	/* u64 */
	AUGUR_A_RECORDS		= 42,	/* binary, n * 64 */
	AUGUR_A_CPU		= 43,	/* u32 */
	AUGUR_A_DROPPED		= 44,	/* u64 */
	AUGUR_A_SOURCE		= 45,	/* string */
	AUGUR_A_CACHE		= 46,	/* string */
	AUGUR_A_OPTIONS		= 47,	/* string */
	AUGUR_A_LOWER_DEV	= 48,	/* u64 */
	AUGUR_A_LOWER_INO	= 49,	/* u64 */
	AUGUR_A_STATE		= 50,	/* u32 */
	AUGUR_A_LEASE_MS	= 51,	/* u32 */
	AUGUR_A_TIMEOUT_MS	= 52,	/* u32 */
	AUGUR_A_MODE		= 53,	/* u32, reserved */
	AUGUR_A_NEW_PARENT	= 54,	/* as FH, reserved */
	__AUGUR_A_MAX
};
#define AUGUR_A_MAX (__AUGUR_A_MAX - 1)

/* REQ: OP */
enum augur_op {
	AUGUR_OP_LOOKUP		= 1,
	AUGUR_OP_POPULATE	= 2,
	AUGUR_OP_FETCH		= 3,
	AUGUR_OP_REVAL		= 4,
	AUGUR_OP_COMMIT		= 5,	/* reserved */
	AUGUR_OP_NAMEOP		= 6,	/* reserved */
};

/* NAMEOP: KIND, reserved */
enum augur_nameop {
	AUGUR_NAME_CREATE	= 1,
	AUGUR_NAME_MKDIR	= 2,
	AUGUR_NAME_SYMLINK	= 3,
	AUGUR_NAME_LINK		= 4,
	AUGUR_NAME_UNLINK	= 5,
	AUGUR_NAME_RMDIR	= 6,
	AUGUR_NAME_RENAME	= 7,
	AUGUR_NAME_SETATTR	= 8,
	AUGUR_NAME_MKNOD	= 9,
};

/* REQ: FLAGS */
#define AUGUR_RQ_RESEND		(1U << 0)	/* may have been delivered before */
#define AUGUR_RQ_PREFETCH	(1U << 1)	/* nobody waits for it */
#define AUGUR_RQ_WRITE		(1U << 2)	/* reserved: a write needs the range */
#define AUGUR_RQ_WANT_MAP	(1U << 3)	/* the kernel knows no presence map yet */
#define AUGUR_RQ_FAULT		(1U << 4)	/* a page fault waits */
#define AUGUR_RQ_SEQ		(1U << 5)	/* the open reads sequentially */

/* REPLY item, FILL_END, SETTLE: FLAGS */
#define AUGUR_RP_COMPLETE	(1U << 0)
#define AUGUR_RP_STREAM		(1U << 1)	/* REPLY to FETCH alone */
/* FILL_BEGIN reply: FLAGS */
#define AUGUR_FB_MAP_KNOWN	(1U << 1)	/* kernel already had a presence map */

/* REGISTER: FLAGS */
#define AUGUR_REG_EVENTS	(1U << 0)

/* PIN: FLAGS */
#define AUGUR_PIN_SET		(1U << 0)
#define AUGUR_PIN_CLEAR		(1U << 1)

/* EVICT: FLAGS */
#define AUGUR_EV_ASK		(1U << 0)	/* drop nothing */

/* REMOVE: FLAGS */
#define AUGUR_RM_FORGET		(1U << 0)	/* the owner has it still; refused if it is used */

/* EVICT, reply: KIND, what keeps the bytes */
enum augur_busy {
	AUGUR_BUSY_OPEN		= 1,
	AUGUR_BUSY_MAPPED	= 2,
	AUGUR_BUSY_FILLING	= 3,	/* asked for, or granted */
	AUGUR_BUSY_DIRTY	= 4,	/* or created here */
	AUGUR_BUSY_PINNED	= 5,
	AUGUR_BUSY_READING	= 6,	/* a range: a read or fault is under way */
	AUGUR_BUSY_CLAIMED	= 7,	/* a range: the file is complete, or its claim says what memory says */
};

/* INVAL: KIND */
enum augur_inval {
	AUGUR_INVAL_ATTR	= 1,
	AUGUR_INVAL_DATA	= 2,
	AUGUR_INVAL_ENTRY	= 3,
	AUGUR_INVAL_DIR		= 4,
};

/* MOUNT_EVENT: KIND */
enum augur_mount_event {
	AUGUR_ME_MOUNTED	= 1,
	AUGUR_ME_UNMOUNTED	= 2,
	AUGUR_ME_ORPHANED	= 3,	/* its daemon's socket closed */
	AUGUR_ME_ABORTED	= 4,
};

/* MOUNTS: STATE */
enum augur_mount_state {
	AUGUR_MS_LIVE		= 1,
	AUGUR_MS_ORPHAN		= 2,
	AUGUR_MS_ABORTED	= 3,
};

/* INODES: STATE bits; also the kernel's in-memory state bits */
#define AUGUR_IS_COMPLETE	(1U << 0)	/* all bytes (all names, for a directory) here */
#define AUGUR_IS_STALE		(1U << 1)	/* a newer version exists */
#define AUGUR_IS_LOCAL		(1U << 2)	/* created here */
#define AUGUR_IS_DIRTY		(1U << 3)
#define AUGUR_IS_FILLING	(1U << 4)	/* a grant is out */
#define AUGUR_IS_UNSETTLED	(1U << 5)	/* presence in memory is ahead of the durable claim */
#define AUGUR_IS_PINNED		(1U << 6)
#define AUGUR_IS_CONFLICT	(1U << 7)
#define AUGUR_IS_MAPPED		(1U << 8)	/* presence map known */

/*
 * struct augur_record - the extended attribute "trusted.augur", exactly 64 bytes.
 *
 * On every object below <cache>/root.  A name whose inode has no valid record does not
 * exist yet: the daemon writes the record last, so a half-made stub is never seen.
 * All integers little endian; crc is CRC-32C of the first 60 bytes.
 *
 * The owner's mtime has no room in it.  For files and directories it is the *atime* of the
 * lower inode, written before the record: filling a file and making names in a directory
 * move the lower mtime, and nothing moves the atime.  For everything else it is the mtime.
 *
 * The owner's number of blocks has none either: holes is the share of (size + 511) / 512 by
 * which it falls short, rounded down, 255 at most; 0 if it does not, or the size is 0.
 */
#define AUGUR_XATTR_NAME	"trusted.augur"
#define AUGUR_XATTR_PREFIX	"trusted.augur"	/* every name that starts so is hidden */
#define AUGUR_RECORD_MAGIC	0x31475541	/* "AUG1" */
#define AUGUR_RECORD_FORMAT	1
#define AUGUR_RECORD_LEN	64

#define AUGUR_REC_STUB		(1U << 0)	/* some bytes (names) are absent */
#define AUGUR_REC_COMPLETE	(1U << 1)	/* all present, durable (R1) */
#define AUGUR_REC_STALE		(1U << 2)	/* a newer version exists */
#define AUGUR_REC_LOCAL		(1U << 3)	/* created on this host */
#define AUGUR_REC_PINNED	(1U << 4)	/* its bytes are not evicted; of a directory: what is made in it is pinned */

struct augur_record {
	__le32	magic;
	__u8	format;
	__u8	flags;		/* AUGUR_REC_* ; STUB and COMPLETE exclude each other */
	__u8	chunk_shift;	/* log2 of the presence chunk, files only */
	__u8	holes;		/* what of the size has no blocks at the owner, in 256ths; files only */
	__u8	oid[AUGUR_OID_LEN];
	__le64	version;
	__le64	size;		/* st_size at the owner */
	__le32	pu;
	__le32	nlink;
	__le64	ctime_sec;	/* signed */
	__le32	ctime_nsec;
	__le32	crc;
} __attribute__((packed));

/*
 * struct augur_event - one access record, 64 bytes, little endian.
 *
 * session_key = hash(client id, pid namespace, process group or session leader, its
 * start time): one key per job, the same for all of its processes.  An OPEN or READDIR record
 * is followed by one AUGUR_EV_WHO record (struct augur_event_who) with the same open_id.
 */
enum augur_event_op {
	AUGUR_EV_OPEN		= 1,
	AUGUR_EV_WHO		= 2,	/* second slot of an OPEN or READDIR */
	AUGUR_EV_READ		= 3,	/* a range; full and sample mode, and jumps in summary mode */
	AUGUR_EV_MISS		= 4,	/* a range that was absent; latency_us is what it cost */
	AUGUR_EV_CLOSE		= 5,	/* off: bytes read, len: number of reads */
	AUGUR_EV_LOOKUP_MISS	= 6,	/* oid: of the directory */
	AUGUR_EV_READDIR	= 7,	/* from the start; off: directories among, len: entries */
	AUGUR_EV_FAULT		= 8,	/* absent page touched through a mapping */
	AUGUR_EV_WRITE		= 9,	/* reserved */
};

#define AUGUR_EVF_HIT		(1U << 0)
#define AUGUR_EVF_MMAP		(1U << 1)
#define AUGUR_EVF_EXEC		(1U << 2)
#define AUGUR_EVF_DIRECT	(1U << 3)
#define AUGUR_EVF_SEQ		(1U << 4)	/* CLOSE: reads were sequential */
#define AUGUR_EVF_DIR		(1U << 5)
#define AUGUR_EVF_ERROR		(1U << 6)

#define AUGUR_EVENT_LEN		64

struct augur_event {
	__le64	time_ns;	/* CLOCK_REALTIME; of a READ in mode full: of the tick before */
	__le64	session_key;
	__u8	oid[AUGUR_OID_LEN];
	__le64	off;
	__le64	len;
	__le32	open_id;	/* unique per mount while open; 0: none */
	__le32	latency_us;
	__u8	op;		/* enum augur_event_op */
	__u8	flags;		/* AUGUR_EVF_* */
	__le16	cpu;
	__le32	pu;
} __attribute__((packed));

struct augur_event_who {
	__le64	time_ns;
	__le64	session_key;
	__le32	pid;		/* initial pid namespace */
	__le32	tgid;
	__le32	uid;		/* initial user namespace */
	__le32	gid;
	__u8	comm[16];
	__le32	open_id;
	__le32	reserved;
	__u8	op;		/* AUGUR_EV_WHO */
	__u8	flags;
	__le16	cpu;
	__le32	reserved2;
} __attribute__((packed));

#endif /* _LINUX_AUGURFS_H */
