# SPDX-License-Identifier: GPL-2.0-or-later
# line: a blocked reader dies at once, umount -f returns, present files outlive the daemon, nothing is left after rmmod
# bug: inject unkillable
build_all
for k in 6.1 6.12; do guest failures -k "$k"; done
# The seeded leak: a test that leaks a request is failed by the vehicle.
tests/run -k 6.1 selftest/leak > "$build/accept-leak.log" 2>&1 || :
tail -n 3 "$build/accept-leak.log"
figure "a seeded leak fails its test" "$(tail -n 1 "$build/accept-leak.log")" = "1 passed, 0 failed, 0 skipped"
