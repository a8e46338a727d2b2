# SPDX-License-Identifier: GPL-2.0-or-later
#
# workload.sh: what runs in the guest while its cache disk is recorded (tests/powercut/run): fills, changes at the origin,
# remounts, daemons that are killed. Cache and store lie on the recorded disk, the origin on another that is kept.
. /payload/tests/lib/guest.sh
ROUNDS=$1 SEED=$2 FS_SIZE=$3 FS=${4:-ext4}
PROXIES=p1 VOL_OPTS=chunk_kb=16 ORIGIN=/origin/tree

disk() { local d; for d in /sys/block/vd*; do [ "$(cat "$d/serial")" != "$1" ] || echo "/dev/${d##*/}"; done; }
dev=$(disk w0)
mkdir -p /cache /origin
mount -t "$FS" -o noatime "$dev" /cache
mount -t ext4 -o noatime "$(disk w1)" /origin
mkdir -p /cache/store /origin/tree /out
mount --bind /cache/store /var/lib/augur
cleanup umount /var/lib/augur
work() { python3 /payload/tests/powercut/workload.py "$ORIGIN" "$MNT" /out/states "$dev:$FS_SIZE" "$@"; }
echo "U $(blkid -s UUID -o value "$(disk w1)" | tr -d -)" > /out/states
work make
vol_up 1
for ((i = 1; i <= ROUNDS; i++)); do
	say "round $i of $ROUNDS at $(cut -d. -f1 /proc/uptime) s"
	work round "$i" "$SEED"
	case $((i % 5)) in
	1) vol_remount "$VOL_OPTS"; work over ;;
	2) daemon_stop agent KILL; agent_start; work over ;;
	3) vol_umount; daemon_stop agent; agent_start; vol_mount "$VOL_OPTS"; work over ;;
	4) daemon_stop p1 KILL; proxy_start p1; work over ;;
	esac
done
vol_umount
daemon_stop agent
daemon_stop p1
