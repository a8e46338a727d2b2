# SPDX-License-Identifier: GPL-2.0-or-later
# line: power cuts during fill, eviction and version switch: >= 1,000 points, no false claim, no name lost
# bug: build switch AUGUR_SEED_NO_SYNC
[ -x tests/powercut/run ] || { figure "tests/powercut: built" no = yes; exit 0; }
[ -z "$BUG" ] || seeded AUGUR_SEED_NO_SYNC
build_all
tests/powercut/run --points 1000 --recover 12 --json > "$build/powercut.json" || :
figure "points" "$(jq .points "$build/powercut.json")" '>=' 1000
figure "false claims" "$(jq .false_claims "$build/powercut.json")" = 0
figure "names lost" "$(jq .names_lost "$build/powercut.json")" = 0
figure "cut disks on which proxy and agent start" "$(jq .recovered "$build/powercut.json")" '>=' 12
figure "of them with a reader who sees what is not so" "$(jq .recovered_wrong "$build/powercut.json")" = 0
if [ -z "$BUG" ]; then
	tests/powercut/run --points 200 --prove --json > "$build/powercut-prove.json" || :
	figure "without the sync: points that fail (%)" "$(jq '100 * .failed / .points | floor' "$build/powercut-prove.json")" '>=' 10
fi
