#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# origin-changes: an edit made directly at the origin is seen by the next opens; an open file keeps its version.
. /payload/tests/lib/guest.sh

vol_up 1
cat "$MNT/d00/f0002" "$MNT/d00/f0003" > /dev/null; ls "$MNT/d00" > /dev/null
old=$(sha256sum < "$ORIGIN/d00/f0002")
exec 5< "$MNT/d00/f0002"
same() { [ "$(sha256sum < "$MNT/$1")" = "$(sha256sum < "$ORIGIN/$1")" ]; }

echo "new content" > "$ORIGIN/d00/f0002"
wait_until 30 same d00/f0002
is "$(sha256sum <&5)" "$old" "the descriptor opened before"
exec 5<&-
echo "by rename" > "$ORIGIN/d00/tmp"; mv "$ORIGIN/d00/tmp" "$ORIGIN/d00/f0003"
wait_until 30 same d00/f0003
echo "fresh" > "$ORIGIN/d00/fresh"
wait_until 30 same d00/fresh
rm "$ORIGIN/d00/f0003"
gone() { [ ! -e "$MNT/d00/f0003" ]; }
wait_until 30 gone
mkdir "$ORIGIN/d00/dir"; echo 1 > "$ORIGIN/d00/dir/one"
wait_until 30 same d00/dir/one
mode() { [ "$(stat -c %a "$MNT/d00/fresh")" = 600 ]; }
chmod 600 "$ORIGIN/d00/fresh"
wait_until 30 mode
settled() { [ "$(ls -a "$MNT/d00")" = "$(ls -a "$ORIGIN/d00")" ]; }
wait_until 30 settled
wait_until 30 trees_equal "$ORIGIN" "$MNT"	# attributes come by notices of their own
same_tree "$ORIGIN" "$MNT"
