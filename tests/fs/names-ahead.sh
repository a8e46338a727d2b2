#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# names-ahead: where names are looked up after their listing, the next listing has looked them up already; where nobody
# does, it has not; what is marked stale is left to who asks, and a listing takes what is known already from memory.
# A directory whose names are looked up one by one is listed for who does it. What was found by its number is the file
# of that name: its bytes, after something was said about the directory, and once another took its place.
. /payload/tests/lib/guest.sh

requires module python3
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm python3 - << 'PY'
import errno, os
from fakedaemon import *

vol = Volume("/cache/ahead", "/mnt/ahead")
vol.mkroot()
N = 50
def mkdir(d):
    os.mkdir(vol.lower(d))
    os.setxattr(vol.lower(d), "trusted.augur", record(oid_of(d), flags=REC_COMPLETE))
    for i in range(N):
        vol.stub(f"{d}/f{i:02}", 100 + i)
for d in ("a", "b", "c", "d", "e"):
    mkdir(d)
for i in range(N):
    body = b"%03d" % i * 50
    vol.stub(f"e/f{i:02}", 100 + i, flags=REC_COMPLETE)
    vol.fill(f"e/f{i:02}", 0, body[:100 + i])
os.link(vol.lower("e/f07"), vol.lower("e/also"))
vol.stub("d/old", 7, flags=STUB | REC_STALE)
vol.mount()
d = Daemon(); d.register(vol.id()); d.lease()

def stats():
    return vol.stat("lookups"), vol.stat("lookups_ahead")

def look(name):
    for i in range(N):
        st = os.lstat(vol.path(f"{name}/f{i:02}"))
        assert st.st_size == 100 + i and st.st_ino == ino_of(f"{name}/f{i:02}"), (name, i, st)

def ino_of(name):
    o = oid_of(name)
    return int.from_bytes(o[:8], "little") ^ int.from_bytes(o[8:], "little")

def listed(name, extra=()):
    got = {e.name: e.inode() for e in os.scandir(vol.path(name))}
    assert got == {n: ino_of(f"{name}/{n}") for n in [f"f{i:02}" for i in range(N)] + list(extra)}, got

def nobody_looks():
    "names that are only listed are not looked up"
    listed("a"); listed("b")
    assert stats()[1] == 0, stats()

def somebody_does():
    "one directory's names are looked up one by one, the next one's with its listing"
    look("a")
    assert stats()[0] >= N and stats()[1] == 0, stats()
    for name in "cde":                               # of the root as well: these are not counted below
        os.lstat(vol.path(name))
    ahead = stats()[1]
    listed("c")
    assert stats()[1] == ahead + N, stats()
    before = stats()[0]
    look("c")
    assert stats()[0] == before, "a name that the listing had looked up was looked up again"

def stale_is_asked_for():
    "a stale name is no other's to look up: who wants it asks"
    os.lstat(vol.path("c/f00")); look("b")
    before = stats()[1]
    listed("d", extra=["old"])
    assert stats()[1] == before + N, stats()
    r = Reader(vol.path("d/old"), length=7)
    d.reply(d.request("LOOKUP"), -errno.ENOENT)
    assert r.result() == -errno.ENOENT

def one_by_one():
    "after a few lookups the directory is listed and the others come with it, each the file of its name"
    before, ahead = stats()
    built = vol.stat("listings_built")
    look("e")
    assert vol.stat("listings_built") == built + 1
    assert 0 < stats()[0] - before < 10 and stats()[1] - ahead >= N - 10, (before, ahead, stats())
    for i in range(N):
        with open(vol.path(f"e/f{i:02}"), "rb") as f:
            assert f.read() == (b"%03d" % i * 50)[:100 + i], i
    assert os.lstat(vol.path("e/also")).st_ino == ino_of("e/f07")

def said_about():
    "the directory is said to have changed: what is still there is not looked up again, what was replaced is seen"
    before = stats()[0]
    d.do("INVAL", [("ITEM", [("KIND", 3), ("PARENT_OID", oid_of("e")), ("NAME", b"nobody")])])
    look("e")
    assert stats()[0] == before, (before, stats())
    new, name = vol.cache + "/.augur/tmp/n", "e/f49"
    with open(new, "wb") as f:
        f.write(b"N" * 10)
    os.setxattr(new, "trusted.augur", record(oid_of(name), size=10, flags=REC_COMPLETE, version=2))
    old = os.open(vol.path(name), os.O_RDONLY)
    d.do("SWITCH", [("PARENT_FH", handle(vol.lower("e"))), ("NAME", b"f49"), ("OLD_FH", handle(vol.lower(name))),
                    ("NEW_FH", handle(new)), ("NEW_NAME", b"n")])
    with open(vol.path(name), "rb") as f:
        assert f.read() == b"N" * 10
    assert os.read(old, 1000) == (b"049" * 50)[:149]
    os.close(old)
    d.do("REMOVE", [("PARENT_FH", handle(vol.lower("e"))), ("NAME", b"f48"), ("OLD_FH", handle(vol.lower("e/f48")))])
    refused(errno.ENOENT, os.stat, vol.path("e/f48"))

run(nobody_looks, somebody_does, stale_is_asked_for, one_by_one, said_about)
PY
umount /mnt/ahead
