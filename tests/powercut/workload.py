#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The workload of tests/powercut: edits of the origin, each state of which is written down, and reads of the mount.

  workload.py ORIGIN MOUNT STATES MARKS make|round N|over SEED

Every step (one system call that changes something) is followed by a look at the whole origin: what is new is appended to
STATES (tests/powercut/states.c has the form). The content of a file is SHAKE128 of a key. `make` makes the tree,
`round` edits it and reads through the mount until both are equal, then writes a mark: so many states were over when the
mount was last seen equal. MARKS is "DEVICE:OFFSET". `over` only waits and marks.
"""
import ctypes
import hashlib
import mmap
import os
import random
import stat
import sys
import time

ORIGIN, MOUNT, STATES, MARKS, WHAT = sys.argv[1:6]
ROUND = int(sys.argv[6]) if len(sys.argv) > 6 else 0
SEED = int(sys.argv[7]) if len(sys.argv) > 7 else 1
STAGE = os.path.join(os.path.dirname(ORIGIN), "stage")
KEYS = STATES + ".keys"
rnd = random.Random(SEED * 1000 + ROUND)
COARSE = 5     # CLOCK_REALTIME_COARSE, which Python has no name for
libc = ctypes.CDLL(None, use_errno=True)


class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]


def handle(path):
    h, mnt = Handle(128), ctypes.c_int()
    if libc.name_to_handle_at(-100, os.fsencode(path), ctypes.byref(h), ctypes.byref(mnt), 0):
        raise OSError(ctypes.get_errno(), path)
    return "%d:%s" % (h.type, bytes(h.data[:h.bytes]).hex())


keys = {}       # handle -> key of the content
seen = set()    # states written down
if os.path.exists(KEYS):
    for row in open(KEYS):
        k, v = row.split()
        keys[k] = int(v)
if os.path.exists(STATES):
    seen = set(open(STATES))
states = open(STATES, "a")
next_key = max(keys.values(), default=0) + 1


def stamp(ns):
    return "%d.%09d" % divmod(ns, 1000000000)


def look():
    """Writes down what is new; the directories' lists come from the same moment, as nobody else edits."""
    def one(path, names=None):
        st, h = os.lstat(path), handle(path)
        head = "%s %s %s %d %d" % (h, stamp(st.st_ctime_ns), stamp(st.st_mtime_ns), st.st_size, st.st_nlink)
        if stat.S_ISDIR(st.st_mode):
            line = "d %s %s\n" % (head, " ".join("%s=%s" % (os.fsencode(n).hex(), h2) for n, h2 in names))
        elif stat.S_ISLNK(st.st_mode):
            line = "l %s %s\n" % (head, os.fsencode(os.readlink(path)).hex())
        else:
            line = "f %s %d\n" % (head, keys[h])
        if line not in seen:
            seen.add(line)
            states.write(line)
        return h

    def tree(d):
        names = []
        for n in sorted(os.listdir(d)):
            p = os.path.join(d, n)
            names.append((n, tree(p) if os.path.isdir(p) and not os.path.islink(p) else one(p)))
        return one(d, names)
    tree(ORIGIN)
    states.flush()


def content(key, size):
    return hashlib.shake_128(str(key).encode()).digest(size)


def tick():
    """No two states of an object within one tick of the clock of timestamps."""
    end = time.clock_gettime_ns(COARSE) + 9000000
    while time.clock_gettime_ns(COARSE) < end:
        os.sched_yield()


def new_file(size):
    """A file with content, outside of what is exported."""
    global next_key
    os.makedirs(STAGE, exist_ok=True)
    p = os.path.join(STAGE, "f%d" % next_key)
    with open(p, "wb") as f:
        f.write(content(next_key, size))
    keys[handle(p)] = next_key
    next_key += 1
    return p


def step(fn, *args):
    tick()
    fn(*args)
    look()


def put(path, size):
    step(os.rename, new_file(size), path)


def rewrite(path):
    """The same size in place, by one write."""
    global next_key
    size = os.stat(path).st_size
    fd = os.open(path, os.O_WRONLY)
    keys[handle(path)] = next_key
    step(os.pwrite, fd, content(next_key, size), 0)
    os.close(fd)
    next_key += 1


def size_small():
    return rnd.choice([0, 1, 700, 4096, 5000, 12000, 20000, 33000, 65536])


def make():
    for d in ["a", "b", "b/c", "b/c/d", "e", "f", "big"]:
        os.makedirs(os.path.join(ORIGIN, d))
        for i in range(9 if d != "big" else 0):
            os.rename(new_file(size_small()), os.path.join(ORIGIN, d, "s%d" % i))
    for i in range(4):
        os.rename(new_file(rnd.randrange(600000, 1300000)), os.path.join(ORIGIN, "big", "b%d" % i))
    for i in range(6):
        p = os.path.join(ORIGIN, "a", "l%d" % i)
        os.rename(new_file(9000 + i), p)
        os.link(p, os.path.join(ORIGIN, "e", "l%d" % i))
        os.link(p, os.path.join(ORIGIN, "b/c", "other%d" % i))
        os.symlink("../a/s%d" % i, os.path.join(ORIGIN, "f", "link%d" % i))
    look()


def walk(kind):
    out = []
    for d, dirs, files in sorted(os.walk(ORIGIN)):
        for n in sorted(dirs if kind == "d" else files):
            p = os.path.join(d, n)
            st = os.lstat(p)
            if kind == "d" or (stat.S_ISREG(st.st_mode) and (kind == "f" or (kind == "link") == (st.st_nlink > 1))):
                out.append(p)
    return out


def edit():
    what = rnd.choice(["replace"] * 5 + ["rewrite"] * 3 + ["linked"] * 4 + ["relink", "unlink", "new", "new", "remove",
                                                                           "rename", "dir", "rmdir", "symlink"])
    small = [p for p in walk("plain") if os.path.getsize(p) <= 65536]
    if what == "replace":
        p = rnd.choice(walk("plain"))
        put(p, os.path.getsize(p) if rnd.random() < 0.5 and os.path.getsize(p) else size_small())
    elif what == "rewrite":
        rewrite(rnd.choice([p for p in walk("f") if os.path.getsize(p)]))
    elif what == "linked" and walk("link"):
        rewrite(rnd.choice(walk("link")))
    elif what == "relink":
        step(os.link, rnd.choice(small), os.path.join(rnd.choice(walk("d")), "n%d" % next_key))
    elif what == "unlink" and walk("link"):
        step(os.unlink, rnd.choice(walk("link")))
    elif what == "new":
        put(os.path.join(rnd.choice(walk("d")), "n%d" % next_key), size_small())
    elif what == "remove" and len(small) > 40:
        step(os.unlink, rnd.choice(small))
    elif what == "rename":
        step(os.rename, rnd.choice(small), os.path.join(rnd.choice(walk("d")), "m%d.%d" % (ROUND, rnd.randrange(1000000))))
    elif what == "dir":
        d = rnd.choice(walk("d"))
        if os.path.basename(d) != "big":
            step(os.rename, d, os.path.join(os.path.dirname(d), "d%d.%d" % (ROUND, rnd.randrange(1000000))))
    elif what == "rmdir":
        d = os.path.join(ORIGIN, "x%d" % ROUND)
        if not os.path.exists(d):
            step(os.mkdir, d)
            put(os.path.join(d, "inside"), 5000)
        for old in [os.path.join(ORIGIN, n) for n in os.listdir(ORIGIN) if n[0] == "x" and n != "x%d" % ROUND]:
            for n in os.listdir(old):
                p = os.path.join(old, n)
                if not os.path.isdir(p):
                    step(os.unlink, p)
            if not os.listdir(old):
                step(os.rmdir, old)
    elif what == "symlink":
        p = os.path.join(ORIGIN, "f", "y%d" % rnd.randrange(4))
        if os.path.isdir(os.path.dirname(p)):
            if os.path.lexists(p):
                step(os.unlink, p)
            step(os.symlink, "somewhere/%d" % rnd.randrange(1000000), p)


def shape(top):
    """Names, types, sizes, times: what a walk shows."""
    out = []

    def tree(d):
        for n in sorted(os.listdir(os.path.join(top, d))):
            p = os.path.join(d, n)
            st = os.lstat(os.path.join(top, p))
            out.append((p, st.st_mode, st.st_nlink, 0 if stat.S_ISDIR(st.st_mode) else st.st_size, st.st_mtime_ns, st.st_ctime_ns))
            if stat.S_ISDIR(st.st_mode):
                tree(p)
    tree("")
    return out


def mark():
    dev, at = MARKS.split(":")
    buf = mmap.mmap(-1, 4096)
    buf.write(b"%d\n" % len(seen))
    fd = os.open(dev, os.O_WRONLY | os.O_DIRECT)
    os.pwritev(fd, [buf], int(at))
    os.close(fd)


def until_equal():
    end = time.monotonic() + 90
    while True:
        try:
            if shape(MOUNT) == shape(ORIGIN):
                break
        except FileNotFoundError:
            pass
        if time.monotonic() > end:
            sys.exit("the mount does not become what the origin is: %s" % sorted(set(shape(ORIGIN)) ^ set(shape(MOUNT)))[:4])
    mark()


def read_some():
    """Whole files, parts of large ones, directories; what is on the way to another name is not there."""
    for _ in range(rnd.randrange(10, 25)):
        p = os.path.relpath(rnd.choice(walk(rnd.choice("fffd"))), ORIGIN)
        m = os.path.join(MOUNT, p)
        try:
            if os.path.isdir(m):
                os.listdir(m)
                continue
            with open(m, "rb", buffering=0) as f:
                size = os.fstat(f.fileno()).st_size
                if size > 200000:
                    for _ in range(rnd.randrange(1, 4)):
                        f.seek(rnd.randrange(size))
                        f.read(16384)
                else:
                    f.read()
        except (FileNotFoundError, OSError):
            pass


if WHAT == "make":
    make()
elif WHAT == "round":
    for _ in range(rnd.randrange(3, 6)):
        read_some()
        for _ in range(rnd.randrange(1, 4)):
            edit()
        if rnd.random() < 0.5:
            until_equal()
    read_some()
    until_equal()
elif WHAT == "over":
    until_equal()
with open(KEYS, "w") as out:
    out.writelines("%s %d\n" % kv for kv in keys.items())
