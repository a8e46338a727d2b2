# SPDX-License-Identifier: GPL-2.0-or-later
#
# edits.sh: edits made at the origin, by rename and in place, while 10^4 reads go on. Every open sees one whole state, and
# none older than what was there WITHIN before; with fanotify, then by rescan. Two edits of one size within one
# clock tick: the second is what is read.
. /payload/tests/lib/guest.sh
requires module daemon tools
PROXIES="p1 p2"
mkdir -p "$RUN"
cat > "$RUN/edits.py" <<'PY'
# edits.py ORIGIN MNT READS: a writer gives files of 8 B to 256 KiB, full of one number, the next number; readers open
# and read. Prints reads, mixed, worst seconds between an edit and the last open that still saw the
# state before, second edits of a tick that were missed, edits, reads that ended with ESTALE: of
# small files, which come whole with their open, and of others; and with another error.
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
    mixed = gone = gone_small = failed = 0
    worst = 0.
    for _ in range(n):
        i = rnd.randrange(len(names))
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
    out.put((mixed, worst, gone_small, gone, failed))
out = mp.Queue()
w = mp.Process(target=writer); w.start()
rs = [mp.Process(target=reader, args=(s, reads // 4, out)) for s in range(4)]
[r.start() for r in rs]
got = [out.get() for _ in rs]
[r.join() for r in rs]
over.value = 1; w.join()
# Two edits of one size within one tick, looked at between them.
bad = 0
deadline = float(sys.argv[4])
for k in range(20):
    v = last[2]
    open(f"{mnt}/{names[2]}", "rb").read()
    put(2, v + 1, True); put(2, v + 2, True)
    last[2] = v + 2
    end = time.monotonic() + deadline
    while open(f"{mnt}/{names[2]}", "rb").read(8) != struct.pack("<Q", v + 2):
        if time.monotonic() > end:
            bad += 1
            break
print(len(rs) * (reads // 4), sum(g[0] for g in got), "%.2f" % max(g[1] for g in got), bad, sum(last) - len(names), *(sum(g[k] for g in got) for k in (2, 3, 4)))
PY
scratch origin
python3 "$RUN/edits.py" /origin make 0 0
round() {	# NAME READS BAR
	local reads mixed worst bad edits small gone failed
	python3 "$RUN/edits.py" /origin "$MNT" "$2" "$3" > "$RUN/edits.out" || { figure "$1: runs" no = yes; return 0; }
	read -r reads mixed worst bad edits small gone failed < "$RUN/edits.out"
	say "$1: $edits edits; $gone opens of a large file found their state gone before they had read it (ESTALE)"
	figure "$1: reads" "$reads" '>=' "$2"
	figure "$1: edits under them" "$edits" '>=' 100
	figure "$1: opens of small files whose state was gone" "$small" = 0
	figure "$1: reads that failed" "$failed" = 0
	[ "$failed" = 0 ] || { daemon_log agent | grep -v 'info: event=xfer' | tail -n 20; for p in $PROXIES; do daemon_log $p | tail -n 8; done; }
	figure "$1: opens that saw a mixture" "$mixed" = 0
	figure "$1: latest sight of the state before (s)" "$worst" '<=' "$3"
	figure "$1: second edit within a tick not seen, of 20" "$bad" = 0
}
vol_up 1
round fanotify 10000 1
vol_down
PROXY_ARGS="--watch rescan"
for p in $PROXIES; do proxy_start "$p"; done
agent_start; vol_mount "${VOL_OPTS:-}"
round rescan 2000 60
