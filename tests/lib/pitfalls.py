# SPDX-License-Identifier: GPL-2.0-or-later
"""
pitfalls: where a filesystem whose bytes come from a daemon hangs or lies if one thing is left out; one function each, with
the fault point of the module that leaves it out.

    pitfalls.py --list            number, name and fault point of each ("-": it has none)
    pitfalls.py NAME [POINT]      0: as it should be; 1: not; 2: the test itself broke off; 3: the fault did not hit;
                                  77: this kernel has nothing of it. Needs the module and /cache.

The daemon is one that answers every FETCH after a while, in a process of its own, from files whose bytes are known.
"""
import errno as E
import os
import queue
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import traceback

from fakedaemon import *
from rawio import *

C = 65536
MIB = 1 << 20
SIZE = 4 * MIB
BUFFER = 3 * MIB
INJECT = "/sys/kernel/debug/augurfs/inject/"
TIMES = 1000000
SPECIAL = {}


def content(name):
    return SPECIAL.get(name) or random.Random(name).randbytes(SIZE)


class NotHere(Exception):
    """What the case is about is nothing this kernel does."""


class Server:
    """Answers each request @delay seconds after it came; a fill that blocks holds up no other."""

    def __init__(self, vol, delay):
        self.vol, self.delay = vol, delay
        r, w = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(r)
            try:
                self.serve(w)
            finally:
                os._exit(1)
        os.close(w)
        os.read(r, 1)                              # it is registered
        os.close(r)

    def serve(self, ready):
        self.d = Daemon(rcvbuf=4 << 20)
        self.d.register(self.vol.id())
        self.d.lease(3600000)
        os.write(ready, b"1")
        os.close(ready)
        self.done, (r, self.w) = queue.Queue(), os.pipe()
        while True:
            if self.d.inbox or self.d.s in select.select([self.d.s, r], [], [])[0]:
                m = self.d.message(0.01)
                if m and m.cmd == "REQ":
                    threading.Thread(target=self.fill, args=(m,), daemon=True).start()
            while not self.done.empty():
                os.read(r, 1)
                self.answer(self.done.get())

    def fill(self, q):
        if q["OP"] == OP["FETCH"]:
            time.sleep(self.delay)
            name = q["OID"].rstrip(b"\1").decode()
            self.vol.fill(name, q["OFFSET"], content(name)[q["OFFSET"]:q["OFFSET"] + q["LENGTH"]])
        self.done.put(q)
        os.write(self.w, b"1")

    def answer(self, q):
        try:
            if q["OP"] == OP["FETCH"]:
                self.d.reply(q, off=q["OFFSET"], length=q["LENGTH"])
            else:
                self.d.reply(q, 0 if q["OP"] == OP["REVAL"] else -E.ENOENT)
        except Refused as e:
            if e.errno != E.ENOENT:                # its caller is gone
                raise

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Freezer:
    """Freezes and thaws the cache's filesystem all the time; nobody is left frozen."""

    def __init__(self):
        self.stop = threading.Event()
        self.rounds = 0
        self.t = threading.Thread(target=self.loop)
        self.t.start()

    def loop(self):
        fd = os.open("/cache", os.O_RDONLY)
        while not self.stop.is_set():
            fcntl.ioctl(fd, 0xC0045877, 0)
            self.rounds += 1
            self.stop.wait(0.2)
            fcntl.ioctl(fd, 0xC0045878, 0)
            self.stop.wait(0.2)
        os.close(fd)

    def end(self):
        self.stop.set()
        self.t.join()
        assert self.rounds, "nothing was frozen"


class Part:
    """Of a mapping."""

    def __init__(self, addr, n):
        self.addr, self.len = addr, n

    def bytes(self):
        return ctypes.string_at(self.addr, self.len)


class Place:
    """A mounted cache of absent files a, b, ..., and its server."""

    def __init__(self, delay=0.2, options=f"timeout_ms={4000 * SLOW}", complete=True, serve=True, **stub):
        n = 0
        while os.path.exists(f"/cache/pit{n}"):
            n += 1
        self.vol = Volume(f"/cache/pit{n}", "/mnt/pit")
        self.vol.mkroot(complete)
        for name in "abcdefgh":
            self.vol.stub(name, len(content(name)), **stub)
        self.vol.mount(options)
        self.server = Server(self.vol, delay) if serve else None
        self.fds, self.maps = [], []

    def open(self, name, flags=0):
        fd = os.open(self.vol.path(name), os.O_RDONLY | flags)
        self.fds.append(fd)
        return fd

    def map(self, name, off=0, n=None, **kw):
        self.maps.append(Map(self.open(name), n or len(content(name)) - off, off, **kw))
        return self.maps[-1]

    def buffer(self, name, n=256 << 10):
        """Absent bytes of @name from BUFFER on, mapped; what a mapping begins with is asked for when it is made."""
        m = self.map(name, BUFFER - MIB, MIB + n)
        return Part(m.addr + MIB, n)

    def end(self):
        for m in self.maps:
            m.close()
        for fd in self.fds:
            try:
                os.close(fd)
            except OSError:
                pass
        if self.server:
            self.server.end()
        # A reader that was given up may still be on its way out.
        until(lambda: not subprocess.run(["umount", self.vol.mnt], stderr=subprocess.DEVNULL, check=False).returncode, "umount")


def same(got, want, what):
    if got != want:
        at = next((i for i, (x, y) in enumerate(zip(got, want)) if x != y), min(len(got), len(want)))
        raise AssertionError(f"{what}: {len(got)} bytes for {len(want)}, other bytes from {at}")


def in_child(fn):
    """@fn in another process; its exception is ours."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        try:
            fn()
            os._exit(0)
        except BaseException as e:
            print(f"  {type(e).__name__}: {e}", flush=True)
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0, "the child failed"


# ---------------------------------------------------------------- 1: a fault inside a read or write that holds locks

def own_buffer(p):
    """A direct read whose buffer is an absent part of the file that is read."""
    want, fd = content("a"), p.open("a", os.O_DIRECT)
    m = p.buffer("a", MIB)
    assert pread_into(fd, m.addr, MIB, 0) == MIB
    same(m.bytes(), want[:MIB], "direct read")
    u, n = Uring(), p.buffer("b", MIB)
    res = u.read(p.open("b", os.O_DIRECT), n.addr, MIB, 0)
    assert res == MIB, f"io_uring: {res}"
    same(n.bytes(), content("b")[:MIB], "io_uring")
    assert p.vol.stat("upcalls_timeout") == 0, "requests were not answered in time"
    u.close()


def frozen(p):
    """Buffers that are absent while the cache's filesystem is frozen and thawed and the daemon takes a second."""
    freezer = Freezer()
    try:
        want = content("a")
        m = p.buffer("a")
        r, w = os.pipe()
        fcntl.fcntl(w, 1031, MIB)
        assert write_from(w, m.addr, m.len) == m.len
        same(os.read(r, m.len), want[BUFFER:BUFFER + m.len], "write(2) into a pipe")
        m, want = p.buffer("h"), content("h")
        with open("/dev/shm/pitfall", "wb+") as f:
            assert write_from(f.fileno(), m.addr, m.len) == m.len
            f.seek(0)
            same(f.read(), want[BUFFER:BUFFER + m.len], "write(2) into another filesystem")
        os.unlink("/dev/shm/pitfall")
        for name, flags in (("b", 0), ("c", os.O_DIRECT)):
            m = p.buffer(name)
            assert pread_into(p.open(name, flags), m.addr, m.len, 0) == m.len
            same(m.bytes(), content(name)[:m.len], f"read into the same file, flags {flags:#x}")
        m = p.buffer("d")
        assert pread_into(p.open("e", os.O_DIRECT), m.addr, m.len, 0) == m.len
        same(m.bytes(), content("e")[:m.len], "direct read into another absent file")
        m = p.buffer("f")
        res = aio_read(p.open("f", os.O_DIRECT), m.addr, m.len, MIB)
        assert res == m.len, f"libaio: {res}"
        same(m.bytes(), content("f")[MIB:MIB + m.len], "libaio into the same file")
        fixed(p)
        assert p.vol.stat("upcalls_timeout") == 0, "requests were not answered in time"
    finally:
        freezer.end()


def lower_write(p):
    """write(2) into the cache's own filesystem, which freezes meanwhile: ends at the deadline, and the freeze with it."""
    freezer = Freezer()
    try:
        for i in range(2):
            m = p.buffer("ab"[i])
            with open("/cache/pitfall-own", "wb") as f:
                start = time.monotonic()
                try:
                    n = write_from(f.fileno(), m.addr, m.len)
                    same(open("/cache/pitfall-own", "rb").read(), content("ab"[i])[BUFFER:BUFFER + n], "what was written")
                except OSError as e:
                    assert e.errno == E.EFAULT, e
                    n = "EFAULT"
                print(f"  write(2): {n} after {time.monotonic() - start:.1f} s")
    finally:
        freezer.end()


def fixed(p):
    """Fixed buffers are fetched when they are registered, or refused, as 6.1 does with every file's."""
    u, m = Uring(), p.buffer("g", 128 << 10)
    try:
        u.register(m.addr, m.len)
    except OSError as e:
        assert e.errno in (E.EOPNOTSUPP, E.EFAULT), e
        print("  fixed buffers of a file: refused by this kernel")
        return
    res = u.read(p.open("g", os.O_DIRECT), m.addr, m.len, MIB, op=READ_FIXED)
    assert res == m.len, f"fixed: {res}"
    same(m.bytes(), content("g")[MIB:MIB + m.len], "fixed buffer")
    u.close()


# ---------------------------------------------------------------- 2: holes that are absent bytes

def holes(p):
    """Copies of a half-present file by programs that skip holes."""
    fd = p.open("a")
    for at in range(0, SIZE, 4 * C):
        os.pread(fd, 100, at)
    assert data_runs(fd) == [(0, SIZE)], data_runs(fd)
    assert os.fstat(fd).st_blocks * 512 >= SIZE
    out = "/cache/pitfall-copy"
    for how in (f"cp --sparse=auto {p.vol.path('a')} {out}", f"tar -C {p.vol.mnt} -cSf - a | tar -xOf - > {out}"):
        subprocess.run(["sh", "-c", how], check=True)
        with open(out, "rb") as f:
            same(f.read(), content("a"), how.split()[0])
    os.unlink(out)


# ---------------------------------------------------------------- 3: present before the bytes are

def early(p):
    """A second reader of bytes that are on their way."""
    first = Reader(p.vol.path("a"), 0, 4096)
    until(lambda: p.vol.requests(), "the first reader's request")
    second = Reader(p.vol.path("a"), 0, 4096)
    for r in (second, first):
        same(r.result(), content("a")[:4096], "a reader beside another")


# ---------------------------------------------------------------- 4: a daemon's late, double and foreign answers

def answers(p):
    """An answer in the name of a session that is over, by another socket, or twice."""
    d = Daemon()
    d.register(p.vol.id())
    d.lease()
    r = Reader(p.vol.path("a"), 0, 4096)
    d.request("FETCH")
    old = d.session
    d.close()
    d = Daemon()
    d.register(p.vol.id())
    q = d.request("FETCH")
    d.session, now = old, d.session
    refused(E.ESTALE, d.reply, q, off=q["OFFSET"], length=q["LENGTH"])
    d.session = now
    other = Daemon()
    other.mount, other.session = d.mount, now
    refused(E.EPERM, other.reply, q, off=q["OFFSET"], length=q["LENGTH"])
    other.close()
    assert not select.select([r.out], [], [], 0.3)[0], "a foreign answer woke the reader"
    p.vol.fill("a", q["OFFSET"], content("a")[:q["LENGTH"]])
    d.reply(q, off=q["OFFSET"], length=q["LENGTH"])
    same(r.result(), content("a")[:4096], "the reader")
    refused(E.ENOENT, d.reply, q, off=q["OFFSET"], length=q["LENGTH"])
    d.close()


def chaos(p):
    """Daemons that delay, double, drop and confuse their answers and die, under 50 readers."""
    rnd = random.Random(int(os.environ.get("SEED", "1")))
    stop = f"{p.vol.cache}/stop"

    def read_on(seed):
        own = random.Random(seed)
        name = "abcdefgh"[seed % 8]
        want, fd = content(name), os.open(p.vol.path(name), os.O_RDONLY)
        while not os.path.exists(stop):
            at = own.randrange(SIZE - 4096)
            same(os.pread(fd, 4096, at), want[at:at + 4096], f"reader {seed}")

    def misbehave(seed):
        own = random.Random(seed)
        d = Daemon(rcvbuf=4 << 20)
        d.register(p.vol.id())
        d.lease()
        seen = []
        for _ in range(own.randrange(1, 12)):
            q = d.request("FETCH", 5 * SLOW)
            seen.append(q)
            q = own.choice(seen)
            what = own.randrange(6)
            try:
                if what < 3:
                    name = q["OID"].rstrip(b"\1").decode()
                    p.vol.fill(name, q["OFFSET"], content(name)[q["OFFSET"]:q["OFFSET"] + q["LENGTH"]])
                    for _ in range(what):
                        d.reply(q, off=q["OFFSET"], length=q["LENGTH"])
                elif what == 3:
                    d.reply(own.randrange(1 << 40), op=3)
                elif what == 4:
                    d.reply(q, op=own.choice((1, 2, 4)))
                else:
                    d.session -= 1
                    d.reply(q, off=q["OFFSET"], length=q["LENGTH"])
            except Refused:
                pass
            d.session = d.session + 1 if what == 5 else d.session
        os.kill(os.getpid(), signal.SIGKILL)

    readers = []
    for i in range(50):
        pid = os.fork()
        if not pid:
            try:
                read_on(i)
                os._exit(0)
            except BaseException as e:
                print(f"  {e}", flush=True)
                os._exit(1)
        readers.append(pid)
    deaths, killed = int(os.environ.get("DEATHS", "60")), 0
    for i in range(deaths):
        pid = os.fork()
        if not pid:
            try:
                misbehave(rnd.randrange(1 << 30) + i)
            except BaseException as e:
                print(f"  daemon {i}: {e}", flush=True)
            os._exit(1)
        killed += os.waitpid(pid, 0)[1] == signal.SIGKILL
    print(f"  {killed} of {deaths} daemons misbehaved to their end", flush=True)
    assert killed * 10 >= deaths * 9, f"of {deaths} daemons {killed} came to misbehave"
    p.server = Server(p.vol, 0)
    open(stop, "w").close()
    assert [os.waitpid(pid, 0)[1] for pid in readers] == [0] * 50, "a reader failed"
    until(lambda: p.vol.stat("requests_live") == 0, "no request is left")


# ---------------------------------------------------------------- 5: a handler that waits for who waits for it

def storm(p):
    """Invalidations of a directory by the one thread that is to answer a lookup in it."""
    d = Daemon()
    d.register(p.vol.id())
    d.lease()
    for i in range(20):
        r = Reader(p.vol.path(f"absent{i}"))
        q = d.request("LOOKUP")
        for kind in (4, 1, 2):
            d.do("INVAL", [("ITEM", [("KIND", kind), ("OID", oid_of("/"))])])
        d.do("INVAL", [("ITEM", [("KIND", 3), ("PARENT_OID", oid_of("/")), ("NAME", b"absent")])])
        d.do("EPOCH", [("EPOCH", i + 1)])
        d.reply(q, -E.ENOENT)
        got = r.result()
        assert got == -E.ENOENT, f"the lookup ended with {got}"
    assert p.vol.stat("upcalls_timeout") == 0, "requests were not answered in time"
    d.close()


# ---------------------------------------------------------------- 6: mappings of incomplete files

def mappings(p):
    """fork, move, split, protection, a closed file: every page that is absent is waited for."""
    for name in "ab":
        m = p.map(name, prot=1, private=name == "a")
        os.close(p.fds.pop())
        mapping(name, m)
        p.maps.remove(m)                               # it is gone


def mapping(name, m):
    """Ends with the mapping unmapped."""
    want, rnd = content(name), random.Random(6)
    for _ in range(10):
        at = rnd.randrange(SIZE - 9000)
        same(m.bytes(at, 9000), want[at:at + 9000], f"{name} at {at}")
    in_child(lambda: same(m.bytes(MIB, MIB), want[MIB:2 * MIB], "a child"))
    check(libc.munmap(m.addr + 2 * MIB, MIB))          # two are left
    new = Map(-1, MIB)
    check(libc.mremap(ctypes.c_void_p(m.addr + 3 * MIB), ctypes.c_size_t(MIB), ctypes.c_size_t(MIB), 3, ctypes.c_void_p(new.addr)))
    same(new.bytes(), want[3 * MIB:], "after mremap")
    if name == "a":
        check(libc.mprotect(m.addr, MIB, 3))
        ctypes.memset(m.addr + 5, 0x55, 3)
        same(m.bytes(0, 4096), want[:5] + b"UUU" + want[8:4096], "after a write")
        in_child(lambda: same(m.bytes(4096, 64 << 10), want[4096:4096 + (64 << 10)], "a child after mprotect"))
    libc.munmap(m.addr, 2 * MIB)
    new.close()


def dumped(p):
    """The core of a process that has absent pages mapped has their bytes."""
    if not os.path.exists("/proc/sys/kernel/core_pattern"):
        raise NotHere("this kernel writes no cores")
    with open("/proc/sys/kernel/core_pattern") as f:
        pattern = f.read()
    with open("/proc/sys/kernel/core_pattern", "w") as f:
        f.write("/cache/pitfall-core")
    p.map("c", 0, MIB + (256 << 10), prot=1)           # more than what a mapping begins with
    pid = os.fork()
    if not pid:
        with open("/proc/self/coredump_filter", "w") as f:
            f.write("0xff")
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
        os.kill(os.getpid(), signal.SIGQUIT)
        os._exit(1)
    status = os.waitpid(pid, 0)[1]
    with open("/proc/sys/kernel/core_pattern", "w") as f:
        f.write(pattern)
    assert os.WTERMSIG(status) == signal.SIGQUIT and os.WCOREDUMP(status), status
    with open("/cache/pitfall-core", "rb") as f:
        assert content("c")[:MIB + (256 << 10)] in f.read(), "the core has other bytes"
    os.unlink("/cache/pitfall-core")
    assert p.vol.stat("faults_absent"), "nothing was absent"


def program(p):
    """A program of which some pages are present."""
    SPECIAL["h"] = open("/usr/bin/env", "rb").read()
    q = Place(delay=0.02)
    try:
        os.chmod(q.vol.lower("h"), 0o755)
        os.pread(q.open("h"), 100, 0)
        os.close(q.fds.pop())
        got = subprocess.run([q.vol.path("h"), "-i", "A=b"], stdout=subprocess.PIPE, check=False)
        assert got.stdout == b"A=b\n", got
    finally:
        q.end()
        del SPECIAL["h"]


def around(p):
    """Absent pages beside a present one, in memory as the zeros that the lower file has there."""
    want, fd = content("a"), p.open("a")
    os.pread(fd, 100, BUFFER)
    with open(p.vol.lower("a"), "rb") as f:
        f.seek(BUFFER)
        f.read(64 << 10)
    m = p.map("a", prot=1)
    for at in range(BUFFER, BUFFER + (16 << 12), 1 << 12):
        same(m.bytes(at, 64), want[at:at + 64], f"page {at >> 12}")


CASES = {
    "own_buffer": (1, own_buffer, "no_prefault", dict()),
    "frozen": (1, frozen, None, dict(delay=1, options=NO_DEADLINE)),
    "lower_write": (1, lower_write, None, dict(delay=1)),
    "holes": (2, holes, "show_holes", dict(delay=0)),
    "early": (3, early, "mark_early", dict(delay=1)),
    "answers": (4, answers, "any_session", dict(serve=False, options=NO_DEADLINE)),
    "chaos": (4, chaos, None, dict(serve=False, options=NO_DEADLINE)),
    "storm": (5, storm, "handler_lock", dict(serve=False, complete=False)),
    "mappings": (6, mappings, "no_wrap", dict(delay=0.02)),
    "dumped": (6, dumped, None, dict(delay=0.5)),
    "program": (6, program, None, dict(delay=0.02)),
    "around": (6, around, "map_around", dict(delay=0.2, shift=12)),
}


def point(name, times=None):
    with open(INJECT + name, "r" if times is None else "w") as f:
        return int(f.read()) if times is None else f.write(str(times))


def main(name, fault=None):
    _, fn, _, where = CASES[name]
    p = Place(**where)
    if fault:
        point(fault, TIMES)
    wrong, start, here = None, time.monotonic(), True
    try:
        fn(p)
    except NotHere as e:
        wrong, here = e, False
    except (AssertionError, OSError) as e:
        wrong = f"{type(e).__name__}: {e}"
    left = point(fault) if fault else 0
    if fault:
        point(fault, 0)
    print(f"{name}{' without its cure' if fault else ''}: {wrong or 'right'} ({time.monotonic() - start:.1f} s)", flush=True)
    p.end()
    shutil.rmtree(p.vol.cache)
    if not here:
        return 77
    if fault and left == TIMES:
        return 3
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1] == "--list":
        for n, (number, _, fault, _) in CASES.items():
            print(number, n, fault or "-")
        sys.exit(0)
    try:
        sys.exit(main(*sys.argv[1:]))
    except Exception:                              # Python's own status for it is 1, which would be a finding
        traceback.print_exc()
        sys.exit(2)
