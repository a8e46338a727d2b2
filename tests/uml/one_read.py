# SPDX-License-Identifier: GPL-2.0-or-later
"""
one_read: a mount with one absent file, one reader of it, and the answer; small, as all else is slow
under the checkers.  Argument: the fault point that is set once for that read, and must be hit.
"""
import sys

from fakedaemon import *

point = f"/sys/kernel/debug/augurfs/inject/{sys.argv[1]}"
vol = Volume("/cache/one", "/mnt/one")
vol.mkroot()
vol.stub("f", 1000)
vol.mount(NO_DEADLINE)
d = Daemon()
d.register(vol.id())
d.lease()
r = Reader(vol.path("f"), 0, 10)
q = d.request("FETCH")
vol.fill("f", 0, b"x" * 1000)
with open(point, "w") as f:
    f.write("1")
d.reply(q, off=0, length=1000)
r.result()
with open(point) as f:
    assert f.read() == "0\n", "the fault was not hit"
d.close()
vol.umount()
