# SPDX-License-Identifier: GPL-2.0-or-later
#
# recover.sh: the real thing, in a guest: each disk (-d, cut at some point) is mounted, store and daemons are started on it
# as after a power cut, the volume is mounted, and at once everything has to be what the origin is. The origin is as the
# workload left it, so to the cache all that came after its point has happened meanwhile.
. /payload/tests/lib/guest.sh
FS=${1:-ext4}
PROXIES=p1 VOL_OPTS=chunk_kb=16 ORIGIN=/origin/tree

disk() { local d; for d in /sys/block/vd*; do [ "$(cat "$d/serial")" != "$1" ] || echo "/dev/${d##*/}"; done; }
mkdir -p /cache /origin
mount -t ext4 -o noatime "$(disk w0)" /origin
net_up
n=0 wrong=0 marked=0
for dev in /dev/vd[f-z]; do
	[ -b "$dev" ] && [ "$(cat "/sys/block/${dev##*/}/serial")" != w0 ] || continue
	say "== $dev"
	mount -t "$FS" -o noatime "$dev" /cache
	mkdir -p /cache/store
	mount --bind /cache/store /var/lib/augur
	rm -f "$RUN"/*.log
	vol_up 1
	n=$((n + 1))
	if ! trees_equal "$ORIGIN" "$MNT"; then
		wrong=$((wrong + 1))
		diff <(tree_hash --list "$ORIGIN") <(tree_hash --list "$MNT") | sed -n 1,6p
	fi
	marked=$((marked + $(sed -n 's/.*event=cache_checked.* marked=\([0-9]*\).*/\1/p' "$RUN/agent.log" | tail -n 1) + 0))
	vol_umount
	daemon_stop agent
	daemon_stop p1
	umount /var/lib/augur /cache
done
echo "{\"recovered\":$n,\"wrong\":$wrong,\"marked\":$marked}" > /out/recovered
