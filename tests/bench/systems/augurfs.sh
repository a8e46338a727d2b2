# SPDX-License-Identifier: GPL-2.0-or-later
# augurfs: two proxies (srv1, srv2), one agent on the client, its cache on the client's disk. The agent is started for
# each mount, so that a cold run finds nothing in its memory and a kept cache is read back from the disk.
KEEPS=1
sys_up() {
	local p
	requires module daemon tools
	for p in $PROXIES; do proxy_start "$p"; done
}
sys_mount() { agent_start && vol_mount "${VOL_OPTS:-}"; }
sys_umount() { settle umount "$MNT"; daemon_stop agent; fresh_cache; }
sys_wipe() { rm -rf /cache/a; }
# The module's counters, what the agent brought unasked, and nanoseconds of processor each daemon has used. Which bytes
# were used is told by the access log, a tenth of a second late.
sys_counters() {
	local f n
	read -r -t 0.3 <> <(:)
	augur --ctl /run/augur/agent.sock --json status 2> /dev/null |
		jq -r '.mounts[].daemon.counters | to_entries[] | select(.key | test("^(ahead|behind|batches)")) | "\(.key) \(.value)"'
	for f in /sys/fs/augurfs/*/stats/*; do [ ! -f "$f" ] || echo "${f##*/} $(< "$f")"; done
	for n in agent $PROXIES; do
		f=$(daemon_pid "$n") || continue
		echo "cpu_ns_$n $(cat /proc/"$f"/task/*/schedstat 2> /dev/null | awk '{ n += $1 } END { printf "%.0f", n }')"
	done
}
sys_upcalls() { echo /sys/fs/augurfs/*/stats/upcalls; }
sys_down() {
	local p
	cd /; umount "$MNT" 2> /dev/null
	daemon_stop agent; for p in $PROXIES; do daemon_stop "$p"; done
	rmmod augurfs 2> /dev/null
}
