#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# timeout: 300
#
# tools: the command on a served volume: where an object is, fetching ahead, health, history, and its demo.
. /payload/tests/lib/guest.sh

vol_up 2
export AUGUR_CTL=/run/augur/agent.sock
# At once after the mount: a proxy that is still being dialled is no fault, whatever the machine's speed.
is "$(augur status -x)" "everything is fine" "augur status -x"
augur status
is "$(augur status --json | jq -r '[.health, .mounts[0].mount_point, ([.mounts[0].daemon.proxies[].id] | join(" "))] | @tsv')" \
	"$(printf 'ONLINE\t/mnt/a\tp1 p2')" "augur status --json"

f=$(cd "$MNT" && find . -type f -size +1k | sort | head -n 1); f=${f#./}
pp augur where "$MNT/$f"
is "$(augur where --json "$MNT/$f" | jq -r .ino)" "$(stat -c %i "$MNT/$f")" "inode number"
is "$(augur where --json "$MNT/$f" | jq -r .state)" absent "state before"
must_fail -m '1 absent' augur warm --check "$MNT/$f"
pp augur warm "$MNT"
pp augur warm --check "$MNT" "$MNT/$f"
before=$(wire_bytes)
cat "$MNT/$f" | cmp - "$ORIGIN/$f"
n=$(stat_of upcalls_fetch)
find "$MNT" -type f -exec cat {} + > /dev/null
is "$(stat_of upcalls_fetch)" "$n" "requests for bytes after augur warm"
note "bytes on the wire after augur warm: $(($(wire_bytes) - before))"
same_tree "$ORIGIN" "$MNT"

all_up() { [ "$(augur status --json | jq '[.mounts[0].daemon.proxies[] | select(.state == "up")] | length')" = 2 ]; }
wait_until 60 all_up
{ augur doctor --json || :; } > "$RUN/doctor"	# 2: the guest's clock is not synchronised
jq -r '.checks[] | [.name, .state, .detail] | @tsv' "$RUN/doctor"
is "$(jq '[.checks[] | select(.state == "fail" and .name != "proxy")] | length' "$RUN/doctor")" 0 "failed checks"
is "$(jq -r '.checks[] | select(.name == "volume") | .detail' "$RUN/doctor" | grep -c ': 2 of 2 proxies up')" 1 "proxies the doctor counts"
wait_until 60 sh -c 'augur log -n 500 --json | grep -q "\"op\":\"close\""'
pp augur log -n 5
is "$(augur --ctl /run/augur/p1.sock status --json | jq -r .daemon.role)" proxy "role of p1"
pp augur --ctl /run/augur/p1.sock status

say "== a proxy that goes is told by its name, and is back when it is"
daemon_stop p2
told() { [ "$({ augur status -x || :; } | sed -n 's/^status: //p')" = "$1" ]; }
wait_until 60 told "proxy p2 does not answer; 1 of 2 do."
proxy_start p2
wait_until 60 told ""
is "$(augur status -x)" "everything is fine" "augur status -x"

vol_umount
daemon_stop agent
mkdir -p /var/tmp
umount /cache 2> /dev/null || :
scratch cache
mount --bind /cache /var/tmp
cleanup umount /var/tmp
pp augur demo "$ORIGIN"
is "$(ls /var/tmp | grep -c augur-demo || :)" 0 "folders the demo left behind"
