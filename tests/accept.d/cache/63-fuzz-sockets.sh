# SPDX-License-Identifier: GPL-2.0-or-later
# line: netlink and the control socket under libFuzzer, ASan and UBSan: 10^7 executions each, no finding
# bug: build switch AUGUR_SEED_BAD_NAME
[ -z "$BUG" ] || seeded AUGUR_SEED_BAD_NAME
fuzz netlink ctl
