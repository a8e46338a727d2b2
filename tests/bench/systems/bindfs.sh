# SPDX-License-Identifier: GPL-2.0-or-later
# bindfs: a usual FUSE pass-through, with its defaults, over the client's own ext4: what FUSE costs where nobody cares.
KIND=local
PROGRAMS=/usr/bin/bindfs
sys_up() { need_local; modprobe fuse; }
sys_mount() { mount -o noatime "$LOCAL_DISK" /local && bindfs --no-allow-other /local "$MNT"; }
sys_umount() { settle umount "$MNT"; settle umount /local; }
