#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# names-ahead: where names are looked up after their listing, the next listing has looked them up already; where nobody
# does, it has not; what is marked stale is left to who asks, and a listing takes what is known already from memory.
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
for d in ("a", "b", "c", "d"):
    mkdir(d)
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
    before, ahead = stats()
    assert ahead == 0 and before >= N
    listed("c")
    assert stats()[1] == N, stats()
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

run(nobody_looks, somebody_does, stale_is_asked_for)
PY
umount /mnt/ahead
