# SPDX-License-Identifier: GPL-2.0-or-later
"""
fail_nth: the sweeps of tests/uml/fail-*.sh: calls of readers, of whoever mounts, and of the daemon.
Arguments: slab (kmalloc and the caches) or pages (the page allocator as well), and which sweeps.
"""
from failing import *
from rawio import *

BIG = 2 << 20
FINIT_MODULE, DELETE_MODULE = 313, 176
FILES = 1600
PAGES = sys.argv[1] == "pages"


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
    vol.stub("f", SIZE)
    reader = switch = None

    def wait(n):
        nonlocal reader, switch
        mount(vol, ",log=full")
        switch = f"/sys/fs/augurfs/{vol.id()}/abort"
        reader = Reader(vol.path("f"))
        until(lambda: vol.stat("requests_live") == 1, "the reader waits")

    def left(n, got):
        assert reader.result() == -E.ENOTCONN
        umount(vol)

    sweep("mount with a log", lambda n: mount(vol, ",log=full"), after=lambda n, got: umount(vol))
    sweep("abort", lambda n: put(switch, 1), before=wait, after=left)
    assert not mounted(vol)


def read(path, length=1000):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.pread(fd, length, 0)
    finally:
        os.close(fd)


def map_file(path, size):
    """By its address, as Python's own mapping duplicates the descriptor."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return Map(fd, size, prot=1, private=False).addr
    finally:
        os.close(fd)


def unmap(m, size):
    """It may be this whose allocation fails."""
    if libc.munmap(m, size):
        check(libc.munmap(m, size))


def map_read(path):
    """Maps the file and touches all of it."""
    m = map_file(path, SIZE)
    try:
        check(libc.madvise(m, SIZE, MADV_POPULATE_READ))
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


def with_file(op, flags=0):
    """@op(descriptor) of a file that is opened for it."""
    def go(path):
        fd = os.open(path, os.O_RDONLY | flags)
        try:
            return op(fd)
        finally:
            os.close(fd)
    return go


def absent_each(name, first, op, right, **kw):
    """Each time with a file of which nothing is here; after an error with that file again."""
    sweep(name, lambda n: op(vol.path(f"f{first + n}")), right, limit=100, **kw)


def reads():
    "open, read, splice"
    pipe, buf, null = os.pipe(), Map(-1, 65536), os.open("/dev/null", os.O_WRONLY)
    got = lambda n, r: r == 65536 and buf.bytes() == b"x" * 65536
    bytes_of = lambda n: lambda _, r: r == b"x" * n

    def unhurried(fd):
        some = bytearray(1000)
        try:
            os.preadv(fd, [some], 0, os.RWF_NOWAIT)
            return some
        except BlockingIOError:
            return None

    absent_each("read of absent bytes", 100, read, bytes_of(1000))
    sweep("read of present bytes", lambda n: read(vol.path("f1")), bytes_of(1000),
          before=lambda n: n > 1 or read(vol.path("f1"), SIZE))
    absent_each("direct read of absent bytes", 200,
                with_file(lambda fd: pread_into(fd, buf.addr, 65536, 0), os.O_DIRECT), got)
    absent_each("splice of absent bytes", 300, lambda p: send(p, pipe), bytes_of(4096))
    absent_each("sendfile of absent bytes", 400, with_file(lambda fd: os.sendfile(null, fd, 0, 4096)),
                lambda n, r: r > 0)
    absent_each("read that does not wait", 500, with_file(unhurried), lambda n, r: r in (None, b"x" * 1000))
    absent_each("advice", 600, with_file(lambda fd: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED) or 0),
                lambda n, r: True)
    absent_each("readahead", 700, with_file(lambda fd: check(libc.readahead(fd, 0, SIZE))), lambda n, r: True)
    absent_each("SEEK_DATA", 800, with_file(data_runs), lambda n, r: r == [(0, SIZE)])
    os.close(null)
    buf.close()


def queued():
    "reads by libaio and io_uring"
    buf = Map(-1, 65536)
    ring = None
    # Where there is no memory for a request, or for a thread that waits, these are their words.
    may = (E.ENOMEM, E.EAGAIN, E.ECANCELED)
    got = lambda n, r: r == 65536 and buf.bytes() == b"x" * 65536

    def new_ring(_):
        nonlocal ring
        if ring:
            ring.close()
        ring = Uring()
        ctypes.memset(buf.addr, 0, buf.len)

    for kind, flags, first in (("", 0, 900), (", direct", os.O_DIRECT, 1000)):
        absent_each("libaio" + kind, first, with_file(lambda fd: aio_read(fd, buf.addr, 65536, 0), flags), got,
                    may=may)
        absent_each("io_uring" + kind, first + 200,
                    with_file(lambda fd: ring.read(fd, buf.addr, 65536, 0), flags), got, may=may,
                    before=new_ring, recover=new_ring)
    ring.close()
    buf.close()


def maps():
    """
    Mappings, and faults behind what is asked for when a mapping is made; in a system call, as a
    fault elsewhere is a signal.  User-mode Linux loops for ever when it has no page for a table
    there, whatever file is mapped; there the page is populated.
    """
    m, first, place, pipe = None, None, None, os.pipe()

    def map_big(n):
        nonlocal m, first, place
        first = m = map_file(vol.path(f"h{n}"), BIG)
        place = Map(-1, BIG).addr

    def gone(n, got):
        """Wherever it is: a move that cannot end the old one leaves both, and says that it succeeded."""
        for at in {m, first, place}:
            unmap(at, BIG)

    def touch(n):
        page = m + BIG - 65536
        if PAGES:
            check(libc.madvise(page, 4096, MADV_POPULATE_READ))
            return ctypes.string_at(page, 100)
        check(libc.write(pipe[1], page, 100))
        return os.read(pipe[0], 100)

    def split(n):
        """In three, the middle with other rights; and together again."""
        check(libc.mprotect(m + 65536, 65536, 0))
        return check(libc.mprotect(m + 65536, 65536, 1))

    def move(n):
        nonlocal m
        m = check(libc.mremap(m, BIG, BIG, 3, place))
        return 0

    absent_each("map of absent bytes", 1300, map_read, lambda n, got: got == b"x" * 100)
    sweep("fault on absent bytes", touch, lambda n, got: got == b"x" * 100, before=map_big,
          after=gone)
    sweep("mapping in three", split, before=map_big, after=gone)
    sweep("mapping moved", move, before=map_big, after=gone)


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
    command("PIN", lambda n: [("OID", oid_of("f1")), ("FLAGS", 1 + n % 2)],
            before=lambda n: os.stat(vol.path("f1")))
    command("INVAL", lambda n: item(KIND=1, OID=oid_of("f1")), "INVAL of attributes")
    command("INVAL", lambda n: item(KIND=4, OID=oid_of("d")), "INVAL of a directory")
    command("EPOCH", lambda n: [("EPOCH", n)])
    dump("INODES", lambda: link.d.call("INODES", [("MOUNT_ID", mid)], dump=True))
    dump("MOUNTS", lambda: link.d.call("MOUNTS", dump=True))
    dump("PULL", lambda: link.d.pull())
    link.d.close()


def evictions():
    "bytes go, or stay, and whoever reads them then gets them"
    link = Link()
    asked = []

    def ask(name, *more):
        asked[:] = [("ITEM", [("OID", oid_of(name)), ("FH", handle(vol.lower(name))), *more])]

    def filled(name, length=SIZE):
        """Told to nobody."""
        fh = handle(vol.lower(name))
        r = link.d.do("FILL_BEGIN", [("OID", oid_of(name)), ("FH", fh), ("OFFSET", 0), ("LENGTH", length)])
        vol.fill(name, 0, b"x" * length)
        link.d.do("FILL_END", [("GRANT", r["GRANT"]), ("RANGE", [("OFFSET", 0), ("LENGTH", length)])])

    def evict(n):
        return link.d.do("EVICT", asked)["ITEM"][0]["STATUS"]

    def readable(name):
        assert link.result(Reader(vol.path(name), 0, 1000)) == b"x" * 1000, name

    def all_of_it(n):
        filled(f"v{n}")
        ask(f"v{n}")

    def part_of_it(n):
        filled(f"w{n}", 131072)
        ask(f"w{n}", ("OFFSET", 0), ("LENGTH", 65536))

    def pin(n):
        """Of what is not in memory."""
        fh = handle(vol.lower(f"v{n}"))
        asked[:] = [("OID", oid_of(f"v{n}")), ("FH", fh), ("FLAGS", 1)]
        forget()

    kw = dict(may=LOST, recover=link.renew)
    sweep("EVICT of what is here", evict, lambda n, got: got == 0, before=all_of_it,
          after=lambda n, got: readable(f"v{n}"), **kw)
    sweep("EVICT of a part", evict, lambda n, got: got == 0, before=part_of_it,
          after=lambda n, got: readable(f"w{n}"), **kw)
    sweep("PIN of what is not in memory", lambda n: link.d.do("PIN", asked) and 0, before=pin, **kw)
    link.d.close()


def sessions():
    "daemons come and go while a reader waits, who gets the bytes from the last"
    link = Link()
    reader = Reader(vol.path("r90"), 0, 1000)
    link.d.request("FETCH")

    def again(_=0):
        link.unregister()
        link.d.register(mid)
        assert link.d.request("FETCH")["FLAGS"] & RESEND

    may = dict(may=LOST, recover=again)
    sweep("PULL of a request", lambda n: len(link.d.pull()), lambda n, got: got >= 1, **may)
    sweep("INODES", lambda n: len(link.d.call("INODES", [("MOUNT_ID", mid)], dump=True)), **may)
    sweep("INVAL of bytes", lambda n: link.d.do("INVAL", [("ITEM", [("KIND", 2), ("OID", oid_of("r91"))])]) and 0, **may)
    sweep("INVAL of a name", lambda n: link.d.do(
        "INVAL", [("ITEM", [("KIND", 3), ("PARENT_OID", oid_of("/")), ("NAME", b"r92")])]) and 0, **may)
    sweep("REGISTER with a request", lambda n: len(link.d.register(mid, timeout=0)), may=LOST,
          before=link.unregister, recover=link.unregister)
    link.renew()
    assert link.d.request("FETCH")["FLAGS"] & RESEND
    sweep("REGISTER with events", lambda n: len(link.d.register(mid, events=True, timeout=0)), may=LOST,
          before=link.unregister, recover=link.unregister)
    link.renew()
    serve(vol, link.d, link.d.request("FETCH"))
    assert link.result(reader) == b"x" * 1000
    link.d.close()


def afterwards():
    "all is well: a file is fetched, nothing is left"
    server = Server(vol)
    assert read(vol.path(f"f{FILES - 1}"), SIZE) == b"x" * SIZE
    until(lambda: vol.stat("requests_live") == 0, "no request left")
    server.end()


def make(vol):
    vol.mkroot(complete=False)
    for name, count in (("f", FILES), ("g", 100), ("e", 100), ("r", 100), ("s", 200), ("t", 200), ("v", 100), ("w", 100)):
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


arm(PAGES)
kinds = sys.argv[2:]
chosen = lambda *tests: [t for t in tests if t.__name__ in kinds]
run(*chosen(modules, mounts))
if set(kinds) - {"modules", "mounts"}:
    vol = Volume("/cache/fail-" + sys.argv[1], "/mnt/fail")
    make(vol)
    mount(vol)
    mid = vol.id()
    server = Server(vol)
    run(*chosen(names, reads, queued, maps, files))
    server.end()
    run(*chosen(installs, changes, commands, evictions, sessions), afterwards)
    umount(vol)
report()
