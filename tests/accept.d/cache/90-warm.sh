# SPDX-License-Identifier: GPL-2.0-or-later
# line: instructions per warm operation against ext4 and overlayfs; what the log adds; the rings under load
# bug: build switch AUGUR_SEED_SLOW_PATH
[ -z "$BUG" ] || seeded AUGUR_SEED_SLOW_PATH
build_all
bench warm -r 1 -w micro -s "ext4 overlay augurfs"
