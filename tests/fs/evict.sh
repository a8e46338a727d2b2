#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# evict: bytes go only if nobody has them open, mapped, asked for or pinned, and the kernel says which; what was streamed
# goes under open and mapped readers, and none of them reads a byte that is not the file's; without the refusal a pin holds nothing.
# timeout: 300
. /payload/tests/lib/guest.sh

requires module python3
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm python3 - << 'PY'
import ctypes, errno as E, mmap, os, signal, struct, time
from fakedaemon import *

C = 65536
SIZE = 10 * C + 100                                # 11 chunks, the last one short
vol = Volume("/cache/evict", "/mnt/evict")
vol.mkroot()
DATA = b"".join(struct.pack("<Q", i) for i in range(SIZE // 8 + 1))[:SIZE]
for i in range(12):
    vol.stub(f"f{i}", SIZE, flags=REC_PINNED | STUB if i == 9 else STUB)
vol.mount(NO_DEADLINE)
mid = vol.id()
d = Daemon(); d.register(mid); d.lease()
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]

def item(name, *more):
    return ("ITEM", [("OID", oid_of(name)), ("FH", handle(vol.lower(name))), *more])

def evict(name, *more):
    r = d.do("EVICT", [item(name, *more)])["ITEM"][0]
    assert r["OID"] == oid_of(name) and ("KIND" in r) == (r["STATUS"] == -E.EBUSY), r
    return r["STATUS"]

def busy(name, why, *more):
    for ask in ([("FLAGS", ASK)], []):
        r = d.do("EVICT", [item(name, *ask, *more)])["ITEM"][0]
        assert r["STATUS"] == -E.EBUSY and r["KIND"] == BUSY[why], (name, why, r)

def begin(name, off=0, length=SIZE):
    return d.do("FILL_BEGIN", [("OID", oid_of(name)), ("FH", handle(vol.lower(name))), ("OFFSET", off), ("LENGTH", length)])

def fill(name, flags=COMPLETE):
    g = begin(name)
    vol.fill(name, 0, DATA)
    d.do("FILL_END", [("GRANT", g["GRANT"]), ("FLAGS", flags)])

def claim(name, flags):
    os.setxattr(vol.lower(name), "trusted.augur", record(oid_of(name), size=SIZE, flags=flags))

def settle(name):
    d.do("SETTLE", [("ITEM", [("OID", oid_of(name)), ("FLAGS", COMPLETE), ("LENGTH", 0)])])

def state(name):
    for i in d.call("INODES", [("MOUNT_ID", mid)], dump=True):
        if i["OID"] == oid_of(name):
            return i["STATE"]
    return 0

def punch(name, off=0, length=SIZE):
    "beyond the end: part of a page is zeroed where it is, under those who have mapped it"
    length = (length + C - 1) // C * C
    fd = os.open(vol.lower(name), os.O_WRONLY)
    assert libc.fallocate(fd, 3, ctypes.c_long(off), ctypes.c_long(length)) == 0
    os.close(fd)

def refusals():
    "filled, open, mapped, pinned: each is named, nothing is dropped, and then it goes"
    name, before = "f0", vol.stat("evictions_refused")
    g = begin(name)
    busy(name, "FILLING")
    d.do("FILL_END", [("GRANT", g["GRANT"])])
    fill(name); claim(name, REC_COMPLETE); settle(name)
    fd = os.open(vol.path(name), os.O_RDONLY)
    busy(name, "OPEN")
    m = libc.mmap(None, SIZE, 1, 1, fd, 0)         # not Python's mmap, which keeps the file open
    os.close(fd)
    busy(name, "MAPPED")
    assert ctypes.string_at(m + 8, 8) == DATA[8:16]
    libc.munmap(ctypes.c_void_p(m), ctypes.c_size_t(SIZE))
    d.do("PIN", [("OID", oid_of(name)), ("FLAGS", 1)])
    busy(name, "PINNED")
    d.do("PIN", [("OID", oid_of(name)), ("FH", handle(vol.lower(name))), ("FLAGS", 2)])
    until(lambda: evict(name, ("FLAGS", ASK)) == 0, "nobody has it any more")
    assert Reader(vol.path(name), 8, 8).result() == DATA[8:16]    # asking dropped nothing
    claim(name, STUB)
    until(lambda: evict(name) == 0, "evicted")
    assert vol.stat("evictions_refused") >= before + 4 and vol.stat("evicted_bytes") == SIZE
    punch(name)
    r = Reader(vol.path(name), 8, 8)
    q = d.request("FETCH")                         # absent from now on
    vol.fill(name, 0, DATA)
    d.reply(q, off=0, length=q["LENGTH"])
    assert r.result() == DATA[8:16]
    refused(E.ENOENT, d.do, "PIN", [("OID", b"o" * 16), ("FLAGS", 1)])
    refused(E.ESTALE, d.do, "PIN", [("OID", b"o" * 16), ("FH", handle(vol.lower(name))), ("FLAGS", 1)])

def unclaimed():
    "what was never claimed goes at once, and is not kept in memory for it"
    fill("f1")
    assert state("f1") & IS_UNSETTLED
    assert evict("f1") == 0 and state("f1") == 0
    punch("f1")
    r = Reader(vol.path("f1"), C, 8)
    d.reply(d.request("FETCH"), -E.EIO)
    assert r.result() == -E.EIO

def pinned_by_record():
    "the record alone keeps it, in memory or not; so it does after a remount"
    fill("f9"); claim("f9", REC_COMPLETE | REC_PINNED); settle("f9")
    busy("f9", "PINNED")
    open("/proc/sys/vm/drop_caches", "w").write("2")
    busy("f9", "PINNED")
    assert state("f9") == 0                        # kept by nothing but its record

def malformed():
    "half a range, an empty one, one that fits no chunks, nobody's flag"
    refused(E.EINVAL, d.do, "EVICT", [item("f2", ("OFFSET", 0))])
    refused(E.EINVAL, d.do, "EVICT", [item("f2", ("LENGTH", C))])
    refused(E.EINVAL, d.do, "EVICT", [item("f2", ("OFFSET", 0), ("LENGTH", 0))])
    refused(E.EINVAL, d.do, "EVICT", [item("f2", ("FLAGS", 2))])
    refused(E.EINVAL, d.do, "EVICT", [])
    assert evict("f2", ("OFFSET", 1), ("LENGTH", C)) == -E.ERANGE
    assert evict("f2", ("OFFSET", 0), ("LENGTH", C + 1)) == -E.ERANGE
    assert evict("f2", ("OFFSET", C), ("LENGTH", (1 << 64) - 1)) == -E.ERANGE
    r = d.do("EVICT", [("ITEM", [("OID", oid_of("/")), ("FH", handle(vol.lower()))])])
    assert r["ITEM"][0]["STATUS"] == -E.EINVAL

def never_told():
    "a range that is claimed stays; one that nobody was told of goes, open or not, and one that is told of in part"
    fill("f2"); claim("f2", REC_COMPLETE); settle("f2")
    busy("f2", "CLAIMED", ("OFFSET", 0), ("LENGTH", C))
    fd = os.open(vol.path("f4"), os.O_RDONLY)
    assert evict("f4", ("OFFSET", 0), ("LENGTH", 3 * C)) == 0      # no answer has come for this file
    for _ in range(2):
        r = Reader(vol.path("f4"), C, 8)
        m = d.request("FETCH")
        assert m["OFFSET"] == C, m
        busy("f4", "FILLING", ("OFFSET", 0), ("LENGTH", 3 * C))
        vol.fill("f4", C, DATA[C:2 * C])
        d.reply(m, off=C, length=C, flags=STREAM)
        assert r.result() == DATA[C:C + 8]
        assert evict("f4", ("OFFSET", 0), ("LENGTH", 3 * C)) == 0  # the second of three chunks is here
        punch("f4", 0, 3 * C)
    os.close(fd)

def reads(name, how, times):
    "a process that reads the whole file so often; 0 if each byte was right"
    pid = os.fork()
    if pid:
        return pid
    d.close()
    rc = 1
    try:
        fd = os.open(vol.path(name), os.O_RDONLY)
        for _ in range(times):
            if how == "read":
                got = b"".join(iter(lambda: os.read(fd, 20000), b""))
                os.lseek(fd, 0, 0)
            elif how == "splice":
                p = os.pipe()
                got = b""
                while len(got) < SIZE:
                    n = os.splice(fd, p[1], 40000, offset_src=len(got))
                    got += os.read(p[0], n)
                os.close(p[0]); os.close(p[1])
            else:
                m = mmap.mmap(fd, SIZE, mmap.MAP_SHARED, mmap.PROT_READ)
                got = m[:]
                m.close()
            if got != DATA:
                os.write(2, b"wrong bytes by %s\n" % how.encode())
                os._exit(2)
        rc = 0
    except OSError as e:
        os.write(2, b"%s: %s\n" % (how.encode(), str(e).encode()))
    finally:
        os._exit(rc)

def streamed():
    "three chunks of room for four readers of eleven: each byte is the file's, and chunks went while they read"
    name, here, left = "f3", [], set()
    for how in ("read", "read", "splice", "mmap"):
        left.add(reads(name, how, 2))
    gone = kept = 0
    while left:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in left:
            assert status == 0, f"a reader ended with {status}"
            left.remove(pid)
        m = d.message(0.2)
        if m is None or m.cmd != "REQ" or m["OP"] != OP["FETCH"]:
            continue
        off, n = m["OFFSET"], m["LENGTH"]
        if m["FLAGS"] & PREFETCH:
            d.reply(m, -E.ENOSPC)
            continue
        vol.fill(name, off, DATA[off:off + n])
        try:
            d.reply(m, off=off, length=n, flags=STREAM)
        except Refused as e:
            assert e.errno == E.ENOENT
        assert not state(name) & IS_COMPLETE
        here += [c for c in range(off // C, (off + n + C - 1) // C) if c not in here]
        for c in here[:max(0, len(here) - 3)]:
            o, n = c * C, min(C, SIZE - c * C)
            st = evict(name, ("OFFSET", o), ("LENGTH", n))
            assert st in (0, -E.EBUSY), st
            gone, kept = gone + (st == 0), kept + (st != 0)
            if st == 0:
                punch(name, o, n)
                here.remove(c)
    print(f"  {gone} chunks went, {kept} were being read")
    assert gone >= 8
    assert vol.stat("streamed_bytes") >= SIZE
    until(lambda: evict(name) == 0, "closed: all of it goes")
    assert state(name) == 0

def without_the_refusal():
    "the fault point takes the refusal away: a pin holds nothing"
    busy("f9", "PINNED")                           # by its record
    open("/sys/kernel/debug/augurfs/inject/evict_pinned", "w").write("1")
    assert evict("f9") == 0, "the fault point did not hit"
    assert open("/sys/kernel/debug/augurfs/inject/evict_pinned").read().strip() == "0"

run(refusals, unclaimed, pinned_by_record, malformed, never_told, streamed, without_the_refusal)
vol.umount()
PY
