# SPDX-License-Identifier: GPL-2.0-or-later
# nfs-fsc: NFS 4.2 with the kernel's cache on the client's disk (FS-Cache, cachefilesd), otherwise the defaults.
KEEPS=1
PROGRAMS=/sbin/cachefilesd
NFS_OPTS=vers=4.2,fsc
. "$B/bench/systems/nfs.inc"
sys_up() { nfs_server && modprobe cachefiles && need_cache && fsc_start; }
fsc_start() {
	mkdir -p /cache/fscache
	printf '%s\n' 'dir /cache/fscache' 'tag bench' 'brun 10%' 'bcull 7%' 'bstop 3%' 'frun 10%' 'fcull 7%' 'fstop 3%' > /tmp/fsc.conf
	cachefilesd -f /tmp/fsc.conf && sleep 1
}
fsc_stop() {
	local p
	p=$(pidof cachefilesd) || return 0
	kill "$p"; while kill -0 "$p" 2> /dev/null; do sleep 0.1; done
	sleep 1
}
sys_umount() { settle umount "$MNT"; fsc_stop; fresh_cache; }
sys_wipe() { rm -rf /cache/fscache; }
sys_mount() { { pidof cachefilesd > /dev/null || fsc_start; } && on client mount -t nfs -o "$NFS_OPTS" 10.9.0.1:/ "$MNT"; }
sys_down() { cd /; umount "$MNT" 2> /dev/null; fsc_stop; need_cache; rm -rf /cache/fscache; }
