# SPDX-License-Identifier: GPL-2.0-or-later
#
# pitfalls.sh: each pitfall of a filesystem whose bytes come from a daemon ends well, and does not when the fault point
# takes its cure out; buffers that are absent mappings while the cache's filesystem is frozen and thawed (1 s a fill).
. /payload/tests/lib/guest.sh
requires module python3
scratch cache
modprobe augurfs
expect_dmesg 'was not answered'
export PYTHONPATH=$T/vm:$T/lib DEATHS=${DEATHS:-300}
pitfall() { timeout 900 python3 "$T/lib/pitfalls.py" "$@"; }
unnoticed=0
while read -r number name point; do
	if [ -z "${BUG:-}" ]; then
		rc=0; pitfall "$name" || rc=$?
		figure "pitfall $number, $name: right" "$([ $rc = 0 ] && echo yes || echo "no ($rc)")" = yes
	fi
	[ "$point" != - ] || continue
	rc=0; pitfall "$name" "$point" || rc=$?
	[ $rc = 1 ] || unnoticed=$((unnoticed + 1))
	[ -n "${BUG:-}" ] || figure "pitfall $number, $name: fails without its cure ($point)" "$([ $rc = 1 ] && echo yes || echo "no ($rc)")" = yes
done < <(python3 "$T/lib/pitfalls.py" --list)
# All have to be noticed to make this one short.
[ -z "${BUG:-}" ] || figure "pitfalls whose test is right without the cure" "$unnoticed" '>' 0
