# SPDX-License-Identifier: GPL-2.0-or-later
# line: what the access log adds to a cached 4 KiB read; its rings and file under 100,000 and 1,000,000 events a second
# bug: build switch AUGUR_SEED_RING_LOSS
# limit: 1800
[ -z "$BUG" ] || seeded AUGUR_SEED_RING_LOSS
make --no-print-directory BUILD="$build" "$build/log_bench" > "$build/accept-log.log" 2>&1 || { tail -n 5 "$build/accept-log.log"; figure "builds" no = yes; exit 0; }
dir=$(mktemp -d "$build/log.XXXXXX"); trap 'rm -rf "$dir"' EXIT
value() { awk -v n="$1" '$1 == n { print $2 }' "$dir/out"; }

# At the rate asked for nothing is dropped; a machine that was busy with something else shows in the rate.
"$build/log_bench" -d "$dir" -r 120000 -s 12 > "$dir/out"; sed 's/^/100k: /' "$dir/out"
[ -n "$BUG" ] || figure "events a second for 12 s" "$(value events_a_second)" '>=' 100000
[ -n "$BUG" ] || figure "records of them dropped" "$(value dropped)" = 0
figure "records neither accepted nor dropped" "$(value uncounted)" = 0
# Ten times that, into small rings, so that some are dropped on any machine.
"$build/log_bench" -d "$dir" -r 1200000 -s 5 -k 64 > "$dir/out"; sed 's/^/1000k: /' "$dir/out"
[ -n "$BUG" ] || figure "ten times that: records dropped" "$(value dropped)" '>' 0
figure "ten times that: accepted + dropped - records" "$(($(value accepted) + $(value dropped) - $(value records)))" = 0
[ -z "$BUG" ] || exit 0

build_all
mkdir -p "$build/bench"
${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -O2 -w -static -o "$build/bench/ops-log" tests/bench/ops.c || { figure "ops builds" no = yes; exit 0; }
guest log -k 6.1 -i -x "$build/bench/ops-log"
