#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# mmap-huge: a mapping in huge pages of a half-present file sees the right bytes. The lower file's read-ahead makes them,
# of these filesystems XFS's.
# timeout: 300
. /payload/tests/lib/guest.sh

[ -e /sys/kernel/mm/transparent_hugepage ] || skip "no huge pages in this kernel"
scratch origin
origin_make --files 30 --big 6
scratch cache 512 xfs
vol_up 1

cat > "$RUN/huge.py" <<'P'
import mmap, os, sys
f, g = open(sys.argv[1], "rb"), open(sys.argv[2], "rb")
n = os.fstat(f.fileno()).st_size
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
m.madvise(mmap.MADV_HUGEPAGE)
for o in [1100 << 12, 3 << 20, 5000, n - 1, 2 << 20]:
    g.seek(o)
    assert m[o] == g.read(1)[0], f"differs at {o}"
assert m[:] == open(sys.argv[2], "rb").read()
P
dd if="$MNT/large/big" of=/dev/null bs=4096 skip=1100 count=1 status=none
sync -f /cache; echo 3 > /proc/sys/vm/drop_caches	# what is present is not in memory: read-ahead goes over the rest
pp python3 "$RUN/huge.py" "$MNT/large/big" "$ORIGIN/large/big"

# XFS keeps the number of blocks to itself; ours must not be what its inodes say instead.
sparse=$(stat -c %b "$MNT/large/sparse")
cat "$MNT/large/big" "$MNT/large/sparse" > /dev/null
vol_umount; vol_mount
is "$(stat -c %b "$MNT/large/big")" "$(stat -c %b "$ORIGIN/large/big")" "blocks of a complete file on XFS"
is "$(stat -c %b "$MNT/large/sparse")" "$sparse" "blocks of a complete sparse file on XFS"
at_most "$sparse" 1000 "blocks of a sparse file of 12 MiB"
