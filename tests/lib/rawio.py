# SPDX-License-Identifier: GPL-2.0-or-later
"""
rawio: what Python's standard library lacks for reading a file in every way the kernel has: io_uring and libaio by their
system calls, mappings with an address, direct reads, holes and extents.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.mremap.restype = ctypes.c_void_p
libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
libc.pread.restype = libc.write.restype = ctypes.c_ssize_t
libc.pread.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
libc.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
libc.readahead.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_size_t]

SETUP, ENTER, REGISTER = 425, 426, 427
READ_FIXED, READ = 4, 22
MADV_POPULATE_READ = 22


def check(res):
    """The result of a C function, or OSError."""
    if res in (-1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return res


def syscall(number, *args):
    return check(libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in args]))


class Map:
    """A mapping by address; of nothing with fd -1."""

    def __init__(self, fd, length, off=0, prot=3, private=True):
        flags = (2 if private else 1) | (0x20 if fd < 0 else 0)
        self.len = length
        self.addr = check(libc.mmap(None, length, prot, flags, fd, off))

    def bytes(self, off=0, n=None):
        return ctypes.string_at(self.addr + off, self.len - off if n is None else n)

    def close(self):
        libc.munmap(self.addr, self.len)


def pread_into(fd, addr, n, off):
    return check(libc.pread(fd, addr, n, off))


def write_from(fd, addr, n):
    return check(libc.write(fd, addr, n))


class Uring:
    """One request at a time."""

    def __init__(self):
        p = ctypes.create_string_buffer(120)
        self.fd = syscall(SETUP, 8, ctypes.addressof(p))
        v = struct.unpack("=10I8I8x8I8x", p.raw[:40 + 40 + 40])
        entries, cqn = v[0], v[1]
        self.sq, self.cq = v[10:18], v[18:26]
        size = max(self.sq[6] + entries * 4, self.cq[5] + cqn * 16)
        self.ring = mmap.mmap(self.fd, size, flags=mmap.MAP_SHARED, offset=0)
        self.sqes = mmap.mmap(self.fd, entries * 64, flags=mmap.MAP_SHARED, offset=0x10000000)

    def _u32(self, at, value=None):
        if value is None:
            return struct.unpack_from("=I", self.ring, at)[0]
        struct.pack_into("=I", self.ring, at, value)
        return value

    def read(self, fd, addr, n, off, op=READ, flags=0):
        """Bytes read, or -errno."""
        tail = self._u32(self.sq[1])
        i = tail & self._u32(self.sq[2])
        sqe = struct.pack("=BBHiQQIIQHHi", op, 0, 0, fd, off, addr, n, flags, 7, 0, 0, 0)
        self.sqes[i * 64:i * 64 + 64] = sqe + bytes(64 - len(sqe))
        self._u32(self.sq[6] + 4 * i, i)
        self._u32(self.sq[1], tail + 1)
        syscall(ENTER, self.fd, 1, 1, 1, 0, 0)
        head = self._u32(self.cq[0])
        at = self.cq[5] + 16 * (head & self._u32(self.cq[2]))
        data, res = struct.unpack_from("=Qi", self.ring, at)
        assert data == 7, data
        self._u32(self.cq[0], head + 1)
        return res

    def register(self, addr, n):
        """One fixed buffer."""
        iov = ctypes.create_string_buffer(struct.pack("=QQ", addr, n))
        syscall(REGISTER, self.fd, 0, ctypes.addressof(iov), 1)

    def close(self):
        self.ring.close()
        self.sqes.close()
        os.close(self.fd)


def aio_read(fd, addr, n, off):
    """One read by libaio's system calls: bytes, or -errno."""
    ctx = ctypes.c_ulong(0)
    syscall(206, 8, ctypes.addressof(ctx))
    iocb = ctypes.create_string_buffer(struct.pack("=QIIHhIQQqQII", 5, 0, 0, 0, 0, fd, addr, n, off, 0, 0, 0), 64)
    ptr = ctypes.c_void_p(ctypes.addressof(iocb))
    event = ctypes.create_string_buffer(32)
    try:
        syscall(209, ctx.value, 1, ctypes.addressof(ptr))
        syscall(208, ctx.value, 1, 1, ctypes.addressof(event), 0)
        return struct.unpack_from("=QQq", event.raw)[2]
    finally:
        syscall(207, ctx.value)


def extents(fd, limit=64):
    """[(offset, length)] of FIEMAP, flushed first."""
    buf = bytearray(32 + 56 * limit)
    struct.pack_into("=QQIIII", buf, 0, 0, (1 << 64) - 1, 1, 0, limit, 0)
    fcntl.ioctl(fd, 0xC020660B, buf)
    n = struct.unpack_from("=I", buf, 20)[0]
    return [(struct.unpack_from("=Q", buf, 32 + 56 * i)[0], struct.unpack_from("=Q", buf, 48 + 56 * i)[0]) for i in range(n)]


def data_runs(fd):
    """[(start, end)] by SEEK_DATA and SEEK_HOLE."""
    size, at, runs = os.fstat(fd).st_size, 0, []
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:
                break
            raise
        at = os.lseek(fd, start, os.SEEK_HOLE)
        runs.append((start, at))
    return runs
