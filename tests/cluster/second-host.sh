#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# second-host: every stat field is the same on two hosts, before and after a fill; a git index that was refreshed
# through one mount is clean on the other, with no file read again.
# timeout: 400
. /payload/tests/lib/guest.sh

scratch origin
origin_make --files 60 --big 1
git init -q "$ORIGIN/repo"
cp -a "$ORIGIN/d00" "$ORIGIN/d01" "$ORIGIN/repo/"
git -C "$ORIGIN/repo" add -A
git -C "$ORIGIN/repo" -c user.name=n -c user.email=n@example.org commit -qm one
git config --global safe.directory '*'
vol_up 1
agent_start client2
vol_mount -H client2
fields() { find "$1" -exec stat -c '%n %f %h %u %g %s %b %B %i %X %Y %Z %x %y %z %o' {} + | sed "s,^$1,," | sort; }
fields /mnt/a > "$RUN/a0"
tar -C /mnt/a -cf - . > /dev/null
cat /mnt/a/large/big > /dev/null
fields /mnt/a > "$RUN/a1"
fields /mnt/b > "$RUN/b0"
cmp "$RUN/a0" "$RUN/a1" || { diff "$RUN/a0" "$RUN/a1" | head -4; fail "a fill changed what stat says"; }
cmp "$RUN/a1" "$RUN/b0" || { diff "$RUN/a1" "$RUN/b0" | head -4; fail "two hosts see different fields"; }

cp /mnt/a/repo/.git/index "$RUN/index"
GIT_INDEX_FILE=$RUN/index git -C /mnt/a/repo update-index -q --refresh
GIT_INDEX_FILE=$RUN/index strace -f -e trace=openat -o "$RUN/strace" git --no-optional-locks -C /mnt/b/repo status --porcelain > "$RUN/status"
is "$(cat "$RUN/status")" "" "git status on the second host"
is "$(grep -c '"d0[01]/f' "$RUN/strace" || :)" 0 "files git read again on the second host"
