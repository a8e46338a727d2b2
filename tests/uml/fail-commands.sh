#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# fail-commands: as fail-nth, for what the daemon says, with readers waiting for its answers, and for its coming.
# timeout: 600
. /payload/tests/lib/guest.sh

requires module python3
[ -e /sys/kernel/debug/failslab ] || skip "this kernel has no fault injection"
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm:$T/uml:$T/lib python3 "$T/uml/fail_nth.py" slab installs changes commands evictions sessions
no_leaks
