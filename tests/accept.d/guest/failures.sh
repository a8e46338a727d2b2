# SPDX-License-Identifier: GPL-2.0-or-later
#
# failures.sh: stopped proxies, a stopped and a dead daemon, and an unload with nothing left.
. /payload/tests/lib/guest.sh
requires module daemon tools
PROXIES="p1 p2"
[ -z "${BUG:-}" ] || expect_dmesg 'blocked for more'
origin_make --files 60 --plain
now_ms() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; }
waits() { [ "$(stat_of upcalls)" -gt "$1" ]; }
gone() { ! kill -0 "$1" 2> /dev/null; }

# ---- a reader blocked on stopped proxies dies < 1 s after SIGKILL
vol_up
ls -lR "$MNT" > /dev/null
for p in p1 p2; do kill -STOP "$(daemon_pid $p)"; done
u=$(stat_of upcalls)
cat "$MNT/d01/f0030" > /dev/null & reader=$!
wait_until 10 waits "$u"
t=$(now_ms); kill -KILL $reader
{ wait $reader || :; } 2> /dev/null &
until gone $reader || [ $(($(now_ms) - t)) -ge 10000 ]; do read -r -t 0.02 <> <(:) || :; done
figure "blocked reader: ms from SIGKILL to its end" "$(($(now_ms) - t))" '<' 1000
for p in p1 p2; do kill -CONT "$(daemon_pid $p)"; done

# ---- present files with the daemon dead, for lease_ms (10 s): counted from the sending of the last renewal, of which
# there are six in that time, less a margin of an eighth; so at least 7.0 s are left at any death
cat "$MNT"/d00/f000* > "$RUN/want"; cat "$MNT"/d00/f000* > /dev/null
kill -KILL "$(daemon_pid agent)"; t=$(now_ms); n=0; bad=0
while [ $(($(now_ms) - t)) -lt 6500 ]; do
	# A pass that failed after the lease's end is not held against it.
	if timeout 20 cat "$MNT"/d00/f000* 2> /dev/null | cmp -s - "$RUN/want"; then n=$((n + 1))
	elif [ $(($(now_ms) - t)) -le 7000 ]; then bad=$((bad + 1)); fi
	read -r -t 0.25 <> <(:) || :
done
figure "daemon dead, within the lease: reads served" "$n" '>=' 5
figure "daemon dead, within the lease: reads that failed" "$bad" = 0
rm -f "$RUN/agent.pid"; agent_start
wait_until 20 cat "$MNT/d00/f0009"

# ---- umount -f with the daemon stopped, a reader waiting
kill -STOP "$(daemon_pid agent)"
u=$(stat_of upcalls); cat "$MNT/d01/f0040" > /dev/null 2>&1 & reader=$!
wait_until 10 waits "$u"
t=$(now_ms); rc=0; timeout 20 umount -f "$MNT" || rc=$?
[ "$rc" = 0 ] || [ "$rc" = 124 ] || { rc=0; wait $reader || :; timeout 20 umount -f "$MNT" || rc=$?; }	# busy until the reader, woken by it, has left
figure "umount -f, daemon stopped: status" "$rc" = 0
figure "umount -f, daemon stopped: ms" "$(($(now_ms) - t))" '<' 5000
wait $reader 2> /dev/null || :
kill -CONT "$(daemon_pid agent)"
figure "mounts left" "$(grep -c ' augurfs ' /proc/mounts || :)" = 0
daemon_stop agent; agent_start

# ---- offline=ro: without limit
vol_fresh offline=ro,lease_ms=1000,timeout_ms=2000
cat "$MNT"/d00/f000* > /dev/null
kill -KILL "$(daemon_pid agent)"; rm -f "$RUN/agent.pid"; t=$(now_ms)
past() { [ $(($(now_ms) - t)) -gt 6000 ]; }
wait_until 20 past
if timeout 10 cat "$MNT"/d00/f000* 2> /dev/null | cmp -s - "$RUN/want"; then v=yes; else v=no; fi
figure "offline=ro: served six lease times after death" "$v" = yes
umount "$MNT"

# ---- nothing left
rmmod augurfs
if dmesg_has 'augurfs: unload: live objects 0$'; then v=0; else v=$(dmesg | grep -o 'live objects.*' | tail -n 1); fi
figure "live objects after rmmod" "$v" = 0
figure "caches with remaining objects" "$(dmesg | grep -c 'Objects remaining' || :)" = 0
