#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fills a directory with a small tree that is the same every time for the same options.

  mktree.py [--files N] [--per-dir N] [--seed N] [--big MIB] [--plain] DIR

N regular files of 0 bytes to 64 KiB in directories of --per-dir, and, unless --plain: a nest of directories, hard links
within and across directories, symbolic links (to nowhere, absolute, long), names with spaces, newlines, bytes that are
not UTF-8 and of 255 bytes, user xattrs, odd modes and owners, an empty directory, a fifo, a sparse file, one file of
--big MiB, directories whose group and default ACL their contents do not have. All times lie in the past and are fixed.
"""
import argparse
import os
import random
import struct

ap = argparse.ArgumentParser()
ap.add_argument("--files", type=int, default=200)
ap.add_argument("--per-dir", type=int, default=25)
ap.add_argument("--seed", type=int, default=1)
ap.add_argument("--big", type=int, default=8)
ap.add_argument("--plain", action="store_true")
ap.add_argument("dir")
o = ap.parse_args()
rnd = random.Random(o.seed)
root = os.fsencode(o.dir)
PAST = 1_600_000_000


def at(name):
    return os.path.join(root, name if isinstance(name, bytes) else name.encode())


def write(name, data, mode=0o644):
    with open(at(name), "wb") as f:
        f.write(data)
    os.chmod(at(name), mode)


os.makedirs(root, exist_ok=True)
for i in range(o.files):
    d = f"d{i // o.per_dir:02d}"
    os.makedirs(at(d), exist_ok=True)
    write(f"{d}/f{i:04d}", rnd.randbytes(rnd.choice((0, 1, 300, 900, 4096, 5000, 9000, 30000, 65536))), rnd.choice((0o644, 0o600, 0o755)))

if not o.plain:
    os.makedirs(at("nest/a/b/c/d/e/f"))
    write("nest/a/b/c/d/e/f/deep", b"deep\n")
    os.makedirs(at("odd"))
    for n in (b"with space", b"new\nline", b"\xff\xfe bytes", "süß".encode(), b"-dash", b"..dots", b"n" * 255, b"tab\there", b"*"):
        write(b"odd/" + n, b"name " + n)
    os.makedirs(at("links"))
    os.link(at("nest/a/b/c/d/e/f/deep"), at("links/hard1"))
    os.link(at("nest/a/b/c/d/e/f/deep"), at("links/hard2"))
    for n, t in (("dangling", "no/where"), ("absolute", "/etc/hostname"), ("up", "../d00/f0001"), ("long", "x/" * 500 + "y"), ("dir", "../nest")):
        os.symlink(t, at("links/" + n))
    os.makedirs(at("attr"))
    write("attr/small", b"x")
    os.setxattr(at("attr/small"), "user.colour", b"blue")
    write("attr/many", b"y")
    for i in range(8):
        os.setxattr(at("attr/many"), f"user.n{i}", rnd.randbytes(40))
    os.setxattr(at("attr"), "user.dir", b"yes")
    os.makedirs(at("modes"))
    for m in (0o000, 0o444, 0o640, 0o755, 0o4755, 0o2755):
        write(f"modes/m{m:04o}", b"m")
        os.chown(at(f"modes/m{m:04o}"), 1000 + m % 7, 100)
        os.chmod(at(f"modes/m{m:04o}"), m)
    # version 2; user::rwx, user:7:rwx, group::r-x, mask::rwx, other::r-x
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *e) for e in ((1, 7, -1), (2, 7, 7), (4, 5, -1), (16, 7, -1), (32, 5, -1)))
    os.makedirs(at("heirs/dir"))
    write("heirs/file", b"not of the group\n")
    os.chown(at("heirs"), 0, 50)
    os.chmod(at("heirs"), 0o2775)
    os.setxattr(at("heirs"), "system.posix_acl_default", acl)
    os.setxattr(at("heirs/dir"), "system.posix_acl_access", acl)
    os.makedirs(at("empty"))
    os.chmod(at("empty"), 0o1777)
    os.mkfifo(at("odd/fifo"))
    os.makedirs(at("large"))
    with open(at("large/sparse"), "wb") as f:
        for pos in (0, 1 << 20, 5 << 20):
            f.seek(pos)
            f.write(rnd.randbytes(5000))
        f.truncate(12 << 20)
    with open(at("large/big"), "wb") as f:
        for i in range(o.big):
            f.write(rnd.randbytes(1 << 20))

for base, dirs, files in sorted(os.walk(root), reverse=True):
    for n in sorted(files + dirs) + [b"."]:
        t = PAST * 10**9 + rnd.randrange(10**16)
        os.utime(os.path.join(base, n), ns=(t, t), follow_symlinks=False)
print(f"{o.dir}: {o.files} files, seed {o.seed}")
