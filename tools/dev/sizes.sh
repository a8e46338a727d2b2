#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# sizes.sh: the ten longest files and functions, and the rules about length: a file over 600 lines names its reason in a
# line with "long file:" near its top; a function over 120 lines is an error, one over 80 is listed. Called by style.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
bad=0
mapfile -t files < <(git ls-files --cached --others --exclude-standard -- '*.c' '*.h' '*.sh' '*.py' tests/run tests/accept tests/vm tools/dev Makefile |
	grep -vE '\.(md|list)$' | while read -r f; do [ ! -f "$f" ] || echo "$f"; done | sort -u)
[ ${#files[@]} -gt 0 ] || { echo "sizes: no files"; exit 0; }

echo "longest files:"
wc -l "${files[@]}" | grep -v ' total$' | sort -rn | sed -n 1,10p	# not head: a pipe that is closed early fails
while read -r n f; do
	[ "$n" -gt 600 ] || continue
	[ -n "$(sed -n '1,40{/long file:/p}' "$f")" ] || { echo "sizes: $f has $n lines and does not say why (\"long file: ...\")"; bad=1; }
done < <(wc -l "${files[@]}" | grep -v ' total$')

# A function of C begins where a line in column 1 is followed, before the next ';' or '}', by a '{' in column 1.
functions=$(for f in "${files[@]}"; do case $f in *.c) ;; *) continue ;; esac
	awk -v f="$f" '
		/^[A-Za-z_].*\(/ && !/;[ \t]*$/ && !/^(static )?(const )?(struct|enum|union) [A-Za-z_]+ [A-Za-z_]+.*=/ { head = $0 }
		/^{/ { start = NR }
		/^}[ \t]*$/ && start { name = head; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name); print NR - start + 1, f ":" start, name; start = 0 }
	' "$f"; done | sort -rn)
echo "longest functions:"
head -n 10 <<< "$functions" | sed 's/^/  /'
over=$(awk '$1 > 120' <<< "$functions")
[ -z "$over" ] || { echo "sizes: functions over 120 lines:"; echo "$over"; bad=1; }
[ "$bad" = 0 ] && echo "sizes: ok"
exit "$bad"
