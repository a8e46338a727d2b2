// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An exported directory and the names of its objects: filesystem UUID, oids, locators.
 *
 * The export is held as a private, read-only, noatime clone of its mount without the mounts
 * below it: reading writes nothing to the origin, nothing is ever crossed, and a directory
 * that was moved out of the export has no ".." there.  Where a clone is not allowed (no
 * CAP_SYS_ADMIN), the plain directory is used and mounts below it are left out by openat2.
 * Everything here is constant after origin_export_identify(): any thread.
 */
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/fh.h"
#include "base/log.h"
#include "origin/origin.h"
#include "place/place.h"

#define MAC_LEN		16
#define LOC_FORMAT	1
#define LOC_HEAD	16	/* format, handle length, 0, 0, pu, filesystem, handle type */

#define EXT4_MAGIC	0xef53
#define XFS_MAGIC	0x58465342
#define BTRFS_MAGIC	0x9123683e
#define TMPFS_MAGIC	0x01021994

/* ---- which filesystem ---- */

/* The kernel's own shapes; the headers that have them are not in every build environment. */
struct ext4_fsuuid { u32 len, flags; u8 uuid[16]; };
struct ext4_fsuuid_head { u32 len, flags; };
#define EXT4_IOC_GETFSUUID_	_IOR('f', 44, struct ext4_fsuuid_head)

struct xfs_geom_v1 { u32 sizes[8]; u64 blocks[4]; u8 uuid[16]; u32 rest[7]; };
#define XFS_IOC_FSGEOMETRY_V1_	_IOR('X', 100, struct xfs_geom_v1)

struct btrfs_info { u64 max_id, num_devices; u8 uuid[16]; u8 rest[1024 - 32]; };
#define BTRFS_IOC_FS_INFO_	_IOR(0x94, 31, struct btrfs_info)

static int uuid_ext4(int fd, u8 uuid[16])
{
	struct ext4_fsuuid u = { .len = 16 };

	if (ioctl(fd, EXT4_IOC_GETFSUUID_, &u) || u.len != 16)
		return -errno;
	memcpy(uuid, u.uuid, 16);
	return 0;
}

static int uuid_xfs(int fd, u8 uuid[16])
{
	struct xfs_geom_v1 g;

	if (ioctl(fd, XFS_IOC_FSGEOMETRY_V1_, &g))
		return -errno;
	memcpy(uuid, g.uuid, 16);
	return 0;
}

static int uuid_btrfs(int fd, u8 uuid[16])
{
	struct btrfs_info i = { 0 };

	if (ioctl(fd, BTRFS_IOC_FS_INFO_, &i))
		return -errno;
	memcpy(uuid, i.uuid, 16);
	return 0;
}

/* Old kernels have no UUID of ext4 to give; f_fsid, which is made from it, is as stable. */
static int fs_uuid(int fd, u8 uuid[16], bool *local)
{
	struct statfs sf;
	u64 type;
	int err = -ENOTTY;

	if (fstatfs(fd, &sf))
		return -errno;
	type = (u32)sf.f_type;
	if (type == EXT4_MAGIC)
		err = uuid_ext4(fd, uuid);
	else if (type == XFS_MAGIC)
		err = uuid_xfs(fd, uuid);
	else if (type == BTRFS_MAGIC)
		err = uuid_btrfs(fd, uuid);
	*local = type == EXT4_MAGIC || type == XFS_MAGIC || type == BTRFS_MAGIC || type == TMPFS_MAGIC;
	if (err) {
		memset(uuid, 0, 16);
		memcpy(uuid, &type, 4);
		memcpy(uuid + 8, &sf.f_fsid, 8);
	}
	return 0;
}

static u64 fs_tick(bool local)
{
	struct timespec ts;

	if (!local || clock_getres(CLOCK_REALTIME_COARSE, &ts))
		return 1000000000;
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* ---- opening ---- */

static int clone_mount(const char *path)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
		.attr_clr = MOUNT_ATTR__ATIME,
		.propagation = MS_PRIVATE,
	};
	int fd = syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr))) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

static int root_handle(struct origin_export *ex, char *why, size_t n, const char *path)
{
	int err = origin_loc_of(ex, ex->root_fd, &ex->root), fd;

	if (err == -EOPNOTSUPP)
		snprintf(why, n, "%s: its filesystem gives no file handles; overlayfs needs the mount option "
			 "nfs_export=on; else export a directory of ext4, xfs or btrfs", path);
	else if (err)
		snprintf(why, n, "%s: no file handle of it: %s", path, strerror(-err));
	if (err)
		return err;
	fd = origin_loc_open(ex, &ex->root, O_RDONLY | O_DIRECTORY);
	if (fd < 0) {
		if (fd == -EPERM)
			snprintf(why, n, "%s: opening by file handle is not permitted; run augurd as root or "
				 "with CAP_DAC_READ_SEARCH", path);
		else
			snprintf(why, n, "%s: its filesystem does not open by file handle: %s", path, strerror(-fd));
		return fd;
	}
	close(fd);
	return 0;
}

int origin_export_open(struct origin_export *ex, const char *path, char *why, size_t n)
{
	struct stat st;
	int err;

	memset(ex, 0, sizeof(*ex));
	ex->tree_fd = ex->root_fd = -1;
	if (stat(path, &st)) {
		err = -errno;
		snprintf(why, n, "%s: %s; create the directory or correct --export", path, strerror(-err));
		return err;
	}
	if (!S_ISDIR(st.st_mode)) {
		snprintf(why, n, "%s: not a directory; --export takes VOLUME=DIRECTORY", path);
		return -ENOTDIR;
	}
	ex->tree_fd = clone_mount(path);
	ex->clone = ex->tree_fd >= 0;
	ex->root_fd = ex->clone ? openat(ex->tree_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) :
				  open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ex->root_fd < 0) {
		err = -errno;
		snprintf(why, n, "%s: not readable: %s; run augurd as root or give it the right to read", path,
			 strerror(-err));
		goto fail;
	}
	ex->dev = st.st_dev;
	err = fs_uuid(ex->root_fd, ex->fs_uuid, &ex->local_fs);
	if (err) {
		snprintf(why, n, "%s: cannot identify its filesystem: %s", path, strerror(-err));
		goto fail;
	}
	ex->tick_ns = fs_tick(ex->local_fs);
	err = root_handle(ex, why, n, path);
	if (!err)
		return 0;
fail:
	origin_export_close(ex);
	return err;
}

void origin_export_close(struct origin_export *ex)
{
	if (ex->root_fd >= 0)
		close(ex->root_fd);
	if (ex->tree_fd >= 0)
		close(ex->tree_fd);
	EVP_MAC_CTX_free(ex->mac);
	free(ex->split);
	memset(ex, 0, sizeof(*ex));
	ex->tree_fd = ex->root_fd = -1;
}

/* ---- oids ---- */

static void oid_make(const u8 volume_id[16], const u8 uuid[16], const struct origin_loc *loc, u8 oid[AUGUR_OID_LEN])
{
	u8 in[16 + 16 + 4 + ORIGIN_HANDLE_MAX];
	u32 type = cpu_to_le32((u32)loc->type);
	XXH128_canonical_t c;

	memcpy(in, volume_id, 16);
	memcpy(in + 16, uuid, 16);
	memcpy(in + 32, &type, 4);
	memcpy(in + 36, loc->handle, loc->len);
	XXH128_canonicalFromHash(&c, XXH3_128bits(in, 36 + loc->len));
	memcpy(oid, c.digest, AUGUR_OID_LEN);
}

int origin_loc_set(const struct origin_export *ex, s32 type, const u8 *handle, u32 len, struct origin_loc *loc)
{
	if (len > ORIGIN_HANDLE_MAX)
		return -EOVERFLOW;
	loc->type = type;
	loc->len = len;
	memcpy(loc->handle, handle, len);
	oid_make(ex->volume_id, ex->fs_uuid, loc, loc->oid);
	return 0;
}

int origin_loc_of(const struct origin_export *ex, int fd, struct origin_loc *loc)
{
	union { struct file_handle h; char room[sizeof(struct file_handle) + ORIGIN_HANDLE_MAX]; } u;
	int mnt;

	u.h.handle_bytes = ORIGIN_HANDLE_MAX;
	if (name_to_handle_at(fd, "", &u.h, &mnt, AT_EMPTY_PATH))
		return -errno;
	return origin_loc_set(ex, u.h.handle_type, u.h.f_handle, u.h.handle_bytes, loc);
}

void origin_export_fingerprint(const struct origin_export *ex, u8 oid[AUGUR_OID_LEN])
{
	static const u8 zero[16];

	oid_make(zero, ex->fs_uuid, &ex->root, oid);
}

int origin_export_identify(struct origin_export *ex, const struct meta_volume *vol)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	char digest[] = "SHA256";
	OSSL_PARAM p[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
			   OSSL_PARAM_construct_end() };

	ex->mac = mac ? EVP_MAC_CTX_new(mac) : NULL;
	EVP_MAC_free(mac);
	if (!ex->mac || !EVP_MAC_init(ex->mac, vol->key, META_KEY_LEN, p))
		return -ENOMEM;
	memcpy(ex->volume_id, vol->id, 16);
	ex->nsplit = vol->nsplit;
	ex->split = vol->nsplit ? xmemdup(vol->split, vol->nsplit * sizeof(*vol->split)) : NULL;
	oid_make(ex->volume_id, ex->fs_uuid, &ex->root, ex->root.oid);
	ex->root.pu = place_pu_dir(ex->root.oid);
	return 0;
}

static int oid_cmp(const void *a, const void *b)
{
	return memcmp(a, b, AUGUR_OID_LEN);
}

bool origin_is_split(const struct origin_export *ex, const u8 oid[AUGUR_OID_LEN])
{
	return ex->nsplit && bsearch(oid, ex->split, ex->nsplit, AUGUR_OID_LEN, oid_cmp);
}

/* ---- locators ---- */

static void put32(u8 *p, u32 v)
{
	v = cpu_to_le32(v);
	memcpy(p, &v, 4);
}

static u32 get32(const u8 *p)
{
	u32 v;

	memcpy(&v, p, 4);
	return le32_to_cpu(v);
}

static int loc_mac(EVP_MAC_CTX *mac, const u8 oid[AUGUR_OID_LEN], const u8 *p, size_t len, u8 out[32])
{
	size_t n;

	/* Without a key the context starts anew with the one it has. */
	if (!EVP_MAC_init(mac, NULL, 0, NULL) || !EVP_MAC_update(mac, oid, AUGUR_OID_LEN) ||
	    !EVP_MAC_update(mac, p, len) || !EVP_MAC_final(mac, out, &n, 32) || n != 32)
		return -EIO;
	return 0;
}

size_t origin_loc_seal(const struct origin_export *ex, EVP_MAC_CTX *mac, const struct origin_loc *loc, u8 *out)
{
	size_t n = LOC_HEAD + loc->len;
	u8 sum[32];

	out[0] = LOC_FORMAT;
	out[1] = loc->len;
	out[2] = out[3] = 0;
	put32(out + 4, loc->pu);
	memcpy(out + 8, ex->fs_uuid + 8, 4);
	put32(out + 12, (u32)loc->type);
	memcpy(out + LOC_HEAD, loc->handle, loc->len);
	if (loc_mac(mac, loc->oid, out, n, sum))
		return 0;
	memcpy(out + n, sum, MAC_LEN);
	return n + MAC_LEN;
}

int origin_loc_check(const struct origin_export *ex, EVP_MAC_CTX *mac, const u8 oid[AUGUR_OID_LEN],
		     const u8 *p, size_t len, struct origin_loc *loc)
{
	u8 want[AUGUR_OID_LEN], sum[32];

	if (len < LOC_HEAD + MAC_LEN || p[0] != LOC_FORMAT || p[1] > ORIGIN_HANDLE_MAX || p[2] || p[3] ||
	    len != LOC_HEAD + (size_t)p[1] + MAC_LEN)
		return -EBADMSG;
	if (loc_mac(mac, oid, p, len - MAC_LEN, sum) || CRYPTO_memcmp(sum, p + len - MAC_LEN, MAC_LEN))
		return -EACCES;
	if (memcmp(p + 8, ex->fs_uuid + 8, 4))
		return -EACCES;
	loc->pu = get32(p + 4);
	loc->type = (s32)get32(p + 12);
	loc->len = p[1];
	memcpy(loc->handle, p + LOC_HEAD, loc->len);
	memcpy(loc->oid, oid, AUGUR_OID_LEN);
	oid_make(ex->volume_id, ex->fs_uuid, loc, want);
	return memcmp(want, oid, AUGUR_OID_LEN) ? -EACCES : 0;
}

/* ---- opening objects ---- */

int origin_open_name(int dir_fd, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	int fd;

	do {
		fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
	} while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : fd;
}

/* Climbs to the root where there is no clone to stop at: 0 if @fd lies below the export. */
static int climb(const struct origin_export *ex, int fd)
{
	struct stat root, st, up;
	int cur = dup(fd), next;

	if (cur < 0 || fstat(ex->root_fd, &root))
		return -EIO;
	for (int depth = 0; depth < 4096; depth++) {
		if (fstat(cur, &st))
			break;
		if (st.st_dev == root.st_dev && st.st_ino == root.st_ino) {
			close(cur);
			return 0;
		}
		next = openat(cur, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			break;
		close(cur);
		cur = next;
		if (fstat(cur, &up) || (up.st_dev == st.st_dev && up.st_ino == st.st_ino))
			break;
	}
	close(cur);
	return -ESTALE;
}

/*
 * A directory can be checked: in the clone, ".." of one that is not below the root does not
 * exist.  A file can not (its handle names no directory); its locator proves that it was.
 */
static int below_export(const struct origin_export *ex, int fd)
{
	int up;

	if (!ex->clone)
		return climb(ex, fd);
	up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (up < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	close(up);
	return 0;
}

int origin_loc_open(const struct origin_export *ex, const struct origin_loc *loc, int flags)
{
	union { struct file_handle h; char room[sizeof(struct file_handle) + ORIGIN_HANDLE_MAX]; } u;
	struct origin_loc now;
	struct stat st;
	int fd, err;

	u.h.handle_type = loc->type;
	u.h.handle_bytes = loc->len;
	memcpy(u.h.f_handle, loc->handle, loc->len);
	fd = fh_open_raw(ex->root_fd, &u.h, flags | (flags & O_PATH ? 0 : O_NONBLOCK | O_NOCTTY));
	if (fd < 0)
		return errno == ELOOP ? -ESTALE : -errno;
	err = fstat(fd, &st) ? -errno : 0;
	if (!err && !st.st_nlink)
		err = -ESTALE;		/* kept alive by somebody's descriptor only */
	if (!err)
		err = origin_loc_of(ex, fd, &now);
	if (!err && memcmp(now.oid, loc->oid, AUGUR_OID_LEN))
		err = -ESTALE;
	if (!err && S_ISDIR(st.st_mode))
		err = below_export(ex, fd);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}
