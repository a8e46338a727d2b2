# SPDX-License-Identifier: GPL-2.0-or-later
#
# log.sh: what recording adds to a cached 4 KiB read, in counted instructions of the reading thread: the same mount, the
# mode changed between passes. Run with -i and the program `ops` of tests/bench (-x). BUG: a build switch of the module.
. /payload/tests/lib/guest.sh
scratch origin
mkdir -p "$ORIGIN/micro/a/b" "$ORIGIN/micro/ls"
head -c 4M /dev/urandom > "$ORIGIN/micro/a/b/f"
for i in $(seq 20); do : > "$ORIGIN/micro/ls/f$i"; done
VOL_OPTS="log_ring_kb=4096,$LONG_LEASES"
vol_up 0
cat "$MNT/micro/a/b/f" > /dev/null
leased
mode=$(echo /sys/fs/augurfs/*/log/mode)
cp /payload/extra/ops* /tmp/ops
pass() { echo "$1" > "$mode"; /tmp/ops micro "$MNT/micro" 4096 | awk '$1 == "pread4k" { print $3 }'; }
ns_off= ns_summary= ns_full= lost_full=0
pass off > /dev/null
for m in off summary full off summary full; do
	d0=$(stat_of events_dropped) p0=$(stat_of events_produced)
	n=$(pass $m)
	say "$m: $n ns a read, $(($(stat_of events_produced) - p0)) records, $(($(stat_of events_dropped) - d0)) dropped"
	lost=$(($(stat_of events_dropped) - d0))
	declare "made_$m=$(($(stat_of events_produced) - p0 - lost))"
	[ $m != full ] || lost_full=$((lost_full + lost))
	v=ns_$m; [ -n "${!v}" ] && [ "${!v}" -le "$n" ] || declare "ns_$m=$n"	# the better of two passes
done
figure "records of mode off" "$made_off" = 0
figure "records of a pass in mode full that were not dropped" "$made_full" '>=' 4096
figure "dropped in mode full, both passes" "$lost_full" = 0
percent() { awk "BEGIN { printf \"%.2f\", ($1 / $ns_off - 1) * 100 }"; }
figure "cached 4 KiB read, mode off (ns of counted time)" "$ns_off" '>' 0
figure "mode summary adds (%)" "$(percent "$ns_summary")" '<=' 1
figure "mode full adds (%)" "$(percent "$ns_full")" '<=' 4
