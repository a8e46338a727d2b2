#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# pitfalls: what hangs or lies in a filesystem whose bytes come from a daemon, if its cure is left out: ends well with it,
# and not without it (tests/lib/pitfalls.py).
# timeout: 600
. /payload/tests/lib/guest.sh

requires module python3
scratch cache
modprobe augurfs
expect_dmesg 'was not answered'
export PYTHONPATH=$T/vm:$T/lib DEATHS=20
while read -r _ name point; do
	rc=0; timeout $((200 * AUGUR_SLOW)) python3 "$T/lib/pitfalls.py" "$name" || rc=$?
	[ $rc != 77 ] || { note "$name is not shown by this kernel"; continue; }
	is $rc 0 "$name"
	[ "$point" != - ] || continue
	rc=0; timeout $((200 * AUGUR_SLOW)) python3 "$T/lib/pitfalls.py" "$name" "$point" || rc=$?
	is $rc 1 "$name without its cure, $point (2: the test broke off, 3: the fault did not hit)"
done < <(python3 "$T/lib/pitfalls.py" --list)
