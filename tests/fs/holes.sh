#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# holes: a file of which bytes are missing has no hole and no extents; one that is complete has those of the cache, until
# it is evicted. Its blocks are those of its record all the time. The advice to read ahead asks for all that is missing of its range and does not wait.
. /payload/tests/lib/guest.sh

requires module python3
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm:$T/lib python3 - << 'PY'
import errno as E, os
from fakedaemon import *
from rawio import *

C = 65536
SIZE = 10 * C + 100
ALL = (SIZE + 511) // 512
vol = Volume("/cache/holes", "/mnt/holes")
vol.mkroot()
for i in range(8):
    vol.stub(f"f{i}", SIZE)
HOLES = {"f1": 179, "f5": 255, "f6": 1}
BLOCKS = {"f1": ALL - 896, "f5": ALL - 1276, "f6": ALL - 6}
for name, holes in HOLES.items():
    os.setxattr(vol.lower(name), "trusted.augur", record(oid_of(name), size=SIZE, holes=holes))
vol.stub("one", 1, holes=255)
vol.stub("none", 0, flags=REC_COMPLETE)
vol.mount(NO_DEADLINE)
d = Daemon(); d.register(vol.id()); d.lease()
point = lambda times: open("/sys/kernel/debug/augurfs/inject/show_holes", "w").write(str(times))

def fill(name, *chunks, flags=0):
    g = d.do("FILL_BEGIN", [("OID", oid_of(name)), ("FH", handle(vol.lower(name))), ("OFFSET", 0), ("LENGTH", SIZE)])
    for c in chunks:
        vol.fill(name, c * C, b"d" * C)
    d.do("FILL_END", [("GRANT", g["GRANT"]), ("FLAGS", flags)] + [("RANGE", [("OFFSET", c * C), ("LENGTH", C)]) for c in chunks])

def whole(name):
    fd = os.open(vol.path(name), os.O_RDONLY)
    assert data_runs(fd) == [(0, SIZE)] and os.fstat(fd).st_blocks == BLOCKS.get(name, ALL), (data_runs(fd), os.fstat(fd))
    assert os.lseek(fd, 5 * C + 7, os.SEEK_DATA) == 5 * C + 7
    refused(E.ENXIO, os.lseek, fd, SIZE, os.SEEK_DATA)
    refused(E.EOPNOTSUPP, extents, fd)
    os.close(fd)

def incomplete():
    "no hole, whatever the cache's file has"
    whole("f0")
    fill("f0", 2, 3)
    whole("f0")

def drop():
    for _ in range(4):                             # what was just used is only passed over by the first
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("2")

def sparse():
    "as many blocks as the record says, whatever the cache's file has, and never none"
    for name, n in (("f5", BLOCKS["f5"]), ("f6", BLOCKS["f6"]), ("one", 1), ("none", 0)):
        assert os.stat(vol.path(name)).st_blocks == n, (name, n, os.stat(vol.path(name)))
    whole("f5")
    fill("f5", 2, 3)
    whole("f5")
    drop()
    whole("f5")

def complete():
    "what the cache's file has, once the claim is durable; eviction ends it"
    whole("f1")
    fill("f1", 1, 2, 6)
    fill("f1", flags=COMPLETE)
    fd = os.open(vol.path("f1"), os.O_RDONLY)
    assert data_runs(fd) == [(C, 3 * C), (6 * C, 7 * C)], data_runs(fd)
    assert os.fstat(fd).st_blocks == BLOCKS["f1"], "blocks before the claim is durable"
    os.fsync(os.open(vol.lower("f1"), os.O_RDONLY))
    os.setxattr(vol.lower("f1"), "trusted.augur", record(oid_of("f1"), size=SIZE, flags=REC_COMPLETE, holes=HOLES["f1"]))
    d.do("SETTLE", [("ITEM", [("OID", oid_of("f1")), ("FLAGS", COMPLETE), ("LENGTH", 0)])])
    assert os.fstat(fd).st_blocks == BLOCKS["f1"], os.fstat(fd)
    assert sum(n for _, n in extents(fd)) == 3 * C, extents(fd)
    os.close(fd)
    drop()
    assert os.stat(vol.path("f1")).st_blocks == BLOCKS["f1"], "loaded anew"
    os.setxattr(vol.lower("f1"), "trusted.augur", record(oid_of("f1"), size=SIZE, holes=HOLES["f1"]))
    until(lambda: not d.do("EVICT", [("ITEM", [("OID", oid_of("f1")), ("FH", handle(vol.lower("f1")))])])["ITEM"][0]["STATUS"], "evicted")
    whole("f1")

def cure():
    "it is the module that keeps them from being shown"
    fill("f2", 4)
    point(1000)
    fd = os.open(vol.path("f2"), os.O_RDONLY)
    assert data_runs(fd) == [(4 * C, 5 * C)], data_runs(fd)
    os.close(fd)
    assert os.stat(vol.path("f7")).st_blocks == 0, "not loaded yet"
    point(0)
    whole("f2")
    until(lambda: drop() or os.stat(vol.path("f7")).st_blocks == ALL, "loaded anew")

def another(fn):
    "In another process: the daemon asks nothing of itself."
    pid = os.fork()
    if not pid:
        fn()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

def advice():
    "WILLNEED, readahead and the start of a mapping: everything missing, marked as prefetch, and nobody waits"
    fill("f3", 2, 5)
    fd = os.open(vol.path("f3"), os.O_RDONLY)
    want = [(0, 2 * C), (3 * C, 2 * C), (6 * C, SIZE - 6 * C)]
    for ask in (lambda: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED),
                lambda: check(libc.readahead(fd, 0, SIZE)), lambda: Map(fd, SIZE, prot=1).close()):
        another(ask)                               # no answer was given yet
        reqs = [d.request("FETCH") for _ in range(3)]
        assert [(q["OFFSET"], q["LENGTH"]) for q in reqs] == want, reqs
        assert all(q["FLAGS"] & PREFETCH for q in reqs)
        another(ask)                               # asked for already
        assert d.message(0.3) is None
        for q in reqs:
            d.reply(q, -5)                         # it was only advice
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(fd, 0, C, os.POSIX_FADV_RANDOM)
    refused(E.EINVAL, os.posix_fadvise, fd, 0, -1, os.POSIX_FADV_WILLNEED)
    os.close(fd)
    assert d.message(0.3) is None and vol.stat("requests_live") == 0

def random_reads():
    "a read somewhere wants two chunks at most, a reader that goes on more each time"
    fd = os.open(vol.path("f4"), os.O_RDONLY)
    for off, end in ((3 * C + 4096, 5 * C), (C + 61440, 3 * C)):
        r = Reader(vol.path("f4"), off, 4096)
        q = d.request("FETCH")
        assert q["OFFSET"] == off // C * C and q["OFFSET"] + q["WANT"] == end, q
        d.reply(q, off=q["OFFSET"], length=q["LENGTH"])
        assert len(r.result()) == 4096
    os.close(fd)

run(incomplete, sparse, complete, cure, advice, random_reads)
d.close()
vol.umount()
PY
