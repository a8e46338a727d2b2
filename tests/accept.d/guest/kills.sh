# SPDX-License-Identifier: GPL-2.0-or-later
#
# kills.sh: 32 readers of absent chunks while the agent is killed with SIGKILL and started again, fifty times. Each kill
# waits until requests are under way; every byte read is compared with the origin's. The link is slow, so that there are
# absent chunks until the end. tests/uml/kills.sh asks for fewer KILLS and smaller files (MIB).
. /payload/tests/lib/guest.sh
requires module daemon tools
PROXIES="p1 p2"; RTT=10; RATE=10mbit
KILLS=${KILLS:-50} MIB=${MIB:-24}; [ -z "${BUG:-}" ] || KILLS=3	# one is enough to show it, and each costs a deadline
READS=$((KILLS * 20))
scratch origin $((MIB * 32 + 232))
mkdir /origin/big
for i in $(seq 32); do head -c $((MIB << 20)) /dev/urandom > "/origin/big/f$i"; done
vol_up
cat > "$RUN/readers.py" <<'PY'
# Each reader reads 4 KiB at random places of its own file and compares; files are small enough to hold absent chunks
# for long, as the kills come after a few of them. Ends when the file "stop" exists; prints reads, errors, wrong.
import os, random, sys
stop, mnt, origin, mib = *sys.argv[1:4], int(sys.argv[4])
pids = []
r, w = os.pipe()
for i in range(1, 33):
    if os.fork() == 0:
        rnd = random.Random(i)
        n = err = wrong = 0
        a = os.open(f"{mnt}/big/f{i}", os.O_RDONLY)
        b = os.open(f"{origin}/big/f{i}", os.O_RDONLY)
        while not os.path.exists(stop):
            at = rnd.randrange(0, mib * 256) * 4096
            try:
                got = os.pread(a, 4096, at)
            except OSError:
                err += 1
                continue
            n += 1
            wrong += got != os.pread(b, 4096, at)
        os.write(w, f"{n} {err} {wrong}\n".encode())
        os._exit(0)
os.close(w)
print(*[sum(c) for c in zip(*[map(int, l.split()) for l in os.fdopen(r)])])
PY
python3 "$RUN/readers.py" "$RUN/stop" "$MNT" /origin $MIB > "$RUN/sums" & readers=$!
live() { [ "$(stat_of requests_live)" -ge 4 ]; }
served() { [ "$(stat_of upcalls_fetch)" -ge "$1" ]; }
flying=0
for ((k = 0; k < KILLS; k++)); do
	wait_until 60 served "$(($(stat_of upcalls_fetch) + k % 7 * 8))"
	wait_until 60 live
	kill -KILL "$(daemon_pid agent)"
	[ "$(stat_of requests_live)" = 0 ] || flying=$((flying + 1))
	wait "$(daemon_pid agent)" 2> /dev/null || :
	rm -f "$RUN/agent.pid"; agent_start
done
touch "$RUN/stop"; wait $readers
read -r reads errors wrong < "$RUN/sums"
figure "reads that failed" "$errors" = 0
[ -z "${BUG:-}" ] || exit 0	# that is what its bug leads to, and who waits reads little
figure "reads by 32 readers over $KILLS kills" "$reads" '>=' $READS
figure "kills with requests under way (%)" "$((flying * 100 / KILLS))" '>=' 90
figure "reads with wrong bytes" "$wrong" = 0
figure "requests left" "$(stat_of requests_live)" = 0
