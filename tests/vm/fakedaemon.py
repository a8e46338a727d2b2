# SPDX-License-Identifier: GPL-2.0-or-later
"""
fakedaemon: augurd's half of the upcall protocol as a library, for tests that say what no
daemon would.  Speaks generic netlink with plain sockets and knows no policy: a test makes
stubs in the cache directory, registers, reads requests and answers them as it likes.

    vol = Volume("/cache/x", "/mnt/a");  vol.mkroot();  vol.mount(NO_DEADLINE)
    d = Daemon();  d.register(vol.id())
    r = Reader(vol.path("f"))            # a process that reads the file
    req = d.request()                    # its FETCH
    vol.fill("f", 0, data);  d.reply(req, off=0, length=len(data))

The numbers below are those of kmod/uapi/linux/augurfs.h; test_abi() compares them with it.
"""
import ctypes
import errno
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time

CMD = dict(HELLO=1, REGISTER=2, REPLY=3, FILL_BEGIN=4, FILL_END=5, SETTLE=6, INVAL=7,
           SWITCH=8, REMOVE=9, PU_TABLE=10, LEASE=11, EVICT=12, PIN=13, COMMITTED=14,
           CONFLICT=15, EPOCH=16, PULL=17, MOUNTS=18, INODES=19, REQ=32, CANCEL=33,
           EVENTS=34, MOUNT_EVENT=35)
OP = dict(LOOKUP=1, POPULATE=2, FETCH=3, REVAL=4)
# name: (number, kind); u32, u64, s32, str, bin, nest
ATTR = dict(PAD=(1, "bin"), ABI_VERSION=(2, "u32"), FEATURES=(3, "u64"), MOUNT_ID=(4, "u64"),
            SESSION=(5, "u64"), FLAGS=(6, "u32"), WINDOW=(7, "u32"), REQ_ID=(8, "u64"),
            OP=(9, "u32"), STATUS=(10, "s32"), OID=(11, "bin"), FH=(12, "bin"),
            PARENT_OID=(13, "bin"), PARENT_FH=(14, "bin"), OLD_FH=(15, "bin"),
            NEW_FH=(16, "bin"), NAME=(17, "bin"), NEW_NAME=(18, "bin"), OFFSET=(19, "u64"),
            LENGTH=(20, "u64"), WANT=(21, "u64"), SIZE=(22, "u64"), VERSION=(23, "u64"),
            PID=(24, "u32"), UID=(25, "u32"), SESSION_KEY=(26, "u64"), OPEN_ID=(27, "u32"),
            GRANT=(28, "u64"), RANGE=(29, "nest"), MAP=(30, "bin"), CHUNK_SHIFT=(31, "u32"),
            ITEM=(32, "nest"), PU_BASE=(33, "u32"), PU_GROUPS=(34, "bin"), GROUP=(35, "u32"),
            SEQ=(36, "u64"), DEADLINE_NS=(37, "u64"), KIND=(38, "u32"), COMMIT_ID=(39, "bin"),
            EPOCH=(40, "u64"), DIRTY_SEQ=(41, "u64"), RECORDS=(42, "bin"), CPU=(43, "u32"),
            DROPPED=(44, "u64"), SOURCE=(45, "str"), CACHE=(46, "str"), OPTIONS=(47, "str"),
            LOWER_DEV=(48, "u64"), LOWER_INO=(49, "u64"), STATE=(50, "u32"),
            LEASE_MS=(51, "u32"), TIMEOUT_MS=(52, "u32"))
NAME_OF = {n: (name, kind) for name, (n, kind) in ATTR.items()}
CMD_OF = {n: name for name, n in CMD.items()}
PACK = dict(u32="=I", u64="=Q", s32="=i")

RESEND, PREFETCH, WANT_MAP = 1, 2, 8
COMPLETE, STREAM = 1, 2
ASK = 1
BUSY = dict(OPEN=1, MAPPED=2, FILLING=3, DIRTY=4, PINNED=5, READING=6, CLAIMED=7)
VERSION = 0x00010001
STUB, REC_COMPLETE, REC_STALE, REC_PINNED = 1, 2, 4, 16
IS_COMPLETE, IS_STALE, IS_UNSETTLED, IS_PINNED = 1, 2, 32, 64

SLOW = int(os.environ.get("AUGUR_SLOW", "1"))  # tests/vm/boot
# How many seconds what must come may take: many more than it does.
PATIENCE = 60.0 * SLOW
NO_DEADLINE = "timeout_ms=3600000"  # none of the module's own ends a wait here

NLM_REQUEST, NLM_ACK, NLM_DUMP = 1, 4, 0x300
NETLINK_GENERIC, SOL_NETLINK = 16, 270


class Refused(OSError):
    """The kernel's answer to a command: errno and the text that came with it."""


def attr(number, payload):
    n = len(payload) + 4
    return struct.pack("=HH", n, number) + payload + b"\0" * (-n % 4)


def pack(attrs):
    """[(name, value)] or raw bytes; a nest's value is such a list."""
    if isinstance(attrs, bytes):
        return attrs
    out = b""
    for name, value in attrs:
        number, kind = ATTR[name]
        if kind == "nest":
            out += attr(number | 0x8000, pack(value))
        elif isinstance(value, bytes):
            out += attr(number, value)
        elif kind == "str":
            out += attr(number, value.encode() + b"\0")
        else:
            out += attr(number, struct.pack(PACK[kind], value))
    return out


def unpack(data):
    """{name: value}; of RANGE and ITEM the list of all."""
    out, pos = {}, 0
    while pos + 4 <= len(data):
        n, number = struct.unpack_from("=HH", data, pos)
        payload = data[pos + 4:pos + n]
        name, kind = NAME_OF.get(number & 0x3FFF, (str(number), "bin"))
        if kind == "nest":
            out.setdefault(name, []).append(unpack(payload))
        elif kind == "str":
            out[name] = payload.rstrip(b"\0").decode()
        elif kind == "bin":
            out[name] = payload
        else:
            out[name] = struct.unpack(PACK[kind], payload)[0]
        pos += (n + 3) & ~3
    return out


class Msg(dict):
    """An unsolicited message: its attributes, and .cmd by name."""
    cmd = None


class Genl:
    def __init__(self, rcvbuf=None):
        self.s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self.s.bind((0, 0))
        for opt in (10, 11, 12):  # CAP_ACK, EXT_ACK, strict dumps
            self.s.setsockopt(SOL_NETLINK, opt, 1)
        if rcvbuf:
            self.s.setsockopt(socket.SOL_SOCKET, 33, rcvbuf)  # SO_RCVBUFFORCE
        self.seq = 0
        self.inbox = []
        self.family, self.groups = self._family()

    def close(self):
        self.s.close()

    def send(self, msg_type, flags, payload):
        self.seq += 1
        self.s.send(struct.pack("=IHHII", 16 + len(payload), msg_type, flags, self.seq, 0)
                    + payload)
        return self.seq

    def _messages(self):
        try:
            data = self.s.recv(1 << 20)
        except OSError as e:
            if e.errno != errno.ENOBUFS:
                raise
            return  # a doorbell did not fit: the kernel knows and rings again
        pos = 0
        while pos + 16 <= len(data):
            n, kind, flags, seq, _ = struct.unpack_from("=IHHII", data, pos)
            yield kind, flags, seq, data[pos + 16:pos + n]
            pos += (n + 3) & ~3

    @staticmethod
    def _error(flags, body):
        code = struct.unpack_from("=i", body)[0]
        text = ""
        if flags & 0x200:  # attributes after the (capped) header
            data = body[4 + 16:]
            pos = 0
            while pos + 4 <= len(data):
                n, number = struct.unpack_from("=HH", data, pos)
                if number == 1:
                    text = data[pos + 4:pos + n].rstrip(b"\0").decode()
                pos += max(4, (n + 3) & ~3)
        return -code, text

    def _wait(self, seq, dump):
        """Replies to message @seq; everything else goes to the inbox."""
        got = []
        while True:
            if not select.select([self.s], [], [], PATIENCE)[0]:
                raise AssertionError("the kernel did not answer a command")
            for kind, flags, s, body in self._messages():
                if kind == 2 or kind == 3:
                    if s != seq:
                        continue
                    code, text = self._error(flags, body)
                    if code:
                        raise Refused(code, text or os.strerror(code))
                    if kind == 3 or not dump:
                        return got
                elif s == seq and (kind == 16 or kind == self.family):
                    got.append(body)
                elif kind == self.family:
                    self._keep(body)

    def _keep(self, body):
        m = Msg(unpack(body[4:]))
        m.cmd = CMD_OF.get(body[0], str(body[0]))
        self.inbox.append(m)

    def _family(self):
        self.family = None
        seq = self.send(16, NLM_REQUEST | NLM_ACK,
                        struct.pack("=BBH", 3, 1, 0) + attr(2, b"augurfs\0"))
        body = self._wait(seq, False)[0][4:]
        family, groups, pos = None, {}, 0
        while pos + 4 <= len(body):
            n, number = struct.unpack_from("=HH", body, pos)
            if number == 1:
                family = struct.unpack_from("=H", body, pos + 4)[0]
            if number & 0x3FFF == 7:
                for m in re.finditer(rb"\x08\0\x02\0(....)", body[pos:pos + n], re.S):
                    groups["state"] = struct.unpack("=I", m[1])[0]
            pos += (n + 3) & ~3
        return family, groups

    def call(self, cmd, attrs=(), dump=False, version=1, flags=0):
        """One command; the attributes of its reply (a list of them for a dump)."""
        number = CMD.get(cmd, cmd)
        payload = struct.pack("=BBH", number, version, 0) + pack(attrs)
        seq = self.send(self.family, NLM_REQUEST | (NLM_DUMP if dump else NLM_ACK) | flags,
                        payload)
        got = [unpack(b[4:]) for b in self._wait(seq, dump)]
        return got if dump else (got[0] if got else {})

    def message(self, timeout=PATIENCE):
        """The next unsolicited message, or None."""
        end = time.monotonic() + timeout
        while not self.inbox:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.s], [], [], left)[0]:
                return None
            for kind, _, _, body in self._messages():
                if kind == self.family:
                    self._keep(body)
        return self.inbox.pop(0)


class Daemon(Genl):
    """One registered socket."""

    def hello(self, version=VERSION):
        return self.call("HELLO", [("ABI_VERSION", version), ("FEATURES", (1 << 64) - 1)])

    def register(self, mount_id, events=False, timeout=PATIENCE):
        """As augurd at its start: the socket of the one before may still be closing."""
        self.mount = mount_id
        end = time.monotonic() + timeout
        while True:
            try:
                r = self.call("REGISTER", [("MOUNT_ID", mount_id), ("FLAGS", int(events))])
                break
            except Refused as e:
                if e.errno != errno.EBUSY or time.monotonic() >= end:
                    raise
                time.sleep(0.02)
        self.session, self.window, self.root_oid = r["SESSION"], r["WINDOW"], r["OID"]
        return r

    def do(self, cmd, attrs=()):
        """A command of the session."""
        head = pack([("MOUNT_ID", self.mount), ("SESSION", self.session)])
        return self.call(cmd, head + pack(attrs))

    def request(self, op=None, timeout=PATIENCE):
        """The next REQ; opens are answered (REVAL: current) on the way unless asked for."""
        while True:
            m = self.message(timeout)
            if m is None:
                raise AssertionError(f"no request came ({op or 'any'})")
            if m.cmd != "REQ":
                continue
            if m["OP"] == OP["REVAL"] and op != "REVAL":
                self.reply(m)
                continue
            if op:
                assert m["OP"] == OP[op], f"expected {op}, got {m}"
            return m

    def item(self, req, status=0, off=None, length=None, flags=None, map_=None, op=None):
        it = [("REQ_ID", req if isinstance(req, int) else req["REQ_ID"]),
              ("OP", op if op is not None else req["OP"]), ("STATUS", status)]
        if off is not None:
            it.append(("OFFSET", off))
        if length is not None:
            it.append(("LENGTH", length))
        if flags is not None:
            it.append(("FLAGS", flags))
        if map_ is not None:
            it.append(("MAP", map_))
        return ("ITEM", it)

    def reply(self, req, *args, **kw):
        return self.do("REPLY", [self.item(req, *args, **kw)])

    def lease(self, ms=60000, pus=64, group=1, seq=1):
        """Opens make no upcall for so long."""
        self.do("PU_TABLE", [("PU_BASE", 0), ("PU_GROUPS", struct.pack("=H", group) * pus),
                             ("SEQ", seq)])
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.do("LEASE", [("ITEM", [("GROUP", group), ("SEQ", seq),
                                    ("DEADLINE_NS", now + ms * 1000000)])])

    def pull(self, after=0):
        return self.call("PULL", [("MOUNT_ID", self.mount), ("SESSION", self.session),
                                  ("REQ_ID", after)], dump=True)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def oid_of(name):
    return (name.encode() + b"\1" * 16)[:16]


def record(oid, size=0, flags=STUB, shift=16, version=1, pu=0, nlink=1, ctime=1700000000, holes=0):
    body = struct.pack("<IBBBB", 0x31475541, 1, flags, shift, holes) + oid
    body += struct.pack("<QQIIqI", version, size, pu, nlink, ctime, 0)
    return body + struct.pack("<I", crc32c(body))


libc = ctypes.CDLL(None, use_errno=True)


def handle(path):
    """The file handle as the protocol has it: type u32, bytes."""
    buf = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + b"\0" * 128, 136)
    mount_id = ctypes.c_int()
    if libc.name_to_handle_at(-100, path.encode(), buf, ctypes.byref(mount_id), 0):
        raise OSError(ctypes.get_errno(), "name_to_handle_at")
    n, kind = struct.unpack_from("=Ii", buf.raw)
    return struct.pack("=I", kind) + buf.raw[8:8 + n]


class Volume:
    """A cache directory and its mount."""

    def __init__(self, cache, mnt):
        self.cache, self.mnt = cache, mnt
        os.makedirs(mnt, exist_ok=True)

    def lower(self, name=""):
        return os.path.join(self.cache, "root", name) if name else self.cache + "/root"

    def path(self, name):
        return os.path.join(self.mnt, name)

    def mkroot(self, complete=True):
        os.makedirs(self.lower(), exist_ok=True)
        os.makedirs(self.cache + "/.augur/tmp", exist_ok=True)
        flags = REC_COMPLETE if complete else STUB
        os.setxattr(self.lower(), "trusted.augur", record(oid_of("/"), flags=flags, shift=0))

    def stub(self, name, size, **kw):
        fd = os.open(self.lower(name), os.O_WRONLY | os.O_CREAT, 0o644)
        os.ftruncate(fd, size)
        os.close(fd)
        os.setxattr(self.lower(name), "trusted.augur", record(oid_of(name), size=size, **kw))

    def fill(self, name, off, data):
        fd = os.open(self.lower(name), os.O_WRONLY)
        os.pwrite(fd, data, off)
        os.close(fd)

    def mount(self, options=""):
        o = f"cache={self.cache}" + ("," + options if options else "")
        subprocess.run(["mount", "-i", "-t", "augurfs", "10.9.0.1:/vol", self.mnt, "-o", o],
                       check=True)

    def umount(self, *args):
        subprocess.run(["umount", *args, self.mnt], check=True)

    def id(self):
        g = Genl()
        try:
            ids = [m["MOUNT_ID"] for m in g.call("MOUNTS", dump=True)
                   if m["CACHE"] == self.cache]
        finally:
            g.close()
        assert len(ids) == 1, f"mounts of {self.cache}: {ids}"
        return ids[0]

    def sysfs(self, name, value=None):
        path = f"/sys/fs/augurfs/{self.id()}/{name}"
        if value is None:
            with open(path) as f:
                return f.read().strip()
        with open(path, "w") as f:
            f.write(str(value))
        return None

    def stat(self, name):
        return int(self.sysfs("stats/" + name))

    def requests(self):
        with open(f"/sys/kernel/debug/augurfs/{self.id()}/requests") as f:
            return [line.split() for line in f.read().splitlines()[1:]]


class Reader:
    """A process that reads part of a file; a blocked one can be killed."""

    def __init__(self, path, off=0, length=1 << 20):
        self.out, w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            # A daemon's socket must not live on in its readers.
            os.closerange(3, w)
            os.closerange(w + 1, 1024)
            try:
                fd = os.open(path, os.O_RDONLY)
                data = os.pread(fd, length, off)
                os.write(w, b"=" + data[:60000])
            except OSError as e:
                os.write(w, b"!%d" % e.errno)
            finally:
                os._exit(0)
        os.close(w)

    def result(self):
        """The bytes, or the errno as a negative number; None if it was killed."""
        end = time.monotonic() + PATIENCE
        data = b""
        while True:
            if not select.select([self.out], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError("the reader is still blocked")
            part = os.read(self.out, 65536)
            if not part:
                break
            data += part
        os.close(self.out)
        os.waitpid(self.pid, 0)
        if not data:
            return None
        return data[1:] if data[:1] == b"=" else -int(data[1:])

    def kill(self):
        """Kills it; it must not have got anything."""
        os.kill(self.pid, signal.SIGKILL)
        assert self.result() is None


def refused(code, fn, *args, **kw):
    """@fn must fail with @code."""
    try:
        got = fn(*args, **kw)
    except OSError as e:
        assert e.errno == code, f"errno {e.errno} ({e}), expected {errno.errorcode[code]}"
        print(f"  refused as it should be: {e}", flush=True)
        return
    raise AssertionError(f"accepted, expected {errno.errorcode[code]}: {got}")


def until(cond, what):
    end = time.monotonic() + PATIENCE
    while not cond():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(0.02)


def run(*tests):
    """Runs test functions one after the other; the first failure ends all."""
    for t in tests:
        print(f"== {t.__name__}: {(t.__doc__ or '').strip()}", flush=True)
        t()


def test_abi(header="/payload/tests/augurfs.h"):
    """The numbers here are the header's."""
    with open(header) as f:
        text = f.read()
    for prefix, table in (("AUGUR_A_", {n: v[0] for n, v in ATTR.items()}),
                          ("AUGUR_CMD_", CMD), ("AUGUR_OP_", OP), ("AUGUR_BUSY_", BUSY)):
        for name, number in table.items():
            m = re.search(rf"\b{prefix}{name}\s*=\s*(\d+)", text)
            assert m and int(m[1]) == number, f"{prefix}{name} is {m and m[1]}, here {number}"


if __name__ == "__main__":
    test_abi(sys.argv[1])
