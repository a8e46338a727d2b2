# SPDX-License-Identifier: GPL-2.0-or-later
# line: netlink and the control socket under libFuzzer, ASan and UBSan: 10^7 executions each, no finding
# bug: build switch AUGUR_SEED_BAD_NAME
# limit: 12000
[ -z "$BUG" ] || seeded AUGUR_SEED_BAD_NAME
fuzz netlink ctl
# Each target is some line's.
for t in tests/fuzz/fuzz_*.c; do
	t=$(basename -s .c "$t")
	grep -qE "^fuzz .*\b${t#fuzz_}\b" tests/accept.d/cache/6*-fuzz-*.sh || figure "$t: lines that run it" 0 '>=' 1
done
