# SPDX-License-Identifier: GPL-2.0-or-later
# line: >= 10^4 seeded runs of agent and three proxies under faults: no wrong byte, no lost waiter, same seed same trace
# bug: tests/sim/run --bug lost-waiter
# limit: 2700
[ -x tests/sim/run ] || { figure "tests/sim: built" no = yes; exit 0; }
build_all
# What a mistake leads to is met by several checks; the one that this line is about has to be among them.
found_as() {
	local rc=0
	tests/sim/run --seeds 1-2000 --bug "$1" --as "$2" > "$build/sim-$1.log" 2>&1 || rc=$?
	[ "$rc" = 1 ]
}
if [ -n "$BUG" ]; then
	figure "runs with a lost waiter" "$(found_as lost-waiter lost && echo '>= 1' || echo 0)" = 0
	exit 0
fi
tests/sim/run --seeds 1-10000 --json > "$build/sim.json" || :
figure "seeded runs" "$(jq .runs "$build/sim.json")" '>=' 10000
figure "runs with a wrong byte" "$(jq .wrong "$build/sim.json")" = 0
figure "runs with a lost waiter" "$(jq .lost "$build/sim.json")" = 0
figure "runs that failed otherwise" "$(jq .failed "$build/sim.json")" = 0
figure "seeds that gave another trace again, of 100" "$(jq .unlike "$build/sim.json")" = 0
echo "hits: $(jq -rc .hits "$build/sim.json")"
figure "kinds of faults, or of what a full disk leads to" "$(jq '.hits | length' "$build/sim.json")" '>=' 18
figure "of them, that never hit" "$(jq '[.hits[] | select(. == 0)] | length' "$build/sim.json")" = 0
holds "seeded bug lost-waiter: found as a lost waiter" found_as lost-waiter lost
for b in claim-before-data stale-reply; do
	holds "seeded bug $b: found as a wrong byte" found_as "$b" wrong
done
