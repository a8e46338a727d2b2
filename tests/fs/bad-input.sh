#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# bad-input: what can be wrong with a mount is said with its cause and the next step, and leaves nothing behind.
. /payload/tests/lib/guest.sh

vol_up 1
vol_umount
m() { mount.augurfs "$(vol_source)" "$MNT" -o "ctl=/run/augur/agent.sock,$1"; }
scratch cache
mkdir -p /cache/ok /cache/other /run/tmpfs-ro
must_fail -m 'unknown option.*colour|colour.*unknown|Unknown parameter' m cache=/cache/ok,colour=blue
must_fail -m 'timeout_ms' m cache=/cache/ok,timeout_ms=never
must_fail -m 'on_loss' m cache=/cache/ok,on_loss=maybe
must_fail -m 'cache=' m lease_ms=1000
must_fail -m 'does not exist' m cache=/cache/none
must_fail -m 'ext4, xfs or btrfs' m cache=/proc
mount -t tmpfs -o ro t /run/tmpfs-ro
must_fail -m 'not writable|read-write' m cache=/run/tmpfs-ro
umount /run/tmpfs-ro
# The daemon, too: a folder is no file of options, an empty text is no name, and what is no socket is not removed.
must_fail -m "Is a directory" augurd --role agent --config /tmp
must_fail -m "is not a text" augurd --role agent --insecure --id ""
echo precious > "$RUN/file"
must_fail -m "no socket" augurd --role agent --insecure --ctl "$RUN/file"
is "$(cat "$RUN/file")" precious "a file that is there"
must_fail -m 'PROXY' mount.augurfs nonsense "$MNT" -o cache=/cache/ok,ctl=/run/augur/agent.sock
must_fail -m 'not export|volume' mount.augurfs 10.9.0.1:/other "$MNT" -o cache=/cache/other,ctl=/run/augur/agent.sock
mkdir -p /cache/far
must_fail -m 'answers|reach' mount.augurfs 10.9.0.77:/vol "$MNT" -o cache=/cache/far,ctl=/run/augur/agent.sock,timeout_ms=2000
must_fail -m 'augurd' mount.augurfs "$(vol_source)" "$MNT" -o cache=/cache/ok,ctl=/run/augur/nobody.sock,timeout_ms=1000
vol_mount
mkdir -p /mnt/second
must_fail -m 'in use|another' mount.augurfs "$(vol_source)" /mnt/second -o cache=/cache/a,ctl=/run/augur/agent.sock
mkdir -p /cache/a/root/in
must_fail -m 'in another cache' mount.augurfs "$(vol_source)" /mnt/second -o cache=/cache/a/root/in,ctl=/run/augur/agent.sock
rmdir /cache/a/root/in; mv /cache/ok /cache/a/root/in
must_fail mount -t augurfs -i "$(vol_source)" /mnt/second -o cache=/cache/a/root/in
dmesg_has 'augurfs: cache=/cache/a/root/in is in use by' || fail "the kernel log does not say why: $(dmesg | tail -n 3)"
mv /cache/a/root/in /cache/ok
mkdir -p /cache/raw
must_fail mount -t augurfs -i "$(vol_source)" /mnt/second -o cache=/cache/raw
dmesg_has 'augurfs: /cache/raw.*augurd has not prepared.*mount.augurfs' || fail "the kernel log does not say why: $(dmesg | tail -n 3)"
must_fail -m 'Read-only|read-only|write' mount -o remount,rw "$MNT"
must_fail -m 'not within|Invalid|out of range|Numerical' bash -c "echo -5 > /sys/fs/augurfs/[0-9]*/timeout_ms"
is "$(grep -c augurfs /proc/mounts)" 1 "mounts that exist"
