# SPDX-License-Identifier: GPL-2.0-or-later
# line: cold work at 40 ms against every peer in one run; after a remount as local
# bug: build switch AUGUR_SEED_NO_BATCH
# limit: 3000
[ -z "$BUG" ] || seeded AUGUR_SEED_NO_BATCH
build_all
bench cold -r 40 -t 9000 -w "walk1000 find grep pystart gitstatus replay500 seq seq100m rand1000" -s "ext4 nfs42 nfs42-tuned nfs-fsc sshfs augurfs"
