# SPDX-License-Identifier: GPL-2.0-or-later
#
# tree.sh: equality of tree and metadata, shares of two proxies for three seeds, and a second pass that asks nobody
# (by counters and by the module's tracepoint).
. /payload/tests/lib/guest.sh
requires module daemon tools
RTT=1; PROXIES="p1 p2"
# Leases that outlast a pass: their renewals are traffic of time, not of reading.
PROXY_ARGS="--lease-ms 600000" VOL_OPTS=lease_ms=600000
origin_make --files 1500 --per-dir 20 --big 1
cp -a /usr/include /origin/include
sent() { cat "/sys/class/net/eth-srv$1/statistics/rx_bytes"; }
equal() { python3 "$T/lib/treehash.py" --list --ctime --dirs "$@" "$MNT" > "$RUN/mnt" && cmp "$RUN/origin" "$RUN/mnt" || { diff "$RUN/origin" "$RUN/mnt" | head -n 10; false; }; }
python3 "$T/lib/treehash.py" --list --ctime --dirs /origin > "$RUN/origin"
T_EV=/sys/kernel/tracing/events/augurfs/augur_upcall_new/enable
# The tree was just made: an origin state younger than two clock ticks is looked at again.
wait_until 5 test "$(find /origin -newermt '-1 second' | wc -l)" = 0 || :

for SEED in 1 2 3; do
	vol_up
	if [ "$SEED" = 1 ]; then
		# By name alone, before any directory was listed.
		n=$(stat -c '%h %s %Y %Z %a %u %g' "$MNT/links/hard1" "$MNT/nest/a" "$MNT/links/up")
		figure "stat by name, before readdir" "$n" = "$(stat -c '%h %s %Y %Z %a %u %g' /origin/links/hard1 /origin/nest/a /origin/links/up)"
		ls -lR "$MNT" > /dev/null
		figure "the same after readdir" "$(stat -c '%h %s %Y %Z %a %u %g' "$MNT/links/hard1" "$MNT/nest/a" "$MNT/links/up")" = "$n"
	fi
	s1=$(sent 1); s2=$(sent 2)
	holds "seed $SEED: tree, metadata and d_ino equal" equal --ino
	s1=$(($(sent 1) - s1)); s2=$(($(sent 2) - s2))
	figure "seed $SEED: smaller share of bytes (%)" "$(awk "BEGIN { m = $s1 < $s2 ? $s1 : $s2; printf \"%.0f\", 100 * m / ($s1 + $s2 + 1) }")" '>=' 35
	if [ "$SEED" = 1 ]; then
		u=$(stat_of upcalls); w=$(agent_bytes)
		echo > /sys/kernel/tracing/trace; echo 1 > "$T_EV"
		holds "second pass: equal" equal
		echo 0 > "$T_EV"
		figure "second pass: upcalls" "$(($(stat_of upcalls) - u))" = 0
		figure "second pass: upcalls by tracepoint" "$(grep -c augur_upcall_new: /sys/kernel/tracing/trace || :)" = 0
		# On a slow machine a renewal falls into a pass all the same; what reading sends, each pass would send.
		w=$(($(agent_bytes) - w))
		for pass in 3 4 5; do
			[ "$w" != 0 ] || break
			say "a later pass: $pass; the last sent and got $w bytes"
			w=$(agent_bytes); equal; w=$(($(agent_bytes) - w))
		done
		figure "second pass, no renewal in it: bytes on the wire" "$w" = 0
		holds "private xattrs are hidden" test -z "$(getfattr -R -h -d -m 'trusted.augur' "$MNT" 2> /dev/null | head -n 3)"
	fi
	vol_down
done
