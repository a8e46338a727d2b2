#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tree-equal: names, metadata and bytes through the mount are the origin's; the second pass asks nothing of anybody,
# by the module's counters, by a tracepoint and by the bytes on the wire.
# timeout: 400
. /payload/tests/lib/guest.sh

PROXY_ARGS="--lease-ms 120000" VOL_OPTS=$LONG_LEASES
vol_up 1
same_tree "$ORIGIN" "$MNT" --ctime --ino

# what find prints of the whole tree, link counts of directories included, before and after everything was read
find "$ORIGIN" -printf '%P %y %m %n %U %G %s %T@ %C@ %l\n' | sort > "$RUN/origin.list"
find "$MNT" -printf '%P %y %m %n %U %G %s %T@ %C@ %l\n' | sort > "$RUN/mount.list"
cmp "$RUN/origin.list" "$RUN/mount.list" || { diff "$RUN/origin.list" "$RUN/mount.list" | head; fail "find sees another tree"; }

leased
trace=/sys/kernel/tracing
echo 1 > $trace/events/augurfs/augur_upcall_new/enable
echo > $trace/trace
before=$(stat_of upcalls)
same_tree "$ORIGIN" "$MNT" --ctime --ino
is "$(stat_of upcalls)" "$before" "upcalls of the second pass"
is "$(grep -c augur_upcall_new: $trace/trace || :)" 0 "requests the tracepoint saw in the second pass"
echo 0 > $trace/events/augurfs/augur_upcall_new/enable
