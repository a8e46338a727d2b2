# SPDX-License-Identifier: GPL-2.0-or-later
# line: bad input gets a clear error that names cause and next step; no crash, no partial state
# bug: build switch AUGUR_SEED_BAD_NAME
[ -z "$BUG" ] || seeded AUGUR_SEED_BAD_NAME
build_all
[ -n "$BUG" ] || for k in 6.1 6.12; do guest badinput -k "$k"; done
# Module and daemon of different versions, foreign sockets, malformed and random netlink messages.
if [ -z "$BUG" ]; then
	tests/run -k 6.1 fs/protocol-misuse > "$build/accept-misuse.log" 2>&1 || tail -n 20 "$build/accept-misuse.log"
	figure "wrong versions and malformed netlink messages" "$(tail -n 1 "$build/accept-misuse.log")" = "1 passed, 0 failed, 0 skipped"
fi
make --no-print-directory -j"$(nproc)" unit > "$build/accept-unit.log" 2>&1 || tail -n 5 "$build/accept-unit.log"
# Names, lengths and truncated frames at the decoders, under sanitizers.
tests/run --unit > "$build/accept-unit.log" 2>&1 || :
figure "unit tests that failed" "$(tail -n 1 "$build/accept-unit.log" | sed -n 's/.*passed, \([0-9]*\) failed.*/\1/p')" = 0
figure "unit tests that passed" "$(tail -n 1 "$build/accept-unit.log" | cut -d' ' -f1)" '>=' 5
