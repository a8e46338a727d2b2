#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# log: opens, misses and closes reach `augur log` with path and session; no event is lost uncounted.
. /payload/tests/lib/guest.sh

vol_up 1
bash -c "cat $MNT/d00/f0002 > /dev/null; cat $MNT/d00/f0002 > /dev/null"
# Each CPU has a ring of its own: the last to happen need not be the last to come.
rows() { augur --ctl /run/augur/agent.sock log -n 100 --json | jq -r --arg op "$1" '(.row // .) | select(.path == "/d00/f0002" and .op == $op) | .op' | wc -l; }
logged() { [ "$(rows open)" -ge 2 ] && [ "$(rows close)" -ge 2 ] && [ "$(rows miss)" -ge 1 ]; }
wait_until 60 logged
augur --ctl /run/augur/agent.sock log -n 100 --json > "$RUN/log"
is "$(jq -r '(.row // .) | select(.path == "/d00/f0002" and .op == "open") | .session' "$RUN/log" | sort -u | wc -l)" 1 "sessions of one job"
at_least "$(jq -r '(.row // .) | select(.path == "/d00/f0002" and .op == "miss") | .latency_us' "$RUN/log" | head -n 1)" 1 "latency of the miss (us)"
is "$(jq -r '(.row // .) | select(.path == "/d00/f0002" and .op == "open") | .comm' "$RUN/log" | head -n 1)" cat "program of the open"
is "$(stat_of events_produced)" "$(($(stat_of events_accepted) + $(stat_of events_dropped)))" "events produced"
pp augur --ctl /run/augur/agent.sock log -n 5
