/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ctl_proto.h - the control socket that the augur command and the mount helper talk to.
 *
 * A Unix stream socket, mode 0600, root only (SO_PEERCRED is checked).  One request a
 * connection: one line of JSON {"verb": "...", ...arguments}, at most CTL_REQ_MAX bytes.  The
 * answer is JSON lines: any number of {"progress": {...}} or {"row": {...}}, then exactly one
 * last line {"schema": "augur.VERB/1", "ok": true, ...} or
 * {"schema": ..., "ok": false, "error": "AUGUR_E_...", "errno": n, "message": "...", "hint": "..."}.
 *
 * Verbs of an agent:
 *   status   {} -> {role, pid, version, uptime_s, mounts: [{id, source, cache, state, proxies: [{id,
 *            addr, state: up | connecting | down, up, error, rtt_ms, shards, rx_bytes, tx_bytes, share}],
 *            cache: {objects, present_bytes, free_bytes}, history: {enabled, accepted, dropped, drops: {ring,
 *            lost, queue, write}, rows, segments, bytes, paths, scanners}, pending, map_version}]}; proxies: those of the map once each, the source's before there is one;
 *            connecting: no attempt has ended yet; error: of one that is down; rtt_ms: 0 if never known
 *   attach   {source, cache, timeout_ms} -> {cache, source, volume_id}; source: the one that is used, if the
 *            cache was attached by another before: prepares the cache directory (creates
 *            root/ and .augur/, stamps the root), dials the proxies and waits a little for the first
 *            attempt with each; everything that can be wrong with a mount is said here.  Idempotent.
 *   where    {path: absolute, in a mount} -> {oid, version, pu, shard, proxy, addr, state, ino}
 *            state: present | partial | absent (a directory: present when it is populated);
 *            ino: 64 bits in a signed number
 *   warm     {paths: [...], depth} -> progress {files, bytes, total_files, total_bytes, eta_s}*, then
 *            {files, bytes, errors}
 *   pin      {paths} -> progress*, then {files, bytes, errors};  pins {} -> row {path, volume, here, named}*, then {pins}
 *            path: where it is by now; named: as it was pinned, if that is another
 *   unpin    {paths} -> progress*, then {files, bytes, kept, above, errors}; kept: of the paths, pinned by one above
 *   evict    {paths, bytes} -> {evicted, bytes, refused: {why: n}, errors}
 *   log      {limit, follow: bool, mount, path, session, program, kinds: [op, ...], since, until, scanners:
 *            too | only | not} -> progress {history}, row {id, time, session, op, flags, path, off, len, latency_us, pid, uid, comm, open,
 *            scanner}*, then {rows, history}
 *            time, since, until: ns of CLOCK_REALTIME; session: 16 hex digits; mount: its id; path: from the
 *            volume's root, this object and what is below it
 *   events   {follow: bool} -> row {event: is, kind, mount, cache, name, state, ...}* (what is), row {event: now}, then
 *            while follow row {event: new | change | gone | scanner, ...} as it happens, and
 *            row {event: dropped, count} where a reader that was slow has missed some
 *            kind: daemon, mount, cache, lease, requests, history, proxy, scanner
 *   abort    {mount} -> {}                 (the command writes sysfs itself when augurd is down)
 *   doctor   {} -> {checks: [{name, state: ok|warn|fail, detail, fix}]}
 *   debug    {what} -> free form
 * Verbs of a proxy: status {} -> {role, id, volume, origin, peers, map_version, shards, served_bytes,
 *   requests, origin_changes_seen}; doctor.
 */
#ifndef AUGUR_CTL_PROTO_H
#define AUGUR_CTL_PROTO_H

#define CTL_SOCK_DEFAULT	"/run/augur/augurd.sock"
#define CTL_REQ_MAX		65536
#define CTL_PROXY_PORT		"7433"	/* WIRE_PORT, for commands that know no frames */

/* Causes with a name: the same word in logs, on the command line and in JSON. */
#define CTL_ERRORS(X) \
	X(AUGUR_E_PROXY_UNREACHABLE, "no proxy of the list answers", "check the address and that augurd --role proxy runs there: augur doctor") \
	X(AUGUR_E_NO_VOLUME, "the proxy does not export this volume", "see the names with 'augur status' on the proxy") \
	X(AUGUR_E_PROTO, "the peer speaks another protocol version", "install the same augurd version on both sides") \
	X(AUGUR_E_ABI, "module and daemon versions do not fit", "install the same version of augurfs-dkms and augurd, then reload the module") \
	X(AUGUR_E_CACHE_MISSING, "the cache directory does not exist", "create it on ext4, xfs or btrfs: mkdir -p DIR") \
	X(AUGUR_E_CACHE_FS, "the cache directory is not on ext4, xfs or btrfs", "choose a directory on a local ext4, xfs or btrfs filesystem") \
	X(AUGUR_E_CACHE_READONLY, "the cache directory is not writable", "mount its filesystem read-write, or choose another") \
	X(AUGUR_E_CACHE_BUSY, "another augurd serves this cache directory", "stop it, or choose another cache directory") \
	X(AUGUR_E_CACHE_FOREIGN, "the cache directory belongs to another volume", "use one cache directory per volume") \
	X(AUGUR_E_CACHE_COPIED, "the cache directory was copied or restored from elsewhere", "its contents cannot be trusted: empty it, or choose another directory") \
	X(AUGUR_E_CACHE_NESTED, "the cache directory lies in another cache", "choose a directory outside of it") \
	X(AUGUR_E_NOT_MOUNTED, "the path is not in a mounted augurfs volume", "see the mounts with: augur status") \
	X(AUGUR_E_PATH, "the path cannot be looked up", "ls -ld says the same of it; if the mount hangs: augur doctor") \
	X(AUGUR_E_MODULE, "the augurfs kernel module is not loaded", "modprobe augurfs") \
	X(AUGUR_E_SOURCE, "the source is not PROXY[,PROXY...]:/VOLUME", "example: proxy1,proxy2:/home") \
	X(AUGUR_E_NO_HISTORY, "no access log is kept", "start augurd without --no-history; why a file could not be opened: journalctl -u augurd") \
	X(AUGUR_E_DAEMON_DOWN, "augurd does not answer", "start it: systemctl start augurd; why it ended: journalctl -u augurd") \
	X(AUGUR_E_PERMISSION, "only root may do this", "run it as root") \
	X(AUGUR_E_ANSWER, "the answer of augurd is not understood", "install the same version of augur and augurd, then see the daemon's log") \
	X(AUGUR_E_TIMEOUT, "no answer in time", "see what it waits for: augur status, augur doctor") \
	X(AUGUR_E_USAGE, "wrong arguments", "see augur VERB --help") \
	X(AUGUR_E_INTERNAL, "internal error", "see the daemon's log")

enum ctl_error {
#define X(n, msg, hint) n,
	CTL_ERRORS(X)
#undef X
};

#endif
