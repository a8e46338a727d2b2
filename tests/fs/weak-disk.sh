#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# weak-disk: a cache on a disk that a sync does not reach is served, and that is said at the mount and by doctor.
. /payload/tests/lib/guest.sh

weak() { { augur --ctl /run/augur/agent.sock --json doctor || :; } | jq -r '.checks[] | select(.name == "disk") | "\(.state) \(.detail)"'; }
scratch cache
vol_up 1
is "$(weak)" "" "said of a disk that keeps what it is told"
vol_down

mkdir -p /cache
scratch cache
mount -o remount,nobarrier /cache
vol_up 1
grep -q 'event=cache_weak cache=/cache/a why="it is mounted with nobarrier' <(daemon_log agent) || fail "the log does not say so"
case $(weak) in "warn /cache/a: it is mounted with nobarrier"*) ;; *) fail "doctor says: $(weak)" ;; esac
cat "$MNT/d00/f0002" > /dev/null
vol_down

mkfs.ext4 -qF -O ^has_journal /dev/vdd 1500M
mount -o noatime /dev/vdd /cache
vol_up 1
case $(weak) in "warn /cache/a: its filesystem has no journal"*) ;; *) fail "doctor says: $(weak)" ;; esac
