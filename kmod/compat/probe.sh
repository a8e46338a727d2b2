#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# probe.sh - asks the kernel's headers one question per file of probes/ and writes the
# answers as HAVE_ macros.  Usage: probe.sh OUTPUT PROBES-DIRECTORY COMPILER FLAGS...
#
# A probe is yes if it compiles.  basic.c must compile: without it every answer would be a
# silent no, and the module would be built for a kernel that does not exist.
set -u
out=$1 dir=$2
shift 2

ask() {
	"$@" -Wno-unused-but-set-variable -Wno-unused-variable \
		-Werror=implicit-function-declaration -Werror=incompatible-pointer-types \
		-Werror=discarded-qualifiers -Werror=int-conversion \
		-fsyntax-only "$probe" >"$tmp.log" 2>&1
}

tmp=$out.tmp.$$
trap 'rm -f "$tmp" "$tmp.log"' EXIT
mkdir -p "$(dirname "$out")"

probe=$dir/basic.c
if ! ask "$@"; then
	cat "$tmp.log" >&2
	echo "augurfs: the kernel headers cannot be compiled with $1; see above" >&2
	exit 1
fi

{
	echo "/* Made by probe.sh; do not edit. */"
	for probe in "$dir"/*.c; do
		name=$(basename "$probe" .c | tr a-z A-Z)
		if ask "$@"; then
			echo "#define HAVE_$name 1"
		else
			echo "/* no HAVE_$name */"
		fi
	done
} >"$tmp"
if ! cmp -s "$tmp" "$out"; then
	mv "$tmp" "$out"
fi
touch "$out"
