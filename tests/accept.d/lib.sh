# SPDX-License-Identifier: GPL-2.0-or-later
#
# lib.sh: what an acceptance line (tests/accept.d/NAME/*.sh) uses on the host's side. The line's rows are lines
# "figure <tab> ok|short <tab> name <tab> value <tab> comparison and bar" on standard output.
set -euo pipefail
build=${AUGUR_BUILD:-$PWD/build}; mkdir -p "$build"

# figure NAME VALUE OP BAR, as in tests/lib/guest.sh.
figure() {
	local verdict=short
	case $3 in
	=) [ "$2" != "$4" ] || verdict=ok ;;
	# To awk a word is a variable, and that is 0.
	*) [[ ! $2 =~ ^-?[0-9.]+(e[-+]?[0-9]+)?$ ]] || ! awk "BEGIN { exit !($2 $3 $4) }" 2> /dev/null || verdict=ok ;;
	esac
	printf 'figure\t%s\t%s\t%s\t%s %s\n' "$verdict" "$1" "${2//$'\n'/; }" "$3" "$4"
}
# A build of its own with a seeded bug: seeded MACRO. What follows builds and tests that one.
seeded() {
	export DEFS="-D$1" BUILD="$PWD/build/seed" AUGUR_BUILD="$PWD/build/seed"
	build=$BUILD; mkdir -p "$build"
}
holds() { local n=$1; shift; if "$@"; then figure "$n" yes = yes; else figure "$n" no = yes; fi; }
not_here() { echo "$*"; exit 77; }
build_all() { make --no-print-directory -j"$(nproc)" all > "$build/accept-build.log" 2>&1 || { tail -n 20 "$build/accept-build.log"; figure "builds" no = yes; exit 0; }; }

# guest NAME [tests/vm/run options]: runs tests/accept.d/guest/NAME.sh in a guest; its rows are the line's rows. The
# script has guest.sh; a seeded bug that is a fault point of the module arrives as INJECT.
guest() {
	local n=$1 s rc=0; shift
	s=$(mktemp)
	{
		case ${BUG:-} in 'inject '*) echo "export INJECT=${BUG#inject }" ;; esac
		echo "export BUG='${BUG:-}'"
		echo ". /payload/tests/accept.d/guest/$n.sh"
	} > "$s"
	tests/vm/run -t 1400 "$@" "$s" || rc=$?
	rm -f "$s"
	if [ "$rc" = 77 ]; then figure "$n: parts are built" no = yes
	elif [ "$rc" != 0 ]; then figure "$n: runs to its end" "status $rc" = 0; fi
}

# bench KIND [tests/bench/run options]: a benchmark in deterministic time; bars.py KIND makes the figures.
bench() {
	local kind=$1 rows=$build/bench/accept-$1.tsv rc=0; shift
	mkdir -p "$build/bench"
	tests/bench/run -k 6.1 -o "$rows" "$@" || rc=$?
	figure "the benchmark's status" "$rc" = 0
	python3 tests/bench/bars.py "$kind" "$rows" || figure "the benchmark has rows" no = yes
}

# fuzz TARGET...: 10^7 executions of each; with a seeded bug, which is found soon or never, fewer.
fuzz() {
	local runs=10000000 t n rate found
	[ -z "${BUG:-}" ] || runs=300000
	{ tests/fuzz/run -n $runs -t 5400 "$@" || [ $? = 1 ]; } > "$build/fuzz.tsv" || { figure "builds" no = yes; return; }
	while IFS=$'\t' read -r t n rate found; do
		[ -n "${BUG:-}" ] || figure "$t: executions ($rate a second)" "${n:-0}" '>=' $runs
		figure "$t: findings" "$found" = 0
		figure "$t: inputs in the committed corpus" "$(git ls-files "tests/fuzz/corpus/$t" | wc -l)" '>=' 1
	done < "$build/fuzz.tsv"
	figure "targets that ran, of $#" "$(wc -l < "$build/fuzz.tsv")" = $#
}
