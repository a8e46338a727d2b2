# SPDX-License-Identifier: GPL-2.0-or-later
#
# fulldisk.sh: a tree far larger than the cache's disk, read twice by several readers; part of it pinned; the disk filled
# by somebody else, one reader asking for more at once than the full disk can stream; the watermarks. Readers see every
# byte and no error, pins hold, the state is told.
. /payload/tests/lib/guest.sh

scratch origin 300; scratch cache 32
tune2fs -m 0 "$(findmnt -no SOURCE /cache)" > /dev/null	# of so small a disk the root's part is much, and the figures are of what is free
python3 - << 'PY'
import os, random
r = random.Random(11)
for d in ("keep", "a", "b", "c"):
    os.mkdir(f"/origin/{d}")
    for i in range(20 if d == "keep" else 30):
        with open(f"/origin/{d}/f{i}", "wb") as f:
            f.write(r.randbytes(r.choice((900, 5000, 70000, 300000) if d == "keep" else (900, 70000, 300000, 900001, 2000000))))
with open("/origin/large", "wb") as f:
    f.write(r.randbytes(40 << 20))
PY
daemon_says() { { augur --ctl /run/augur/agent.sock --json status || :; } | jq -r ".mounts[0].daemon.$1"; }
cache() { daemon_says "cache.$1"; }
au() { local rc=0; augur --ctl /run/augur/agent.sock "$@" > "$RUN/au" 2>&1 || rc=$?; cat "$RUN/au" >&2; return "$rc"; }
free_percent() { df --output=avail,size /cache | awk 'NR == 2 { printf "%d", $1 * 100 / $2 }'; }
figure "size of the tree / of the cache disk" "$(awk "BEGIN { printf \"%.1f\", $(du -sm /origin | cut -f1) / $(df -m --output=size /cache | tail -n 1) }")" ">=" 3

PROXY_ARGS="--lease-ms 120000" VOL_OPTS=$LONG_LEASES,evict_run=20,evict_cull=12,evict_stop=6,timeout_ms=60000
vol_up 0
leased
KEEP=/cache/a/root/keep
hashes() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }
blocks() { find "$KEEP" -type f -printf '%f %b\n' | sort; }

# Pinned first, read once: from here on it is here.
ls "$MNT/keep" > /dev/null
au pin "$MNT/keep" || fail "augur pin"
hashes "$MNT/keep" > "$RUN/keep.1"
sync -f /cache
blocks > "$RUN/blocks.1"

hashes /origin > "$RUN/want"
errors=0
for _ in 1 2; do
	pids=
	for reader in a b c; do
		hashes "$MNT" > "$RUN/got.$reader" 2> "$RUN/err.$reader" & pids+=" $!"
	done
	for p in $pids; do wait "$p" || errors=$((errors + 1)); done
	for reader in a b c; do cmp -s "$RUN/want" "$RUN/got.$reader" || errors=$((errors + 1)); done
done
cat "$RUN"/err.* >&2
figure "readers that met an error or another byte, of 6" "$errors" = 0
figure "requests that ran out of time" "$(stat_of upcalls_timeout)" = 0
figure "bytes evicted, as status says" "$(cache evicted_bytes)" ">=" 50000000
figure "bytes evicted, as sysfs says" "$(stat_of evicted_bytes)" ">=" 50000000
holds "the state is told by status" eval '[[ "$(cache state)" =~ ^(ok|culling|full|streaming)$ ]]'
holds "a change of the state is in the log" grep -m 1 event=cache_space "$RUN/agent.log"

# Everything that may go goes now; what is pinned does not.
au evict --all || :
cp "$RUN/au" "$RUN/evict.out"
holds "augur evict says what is pinned" grep -q pinned "$RUN/evict.out"
blocks > "$RUN/blocks.2"
holds "nothing pinned was dropped" cmp "$RUN/blocks.1" "$RUN/blocks.2"
before=$(stat_of miss_bytes)
hashes "$MNT/keep" > "$RUN/keep.2"
holds "pinned files read the same" cmp "$RUN/keep.1" "$RUN/keep.2"
figure "bytes of them that were waited for" "$(($(stat_of miss_bytes) - before))" = 0

# Somebody else fills the disk: nothing is left to evict, reads are streamed.
dd if=/dev/zero of=/cache/foreign bs=1M 2> /dev/null || :
PYTHONPATH=$T/lib python3 - > "$RUN/at_once" << 'PY' & at_once=$!
import os, rawio
n, fd = 16 << 20, os.open("/mnt/a/large", os.O_RDONLY | os.O_DIRECT)
buf = rawio.Map(-1, n)
want = open("/origin/large", "rb").read(n)
for how, read in (("libaio", rawio.aio_read), ("io_uring", rawio.Uring().read)):
    got = read(fd, buf.addr, n, 0)
    print(got if got != n else "all" if buf.bytes() == want else "other bytes", flush=True)
PY
bad=0
files_right() { local f; for f in "$@"; do [ "$(sha256sum < "$MNT/$f")" = "$(sha256sum < "/origin/$f")" ] || bad=$((bad + 1)); done; }
files_right a/f1 b/f2 c/f3 a/f4
say "with the disk full: state $(cache state), $(cache free_bytes) bytes free"
wait "$at_once" || :
figure "16 MiB by one direct libaio, then io_uring request" "$(paste -sd ' ' "$RUN/at_once")" = "all all"
files_right a/f6 b/f7 c/f8 a/f9
figure "files read wrong on a full disk, of 8, beside and after that" "$bad" = 0
figure "bytes streamed" "$(stat_of streamed_bytes)" ">" 0
rm /cache/foreign
wait_until 60 eval '[ "$(cache state)" = ok ]'
holds "with room again the state is ok" eval '[ "$(cache state)" = ok ]'

# The watermarks are live.
hashes "$MNT/c" > /dev/null
for w in run:80 cull:70 stop:60; do echo "${w#*:}" > "$(echo /sys/fs/augurfs/[0-9]*)/evict/${w%:*}"; done
for _ in {1..600}; do [ "$(free_percent)" -lt 70 ] || break; read -r -t 0.1 <> <(:) || :; done
figure "percent free after cull was set to 70" "$(free_percent)" ">=" 70
blocks > "$RUN/blocks.3"
holds "nothing pinned was dropped by the watermarks" cmp "$RUN/blocks.1" "$RUN/blocks.3"

# Pins are remembered by the next daemon and can be taken away.
daemon_stop agent
INJECT='' agent_start
wait_until 60 eval '[ "$(daemon_says state)" = live ]'
holds "a new daemon knows the pin" eval 'au pin --list && grep -q "$MNT/keep" "$RUN/au"'
au evict "$MNT/keep" || :
blocks > "$RUN/blocks.4"
holds "and it holds" cmp "$RUN/blocks.1" "$RUN/blocks.4"
au unpin "$MNT/keep" || fail "augur unpin"
au evict "$MNT/keep" || fail "augur evict of what is not pinned any more"
figure "blocks left of it" "$(blocks | awk '{ n += $2 } END { print n }')" "<=" 160
holds "its bytes come again" eval 'hashes "$MNT/keep" | cmp - "$RUN/keep.1"'
