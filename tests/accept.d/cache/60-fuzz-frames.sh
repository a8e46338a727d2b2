# SPDX-License-Identifier: GPL-2.0-or-later
# line: the parsers of frames, requests and answers, and what answers do to files, under libFuzzer, ASan and UBSan: 10^7 executions each, no finding
# bug: build switch AUGUR_SEED_BAD_NAME
[ -z "$BUG" ] || seeded AUGUR_SEED_BAD_NAME
fuzz fill request conn answer wire
