#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# expect: possible circular locking dependency detected
#
# lockdep: two locks taken the wrong way round once (fault point lock_order) must fail the test that caused it, though
# nobody waited for the other.
. /payload/tests/lib/guest.sh
requires module python3
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm python3 "$T/uml/one_read.py" lock_order
