# SPDX-License-Identifier: GPL-2.0-or-later
# line: the parsers of frames and cache records under libFuzzer, ASan and UBSan: 10^7 executions each, no finding
# bug: build switch AUGUR_SEED_BAD_NAME
[ -z "$BUG" ] || seeded AUGUR_SEED_BAD_NAME
make --no-print-directory fuzz > "$build/fuzz.log" 2>&1 || { tail -n 5 "$build/fuzz.log"; figure "builds" no = yes; exit 0; }
for f in tests/fuzz/fuzz_*.c; do
	n=$(basename "$f" .c); n=${n#fuzz_}; mkdir -p "$build/fuzz-corpus/$n"
	rc=0; "$build/fuzz/fuzz_$n" -runs=10000000 -seed=1 -max_total_time=1200 -print_final_stats=1 "$build/fuzz-corpus/$n" $( [ ! -d "tests/fuzz/corpus/$n" ] || echo "tests/fuzz/corpus/$n") > "$build/fuzz-$n.log" 2>&1 || rc=$?
	figure "$n: executions" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/fuzz-$n.log")" '>=' 10000000
	figure "$n: findings" "$rc" = 0
	figure "$n: inputs in the committed corpus" "$(git ls-files "tests/fuzz/corpus/$n" | wc -l)" '>=' 1
done
