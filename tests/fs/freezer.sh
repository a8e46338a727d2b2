#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# freezer: whoever waits for the daemon can be frozen, as for a suspend or a checkpoint, and goes on when thawed.
. /payload/tests/lib/guest.sh

requires module python3
scratch cache
modprobe augurfs
mkdir -p /run/freezer
mount -t cgroup -o freezer freezer /run/freezer || skip "no freezer in this kernel"
cleanup umount /run/freezer
PYTHONPATH=$T/vm:$T/lib python3 - << 'PY'
import os
from fakedaemon import *
from rawio import Map

C = 65536
vol = Volume("/cache/freezer", "/mnt/freezer")
vol.mkroot()
for i in range(8):
    vol.stub(f"f{i}", 4 * C)
vol.mount(NO_DEADLINE)
d = Daemon(); d.register(vol.id()); d.lease()
group = "/run/freezer/augur"
os.makedirs(group, exist_ok=True)
state = lambda: open(group + "/freezer.state").read().strip()

def put(name, what):
    with open(f"{group}/{name}", "w") as f:
        f.write(str(what))

def point(times):
    with open("/sys/kernel/debug/augurfs/inject/unfreezable", "w") as f:
        f.write(str(times))

def answer(q):
    vol.fill(q["OID"].rstrip(b"\1").decode(), q["OFFSET"], b"z" * q["LENGTH"])
    d.reply(q, off=q["OFFSET"], length=q["LENGTH"])

def freeze(name, works):
    r = Reader(vol.path(name), 0, 100)
    q = d.request("FETCH")
    until(lambda: open(f"/proc/{r.pid}/wchan").read() != "0", "the reader sleeps")
    put("tasks", r.pid)
    put("freezer.state", "FROZEN")
    if works:
        until(lambda: state() == "FROZEN", "frozen while it waits")
        answer(q)
        assert not select.select([r.out], [], [], 0.3)[0], "it went on though frozen"
    else:
        for _ in range(50):
            assert state() == "FREEZING", state()
            time.sleep(0.02)
        answer(q)                                  # only that lets it be frozen
        until(lambda: state() == "FROZEN", "frozen after the wait")
    put("freezer.state", "THAWED")
    assert r.result() == b"z" * 100

def frozen():
    "a reader that waits is frozen there"
    freeze("f0", True)

def cure():
    "without the cure a freeze waits for the daemon"
    point(1)
    freeze("f1", False)

run(frozen, cure)
os.rmdir(group)
d.close()
vol.umount()
PY
