#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# knobs: each knob of the table is a mount option and a sysfs file with the same bounds; a change is seen by poll();
# root alone writes; counters and features are there.
. /payload/tests/lib/guest.sh

requires module python3
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm python3 - << 'PY'
import errno as E, os, select, stat, subprocess
from fakedaemon import *

vol = Volume("/cache/knobs", "/mnt/knobs")
vol.mkroot()
# member, file, least, most, default; or the words, the first being the default unless told
NUMBERS = [("timeout_ms", "timeout_ms", 100, 3600000, 30000), ("lease_ms", "lease_ms", 500, 600000, 10000),
           ("dirty_limit", "dirty_limit", 1, 4194304, 1024), ("neg_ttl_ms", "neg_ttl_ms", 0, 3600000, 1000),
           ("log_sample", "log/sample", 1, 1000000, 100), ("prefetch_enabled", "prefetch/enabled", 0, 1, 1),
           ("prefetch_threshold", "prefetch/threshold", 0, 1000, 600), ("prefetch_inflight", "prefetch/inflight", 1, 1024, 32),
           ("prefetch_budget_kbps", "prefetch/budget_kbps", 0, 4294967295, 0), ("reshard_drift", "reshard/drift", 0, 1000, 200),
           ("reshard_imbalance", "reshard/imbalance", 1000, 10000, 1300), ("reshard_min_gain", "reshard/min_gain", 0, 1000, 50),
           ("reshard_auto", "reshard/auto", 0, 1, 0)]
WORDS = [("on_loss", "on_loss", "wait eio"), ("open", "open", "lease strict"), ("durability", "durability", "remote local"),
         ("commit", "commit", "close fsync lazy"), ("offline", "offline", "no ro"),
         ("prefetch_destination", "prefetch/destination", "agent home cache"), ("predict_at", "prefetch/predict_at", "home agent")]
FIXED = [("chunk_kb", "chunk_kb", "64", "128", "96"), ("log_ring_kb", "log/ring_kb", "256", "64", "100"), ("neg_max", "neg_max", "65536", "16", "17")]

def files():
    "sysfs: defaults, bounds, one beyond, words; a refused value changes nothing"
    vol.mount()
    for name, f, lo, hi, default in NUMBERS:
        assert vol.sysfs(f) == str(default), (f, vol.sysfs(f))
        for v in (lo, hi, default):
            vol.sysfs(f, v); assert vol.sysfs(f) == str(v), f
        refused(E.ERANGE, vol.sysfs, f, hi + 1)
        if lo:
            refused(E.ERANGE, vol.sysfs, f, lo - 1)
        for bad in ("-1", "x", "1 2"):
            refused(E.EINVAL, vol.sysfs, f, bad)
        assert vol.sysfs(f) == str(default)
    for name, f, words in WORDS:
        words = words.split()
        assert vol.sysfs(f) == words[0], f
        for w in words[1:] + words[:1]:
            vol.sysfs(f, w); assert vol.sysfs(f) == w
        refused(E.EINVAL, vol.sysfs, f, "no-such-word")
    for name, f, default, _, _ in FIXED:
        assert vol.sysfs(f) == default
        assert not os.stat(f"/sys/fs/augurfs/{vol.id()}/{f}").st_mode & 0o222, f

def between():
    "evict/stop <= cull <= run holds at every moment"
    refused(E.EINVAL, vol.sysfs, "evict/stop", 8)
    refused(E.EINVAL, vol.sysfs, "evict/run", 6)
    vol.sysfs("evict/run", 30); vol.sysfs("evict/cull", 20); vol.sysfs("evict/stop", 20)
    refused(E.EINVAL, vol.sysfs, "evict/cull", 31)
    refused(E.EINVAL, vol.sysfs, "evict/inode_stop", 8)
    vol.sysfs("evict/inode_run", 50); vol.sysfs("evict/inode_cull", 50)
    refused(E.EINVAL, vol.sysfs, "evict/inode_run", 49)

def polled():
    "a changed knob, and the state, wake who polls"
    for f, change in (("prefetch/threshold", lambda: vol.sysfs("prefetch/threshold", 700)),
                      ("state", lambda: Daemon().register(vol.id()))):
        fd = os.open(f"/sys/fs/augurfs/{vol.id()}/{f}", os.O_RDONLY)
        os.read(fd, 100)
        p = select.poll(); p.register(fd, select.POLLPRI | select.POLLERR)
        p.poll(0)
        os.lseek(fd, 0, 0); os.read(fd, 100)
        assert not p.poll(100), f
        keep.append(change())
        assert p.poll(30000), f"no notice of {f}"
        os.close(fd)

keep = []

def root_only():
    "others read and do not write"
    d = f"/sys/fs/augurfs/{vol.id()}"
    for top, _, names in os.walk(d):
        for n in names:
            m = stat.S_IMODE(os.stat(os.path.join(top, n)).st_mode)
            assert m in (0o444, 0o644, 0o200), (top, n, oct(m))
    for want in ("state", "daemon_pid", "epoch", "abort", "source", "cache", "uncommitted_bytes", "stats/upcalls",
                 "stats/requests_live", "log/mode"):
        assert os.path.exists(os.path.join(d, want)), want
    assert set(os.listdir("/sys/fs/augurfs/features")) >= {"read", "fill", "lease", "events", "switch", "evict", "abi_version"}

def options():
    "mount options: the same bounds; what differs from its default is shown"
    vol.umount()
    for name, f, lo, hi, default in NUMBERS:
        for bad in (hi + 1, "x", ""):
            r = subprocess.run(["mount", "-i", "-t", "augurfs", "10.9.0.1:/vol", vol.mnt, "-o", f"cache={vol.cache},{name}={bad}"],
                               stderr=subprocess.PIPE)
            assert r.returncode, f"{name}={bad} was accepted"
    for name, f, _, good, bad in FIXED:
        assert subprocess.run(["mount", "-i", "-t", "augurfs", "10.9.0.1:/vol", vol.mnt, "-o",
                               f"cache={vol.cache},{name}={bad}"], stderr=subprocess.PIPE).returncode, name
    given = [f"{n}={hi}" for n, f, lo, hi, de in NUMBERS if hi != de and n != "log_sample"] + [f"{n}={w.split()[-1]}" for n, f, w in WORDS]
    given += [f"{n}={good}" for n, f, _, good, _ in FIXED] + ["log=sample:77"]
    vol.mount(",".join(given))
    shown = [l for l in open("/proc/mounts") if l.split()[1] == vol.mnt][0].split()[3].split(",")
    for o in given:
        if not o.startswith("log="):
            assert o in shown, (o, shown)
    assert vol.sysfs("log/mode") == "sample" and vol.sysfs("log/sample") == "77"
    g = Genl()
    m = [m for m in g.call("MOUNTS", dump=True) if m["CACHE"] == vol.cache][0]
    assert all(o in m["OPTIONS"] for o in given if not o.startswith("log=")), m
    st = os.stat(vol.lower())
    assert m["LOWER_INO"] == st.st_ino and m["LOWER_DEV"] == os.major(st.st_dev) << 20 | os.minor(st.st_dev)
    assert m["STATE"] == 2 and m["PID"] == 0 and m["SOURCE"] == "10.9.0.1:/vol"
    g.close()
    vol.umount()

run(files, between, polled, root_only, options)
PY
