#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# timeout: 300
#
# origin-moves: directories moved and replaced at the origin, and objects with several names, are what they are there
# by name and by listing, soon; a directory that was moved away and back goes on being told of.
. /payload/tests/lib/guest.sh

scratch origin
origin_make --files 60 --big 0 --plain
mkdir -p "$ORIGIN"/w/{cur,new} "$ORIGIN"/{h1,h2} "$ORIGIN"/s{0..7}
echo old > "$ORIGIN/w/cur/cfg"; echo new > "$ORIGIN/w/new/cfg"
for i in {1..60}; do echo "$i" > "$ORIGIN/h1/f$i"; ln "$ORIGIN/h1/f$i" "$ORIGIN/h2/f$i"; done
vol_up 1

say "== a tree is put in another's place"
is "$(cat "$MNT/w/cur/cfg")" old "before"
mv "$ORIGIN/w/cur" "$ORIGIN/w/old"; mv "$ORIGIN/w/new" "$ORIGIN/w/cur"
deployed() { [ "$(cat "$MNT/w/cur/cfg")" = new ] && [ "$(cat "$MNT/w/old/cfg")" = old ] && [ ! -e "$MNT/w/new" ]; }
wait_until 30 deployed

say "== moved away and back"
for i in {0..7}; do mv "$ORIGIN/s$i" "$ORIGIN/x$i"; mv "$ORIGIN/x$i" "$ORIGIN/s$i"; done
ls "$MNT"/s* > /dev/null
for i in {0..7}; do echo "$i" > "$ORIGIN/s$i/made"; done
made() { local i; for i in {0..7}; do [ "$(cat "$MNT/s$i/made")" = "$i" ] || return 1; done; }
wait_until 30 made
rm -rf "$ORIGIN/s3"
removed() { [ ! -e "$MNT/s3" ] && [ ! -e "$MNT/s3/made" ]; }
wait_until 30 removed

say "== two directories of the same objects, listed at once"
ls -l "$MNT/h1" > /dev/null & a=$!
ls -l "$MNT/h2" > /dev/null & b=$!
wait $a; wait $b
is "$(cd /cache/a/root && find h1 h2 -type f -printf '%i\n' | sort -u | wc -l)" 60 "inodes in the cache"
cat "$MNT"/h[12]/f* > /dev/null
for i in 1 7 30; do echo "edited $i" > "$ORIGIN/h1/f$i"; done
edited() { local i; for i in 1 7 30; do [ "$(cat "$MNT/h1/f$i")" = "edited $i" ] && [ "$(cat "$MNT/h2/f$i")" = "edited $i" ] || return 1; done; }
wait_until 30 edited
wait_until 30 trees_equal "$ORIGIN" "$MNT"
same_tree "$ORIGIN" "$MNT"
