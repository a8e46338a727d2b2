#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# expect: the guest was lost
#
# oops: a panic loses the guest; the test that caused it is named, and the rest run in a fresh guest.
. /payload/tests/lib/guest.sh
echo 1 > /proc/sys/kernel/sysrq
echo c > /proc/sysrq-trigger
