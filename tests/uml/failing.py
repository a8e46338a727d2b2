# SPDX-License-Identifier: GPL-2.0-or-later
"""
failing: calls whose n-th allocation fails.  The kernel makes the n-th allocation of a task fail
that writes n to its own fail-nth; the number that is left says whether it came to it.  So a call
has as many points of failure as it has allocations, and each is tried alone.

What another task does for the caller (the daemon, a work item) is not made to fail.
"""
import ctypes
import errno as E
import os
import sys
import threading

from fakedaemon import *

SIZE = 3 * 65536 + 100  # of a file
points = 0


def put(path, value):
    with open(path, "w") as f:
        f.write(str(value))


def get(path):
    with open(path) as f:
        return f.read().strip()


def arm(pages):
    """Which allocations count: not those of the checkers, as kmemleak ends when one of its own fails."""
    debug = "/sys/kernel/debug/"
    put(debug + "failslab/ignore-gfp-wait", "N")
    put(debug + "failslab/verbose", 0)
    put(debug + "failslab/cache-filter", "Y")
    put(debug + "fail_page_alloc/verbose", 0)
    put(debug + "fail_page_alloc/min-order", 0 if pages else 10)
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
                assert not is_error(got), f"{name}: {errno.errorcode[-got]} when made again"
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


def report():
    print(f"{points} points of failure")


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


def mount(vol, more=""):
    options = f"cache={vol.cache},{NO_DEADLINE}{more}".encode()
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
