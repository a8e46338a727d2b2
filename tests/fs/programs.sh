#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# programs: what people run on a tree gives the same bytes on the mount as on the origin, whether nothing, half or all
# of it is here.
# timeout: 600
. /payload/tests/lib/guest.sh

scratch origin
origin_make --files 120 --big 3
cp -a /usr/lib/python3.11/json /usr/lib/python3.11/email "$ORIGIN/"
mkdir "$ORIGIN/src"
printf '#include "a.h"\nint main(void) { return A - 7; }\n' > "$ORIGIN/src/a.c"; echo '#define A 7' > "$ORIGIN/src/a.h"
git init -q "$ORIGIN/repo"
cp -a "$ORIGIN/d00" "$ORIGIN/d01" "$ORIGIN/repo/"
git -C "$ORIGIN/repo" add -A
git -C "$ORIGIN/repo" -c user.name=n -c user.email=n@example.org commit -qm one
git config --global safe.directory '*'
PROXY_ARGS="--lease-ms 120000" VOL_OPTS=$LONG_LEASES
vol_up 1

half() {	# one part of many files, so that some are partly present
	local f
	for f in "$MNT"/large/* "$MNT"/d0[0-3]/*; do dd if="$f" of=/dev/null bs=4096 skip=1 count=1 status=none; done
}
check() {
	local out=/cache/out	# on ext4: 6.1 keeps no user attributes on tmpfs
	rm -rf $out; mkdir $out
	cp -a "$MNT/." $out/cp; same_tree "$ORIGIN" $out/cp
	tar -C "$MNT" -cf - . | tar -C "$ORIGIN" --compare -f - || fail "tar sees a difference"
	tar -C "$MNT" --format=posix -Scf - large | (mkdir $out/tar && tar -C $out/tar -xf -); same_tree "$ORIGIN/large" $out/tar/large
	rsync -aHAX "$MNT/" $out/rsync; same_tree "$ORIGIN" $out/rsync
	rm -rf $out/cp $out/rsync
	diff <(cd "$ORIGIN" && grep -rc name . | sort) <(cd "$MNT" && grep -rc name . | sort)
	is "$(PYTHONPATH=$MNT PYTHONDONTWRITEBYTECODE=1 python3 -c 'import json, email.mime.text; print(json.__file__, json.dumps([1]))')" "$MNT/json/__init__.py [1]" python3
	gcc -o $out/a "$MNT/src/a.c" && $out/a || fail "gcc on the mount made something else"
	is "$(git --no-optional-locks -C "$MNT/repo" status --porcelain)" "" "git status"
	git -C "$MNT/repo" fsck --full
}
say "== nothing here yet"; check
vol_fresh "$VOL_OPTS"
say "== half present"; half; check
say "== all here"
leased
before=$(stat_of upcalls); check
is "$(stat_of upcalls)" "$before" "upcalls when all is here"
