#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# layers.sh: do includes go the way they should? In the daemon a room may include its own files and rooms of a lower
# layer; a few libraries have one room each. Prints each wrong edge and exits 1; called by tools/dev/style.sh.
#   L0 base · L1 wire, torch · L2 xfer, cache, history · L3 meta (`remote` speaks over xfer) · L4 place ·
#   L5 origin, graph, split, foresee · L6 upcall, rebalance, prefetch · L7 ctl, export · L8 agent · L9 roles, main
set -euo pipefail
cd "$(dirname "$0")/../.."
bad=$(mktemp); trap 'rm -f "$bad"' EXIT
complain() { echo "$*" >> "$bad"; }

level() {
	case $1 in
	base) echo 0 ;; wire | torch) echo 1 ;; xfer | cache | history) echo 2 ;; meta) echo 3 ;; place) echo 4 ;;
	origin | graph | split | foresee) echo 5 ;; upcall | rebalance | prefetch) echo 6 ;; ctl | export) echo 7 ;; agent) echo 8 ;; *) echo 9 ;;
	esac
}
room() { case $1 in daemon/*/*) r=${1#daemon/}; echo "${r%%/*}" ;; *) echo role ;; esac; }

# ---- includes between rooms of the daemon, and what tools may see
while IFS=: read -r file line inc; do
	inc=$(sed -E 's/.*#[[:space:]]*include[[:space:]]*[<"]([^>"]*)[>"].*/\1/' <<< "$inc")
	at="$file:$line includes $inc"
	case $file in
	daemon/*)
		from=$(room "$file")
		case $inc in
		# base/fh.h takes the one limit that frames and upcalls share.
		linux/augurfs.h) [ "$from" = upcall ] || [ "$file" = daemon/base/fh.h ] || complain "$at: the ABI header is for daemon/upcall" ;;
		common/* | kmod/common/*) ;;
		*/*.h)
			if [ -e "daemon/$inc" ]; then
				to=$(room "daemon/$inc")
				[ "$from" = "$to" ] || [ "$(level "$to")" -lt "$(level "$from")" ] || complain "$at: $from (L$(level "$from")) must not know $to (L$(level "$to"))"
			fi ;;
		esac ;;
	tools/augur/*)
		case $inc in
		*/*.h) [ ! -e "daemon/$inc" ] || [[ $inc == base/* || $inc == ctl/ctl_proto.h || $inc == history/query.h ]] || complain "$at: tools may include daemon/base, ctl/ctl_proto.h and history/query.h only" ;;
		esac ;;
	tools/mount/*)
		case $inc in
		*/*.h) [ ! -e "daemon/$inc" ] || complain "$at: the mount helper stands on libc alone" ;;
		jansson.h | sqlite3.h | netlink/*) complain "$at: the mount helper stands on libc alone" ;;
		esac ;;
	kmod/common/*)
		case $inc in linux/augurfs.h | linux/types.h) ;; linux/* | asm/*) grep -q __KERNEL__ "$file" || complain "$at: kmod/common has no kernel includes" ;; esac ;;
	esac
done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include' --include='*.c' --include='*.h' daemon tools/augur tools/mount kmod/common 2> /dev/null)

# ---- one room a library; versions in compat only
only() {
	local what=$1 pattern=$2 where=$3; shift 3
	grep -rnE --include='*.c' --include='*.h' --include='*.cc' -- "$pattern" "$@" 2> /dev/null | grep -vE "$where" | grep -vE ':[[:space:]]*(/?\*|//)' | cut -d: -f1,2 |
		while IFS=: read -r f l _; do complain "$f:$l: $what"; done || :
}
only "kernel versions are told apart in kmod/compat alone" 'LINUX_VERSION_CODE|KERNEL_VERSION\(' '^kmod/compat/' kmod
only "SQLite is spoken in base/db.c, meta/sqlite.c and history/" 'include <sqlite3\.h>' '^daemon/(base/db|meta/sqlite|history/)' daemon tools
only "io_uring is spoken in daemon/base and daemon/xfer" 'include <liburing' '^daemon/(base/|xfer/)' daemon tools
only "netlink is spoken in daemon/upcall" 'include <(netlink/|linux/(gen)?e?netlink)' '^daemon/upcall/' daemon tools
only "netlink is spoken in kmod/netlink.c and kmod/nl*.c" '\b(nla_put|nlmsg_[a-z]+|genl_[a-z]+|genlmsg_[a-z]+)\(' '^kmod/(netlink|nl[a-z]+\.c|upcall|event|compat/)' kmod
c=$(find daemon tools tests \( -name '*.cc' -o -name '*.cpp' \) -not -path 'daemon/torch/*' 2> /dev/null)
[ -z "$c" ] || complain "C++ outside daemon/torch: $c"

if [ -s "$bad" ]; then cat "$bad"; echo "layers: $(wc -l < "$bad") wrong edges"; exit 1; fi
echo "layers: ok"
