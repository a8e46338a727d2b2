#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# event-rings: every access record is delivered in order or counted as dropped: produced = accepted + dropped, on every
# CPU and whatever the reader does; the modes record what they promise.
# timeout: 240
. /payload/tests/lib/guest.sh

requires module python3
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm python3 - << 'PY'
import os, struct, time
from fakedaemon import *

EV = struct.Struct("<QQ16sQQIIBBHI")
OPEN, WHO, READ, MISS, CLOSE = 1, 2, 3, 4, 5
vol = Volume("/cache/events", "/mnt/events")
vol.mkroot()
N = 100
for i in range(N):
    vol.stub(f"f{i}", 3 << 20, flags=REC_COMPLETE)
vol.stub("absent", 100000)
vol.mount("log=full,log_ring_kb=16," + NO_DEADLINE)      # 256 records a CPU
mid = vol.id()
d = Daemon(); d.register(mid); d.lease()

def counts():
    return [vol.stat("events_" + x) for x in ("produced", "accepted", "dropped")]

def exact():
    p, a, dr = counts()
    assert p == a + dr, (p, a, dr)
    return p, a, dr

def collect(e):
    """All records that were accepted so far, checked for gaps; by CPU the last SEQ and DROPPED."""
    out = []
    while True:
        have_all = sum(seq.values()) == counts()[1]
        m = e.message(0.3 if have_all else PATIENCE)
        if m is None:
            assert have_all, "accepted records that do not come"
            return out
        assert m.cmd == "EVENTS" and m["MOUNT_ID"] == mid
        n = len(m["RECORDS"]) // 64
        assert len(m["RECORDS"]) % 64 == 0 and 0 < n <= 400
        assert m["SEQ"] == seq.get(m["CPU"], m["SEQ"] if not seq else 0), "a gap"
        seq[m["CPU"]] = m["SEQ"] + n
        dropped[m["CPU"]] = m["DROPPED"]
        out += [EV.unpack_from(m["RECORDS"], i * 64) for i in range(n)]

seq, dropped = {}, {}

def unread():
    "nobody reads: the rings fill, then drop and count; nothing is overwritten"
    for i in range(N):
        with open(vol.path(f"f{i}"), "rb", buffering=0) as f:
            for k in range(8):
                f.read(4096)
    p, a, dr = exact()
    assert p == N * 11 and dr > 0 and a <= 256 * os.cpu_count(), (p, a, dr)

def delivered():
    "a reader that comes later gets the oldest records, in order, and the number of the lost"
    global e
    e = Daemon(rcvbuf=4 << 20)
    r = e.register(mid, events=True)
    assert r["SESSION"] == 0
    other = Daemon()
    try:
        other.register(mid, events=True, timeout=0)
        raise AssertionError("two event sockets")
    except Refused:
        other.close()
    seq.update({c: 0 for c in range(os.cpu_count())})
    got = collect(e)
    p, a, dr = exact()
    assert len(got) == a, (len(got), a)
    first = [x for x in got if x[2] == oid_of("f0")]
    assert [x[7] for x in first][:1] == [OPEN]
    assert sum(dropped.values()) <= dr

def whole():
    "with a reader nothing is lost: OPEN and WHO of each open, every read of mode full"
    _, a0, d0 = exact()
    for i in range(20):
        with open(vol.path(f"f{i}"), "rb", buffering=0) as f:
            f.read(4096); f.read(4096)
    got = collect(e)
    p, a, dr = exact()
    assert dr == d0 and len(got) == a - a0, (len(got), a - a0, dr - d0)
    ops = [x[7] for x in got]
    assert ops.count(OPEN) == ops.count(WHO) == ops.count(CLOSE) == 20 and ops.count(READ) == 40, ops
    opened = [x for x in got if x[7] == OPEN]
    assert len({x[1] for x in got}) == 1, "one job, one session key"
    assert len({x[5] for x in opened}) == 20, "open ids are unique"
    who = [x for x in got if x[7] == WHO][0]
    assert struct.unpack("<IIII", who[2])[1] == os.getpid()
    close = [x for x in got if x[7] == CLOSE][0]
    assert close[3] == 8192 and close[4] == 2 and close[8] & 16 and close[8] & 1, close
    assert all(abs(x[0] / 1e9 - time.time()) < 100 for x in got)

def another_job():
    "another process group is another session"
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.close(os.open(vol.path("f0"), os.O_RDONLY)); os._exit(0)
    os.waitpid(pid, 0)
    mine = os.open(vol.path("f1"), os.O_RDONLY); os.close(mine)
    got = [x for x in collect(e) if x[7] == OPEN]
    assert len(got) == 2 and got[0][1] != got[1][1]

def summary():
    "a sequential read is told once a MiB and at close; a jump ends its run"
    vol.sysfs("log/mode", "summary")
    with open(vol.path("f2"), "rb", buffering=0) as f:
        while f.read(65536):
            pass
    ops = [(x[7], x[3], x[4]) for x in collect(e)]
    reads = [x for x in ops if x[0] == READ]
    assert [r[2] for r in reads] == [1 << 20] * 3 and len(ops) == 6, ops
    with open(vol.path("f3"), "rb", buffering=0) as f:
        os.pread(f.fileno(), 4096, 0); os.pread(f.fileno(), 4096, 1 << 20); os.pread(f.fileno(), 4096, 2 << 20)
    ops = [(x[7], x[3], x[4], x[8]) for x in collect(e)]
    assert [x[1:3] for x in ops if x[0] == READ] == [(0, 4096), (1 << 20, 4096), (2 << 20, 4096)], ops
    assert not ops[-1][3] & 16, "random reads are not sequential"

def sample_and_off():
    "one read in N; and none at all"
    vol.sysfs("log/sample", 10); vol.sysfs("log/mode", "sample")
    with open(vol.path("f4"), "rb", buffering=0) as f:
        for _ in range(400):
            f.read(512)
    n = sum(x[7] == READ for x in collect(e))
    assert 36 <= n <= 41, n
    vol.sysfs("log/mode", "off")
    before = counts()
    with open(vol.path("f5"), "rb") as f:
        f.read()
    assert counts() == before
    vol.sysfs("log/mode", "full")

def miss():
    "a miss says what it cost"
    r = Reader(vol.path("absent"), 0, 10)
    q = d.request("FETCH")
    time.sleep(0.2)
    d.reply(q, off=0, length=q["LENGTH"])
    assert r.result() == b"\0" * 10
    m = [x for x in collect(e) if x[7] == MISS]
    assert len(m) == 1 and m[0][2] == oid_of("absent") and 150000 < m[0][6] < 60000000, m

def storm():
    "all CPUs produce while a slow reader drains and comes and goes: the sum stays exact"
    global e
    pids = []
    for k in range(4):
        pid = os.fork()
        if pid == 0:
            for i in range(1500):
                fd = os.open(vol.path(f"f{(i + k) % N}"), os.O_RDONLY); os.pread(fd, 100, 0); os.close(fd)
            os._exit(0)
        pids.append(pid)
    for _ in range(10):
        e.message(0.2)
        e.close()
        e = Daemon(); e.register(mid, events=True)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    exact()
    assert exact()[0] >= 4 * 1500 * 4

run(unread, delivered, whole, another_job, summary, sample_and_off, miss, storm)
e.close(); d.close()
vol.umount()
PY
