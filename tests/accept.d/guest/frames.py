# SPDX-License-Identifier: GPL-2.0-or-later
#
# frames.py: a peer that says HELLO as it should and then sends frames that no honest peer sends.
#   frames.py VOLUME HOST...   -> one line "NAME<tab>what became of it" for each, "closed" or a negative status; and
#   "control" lines for frames that are right, sent before and after: 0 at the proxy that owns the root.
# The numbers are those of daemon/wire/msg.h.
import socket, struct, sys

HELLO, LIST, LOOKUP, READ, BATCH, REVAL = 1, 8, 9, 10, 11, 12
OID, LOCATOR, NAME, MAX, VERSION, TAG, OFF, LEN, ATTR, ITEM, ROOT = 32, 33, 34, 35, 36, 37, 38, 39, 42, 47, 54


def field(tag, data):
    data = data if isinstance(data, bytes) else struct.pack("<Q", data)
    return struct.pack("<HH", tag, len(data)) + data


def u32(tag, n):
    return field(tag, struct.pack("<I", n))


def fields(body):
    found = {}
    while len(body) >= 4:
        tag, n = struct.unpack_from("<HH", body)
        found.setdefault(tag, body[4:4 + n])
        body = body[4 + n:]
    return found


class Peer:
    def __init__(self, host, volume):
        self.s = socket.create_connection((host, 7433), timeout=20)
        self.stream = 0
        body = (u32(1, 1) + field(2, 0) + u32(3, 1) + field(4, b"stranger") + field(5, volume.encode()) + field(6, b"s" * 16))
        status, answer = self.ask(HELLO, body)
        assert status == 0, f"HELLO: {status}"
        root = fields(fields(answer)[ROOT])
        self.oid, self.locator = root[ATTR][:16], root[LOCATOR]

    def object(self, oid=None, locator=None):
        return field(OID, oid or self.oid) + field(LOCATOR, locator or self.locator)

    def exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.s.recv(n - len(data))
            if not more:
                raise ConnectionError
            data += more
        return data

    # The status of the last frame of the answer, and all bodies of it.
    def ask(self, kind, body, flags=0, length=None, sum=0, status=0, stream=None):
        self.stream += 1
        n = len(body) if length is None else length
        self.s.sendall(struct.pack("<IHHIiQQ", n, kind, flags, self.stream if stream is None else stream, status, 0, sum) + body)
        if length is not None and length > len(body):
            self.s.shutdown(socket.SHUT_WR)
        answer = b""
        while True:
            n, kind, flags, stream, status, _, _ = struct.unpack("<IHHIiQQ", self.exactly(32))
            more = self.exactly(n)
            if not stream:      # a notice
                continue
            answer += more
            if flags & 2:
                return status, answer


def told(host, volume, name, send):
    try:
        p = Peer(host, volume)
        try:
            said = send(p)[0]
        except (ConnectionError, BrokenPipeError):
            said = "closed"
        p.s.close()
    except Exception as e:      # the proxy itself is ill
        said = f"no HELLO: {e!r}"
    print(f"{name}\t{said}", flush=True)


volume, hosts = sys.argv[1], sys.argv[2:]
lookup = lambda p, name: p.ask(LOOKUP, p.object() + field(NAME, name) + u32(MAX, 0))
read = lambda p, off, n: p.ask(READ, p.object() + field(VERSION, 0) + field(TAG, 0) + field(OFF, off) + field(LEN, n))
bad = {
    "name ..": lambda p: lookup(p, b".."),
    "name .": lambda p: lookup(p, b"."),
    "name a/b": lambda p: lookup(p, b"a/b"),
    "name with a NUL": lambda p: lookup(p, b"a\0b"),
    "name of 256 bytes": lambda p: lookup(p, b"x" * 256),
    "no name": lambda p: lookup(p, b""),
    "locator changed": lambda p: p.ask(LIST, p.object(locator=p.locator[:-1] + bytes([p.locator[-1] ^ 1]))),
    "locator cut": lambda p: p.ask(LIST, p.object(locator=p.locator[:5])),
    "locator of another object": lambda p: p.ask(LIST, p.object(oid=b"\1" * 16)),
    "no locator": lambda p: p.ask(LIST, field(OID, p.oid)),
    "read beyond 2^63": lambda p: read(p, 2**63, 4096),
    "read that wraps": lambda p: read(p, 2**64 - 4096, 2**64 - 1),
    "read of a directory": lambda p: read(p, 0, 4096),
    "field longer than the body": lambda p: p.ask(LIST, p.object() + struct.pack("<HH", NAME, 500) + b"x"),
    "half a field header": lambda p: p.ask(LIST, p.object() + b"\1"),
    "body that ends early": lambda p: p.ask(LIST, p.object()[:20], length=200),
    "header alone": lambda p: p.ask(LIST, b"", length=200),
    "body of 4 GiB": lambda p: p.ask(LIST, b"x" * 64, length=2**32 - 1),
    "body over the limit": lambda p: p.ask(LIST, b"x" * 64, length=512 * 1024 + 1),
    "wrong checksum": lambda p: p.ask(LIST, p.object(), flags=16, sum=1),
    "unknown kind": lambda p: p.ask(39, b""),
    "kind beyond the last": lambda p: p.ask(4000, b""),
    "unknown flag": lambda p: p.ask(LIST, p.object(), flags=1 << 9),
    "an answer to nothing": lambda p: p.ask(LIST, p.object(), flags=3),
    "a status in a question": lambda p: p.ask(LIST, p.object(), status=-5),
    "stream 0": lambda p: p.ask(LIST, p.object(), stream=0),
    "HELLO again": lambda p: p.ask(HELLO, b""),
    "1,025 items": lambda p: p.ask(REVAL, field(ITEM, p.object() + field(VERSION, 0) + field(TAG, 0)) * 1025),
    "items within items": lambda p: p.ask(BATCH, field(ITEM, field(ITEM, field(ITEM, b"x" * 40)))),
}
for host in hosts:
    told(host, volume, f"control before, {host}", lambda p: p.ask(LIST, p.object()))
for name, send in bad.items():
    for host in hosts:
        told(host, volume, name, send)
for host in hosts:
    told(host, volume, f"control after, {host}", lambda p: p.ask(LIST, p.object()))
