#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One hash over a whole tree: names, kinds, metadata and content, in sorted order.

  treehash.py [--list] [--ctime] [--dirs] [--no-nlink] [--no-content] [--no-xattr] [--ino] DIR

--list prints one line an object instead (for diff). Each line holds the relative name, mode, uid, gid, size (not of
directories), mtime, nlink (not of directories), link target, xattrs without trusted.augur*, and a hash of the content.
--dirs takes in size and nlink of directories, --ctime the change time; --ino also checks d_ino = st_ino for every entry. The exit status is
1 if anything could not be read; the message names it.
"""
import hashlib
import os
import stat
import sys

flags = {a for a in sys.argv[1:] if a.startswith("--")}
root = os.fsencode([a for a in sys.argv[1:] if not a.startswith("--")][0])
total, bad = hashlib.sha256(), 0


def complain(path, what):
    global bad
    bad = 1
    print(f"treehash: {os.fsdecode(path)}: {what}", file=sys.stderr)


def content(path):
    h = hashlib.md5(usedforsecurity=False)  # the emulated guest is slow; nobody cheats here
    with open(path, "rb", buffering=0) as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def xattrs(path):
    names = sorted(n for n in os.listxattr(path, follow_symlinks=False) if not n.startswith("trusted.augur"))
    return ";".join(f"{n}={os.getxattr(path, n, follow_symlinks=False).hex()}" for n in names)


def line(path, rel):
    st = os.lstat(path)
    fields = [rel.decode("utf-8", "backslashreplace").replace("\n", "\\n"), f"{st.st_mode:o}", st.st_uid, st.st_gid, f"m{st.st_mtime_ns}"]
    if "--ctime" in flags:
        fields.append(f"c{st.st_ctime_ns}")
    if not stat.S_ISDIR(st.st_mode) or "--dirs" in flags:
        fields.append(f"s{st.st_size}")
        if "--no-nlink" not in flags:
            fields.append(f"n{st.st_nlink}")
    if stat.S_ISLNK(st.st_mode):
        fields.append("-> " + os.fsdecode(os.readlink(path)).encode("utf-8", "backslashreplace").decode())
    if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        fields.append(f"r{st.st_rdev}")
    if "--no-xattr" not in flags:
        fields.append("[" + xattrs(path) + "]")
    if stat.S_ISREG(st.st_mode) and "--no-content" not in flags:
        fields.append(content(path))
    return " ".join(str(f) for f in fields), st


def emit(text):
    total.update(text.encode() + b"\n")
    if "--list" in flags:
        print(text)


def walk(path, rel):
    try:
        text, st = line(path, rel or b".")
        emit(text)
        if not stat.S_ISDIR(st.st_mode):
            return
        with os.scandir(path) as it:
            entries = sorted(((e.name, e.inode()) for e in it))
    except OSError as e:
        complain(path, e.strerror)
        return
    for name, d_ino in entries:
        if rel == b"" and name == b"lost+found":
            continue
        p = os.path.join(path, name)
        if "--ino" in flags and os.lstat(p).st_ino != d_ino:
            complain(p, f"d_ino {d_ino} is not st_ino {os.lstat(p).st_ino}")
        walk(p, rel + b"/" + name if rel else name)


walk(root, b"")
if "--list" not in flags:
    print(total.hexdigest())
sys.exit(bad)
