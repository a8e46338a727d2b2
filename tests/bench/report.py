#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns the rows of tests/bench/run into a table of ratios, a picture, or one figure.

  report.py [--svg OUT.svg] ROWS.tsv...     the table, and the picture
  report.py --figure SYSTEM WORKLOAD PHASE RTT COLUMN ROWS.tsv...    the median of seconds | busy_s | stall_s | wire_bytes
  report.py --ratio A B WORKLOAD PHASE RTT ROWS.tsv...               seconds of A over seconds of B

A figure of a row that is missing or failed is an error (exit status 1). Local systems have one row for every RTT.
"""
import collections
import statistics
import sys

Row = collections.namedtuple("Row", "seconds busy_s wire_bytes remarks")
COLOURS = ["#7f8c8d", "#b2bec3", "#c0392b", "#e67e22", "#2471a3", "#27ae60", "#8e44ad"]


def load(files):
    rows = collections.defaultdict(list)
    for name in files:
        with open(name, encoding="utf-8", errors="replace") as f:
            for line in f:
                c = line.rstrip("\n").split("\t")
                if len(c) >= 8 and not line.startswith("#"):
                    rows[c[0], float(c[1]), c[2], c[3]].append(
                        Row(float(c[5]), float(c[6]), int(c[7]), c[8] if len(c) > 8 else ""))
    return rows


def take(rows, system, rtt, workload, phase):
    """The good rows of one cell; a local system's stand for every RTT."""
    got = rows.get((system, rtt, workload, phase)) or rows.get((system, 0.0, workload, phase)) or []
    return [r for r in got if "rc=" not in r.remarks]


def median(rows, system, rtt, workload, phase, column="seconds"):
    got = take(rows, system, rtt, workload, phase)
    if not got:
        return None
    if column == "stall_s":
        return statistics.median(r.seconds - r.busy_s for r in got)
    return statistics.median(getattr(r, column) for r in got)


def base_phase(phase):
    return "cold" if phase == "disk" else phase


def seconds(x):
    if x is None:
        return "-"
    if x < 1e-3:
        return f"{x * 1e9:.0f}ns"
    return f"{x:.4f}" if x < 1 else f"{x:.3f}" if x < 10 else f"{x:.1f}"


def table(rows):
    systems = list(dict.fromkeys(k[0] for k in rows))
    rtts = sorted({k[1] for k in rows if k[1] > 0}) or [0.0]
    work = list(dict.fromkeys((k[2], k[3]) for k in rows))
    print("seconds (x ext4; r: serial round trips = stall / RTT; own: of the calling thread alone)")
    for rtt in rtts:
        print(f"\n{'RTT %g ms' % rtt:24}" + "".join(f"{s:>36}" for s in systems))
        for w, ph in work:
            limit = median(rows, "ext4", rtt, w, base_phase(ph))
            line = f"{w + ' ' + ph:24}"
            for s in systems:
                m = median(rows, s, rtt, w, ph)
                text = "failed" if m is None and rows.get((s, rtt, w, ph)) else seconds(m)
                if m and limit and s != "ext4":
                    text += f" ({m / limit:.3g}x)"
                if ph == "op" and m:
                    own, base = (median(rows, x, rtt, w, ph, "busy_s") for x in (s, "ext4"))
                    text += f" own {own / base:.3g}x" if own and base and s != "ext4" else ""
                stall = median(rows, s, rtt, w, ph, "stall_s")
                if ph != "op" and m and rtt and stall and stall > rtt / 2e3 and rows.get((s, rtt, w, ph)):
                    text += f" {stall * 1e3 / rtt:.0f}r"
                line += f"{text:>36}"
            print(line)


def picture(rows, out):
    """Bars on a logarithmic scale: one group a workload and RTT, times over ext4's."""
    import math
    systems = [s for s in dict.fromkeys(k[0] for k in rows) if s != "ext4"]
    cells = []
    for rtt in sorted({k[1] for k in rows if k[1] > 0}) or [0.0]:
        for w, ph in dict.fromkeys((k[2], k[3]) for k in rows):
            limit = median(rows, "ext4", rtt, w, base_phase(ph))
            values = [(s, median(rows, s, rtt, w, ph)) for s in systems]
            values = [(s, v / limit) for s, v in values if v and limit]
            if values:
                cells.append((f"{w} {ph}, {rtt:g} ms", values))
    if not cells:
        return
    left, width, bar = 230, 620, 9
    top = max(v for _, vs in cells for _, v in vs)
    low = min(0.5, min(v for _, vs in cells for _, v in vs))
    span = math.log10(max(top, 2) / low)
    x = lambda v: left + width * math.log10(v / low) / span
    height = 60 + sum(len(vs) * bar + 10 for _, vs in cells)
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{height}" font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>']
    for i, s in enumerate(systems):
        at = left + i * 110
        svg.append(f'<rect x="{at}" y="8" width="10" height="10" fill="{COLOURS[i % len(COLOURS)]}"/><text x="{at + 14}" y="17">{s}</text>')
    tick = 10 ** math.ceil(math.log10(low))
    while tick <= top:
        svg.append(f'<line x1="{x(tick):.1f}" y1="32" x2="{x(tick):.1f}" y2="{height}" stroke="#ddd"/>'
                   f'<text x="{x(tick):.1f}" y="30" text-anchor="middle" fill="#666">{tick:g} x ext4</text>')
        tick *= 10
    y = 42
    for name, values in cells:
        svg.append(f'<text x="{left - 8}" y="{y + len(values) * bar / 2 + 4:.0f}" text-anchor="end">{name}</text>')
        for s, v in values:
            colour = COLOURS[systems.index(s) % len(COLOURS)]
            svg.append(f'<rect x="{left}" y="{y}" width="{max(1, x(v) - left):.1f}" height="{bar - 2}" fill="{colour}"/>'
                       f'<text x="{max(left, x(v)) + 4:.1f}" y="{y + 7}" font-size="8">{v:.3g}</text>')
            y += bar
        y += 10
    with open(out, "w", encoding="utf-8") as f:
        f.write("\n".join(svg) + "\n</svg>\n")
    print(f"\npicture: {out}")


def figure(args):
    system, workload, phase, rtt, column = args[:5]
    got = median(load(args[5:]), system, float(rtt), workload, phase, column)
    if got is None:
        sys.exit(f"report: no good row of {system} {workload} {phase} at {rtt} ms")
    print(f"{got:g}")


def ratio(args):
    a, b, workload, phase, rtt = args[:5]
    rows = load(args[5:])
    got = [median(rows, s, float(rtt), workload, phase) for s in (a, b)]
    if None in got or not got[1]:
        sys.exit(f"report: no good rows of {a} and {b}, {workload} {phase} at {rtt} ms")
    print(f"{got[0] / got[1]:.3f}")


def main():
    args = sys.argv[1:]
    if args[:1] == ["--figure"] and len(args) > 6:
        figure(args[1:])
    elif args[:1] == ["--ratio"] and len(args) > 6:
        ratio(args[1:])
    elif args and not args[0].startswith("--") or len(args) > 2 and args[0] == "--svg":
        out = args[1] if args[0] == "--svg" else None
        rows = load(args[2:] if out else args)
        if not rows:
            sys.exit("report: no rows")
        table(rows)
        if out:
            picture(rows, out)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
