#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# protocol-misuse: what a daemon must not say is refused with a reason and has no effect: malformed messages, wrong
# versions, foreign sockets, sessions and namespaces, replies that do not fit; late, double and unknown replies change
# nothing; a daemon may die while its mount ends.
# timeout: 240
. /payload/tests/lib/guest.sh

requires module python3
scratch cache
modprobe augurfs
expect_dmesg 'augurd speaks interface'
PYTHONPATH=$T/vm python3 - << 'PY'
import ctypes, errno as E, os, random, signal, struct, subprocess
from fakedaemon import *

vol = Volume("/cache/misuse", "/mnt/misuse")
vol.mkroot()
SIZE = 300000
for i in range(20):
    vol.stub(f"f{i}", SIZE)
vol.mount(NO_DEADLINE)
mid = vol.id()
d = Daemon()

def hello():
    "versions: the same major only"
    r = d.hello()
    assert r["ABI_VERSION"] == VERSION and r["FEATURES"] & 0x3f == 0x3f, r
    d.hello(VERSION + 7)
    refused(E.EPROTO, d.hello, VERSION + 0x10000)
    refused(E.EPROTO, d.hello, 0)
    refused(E.EINVAL, d.call, "HELLO", [("ABI_VERSION", VERSION)])

def before_register():
    "no session, no command"
    refused(E.ENODEV, d.call, "REGISTER", [("MOUNT_ID", 1 << 60)])
    refused(E.EINVAL, d.call, "REGISTER")
    refused(E.EINVAL, d.call, "REGISTER", [("MOUNT_ID", mid), ("FLAGS", 0xfffe)])
    d.mount, d.session = mid, 1
    refused(E.ESTALE, d.do, "EPOCH", [("EPOCH", 5)])
    assert vol.sysfs("epoch") == "0" and vol.sysfs("state") == "orphan"

def sessions():
    "one live socket a mount; the number alone is not enough"
    r = d.register(mid)
    assert r["WINDOW"] >= 32 and r["TIMEOUT_MS"] == 3600000 and r["OID"] == oid_of("/"), r
    assert vol.sysfs("state") == "live" and vol.sysfs("daemon_pid") == str(os.getpid())
    other = Daemon()
    refused(E.EBUSY, other.register, mid, timeout=0)
    refused(E.EBUSY, d.register, mid, timeout=0)
    other.mount, other.session = mid, d.session
    refused(E.EPERM, other.do, "EPOCH", [("EPOCH", 5)])
    other.session = d.session + 1
    refused(E.ESTALE, other.do, "EPOCH", [("EPOCH", 5)])
    refused(E.ESTALE, other.pull)
    other.session = d.session
    refused(E.ESTALE, other.pull)
    other.close()
    assert vol.sysfs("epoch") == "0" and vol.sysfs("state") == "live"

def privileges():
    "not for processes without CAP_SYS_ADMIN, on their own or an inherited socket"
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(65534); os.setuid(65534)
            g = Genl()
            refused(E.EPERM, g.call, "HELLO", [("ABI_VERSION", VERSION), ("FEATURES", 0)])
            refused(E.EPERM, g.call, "MOUNTS", dump=True)
            refused(E.EPERM, d.do, "EPOCH", [("EPOCH", 5)])
            os._exit(0)
        except BaseException as e:
            print(e, flush=True); os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert vol.sysfs("epoch") == "0"

def elsewhere():
    "not from another network namespace, not for root of a user namespace, and no mount there"
    libc.unshare.argtypes = [ctypes.c_int]
    NEWNS, NEWUSER, NEWNET = 0x20000, 0x10000000, 0x40000000
    def net():
        refused(E.ENOENT, Genl)
    def user():
        refused(E.ENOENT, Genl)
        refused(E.EPERM, d.do, "EPOCH", [("EPOCH", 5)])
        refused(E.EPERM, d.pull)
        assert libc.mount(b"10.9.0.1:/vol", b"/mnt", b"augurfs", 0, b"cache=/cache/misuse") == -1
        assert ctypes.get_errno() == E.EPERM, ctypes.get_errno()
    for flags, check in ((NEWNET, net), (NEWUSER | NEWNET | NEWNS, user)):
        pid = os.fork()
        if pid == 0:
            try:
                assert libc.unshare(flags) == 0, ctypes.get_errno()
                check()
                os._exit(0)
            except BaseException as e:
                print(repr(e), flush=True); os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
    assert vol.sysfs("epoch") == "0" and vol.sysfs("state") == "live"

def in_use():
    "the module stays while there is a mount"
    assert subprocess.run(["rmmod", "augurfs"], stderr=subprocess.DEVNULL).returncode != 0
    assert vol.sysfs("state") == "live"

def malformed():
    "lengths, nests, strange attributes, truncation: refused before anything happens"
    head = pack([("MOUNT_ID", d.mount), ("SESSION", d.session)])
    for name, cmd, tail in [
        ("u64 of 4 bytes", "EPOCH", attr(40, b"1234")),
        ("u64 of 9 bytes", "EPOCH", attr(40, b"123456789")),
        ("unknown attribute", "EPOCH", attr(40, b"\1" * 8) + attr(200, b"x")),
        ("attribute of another command", "EPOCH", attr(40, b"\1" * 8) + pack([("NAME", b"x")])),
        ("attribute missing", "EPOCH", b""),
        ("nest without its flag", "REPLY", attr(32, pack([("REQ_ID", 1), ("OP", 1), ("STATUS", 0)]))),
        ("empty nest", "REPLY", attr(32 | 0x8000, b"")),
        ("no items", "REPLY", b""),
        ("nest cut short", "REPLY", attr(32 | 0x8000, struct.pack("=HH", 12, 8) + b"1234")),
        ("attribute longer than the message", "EPOCH", struct.pack("=HH", 400, 40) + b"1" * 8),
        ("garbage", "SETTLE", os.urandom(61) + b"\0\0\0"),
        ("oid of 15 bytes", "PIN", pack([("OID", b"o" * 15), ("FLAGS", 1)])),
        ("two pin flags", "PIN", pack([("OID", b"o" * 16), ("FLAGS", 3)])),
        ("unknown pin flag", "PIN", pack([("OID", b"o" * 16), ("FLAGS", 4)])),
        ("handle too long", "EVICT", pack([("ITEM", [("OID", b"o" * 16), ("FH", b"h" * 200)])])),
        ("handle too short", "EVICT", pack([("ITEM", [("OID", b"o" * 16), ("FH", b"hhhh")])])),
        ("inval of no kind", "INVAL", pack([("ITEM", [("OID", b"o" * 16)])])),
        ("inval of unknown kind", "INVAL", pack([("ITEM", [("KIND", 9), ("OID", b"o" * 16)])])),
        ("inval of entry without name", "INVAL", pack([("ITEM", [("KIND", 3), ("PARENT_OID", b"o" * 16)])])),
        ("name with a slash", "INVAL", pack([("ITEM", [("KIND", 3), ("PARENT_OID", b"o" * 16), ("NAME", b"a/b")])])),
        ("name ..", "REMOVE", pack([("PARENT_FH", b"h" * 12), ("NAME", b".."), ("OLD_FH", b"h" * 12)])),
        ("group out of range", "LEASE", pack([("ITEM", [("GROUP", 4096), ("SEQ", 1), ("DEADLINE_NS", 1)])])),
        ("units out of range", "PU_TABLE", pack([("PU_BASE", (1 << 20) - 1), ("PU_GROUPS", b"\1\0" * 2), ("SEQ", 1)])),
        ("half a group", "PU_TABLE", pack([("PU_BASE", 0), ("PU_GROUPS", b"\1\0\1"), ("SEQ", 1)])),
        ("positive status", "REPLY", pack([("ITEM", [("REQ_ID", 1), ("OP", 1), ("STATUS", 5)])])),
        ("status beyond errno", "REPLY", pack([("ITEM", [("REQ_ID", 1), ("OP", 1), ("STATUS", -4096)])])),
        ("map too long", "REPLY", pack([("ITEM", [("REQ_ID", 1), ("OP", 3), ("STATUS", 0), ("MAP", b"m" * 2049)])])),
        ("too many items", "REPLY", pack([d.item(1, op=1)] * 257)),
        ("too many ranges", "FILL_END", pack([("GRANT", 1)] + [("RANGE", [("OFFSET", 0), ("LENGTH", 1)])] * 17)),
    ]:
        try:
            d.call(cmd, head + tail)
        except Refused as e:
            assert e.errno in (E.EINVAL, E.ERANGE, E.E2BIG, E.EMSGSIZE, E.ENAMETOOLONG), (name, e)
            print(f"  {name}: {e}")
        else:
            raise AssertionError(f"accepted: {name}")
    refused(E.EOPNOTSUPP, d.call, 77)
    refused(E.EOPNOTSUPP, d.do, "COMMITTED", [("OID", b"o" * 16)])
    refused(E.EOPNOTSUPP, d.do, "CONFLICT", [("OID", b"o" * 16)])
    assert vol.sysfs("epoch") == "0" and vol.stat("invals") == 0

def replies():
    "unknown, double, of the wrong kind, too short, beyond the file"
    d.lease()
    refused(E.ENOENT, d.reply, 12345678, op=3)
    r = Reader(vol.path("f0"))
    q = d.request("FETCH")
    assert q["OID"] == oid_of("f0") and q["OFFSET"] == 0 and q["LENGTH"] == SIZE, q
    assert q["FLAGS"] & WANT_MAP and q["PID"] and len(q["SESSION_KEY"].to_bytes(8, "little")) == 8
    refused(E.EINVAL, d.reply, q, op=1)
    refused(E.ERANGE, d.reply, q)                                   # nothing is present
    refused(E.ERANGE, d.reply, q, off=0, length=SIZE - 1)           # one byte short
    refused(E.ERANGE, d.reply, q, off=1, length=SIZE)               # begins too late
    refused(E.ERANGE, d.reply, q, off=1 << 62, length=SIZE)
    refused(E.ERANGE, d.reply, q, off=5, length=(1 << 64) - 1)      # wraps
    refused(E.ERANGE, d.reply, q, off=0, length=SIZE, map_=b"\0" * 2)   # 5 chunks are one byte
    # one bad item and the good one beside it has no effect
    refused(E.EINVAL, d.do, "REPLY", [d.item(q, off=0, length=SIZE), d.item(q, op=2)])
    assert not select.select([r.out], [], [], 0.3)[0], "a refused reply woke the reader"
    vol.fill("f0", 0, b"A" * SIZE)
    # the good item counts though its neighbour is unknown
    refused(E.ENOENT, d.do, "REPLY", [d.item(99999999, op=3), d.item(q, off=0, length=SIZE)])
    assert r.result() == b"A" * 60000
    refused(E.ENOENT, d.reply, q, off=0, length=SIZE)               # again
    assert vol.stat("requests_live") == 0

def statuses():
    "the kernel's own errnos never reach a caller; others do"
    for status, want in ((-5, -5), (-512, -E.EIO), (-529, -E.EIO), (-4095, -E.EIO), (-13, -13), (-2, -2)):
        r = Reader(vol.path("f1"), 0, 10)
        d.reply(d.request("FETCH"), status)
        assert r.result() == want, (status, want)

def fuzz():
    "random attributes to every command, from the session's socket and another"
    random.seed(int(os.environ.get("SEED", "1")))
    other = Daemon()
    sent = 0
    cmds = [c for c in CMD if c not in ("REGISTER", "PULL", "MOUNTS", "INODES", "EVENTS")]
    numbers = (0, 1, 2, 3, 16, (1 << 31) - 1, (1 << 63) - 1, (1 << 64) - 1)
    def some(name):
        number, kind = ATTR[name]
        if kind == "nest":
            inner = [some(random.choice(list(ATTR))) for _ in range(random.randrange(6))]
            return attr(number | random.choice((0, 0x8000)), b"".join(inner)[:2000])
        if kind in PACK and random.random() < 0.8:
            size = struct.calcsize(PACK[kind])
            return attr(number, random.choice(numbers).to_bytes(8, "little")[:size])
        return attr(number, os.urandom(random.choice((0, 1, 4, 8, 12, 16, 17, 64))))
    for sent in range(1, 6001):
        parts = pack([("MOUNT_ID", mid), ("SESSION", d.session)]) if random.random() < 0.9 else b""
        parts += b"".join(some(random.choice(list(ATTR))) for _ in range(random.randrange(5)))
        try:
            (d if sent % 3 else other).call(random.choice(cmds), parts)
        except OSError:
            pass
    other.close()
    assert vol.sysfs("state") == "live"
    print(f"  {sent} messages")

def still_works():
    "after all that a read is served"
    r = Reader(vol.path("f2"))
    q = d.request("FETCH")
    vol.fill("f2", 0, b"B" * SIZE)
    d.reply(q, off=0, length=SIZE, flags=COMPLETE)
    assert r.result() == b"B" * 60000
    assert vol.stat("requests_live") == 0

def killed_at_umount():
    "a daemon that dies before, while and after its mount ends, with grants out"
    v = Volume("/cache/end", "/mnt/end")
    v.mkroot()
    for i in range(8):
        v.stub(f"f{i}", SIZE)
    for turn in range(12):
        v.mount()
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            e = Daemon(); e.register(v.id())
            for i in range(8):
                e.do("FILL_BEGIN", [("OID", oid_of(f"f{i}")), ("FH", handle(v.lower(f"f{i}"))),
                                    ("OFFSET", 0), ("LENGTH", SIZE)])
            os.write(w, b"1")
            signal.pause()
        assert os.read(r, 1) == b"1"
        os.close(r); os.close(w)
        if turn % 3 == 0:
            os.kill(pid, signal.SIGKILL)
        ending = subprocess.Popen(["umount", v.mnt])
        if turn % 3 == 1:
            os.kill(pid, signal.SIGKILL)
        assert ending.wait(60) == 0
        if turn % 3 == 2:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert not [m for m in d.call("MOUNTS", dump=True) if m["CACHE"] == v.cache]

run(hello, before_register, sessions, privileges, elsewhere, in_use, malformed, replies, statuses, fuzz, still_works,
    killed_at_umount)
d.close()
vol.umount()
PY
