#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# expect: KASAN: (slab-)?use-after-free in augur_req_wait
#
# kasan: a request that is read after it was given back (fault point late_read) must fail the test that caused it.
. /payload/tests/lib/guest.sh
requires module python3
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm python3 "$T/uml/one_read.py" late_read
