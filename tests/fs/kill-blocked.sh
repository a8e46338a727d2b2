#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kill-blocked: readers that wait for a proxy which does not answer die at once when killed; umount -f returns with
# the daemon stopped; abort ends every wait.
. /payload/tests/lib/guest.sh

vol_up 1
ls "$MNT/d00" "$MNT/large" > /dev/null
for p in $PROXIES; do kill -STOP "$(daemon_pid "$p")"; done
pids=()
for f in d00/f0002 d00/f0003 large/big; do cat "$MNT/$f" > /dev/null & pids+=($!); done
python3 -c "import mmap; f = open('$MNT/large/sparse', 'rb'); mmap.mmap(f.fileno(), 0, prot=1)[5000000]" & pids+=($!)
live() { [ "$(cat /sys/kernel/debug/augurfs/*/requests | grep -c '^[0-9]')" -ge "$1" ]; }
wait_until 60 live 4
for p in "${pids[@]}"; do
	t0=$(date +%s%N)
	kill -KILL "$p"
	wait "$p" 2> /dev/null || :
	# Alive it would wait for its deadline, 30 s; how fast it is, tests/accept measures.
	at_most "$((($(date +%s%N) - t0) / 1000000))" 10000 "ms from SIGKILL to the end of a blocked reader"
done

cat "$MNT/large/big" > "$RUN/aborted" 2>&1 & pid=$!
wait_until 60 live 1
echo 1 > /sys/fs/augurfs/*/abort
if wait $pid; then fail "a read went on after abort"; fi
pp cat /sys/fs/augurfs/*/state
umount "$MNT"
for p in $PROXIES; do kill -CONT "$(daemon_pid "$p")"; done

vol_mount
kill -STOP "$(daemon_pid agent)"
cat "$MNT/large/big" > /dev/null 2>&1 & pid=$!
wait_until 60 live 1
umount -f "$MNT" || :		# busy is allowed while the reader ends, a hang is not
wait $pid || :
kill -CONT "$(daemon_pid agent)"
! mountpoint -q "$MNT" || umount "$MNT"
