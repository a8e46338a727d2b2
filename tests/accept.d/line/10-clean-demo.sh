# SPDX-License-Identifier: GPL-2.0-or-later
# line: on a clean Debian 12, `make demo` alone installs, builds, boots and shows a real /usr from two proxies 10 ms away
# bug: the proxies' map gives every slot to one proxy (AUGUR_DEMO_PROXIES=p1)
# limit: 1500
. tests/accept.d/clean.sh
clean_root
t=$EPOCHREALTIME
rc=0; in_clean env ${BUG:+AUGUR_DEMO_PROXIES=p1} make demo || rc=$?
first=$(awk "BEGIN { printf \"%.0f\", $EPOCHREALTIME - $t }")
figure "make demo: status" "$rc" = 0
figure "first time, with installation (s)" "$first" '<=' 600
t=$EPOCHREALTIME; rc=0; in_clean make demo || rc=$?
figure "again: status" "$rc" = 0
figure "again (s)" "$(awk "BEGIN { printf \"%.0f\", $EPOCHREALTIME - $t }")" '<=' 180
j=$clean/src/build/demo.out/demo.json
if [ -s "$j" ]; then
	figure "files" "$(jq .files "$j")" '>=' 5000
	figure "MiB" "$(jq '.bytes / 1048576 | floor' "$j")" '>=' 150
	figure "round trip (ms)" "$(jq .rtt_ms "$j")" = 10
	figure "tree hash equal" "$(jq '.hash_origin == .hash_cold and .hash_cold == .hash_warm' "$j")" = true
	figure "smaller share (%)" "$(jq '[.cold.p1_bytes, .cold.p2_bytes] | 100 * min / add | floor' "$j")" '>=' 35
	figure "second pass: upcalls" "$(jq .warm.upcalls "$j")" = 0
else
	figure "the demo left its result" no = yes
fi
holds "a picture was left" test -s "$clean/src/build/demo.svg"
