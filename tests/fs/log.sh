#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# log: opens, misses and closes reach `augur log` with path and session; no event is lost uncounted.
. /payload/tests/lib/guest.sh

vol_up 1
bash -c "cat $MNT/d00/f0002 > /dev/null; cat $MNT/d00/f0002 > /dev/null"
logged() { augur --ctl /run/augur/agent.sock log -n 100 --json | grep -q '"path": *"/d00/f0002"'; }
wait_until 20 logged
closes() { [ "$(augur --ctl /run/augur/agent.sock log -n 100 --json | jq -r '(.row // .) | select(.path == "/d00/f0002" and .op == "close") | .session' | wc -l)" -ge 2 ]; }
wait_until 20 closes
augur --ctl /run/augur/agent.sock log -n 100 --json > "$RUN/log"
is "$(jq -r '(.row // .) | select(.path == "/d00/f0002" and .op == "open") | .session' "$RUN/log" | sort -u | wc -l)" 1 "sessions of one job"
at_least "$(jq -r '(.row // .) | select(.path == "/d00/f0002" and .op == "miss") | .latency_us' "$RUN/log" | head -n 1)" 1 "latency of the miss (us)"
is "$(jq -r '(.row // .) | select(.path == "/d00/f0002" and .op == "open") | .comm' "$RUN/log" | head -n 1)" cat "program of the open"
is "$(stat_of events_produced)" "$(($(stat_of events_accepted) + $(stat_of events_dropped)))" "events produced"
pp augur --ctl /run/augur/agent.sock log -n 5
