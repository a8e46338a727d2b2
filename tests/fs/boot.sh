#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# boot: the vehicle itself. A stock kernel, the namespaces with a link of 10 ms, two scratch disks, a tree that the
# hash sees to be equal or not; and, once it is built, the module loads and unloads with nothing left.
. /payload/tests/lib/guest.sh

say "kernel $(uname -r), $(nproc) processor(s), up $(cut -d' ' -f1 /proc/uptime) s"
net_up
link 10
rtt=$(on client ping -c 3 -i 0.2 -q 10.9.0.2 | awk -F/ '/^rtt/ { print $5 }')
at_least "$rtt" 10 "round trip (ms)"

origin_make --files 60
scratch cache
cp -a /origin/. /cache/copy
same_tree /origin /cache/copy
echo x >> /cache/copy/d00/f0001
is "$(tree_hash /origin)" "$(tree_hash /origin)" "hash of the same tree"
[ "$(tree_hash /origin)" != "$(tree_hash /cache/copy)" ] || fail "a changed file does not change the hash"

must_fail -m 'No such file' cat /origin/none
wait_until 5 test -e /origin/d00

if [ -e /payload/augurfs.ko ]; then
	pp modprobe augurfs
	grep -qw augurfs /proc/filesystems
	pp rmmod augurfs
	dmesg_has 'augurfs: unload: live objects 0$' || fail "no line with the module's counters"
fi
