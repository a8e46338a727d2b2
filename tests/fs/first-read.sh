#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# first-read: a file nobody has fetched yet is asked for once, and then never again.
. /payload/tests/lib/guest.sh

PROXY_ARGS="--lease-ms 120000" VOL_OPTS=$LONG_LEASES
vol_up 10
leased
f=d03/f0080
want=$(sha256sum < "$ORIGIN/$f")
is "$(stat_of upcalls_fetch)" 0 "fetches before the first read"
is "$(sha256sum < "$MNT/$f")" "$want" "content at the first read"
at_least "$(stat_of upcalls_fetch)" 1 "fetches of the first read"

before=$(stat_of upcalls); wire=$(wire_bytes)
for _ in 1 2 3; do is "$(sha256sum < "$MNT/$f")" "$want" "content at a later read"; done
pp stat -c '%n %s %i' "$MNT/$f"
is "$(stat_of upcalls)" "$before" "upcalls after three more reads"

must_fail -m 'No such file' cat "$MNT/d03/none"
must_fail -m 'Read-only file system' touch "$MNT/d03/new"
must_fail -m 'Read-only file system' rm "$MNT/$f"
must_fail -m 'Read-only file system' bash -c "echo x >> $MNT/$f"
grep " $MNT augurfs ro," /proc/mounts
