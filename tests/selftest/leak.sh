#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# expect: live objects|leaked requests|requests are left
#
# leak: a request that is never given back (fault point leak_req) must fail the test that caused it.
. /payload/tests/lib/guest.sh
origin_make --files 20 --plain
vol_up
inject leak_req 1
cat "$MNT"/d00/f0003 > /dev/null
