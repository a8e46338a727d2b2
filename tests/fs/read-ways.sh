#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# read-ways: absent bytes are the origin's however they are read: direct, by libaio, io_uring, splice, sendfile, mapped
# and populated; what will not wait is told to come again; holes of the origin are holes in the cache.
# timeout: 300
. /payload/tests/lib/guest.sh

requires python3
scratch origin
origin_make --files 10 --big 12
python3 - "$ORIGIN/large/holes" << 'PY'
import os, sys
with open(sys.argv[1], "wb") as f:
    f.truncate(12 << 20)
    for i in range(0, 12, 3):
        f.seek(i << 20)
        f.write(os.urandom(1 << 20))
PY
vol_up 1
PYTHONPATH=$T/lib python3 - "$MNT/large" "$ORIGIN/large" /cache/a/root/large << 'PY'
import errno as E, os, random, sys, time
from rawio import *
mnt, origin, lower = sys.argv[1:4]
want = open(f"{origin}/big", "rb").read()
MIB = 1 << 20
fd, direct = os.open(f"{mnt}/big", os.O_RDONLY), os.open(f"{mnt}/big", os.O_RDONLY | os.O_DIRECT)
buf, ring = Map(-1, MIB), Uring()

def same(off, n, got, what):
    assert got == want[off:off + n], f"{what} at {off}"
    print(f"{what}: right", flush=True)

def code(fn, *args):
    try:
        return fn(*args)
    except OSError as e:
        return -e.errno

# Nobody waits who must not: the bytes are absent, and io_uring tries by itself in a thread that may.
assert code(os.preadv, fd, [bytearray(4096)], 11 * MIB, os.RWF_NOWAIT) == -E.EAGAIN
assert ring.read(fd, buf.addr, 300000, 11 * MIB + 5) == 300000
same(11 * MIB + 5, 300000, buf.bytes(0, 300000), "io_uring")
assert ring.read(direct, buf.addr, 8192, 10 * MIB) == 8192
same(10 * MIB, 8192, buf.bytes(0, 8192), "io_uring, direct")
assert pread_into(direct, buf.addr, MIB, 9 * MIB) == MIB
same(9 * MIB, MIB, buf.bytes(), "direct")
assert code(pread_into, direct, buf.addr + 1, 4096, 8 * MIB) == -E.EINVAL, "a buffer that the disk cannot take"
assert code(pread_into, direct, buf.addr, 4096, 8 * MIB + 7) == -E.EINVAL, "an offset that the disk cannot take"
for f, what in ((fd, "libaio"), (direct, "libaio, direct")):
    assert aio_read(f, buf.addr, 65536, 8 * MIB - 4096) == 65536
    same(8 * MIB - 4096, 65536, buf.bytes(0, 65536), what)
r, w = os.pipe()
n = os.splice(fd, w, 50000, offset_src=7 * MIB + 9)
same(7 * MIB + 9, n, os.read(r, n), f"splice of {n}")
def unhurried(fn, *args, **kw):
    """Comes again until there is something: the bytes were asked for."""
    for i in range(600):
        n = code(lambda: fn(*args, **kw))
        if n != -E.EAGAIN:
            assert i, "nothing was absent"
            return n
        time.sleep(0.05)
    sys.exit("asked again and again, and nobody fetches")
n = unhurried(os.splice, fd, w, 50000, offset_src=3 * MIB + 7, flags=os.SPLICE_F_NONBLOCK)
same(3 * MIB + 7, n, os.read(r, n), f"splice of {n} that does not wait")
some = bytearray(4096)
assert unhurried(os.preadv, fd, [some], 2 * MIB - 4096, os.RWF_NOWAIT) == 4096
same(2 * MIB - 4096, 4096, bytes(some), "a read that does not wait")
out = os.open("/cache/out", os.O_RDWR | os.O_CREAT)
n = os.sendfile(out, fd, 6 * MIB, MIB)
same(6 * MIB, n, os.pread(out, n, 0), f"sendfile of {n}")
n = code(os.copy_file_range, fd, out, 65536, 5 * MIB, 0)
assert n == -E.EXDEV or os.pread(out, n, 0) == want[5 * MIB:5 * MIB + n], n
m = Map(fd, 2 * MIB, 3 * MIB, prot=1, private=False)
check(libc.madvise(m.addr, m.len, MADV_POPULATE_READ))
same(3 * MIB, 2 * MIB, m.bytes(), "populated mapping")
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
same(0, len(want), os.pread(fd, len(want), 0), "all of it, asked for before")
assert code(os.preadv, fd, [bytearray(4096)], 11 * MIB, os.RWF_NOWAIT) == 4096

h = os.open(f"{mnt}/holes", os.O_RDONLY)
assert data_runs(h) == [(0, 12 * MIB)]
assert os.pread(h, 12 * MIB, 0) == open(f"{origin}/holes", "rb").read()
assert data_runs(h) == [(i * MIB, (i + 1) * MIB) for i in range(0, 12, 3)], data_runs(h)
assert os.stat(f"{lower}/holes").st_blocks * 512 < 5 * MIB
PY
must_fail -m 'Text file busy|Read-only' bash -c "exec 5>> $MNT/large/big"
