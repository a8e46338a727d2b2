# SPDX-License-Identifier: GPL-2.0-or-later
# line: on a clean Debian 12, `.ci/run` (all of `make check`) passes, on two processors in 40 minutes
# bug: a unit test that fails (tests/unit/test_seeded.c)
# limit: 3000
. tests/accept.d/clean.sh
clean_root
[ -z "$BUG" ] || printf 'int main(void)\n{\n\treturn 1;\n}\n' > "$clean/src/tests/unit/test_seeded.c"
t=$EPOCHREALTIME; rc=0; in_clean taskset -c 0,1 .ci/run | tee "$clean/ci.out" || rc=$?
figure ".ci/run: status" "$rc" = 0
figure "last line" "$(tail -n 1 "$clean/ci.out" | sed 's/^[0-9]* passed, 0 failed, [0-9]* skipped$/N passed, 0 failed/')" = "N passed, 0 failed"
figure "tests passed" "$(tail -n 1 "$clean/ci.out" | cut -d' ' -f1)" '>' 10
figure "minutes" "$(awk "BEGIN { printf \"%.1f\", ($EPOCHREALTIME - $t) / 60 }")" '<=' 40
