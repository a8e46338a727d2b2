#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# stat-steady: every stat field of files and directories is the origin's at every moment: while names are made below a
# directory and bytes are filled in, for inodes that are loaded just then, after a daemon that was killed in the middle,
# and whatever is read in the cache by hand; so is how sparse a file is, through fills, evictions, mounts and on a second host.
# timeout: 600
. /payload/tests/lib/guest.sh

origin_make --files 40 --big 24
python3 - "$ORIGIN" << 'PY'
import os, sys
for d in [f"wide/s{i:02}" for i in range(24)] + ["wide/many"]:
    os.makedirs(p := os.path.join(sys.argv[1], d))
    for i in range(1200 if d.endswith("many") else 12):
        open(f"{p}/name-of-some-usual-length-{i:04}", "w").close()
    os.utime(p, ns=(1_600_000_000_123_456_789,) * 2)
os.utime(os.path.join(sys.argv[1], "wide"), ns=(1_500_000_000_987_654_321,) * 2)
PY
vol_up 1
mount -o remount,strictatime /cache	# the worst that a cache may be mounted with
ls "$MNT" "$MNT/wide" > /dev/null

cat > "$RUN/steady.py" << 'PY'
import fcntl, os, signal, subprocess, sys
origin, mnt, lower = sys.argv[2:5]
FIELDS = "st_mode st_uid st_gid st_size st_nlink st_mtime_ns st_ctime_ns".split()
first = {}

def drop(what=2):
    for i in range(4):                             # what was just used is only passed over by the first
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write(str(what))

def different(rels):
    bad = []
    for rel in rels:
        a, b = (os.lstat(os.path.join(d, rel)) for d in (origin, mnt))
        bad += [(rel, f, getattr(a, f), getattr(b, f)) for f in FIELDS if getattr(a, f) != getattr(b, f)]
        if os.path.isfile(os.path.join(mnt, rel)) and not sparse(a) <= b.st_blocks <= sparse(a) + a.st_size // 131072 + 1:
            bad.append((rel, "st_blocks", a.st_blocks, b.st_blocks))
        same = (b.st_ino, b.st_blocks, b.st_rdev, b.st_atime_ns)
        if first.setdefault(rel, same) != same:
            bad.append((rel, "ino, blocks, rdev, atime", first[rel], same))
    return bad

def sparse(st):
    return min(st.st_blocks, (st.st_size + 511) // 512)

def dirs():
    return sorted(os.path.relpath(d, origin) for d, _, _ in os.walk(origin) if "lost+found" not in d)

def freeze(on):
    fd = os.open("/cache", os.O_RDONLY)
    fcntl.ioctl(fd, 0xC0045877 if on else 0xC0045878, 0)
    os.close(fd)

def must(ok, what):
    if not ok:
        sys.exit(f"steady: {what}")

def inject(times):
    with open("/sys/kernel/debug/augurfs/inject/lower_mtime", "w") as f:
        f.write(str(times))

def seen(rel):
    "It is the cure that makes it right: without it the time of now would show."
    inject(1000000)
    drop()
    bad = [b[1] for b in different([rel])]
    inject(0)
    must("st_mtime_ns" in bad, f"{rel}: with the fault injected nothing is seen")
    first.clear()
    drop()
    must(not (bad := different([rel])), f"{rel}: {bad[:4]}")

def caught(rel, begun, done, pinned):
    "Has the daemon fetch it without anybody having it open, and stops the cache's filesystem when that has begun."
    subprocess.Popen(["augur", "--ctl", "/run/augur/agent.sock", "warm", f"{mnt}/{rel}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not begun():
        pass
    freeze(True)
    try:
        must(not done(), f"{rel} was over before it could be stopped")
        for i in range(3):
            drop()
            must(not (bad := different([rel])), f"while {rel} is being made: {bad[:4]}")
        pinned or seen(rel)
        os.kill(int(sys.argv[5]), signal.SIGKILL)	# its workers stand in a call that changes the cache
    finally:
        freeze(False)

def names(rel):
    low = os.path.join(lower, rel)
    caught(rel, lambda: os.path.isdir(low) and os.listdir(low), lambda: len(os.listdir(low)) >= len(os.listdir(f"{origin}/{rel}")), False)

def bytes_of(rel):
    low = os.path.join(lower, rel)
    caught(rel, lambda: os.path.exists(low) and os.stat(low).st_blocks, lambda: os.stat(low).st_blocks * 512 >= os.stat(low).st_size, True)

def equal(*rels):
    drop()
    must(not (bad := different(rels or dirs())), f"{bad[:4]}")

def loop(end):
    "Reader and dropper of caches, until the walk beside them is over."
    rels, n, bad = dirs(), 0, []
    while not bad and (not os.path.exists(end) or n < 2 * len(rels)):
        drop()
        for rel in rels:
            bad += different([rel])
            n += 1
    must(not bad, f"after {n} looks: {bad[:4]}")
    print(f"{n} looks, no difference")

{"names": names, "bytes": bytes_of, "equal": equal, "loop": loop, "seen": seen}[sys.argv[1]](*sys.argv[6:])
PY
steady() { local what=$1; shift; timeout $((120 * AUGUR_SLOW)) python3 "$RUN/steady.py" "$what" "$ORIGIN" "$MNT" /cache/a/root "$(daemon_pid agent)" "$@"; }

say "== names of a directory nobody has open, stopped in the middle; then the daemon is killed there"
steady names wide/many
agent_start
steady equal wide wide/many .
at_most "$(find /cache/a/root/wide/many | wc -l)" 1200 "names that were made"
daemon_stop agent KILL
say "== with no daemon, and after a mount with the half of it"
steady equal wide wide/many .
vol_umount; agent_start; vol_mount
steady equal wide wide/many .

say "== bytes of a file"
ls "$MNT/large" > /dev/null
steady bytes large/big
daemon_stop agent KILL
steady equal large/big large
vol_umount; agent_start; vol_mount	# the kernel remembered it until now
steady equal large/big large
steady seen large/big

say "== how sparse a file is: not here, in part, whole, dropped, mounted again, in another cache, on another host"
blocks() { stat -c %b "${1:-$MNT}/large/sparse"; }
state_is() { augur --ctl /run/augur/agent.sock --json where "$MNT/large/sparse" | jq -es --arg s "$1" 'flatten | all(.state == $s)'; }
steps() {	# prints the number at each step
	vol_fresh > /dev/null
	blocks
	dd if="$MNT/large/sparse" of=/dev/null bs=64k skip=80 count=1 status=none; blocks
	cat "$MNT/large/sparse" > /dev/null; blocks
	wait_until 30 state_is present
	vol_remount -c "$(find /cache -maxdepth 1 -name 'fresh*' | sort -V | tail -n 1)" > /dev/null; blocks
	wait_until 30 eval 'augur --ctl /run/augur/agent.sock evict "$MNT/large/sparse"; state_is absent'; blocks
	echo 2 > /proc/sys/vm/drop_caches; blocks
}
inject show_holes 1000000
n=$(steps | sort -u | wc -l)
at_least "$n" 2 "numbers of blocks that are seen when those of the cache show"
inject show_holes 0
steps > "$RUN/blocks"
agent_start client2
vol_mount -H client2
blocks /mnt/b >> "$RUN/blocks"; cat /mnt/b/large/sparse > /dev/null; blocks /mnt/b >> "$RUN/blocks"
is "$(wc -l < "$RUN/blocks")" 8 "looks at the number of blocks"
is "$(sort -u "$RUN/blocks" | wc -l)" 1 "numbers of blocks that were seen"
at_least "$(blocks)" "$(blocks "$ORIGIN")" "blocks of it"
at_most "$(blocks)" "$(($(blocks "$ORIGIN") + 96))" "blocks of it"	# of 24576: a 256th
vol_umount /mnt/b
daemon_stop agent-client2

say "== a walk, listings ahead of it, and readers that load every inode anew"
vol_fresh
what_find_says() { (cd "$1" && find . -name lost+found -prune -o -type d -printf '%p %m %U %G %s %T@ %C@ %n\n' | sort); }
{ what_find_says "$MNT" > "$RUN/found"; touch "$RUN/over"; } & pid=$!
steady loop "$RUN/over"
wait $pid
what_find_says "$ORIGIN" | diff - "$RUN/found" || fail "find sees other directories on an absent tree"

say "== what is read in the cache by hand is not seen, whatever filesystem it lies on"
for fs in ext4 xfs btrfs; do
	knows_fs $fs || { note "not on $fs, which this kernel does not have"; continue; }
	[ $fs = ext4 ] || { vol_umount; daemon_stop agent; umount /cache; scratch cache 1500 $fs; mount -o remount,strictatime /cache; agent_start; vol_mount; }
	find "$MNT/wide" "$MNT/large" > /dev/null; cat "$MNT"/large/* "$MNT"/wide/s00/* > /dev/null
	find /cache -name .augur -prune -o -type f -exec cat {} + > /dev/null
	sync -f /cache
	steady equal
	echo 2 > /proc/sys/vm/drop_caches
	same_tree "$ORIGIN" "$MNT" --ctime --dirs --ino
done
