#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# scanners: jobs that walk a tree are recognised, in the log and live; a build and a program that starts are not. The log
# is read with the agent down, too; a damaged one is put aside and begun anew while the mount goes on.
# timeout: 400
. /payload/tests/lib/guest.sh

scratch origin
origin_make --files 50 --big 1
for i in $(seq -w 40); do
	mkdir -p "$ORIGIN/walk/g${i%?}/d$i"
	for k in 1 2 3 4 5; do echo "text $i $k" > "$ORIGIN/walk/g${i%?}/d$i/f$k"; done
done
mkdir "$ORIGIN/src"
for h in $(seq 20); do echo "#define H$h $h" > "$ORIGIN/src/h$h.h"; done
for c in $(seq 12); do
	{ seq 20 | sed 's/.*/#include "h&.h"/'; echo "int f$c(void) { return H$c; }"; } > "$ORIGIN/src/c$c.c"
done
cp -a /usr/lib/python3.11/{json,email,logging,unittest,asyncio,concurrent,http,urllib,importlib} "$ORIGIN/"
vol_up 0

ctl() { augur --ctl /run/augur/agent.sock "$@"; }
# As an interactive shell starts it: a process group, and so a session, of its own.
job() { setsid -w "$@"; }
marked() { ctl log -n 10000 --json "$@" | jq -e -n '[inputs | select(.row)] | length > 0' > /dev/null; }
read_by() { marked --program "$1" --kind close; }

job find "$MNT/walk" -type f > /dev/null; wait_until 60 marked --scanners --program find
job tar -C "$MNT" -cf - walk | cat > /dev/null; wait_until 60 marked --scanners --program tar
job grep -rq nothing_has_this "$MNT/walk" || :; wait_until 60 marked --scanners --program grep
job bash -c 'for c in "$1"/src/*.c; do gcc -c -o /tmp/o "$c" || exit; done' - "$MNT"
wait_until 60 read_by cc1
job env PYTHONPATH="$MNT" PYTHONDONTWRITEBYTECODE=1 python3 -c 'import json, email.mime.text, logging, unittest, asyncio, http.server, concurrent.futures'
wait_until 60 read_by python3
must_fail marked --scanners --program cc1
must_fail marked --scanners --program python3
must_fail marked --no-scanners --program find
pp ctl log -n 3 --scanners

say "== with the agent down, from its file"
is "$(stat -c %a /cache/a/.augur/log.db)" 600 "mode of the log"
daemon_stop agent KILL
ctl log -n 10000 --json --scanners > "$RUN/offline"
at_least "$(grep -c '"scanner":true' "$RUN/offline")" 100 "rows of scanners in the file"
is "$(tail -n 1 "$RUN/offline" | jq -r .file)" /cache/a/.augur/log.db "what was read"
is "$(grep -c '"scanner":false' "$RUN/offline" || :)" 0 "other rows among them"

say "== damaged: put aside, once, and the mount goes on"
dd if=/dev/urandom of=/cache/a/.augur/log.db bs=4096 count=1 conv=notrunc status=none
rm -f /cache/a/.augur/log.db-wal
: > "$RUN/agent.log"
agent_start
cat "$MNT/walk/g0/d01/f1" > /dev/null
wait_until 60 read_by cat
is "$(daemon_log agent | grep -c 'event=history_aside')" 1 "warnings"
[ -s /cache/a/.augur/log.db.aside ] || fail "it is not kept"
