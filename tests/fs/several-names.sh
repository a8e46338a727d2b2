#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# several-names: an object with several names keeps the others when one goes, and its bytes need no second fetch.
. /payload/tests/lib/guest.sh

vol_up 1
mkdir "$ORIGIN/one" "$ORIGIN/two"
head -c 100000 /dev/urandom > "$ORIGIN/one/a"
ln "$ORIGIN/one/a" "$ORIGIN/two/b"
same() { cmp -s "$MNT/$1" "$ORIGIN/$1"; }
wait_until 10 same one/a
wait_until 10 same two/b
is "$(stat -c %i "$MNT/one/a")" "$(stat -c %i "$MNT/two/b")" "number of the inode"

say "== the directory of one of them gets another name"
mv "$ORIGIN/one" "$ORIGIN/moved"
wait_until 10 same moved/a
wait_until 10 same two/b
gone() { [ ! -e "$MNT/one" ]; }
wait_until 10 gone
is "$(stat -c '%i %h' "$MNT/moved/a")" "$(stat -c '%i %h' "$MNT/two/b")" "number and links"

say "== one of them is removed"
rm "$ORIGIN/two/b"
gone() { [ ! -e "$MNT/two/b" ]; }
wait_until 10 gone
single() { [ "$(stat -c %h "$MNT/moved/a")" = 1 ]; }
wait_until 10 single
same moved/a
same_tree "$ORIGIN" "$MNT"
