# SPDX-License-Identifier: GPL-2.0-or-later
# line: bad input gets a clear error that names cause and next step; no crash, no partial state
# bug: inject accept_bad_name
build_all
guest badinput -k 6.1
make --no-print-directory -j"$(nproc)" unit > "$build/accept-unit.log" 2>&1 || tail -n 5 "$build/accept-unit.log"
# Names, lengths and truncated frames at the decoders, under sanitizers.
tests/run --unit > "$build/accept-unit.log" 2>&1 || :
figure "unit tests that failed" "$(tail -n 1 "$build/accept-unit.log" | sed -n 's/.*passed, \([0-9]*\) failed.*/\1/p')" = 0
figure "unit tests that passed" "$(tail -n 1 "$build/accept-unit.log" | cut -d' ' -f1)" '>=' 5
