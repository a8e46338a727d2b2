# SPDX-License-Identifier: GPL-2.0-or-later
#
# recover-guest.sh: the real thing: each disk (-d, cut at some point) is mounted, store and daemons are started on it as
# after a power cut, the volume is mounted with the module, and everything has to be what the origin is. The origin is as
# the workload left it, so to the cache all that came after its point has happened meanwhile. Arguments: for each disk how
# many lines about pins had been answered; if there were any, what was pinned first is, and is evicted by nobody.
. /payload/tests/lib/guest.sh
PROXIES=p1 VOL_OPTS=chunk_kb=16 ORIGIN=/origin/tree

disk() { local d; for d in /sys/block/vd*; do [ "$(cat "$d/serial")" != "$1" ] || echo "/dev/${d##*/}"; done; }
agent() { augur --ctl /run/augur/agent.sock --json "$@"; }
pinned() {
	pins=$((pins + 1))
	agent pin --list | jq -se 'any(.row.path? == "/mnt/a/pin")' || wrong=$((wrong + 1))
	agent evict "$MNT/pin" > "$RUN/evict" || [ $? = 2 ]
	jq -se 'last | .evicted == 0 and .refused.pinned >= 4' "$RUN/evict" || { wrong=$((wrong + 1)); cat "$RUN/evict"; }
}
mkdir -p /cache /origin
mount -t ext4 -o noatime "$(disk w0)" /origin
n=0 wrong=0 marked=0 pins=0
for dev in /dev/vd[f-z]; do
	[ -b "$dev" ] && [ "$(cat "/sys/block/${dev##*/}/serial")" != w0 ] || continue
	say "== $dev at $(cut -d. -f1 /proc/uptime) s"
	mount -t ext4 -o noatime "$dev" /cache
	mkdir -p /cache/store
	mount --bind /cache/store /var/lib/augur
	rm -f "$RUN"/*.log
	vol_up 1
	n=$((n + 1))
	if ! trees_equal "$ORIGIN" "$MNT"; then
		wrong=$((wrong + 1))
		diff <(tree_hash --list "$ORIGIN") <(tree_hash --list "$MNT") | sed -n 1,6p || :
	fi
	[ "${1:-0}" = 0 ] || pinned
	shift
	marked=$((marked + $(sed -n 's/.*event=cache_checked.* marked=\([0-9]*\).*/\1/p' "$RUN/agent.log" | tail -n 1) + 0))
	vol_umount
	daemon_stop agent
	daemon_stop p1
	umount /var/lib/augur /cache
done
echo "{\"guest_recovered\":$n,\"guest_recovered_wrong\":$wrong,\"guest_marked\":$marked,\"guest_pinned\":$pins}" > /out/recovered
