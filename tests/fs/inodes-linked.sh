#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# inodes-linked: a cache disk with fewer inodes than there are files, each of two names in two directories: a listing that waits for
# an inode lets names of such files go, walks find every name and byte, and the names of a file are of one inode.
# timeout: 400
. /payload/tests/lib/guest.sh

requires module daemon tools python3 jq
ORIGIN=/origin
scratch origin 64
INODES=288 scratch cache 64
python3 - << 'PY'
import os
for d in range(20):
    os.makedirs(f"/origin/a/d{d}")
    os.makedirs(f"/origin/b/d{d}")
for d in range(20):
    for i in range(20):
        path = f"/origin/a/d{d}/f{i}"
        with open(path, "wb") as f:
            f.write((path.encode() * 20)[:i * 20])
        os.link(path, f"/origin/b/d{(d + i) % 20}/t{d}.{i}")
PY
tree() { (cd "$1" && find . -printf '%p %y %s %n\n' | sort); }
PROXY_ARGS="--lease-ms 120000" VOL_OPTS=$LONG_LEASES,evict_inode_run=30,evict_inode_cull=20,evict_inode_stop=8,timeout_ms=20000
tree /origin > "$RUN/want"
say "the tree has $(wc -l < "$RUN/want") names, the disk $(df --output=itotal /cache | tail -n 1) inodes"
vol_up 0
leased

for turn in 1 2; do
	tree "$MNT" > "$RUN/got"
	cmp "$RUN/want" "$RUN/got"
	say "turn $turn: $(stat_of names_forgotten) names forgotten in all"
done
same_tree /origin "$MNT"
at_least "$(stat_of names_forgotten)" 500 "names forgotten"
is "$(stat_of upcalls_timeout)" 0 "requests that ran out of time"
must_not_log() { if grep -m 1 "$1" "$RUN/agent.log"; then fail "the agent says $1"; fi; }
must_not_log event=no_room_for_names
is "$(stat -c %i "$MNT/a/d3/f4")" "$(stat -c %i "$MNT/b/d7/t3.4")" "the inode of a file by both names"
