#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# expect: the kernel complained during this test
#
# warning: a test that ends well while the kernel warned must be failed by the vehicle.
. /payload/tests/lib/guest.sh
echo 'WARNING: CPU: 0 PID: 1 at tests/selftest/warning.sh (provoked)' > /dev/kmsg
