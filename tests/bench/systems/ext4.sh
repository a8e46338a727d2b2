# SPDX-License-Identifier: GPL-2.0-or-later
# ext4: the limit, the client's own copy on its own disk.
KIND=local
sys_up() { need_local; }
sys_mount() { mount -o noatime "$LOCAL_DISK" "$MNT"; }
