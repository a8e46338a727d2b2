#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# fail-pages: as fail-nth, where whole pages cannot be had either.
# timeout: 600
. /payload/tests/lib/guest.sh

requires module python3
[ -e /sys/kernel/debug/fail_page_alloc ] || skip "this kernel has no fault injection"
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm:$T/uml:$T/lib python3 "$T/uml/fail_nth.py" pages mounts names reads queued maps files installs changes commands evictions sessions
