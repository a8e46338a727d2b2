#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# fill-grants: only what is absent and free is granted; what is filled is present at once; an inode whose memory is
# ahead of its durable claim stays until it is settled; versions are switched by name.
# timeout: 300
. /payload/tests/lib/guest.sh

requires module python3
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm python3 - << 'PY'
import ctypes, errno as E, os, struct, time
from fakedaemon import *

C = 65536
SIZE = 10 * C + 100                                # 11 chunks, the last one short
vol = Volume("/cache/fill", "/mnt/fill")
vol.mkroot()
for i in range(40):
    vol.stub(f"f{i}", SIZE)
vol.mount(NO_DEADLINE)
mid = vol.id()
d = Daemon(); d.register(mid); d.lease()

def begin(name, off=0, length=SIZE):
    return d.do("FILL_BEGIN", [("OID", oid_of(name)), ("FH", handle(vol.lower(name))),
                               ("OFFSET", off), ("LENGTH", length)])

def ranges(r):
    return [(x["OFFSET"], x["LENGTH"]) for x in r.get("RANGE", [])]

def end(r, *present, flags=0):
    d.do("FILL_END", [("GRANT", r["GRANT"]), ("FLAGS", flags)] +
         [("RANGE", [("OFFSET", o), ("LENGTH", n)]) for o, n in present])

def inodes():
    return {i["OID"].rstrip(b"\1").decode(): i for i in d.call("INODES", [("MOUNT_ID", mid)], dump=True)}

def touch(name):
    return Reader(vol.path(name), 0, 0).result()

def settle(name, length, flags=0):
    d.do("SETTLE", [("ITEM", [("OID", oid_of(name)), ("FLAGS", flags), ("LENGTH", length)])])

def grants():
    "whole chunks, cut at the size; twice is nothing; FILL_END frees them"
    g = begin("f0", 10, C)
    assert ranges(g) == [(0, 2 * C)], g
    assert begin("f0", 0, 2 * C)["GRANT"] == 0
    h = begin("f0")
    assert ranges(h) == [(2 * C, SIZE - 2 * C)], h
    refused(E.ERANGE, end, g, (0, 2 * C + 1))
    refused(E.ERANGE, end, g, (2 * C, C))
    refused(E.ERANGE, end, g, ((1 << 64) - 1, 2))
    refused(E.ENOENT, d.do, "FILL_END", [("GRANT", 999999)])
    vol.fill("f0", 0, b"a" * C)
    end(g, (0, C))                                 # half of what was granted
    refused(E.ENOENT, end, g, (0, C))
    assert ranges(begin("f0", 0, 2 * C)) == [(C, C)]
    assert Reader(vol.path("f0"), 100, 50).result() == b"a" * 50
    refused(E.ESTALE, d.do, "FILL_BEGIN", [("OID", b"o" * 16), ("FH", handle(vol.lower("f0"))),
                                           ("OFFSET", 0), ("LENGTH", 1)])
    refused(E.EINVAL, d.do, "FILL_BEGIN", [("OID", oid_of("/")), ("FH", handle(vol.lower())),
                                           ("OFFSET", 0), ("LENGTH", 1)])

def requests_are_grants():
    "what a reader's request covers is not granted to a prefetch; a reader asks for what a prefetch has"
    r = Reader(vol.path("f1"), 3 * C, 2 * C)
    q = d.request("FETCH")
    assert (q["OFFSET"], q["LENGTH"]) == (3 * C, 2 * C), q
    g = begin("f1")
    assert ranges(g) == [(0, 3 * C), (5 * C, SIZE - 5 * C)], g
    r2 = Reader(vol.path("f1"), 0, 10)
    q2 = d.request("FETCH")
    assert q2["OFFSET"] == 0
    vol.fill("f1", 0, b"b" * SIZE)
    d.reply(q2, off=0, length=C)
    assert r2.result() == b"b" * 10
    d.reply(q, off=3 * C, length=2 * C)
    assert r.result() == b"b" * 60000
    end(g, *ranges(g))
    assert inodes()["f1"]["STATE"] & IS_COMPLETE

def maps():
    "the presence map of the daemon's record makes bytes present without asking"
    vol.fill("f2", 0, b"c" * SIZE)
    r = Reader(vol.path("f2"), 0, 10)
    q = d.request("FETCH")
    assert q["FLAGS"] & WANT_MAP
    d.reply(q, off=0, length=C, map_=bytes([0b00010001, 0b00000100]))
    assert r.result() == b"c" * 10
    for off in (4 * C, SIZE - 5):
        assert Reader(vol.path("f2"), off, 5).result() == b"ccccc"
    r = Reader(vol.path("f2"), C, 10)
    q = d.request("FETCH")
    assert not q["FLAGS"] & WANT_MAP and q["OFFSET"] == C
    refused(E.EINVAL, d.reply, q, off=C, length=C, map_=b"\xff\xff")
    d.reply(q, off=C, length=C)
    assert r.result() == b"c" * 10
    i = inodes()["f2"]
    assert i["MAP"] == bytes([0b00010011, 0b00000100]) and i["SIZE"] == SIZE and i["CHUNK_SHIFT"] == 16, i

def settled():
    "pinned until the record says what memory says; not a byte earlier"
    drop = lambda: open("/proc/sys/vm/drop_caches", "w").write("2")
    for name in ("f3", "f4"):
        g = begin(name, 0, 3 * C)
        vol.fill(name, 0, b"d" * 3 * C)
        end(g, (0, 3 * C))
    assert inodes()["f3"]["STATE"] & IS_UNSETTLED
    settle("f3", 2 * C); settle("f3", 3 * C, COMPLETE); settle("nobody", 0)
    assert "f3" in inodes()
    drop()
    assert Reader(vol.path("f3"), 0, 5).result() == b"ddddd", "an unsettled inode was forgotten"
    settle("f3", 3 * C)
    assert "f3" not in inodes() and "f4" in inodes()
    g = begin("f4", 3 * C)
    vol.fill("f4", 3 * C, b"d" * (SIZE - 3 * C))
    end(g, flags=COMPLETE)
    settle("f4", 3 * C)                            # true a moment ago
    assert inodes()["f4"]["STATE"] & IS_COMPLETE
    settle("f4", 0, COMPLETE)
    assert "f4" not in inodes()

def switched():
    "SWITCH and REMOVE change a name only if it is the inode that was meant"
    old, new = handle(vol.lower("f6")), vol.cache + "/.augur/tmp/n6"
    fd = os.open(vol.path("f6"), os.O_RDONLY)
    with open(new, "wb") as f:
        f.write(b"N" * 100)
    os.setxattr(new, "trusted.augur", record(oid_of("f6"), size=100, flags=REC_COMPLETE, version=2))
    args = lambda old_fh, tmp=b"n6": [("PARENT_FH", handle(vol.lower())), ("NAME", b"f6"), ("OLD_FH", old_fh),
                                      ("NEW_FH", handle(new)), ("NEW_NAME", tmp)]
    refused(E.ESTALE, d.do, "SWITCH", args(handle(vol.lower("f7"))))
    refused(E.ESTALE, d.do, "SWITCH", args(old, b"other"))
    d.do("SWITCH", args(old))
    assert Reader(vol.path("f6"), 0, 10).result() == b"N" * 10
    assert os.fstat(fd).st_size == SIZE, "an open file changed its version"
    os.close(fd)
    refused(E.ESTALE, d.do, "REMOVE", [("PARENT_FH", handle(vol.lower())), ("NAME", b"f6"), ("OLD_FH", old)])
    d.do("REMOVE", [("PARENT_FH", handle(vol.lower())), ("NAME", b"f6"), ("OLD_FH", handle(vol.lower("f6")))])
    assert Reader(vol.path("f6")).result() == -E.ENOENT
    assert vol.stat("switches") == 2

def superseded():
    "what was never claimed of a version that was replaced is kept by nobody: its room is free when it is closed"
    g = begin("f5")
    vol.fill("f5", 0, b"e" * SIZE)
    end(g, flags=COMPLETE)
    new = vol.cache + "/.augur/tmp/n5"
    with open(new, "wb") as f:
        f.write(b"N" * 100)
    os.setxattr(new, "trusted.augur", record(oid_of("f5"), size=100, flags=REC_COMPLETE, version=2))
    os.sync()
    free = lambda: os.statvfs(vol.cache).f_bfree * os.statvfs(vol.cache).f_frsize
    before = free()
    assert inodes()["f5"]["STATE"] & IS_UNSETTLED
    d.do("SWITCH", [("PARENT_FH", handle(vol.lower())), ("NAME", b"f5"), ("OLD_FH", handle(vol.lower("f5"))),
                    ("NEW_FH", handle(new)), ("NEW_NAME", b"n5")])
    assert "f5" not in inodes()
    assert Reader(vol.path("f5"), 0, 10).result() == b"N" * 10
    until(lambda: os.sync() or free() >= before + SIZE // 2, "its room is free")

def invalidated():
    "INVAL and EPOCH: what was known is looked at again; unknown objects are passed over"
    d.do("INVAL", [("ITEM", [("KIND", k), ("OID", b"unknown-object!!")]) for k in (1, 2, 4)])
    os.stat(vol.path("f8"))
    os.setxattr(vol.lower("f8"), "trusted.augur", record(oid_of("f8"), size=SIZE, nlink=7))
    d.do("INVAL", [("ITEM", [("KIND", 1), ("OID", oid_of("f8"))])])
    assert os.stat(vol.path("f8")).st_nlink == 7
    lookups = vol.stat("lookups")
    d.do("EPOCH", [("EPOCH", 3)]); d.do("EPOCH", [("EPOCH", 2)])
    assert vol.sysfs("epoch") == "3"
    os.stat(vol.path("f8"))
    d.do("INVAL", [("ITEM", [("KIND", 4), ("OID", oid_of("/"))])])
    r = Reader(vol.path("new"))
    q = d.request("LOOKUP")
    d.reply(q, -2, flags=COMPLETE)
    assert r.result() == -E.ENOENT
    assert Reader(vol.path("new2")).result() == -E.ENOENT    # complete again: no question
    assert d.message(0.3) is None

def ends_with_session():
    "grants end with their session and mark nothing"
    global d
    g = begin("f9")
    assert begin("f9")["GRANT"] == 0
    d.close()
    until(lambda: vol.sysfs("state") == "orphan", "orphan")
    d = Daemon(); d.register(mid); d.lease()
    until(lambda: ranges(begin("f9")) == [(0, SIZE)], "free again")
    refused(E.ENOENT, end, g, (0, SIZE))

def umount_with_all():
    "umount with grants out, inodes unsettled and a daemon that listens"
    for i in range(20, 30):
        g = begin(f"f{i}", 0, C); end(g, (0, C)); begin(f"f{i}", C, C)
    assert len(inodes()) >= 10
    vol.umount()
    refused(E.ENODEV, d.do, "EPOCH", [("EPOCH", 9)])

run(grants, requests_are_grants, maps, settled, switched, superseded, invalidated, ends_with_session, umount_with_all)
PY
