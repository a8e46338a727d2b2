# SPDX-License-Identifier: GPL-2.0-or-later
# line: how frames are cut and read, and requests of a hostile client, under libFuzzer, ASan and UBSan: 10^7 executions each, no finding
# bug: build switch AUGUR_SEED_BAD_NAME
# limit: 12000
[ -z "$BUG" ] || seeded AUGUR_SEED_BAD_NAME
fuzz request conn wire
