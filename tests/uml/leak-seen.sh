#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# expect: kmemleak: .* augur_req_new
#
# leak-seen: memory that nobody points to any more (fault point leak_req) is found by no_leaks while the module is loaded.
. /payload/tests/lib/guest.sh
requires module python3
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm python3 "$T/uml/one_read.py" leak_req
no_leaks
