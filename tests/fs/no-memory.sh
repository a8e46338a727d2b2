#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# no-memory: where there is none for a question to the daemon, a call gets ENOMEM and the right answer when it is made
# again; a page fault, which could only kill, tries again by itself. tests/uml/fail-nth.sh does so with every allocation.
. /payload/tests/lib/guest.sh

requires module python3
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm:$T/lib python3 - << 'PY'
import errno as E
from fakedaemon import *
from rawio import Map

BIG, FAR = 2 << 20, 0x180000  # behind what is asked for when a mapping is made
POINT = "/sys/kernel/debug/augurfs/inject/no_memory"
vol = Volume("/cache/memory", "/mnt/memory")
vol.mkroot(complete=False)
for name in ("far", "bus", "read"):
    vol.stub(name, BIG)
vol.mount(NO_DEADLINE)
d = Daemon(); d.register(vol.id()); d.lease()

def short(times):
    with open(POINT, "w") as f:
        f.write(str(times))

def left():
    with open(POINT) as f:
        return int(f.read())

def serve(done):
    """Answers what is asked until @done is readable."""
    while not select.select([done], [], [], 0)[0]:
        q = d.message(0.05)
        if not q or q.cmd != "REQ":
            continue
        if q["OP"] == OP["FETCH"]:
            vol.fill(q["OID"].rstrip(b"\1").decode(), q["OFFSET"], b"x" * q["LENGTH"])
            d.reply(q, off=q["OFFSET"], length=q["LENGTH"])
        else:
            d.reply(q, -E.ENOENT if q["OP"] == OP["LOOKUP"] else 0)

def touch(name, times):
    """How a process ends that touches an absent page with memory short so many times."""
    mapped, go, done = os.pipe(), os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        d.close()
        m = Map(os.open(vol.path(name), os.O_RDONLY), BIG, prot=1)
        os.write(mapped[1], b"1")
        os.read(go[0], 1)
        os._exit(m.bytes(FAR, 5) != b"xxxxx")
    os.close(done[1])
    serve(mapped[0])
    short(times)
    os.write(go[1], b"1")
    serve(done[0])
    assert left() == 0, "the fault was not hit"
    return os.waitpid(pid, 0)[1]

def faults():
    "a fault tries again; who has no memory for long gets SIGBUS, and the bytes when it comes back"
    assert touch("far", 1) == 0
    assert touch("bus", 3) == signal.SIGBUS
    assert touch("bus", 0) == 0

def calls():
    "ENOMEM, and the right answer afterwards"
    for path, right in ((vol.path("read"), b"x" * 10), (vol.path("no-such-name"), -E.ENOENT)):
        short(1)
        r = Reader(path, FAR, 10)
        serve(r.out)
        assert r.result() == -E.ENOMEM and left() == 0
        r = Reader(path, FAR, 10)
        serve(r.out)
        assert r.result() == right

run(faults, calls)
d.close()
vol.umount()
PY
