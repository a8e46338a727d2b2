#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# forget: a name is forgotten only if nobody has it open, mapped, watched or pinned, sits in it or looks for it, and is asked
# for again by the next who wants it; its inode is free. Without the un-claim a name that is there is said to be absent.
# timeout: 300
. /payload/tests/lib/guest.sh

requires module python3
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm python3 - << 'PY'
import ctypes, errno as E, os
from fakedaemon import *

FORGET = 1
vol = Volume("/cache/forget", "/mnt/forget")
vol.mkroot()

def mkdir(name, flags=REC_COMPLETE):
    os.mkdir(vol.lower(name), 0o755)
    os.setxattr(vol.lower(name), "trusted.augur", record(oid_of(name), flags=flags, shift=0, nlink=2))

for name in ("d", "e", "e/sub", "e/sub/deep", "p", "w", "r"):
    mkdir(name, REC_COMPLETE | (REC_PINNED if name == "p" else 0))
for name in ("d/a", "d/b", "d/c", "d/open", "d/mapped", "d/path", "d/watched", "r/seen", "r/lost", "w/x", "w/y"):
    vol.stub(name, 100, flags=REC_COMPLETE)
    vol.fill(name, 0, name.encode() * 20)
vol.stub("d/pin", 100, flags=STUB | REC_PINNED)
vol.stub("d/twin", 100, nlink=2)
os.link(vol.lower("d/twin"), vol.lower("e/twin"))
os.symlink("a", vol.lower("d/link"))
os.setxattr(vol.lower("d/link"), "trusted.augur", record(oid_of("d/link")), follow_symlinks=False)
vol.mount("timeout_ms=20000")
mid = vol.id()
d = Daemon(); d.register(mid); d.lease(600000)

def claim(up, flags):
    os.setxattr(vol.lower(up), "trusted.augur", record(oid_of(up or "/"), flags=flags, shift=0, nlink=2))

def forget(name, flags=FORGET, disclaims=True):
    up, base = os.path.split(name)
    if disclaims:
        claim(up, STUB)
    more = [("FLAGS", flags)] if flags is not None else []
    d.do("REMOVE", [("PARENT_FH", handle(vol.lower(up))), ("NAME", base.encode()), ("OLD_FH", handle(vol.lower(name))), *more])

def gone(name):
    "for until(): what was said before may still be on its way out of memory"
    def once():
        try:
            forget(name)
            return True
        except Refused as e:
            assert e.errno == E.EBUSY, e
            return False
    return once

def kept(name):
    before = vol.stat("names_forgotten")
    refused(E.EBUSY, forget, name)
    assert os.path.lexists(vol.lower(name)) and vol.stat("names_forgotten") == before, name

def look(name):
    "a process of its own, as who is the daemon does not ask itself; its exit status is 0 if the name is there"
    pid = os.fork()
    if pid == 0:
        os.closerange(3, 1024)
        os._exit(0 if os.path.lexists(vol.path(name)) else 1)
    return pid

def found(pid):
    return os.waitpid(pid, 0)[1] == 0

def looked_for(name, make):
    "who looks waits for the daemon, which brings the name again"
    pid = look(name)
    q = d.request("LOOKUP")
    assert q["NAME"] == os.path.basename(name).encode(), q
    make()
    d.reply(q)
    assert found(pid), name

def inodes_free():
    return os.statvfs("/cache").f_ffree

def asked_again():
    "never looked at, or looked at and closed: it goes with its inode and is asked for again; so does a symbolic link"
    before = inodes_free()
    for name in ("d/a", "d/link"):
        os.lstat(vol.path(name))
        assert Reader(vol.path("d/a"), 0, 3).result() == b"d/a" if name == "d/a" else True
        forget(name)
    forget("d/b")
    until(lambda: inodes_free() == before + 3, "three inodes are free")
    assert vol.stat("names_forgotten") == 3
    looked_for("d/a", lambda: vol.stub("d/a", 100))
    looked_for("d/b", lambda: vol.stub("d/b", 100))
    refused(E.EINVAL, forget, "d/a", 2)
    refused(E.ESTALE, d.do, "REMOVE", [("PARENT_FH", handle(vol.lower("d"))), ("NAME", b"a"), ("OLD_FH", handle(vol.lower("d/b"))), ("FLAGS", FORGET)])

def used():
    "open, mapped, held by a path or a watch, pinned by its record alone"
    fd = os.open(vol.path("d/open"), os.O_RDONLY)
    kept("d/open")
    os.close(fd)
    until(gone("d/open"), "closed")
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    fd = os.open(vol.path("d/mapped"), os.O_RDONLY)
    m = libc.mmap(None, 4096, 1, 1, fd, 0)
    os.close(fd)
    kept("d/mapped")
    libc.munmap(ctypes.c_void_p(m), ctypes.c_size_t(4096))
    fd = os.open(vol.path("d/path"), os.O_PATH)
    kept("d/path")
    os.close(fd)
    ino = libc.inotify_init1(0)
    assert libc.inotify_add_watch(ino, vol.path("d/watched").encode(), 0x20) > 0
    kept("d/watched")
    os.close(ino)
    kept("d/pin")
    os.stat(vol.path("d/pin"))
    kept("d/pin")
    kept("p")

def directories():
    "one that is not empty, somebody's working directory, the one above it; what was not found in it is no matter"
    refused(E.ENOTEMPTY, forget, "e")
    os.chdir(vol.path("e/sub/deep"))
    kept("e/sub/deep")
    kept("e/sub")
    os.chdir("/")
    fd = os.open(vol.path("e/sub/deep"), os.O_RDONLY)
    kept("e/sub/deep")
    os.close(fd)
    assert not found(look("e/sub/deep/none"))
    before = inodes_free()
    until(gone("e/sub/deep"), "nobody is in it")
    forget("e/sub")
    until(lambda: inodes_free() == before + 2, "two inodes are free")
    looked_for("e/sub", lambda: mkdir("e/sub", STUB))
    looked_for("e/sub/deep", lambda: mkdir("e/sub/deep", STUB))

def several_names():
    "one of two names: the other stays, and is the same file"
    ino = os.stat(vol.path("e/twin")).st_ino
    forget("d/twin")
    assert os.stat(vol.path("e/twin")).st_ino == ino
    looked_for("d/twin", lambda: os.link(vol.lower("e/twin"), vol.lower("d/twin")))
    assert os.stat(vol.path("d/twin")).st_ino == ino

def while_looked_for():
    "somebody waits for a name in the directory: nothing of it goes, and it is not waited for"
    forget("w/x")
    pid = look("w/x")
    q = d.request("LOOKUP")
    kept("w/y")
    vol.stub("w/x", 100)
    d.reply(q, flags=COMPLETE)
    assert found(pid)
    until(gone("w/y"), "the look is over")
    looked_for("w/y", lambda: vol.stub("w/y", 100))    # though the directory was complete again

def point(name):
    open(f"/sys/kernel/debug/augurfs/inject/{name}", "w").write("1")
    return lambda: open(f"/sys/kernel/debug/augurfs/inject/{name}").read().strip() == "0"

def without_the_cures():
    "the fault points: a used name goes; a forgotten name is said to be absent"
    hit = point("forget_used")
    fd = os.open(vol.path("r/seen"), os.O_RDONLY)
    forget("r/seen")
    assert hit(), "the fault point did not hit"
    os.close(fd)
    claim("r", REC_COMPLETE)
    open("/proc/sys/vm/drop_caches", "w").write("2")
    os.stat(vol.path("r/lost"))
    hit = point("forget_complete")
    forget("r/lost", disclaims=False)
    assert hit(), "the fault point did not hit"
    assert not found(look("r/lost")), "the seeded mistake was not seen: it would not be caught"

run(asked_again, used, directories, several_names, while_looked_for, without_the_cures)
d.close()
vol.umount()
PY
