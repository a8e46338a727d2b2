#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# mmap-exec: mappings and programs of absent and partly present files see the right bytes.
# timeout: 300
. /payload/tests/lib/guest.sh

scratch origin
origin_make --files 30 --big 6
mkdir "$ORIGIN/bin"
cp /usr/bin/bash /usr/bin/python3.11 "$ORIGIN/bin/"
cp "$(ldd /usr/bin/bash | awk '/libc.so/ { print $3 }')" "$ORIGIN/bin/"
vol_up 1

cat > "$RUN/map.py" <<'P'
import mmap, os, random, sys
a, b, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
fa, fb = open(a, "rb"), open(b, "rb")
n = os.fstat(fa.fileno()).st_size
assert n == os.fstat(fb.fileno()).st_size
ma = mmap.mmap(fa.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE if seed % 2 else mmap.MAP_SHARED)
mb = mmap.mmap(fb.fileno(), 0, prot=mmap.PROT_READ)
r = random.Random(seed)
for _ in range(300):
    o = r.randrange(n); l = min(n - o, r.randrange(1, 9000))
    assert ma[o:o + l] == mb[o:o + l], f"{a} differs at {o}+{l}"
if os.fork() == 0:
    os._exit(0 if ma[:] == mb[:] else 1)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0, "child saw other bytes"
P
for f in large/big large/sparse; do pp python3 "$RUN/map.py" "$MNT/$f" "$ORIGIN/$f" 1; done
vol_fresh
dd if="$MNT/large/big" of=/dev/null bs=4096 skip=700 count=3 status=none
pp python3 "$RUN/map.py" "$MNT/large/big" "$ORIGIN/large/big" 2

# A complete file gone through in a row is mapped in larger pieces than the kernel's 64 KiB, but never beyond the mapping's
# ends or those of a page table: what lies beside it is memory that must stay as it was.
cat > "$RUN/row.py" <<'P'
import ctypes, mmap, os, resource, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
want, fd, page, table, FIXED = open(sys.argv[2], "rb").read(), os.open(sys.argv[1], os.O_RDONLY), 4096, 2 << 20, 0x10
def place(at, n, flags, fd, off):
    got = libc.mmap(at, n, mmap.PROT_READ, flags, fd, off)
    assert got == at or (at is None and got != ctypes.c_void_p(-1).value), os.strerror(ctypes.get_errno())
    return got
def faults(f):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    f()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def touch(start, pages):
    m = (ctypes.c_ubyte * (pages * page)).from_address(start)
    return faults(lambda: [m[i * page] for i in range(pages)])
plain = touch(place(None, 1536 * page, mmap.MAP_SHARED, os.open(sys.argv[2], os.O_RDONLY), 0), 1536)
ahead = plain < 1536 // 8    # User-mode Linux enters what was mapped ahead only when it is touched, of any file
if not ahead:
    print(f"not judged: how many pages a fault maps; this kernel has {plain} faults for 1536 pages of ext4")
room = 16 << 20
anon = place(None, room, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
base = (anon + table - 1) // table * table
for at, first, pages in [(0, 0, 1536), (3, 0, 1530), (500, 7, 40), (490, 1, 23), (511, 0, 65), (1, 100, 511), (37, 1501, 35)]:
    start = base + table + at * page
    place(start, pages * page, mmap.MAP_SHARED | FIXED, fd, first * page)
    n = touch(start, pages)
    assert not ahead or pages < 1000 or 0 < n < pages // 32, f"{n} faults for {pages} pages"
    assert ctypes.string_at(start, pages * page) == want[first * page:(first + pages) * page], f"bytes of {at} {first} {pages}"
    around = ctypes.string_at(anon, room)
    a, b = start - anon, start - anon + pages * page
    assert around.count(0, 0, a) == a and around.count(0, b) == room - b, f"memory beside {at} {first} {pages}"
    place(start, pages * page, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | FIXED, -1, 0)
P
cat "$MNT/large/big" > /dev/null
pp python3 "$RUN/row.py" "$MNT/large/big" "$ORIGIN/large/big"

is "$("$MNT/bin/bash" -c 'echo started')" started "a program that was absent"
dd if="$MNT/bin/python3.11" of=/dev/null bs=4096 skip=100 count=2 status=none
is "$("$MNT/bin/python3.11" -c 'print(6 * 7)')" 42 "a program that was partly present"
is "$(LD_PRELOAD=$MNT/bin/libc.so.6 "$MNT/bin/bash" -c 'echo lib')" lib "a library that was absent"
same_tree "$ORIGIN/bin" "$MNT/bin"
must_fail -m 'Text file busy|Read-only' bash -c "exec 5>> $MNT/bin/bash"
