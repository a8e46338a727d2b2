# SPDX-License-Identifier: GPL-2.0-or-later
#
# badinput.sh: what a person or a hostile peer may get wrong. Each case must be refused with a message that names the cause
# and a next step, leave no mount, no daemon dead, and the volume working afterwards.
. /payload/tests/lib/guest.sh
requires module daemon tools
PROXIES="p1 p2"
origin_make --files 30 --plain
vol_up
S=$(vol_source); CTL=ctl=/run/augur/agent.sock; mkdir -p /mnt/x /cache/x /cache/y /cache/z	# y, z: never attached before

# refused NAME REGEX CMD...: fails, says a cause matching REGEX and a hint, mounts nothing.
refused() {
	local n=$1 re=$2 rc=0 v=yes; shift 2
	timeout 60 "$@" > "$RUN/said" 2>&1 || rc=$?
	[ "$rc" != 0 ] || v="succeeded"
	[ "$rc" != 124 ] || v="hangs"
	[ "$v" != yes ] || grep -qiE -- "$re" "$RUN/said" || v="says: $(head -c 60 "$RUN/said" | tr '\n\t' '  ')"
	[ "$v" != yes ] || grep -qE 'try:|hint|see |create|choose|check|install|use |start|stop|example' "$RUN/said" || v="no next step"
	[ "$v" != yes ] || ! mountpoint -q /mnt/x || { v="mounted"; umount /mnt/x; }
	! mountpoint -q /mnt/x || umount /mnt/x
	say "$n: $(head -n 3 "$RUN/said" | tr '\n' ' ')"
	figure "$n" "$v" = yes
}
# A program, as timeout(1) runs no function: m OPTIONS, with SRC for another source.
export S
printf '#!/bin/sh\nexec mount.augurfs "${SRC:-$S}" /mnt/x -o "$1"\n' > "$RUN/m"; chmod +x "$RUN/m"
refused "unknown mount option" 'bogus' "$RUN/m" "cache=/cache/x,$CTL,bogus=1"
refused "value out of range" 'timeout_ms' "$RUN/m" "cache=/cache/x,$CTL,timeout_ms=0"
refused "no cache= given" 'cache' "$RUN/m" "$CTL"
refused "cache directory missing" 'exist|No such' "$RUN/m" "cache=/cache/none,$CTL"
refused "cache not on ext4, xfs, btrfs" 'ext4, xfs' "$RUN/m" "cache=/proc,$CTL"
mkdir -p /mnt/ro; mount --bind /cache/x /mnt/ro; mount -o remount,bind,ro /mnt/ro
refused "cache not writable" 'writ|read-only' "$RUN/m" "cache=/mnt/ro,$CTL"
umount /mnt/ro
refused "cache already in use" 'use|busy|serves|belongs' "$RUN/m" "cache=/cache/a,$CTL"
SRC=10.9.0.77:/vol refused "proxy unreachable" 'prox|reach|answer' "$RUN/m" "cache=/cache/y,$CTL"
SRC=10.9.0.1:/none refused "no such volume" 'volume|export' "$RUN/m" "cache=/cache/z,$CTL"
SRC=nonsense refused "source is not PROXY:/VOLUME" 'source|PROXY|VOLUME' "$RUN/m" "cache=/cache/x,$CTL"
refused "daemon not there" 'augurd|daemon|answer' "$RUN/m" "cache=/cache/x,ctl=/run/augur/none.sock"
refused "write to the read-only mount" 'Read-only' sh -c "echo x > $MNT/d00/new; echo 'see errno' >&2; exit 1"
refused "name of 256 bytes" 'too long' sh -c "cat $MNT/$(printf 'x%.0s' {1..256}); echo 'see errno' >&2; exit 1"

# ---- malformed, truncated and oversized frames at a proxy, from the network
cat > "$RUN/frames.py" <<'P'
import os, random, socket, struct
r = random.Random(7)
for i in range(200):
    s = socket.create_connection(("10.9.0.1", 7433), timeout=5)
    kind = i % 5
    if kind == 0: data = r.randbytes(r.randrange(1, 200))
    elif kind == 1: data = b"\xff" * 64
    elif kind == 2: data = struct.pack("<IIQQ", 0xffffffff, 1, 2**63, 2**64 - 1) * 4
    elif kind == 3: data = b"GET / HTTP/1.0\r\n\r\n"
    else: data = b"\0" * r.randrange(1, 64)
    try:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        while s.recv(4096): pass
    except OSError: pass
    s.close()
P
on client timeout 120 python3 "$RUN/frames.py"
figure "200 bad streams: the proxies live" "$(kill -0 "$(daemon_pid p1)" 2> /dev/null && kill -0 "$(daemon_pid p2)" 2> /dev/null && echo yes)" = yes
figure "the proxy says why it hung up" "$(daemon_log p1 | grep -ciE 'frame|proto|magic|peer|version' || :)" '>=' 1
# Frames after a right HELLO: each is closed or refused with an errno; the right frame is answered before and after.
on client timeout 200 python3 /payload/tests/accept.d/guest/frames.py "$VOLUME" 10.9.0.1 10.9.0.2 > "$RUN/frames"; cat "$RUN/frames"
figure "wrong frames of a known peer" "$(grep -vc ^control "$RUN/frames")" '>=' 50
figure "of them taken as right, or the end of the proxy" "$(grep -v ^control "$RUN/frames" | grep -cvP '\t(closed|-\d+)$' || :)" = 0
figure "right frames before and after, answered" "$(grep ^control "$RUN/frames" | grep -cP '\t0$')" '>=' 2
python3 - <<'P'
import socket
for data in (b"{", b"\xff" * 70000, b'{"verb":"nope"}\n', b'{"verb":"where","path":"../.."}\n', b"\n"):
    try:
        s = socket.socket(socket.AF_UNIX); s.connect("/run/augur/agent.sock"); s.settimeout(5); s.sendall(data); s.shutdown(socket.SHUT_WR)
        while s.recv(4096): pass
    except OSError: pass
P
figure "bad requests at the control socket: the agent lives" "$(kill -0 "$(daemon_pid agent)" 2> /dev/null && echo yes)" = yes
if (same_tree /origin "$MNT"); then v=yes; else v=no; fi
figure "the volume works afterwards" "$v" = yes
# What was refused left nothing that would be in the way.
for d in y z x; do
	v=no; if "$RUN/m" "cache=/cache/$d,$CTL" && (same_tree /origin /mnt/x); then v=yes; fi
	figure "cache $d, refused before, can be used" "$v" = yes
	! mountpoint -q /mnt/x || umount /mnt/x
done
figure "mounts left behind" "$(grep -c ' /mnt/x ' /proc/mounts || :)" = 0
