#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# negative-names: the absence of names is remembered, of neg_max names at most; the oldest are forgotten first, and asked
# for again only by who wants them.
. /payload/tests/lib/guest.sh

requires module python3
scratch cache
modprobe augurfs
PYTHONPATH=$T/vm python3 - << 'PY'
import os, threading
from fakedaemon import *

vol = Volume("/cache/negative", "/mnt/negative")
vol.mkroot()
vol.stub("here", 10)
vol.mount("neg_max=16")
d = Daemon(); d.register(vol.id()); d.lease()

def absent(name):
    assert not os.path.exists(vol.path(name))

def bounded():
    "100 names: 16 are known without a look, the others are looked up again"
    names = [f"no{i}" for i in range(100)]
    for n in names:
        absent(n)
    assert vol.stat("lookups_negative") == 100 and vol.stat("negatives_dropped") == 84
    for n in names[-16:]:
        absent(n)
    assert vol.stat("lookups") == 100, "a known absence was looked up"
    absent(names[0]); absent(names[-1])
    assert vol.stat("lookups") == 101

def forgotten_places():
    "names that go by themselves leave their place; names that are there have none"
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("2")
    dropped = vol.stat("negatives_dropped")
    assert os.path.exists(vol.path("here"))
    for i in range(16):
        absent(f"again{i}")
    assert vol.stat("negatives_dropped") <= dropped + 1   # what a path walk still held
    d.do("INVAL", [("ITEM", [("KIND", 3), ("PARENT_OID", oid_of("/")), ("NAME", b"again3")])])
    for i in range(40):
        absent(f"more{i % 20}"); assert os.path.exists(vol.path("here"))

def crowd():
    "many at once, in one ring"
    def some(k):
        for i in range(300):
            absent(f"t{(i * 7 + k) % 61}")
    threads = [threading.Thread(target=some, args=(k,)) for k in range(8)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert vol.stat("negatives_dropped") > 84

run(bounded, forgotten_places, crowd)
assert vol.stat("upcalls") == 0
d.close()
vol.umount()
PY
