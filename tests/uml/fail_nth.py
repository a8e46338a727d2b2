# SPDX-License-Identifier: GPL-2.0-or-later
"""
fail_nth: tests/uml/fail-nth.sh's sweeps.  The kernel makes the n-th allocation of a task
fail that writes n to its own fail-nth; the number that is left says whether it came to it.
So a call has as many points of failure as it has allocations, and each is tried alone.

What another task does for the caller (the daemon, a work item) is not made to fail.
Arguments: slab (kmalloc and the caches) or pages (the page allocator as well), and which sweeps.
"""
import ctypes
import errno as E
import mmap as pymmap
import os
import sys
import threading

from fakedaemon import *

SIZE, BIG = 3 * 65536 + 100, 2 << 20
MADV_POPULATE_READ = 22
FINIT_MODULE, DELETE_MODULE = 313, 176
FILES = 700
PAGES = sys.argv[1] == "pages"
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                      ctypes.c_long]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
points = 0


def put(path, value):
    with open(path, "w") as f:
        f.write(str(value))


def get(path):
    with open(path) as f:
        return f.read().strip()


def arm():
    """Which allocations count: not those of the checkers, as kmemleak ends when one of its own fails."""
    debug = "/sys/kernel/debug/"
    put(debug + "failslab/ignore-gfp-wait", "N")
    put(debug + "failslab/verbose", 0)
    put(debug + "failslab/cache-filter", "Y")
    put(debug + "fail_page_alloc/verbose", 0)
    put(debug + "fail_page_alloc/min-order", 0 if PAGES else 10)
    put(debug + "fail_page_alloc/ignore-gfp-wait", "N")
    put(debug + "fail_page_alloc/ignore-gfp-highmem", "N")
    marked = {c: get(f"/sys/kernel/slab/{c}/failslab") == "1" for c in os.listdir("/sys/kernel/slab")}
    assert marked["kmalloc-96"] and not marked["kmemleak_object"], marked


def checked(n):
    if n < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return n


def failing(n, op):
    """@op with its n-th allocation failing: its result or -errno, and whether it came to that."""
    fd = os.open(f"/proc/self/task/{threading.get_native_id()}/fail-nth", os.O_RDWR)
    os.pwrite(fd, b"%d" % n, 0)
    try:
        got = op()
    except OSError as e:
        got = -e.errno
    except MemoryError:
        got = -E.ENOMEM
    left = int(os.pread(fd, 20, 0))
    os.pwrite(fd, b"0", 0)
    os.close(fd)
    return got, left == 0


def is_error(got):
    return isinstance(got, int) and got < 0


def sweep(name, op, right=None, before=None, after=None, may=(E.ENOMEM,), recover=None, again=True,
          limit=1500):
    """
    @op(n) for n = 1, 2, ... until nothing is made to fail any more; that last time it must
    succeed.  @right(n, result) judges what is no error.  After an error, and what @recover(n)
    does about it, the same must succeed (@again) with nothing failing.
    """
    global points
    failed = 0
    for n in range(1, limit):
        if before:
            before(n)
        got, hit = failing(n, lambda: op(n))
        if is_error(got):
            assert hit, f"{name}: {errno.errorcode[-got]} though nothing was made to fail"
            assert -got in may, f"{name}: allocation {n} failed: {errno.errorcode[-got]}"
            failed += 1
            if recover:
                recover(n)
            if again:
                got = op(n)
        if not is_error(got):
            assert not right or right(n, got), f"{name}: allocation {n} failed: got {got!r:.200}"
        if after:
            after(n, got)
        if not hit:
            break
    else:
        raise AssertionError(f"{name}: still more after {limit} allocations")
    assert n > 1, f"{name}: no allocation was made to fail"
    points += n - 1
    print(f"  {name}: {n - 1} points, {failed} of them seen by the caller", flush=True)


def answer(vol, d, q):
    if q["OP"] == OP["FETCH"]:
        vol.fill(q["OID"].rstrip(b"\1").decode(), q["OFFSET"], b"x" * q["LENGTH"])
        d.reply(q, off=q["OFFSET"], length=q["LENGTH"])
    elif q["OP"] == OP["LOOKUP"]:
        name = q["NAME"].decode()
        if name.startswith("new"):
            vol.stub(name, SIZE)
        if name.startswith("forget"):
            d.do("INVAL", [("ITEM", [("KIND", 4), ("OID", oid_of("d"))])])
        d.reply(q, 0 if name.startswith("new") else -E.ENOENT)
    elif q["OP"] == OP["POPULATE"]:
        d.reply(q, flags=COMPLETE)
    else:
        d.reply(q)


def serve(vol, d, q):
    try:
        answer(vol, d, q)
    except Refused as e:
        if e.errno != E.ENOENT:  # whoever asked has gone
            raise


class Server:
    """A daemon in a process of its own, whose allocations do not fail."""

    def __init__(self, vol):
        mid = vol.id()
        r, w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.run(vol, mid, w)
            except BaseException as e:
                print(f"the daemon ended: {e!r}", flush=True)
            finally:
                os._exit(1)
        os.close(w)
        assert os.read(r, 1) == b"1", "no daemon"
        os.close(r)

    @staticmethod
    def run(vol, mid, w):
        d = Daemon()
        d.register(mid)
        os.write(w, b"1")
        while True:
            q = d.message(3600)
            if q and q.cmd == "REQ":
                serve(vol, d, q)

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Curt(Daemon):
    """A daemon that does not wait for an acknowledgement which could not be allocated."""

    def _messages(self):
        data = self.s.recv(1 << 20)
        pos = 0
        while pos + 16 <= len(data):
            n, kind, flags, seq, _ = struct.unpack_from("=IHHII", data, pos)
            yield kind, flags, seq, data[pos + 16:pos + n]
            pos += (n + 3) & ~3


def mount(vol):
    options = f"cache={vol.cache},{NO_DEADLINE}".encode()
    checked(libc.mount(b"10.9.0.1:/vol", vol.mnt.encode(), b"augurfs", 0, options))
    return 0


def umount(vol, flags=0):
    checked(libc.umount2(vol.mnt.encode(), flags))
    return 0


def mounted(vol):
    with open("/proc/self/mounts") as f:
        return f" {vol.mnt} augurfs " in f.read()


def forget():
    put("/proc/sys/vm/drop_caches", 2)


def modules():
    "the module comes whole or not at all"
    def load(_):
        checked(libc.syscall(FINIT_MODULE, fd, b"", 0))
        return 0

    def unload():
        checked(libc.syscall(DELETE_MODULE, b"augurfs", 0))

    unload()
    fd = os.open("/payload/augurfs.ko", os.O_RDONLY)
    sweep("loading the module", load, after=lambda n, got: unload())
    os.close(fd)
    subprocess.run(["modprobe", "augurfs"], check=True)


def mounts():
    "mount and umount"
    vol = Volume("/cache/mounts", "/mnt/mounts")
    vol.mkroot()
    sweep("mount", lambda n: mount(vol), after=lambda n, got: umount(vol))
    sweep("umount", lambda n: umount(vol), before=lambda n: mounted(vol) or mount(vol))
    sweep("umount -f", lambda n: umount(vol, 1), before=lambda n: mounted(vol) or mount(vol),
          after=lambda n, got: mounted(vol) and umount(vol))
    assert not mounted(vol)


def read(path, length=1000):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.pread(fd, length, 0)
    finally:
        os.close(fd)


def read_direct(path, page):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        return os.preadv(fd, [page], 0)
    finally:
        os.close(fd)


def map_file(path, size):
    """ctypes' own, as Python's mmap duplicates the file."""
    fd = os.open(path, os.O_RDONLY)
    try:
        m = libc.mmap(None, size, 1, 1, fd, 0)
        if m == ctypes.c_void_p(-1).value:
            checked(-1)
        return m
    finally:
        os.close(fd)


def unmap(m, size):
    """It may be this whose allocation fails."""
    if libc.munmap(m, size):
        checked(libc.munmap(m, size))


def map_read(path):
    """Maps the file and touches all of it."""
    m = map_file(path, SIZE)
    try:
        checked(libc.madvise(m, SIZE, MADV_POPULATE_READ))
        return ctypes.string_at(m + 4096, 100)
    finally:
        unmap(m, SIZE)


def send(path, pipe):
    fd = os.open(path, os.O_RDONLY)
    try:
        n = os.splice(fd, pipe[1], 4096)
        return os.read(pipe[0], n)
    finally:
        os.close(fd)


def absent(path):
    """Nothing at @path, and not because of an error."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return True
    return False


def advise(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
        return 0
    finally:
        os.close(fd)


def names():
    "lookup, stat, readdir, attributes"
    sweep("stat of a name that is here", lambda n: os.stat(vol.path(f"f{n}")).st_size,
          lambda n, got: got == SIZE)
    sweep("stat of a name the daemon has", lambda n: os.stat(vol.path(f"new{n}")).st_size,
          lambda n, got: got == SIZE)
    sweep("stat of no name", lambda n: absent(vol.path(f"none{n}")),
          lambda n, got: got is True)
    sweep("readdir", lambda n: len(os.listdir(vol.path("d"))), lambda n, got: got == 5,
          before=lambda n: absent(vol.path(f"forget{n}")))
    sweep("readdir of a listing", lambda n: len(os.listdir(vol.path("d"))), lambda n, got: got == 5)
    sweep("listxattr", lambda n: os.listxattr(vol.path("f1")), lambda n, got: got == ["user.a"])
    sweep("getxattr", lambda n: os.getxattr(vol.path("f1"), "user.a"), lambda n, got: got == b"b")
    sweep("readlink", lambda n: os.readlink(vol.path("link")), lambda n, got: got == "f1",
          before=lambda n: forget())
    sweep("statfs", lambda n: os.statvfs(vol.mnt).f_bsize, lambda n, got: got == 4096)


def faults(pipe):
    """
    Behind what is asked for when a mapping is made; in a system call, as a fault elsewhere is
    a signal.  User-mode Linux loops for ever when it has no page for a table there, whatever
    file is mapped; there the page is populated.
    """
    m = None

    def map_big(n):
        nonlocal m
        m = map_file(vol.path(f"h{n}"), BIG)

    def touch(n):
        page = m + BIG - 65536
        if PAGES:
            checked(libc.madvise(page, 4096, MADV_POPULATE_READ))
            return ctypes.string_at(page, 100)
        checked(libc.write(pipe[1], page, 100))
        return os.read(pipe[0], 100)

    sweep("fault on absent bytes", touch, lambda n, got: got == b"x" * 100, before=map_big,
          after=lambda n, got: unmap(m, BIG))


def reads():
    "open, read, map, splice"
    def over(name, first, op, right):
        """Each time with a file of which nothing is here; after an error with that file again."""
        sweep(name, lambda n: op(vol.path(f"f{first + n}")), right, limit=100)

    pipe = os.pipe()
    page = pymmap.mmap(-1, 65536)  # direct reads need it aligned
    over("read of absent bytes", 100, read, lambda n, got: got == b"x" * 1000)
    sweep("read of present bytes", lambda n: read(vol.path("f1")), lambda n, got: got == b"x" * 1000,
          before=lambda n: n > 1 or read(vol.path("f1"), SIZE))
    over("direct read of absent bytes", 200, lambda p: read_direct(p, page),
         lambda n, got: got == 65536 and page[:] == b"x" * 65536)
    over("map of absent bytes", 300, map_read, lambda n, got: got == b"x" * 100)
    faults(pipe)
    over("splice of absent bytes", 400, lambda p: send(p, pipe), lambda n, got: got == b"x" * 4096)
    over("advice", 500, advise, lambda n, got: True)


def files():
    "sysfs and debugfs"
    i = vol.id()
    for f in (f"/sys/fs/augurfs/{i}/stats/upcalls", f"/sys/fs/augurfs/{i}/state",
              f"/sys/kernel/debug/augurfs/{i}/requests", f"/sys/kernel/debug/augurfs/{i}/inodes"):
        sweep(f, lambda n: len(read(f, 4096)), lambda n, got: got > 0)
    sweep("writing timeout_ms", lambda n: put(f"/sys/fs/augurfs/{i}/timeout_ms", 20000))
    sweep("remount", lambda n: checked(libc.mount(None, vol.mnt.encode(), None, 33, NO_DEADLINE.encode())))


LOST = (E.ENOMEM, E.ENOBUFS)  # the second: there was no memory for the acknowledgement


class Link:
    """The daemon's side of the mount, here; made anew after what was not acknowledged."""

    def __init__(self):
        self.d = Curt()
        self.d.register(mid)

    def unregister(self, _=0):
        self.d.close()
        until(lambda: vol.sysfs("state") == "orphan", "orphan")
        self.d = Curt()

    def renew(self, _=0):
        """What comes late is thrown away with the socket."""
        self.unregister()
        self.d.register(mid)

    def result(self, reader):
        """What @reader got, once all is answered that is still asked for."""
        while not select.select([reader.out], [], [], 0)[0]:
            q = self.d.message(0.05)
            if q and q.cmd == "REQ":
                serve(vol, self.d, q)
        return reader.result()


def installs():
    "an answer is installed: the reader gets the bytes, or ENOMEM and the bytes at the next read"
    link = Link()
    reader = req = None

    def ask(n):
        nonlocal reader, req
        reader = Reader(vol.path(f"r{n}"), 0, 1000)
        req = link.d.request("FETCH")
        vol.fill(f"r{n}", 0, b"x" * SIZE)

    def answer(n):
        link.d.reply(req, off=0, length=req["LENGTH"], map_=b"\x0f" if n % 2 else None)
        return 0

    def judge(n, got):
        assert link.result(reader) in (b"x" * 1000, -E.ENOMEM)
        assert link.result(Reader(vol.path(f"r{n}"), 0, SIZE))[:1000] == b"x" * 1000

    sweep("REPLY", answer, before=ask, may=LOST, recover=link.renew, again=False, after=judge)
    link.d.close()


def changes():
    "a name is switched or removed, or is what it was and can be switched or removed"
    link = Link()
    root = handle(vol.lower())
    args = []

    def start(name):
        """The old inode is in memory, the new one beside it."""
        os.stat(vol.path(name))
        new = f"{vol.cache}/.augur/tmp/{name}"
        with open(new, "wb") as f:
            f.write(b"N" * 100)
        os.setxattr(new, "trusted.augur", record(oid_of(name), size=100, flags=REC_COMPLETE, version=2))
        args[:] = [("PARENT_FH", root), ("NAME", name.encode()), ("OLD_FH", handle(vol.lower(name)))]
        return [("NEW_FH", handle(new)), ("NEW_NAME", name.encode())]

    def content(name):
        return link.result(Reader(vol.path(name), 0, 10))

    def change(what, cmd, after):
        extra = []

        def before(n):
            extra[:] = start(what + str(n)) if cmd == "SWITCH" else start(what + str(n)) and []

        def done(n, got):
            now = content(what + str(n))
            if is_error(got) and now == b"x" * 10:
                link.d.do(cmd, args + extra)
                now = content(what + str(n))
            assert now == after, f"{cmd}: {now}"

        sweep(cmd, lambda n: link.d.do(cmd, args + extra) and 0, before=before, may=LOST,
              recover=link.renew, again=False, after=done)

    change("s", "SWITCH", b"N" * 10)
    change("t", "REMOVE", -E.ENOENT)
    link.d.close()


def commands():
    "what the daemon says: done, or refused with a reason, or not acknowledged"
    link = Link()

    def command(name, attrs, title=None, **kw):
        sweep(title or name, lambda n: link.d.do(name, attrs(n)) and 0, may=LOST, recover=link.renew, **kw)

    def dump(name, op):
        sweep(name, lambda n: len(op()), may=LOST, recover=link.renew)

    def fill(n):
        name = f"g{n}"
        r = link.d.do("FILL_BEGIN", [("OID", oid_of(name)), ("FH", fh), ("OFFSET", 0), ("LENGTH", SIZE)])
        if not r["GRANT"]:
            return 0  # it was taken, and the acknowledgement lost
        vol.fill(name, 0, b"x" * SIZE)
        link.d.do("FILL_END", [("GRANT", r["GRANT"]), ("RANGE", [("OFFSET", 0), ("LENGTH", SIZE)])])
        return 0

    fh = None

    def find(name):
        nonlocal fh
        fh = handle(vol.lower(name))

    def item(**kw):
        return [("ITEM", list(kw.items()))]

    sweep("HELLO", lambda n: len(link.d.hello()), may=LOST, recover=link.unregister, before=link.unregister)
    sweep("REGISTER", lambda n: len(link.d.register(mid, timeout=0)), may=LOST, recover=link.unregister,
          before=link.unregister)
    command("PU_TABLE", lambda n: [("PU_BASE", 0), ("PU_GROUPS", b"\1\0" * 64), ("SEQ", n)])
    command("LEASE", lambda n: item(GROUP=1, SEQ=n, DEADLINE_NS=1))
    sweep("FILL_BEGIN, FILL_END", fill, may=LOST, recover=link.renew, before=lambda n: find(f"g{n}"))
    command("SETTLE", lambda n: item(OID=oid_of("g1"), LENGTH=SIZE))
    command("EVICT", lambda n: item(OID=oid_of(f"e{n}"), FH=fh), before=lambda n: find(f"e{n}"))
    command("PIN", lambda n: [("OID", oid_of("f1")), ("FLAGS", 1 + n % 2)])
    command("INVAL", lambda n: item(KIND=1, OID=oid_of("f1")), "INVAL of attributes")
    command("INVAL", lambda n: item(KIND=4, OID=oid_of("d")), "INVAL of a directory")
    command("EPOCH", lambda n: [("EPOCH", n)])
    dump("INODES", lambda: link.d.call("INODES", [("MOUNT_ID", mid)], dump=True))
    dump("MOUNTS", lambda: link.d.call("MOUNTS", dump=True))
    dump("PULL", lambda: link.d.pull())
    link.d.close()


def afterwards():
    "all is well: a file is fetched, nothing is left"
    server = Server(vol)
    assert read(vol.path("f699"), SIZE) == b"x" * SIZE
    until(lambda: vol.stat("requests_live") == 0, "no request left")
    server.end()


def make(vol):
    vol.mkroot(complete=False)
    for name, count in (("f", FILES), ("g", 100), ("e", 100), ("r", 100), ("s", 200), ("t", 200)):
        for i in range(1, count):
            vol.stub(f"{name}{i}", SIZE)
    for i in range(1, 100):
        vol.stub(f"h{i}", BIG)
    os.mkdir(vol.lower("d"))
    for i in range(5):
        vol.stub(f"d/x{i}", SIZE)
    os.setxattr(vol.lower("d"), "trusted.augur", record(oid_of("d"), shift=0))
    os.setxattr(vol.lower("f1"), "user.a", b"b")
    os.symlink("f1", vol.lower("link"))
    libc.lsetxattr(vol.lower("link").encode(), b"trusted.augur",
                   record(oid_of("link"), size=2, flags=REC_COMPLETE), 64, 0)


arm()
kinds = sys.argv[2:]
chosen = lambda *tests: [t for t in tests if t.__name__ in kinds]
run(*chosen(modules, mounts))
if chosen(names, reads, files, installs, changes, commands):
    vol = Volume("/cache/fail-" + sys.argv[1], "/mnt/fail")
    make(vol)
    mount(vol)
    mid = vol.id()
    server = Server(vol)
    run(*chosen(names, reads, files))
    server.end()
    run(*chosen(installs, changes, commands), afterwards)
    umount(vol)
print(f"{points} points of failure")
