#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# full-disk: a cache disk smaller than the tree, and than one of its files: every reader gets every byte and no error;
# what is evicted is counted, the watermarks are live, the state is told. One request for more than can be streamed
# gets its bytes too, and takes nobody else's room.
# timeout: 600
. /payload/tests/lib/guest.sh

requires module daemon tools python3 jq
ORIGIN=/origin
scratch origin 300; scratch cache 28
python3 - << 'PY'
import os, random
r = random.Random(7)
for d in range(3):
    os.mkdir(f"/origin/d{d}")
    for i in range(48):
        with open(f"/origin/d{d}/f{i}", "wb") as f:
            f.write(r.randbytes(r.choice((900, 5000, 70000, 300000, 900001))))
with open("/origin/large", "wb") as f:
    f.write(r.randbytes(36 << 20))
PY
say "the tree: $(du -sm /origin | cut -f1) MiB, the disk: $(df -m --output=size /cache | tail -n 1) MiB"
cache() { augur --ctl /run/augur/agent.sock --json status | jq -r ".mounts[0].daemon.cache.$1"; }
free_percent() { df --output=avail,size /cache | awk 'NR == 2 { printf "%d", $1 * 100 / $2 }'; }
PROXY_ARGS="--lease-ms 120000" VOL_OPTS=$LONG_LEASES,evict_run=20,evict_cull=12,evict_stop=6
vol_up 0
leased

(cd /origin && find . -type f ! -name large -print0 | sort -z | xargs -0 sha256sum) > "$RUN/want"
for turn in 1 2; do
	for reader in a b; do
		(cd "$MNT" && find . -type f ! -name large -print0 | sort -z | xargs -0 sha256sum) > "$RUN/got.$reader" & eval "$reader=$!"
	done
	wait "$a"; wait "$b"
	cmp "$RUN/want" "$RUN/got.a"; cmp "$RUN/want" "$RUN/got.b"
	say "turn $turn: state $(cache state), $(cache evicted_bytes) bytes evicted in all, $(free_percent) % free"
done
at_least "$(cache evicted_bytes)" 10000000 "bytes evicted"
at_least "$(stat_of evicted_bytes)" 10000000 "bytes evicted, as the kernel counts"

# One file that cannot be held: open, then mapped.
is "$(sha256sum < "$MNT/large")" "$(sha256sum < /origin/large)" "a file larger than the disk"
at_least "$(stat_of streamed_bytes)" 1 "bytes streamed"
say "after the large file: state $(cache state)"
python3 - << 'PY'
import mmap, os
fd = os.open("/mnt/a/large", os.O_RDONLY)
m = mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ)
with open("/origin/large", "rb") as f:
    for off in range(0, len(m), 2 << 20):
        assert m[off:off + 65536] == f.read(2 << 20)[:65536], f"mapped bytes at {off}"
PY
is "$(stat_of upcalls_timeout)" 0 "requests that ran out of time"
wait_until 60 eval '[ "$(cache state)" = ok ]'

# Somebody else fills the disk: one request for far more than there is room for, and then everybody else.
dd if=/dev/zero of=/cache/foreign bs=1M 2> /dev/null || :
PYTHONPATH=$T/lib python3 - << 'PY'
import os, rawio
n = 8 << 20
with open("/origin/large", "rb") as f:
    want = f.read(3 * n)
fd = os.open("/mnt/a/large", os.O_RDONLY | os.O_DIRECT)
buf = rawio.Map(-1, n)
for how, off, read in (("libaio", 0, rawio.aio_read), ("io_uring", n, rawio.Uring().read)):
    got = read(fd, buf.addr, n, off)
    assert got == n, f"{how}: {got}"
    assert buf.bytes() == want[off:off + n], f"{how}: other bytes"
PY
# Where some of it was here, the rest is asked for in pieces, and each may have room.
grep -m 1 event=too_large_to_stream "$RUN/agent.log" || say "it was asked for in pieces"
for f in d0/f1 d1/f2 d2/f3 d1/f4; do
	is "$(sha256sum < "$MNT/$f")" "$(sha256sum < "/origin/$f")" "$f after a request for more than there is room for"
done
is "$(stat_of upcalls_timeout)" 0 "requests that ran out of time"
rm /cache/foreign
wait_until 60 eval '[ "$(cache state)" = ok ]'

# Watermarks are live.
for w in run:70 cull:60 stop:50; do echo "${w#*:}" > "$(echo /sys/fs/augurfs/[0-9]*)/evict/${w%:*}"; done
wait_until 60 eval '[ "$(free_percent)" -ge 60 ]'
grep -m 1 event=cache_space "$RUN/agent.log"
is "$(sha256sum < "$MNT/d0/f0")" "$(sha256sum < /origin/d0/f0)" "a file after all of it"
