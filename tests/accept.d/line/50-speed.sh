# SPDX-License-Identifier: GPL-2.0-or-later
# line: cold walk and read of 1,000 small files at 10 ms >= 5 x faster than NFSv4.2; cold sequential >= 0.95 x of NFS
# bug: build switch AUGUR_SEED_NO_BATCH
[ -z "$BUG" ] || seeded AUGUR_SEED_NO_BATCH
build_all
bench nfs -r "1 10" -w "walk1000 seq100m" -s "nfs42 augurfs"
