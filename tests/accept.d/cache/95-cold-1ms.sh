# SPDX-License-Identifier: GPL-2.0-or-later
# line: cold work at 1 ms against every peer in one run; after a remount as local
# bug: build switch AUGUR_SEED_NO_BATCH
# limit: 2400
[ -z "$BUG" ] || seeded AUGUR_SEED_NO_BATCH
build_all
bench cold -r 1 -t 3000 -w "walk1000 find grep pystart gitstatus replay500 seq rand1000" -s "ext4 nfs42 nfs42-tuned nfs-fsc sshfs augurfs"
