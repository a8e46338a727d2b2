#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of tests/bench/run as figures with bars, for acceptance lines (tests/accept.d).

  bars.py warm ROWS.tsv...     warm operations over ext4 and overlayfs (workload micro)
  bars.py cold ROWS.tsv...     cold work against every peer, for each RTT there are rows of; after a remount as local
  bars.py far ROWS.tsv...      warm passes at 40 ms as at 1 ms
  bars.py nfs ROWS.tsv...      a cold walk and a cold sequential read against NFS 4.2

One line a figure: "figure <tab> ok|short|not run <tab> what <tab> value <tab> bar". A row that is missing makes its figure
`not run`, one that failed makes it `short`: neither is ever `ok`. Exit status 1 if there is no row at all.
"""
import operator
import re
import sys

import report

COMPARE = {">=": operator.ge, "<=": operator.le, "<": operator.lt, ">": operator.gt}
US = "augurfs"
PEERS = ["nfs42", "nfs42-tuned", "nfs-fsc", "sshfs"]
WIRE = 1514 / 1448                      # a full frame over its payload
LINK_BYTES = 100e6 / 8                  # of the workloads called -100m

# Operation, at most so many times ext4's instructions.
WARM = [("stat", 1.10), ("fstat", 1.10), ("pread4k", 1.10), ("mmap-touch-page", 1.10), ("mmap-fault", 1.10),
        ("getdents200", 0.50), ("open+read4k+close", 1.40), ("stat-enoent", 1.10)]
# Workload, what it is called, at least so many times faster than NFS 4.2 at 10 ms.
COLD = [("grep", "grep of the tree", 20), ("pystart", "python start-up", 6), ("gitstatus", "git status", 9),
        ("find", "find -ls", 7), ("walk1000", "1,000 small files, walked", None), ("replay500", "500 random small files", 3),
        ("seq", "sequential", None), ("rand1000", "1,000 random reads", 3)]


class Failed(Exception):
    """A row that is there and failed."""


class Missing(Exception):
    """No such row."""


def figure(what, value, op, bar):
    verdict = "ok" if COMPARE[op](value, bar) else "short"
    print(f"figure\t{verdict}\t{what}\t{value:.3f}\t{op} {bar:.3f}")


def attempt(what, bar, compute):
    """Prints compute()'s figure: its value, or why there is none. compute() gives (details, value) and may raise."""
    op, limit = bar
    try:
        detail, value = compute()
    except Missing as e:
        print(f"figure\tnot run\t{what}: no row of {e}\t-\t{op} {limit:.3f}")
    except Failed as e:
        print(f"figure\tshort\t{what}: failed: {e}\tfailed\t{op} {limit:.3f}")
    else:
        figure(f"{what} ({detail})" if detail else what, value, op, limit)


class Rows:
    def __init__(self, files):
        self.rows = report.load(files)
        self.rtts = sorted({k[1] for k in self.rows if k[1] > 0})

    def get(self, system, rtt, workload, phase, column="seconds"):
        value = report.median(self.rows, system, rtt, workload, phase, column)
        if value is None:
            key = f"{system} {workload} {phase}"
            there = self.rows.get((system, rtt, workload, phase)) or self.rows.get((system, 0.0, workload, phase))
            raise Failed(f"{key}: {there[0].remarks.strip()}") if there else Missing(key)
        if value <= 0 and column == "seconds":
            raise Failed(f"{system} {workload} {phase}: {value} seconds")
        return value

    def counter(self, rtt, workload, phase, name):
        """Sum of a counter in the remarks of our rows; 0 where it did not move."""
        got = report.take(self.rows, US, rtt, workload, phase)
        return sum(int(n) for r in got for n in re.findall(rf"(?:^|\s){name}=(-?\d+)", r.remarks))

    def sequential(self, rtt, slow=False):
        """The large file's workload has its size in its name."""
        end = "-100m" if slow else ""
        names = {k[2] for k in self.rows if re.fullmatch(rf"seq\d+M{end}", k[2]) and k[1] in (rtt, 0.0)}
        if len(names) > 1:
            raise Failed(f"several sizes: {' '.join(sorted(names))}")
        return names.pop() if names else f"seq128M{end}"


def text(s):
    return f"{s * 1e9:.0f} ns" if s < 1e-3 else f"{s:.3f} s"


def ratio(rows, a, b, workload, phase, rtt, base_phase=None):
    x, y = rows.get(a, rtt, workload, phase), rows.get(b, rtt, workload, base_phase or phase)
    return f"{a} {text(x)}, {b} {text(y)}", x / y


def instructions(rows, a, b, op, rtt):
    """Of the thread that does the operation. What it leaves for others to do is said beside it."""
    x, y = rows.get(a, rtt, op, "op", "busy_s"), rows.get(b, rtt, op, "op", "busy_s")
    if min(x, y) <= 0:
        raise Failed(f"{op}: no time of the thread's own")
    all_of_it = rows.get(a, rtt, op, "op")
    behind = f"; {text(all_of_it)} with what other threads did meanwhile" if all_of_it > 1.05 * x else ""
    return f"{a} {text(x)}, {b} {text(y)}{behind}", x / y


def upcalls(rows, rtt):
    total = 0
    for op, _ in WARM:
        rows.get(US, rtt, op, "op")
        for r in report.take(rows.rows, US, rtt, op, "op"):
            moved = re.search(r"(?:^|\s)upcalls=(\d+)", r.remarks)
            if not moved:
                raise Missing(f"the upcalls of {op}")
            total += int(moved.group(1))
    return "", total


def warm(rows):
    rtt = rows.rtts[0] if rows.rtts else 0.0
    for op, bar in WARM:
        attempt(f"{op}: x ext4", ("<=", bar), lambda op=op: instructions(rows, US, "ext4", op, rtt))
        attempt(f"{op}: x overlayfs", ("<", 1), lambda op=op: instructions(rows, US, "overlay", op, rtt))
    attempt("upcalls in all of them", ("<=", 0), lambda: upcalls(rows, rtt))


def best_peer(rows, workload, phase, rtt):
    """The fastest peer; every one of them has to have been measured."""
    return min((rows.get(p, rtt, workload, phase), p) for p in PEERS)


def against_best(rows, workload, rtt):
    ours = rows.get(US, rtt, workload, "cold")
    theirs, who = best_peer(rows, workload, "cold", rtt)
    return f"{who} {text(theirs)}, {US} {text(ours)}", theirs / ours


def after_remount(rows, workload, rtt):
    ours, local = rows.get(US, rtt, workload, "disk"), rows.get("ext4", rtt, workload, "cold")
    limit = 1.1 * local + 3 * rtt / 1e3
    return f"{text(ours)}, 1.1 x ext4 cold + 3 RTT is {text(limit)}", ours / limit


def of_link(rows, rtt):
    name = rows.sequential(rtt, slow=True)
    ours = rows.get(US, rtt, name, "cold")
    size = int(re.match(r"seq(\d+)M", name).group(1)) << 20
    limit = size * WIRE / LINK_BYTES
    return f"{text(ours)}, the link alone {text(limit)}", limit / ours


def unused(rows, rtt):
    """Of all bytes that read-ahead brought, the part that nobody asked for afterwards; each workload's beside it."""
    brought = wasted = 0
    parts = []
    for w, _, _ in COLD:
        name = rows.sequential(rtt) if w == "seq" else w
        rows.get(US, rtt, name, "cold")
        b, u = (rows.counter(rtt, name, "cold", c) for c in ("ahead_bytes", "ahead_unused"))
        brought += b
        wasted += u
        if u:
            parts.append(f"{name} {u >> 10} of {b >> 10}")
    if not brought:                     # none of these figures comes without: it was not counted
        raise Missing("bytes that were read ahead")
    return f"{wasted >> 10} of {brought >> 10} KiB" + (f": {', '.join(parts)}" if parts else ""), wasted / brought


def unused_small(rows, rtt):
    """The same without the large files: what the read-ahead over a directory's files cost."""
    names = [w for w, _, _ in COLD if w not in ("seq", "rand1000")]
    brought, wasted = (sum(rows.counter(rtt, w, "cold", c) for w in names) for c in ("ahead_bytes", "ahead_unused"))
    if not brought:
        raise Missing("bytes of small files that were read ahead")
    return f"{wasted >> 10} of {brought >> 10} KiB", wasted / brought


def moved(rows, rtt):
    """KiB on the wire of the cold row that moved least: none of them may have found its bytes here."""
    names = [rows.sequential(rtt) if w == "seq" else w for w, _, _ in COLD]
    least, name = min((rows.get(US, rtt, n, "cold", "wire_bytes"), n) for n in names)
    return name, least / 1024


def cold(rows):
    for rtt in rows.rtts or [10.0]:
        at = f"at {rtt:g} ms"
        for w, what, times in COLD:
            name = rows.sequential(rtt) if w == "seq" else w
            attempt(f"{what} {at}: times as fast as the best peer", (">=", 1),
                    lambda name=name, rtt=rtt: against_best(rows, name, rtt))
            if times and rtt == 10:
                attempt(f"{what} {at}: times as fast as NFS 4.2", (">=", times),
                        lambda name=name, rtt=rtt: ratio(rows, "nfs42", US, name, "cold", rtt))
            attempt(f"{what} {at}: after a remount, of its limit", ("<=", 1),
                    lambda name=name, rtt=rtt: after_remount(rows, name, rtt))
        if rtt >= 10:
            attempt(f"sequential {at}, 100 Mbit/s: part of the link", (">=", 0.95), lambda rtt=rtt: of_link(rows, rtt))
        attempt(f"least KiB on the wire {at}, so all were cold", (">=", 100), lambda rtt=rtt: moved(rows, rtt))
        attempt(f"read ahead {at}: part that was not used", ("<=", 0.25), lambda rtt=rtt: unused(rows, rtt))
        attempt(f"of small files {at}, brought before they were opened: part that never was", ("<=", 0.25), lambda rtt=rtt: unused_small(rows, rtt))


def far(rows):
    for w, what, _ in COLD:
        name = rows.sequential(40.0) if w == "seq" else w

        def compare(name=name):
            x, y = (rows.get(US, rtt, name, "warm") for rtt in (40.0, 1.0))
            return f"{text(x)} and {text(y)}", x / y
        attempt(f"{what}, warm: at 40 ms over 1 ms", ("<=", 1.05), compare)


def nfs(rows):
    attempt("1,000 small files at 10 ms: times NFS", (">=", 5), lambda: ratio(rows, "nfs42", US, "walk1000", "cold", 10.0))
    for rtt in (1.0, 10.0):
        name = rows.sequential(rtt, slow=True)
        size = int(re.match(r"seq(\d+)M", name).group(1))
        attempt(f"sequential at {rtt:g} ms: MiB on the wire, so it was cold", (">=", size),
                lambda rtt=rtt, name=name: ("", rows.get(US, rtt, name, "cold", "wire_bytes") / 2**20))
        attempt(f"sequential at {rtt:g} ms: share of NFS's speed", (">=", 0.95),
                lambda rtt=rtt, name=name: ratio(rows, "nfs42", US, name, "cold", rtt))


def main():
    kinds = {"warm": warm, "cold": cold, "far": far, "nfs": nfs}
    if len(sys.argv) < 3 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    rows = Rows(sys.argv[2:])
    kinds[sys.argv[1]](rows)
    if not rows.rows:
        sys.exit("bars: there is no row")


if __name__ == "__main__":
    main()
