#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The workload of tests/powercut: edits of the origin, each state of which is written down, and reads of the mount.

  workload.py ORIGIN MOUNT STATES MARKS make|round N|over SEED

Every step (one system call that changes something) is followed by a look at the whole origin: what is new is appended to
STATES (tests/powercut/states.c has the form). The content of a file is SHAKE128 of a key. `make` makes the tree,
`round` reads through the mount, edits until both are equal, pins, evicts in one of three ways, and has names forgotten;
`over` only waits until both are equal. MARKS is "DEVICE:OFFSET", and what is written there is seen in the log of the disk between the
writes of the cache: how many lines of STATES were over when the mount was last seen equal, what is being done (fill,
switch, evict, forget, other), how many lines of STATES that are about pins count.
"""
import ctypes
import hashlib
import json
import mmap
import os
import random
import socket
import stat
import subprocess
import sys
import threading
import time

ORIGIN, MOUNT, STATES, MARKS, WHAT = sys.argv[1:6]
ROUND = int(sys.argv[6]) if len(sys.argv) > 6 else 0
SEED = int(sys.argv[7]) if len(sys.argv) > 7 else 1
PIN, PIN_IN = os.path.join(ORIGIN, "pin"), os.path.join(ORIGIN, "pin/in")
STAGE = os.path.join(os.path.dirname(ORIGIN), "stage")
KEYS = STATES + ".keys"
rnd = random.Random(SEED * 1000 + ROUND)
COARSE = 5     # CLOCK_REALTIME_COARSE, which Python has no name for
CTL, CACHE = "/run/augur/agent.sock", "/cache"
EQUAL, PHASE, PINS = range(3)   # the marks, 4 KiB each
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
    for d in ["a", "b", "b/c", "b/c/d", "e", "f", "big", "pin", "pin/in", "turn"]:
        os.makedirs(os.path.join(ORIGIN, d))
        for i in range(9 if d not in ("big", "pin") else 0):
            os.rename(new_file(size_small()), os.path.join(ORIGIN, d, "s%d" % i))
    for i in range(4):
        os.rename(new_file(rnd.randrange(600000, 1300000)), os.path.join(ORIGIN, "big", "b%d" % i))
        os.rename(new_file((5000, 16384, 65536, 200000)[i]), os.path.join(ORIGIN, "pin", "keep%d" % i))
    for i in range(6):
        p = os.path.join(ORIGIN, "a", "l%d" % i)
        os.rename(new_file(9000 + i), p)
        os.link(p, os.path.join(ORIGIN, "e", "l%d" % i))
        os.link(p, os.path.join(ORIGIN, "b/c", "other%d" % i))
        os.symlink("../a/s%d" % i, os.path.join(ORIGIN, "f", "link%d" % i))
    look()


def walk(kind, pinned=None):
    """Paths of a kind, below pin/ (True), not there (False), or all; what is kept there is never edited."""
    out = []
    for d, dirs, files in sorted(os.walk(ORIGIN)):
        for n in sorted(dirs if kind == "d" else files):
            p = os.path.join(d, n)
            if pinned is not None and (pinned != p.startswith(PIN_IN) or p in (PIN, PIN_IN) or p.startswith(PIN + "/keep")):
                continue
            st = os.lstat(p)
            if kind == "d" or (stat.S_ISREG(st.st_mode) and (kind == "f" or (kind == "link") == (st.st_nlink > 1))):
                out.append(p)
    return out


def edit_pinned():
    """What comes to be in a pinned directory, or takes a pinned object's place, is pinned."""
    what = rnd.choice(["replace", "replace", "rewrite", "new", "move", "link"])
    there, new = walk("plain", True), os.path.join(PIN_IN, "p%d" % next_key)
    small = [p for p in walk("plain", False) if os.path.getsize(p) <= 65536]
    if what == "replace":
        put(rnd.choice(there), size_small())
    elif what == "rewrite":
        rewrite(rnd.choice([p for p in there if os.path.getsize(p)]))
    elif what == "new":
        put(new, size_small())
    elif what == "move":
        step(os.rename, rnd.choice(small), new)
    elif what == "link":
        step(os.link, rnd.choice(small), new)


def edit():
    what = rnd.choice(["replace"] * 5 + ["rewrite"] * 3 + ["linked"] * 4 + ["relink", "unlink", "new", "new", "remove",
                                                                           "rename", "dir", "rmdir", "symlink"])
    small = [p for p in walk("plain", False) if os.path.getsize(p) <= 65536]
    if what == "replace":
        p = rnd.choice(walk("plain", False))
        put(p, os.path.getsize(p) if rnd.random() < 0.5 and os.path.getsize(p) else size_small())
    elif what == "rewrite":
        rewrite(rnd.choice([p for p in walk("f", False) if os.path.getsize(p)]))
    elif what == "linked" and walk("link", False):
        rewrite(rnd.choice(walk("link", False)))
    elif what == "relink":
        step(os.link, rnd.choice(small), os.path.join(rnd.choice(walk("d", False)), "n%d" % next_key))
    elif what == "unlink" and walk("link", False):
        step(os.unlink, rnd.choice(walk("link", False)))
    elif what == "new":
        put(os.path.join(rnd.choice(walk("d", False)), "n%d" % next_key), size_small())
    elif what == "remove" and len(small) > 40:
        step(os.unlink, rnd.choice(small))
    elif what == "rename":
        step(os.rename, rnd.choice(small), os.path.join(rnd.choice(walk("d", False)), "m%d.%d" % (ROUND, rnd.randrange(1000000))))
    elif what == "dir":
        d = rnd.choice(walk("d", False))
        if os.path.basename(d) not in ("big", "turn"):
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


def mark(which, text, flush=False):
    """With a flush behind it: what comes next is in another segment of the log."""
    dev, at = MARKS.split(":")
    buf = mmap.mmap(-1, 4096)
    buf.write(b"%s\n" % text.encode())
    fd = os.open(dev, os.O_WRONLY | os.O_DIRECT)
    os.pwritev(fd, [buf], int(at) + which * 4096)
    if flush:
        os.fsync(fd)
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
    mark(EQUAL, str(len(seen)))


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


# ---- the daemon's side

def status():
    with socket.socket(socket.AF_UNIX) as k:
        k.connect(CTL)
        k.sendall(b'{"verb":"status"}\n')
        return json.loads(k.makefile().readlines()[-1])["mounts"][0]


def augur(*args):
    """Status 2: some were not changed."""
    r = subprocess.run(["augur", "--ctl", CTL, "--json", *args], stdout=subprocess.PIPE, text=True, check=False)
    if r.returncode not in (0, 2):
        sys.exit("augur %s ends with %d" % (args[0], r.returncode))
    return json.loads(r.stdout.splitlines()[-1])


def until(what, fn, seconds=60, more=lambda: ""):
    end = time.monotonic() + seconds
    while not fn():
        if time.monotonic() > end:
            sys.exit("not within %d s: %s %s" % (seconds, what, more()))
        time.sleep(0.05)


def settled():
    """The kernel knows of nothing that is here and not claimed."""
    ids = [e for e in os.listdir("/sys/kernel/debug/augurfs") if e.isdigit()]
    path = "/sys/kernel/debug/augurfs/%s/inodes" % ids[0]
    until("claims are written", lambda: len(open(path).readlines()) == 1, 60, lambda: open(path).read())


def below(path):
    return [os.path.join(d, n) for d, _, files in os.walk(os.path.join(MOUNT, path)) for n in sorted(files)]


def read_whole(paths):
    for p in paths:
        try:
            with open(p, "rb", buffering=0) as f:
                while f.read(1 << 18):
                    pass
        except OSError:
            pass


# ---- pins

def note(kind, path):
    """The number makes no two lines equal."""
    line = "%s %s %d\n" % (kind, handle(path), len(seen))
    seen.add(line)
    states.write(line)
    states.flush()


def pin(name):
    below(name)         # a name that was never looked up here is not known
    os.lstat(os.path.join(MOUNT, name))
    augur("pin", os.path.join(MOUNT, name))
    note("P", os.path.join(ORIGIN, name))
    mark(PINS, str(len(seen)))


def linger():
    """Flushes of the disk that carry nothing of the filesystem: what was answered has to be there at each of them."""
    for _ in range(5):
        for last in (False, False, True):
            mark(PINS, str(len(seen)), last)


def unpin(name):
    note("N", os.path.join(ORIGIN, name))
    mark(PINS, str(len(seen)), True)
    augur("unpin", os.path.join(MOUNT, name))


def come_and_go():
    """Files are pinned for a moment, in which nobody edits them; those below turn/ may be by their directory."""
    for p in rnd.sample([p for p in walk("plain", False) if not p.startswith(ORIGIN + "/turn/")], 6):
        pin(os.path.relpath(p, ORIGIN))
        linger()
        unpin(os.path.relpath(p, ORIGIN))


def keep():
    """Never edited, pinned, read as a whole and claimed, and all of that durable: from here on so in each state of the disk."""
    paths = [p for p in below("pin") if os.path.basename(p).startswith("keep")]
    read_whole(paths)
    settled()
    os.sync()
    for p in paths:
        note("K", os.path.join(ORIGIN, os.path.relpath(p, MOUNT)))
    mark(PINS, str(len(seen)))


# ---- eviction

def evicted():
    return status()["cache"]["evicted_bytes"]


def asked():
    """By name, the oldest, all; under readers."""
    paths = [p for p in below("") if not os.path.islink(p) and os.path.getsize(p)]
    readers = [threading.Thread(target=read_whole, args=(rnd.sample(paths, 12),)) for _ in range(2)]
    for t in readers:
        t.start()
    augur("evict", *rnd.sample(paths, 20))
    augur("evict", "--bytes", "%dK" % rnd.randrange(200, 2000))
    res = augur("evict", "--all")
    for t in readers:
        t.join()
    if ROUND > 1 and not res["refused"].get("pinned"):
        sys.exit("nothing pinned was to be evicted: %s" % res)


def with_watermarks(prefix, run, cull, fn):
    where = "/sys/fs/augurfs/%d/evict/%s" % (status()["id"], prefix)
    old = {n: open(where + n).read().strip() for n in ("run", "cull")}

    def knob(n, v):
        with open(where + n, "w") as f:
            f.write(str(v))
    knob("run", run)
    knob("cull", cull)
    fn()
    knob("cull", old["cull"])
    knob("run", old["run"])


def by_watermarks():
    """As much as is free now is too little, while somebody reads."""
    c, before = status()["cache"], evicted()
    free = c["free_bytes"] * 100 // c["total_bytes"]
    with_watermarks("", min(99, free + 8), min(98, free + 4), lambda: until(
        "the watermark is met, or nothing more can go", lambda: read_whole(rnd.sample(below(""), 4)) or evicted() > before))


def by_need():
    """Less room than what is read takes."""
    augur("evict", os.path.join(MOUNT, "big"))
    os.sync()           # its room is free
    before = evicted()
    ballast = os.path.join(CACHE, "ballast")
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    st = os.statvfs(CACHE)
    os.posix_fallocate(fd, 0, st.f_bavail * st.f_frsize - rnd.randrange(1 << 20, 5 << 19))
    os.close(fd)
    for _ in range(2):
        read_whole(below("big"))
        read_whole(rnd.sample(below(""), 20))
    until("room is made", lambda: read_whole(below("big")) or evicted() > before)
    os.unlink(ballast)


def evict():
    read_whole(rnd.sample(below(""), 40) + below("big")[:2])
    settled()
    mark(PHASE, "evict")
    before = evicted()
    (asked, by_watermarks, by_need)[ROUND % 3]()
    print("round %d: %d bytes evicted" % (ROUND, evicted() - before), flush=True)
    if evicted() == before:
        sys.exit("nothing was evicted")


# ---- names

def forgotten():
    return status()["cache"]["names_forgotten"]


def forget():
    """All names that nobody uses, again and again while somebody walks."""
    shape(MOUNT)
    settled()
    mark(PHASE, "forget")
    before = forgotten()
    with_watermarks("inode_", 100, 100, lambda: until(
        "names go under a walk", lambda: read_whole(rnd.sample(below(""), 4)) or forgotten() > before + 100))
    os.sync()
    print("round %d: %d names forgotten" % (ROUND, forgotten() - before), flush=True)


def change():
    for _ in range(rnd.randrange(1, 4)):
        (edit_pinned if rnd.random() < 0.3 else edit)()


def one_round():
    for _ in range(rnd.randrange(3, 6)):
        mark(PHASE, "fill")
        read_some()
        if rnd.random() < 0.5:
            settled()
        mark(PHASE, "switch")
        change()
        read_some()
        if rnd.random() < 0.5:
            until_equal()
    until_equal()
    mark(PHASE, "other")
    if ROUND == 1:
        pin("pin")
        keep()
    pin("turn") if ROUND % 2 else unpin("turn")
    come_and_go()
    evict()
    mark(PHASE, "other")
    forget()
    mark(PHASE, "fill")
    read_some()
    settled()
    mark(PHASE, "other")
    until_equal()


if WHAT == "make":
    make()
elif WHAT == "round":
    one_round()
elif WHAT == "over":
    until_equal()
with open(KEYS, "w") as out:
    out.writelines("%s %d\n" % kv for kv in keys.items())
