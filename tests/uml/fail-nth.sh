#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# fail-nth: each call of a reader is made again and again while its 1st, 2nd, 3rd ... allocation (kmalloc and the caches)
# fails, until none is left to fail. The caller gets ENOMEM or the right answer, nothing is lost, and afterwards all works.
# timeout: 600
. /payload/tests/lib/guest.sh

requires module python3
[ -e /sys/kernel/debug/failslab ] || skip "this kernel has no fault injection"
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm:$T/uml:$T/lib python3 "$T/uml/fail_nth.py" slab names reads queued maps files
no_leaks
