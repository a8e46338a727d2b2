# SPDX-License-Identifier: GPL-2.0-or-later
# line: instructions per warm operation against ext4 and overlayfs; what the log adds; the rings under load
# bug: build switch AUGUR_SEED_SLOW_PATH
[ -z "$BUG" ] || seeded AUGUR_SEED_SLOW_PATH
build_all
rc=0; tests/bench/run -k 6.1 -r 1 -w micro -s "ext4 overlay augurfs" -o "$build/accept-warm.tsv" > "$build/accept-warm.log" 2>&1 || rc=$?
figure "benchmark: status" "$rc" = 0
python3 tests/bench/bars.py warm "$build/accept-warm.tsv" || figure "bars are computed" no = yes
