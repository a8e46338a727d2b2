#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# guest.sh: the demo's part inside the guest. Prints "step: ..." lines as it goes; leaves /out/demo.json (totals) and
# /out/samples.tsv (second, bytes sent by p1, by p2, upcalls so far), which tests/demo/show.py turns into a picture.
. /payload/tests/lib/guest.sh
RTT=${1:-10}; PROXIES=${2:-p1 p2}; ORIGIN=/origin
requires module daemon tools
step() { say "step: $*"; }
sent() { cat "/sys/class/net/eth-srv$1/statistics/rx_bytes"; }
now() { cut -d' ' -f1 /proc/uptime; }
diff_of() { awk "BEGIN { printf \"%.3f\", $2 - $1 }"; }

# A bind mount shows /usr without the kernel modules mounted below it. The compiler's passes and the like (files over
# 7 MiB but python3) go first: the guest's disk is a throw-away copy, and an emulated processor counts every byte.
find /usr -xdev -type f -size +7M ! -name 'python3*' -delete
mkdir -p "$ORIGIN"; mount --bind /usr "$ORIGIN"; cleanup umount "$ORIGIN"
t=$(now); origin=$(tree_hash "$ORIGIN"); local_s=$(diff_of "$t" "$(now)")
files=$(find "$ORIGIN" -type f | wc -l); objects=$(find "$ORIGIN" | wc -l); bytes=$(du -s --apparent-size -B1 "$ORIGIN" | cut -f1)
step "origin: $files files, $((bytes / 1048576)) MiB; starting two proxies $RTT ms away, and the agent"
vol_up "$RTT"

# One sample a second for the picture.
t0=$(now)
( trap - ERR EXIT; set +e
  while :; do echo "$(diff_of "$t0" "$(now)")	$(sent 1)	$(sent 2)	$(cat /sys/fs/augurfs/*/stats/upcalls 2> /dev/null)"; read -r -t 1 <> <(:); done > /out/samples.tsv ) & sampler=$!
cleanup kill "$sampler"

pass() {
	local w0 u0 p10 p20 t
	w0=$(wire_bytes); u0=$(stat_of upcalls); p10=$(sent 1); p20=$(sent 2); t=$(now)
	hash=$(tree_hash "$MNT")
	secs=$(diff_of "$t" "$(now)"); upcalls=$(($(stat_of upcalls) - u0)); wire=$(($(wire_bytes) - w0)); p1=$(($(sent 1) - p10)); p2=$(($(sent 2) - p20))
}
step "mounted at $MNT; first pass: nothing is here yet"
pass; cold="$secs $upcalls $wire $p1 $p2"; hash1=$hash
step "second pass: everything is here"
mark=$(diff_of "$t0" "$(now)")
pass; warm="$secs $upcalls $wire $p1 $p2"; hash2=$hash
jq -n --arg k "$(uname -r)" --arg cold "$cold" --arg warm "$warm" --arg o "$origin" --arg h1 "$hash1" --arg h2 "$hash2" \
	--argjson rtt "$RTT" --argjson files "$files" --argjson objects "$objects" --argjson bytes "$bytes" --argjson local "$local_s" --argjson mark "$mark" '
	def pass(s): s | split(" ") | map(tonumber) | { seconds: .[0], upcalls: .[1], wire_bytes: .[2], p1_bytes: .[3], p2_bytes: .[4] };
	{ kernel: $k, rtt_ms: $rtt, files: $files, objects: $objects, bytes: $bytes, local_seconds: $local, second_pass_at: $mark,
	  cold: pass($cold), warm: pass($warm), hash_origin: $o, hash_cold: $h1, hash_warm: $h2 }' > /out/demo.json
[ "$hash1" = "$origin" ] || same_tree "$ORIGIN" "$MNT"
step "done"
