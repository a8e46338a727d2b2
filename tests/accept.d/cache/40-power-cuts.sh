# SPDX-License-Identifier: GPL-2.0-or-later
# line: power cuts during fill, eviction and version switch: >= 1,000 points, no false claim, no name lost
# bug: build switch AUGUR_SEED_NO_SYNC
# limit: 4500
[ -x tests/powercut/run ] || { figure "tests/powercut: built" no = yes; exit 0; }
[ -z "$BUG" ] || seeded AUGUR_SEED_NO_SYNC
build_all
tests/powercut/run --points 1200 --recover 12 --guest 4 --json > "$build/powercut.json" || :
of() { jq "$1" "$build/powercut.json"; }
figure "points" "$(of .points)" '>=' 1000
for phase in fill evict switch; do figure "points during: $phase" "$(of .points_$phase)" '>=' 100; done
for what in claims names pins; do figure "points with $what to judge" "$(of .points_with_$what)" '>=' 900; done
figure "false claims" "$(of .false_claims)" = 0
figure "names lost" "$(of .names_lost)" = 0
figure "pins lost" "$(of .pins_lost)" = 0
figure "cut disks on which proxy and agent start" "$(of .recovered)" '>=' 12
figure "of them with a reader who sees what is not so" "$(of .recovered_wrong)" = 0
figure "of them mounted in a guest with the module" "$(of .guest_recovered)" '>=' 4
figure "of these, what is not so" "$(of .guest_recovered_wrong)" = 0
# proved MACRO FIELD: points (%) that fail by it in a build with the seeded bug.
proved() {
	tests/powercut/run --points 400 --prove "$1" --json > "$build/powercut-prove.json" || :
	jq "100 * .points_with_$2 / .points | floor" "$build/powercut-prove.json"
}
if [ -z "$BUG" ]; then
	figure "without the sync: points that fail (%)" "$(proved AUGUR_SEED_NO_SYNC false_claims)" '>=' 10
	figure "evicted before the claim is taken back: points with a hole under a claim (%)" "$(proved AUGUR_SEED_EARLY_PUNCH punched)" '>' 0
	figure "names forgotten under a claim: points that lost one (%)" "$(proved AUGUR_SEED_KEPT_CLAIM names_lost)" '>=' 10
	figure "pinned before it is durable: points that lost a pin (%)" "$(proved AUGUR_SEED_NO_PIN_SYNC pins_lost)" '>' 0
fi
