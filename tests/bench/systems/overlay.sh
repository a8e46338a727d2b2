# SPDX-License-Identifier: GPL-2.0-or-later
# overlay: the limit for a stacked filesystem: lower layer the client's own ext4, upper layer its cache disk.
KIND=local
sys_up() { need_local; modprobe overlay; }
sys_mount() {
	mount -o noatime "$LOCAL_DISK" /local && need_cache && mkdir -p /cache/upper /cache/work &&
		mount -t overlay -o lowerdir=/local,upperdir=/cache/upper,workdir=/cache/work overlay "$MNT"
}
sys_umount() { settle umount "$MNT"; settle umount /local; settle umount /cache; }
sys_down() { need_cache; rm -rf /cache/upper /cache/work; }
