#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# open-brings: an open of a small file has its bytes, whatever the origin does next; looking at names brings none.
. /payload/tests/lib/guest.sh

# By rescan: what is edited here is noticed where the bytes are asked for, and not before.
PROXY_ARGS="--lease-ms 120000 --watch rescan --rescan-s 3600" VOL_OPTS="$LONG_LEASES,chunk_kb=16"
mkdir -p "$RUN"
scratch origin
script() { printf '#!/bin/sh\necho %s\n' "$2" > "$1"; chmod 755 "$1"; }
for d in 1 2 4 5 6 7 8; do
	mkdir /origin/d$d
	for f in a b c; do head -c 100000 /dev/urandom > "/origin/d$d/$f"; done
done
mkdir /origin/d3; for f in a b c; do script "/origin/d3/$f" zero; done
head -c 400000 /dev/urandom > /origin/large
cp -a /origin "$RUN/then"
vol_up 1
leased

ls -lR "$MNT" > /dev/null; find "$MNT" -type f -size +1k > /dev/null; stat "$MNT"/d1/* > /dev/null
python3 -c 'import os, sys; os.fstat(os.open(sys.argv[1], os.O_PATH))' "$MNT/d1/a"
is "$(stat_of upcalls_fetch)" 0 "fetches of a look at names"

# One file of a directory: not the first, which would say that the others are to come along.
for d in 1 2 3 4 5 6 7 8; do declare "f$d=d$d/$(cd /cache/a/root/d$d; find . -type f | tail -n 1 | cut -c 3-)"; done
replace() { head -c "${2:-100000}" /dev/urandom > /origin/new; mv /origin/new "/origin/$1"; }

# Gone between the open and the first read.
exec 5< "$MNT/$f1"; replace "$f1"
cmp - "$RUN/then/$f1" <&5
exec 5<&-
# Gone between the name and the open.
replace "$f2"
cmp "$MNT/$f2" "/origin/$f2"
# The same where it is executed, and where no system call reads it.
script /origin/new one; mv /origin/new "/origin/$f3"
is "$("$MNT/$f3")" one "what was executed"
replace "$f4"
python3 -c 'import mmap, sys; f = open(sys.argv[1], "rb"); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); assert m[:] == open(sys.argv[2], "rb").read()' \
	"$MNT/$f4" "/origin/$f4"
# Once it is here an open asks nobody.
before=$(stat_of upcalls)
for _ in 1 2 3; do cmp "$MNT/$f4" "/origin/$f4"; done
is "$(stat_of upcalls)" "$before" "upcalls of opens of what is here"

# Where each open asks the owner, one that is made again asks once for both, and the next one for itself.
echo strict | tee /sys/fs/augurfs/[0-9]*/open
replace "$f2"
before=$(stat_of opens_unleased)
cmp "$MNT/$f2" "/origin/$f2"
is "$(stat_of opens_unleased)" $((before + 2)) "questions of an open that found another version"
cmp "$MNT/$f2" "/origin/$f2"
is "$(stat_of opens_unleased)" $((before + 3)) "questions after the next open"
echo lease | tee /sys/fs/augurfs/[0-9]*/open

# Half of it is here, as the link is slow: the rest comes with the next open. On a busy host it may be here already.
half=
for try in "$f5 400kbit" "$f7 200kbit" "$f8 100kbit"; do
	half=${try% *}
	link 1 "${try#* }"
	inject lazy_open 1000000
	head -c 1000 "$MNT/$half" > /dev/null
	before=$(stat_of upcalls_fetch)
	inject lazy_open 0
	exec 5< "$MNT/$half"
	now=$(stat_of upcalls_fetch)
	link 1
	[ "$now" = "$before" ] || break
done
at_least "$now" $((before + 1)) "fetches of the rest"
replace "$half"
cmp - "$RUN/then/$half" <&5
exec 5<&-

# Of a large file what was not read may be gone; who opens it again has the new one.
exec 5< "$MNT/large"; replace large 400000
must_fail -m 'Stale file handle' cat <&5
exec 5<&-
cmp "$MNT/large" /origin/large

# Without the cure that happens to a small file, too.
inject lazy_open 1000000
exec 5< "$MNT/$f6"; replace "$f6"
must_fail -m 'Stale file handle' cat <&5
exec 5<&-
inject lazy_open 0
