# SPDX-License-Identifier: GPL-2.0-or-later
# line: cold work at 1, 10 and 40 ms against every peer in one run; after a remount as local; warm at 40 ms as at 1 ms
# bug: build switch AUGUR_SEED_NO_BATCH
# limit: 3600
[ -z "$BUG" ] || seeded AUGUR_SEED_NO_BATCH
build_all
rc=0; tests/bench/run -k 6.1 -r "1 10 40" -w "walk1000 find grep pystart gitstatus replay500 seq rand1000" -s "ext4 nfs42 nfs42-tuned nfs-fsc sshfs augurfs" -t 3500 -o "$build/accept-cold.tsv" > "$build/accept-cold.log" 2>&1 || rc=$?
figure "benchmark: status" "$rc" = 0
python3 tests/bench/bars.py cold "$build/accept-cold.tsv" || figure "bars are computed" no = yes
