# SPDX-License-Identifier: GPL-2.0-or-later
#
# speed.sh: in deterministic time, cold reads through augurfs and through NFSv4.2 of the same tree over the same link.
# Small files at 1 Gbit/s (latency-bound), the large one at 100 Mbit/s (throughput). Seconds are virtual.
. /payload/tests/lib/guest.sh
requires module daemon tools
PROXIES="p1 p2"
scratch origin 400
python3 "$T/lib/mktree.py" --plain --files 1000 --per-dir 50 /origin/small
head -c 134217728 /dev/urandom > /origin/big
tar cf - -C /origin . | cat > /dev/null
net_up; nfs_up
now() { cut -d' ' -f1 /proc/uptime; }
timed() { local a=$EPOCHREALTIME; "$@"; awk "BEGIN { printf \"%.3f\", $EPOCHREALTIME - $a }"; }
walk() { tar cf - -C "$1" small | cat > /dev/null; }
big() { dd if="$1/big" of=/dev/null bs=1M status=none; }
# The programs themselves, and the server's first grace period.
walk /origin; link 1 1gbit
wait_until 60 nfs_mount /mnt/n; wait_until 60 cat /mnt/n/small/d00/f0001; umount /mnt/n
measure_nfs() { nfs_mount /mnt/n; "$1" /mnt/n > /dev/null 2>&1 || :; umount /mnt/n; nfs_mount /mnt/n; timed "$1" /mnt/n; umount /mnt/n; }
for p in $PROXIES; do proxy_start "$p"; done
agent_start
measure_augur() { vol_fresh > /dev/null; timed "$1" "$MNT"; }
ratio() { awk "BEGIN { printf \"%.2f\", $1 / ($2 + 0.000001) }"; }
vol_fresh > /dev/null; walk "$MNT"	# once unmeasured, as NFS had its exercise

link 10 1gbit
n=$(measure_nfs walk); a=$(measure_augur walk)
say "small files, 10 ms: nfs $n s, augurfs $a s"
figure "1,000 small files at 10 ms: times NFS ($n s / $a s)" "$(ratio "$n" "$a")" '>=' 5
for rtt in 1 10; do
	link $rtt 100mbit
	n=$(measure_nfs big); w=$(wire_bytes); a=$(measure_augur big); w=$((($(wire_bytes) - w) >> 20))
	figure "sequential at $rtt ms: MiB on the wire, so it was cold" "$w" '>=' 128
	say "sequential 128 MiB, $rtt ms: nfs $n s, augurfs $a s"
	figure "sequential at $rtt ms: share of NFS's speed" "$(ratio "$n" "$a")" '>=' 0.95
done
