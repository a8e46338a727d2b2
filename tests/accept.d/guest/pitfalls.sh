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
while read -r number name point; do
	rc=0; pitfall "$name" || rc=$?
	figure "pitfall $number, $name: right" "$([ $rc = 0 ] && echo yes || echo "no ($rc)")" = yes
	[ "$point" != - ] || continue
	if [ -n "${BUG:-}" ]; then	# the cures stay in: what is to fail is not seen to fail
		figure "pitfall $number, $name: fails without its cure ($point)" unproved = yes
		continue
	fi
	rc=0; pitfall "$name" "$point" || rc=$?
	figure "pitfall $number, $name: fails without its cure ($point)" "$([ $rc = 1 ] && echo yes || echo "no ($rc)")" = yes
done < <(python3 "$T/lib/pitfalls.py" --list)
