# SPDX-License-Identifier: GPL-2.0-or-later
#
# guest.sh: what every guest test starts with:  . /payload/tests/lib/guest.sh
# A test is a script of about thirty lines named after the behaviour it shows. Any command that fails ends it (with its
# line and the daemons' last words); exit status 0 is a pass, 77 a skip. What it starts and mounts here is undone by
# itself, and tests/vm/isolate sees to the rest. Headers a test may have: "# timeout: SECONDS" (default 180),
# "# kernels: 6.1" (only there), "# icount: yes" (only in deterministic time).
#
# saying            say TEXT · pp CMD... (prints the command, runs it) · fail TEXT · skip TEXT · note TEXT (kept in results)
# needing           requires module daemon tools|COMMAND...      skips if one is not there
# undoing           cleanup CMD...          run at the end, newest first, after mounts and daemons are gone
# waiting           wait_until SECONDS CMD...                    polls; fails when time is up (AUGUR_SLOW times that: tests/vm/boot)
# comparing         is GOT WANT [WHAT] · at_least GOT MIN [WHAT] · at_most GOT MAX [WHAT] · must_fail [-m REGEX] CMD...
#                   figure NAME VALUE OP BAR · holds NAME CMD... (acceptance: a row, ok or short)
#                   same_tree A B [treehash options] · trees_equal A B (only the status) · tree_hash DIR [options] (tests/lib/treehash.py)
# the kernel log    expect_dmesg REGEX (lines that would fail the test but are meant) · dmesg_has REGEX (since the test began)
# memory            no_leaks [REGEX of leaks that are the kernel's own] (in User-mode Linux: what nobody points to any more, seen before the module is removed)
# network           net_up · link RTT_MS [RATE] · on HOST CMD... (client client2 srv1..srv4; 10.9.0.100, .101, .1-.4) · wire_bytes · agent_bytes
# disks             scratch NAME [MIB] [ext4|xfs|btrfs]  -> mounted at /NAME (cache, origin); INODES=N: an ext4 with so many · knows_fs TYPE
# origin            origin_make [DIR] [mktree options] (tests/lib/mktree.py) -> default /origin on its own ext4
# daemons           proxy_start ID [ARG...] (PROXIES="p1 p2", SEED=1, PROXY_ARGS=) · agent_start [HOST] [ARG...] · daemon_stop NAME [SIGNAL]
#                   daemon_pid NAME · daemon_log NAME            NAME: p1.. or agent, agent-client2
# volume            vol_up [RTT_MS] (all of it: net, origin, proxies, agent, mount) · vol_mount [-H HOST] [-m DIR] [-c CACHE] [OPTS]
#                   vol_umount [DIR] · vol_remount [OPTS] · vol_fresh [OPTS] (with an empty cache) · vol_down · leased [HOST] (waits until opens need ask nobody) · stat_of COUNTER · inject POINT TIMES (or INJECT=POINT before agent_start)
set -Eeuo pipefail
T=/payload/tests; RUN=/run/augur/vol; MNT=/mnt/a; ORIGIN=/origin
PROXIES=${PROXIES:-p1 p2}; SEED=${SEED:-1}; VOLUME=${VOLUME:-vol}; RTT=${RTT:-0}
mkdir -p "$RUN" /var/lib/augur /run/augur
_cleanups=() _failed=

# ---------------------------------------------------------------- saying
say() { printf '%s\n' "$*"; }
note() { printf '%s\n' "$*" >> /out/notes; say "note: $*"; }
pp() { printf '$ %s\n' "$*"; "$@"; }
fail() { trap - ERR; _failed=1; say "FAIL: $*"; exit 1; }
skip() { trap - ERR; printf '%s\n' "$*" > /run/augur/skip; say "skip: $*"; exit 77; }
trap 'fail "line ${BASH_LINENO[0]:-?}/$LINENO of ${0##*/}: $BASH_COMMAND (status $?)"' ERR

requires() {
	local r
	for r in "$@"; do
		case $r in
		module) [ -e /payload/augurfs.ko ] || skip "the module is not built" ;;
		daemon) [ -x /payload/augurd ] || skip "augurd is not built" ;;
		tools) { [ -x /payload/augur ] && [ -x /payload/mount.augurfs ]; } || skip "augur or mount.augurfs is not built" ;;
		*) command -v "$r" > /dev/null || skip "no $r in the guest" ;;
		esac
	done
}

cleanup() { _cleanups+=("$(printf '%q ' "$@")"); }
_finish() {
	local rc=$? i m n
	trap - ERR; set +eEu
	[ "$rc" = 0 ] || [ "$rc" = 77 ] || _report
	cd /
	for m in $(awk '$3 == "augurfs" { print $2 }' /proc/mounts | tac); do umount "$m" 2> /dev/null; done
	for n in agent agent-client2; do daemon_stop "$n"; done
	for n in p4 p3 p2 p1; do daemon_stop "$n"; done
	for ((i = ${#_cleanups[@]} - 1; i >= 0; i--)); do eval "${_cleanups[i]}"; done
	exit "$rc"
}
trap _finish EXIT
_report() {
	local f c v t
	for f in "$RUN"/*.log; do
		[ -s "$f" ] || continue
		say "---- last lines of ${f##*/}"; tail -n "${REPORT_LINES:-25}" "$f"
	done
	for f in /sys/fs/augurfs/[0-9]*/stats; do
		[ -d "$f" ] || continue
		t=; for c in "$f"/*; do v=$(< "$c"); [ "$v" = 0 ] || t+=" ${c##*/}=$v"; done
		say "---- $f:${t:- all counters are 0}"
	done
}

# ---------------------------------------------------------------- waiting, comparing
wait_until() {
	local secs=$(($1 * AUGUR_SLOW)) end; shift
	end=$(($(cut -d. -f1 /proc/uptime) + secs))
	until "$@" > /dev/null 2>&1; do
		[ "$(cut -d. -f1 /proc/uptime)" -le "$end" ] || fail "not within $secs s: $*"
		read -r -t 0.05 <> <(:) || :
	done
}
is() { [ "$1" = "$2" ] || fail "${3:-value}: is $1, should be $2"; }
at_least() { awk "BEGIN { exit !($1 >= $2) }" || fail "${3:-value}: is $1, should be at least $2"; }
at_most() { awk "BEGIN { exit !($1 <= $2) }" || fail "${3:-value}: is $1, should be at most $2"; }
must_fail() {
	local re=
	[ "$1" != -m ] || { re=$2; shift 2; }
	if "$@" > "$RUN/must_fail" 2>&1; then fail "should have failed: $*"; fi
	say "refused: $* -> $(tail -n 1 "$RUN/must_fail")"
	[ -z "$re" ] || grep -qE -- "$re" "$RUN/must_fail" || fail "failed, but not with /$re/: $*: $(head -c 400 "$RUN/must_fail")"
}
tree_hash() { python3 "$T/lib/treehash.py" "$@"; }
trees_equal() { cmp -s <(tree_hash --list "$1") <(tree_hash --list "$2"); }
same_tree() {
	local a=$1 b=$2; shift 2
	python3 "$T/lib/treehash.py" --list "$@" "$a" > "$RUN/tree.a"
	python3 "$T/lib/treehash.py" --list "$@" "$b" > "$RUN/tree.b"
	cmp -s "$RUN/tree.a" "$RUN/tree.b" || { diff "$RUN/tree.a" "$RUN/tree.b" | head -n 20; fail "$a and $b differ"; }
	say "$a and $b are equal: $(wc -l < "$RUN/tree.a") objects"
}
# One figure of an acceptance line: name, value, comparison (>= <= > < = text), bar. Does not end the test.
figure() {
	local verdict=short
	case $3 in
	=) [ "$2" != "$4" ] || verdict=ok ;;
	# To awk a word is a variable, and that is 0.
	*) [[ ! $2 =~ ^-?[0-9.]+(e[-+]?[0-9]+)?$ ]] || ! awk "BEGIN { exit !($2 $3 $4) }" 2> /dev/null || verdict=ok ;;
	esac
	printf 'figure\t%s\t%s\t%s\t%s %s\n' "$verdict" "$1" "${2//$'\n'/; }" "$3" "$4"
}
# A yes-or-no figure from a command.
holds() { local n=$1; shift; if "$@"; then figure "$n" yes = yes; else figure "$n" no = yes; fi; }
expect_dmesg() { printf '%s\n' "$1" >> /run/augur/expect; }
# Reads all of it before it answers: under pipefail an early end of the reader would look like "no".
dmesg_has() { dmesg | awk '/augur-test: begin/ { text = "" } { text = text $0 "\n" } END { printf "%s", text }' | grep -E -- "$1" > /dev/null; }

# kmemleak looks at what is older than five seconds and reports what two scans did not find.
no_leaks() {
	local f=/sys/kernel/debug/kmemleak known=${1:-^$}
	[ -e "$f" ] || skip "this kernel has no kmemleak"
	read -r -t 6 <> <(:) || :
	echo scan > "$f"; echo scan > "$f"
	# One line an object: its size and who asked for it.
	awk '/^unreferenced/ { if (text) print text; gsub(/[^0-9]/, "", $5); text = "kmemleak: " $5 " bytes:" }
		/\[</ { sub(/\+.*/, "", $2); text = text " " $2 " " $3 }
		END { if (text) print text }' "$f" > "$RUN/kmemleak"
	cat "$RUN/kmemleak"
	! grep -vE -- "$known" "$RUN/kmemleak" | grep '\[augurfs\]' > /dev/null || fail "memory leak"
}

# ---------------------------------------------------------------- network
HOSTS="client client2 srv1 srv2 srv3 srv4"
host_ip() { case $1 in client) echo 10.9.0.100 ;; client2) echo 10.9.0.101 ;; srv*) echo "10.9.0.${1#srv}" ;; p*) echo "10.9.0.${1#p}" ;; esac; }
# Only the network is another one: files and mounts are common to all hosts.
on() { local h=$1; shift; nsenter --net="/run/netns/$h" -- "$@"; }
net_up() {
	local h
	[ ! -e /sys/class/net/br0 ] || return 0
	modprobe sch_netem
	ip link add br0 type bridge
	ip addr add 10.9.0.254/24 dev br0
	ip link set br0 up
	for h in $HOSTS; do
		ip netns add "$h"
		ip link add "eth-$h" type veth peer name e0 netns "$h"
		ip link set "eth-$h" master br0 up
		ip -n "$h" addr add "$(host_ip "$h")/24" dev e0
		ip -n "$h" link set e0 up
		ip -n "$h" link set lo up
	done
}
# Half of the delay lies on each end of the clients' links, so the round trip is RTT_MS to every proxy.
link() {
	local h rate=${2:+rate $2}
	for h in client client2; do
		# shellcheck disable=SC2086
		tc -n "$h" qdisc replace dev e0 root netem limit 200000 delay "$(awk "BEGIN { print $1 * 500 }")us" $rate
		# shellcheck disable=SC2086
		tc qdisc replace dev "eth-$h" root netem limit 200000 delay "$(awk "BEGIN { print $1 * 500 }")us" $rate
		# Neighbours resolved before anything is measured; behind what a slow link still holds it may take two.
		on "$h" ping -c 1 -W 5 -q 10.9.0.1 > /dev/null || on "$h" ping -c 3 -W 20 -q 10.9.0.1 > /dev/null
	done
}
# What the agent itself sent and received; unlike wire_bytes without the network's own chatter (ARP, keepalives).
agent_bytes() { augur --ctl /run/augur/agent.sock --json status | jq '[.mounts[].daemon.proxies[] | .rx_bytes + .tx_bytes] | add'; }
wire_bytes() { local s="/sys/class/net/eth-${1:-client}/statistics"; echo $(($(< "$s/rx_bytes") + $(< "$s/tx_bytes"))); }

# ---------------------------------------------------------------- disks and origin
# In deterministic time the disk is memory: waiting for the host's disk would make virtual time leap.
knows_fs() { grep -qw "$1" /proc/filesystems || modprobe -q "$1"; }
scratch() {
	local name=$1 mib=${2:-1500} fs=${3:-ext4} dev c
	mkdir -p "/$name"
	! mountpoint -q "/$name" || return 0
	if [ -n "${AUGUR_ICOUNT:-}" ]; then
		modprobe null_blk nr_devices=0
		mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
		c=/sys/kernel/config/nullb/$name
		if [ ! -d "$c" ]; then
			mkdir "$c"
			echo "$mib" > "$c/size"; echo 4096 > "$c/blocksize"; echo 1 > "$c/memory_backed"
			echo 2 > "$c/irqmode"; echo 60000 > "$c/completion_nsec"; echo 1 > "$c/power"
		fi
		dev=/dev/nullb$(cat "$c/index")
		[ -b "$dev" ] || dev=/dev/$name
	else
		case $name in cache) dev=/dev/vdd ;; origin) dev=/dev/vde ;; *) fail "scratch: only cache and origin have a disk" ;; esac
	fi
	case $fs in
	ext4) mkfs.ext4 -qF -E nodiscard,lazy_itable_init=1,lazy_journal_init=1 ${INODES:+-N "$INODES"} "$dev" "${mib}M" ;;
	xfs) mkfs.xfs -qfK "$dev" ;;
	btrfs) modprobe btrfs; mkfs.btrfs -qfK "$dev" ;;
	esac
	mount -t "$fs" -o noatime "$dev" "/$name"
}
origin_make() {
	local dir=$ORIGIN
	case ${1:-} in /*) dir=$1; shift ;; esac
	[ "$dir" != /origin ] || scratch origin
	python3 "$T/lib/mktree.py" "$@" "$dir"
}

# ---------------------------------------------------------------- daemons
daemon_pid() { cat "$RUN/$1.pid" 2> /dev/null; }
daemon_log() { cat "$RUN/$1.log"; }
# Starts NAME's command and returns when it says on descriptor 9 that it serves.
daemon_start() {
	local name=$1 pid word=; shift
	rm -f "$RUN/$name.ready"; mkfifo "$RUN/$name.ready"
	printf '$ %s\n' "$*" >> "$RUN/$name.log"
	exec {_ready}<> "$RUN/$name.ready"	# open before the daemon is: a pipe nobody has open forgets what was written
	"$@" --ready-fd 9 9<> "$RUN/$name.ready" {_ready}>&- >> "$RUN/$name.log" 2>&1 < /dev/null & pid=$!
	echo "$pid" > "$RUN/$name.pid"
	local i
	for ((i = 0; i < 600 * AUGUR_SLOW; i++)); do
		# A read that runs out of time may have read: what counts is the word.
		read -r -n 1 -t 0.1 word <&"$_ready" || :
		[ -z "$word" ] || break
		kill -0 "$pid" 2> /dev/null || { rm -f "$RUN/$name.pid"; fail "$name ended at its start"; }
	done
	exec {_ready}>&-
	[ "$word" = 1 ] || fail "$name did not say that it serves"
}
daemon_stop() {
	local pid; pid=$(daemon_pid "$1") || return 0
	rm -f "$RUN/$1.pid"
	kill "-${2:-TERM}" "$pid" 2> /dev/null || return 0
	kill -CONT "$pid" 2> /dev/null || :
	local i
	for ((i = 0; i < 200 * AUGUR_SLOW; i++)); do
		kill -0 "$pid" 2> /dev/null || { wait "$pid" 2> /dev/null || :; return 0; }
		read -r -t 0.05 <> <(:) || :
	done
	say "$1 does not end on ${2:-TERM}"; kill -KILL "$pid" 2> /dev/null || :
	_failed=1
}
_proxies_arg() { local p s=; for p in $PROXIES; do s+=${s:+,}$p=$(host_ip "$p"):7433; done; echo "$s"; }
proxy_start() {
	local id=$1 store; shift
	if [ "$id" = p1 ]; then store=sqlite:/var/lib/augur/p1.db; else store=remote:10.9.0.1:7433; fi
	daemon_start "$id" augurd --role proxy --id "$id" --netns "srv${id#p}" --listen "$(host_ip "$id"):7433" --insecure \
		--export "$VOLUME=$ORIGIN" --store "$store" --proxies "$(_proxies_arg)" --seed "$SEED" --ctl "/run/augur/$id.sock" \
		${PROXY_ARGS:-} "$@"
}
agent_name() { if [ "$1" = client ]; then echo agent; else echo "agent-$1"; fi; }
agent_start() {
	local host=client
	case ${1:-} in client*) host=$1; shift ;; esac
	modprobe augurfs
	[ -z "${INJECT:-}" ] || inject "$INJECT" 1000000
	daemon_start "$(agent_name "$host")" augurd --role agent --insecure --netns "$host" --ctl "/run/augur/$(agent_name "$host").sock" "$@"
}

# ---------------------------------------------------------------- volume
vol_source() { local p s=; for p in $PROXIES; do s+=${s:+,}$(host_ip "$p"); done; echo "$s:/$VOLUME"; }
vol_mount() {
	local host=client dir= cache= o
	OPTIND=1
	while getopts H:m:c: o; do case $o in H) host=$OPTARG ;; m) dir=$OPTARG ;; c) cache=$OPTARG ;; *) fail "vol_mount: bad option" ;; esac; done
	shift $((OPTIND - 1))
	[ -n "$dir" ] || { if [ "$host" = client ]; then dir=/mnt/a; else dir=/mnt/b; fi; }
	scratch cache
	cache=${cache:-/cache/${dir##*/}}
	mkdir -p "$dir" "$cache"
	pp mount.augurfs "$(vol_source)" "$dir" -o "cache=$cache,ctl=/run/augur/$(agent_name "$host").sock${1:+,$1}"
}
vol_umount() { . "$T/vm/isolate"; leaked_requests || fail "requests are left in the module"; pp umount "${1:-$MNT}"; }
vol_remount() { vol_umount "$MNT"; vol_mount "$@"; }
# Mounts again with an empty cache, as on a host that never saw the volume.
vol_fresh() {
	local n
	! mountpoint -q "$MNT" || vol_umount "$MNT"
	n=$(find /cache -maxdepth 1 -name 'fresh*' 2> /dev/null | wc -l)	# no variable: callers may be subshells
	vol_mount -c "/cache/fresh$((n + 1))" "$@"
}
# Ends everything of a volume, so that the next vol_up starts from nothing.
vol_down() {
	local p
	! mountpoint -q "$MNT" || vol_umount "$MNT"
	daemon_stop agent
	for p in $PROXIES; do daemon_stop "$p"; done
	umount /cache 2> /dev/null || :
	rm -rf /var/lib/augur/*
}
vol_up() {
	local rtt=${1:-$RTT} p
	requires module daemon tools
	net_up
	mountpoint -q "$ORIGIN" || [ "$ORIGIN" != /origin ] || origin_make
	for p in $PROXIES; do proxy_start "$p"; done
	link "$rtt" "${RATE:-}"
	agent_start
	vol_mount "${VOL_OPTS:-}"
}
# Leases come from each owner some time after the mount. A test that counts requests asks for long ones (LONG_LEASES), so
# that a slow machine does not lose them on the way, and waits for all of them.
LONG_LEASES=lease_ms=120000
leased() { wait_until 60 _leased "${1:-client}"; }
_leased() { augur --ctl "/run/augur/$(agent_name "$1").sock" --json status | jq -e '[.mounts[].daemon.leases] | length > 0 and all(.shards > 0 and .held == .shards)'; }
# NFS 4.2 of /origin from srv1, mounted at DIR: what acceptance compares with.
nfs_up() {
	modprobe nfsd; modprobe nfsv4
	mkdir -p /run/rpcbind /var/lib/nfs/{v4recovery,sm,rpc_pipefs,nfsdcld}
	on srv1 mount -t nfsd nfsd /proc/fs/nfsd
	on srv1 mount -t rpc_pipefs rpc_pipefs /var/lib/nfs/rpc_pipefs
	echo '/origin 10.9.0.0/24(rw,no_root_squash,no_subtree_check,sync,fsid=0)' > /etc/exports
	on srv1 exportfs -ra
	on srv1 nfsdcld || :
	on srv1 rpc.nfsd -G 10 -L 10 -N 3 8
	on srv1 rpc.mountd -N 3
	cleanup on srv1 rpc.nfsd 0
}
nfs_mount() { mkdir -p "$1"; on client mount -t nfs -o "${2:-vers=4.2}" 10.9.0.1:/ "$1"; }
# Sum over the mounts of one counter of /sys/fs/augurfs/<id>/stats.
stat_of() {
	local f n=0 seen=
	for f in /sys/fs/augurfs/*/stats/"$1"; do [ ! -e "$f" ] || { n=$((n + $(cat "$f"))); seen=1; }; done
	[ -n "$seen" ] || fail "no counter $1 in /sys/fs/augurfs/*/stats"
	echo "$n"
}
inject() {
	[ -e "/sys/kernel/debug/augurfs/inject/$1" ] || fail "the module has no fault point $1"
	echo "$2" > "/sys/kernel/debug/augurfs/inject/$1"
}
