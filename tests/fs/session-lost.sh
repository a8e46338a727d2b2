#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# session-lost: requests outlive daemons. What a dead one had is sent to the next, marked; killed readers leave at once
# and their requests with them; deadlines, on_loss=eio and abort end every wait.
# timeout: 300
. /payload/tests/lib/guest.sh

requires module python3
scratch cache
modprobe augurfs
expect_dmesg 'was not answered'
PYTHONPATH=$T/vm python3 - << 'PY'
import errno as E, os, select, signal, time
from fakedaemon import *

vol = Volume("/cache/lost", "/mnt/lost")
vol.mkroot(complete=False)
SIZE = 200000
for i in range(400):
    vol.stub(f"f{i}", SIZE)
vol.mount(NO_DEADLINE)    # a wait that ends has another reason; how fast, tests/accept measures
mid = vol.id()
idle = lambda: vol.stat("requests_live") == 0

def fresh():
    d = Daemon(rcvbuf=4 << 20)
    d.register(mid)
    d.lease()
    return d

def serve(d, req, byte=b"x"):
    name = req["OID"].rstrip(b"\1").decode()
    vol.fill(name, req["OFFSET"], byte * req["LENGTH"])
    d.reply(req, off=req["OFFSET"], length=req["LENGTH"])

def waits_for_a_daemon():
    "a request made before any daemon is handed to the first"
    d = fresh(); d.close()
    until(lambda: vol.sysfs("state") == "orphan", "orphan")
    r = Reader(vol.path("f0"))
    until(lambda: len(vol.requests()) == 1, "one request")
    assert vol.requests()[0][3] == "new", vol.requests()
    d = fresh()
    q = d.request("FETCH")
    assert not q["FLAGS"] & RESEND, q
    serve(d, q)
    assert len(r.result()) == 60000
    d.close()

def handed_on():
    "killed daemons: each next one gets the request, marked RESEND; one answer ends it"
    d = fresh()
    r = Reader(vol.path("f1"))
    q = first = d.request("FETCH")
    for _ in range(20):
        old = d.session
        d.close()
        d = fresh()
        assert d.session > old
        q = d.request("FETCH")
        assert q["REQ_ID"] == first["REQ_ID"] and q["FLAGS"] & RESEND, q
        d.session, new = old, d.session
        refused(E.ESTALE, d.reply, q, off=0, length=SIZE)
        d.session = new
    assert vol.stat("upcalls_resent") >= 20
    serve(d, q)
    assert len(r.result()) == 60000 and idle()
    d.close()

def many_processes_die():
    "200 daemons killed with SIGKILL while 16 readers wait: no error, no leak"
    readers = [Reader(vol.path(f"f{i}")) for i in range(10, 26)]
    until(lambda: len(vol.requests()) == 16, "16 requests")
    for _ in range(200):
        pid = os.fork()
        if pid == 0:
            try:
                os.closerange(3, 1024)
                d = Daemon(rcvbuf=4 << 20)
                d.register(mid)
                d.request("FETCH")
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
    assert len(vol.requests()) == 16
    d = fresh()
    for _ in range(16):
        serve(d, d.request("FETCH"))
    for r in readers:
        assert len(r.result()) == 60000
    assert idle()
    d.close()

def coalesced():
    "50 readers of one range are one request; one of them killed changes nothing"
    d = fresh()
    before = vol.stat("upcalls_fetch")
    readers = [Reader(vol.path("f30"), 0, 1000) for _ in range(50)]
    q = d.request("FETCH")
    until(lambda: int(vol.requests()[0][5]) == 50, "50 waiters")
    readers[0].kill()
    until(lambda: int(vol.requests()[0][5]) == 49, "49 waiters")
    serve(d, q)
    for r in readers[1:]:
        assert r.result() == b"x" * 1000
    assert vol.stat("upcalls_fetch") == before + 1 and idle()
    d.close()

def killed_waiter():
    "a killed reader goes at once; CANCEL comes; the fetch under way may still be answered, once"
    d = fresh()
    r = Reader(vol.path("f31"), 0, 100)
    q = d.request("FETCH")
    r.kill()
    c = d.message()
    assert c.cmd == "CANCEL" and c["REQ_ID"] == q["REQ_ID"], c
    serve(d, q)
    refused(E.ENOENT, d.reply, q, off=0, length=SIZE)
    r = Reader(vol.path("f31"), 0, 100)
    assert r.result() == b"x" * 100, "the killed reader's bytes were thrown away"
    # a name nobody asks for any more is forgotten
    r = Reader(vol.path("nowhere"))
    q = d.request("LOOKUP")
    assert q["NAME"] == b"nowhere"
    r.kill()
    refused(E.ENOENT, d.reply, q, -2)
    assert idle()
    d.close()

def traced():
    "the tracepoints tell the whole life of a request, and every get has its put"
    t = "/sys/kernel/tracing/"
    open(t + "trace", "w").close()
    with open(t + "events/augurfs/enable", "w") as f:
        f.write("1")
    d = fresh()
    readers = [Reader(vol.path("f32"), 0, 10) for _ in range(3)]
    q = d.request("FETCH")
    until(lambda: int(vol.requests()[0][5]) == 3, "3 waiters")
    readers[0].kill()
    serve(d, q)
    for r in readers[1:]:
        r.result()
    d.close()
    until(lambda: vol.sysfs("state") == "orphan", "orphan")
    with open(t + "events/augurfs/enable", "w") as f:
        f.write("0")
    lines = open(t + "trace").read().splitlines()
    mine = [l for l in lines if f"req={q['REQ_ID']} " in l]
    for want in ("augur_upcall_new: ", "augur_upcall_sent: ", "end=reply", "get new", "get join", "put join"):
        assert any(want in l for l in mine), (want, mine)
    refs = [l for l in mine if "augur_req_ref" in l]
    # The counts printed by two that let go at once may be the same.
    assert sum(" get " in l for l in refs) == sum(" put " in l for l in refs) > 5, refs
    assert any("augur_session" in l and "close" in l for l in lines)

def killed_without_daemon():
    "with no daemon, too, and nothing is left for the next"
    until(lambda: vol.sysfs("state") == "orphan", "orphan")
    readers = [Reader(vol.path(f"f{i}")) for i in range(40, 60)]
    until(lambda: len(vol.requests()) == 20, "20 requests")
    for r in readers:
        r.kill()
    until(idle, "no request left")
    d = fresh()
    assert d.message(0.5) is None
    d.close()

def pulled():
    "PULL gives what is unanswered, oldest first, and from an id on"
    d = fresh()
    readers = [Reader(vol.path(f"f{i}"), 0, 10) for i in range(60, 100)]
    reqs = [d.request("FETCH") for _ in range(40)]
    pulled = d.pull()
    assert [p["REQ_ID"] for p in pulled] == sorted(q["REQ_ID"] for q in reqs)
    assert all(p["FLAGS"] & RESEND and p["SESSION"] == d.session for p in pulled)
    half = pulled[20]["REQ_ID"]
    assert [p["REQ_ID"] for p in d.pull(half)] == [p["REQ_ID"] for p in pulled[21:]]
    assert d.pull((1 << 64) - 1) == []
    by_id = {q["REQ_ID"]: q for q in reqs}
    for p in pulled:
        assert p["FH"] == by_id[p["REQ_ID"]]["FH"] == handle(vol.lower(p["OID"].rstrip(b"\1").decode()))
        serve(d, p)
    for r in readers:
        assert r.result() == b"x" * 10
    assert idle()
    d.close()

def doorbell_lost():
    "a socket that is full, and doorbells that do not ring, delay requests and lose none"
    d = Daemon()
    d.s.setsockopt(socket.SOL_SOCKET, 8, 2304)     # the smallest receive buffer
    d.register(mid)
    assert 1 <= d.window <= 3, d.window
    with open("/sys/kernel/debug/augurfs/inject/drop_doorbell", "w") as f:
        f.write("20")
    d.lease()
    readers = [Reader(vol.path(f"f{i}"), 0, 10) for i in range(100, 140)]
    until(lambda: len(vol.requests()) == 40, "40 requests")
    sent = sum(q[3] == "sent" for q in vol.requests())
    assert sent <= d.window, f"{sent} in a window of {d.window}"
    for _ in range(40):
        serve(d, d.request("FETCH"))
    for r in readers:
        assert r.result() == b"x" * 10
    assert idle() and open("/sys/kernel/debug/augurfs/inject/drop_doorbell").read() == "0\n"
    d.close()

def deadline():
    "an answer that does not come is EIO after timeout_ms, whatever else happens meanwhile"
    vol.sysfs("timeout_ms", 4000)
    d = fresh()
    start = time.monotonic()
    r = Reader(vol.path("f140"))
    q, daemons = d.request("FETCH"), 1
    while not select.select([r.out], [], [], 0.5)[0]:    # a new daemon is no new deadline
        assert time.monotonic() < start + PATIENCE, f"it still waits after {daemons} daemons"
        d.close(); d = fresh(); daemons += 1
    assert r.result() == -E.EIO
    assert time.monotonic() > start + 3.5
    assert vol.stat("upcalls_timeout") == 1
    serve(d, q)                                     # late, and kept
    assert Reader(vol.path("f140"), 0, 5).result() == b"xxxxx"
    d.close()
    vol.sysfs("timeout_ms", 3600000)

def on_loss_eio():
    "with on_loss=eio nobody waits for a daemon that is not there"
    d = fresh()
    vol.sysfs("on_loss", "eio")
    r = Reader(vol.path("f141"))
    d.request("FETCH")
    d.close()
    assert r.result() == -E.EIO
    assert Reader(vol.path("f142")).result() == -E.EIO
    vol.sysfs("on_loss", "wait")
    assert idle()

def own_access():
    "the daemon's own miss is EDEADLK and never a request to itself"
    d = fresh()
    fd = os.open(vol.path("f143"), os.O_RDONLY)
    refused(E.EDEADLK, os.read, fd, 10)
    os.close(fd)
    assert idle()
    d.close()

def abort():
    "abort ends every wait with ENOTCONN, refuses what comes after, and umount goes through"
    until(lambda: vol.sysfs("state") == "orphan", "orphan")
    d = fresh()
    readers = [Reader(vol.path(f"f{i}")) for i in range(150, 180)]
    for _ in range(10):
        d.request("FETCH")
    until(lambda: len(vol.requests()) == 30, "30 requests")
    refused(E.EINVAL, vol.sysfs, "abort", "0")
    vol.sysfs("abort", 1)
    for r in readers:
        assert r.result() == -E.ENOTCONN
    assert Reader(vol.path("f180")).result() == -E.ENOTCONN
    assert vol.sysfs("state") == "aborted" and idle()
    refused(E.ESTALE, d.do, "EPOCH", [("EPOCH", 1)])
    refused(E.ENOTCONN, d.register, mid, timeout=0)
    d.close()
    assert vol.sysfs("state") == "aborted"

run(waits_for_a_daemon, handed_on, many_processes_die, coalesced, killed_waiter, traced, killed_without_daemon,
    pulled, doorbell_lost, deadline, on_loss_eio, own_access, abort)
vol.umount()
PY
