#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# two-proxies: one tree, two owners: each serves a fair share whatever the seed, and a file is asked of its owner.
# timeout: 500
. /payload/tests/lib/guest.sh

origin_make --files 900 --per-dir 10 --big 0 --plain
served() { augur --ctl "/run/augur/$1.sock" --json status | jq '.daemon.served_bytes // .served_bytes'; }
for seed in 1 2 3; do
	SEED=$seed
	rm -rf /var/lib/augur; mkdir -p /var/lib/augur
	vol_up 1
	tar -C "$MNT" -cf - . | cat > /dev/null
	a=$(served p1) b=$(served p2)
	say "seed $seed: $a and $b bytes"
	share=$(awk "BEGIN { t = $a + $b; m = $a < $b ? $a : $b; printf \"%.3f\", t ? m / t : 0 }")
	at_least "$share" 0.35 "share of the smaller of two proxies, seed $seed"
	note "share seed $seed: $share"
	pp augur --ctl /run/augur/agent.sock where "$MNT/d00/f0001"
	vol_down
done
