#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the directory that the benchmark's servers export; the same bytes every time for the same options.

  mkorigin.py [--seq-mb N] [--python LIB] DIR

walk    1,000 small files in 56 directories, 8 MB: what the acceptance line of the cold walk reads
tree    2,083 files in 100 directories, 32.3 MB of text: the shape of a source tree (find, grep)
big     one file of N MiB (128) that does not compress (sequential and random reads)
repo    a git repository of 2,062 files in 99 directories; its index believes sizes and times alone, so that it is true
        wherever the tree is mounted
py      lib/python3.N: the guest's own standard library (LIB), compiled: a python start-up
micro   a/b/f of 4 MiB and ls/ with 200 files: warm operations
replay.list   500 files of tree in random order
"""
import argparse
import os
import random
import shutil
import subprocess

PAST = 1_600_000_000


def text(rnd, size):
    """A block of text-like lines to cut files from."""
    words = ["".join(rnd.choices("abcdefghijklmnopqrstuvwxyz_", k=rnd.randint(2, 11))) for _ in range(3000)]
    out, n = [], 0
    while n < size:
        line = "\t" * rnd.randint(0, 3) + " ".join(rnd.choices(words, k=rnd.randint(1, 12))) + ";\n"
        out.append(line)
        n += len(line)
    return "".join(out).encode()


def sizes(rnd, count, total, sigma, most):
    """`count` file sizes, log-normal, that add up to `total`, none above `most`."""
    raw = [rnd.lognormvariate(0, sigma) for _ in range(count)]
    scale = total / sum(raw)
    out = [max(1, min(most, int(r * scale))) for r in raw]
    short = total - sum(out)
    while short > 0:                    # what the cut took away goes to the middle of the field
        i = rnd.randrange(count)
        if out[i] < most // 2:
            add = min(short, out[i], most // 2)
            out[i] += add
            short -= add
    return out


def directories(rnd, count):
    """Relative names of `count` directories below the top, nested up to four deep."""
    dirs = [""]
    while len(dirs) < count + 1:
        parent = rnd.choice([d for d in dirs if d.count("/") < 3])
        name = "".join(rnd.choices("abcdefghijklmnop", k=6))
        path = f"{parent}/{name}" if parent else name
        if path not in dirs:
            dirs.append(path)
    return dirs


def make_tree(top, rnd, corpus, files, dirs, total, sigma, most):
    where = directories(rnd, dirs - 1)
    for d in where:
        os.makedirs(os.path.join(top, d), exist_ok=True)
    for i, size in enumerate(sizes(rnd, files, total, sigma, most)):
        d = where[i] if i < len(where) else rnd.choice(where)
        at = rnd.randrange(len(corpus) - size)
        with open(os.path.join(top, d, f"file-{i:04d}.c"), "wb") as f:
            f.write(corpus[at:at + size])


def make_repo(top, rnd, corpus):
    make_tree(top, rnd, corpus, 2062, 99, 16_000_000, 1.3, 300 << 10)
    set_times(top)
    env = dict(os.environ, HOME="/nonexistent", GIT_CONFIG_NOSYSTEM="1")
    for v in ("AUTHOR", "COMMITTER"):
        env.update({f"GIT_{v}_NAME": "bench", f"GIT_{v}_EMAIL": "bench@example.org", f"GIT_{v}_DATE": f"{PAST} +0000"})
    for words in ("init -q -b main", "config core.checkStat minimal", "config core.trustctime false", "config gc.auto 0",
                  "add -A", "commit -q -m all", "gc -q", "--no-optional-locks status --porcelain"):
        out = subprocess.run(["git", "-C", top, *words.split()], env=env, check=True, capture_output=True).stdout
    assert not out, out


def make_python(top, lib):
    """What a start-up reads, without what nobody imports."""
    skip = shutil.ignore_patterns("config-*", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data")
    shutil.copytree(lib, os.path.join(top, "lib", os.path.basename(lib)), symlinks=False, ignore_dangling_symlinks=True, ignore=skip)


def set_times(top):
    for base, _, names in os.walk(top, topdown=False):
        for n in names + ["."]:
            os.utime(os.path.join(base, n), (PAST, PAST))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seq-mb", type=int, default=128)
    ap.add_argument("--python")
    ap.add_argument("dir")
    o = ap.parse_args()
    rnd = random.Random(11)
    corpus = text(rnd, 3 << 20)
    os.makedirs(o.dir)
    make_tree(f"{o.dir}/walk", rnd, corpus, 1000, 56, 8_000_000, 0.9, 64 << 10)
    make_tree(f"{o.dir}/tree", rnd, corpus, 2083, 100, 32_300_000, 1.3, 600 << 10)
    with open(f"{o.dir}/big", "wb") as f:
        for _ in range(o.seq_mb):
            f.write(rnd.randbytes(1 << 20))
    os.makedirs(f"{o.dir}/micro/a/b")
    os.makedirs(f"{o.dir}/micro/ls")
    with open(f"{o.dir}/micro/a/b/f", "wb") as f:
        f.write(rnd.randbytes(4 << 20))
    for i in range(200):
        with open(f"{o.dir}/micro/ls/file-{i:03d}", "wb"):
            pass
    paths = sorted(os.path.relpath(os.path.join(d, n), o.dir) for d, _, ns in os.walk(f"{o.dir}/tree") for n in ns)
    rnd.shuffle(paths)
    with open(f"{o.dir}/replay.list", "w", encoding="ascii") as f:
        f.write("".join(p + "\n" for p in paths[:500]))
    set_times(o.dir)
    # Last and with the times they have: an index and compiled modules name the times of their sources.
    make_repo(f"{o.dir}/repo", rnd, corpus)
    if o.python:
        make_python(f"{o.dir}/py", o.python)


main()
