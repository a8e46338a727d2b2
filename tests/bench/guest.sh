# SPDX-License-Identifier: GPL-2.0-or-later
#
# guest.sh: the benchmark's half inside the guest; tests/bench/run boots it. Arguments: SYSTEMS RTTS WORKLOADS REPS RATE PROFILE.
# Rows go to standard output as "ROW<tab>" + columns:
#   system rtt_ms workload phase rep seconds busy_s wire_bytes remarks
# seconds: wall time in the guest; busy_s: its part in which the one processor ran (both ends of the wire share it);
# wire_bytes: both directions, headers counted; remarks: what the system's counters moved by, "rc=N text" if it failed.
# A row of one warm operation (phase op) has the calling thread's own processor time in busy_s.
# phase: cold (fresh mount, nothing cached here), disk (fresh mount, kept persistent cache), warm (again at once).
#
# Waiting for the machine that emulates us would let virtual time leap ahead to the next timer. So all that is read
# while a clock runs is in memory before: disks are null_blk in memory with 60 us a request, programs are in the page
# cache, and a process of the lowest class keeps the processor busy while they are loaded.
. /payload/tests/lib/guest.sh
trap - ERR; set +eE
SYSTEMS=$1 RTTS=$2 WORKLOADS=$3 REPS=$4 RATE=$5 PROFILE=${6:-}
B=/tmp/bench; OPS=$B/ops; CACHE_MIB=${CACHE_MIB:-700}; SLOW_RATE=100mbit
log() { say "# $(cut -d' ' -f1 /proc/uptime) $*"; }

# ---- disks
memdisk() {						# NAME MIB -> $disk
	local c=/sys/kernel/config/nullb/$1 i
	[ -d /sys/module/null_blk ] || modprobe null_blk nr_devices=0
	mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
	if [ ! -d "$c" ]; then
		mkdir "$c"
		echo "$2" > "$c/size"; echo 4096 > "$c/blocksize"; echo 1 > "$c/memory_backed"
		echo 2 > "$c/irqmode"; echo "${DISK_NS:-60000}" > "$c/completion_nsec"; echo 1 > "$c/power"
		fresh=1
	else fresh=; fi
	disk=/dev/nullb$(< "$c/index"); [ -b "$disk" ] || disk=/dev/$1
	echo none > "/sys/block/${disk##*/}/queue/scheduler" 2> /dev/null
	for i in 1 2 3 4 5; do [ -b "$disk" ] || sleep 0.1; done
}
from_image() { memdisk "$1" 460; [ -z "$fresh" ] || dd if=/dev/vdf of="$disk" bs=1M conv=sparse status=none; }
# What the servers export, in their page cache.
need_origin() {
	mountpoint -q /origin && return
	from_image srv; mkdir -p /origin; mount -o noatime "$disk" /origin
	tar cf - -C /origin . | cat > /dev/null
}
# The client's own copy: the limit.
need_local() { from_image own; LOCAL_DISK=$disk; mkdir -p /local; }
# The client's cache disk.
need_cache() {
	memdisk cache "$CACHE_MIB"; CACHE_DISK=$disk
	[ -z "$fresh" ] || mkfs.ext4 -qF -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 "$disk"
	mkdir -p /cache
	mountpoint -q /cache || mount -o noatime "$disk" /cache
}
# Forgets the pages and inodes of the cache disk's filesystem.
fresh_cache() { settle umount /cache && need_cache; }
settle() { local i; for ((i = 0; i < 50; i++)); do "$@" 2> /dev/null && return; sleep 0.1; done; "$@"; }

# ---- what a system defines (tests/bench/systems/NAME.sh); these are the defaults
defaults() {
	KIND=remote		# local: no network, measured at one RTT
	KEEPS=			# 1: a persistent cache survives a remount (phase disk)
	SKIP=			# workloads that make no sense
	PROGRAMS=		# of its own, read into memory before anything is measured
	sys_up() { :; }		# servers and daemons, once
	sys_mount() { :; }
	sys_umount() { settle umount "$MNT"; }
	sys_wipe() { :; }	# persistent local cache emptied, while not mounted
	sys_counters() { :; }	# "name value" lines
	sys_upcalls() { :; }	# a file that counts its questions to user space
	sys_down() { :; }
}

# ---- timing
# Nanoseconds this processor has idled or waited for a disk or a server: finer than /proc/stat.
idle_ns() { awk -F '[ :]+' '$2 == ".idle_sleeptime" || $2 == ".iowait_sleeptime" { n += $3 } END { printf "%.0f", n }' /proc/timer_list; }
fresh_mount() {						# [wipe]
	cd /
	sys_umount
	[ -z "${1:-}" ] || sys_wipe
	sys_mount > /tmp/mount.out 2>&1 || log "mount failed: $(tail -n 1 /tmp/mount.out)"
}
row() { printf 'ROW\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$SYS" "$RTT_NOW" "$@"; }
timed() {						# WORKLOAD PHASE REP COMMAND...
	local w=$1 ph=$2 rep=$3 b0 i0 t0 t1 i1 b1 rc rem; shift 3
	sys_counters > /tmp/c0; b0=$(wire_bytes); i0=$(idle_ns); t0=$EPOCHREALTIME
	${PROFILE:+profiled "$SYS-$RTT_NOW-$w-$ph"} "$@" > /tmp/wl.out 2> /tmp/wl.err; rc=$?
	t1=$EPOCHREALTIME; i1=$(idle_ns); b1=$(wire_bytes); sys_counters > /tmp/c1
	rem=$(awk 'FNR == NR { a[$1] = $2; next } { d = $2 - a[$1]; if (d) printf "%s=%d ", $1, d }' /tmp/c0 /tmp/c1)
	[ "$rc" = 0 ] || rem="rc=$rc $(tail -n 1 /tmp/wl.err | tr '\t' ' ' | cut -c1-100) $rem"
	# The ends of the two clocks differ by a few reads of /proc: no negative stall.
	row "$w" "$ph" "$rep" $(awk "BEGIN { t = $t1 - $t0; b = t - ($i1 - $i0) / 1e9; b = b < 0 ? 0 : b; if (b > t) b = t; printf \"%.6f %.6f\", t, b }") \
		$((b1 - b0)) "$rem"
	[ -z "${AFTER:-}" ] || $AFTER "$w" "$ph"
}
# Where the processor's time goes, all processes and the kernel together.
perf_() { LD_LIBRARY_PATH=$B/perf "$B/perf/perf" "$@"; }
profiled() {						# NAME COMMAND...
	local name=$1 rc good=0; shift
	[ "$1" != found_nothing ] || { good=1; shift; }
	perf_ record -q -a -g -e cpu-clock -F 10000 -o /tmp/perf.data -- "$@"; rc=$?
	perf_ report -i /tmp/perf.data --stdio --no-children -g none --sort comm,dso,symbol 2> /dev/null |
		grep -v -e '^#' -e '^$' -e swapper | head -n 150 > "/out/perf-$name"
	perf_ report -i /tmp/perf.data --stdio --children -g none --sort comm,symbol 2> /dev/null |
		grep -v -e '^#' -e '^$' -e swapper | head -n 250 > "/out/perf-$name-children"
	perf_ report -i /tmp/perf.data --stdio --no-children -g caller,0.5,callee --max-stack 12 --sort symbol 2> /dev/null |
		grep -v -e '^#' -e '^$' | head -n 700 > "/out/perf-$name-graph"
	[ "$rc" = "$good" ]
}
phases() {						# WORKLOAD COMMAND...: cold, [disk], warm
	local w=$1 r; shift
	for ((r = 1; r <= REPS; r++)); do
		fresh_mount wipe; timed "$w" cold "$r" "$@"
		[ -z "$KEEPS" ] || { sync; fresh_mount; timed "$w" disk "$r" "$@"; }
		timed "$w" warm "$r" "$@"
	done
}

# ---- workloads
w_walk1000() { phases walk1000 "$OPS" walk "$MNT/walk"; }
w_grep() { phases grep found_nothing grep -rc augurfs_is_not_here "$MNT/tree"; }
found_nothing() { "$@"; [ $? = 1 ]; }
w_find() { phases find find "$MNT/tree" -ls; }
# PYTHONHOME names the mount: the interpreter is the guest's, all that it imports is not.
w_pystart() { phases pystart env PYTHONHOME="$MNT/py" PYTHONDONTWRITEBYTECODE=1 python3 -s "$B/bench/imports.py"; }
w_gitstatus() { phases gitstatus git -c safe.directory='*' --no-optional-locks -C "$MNT/repo" status; }
w_replay500() { phases replay500 "$OPS" replay "$MNT" /tmp/bench/replay.list 500; }
w_rand1000() { phases rand1000 "$OPS" randread "$MNT/big" 1000; }
w_seq() { phases "seq${SEQ_MB}M" dd if="$MNT/big" of=/dev/null bs=1M; }
# The same where the link is the bound.
w_seq100m() {
	[ "$KIND" = local ] || set_link "$RTT_NOW" $SLOW_RATE
	phases "seq${SEQ_MB}M-100m" dd if="$MNT/big" of=/dev/null bs=1M
	[ "$KIND" = local ] || set_link "$RTT_NOW" "$RATE"
}
w_micro() {
	local r name ns own moved
	for ((r = 1; r <= REPS; r++)); do
		fresh_mount
		${PROFILE:+profiled "$SYS-$RTT_NOW-micro"} "$OPS" micro "$MNT/micro" "${MICRO_N:-4096}" $(sys_upcalls) > /tmp/micro 2> /tmp/wl.err ||
			row micro op "$r" 0 0 0 "rc=1 $(tail -n 1 /tmp/wl.err)"
		while read -r name ns own moved; do
			[ -z "$own" ] || row "$name" op "$r" $(awk "BEGIN { printf \"%.9f %.9f\", $ns / 1e9, $own / 1e9 }") 0 "$ns ns, own $own ns${moved:+ upcalls=$moved}"
		done < /tmp/micro
	done
}

# ---- one system
set_link() { link "$1" "$2"; on client ping -c 1 -W 5 -q 10.9.0.2 > /dev/null; }
measure() {						# in a subshell of its own
	SYS=$1
	trap sys_down EXIT
	set_link 0.1 "$RATE"
	sys_up || { log "$SYS: its servers do not start"; return 1; }
	sys_mount || { log "$SYS: cannot be mounted"; return 1; }
	# Unmeasured: loads the system's own programs and modules.
	ls -l "$MNT" > /dev/null && head -c 8192 "$MNT/big" | wc -c > /dev/null && "$OPS" walk "$MNT/micro/ls" > /dev/null ||
		log "$SYS: the first use failed"
	local rtts=$RTTS w
	[ "$KIND" = remote ] || rtts=0
	for RTT_NOW in $rtts; do
		set_link "$RTT_NOW" "$RATE"
		for w in $WORKLOADS; do
			[[ " $SKIP " != *" $w "* ]] || continue
			log "$SYS rtt $RTT_NOW $w"
			"w_$w"
		done
	done
	cd /; sys_umount
}

# ---- everything into memory, then the systems one after the other
mkdir -p $B; cp /payload/extra/ops /payload/extra/replay.list $B/; cp -r "$T/bench" "$T/lib" $B/
T=/payload/tests
chrt -i 0 bash -c 'while :; do :; done' & spin=$!
preload() { local f; for f in "$@"; do cat "$f" $(ldd "$f" 2> /dev/null | grep -o '/[^ ]*'); done > /dev/null 2>&1; }
if [ -n "$PROFILE" ]; then
	cp -r /payload/extra/perf $B/
	sysctl -qw kernel.perf_cpu_time_max_percent=0 kernel.kptr_restrict=0 kernel.perf_event_paranoid=-1
fi
preload /bin/{bash,cat,ls,dd,grep,find,tar,mount,umount,sleep,cp,rm,mkdir,stat,head,wc,tr,cut,tail} \
	/usr/bin/{awk,git,jq,nsenter,ping,python3,setsid,timeout,seq} /sbin/{ip,tc,modprobe,mkfs.ext4,mount.nfs,rmmod} \
	/usr/sbin/{rpc.nfsd,rpc.mountd,exportfs,nfsdcld} /payload/{augurd,augur,mount.augurfs,augurfs.ko}
cat /payload/tests/lib/* /payload/tests/vm/* > /dev/null
preload $( for s in $SYSTEMS; do defaults; . "$B/bench/systems/$s.sh"; echo "$PROGRAMS"; done )
# The interpreter's own parts that a start-up maps; what it imports comes from the mount.
python3 -s "$B/bench/imports.py" > /dev/null
# As udev would have done: a processor that has the instruction does not compute ext4's checksums by table.
modprobe crc32c-intel
modprobe ext4; mkdir -p "$MNT" /origin
net_up
need_origin
SEQ_MB=$(($(stat -c %s /origin/big) >> 20))
( defaults; for s in $SYSTEMS; do . "$B/bench/systems/$s.sh"; [ "$KIND" = remote ] || { need_local; break; }; done )
need_cache
kill "$spin"; wait "$spin" 2> /dev/null
log "ready"
for s in $SYSTEMS; do
	defaults; . "$B/bench/systems/$s.sh" || { log "no system $s"; continue; }
	( measure "$s" ) || { log "$s: not complete"; _report; }
done
trap - EXIT
log "done"
