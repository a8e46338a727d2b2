#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# recover.sh: starts a proxy and an agent on a disk that was cut: recover.sh IMAGE ORIGIN AUGURD RECOVER WORK
# Runs in namespaces of its own (unshare -nm): a network, loop mounts that nobody else sees. Prints what recover prints.
set -euo pipefail
image=$1 origin=$2 augurd=$3 recover=$4 work=$5
[ "$(ip -o link | wc -l)" = 1 ] || { echo "recover.sh: in a network of its own only: unshare -nm $0" >&2; exit 2; }
mkdir -p "$work/cache" "$work/origin"
ip link set lo up
ip addr add 10.9.0.1/32 dev lo		# where the proxy was
mount -o loop,noatime "$origin" "$work/origin"
mount -o loop,noatime "$image" "$work/cache"
proxy=
finish() {
	[ -z "$proxy" ] || { kill "$proxy"; wait "$proxy" || :; } 2> /dev/null
	umount "$work/cache" "$work/origin"
}
trap finish EXIT
mkdir -p "$work/cache/store" "$work/cache/a"
rm -f "$work/ready"; mkfifo "$work/ready"
exec 8<> "$work/ready"
"$augurd" --role proxy --id p1 --listen 10.9.0.1:7433 --insecure --export "vol=$work/origin/tree" --store "sqlite:$work/cache/store/p1.db" \
	--proxies p1=10.9.0.1:7433 --seed 1 --ctl "$work/p1.sock" --ready-fd 9 9>&8 > "$work/p1.log" 2>&1 & proxy=$!
read -r -n 1 -t 60 <&8 || { tail -n 5 "$work/p1.log"; echo "the proxy does not start"; exit 3; }
timeout 200 "$recover" "$work/cache/a" "$work/origin/tree" 10.9.0.1 2> "$work/agent.log"
