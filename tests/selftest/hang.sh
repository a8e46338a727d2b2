#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# expect: time-out
# timeout: 3
#
# hang: a test that never ends is ended, with the daemon and the mount it left, and the next one runs.
. /payload/tests/lib/guest.sh
mkdir -p /mnt/left; mount -t tmpfs left /mnt/left
tail -f /dev/null & tail -f /dev/null
