# SPDX-License-Identifier: GPL-2.0-or-later
#
# bars.sh: speed as figures with bars, for acceptance lines (tests/accept.d/*/*.sh, which have `figure` and `build_all`).
#   . tests/bench/bars.sh
#   bench_run "nfs42 augurfs" "1 10" "walk1000 seq100m" [tests/bench/run options]     once; the bars below read its rows
#   bench_faster NAME A B WORKLOAD PHASE RTT BAR     B takes at most 1/BAR of A's seconds; prints both
#   bench_share NAME A B WORKLOAD PHASE RTT BAR      B reaches at least BAR of A's speed
#   bench_at_most NAME SYSTEM WORKLOAD PHASE RTT COLUMN BAR     seconds, busy_s, stall_s or wire_bytes
#   bench_ops NAME A B BAR OPERATION...              micro: worst of B's nanoseconds over A's, at most BAR
BENCH_ROWS=${AUGUR_BUILD:-build}/bench/bars.tsv

bench_run() {
	local systems=$1 rtts=$2 workloads=$3; shift 3
	tests/bench/run -s "$systems" -r "$rtts" -w "$workloads" -o "$BENCH_ROWS" "$@" || figure "the benchmark runs to its end" "status $?" = 0
}
_bench_figure() { python3 tests/bench/report.py --figure "$@" "$BENCH_ROWS" 2> /dev/null || echo none; }
_bench_ratio() { python3 tests/bench/report.py --ratio "$@" "$BENCH_ROWS" 2> /dev/null || echo none; }
bench_faster() {
	local a b
	a=$(_bench_figure "$2" "$4" "$5" "$6" seconds); b=$(_bench_figure "$3" "$4" "$5" "$6" seconds)
	figure "$1 ($2 $a s, $3 $b s)" "$(_bench_ratio "$2" "$3" "$4" "$5" "$6")" '>=' "$7"
}
bench_share() { bench_faster "$@"; }
bench_at_most() { figure "$1" "$(_bench_figure "$2" "$3" "$4" "$5" "$6")" '<=' "$7"; }
bench_ops() {
	local name=$1 a=$2 b=$3 bar=$4 op r rtt worst=0 at=; shift 4
	rtt=$(awk -F'\t' -v s="$b" '$1 == s { print $2; exit }' "$BENCH_ROWS")
	for op in "$@"; do
		r=$(_bench_ratio "$b" "$a" "$op" op "${rtt:-0}")
		[ "$r" != none ] || { worst=none; at=$op; break; }
		! awk "BEGIN { exit !($r > $worst) }" || { worst=$r; at=$op; }
	done
	figure "$name ($at)" "$worst" '<=' "$bar"
}
