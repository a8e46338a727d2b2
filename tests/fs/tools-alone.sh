#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tools-alone: the mount helper, the kernel's own words, and the command, with no augurd. A canned one says yes to
# "attach", so that what the kernel refuses is refused by the kernel and still reaches the one who mounts.
. /payload/tests/lib/guest.sh
requires module tools

scratch cache
mkdir -p /cache/ok /cache/empty /mnt/t
python3 - /cache/ok <<'PY'
import os, struct, sys
def crc32c(data):
    crc = 0xffffffff
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
def record(path, oid, size):
    head = struct.pack("<IBBBB16sQQIIqI", 0x31475541, 1, 2, 16, 0, oid, 1, size, 1, 1, 1700000000, 0)
    os.setxattr(path, "trusted.augur", head + struct.pack("<I", crc32c(head)))
root = sys.argv[1] + "/root"
os.mkdir(root)
with open(root + "/file", "w") as f:
    f.write("hello\n")
open(root + "/half-made", "w").close()	# no record: does not exist yet
record(root + "/file", b"file-object-0001", 6)
record(root, b"root-object-0001", 0)
PY
python3 - <<'PY' &
import os, socket
s = socket.socket(socket.AF_UNIX)
s.bind("/run/augur/canned.sock")
s.listen(8)
while True:
    c = s.accept()[0]
    c.recv(65536)
    c.sendall(b'{"schema":"augur.attach/1","ok":true}\n')
    c.close()
PY
cleanup kill $!
wait_until 30 test -S /run/augur/canned.sock
m() { mount.augurfs 127.0.0.1:1,127.0.0.1:2:/vol /mnt/t -o "ctl=/run/augur/canned.sock,$1"; }
export AUGUR_CTL=/run/augur/nobody.sock

must_fail -m "unknown option 'colour'" m cache=/cache/ok,colour=blue
must_fail -m 'kernel: augurfs: on_loss=maybe is not a valid value' m cache=/cache/ok,on_loss=maybe
must_fail -m 'kernel: .*has not prepared' m cache=/cache/empty
must_fail -m 'kernel: .*ext4, xfs or btrfs' m cache=/proc
must_fail -m 'absolute path' m cache=relative
is "$(awk '$3 == "augurfs"' /proc/mounts | wc -l)" 0 "mounts after refusals"

pp mount -t augurfs 127.0.0.1:1,127.0.0.1:2:/vol /mnt/t -o cache=/cache/ok,ctl=/run/augur/canned.sock,on_loss=eio,offline=ro,_netdev
grep ' /mnt/t augurfs ro,nosuid,nodev,' /proc/mounts
is "$(cat /mnt/t/file)" hello "a complete file with no daemon, under offline=ro"
must_fail -m "No such file" cat /mnt/t/half-made
must_fail -m 'in use' m cache=/cache/ok
must_fail -m 'read-only' mount -o remount,rw /mnt/t
must_fail -m 'kernel: .*cache= cannot change' mount -o remount,cache=/cache/empty /mnt/t
must_fail -m 'kernel: .*cache= cannot change' mount.augurfs 127.0.0.1:1:/vol /mnt/t -o remount,cache=/none
pp mount -o remount,cache=/cache/../cache/ok /mnt/t
pp mount -o remount,timeout_ms=5000 /mnt/t
is "$(cat /sys/fs/augurfs/[0-9]*/timeout_ms)" 5000 "timeout_ms after the remount"
is "$(cat /sys/fs/augurfs/[0-9]*/on_loss)" eio "on_loss after the remount"

rc=0; augur status || rc=$?
is "$rc" 2 "exit status of augur status with no augurd"
{ augur status --json || :; } | jq -e '.mounts[0] | .mount_point == "/mnt/t" and .health == "DEGRADED" and .kernel_state == "orphan" and .stats.opens >= 1'
{ augur doctor --json || :; } | jq -r '.checks[] | [.name, .state, .detail] | @tsv'
must_fail -m 'state orphan' augur where /mnt/t/file
must_fail -m 'neither the mount point' augur abort /mnt/t/file
pp augur abort /mnt/t
{ augur status --json || :; } | jq -e '.mounts[0].health == "FAILED"'
pp umount /mnt/t
augur status | grep 'no augurfs volume is mounted'
