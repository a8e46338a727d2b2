# SPDX-License-Identifier: GPL-2.0-or-later
# fuse-cached: a FUSE pass-through that lets the kernel keep all it knows (tests/bench/passthrough.c) over the client's
# own ext4: the least that FUSE costs.
KIND=local
PROGRAMS=/usr/bin/gcc
sys_up() {
	need_local; modprobe fuse
	[ -x "$B/passthrough" ] || gcc -O2 -D_GNU_SOURCE -o "$B/passthrough" "$B/bench/passthrough.c" -I/usr/include/fuse3 -lfuse3
}
sys_mount() { mount -o noatime "$LOCAL_DISK" /local && ( ulimit -n 500000; "$B/passthrough" /local "$MNT" ); }
sys_umount() { settle umount "$MNT"; settle umount /local; }
