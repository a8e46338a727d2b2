#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# inodes: a cache disk with fewer inodes than the tree has names: every walk finds every name and every byte; what is pinned,
# open, or somebody's working directory keeps its inode; where no name may go, a lookup says so; without the un-claim names are lost.
# timeout: 600
. /payload/tests/lib/guest.sh

requires module daemon tools python3 jq
ORIGIN=/origin
scratch origin 64
INODES=640 scratch cache 64
python3 - << 'PY'
import os
def put(path, n):
    with open(path, "wb") as f:
        f.write((path.encode() * 400)[:n])
for d in range(28):
    os.makedirs(f"/origin/d{d}/sub/deep")
    for i in range(36):
        put(f"/origin/d{d}/f{i}", (0, 40, 3000, 9000)[i % 4])
    for i in range(6):
        put(f"/origin/d{d}/sub/s{i}", 100 * i)
    os.symlink("f1", f"/origin/d{d}/link")
    os.link(f"/origin/d{d}/f2", f"/origin/d{d}/sub/hard")
os.mkdir("/origin/keep")
for i in range(20):
    put(f"/origin/keep/k{i}", 500)
PY
tree() { (cd "$1" && find . -printf '%p %y %s %n %l\n' | sort); }
# Its status says how the cache is.
cache() { { augur --ctl /run/augur/agent.sock --json status || :; } | jq -r ".mounts[0].daemon.cache.$1"; }
inode_of() { stat -c %i "/cache/a/root/$1"; }
mark() { echo "$2" > "$(echo /sys/fs/augurfs/[0-9]*)/evict/$1"; }
PROXY_ARGS="--lease-ms 120000" VOL_OPTS=$LONG_LEASES,evict_inode_run=30,evict_inode_cull=20,evict_inode_stop=8,timeout_ms=20000
tree /origin > "$RUN/want"
say "the tree has $(wc -l < "$RUN/want") names, the disk $(df --output=itotal /cache | tail -n 1) inodes"
vol_up 0
leased

# What stays: a pinned directory, an open file, a working directory.
augur --ctl /run/augur/agent.sock pin "$MNT/keep" > /dev/null
ls "$MNT/keep" > /dev/null
exec 7< "$MNT/d3/f3"
(cd "$MNT/d4/sub/deep" && exec sleep 1000) & sitter=$!
cleanup kill "$sitter"
wait_until 10 eval '[ "$(readlink /proc/$sitter/cwd)" = "$MNT/d4/sub/deep" ]'
for f in keep keep/k7 d3/f3 d4/sub/deep; do inode_of "$f"; done > "$RUN/stay"

for turn in 1 2; do
	tree "$MNT" > "$RUN/got"
	cmp "$RUN/want" "$RUN/got"
	say "turn $turn: $(stat_of names_forgotten) names forgotten in all, $(cache inodes_free) inodes are free, $(cache state)"
done
same_tree /origin "$MNT"
at_least "$(stat_of names_forgotten)" 1000 "names forgotten"
at_least "$(cache names_forgotten)" 1000 "names forgotten, as the agent counts"
is "$(stat_of upcalls_timeout)" 0 "requests that ran out of time"
for f in keep keep/k7 d3/f3 d4/sub/deep; do inode_of "$f"; done > "$RUN/stayed"
cmp "$RUN/stay" "$RUN/stayed"
is "$(cat <&7 | sha256sum)" "$(sha256sum < /origin/d3/f3)" "the open file"
exec 7<&-
wait_until 60 eval '[ "$(cache state)" = ok ]'

# All that is idle: watermarks are live. Then another daemon, which finds what this one has left.
mark inode_run 96; mark inode_cull 95
wait_until 60 eval '[ "$(cache inodes_free)" -ge 560 ]'
wait_until 60 eval '[ ! -e /cache/a/root/d9 ]'
mark inode_cull 20; mark inode_run 30
daemon_stop agent
agent_start
tree "$MNT" > "$RUN/got"
cmp "$RUN/want" "$RUN/got"

# More names in one directory than there are inodes: it cannot be listed, its names can be looked up.
mkdir /origin/big
(cd /origin/big && seq 900 | xargs touch)
wait_until 90 test -d "$MNT/big"
must_fail -m 'No space left' ls "$MNT/big"
grep -m 1 event=no_room_for_names "$RUN/agent.log"
wait_until 60 eval '[ "$(cache inodes_free)" -ge 128 ]'
for i in 1 450 899 900; do is "$(stat -c %s "$MNT/big/$i")" 0 "a name of the large directory"; done
is "$(stat_of upcalls_timeout)" 0 "requests that ran out of time"
rm -r /origin/big
wait_until 90 eval '[ ! -e "$MNT/big" ]'
tree "$MNT" > "$RUN/got"
cmp "$RUN/want" "$RUN/got"

# Without the un-claim: the root has all its names, as nothing is forgotten meanwhile, and goes on to say so.
mark inode_stop 0; mark inode_cull 0
ls "$MNT" > /dev/null
inject forget_complete 100000
mark inode_run 96; mark inode_cull 95
wait_until 60 eval '[ ! -e /cache/a/root/d9 ]'
mark inode_cull 20; mark inode_run 30
if [ -e "$MNT/d9" ]; then fail "the seeded mistake was not seen: it would not be caught"; fi
inject forget_complete 0
kill "$sitter"; wait "$sitter" || :
vol_remount "$VOL_OPTS"
tree "$MNT" > "$RUN/got"
cmp "$RUN/want" "$RUN/got"
