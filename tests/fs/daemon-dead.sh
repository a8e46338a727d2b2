#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# daemon-dead: with the daemon dead, present files are served while the lease holds, without limit under offline=ro;
# absent ones wait for the next daemon, which gets the waiting requests.
# timeout: 400
. /payload/tests/lib/guest.sh

VOL_OPTS=timeout_ms=20000
vol_up 1
state_is() { [ "$(cat /sys/fs/augurfs/[0-9]*/state)" = "$1" ]; }
want=$(sha256sum < "$ORIGIN/d00/f0004")
cat "$MNT/d00/f0004" > /dev/null
leased
daemon_stop agent KILL
wait_until 30 state_is orphan
is "$(sha256sum < "$MNT/d00/f0004")" "$want" "a present file within the lease"

cat "$MNT/d01/f0030" > "$RUN/waited" & pid=$!
agent_start
wait "$pid" || fail "the waiting read was not handed to the next daemon"
cmp "$RUN/waited" "$ORIGIN/d01/f0030"
wait_until 30 state_is live

say "== the lease runs out"
echo 500 > "$(echo /sys/fs/augurfs/[0-9]*/timeout_ms)"
echo eio > "$(echo /sys/fs/augurfs/[0-9]*/on_loss)"
daemon_stop agent KILL
expired() { ! cat "$MNT/d00/f0004" > /dev/null 2>&1; }
wait_until 60 expired
umount "$MNT"

agent_start
VOL=offline=ro,lease_ms=1000,timeout_ms=1000
vol_mount $VOL
is "$(sha256sum < "$MNT/d00/f0004")" "$want" "after a remount"
daemon_stop agent KILL
before=$(stat_of opens_offline)
offline() { cat "$MNT/d00/f0004" > /dev/null; [ "$(stat_of opens_offline)" -gt "$before" ]; }
wait_until 60 offline
is "$(sha256sum < "$MNT/d00/f0004")" "$want" "offline=ro serves the last version"
