# SPDX-License-Identifier: GPL-2.0-or-later
#
# edits.sh: edits made at the origin, by rename and in place, while 10^4 reads go on. Every open sees one whole state, and
# none older than what was there WITHIN before; with fanotify, then by rescan. Two edits of one size with one
# mtime and ctime, and a look that begins between them: the second is what is read.
. /payload/tests/lib/guest.sh
requires module daemon tools
PROXIES="p1 p2"
mkdir -p "$RUN"
cat > "$RUN/edits.py" <<'PY'
# edits.py ORIGIN MNT READS: a writer gives files of 8 B to 256 KiB, full of one number, the next number; readers open
# and read. Prints reads, mixed, worst seconds between an edit and the last open that still saw the
# state before, pairs of edits within one tick that were looked at between, second edits of these that were missed, edits,
# reads that ended with ESTALE: of small files, which come whole with their open, and of others; and with another error;
# opens of the others.
import errno, multiprocessing as mp, os, random, struct, sys, time
origin, mnt, reads = sys.argv[1], sys.argv[2], int(sys.argv[3])
SIZES = [8, 800, 4096, 4096, 20000, 70000, 262144]
SMALL = 128 << 10
names = [f"e/f{i}" for i in range(len(SIZES) * 3)]
size = lambda i: SIZES[i % len(SIZES)] // 8 * 8
body = lambda i, v: struct.pack("<Q", v) * (size(i) // 8)
def put(i, v, inplace):
    if inplace:
        fd = os.open(f"{origin}/{names[i]}", os.O_WRONLY)
        os.pwrite(fd, body(i, v), 0)
    else:
        fd = os.open(f"{origin}/{names[i]}.new", os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(fd, body(i, v))
        os.rename(f"{origin}/{names[i]}.new", f"{origin}/{names[i]}")
    os.close(fd)
if mnt == "make":
    os.makedirs(origin + "/e", exist_ok=True)
    for i in range(len(names)):
        put(i, 1, False)
    sys.exit()
done = [mp.Array("d", 100000, lock=False) for _ in names]     # done[i][v]: when version v was in place
last = mp.Array("Q", [1] * len(names), lock=False)
over = mp.Value("b", 0)
def writer():
    rnd = random.Random(7)
    while not over.value:
        i = rnd.randrange(len(names))
        v = last[i] + 1
        put(i, v, size(i) <= 4096 and rnd.random() < .5)      # in place: one page, which is one write
        done[i][v] = time.monotonic()
        last[i] = v
        time.sleep(.01)
def reader(seed, n, out):
    rnd = random.Random(seed)
    mixed = gone = gone_small = failed = large = 0
    worst = 0.
    for _ in range(n):
        i = rnd.randrange(len(names))
        large += size(i) > SMALL
        t = time.monotonic()
        fd, got = -1, b""
        try:
            fd = os.open(f"{mnt}/{names[i]}", os.O_RDONLY)
            while len(got) <= size(i):
                part = os.read(fd, size(i) + 1 - len(got))
                if not part:
                    break
                got += part
        except OSError as e:
            if e.errno == errno.ESTALE and fd >= 0:                       # the promised answer for bytes that are gone everywhere
                if size(i) > SMALL:
                    gone += 1
                else:
                    gone_small += 1
            else:
                print(f"reader, {'open' if fd < 0 else 'read'}: {names[i]}: {e}", file=sys.stderr)
                failed += 1
            continue
        finally:
            if fd >= 0:
                os.close(fd)
        words = set(struct.unpack(f"<{len(got) // 8}Q", got[:len(got) // 8 * 8]))
        if len(got) != size(i) or len(words) != 1:
            mixed += 1
            continue
        seen = words.pop()
        if done[i][seen + 1] and done[i][seen + 1] < t:       # an older state: how late?
            worst = max(worst, t - done[i][seen + 1])
    out.put((mixed, worst, gone_small, gone, failed, large))
out = mp.Queue()
w = mp.Process(target=writer); w.start()
rs = [mp.Process(target=reader, args=(s, reads // 4, out)) for s in range(4)]
[r.start() for r in rs]
got = [out.get() for _ in rs]
[r.join() for r in rs]
over.value = 1; w.join()
edits = sum(last) - len(names)
# Two edits of one size within one tick of the clock that stamps them, and a look that begins between them: whatever it
# saw, the second edit is seen. What did not come out so does not count, and is tried again. The looker waits for its
# turn without giving up the processor, as a wake-up is longer than a tick. Each file has its two, then all are waited for.
deadline = float(sys.argv[4])
tick = lambda: time.clock_gettime_ns(5)                           # CLOCK_REALTIME_COARSE
IDLE, READY, LOOK, BEGUN = range(4)
turn, which, stop = mp.Value("b", IDLE, lock=False), mp.Value("b", 0, lock=False), mp.Value("b", 0)
def looker():
    while not stop.value:
        if turn.value == IDLE:
            time.sleep(.001)
        if turn.value != LOOK:
            continue
        turn.value = BEGUN
        try:
            with open(f"{mnt}/{names[which.value]}", "rb") as f:
                f.read()
        except OSError:
            pass
def seen(i):
    end = time.monotonic() + deadline
    while True:
        try:
            with open(f"{mnt}/{names[i]}", "rb") as f:
                if f.read(8) == struct.pack("<Q", last[i]):
                    return True
        except OSError:
            pass
        if time.monotonic() > end:
            return False
def stamp(fd):
    st = os.fstat(fd)
    return st.st_mtime_ns, st.st_ctime_ns
def two_edits(i, fd):
    "True if both had one stamp and a look began between them."
    one, two = body(i, last[i] + 1), body(i, last[i] + 2)
    which.value, turn.value = i, READY
    now, late = tick(), time.monotonic() + .02
    while tick() == now and time.monotonic() < late:              # a tick begins: most of it is left
        pass
    now = tick()
    os.pwrite(fd, one, 0)
    turn.value = LOOK
    while turn.value == LOOK and tick() == now and time.monotonic() < late + .02:
        pass
    looked, first = turn.value == BEGUN, stamp(fd)
    os.pwrite(fd, two, 0)
    last[i], turn.value = last[i] + 2, IDLE
    return looked and stamp(fd) == first
lk = mp.Process(target=looker); lk.start()
small = [i for i in range(len(names)) if size(i) <= 4096]
fds = [os.open(f"{origin}/{names[i]}", os.O_WRONLY) for i in small]
pairs = bad = tries = 0
until = time.monotonic() + 500
while pairs < 20 and time.monotonic() < until:
    pairs += sum([two_edits(i, fd) for i, fd in zip(small, fds)])
    tries += len(small)
    bad += sum([not seen(i) for i in small])                      # and it is quiet again for the next
stop.value = 1; lk.join()
print(f"{pairs} pairs of {tries} tries", file=sys.stderr)
print(len(rs) * (reads // 4), sum(g[0] for g in got), "%.2f" % max(g[1] for g in got), pairs, bad, edits, *(sum(g[k] for g in got) for k in (2, 3, 4, 5)))
PY
scratch origin
python3 "$RUN/edits.py" /origin make 0 0
round() {	# NAME READS BAR
	local reads mixed worst pairs bad edits small gone failed large
	python3 "$RUN/edits.py" /origin "$MNT" "$2" "$3" > "$RUN/edits.out" || { figure "$1: runs" no = yes; return 0; }
	read -r reads mixed worst pairs bad edits small gone failed large < "$RUN/edits.out"
	say "$1: $edits edits; $gone opens of a large file found their state gone before they had read it (ESTALE)"
	figure "$1: reads" "$reads" '>=' "$2"
	figure "$1: edits under them" "$edits" '>=' 100
	figure "$1: opens of small files whose state was gone" "$small" = 0
	figure "$1: opens of large files that saw all of one state (%)" "$(((large - gone) * 100 / large))" '>=' 50
	figure "$1: reads that failed" "$failed" = 0
	[ "$failed" = 0 ] || { daemon_log agent | grep -v 'info: event=xfer' | tail -n 20; for p in $PROXIES; do daemon_log $p | tail -n 8; done; }
	figure "$1: opens that saw a mixture" "$mixed" = 0
	figure "$1: latest sight of the state before (s)" "$worst" '<=' "$3"
	figure "$1: pairs of edits within one tick, looked at between" "$pairs" '>=' 20
	figure "$1: second edits of these and of the tries not seen" "$bad" = 0
}
vol_up 1
round fanotify 10000 1
vol_down
PROXY_ARGS="--watch rescan"
for p in $PROXIES; do proxy_start "$p"; done
agent_start; vol_mount "${VOL_OPTS:-}"
round rescan 10000 60
