# SPDX-License-Identifier: GPL-2.0-or-later
#
# programs.sh: ordinary programs over a tree of which nothing, then half is here; every result is compared with the same
# program over the origin. Then stat before and after a fill, and on a second host, and git's index across both.
. /payload/tests/lib/guest.sh
requires module daemon tools git gcc rsync jq
RTT=1; PROXIES="p1 p2"
export PYTHONDONTWRITEBYTECODE=1 GIT_CONFIG_GLOBAL=/tmp/gitconfig
git config --global safe.directory '*'; git config --global user.name t; git config --global user.email t@example.org
origin_make --files 150 --big 3
mkdir -p /origin/proj /origin/py
for i in 1 2 3 4 5 6; do printf '#include "all.h"\nint f%d(void) { return %d + X; }\n' $i $i > /origin/proj/f$i.c; done
printf '#include <stdio.h>\n#include <sys/stat.h>\n#define X 7\n' > /origin/proj/all.h
printf '#include "all.h"\nint f1(void);\nint main(void) { printf("%%d\\n", f1()); return 0; }\n' > /origin/proj/main.c
cp -r /usr/lib/python3.11/json /origin/py/; cp /usr/lib/python3.11/{argparse,csv,difflib}.py /origin/py/
mkdir /origin/repo; cp -a /origin/proj /origin/d00 /origin/d01 /origin/repo/
git -C /origin/repo init -q; git -C /origin/repo add -A; git -C /origin/repo commit -qm 1
OUT=/cache/out

# Half of the files, and of the large ones a part: all is read, as files come along with others, and every second one is
# dropped again, but for those with odd names, which augur evict does not take.
half() {
	find "$MNT" -type f -print0 | sort -z > "$RUN/files"
	xargs -0 cat < "$RUN/files" > /dev/null
	{ grep -zav /odd/ "$RUN/files" | sed -zn '1~2p'; printf '%s\0' "$MNT/large/big" "$MNT/large/sparse"; } | sort -zu | xargs -0 augur --ctl /run/augur/agent.sock evict > /dev/null || :
	for f in big sparse; do dd if="$MNT/large/$f" of=/dev/null bs=1M skip=1 count=1 status=none; done
}
# How many files that have bytes (and no odd name) are here whole, in part, not at all; without reading one.
here() {
	local n
	n=$(find "$MNT" -type f -size +0 ! -path '*/odd/*' -print0 | xargs -0 augur --ctl /run/augur/agent.sock --json where |
		jq -rs '[.[] | if type == "array" then .[] else . end] | map(.state) | [(map(select(. == "present")) | length), (map(select(. == "partial")) | length), (map(select(. == "absent")) | length)] | join(" ")')
	read -r whole part none <<< "$n"
}
p_cp() { rm -rf $OUT; cp -a "$1" $OUT; tree_hash $OUT; }
p_tar() { tar --sort=name --xattrs --format=posix --pax-option=delete=atime,delete=ctime -cf - -C "$1" . | md5sum; }
p_tarS() { rm -rf $OUT; mkdir $OUT; tar -cSf - -C "$1" . | tar -xf - -C $OUT; tree_hash --no-xattr $OUT; }
p_rsync() { rm -rf $OUT; rsync -aHAX --sparse "$1/" $OUT/; tree_hash $OUT; }
p_find() { (cd "$1"; find . -path ./lost+found -prune -o -type d -printf '%p %m %U %G %T@ %y %l\n' -o -printf '%p %m %U %G %s %T@ %n %y %l\n' | sort | md5sum); }
p_grep() { (cd "$1"; grep -rac --exclude-dir=lost+found --exclude-dir=.git -e a . 2> /dev/null | sort | md5sum); }
p_python() { (cd /tmp; PYTHONPATH=$1/py python3 -S -c 'import json, argparse, csv, difflib; print([m.__file__.removeprefix("'"$1"'/") for m in (json, argparse, csv, difflib)], json.dumps(sorted(dir(difflib))))' | md5sum); }
p_gcc() { rm -f /tmp/prog; gcc -O0 -g0 -o /tmp/prog "$1"/proj/*.c 2>&1 || return; /tmp/prog || return; md5sum < /tmp/prog; }
p_git() { git --no-optional-locks -C "$1/repo" status --porcelain; git -C "$1/repo" log --oneline; git -C "$1/repo" fsck 2>&1 | md5sum; }

PROXIES="p1 p2" vol_up
for p in cp tar tarS rsync find grep python gcc git; do
	p_$p /origin > "$RUN/want" 2>&1
	[ -s "$RUN/want" ] || fail "$p says nothing over the origin: nothing to compare"
	for state in absent half; do
		vol_fresh > /dev/null
		if [ "$state" = half ]; then
			half; here
			figure "$p, half tree: files that are not here" "$none" '>=' 60
			figure "$p, half tree: files that are here" "$whole" '>=' 60
			figure "$p, half tree: large files of which a part is here" "$part" = 2
		fi
		p_$p "$MNT" > "$RUN/got" 2>&1 || :
		if cmp -s "$RUN/want" "$RUN/got"; then v=yes; else v=no; diff "$RUN/want" "$RUN/got" | head -n 4 || :; fi
		figure "$p, $state tree: same result" "$v" = yes
	done
done

# ---- every stat field before and after a fill, and on a second host
all_stat() { (cd "$1"; find . -path ./lost+found -prune -o -print0 | sort -z | xargs -0 stat -c '%n %i %f %u %g %s %b %o %t:%T %x %y %z %h %F'); }
vol_fresh
all_stat "$MNT" > "$RUN/before"
find "$MNT" -type f -print0 | xargs -0 cat > /dev/null
all_stat "$MNT" > "$RUN/after"
figure "stat fields changed by a fill" "$(diff "$RUN/before" "$RUN/after" | grep -c '^>' || :)" = 0
agent_start client2
vol_mount -H client2
all_stat /mnt/b > "$RUN/b"
figure "stat fields other on a second host" "$(diff "$RUN/after" "$RUN/b" | grep -c '^>' || :)" = 0
# The mount is read-only: the index lies outside, refreshed through one mount, used through the other.
cp /origin/repo/.git/index /tmp/index
GIT_INDEX_FILE=/tmp/index git -C "$MNT/repo" update-index -q --refresh || :
strace -f -e trace=openat,open -o "$RUN/strace" env GIT_INDEX_FILE=/tmp/index git --no-optional-locks -C /mnt/b/repo status --porcelain > "$RUN/status"
figure "git status on the other host: changed files" "$(wc -l < "$RUN/status")" = 0
figure "files it read again" "$(grep -vE 'O_DIRECTORY|\.git|ENOENT' "$RUN/strace" | grep -cE '(/mnt/b/repo/|")(proj|d0[01])/' || :)" = 0
vol_umount /mnt/b
