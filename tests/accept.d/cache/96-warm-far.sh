# SPDX-License-Identifier: GPL-2.0-or-later
# line: warm passes at 40 ms as at 1 ms
# bug: build switch AUGUR_SEED_NO_LEASE
[ -z "$BUG" ] || seeded AUGUR_SEED_NO_LEASE
build_all
bench far -r "1 40" -w "walk1000 find grep pystart gitstatus replay500 seq rand1000" -s augurfs
