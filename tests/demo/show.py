#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's result: one screen of text, and a picture (SVG) of bytes on the wire over time.

  show.py OUTDIR PICTURE.svg TOTAL_SECONDS     OUTDIR holds demo.json and samples.tsv as tests/demo/guest.sh left them
Exits 1 if the tree read through the mount is not the origin's.
"""
import json
import os
import sys

out, picture, total = sys.argv[1], sys.argv[2], float(sys.argv[3])
d = json.load(open(os.path.join(out, "demo.json")))
samples = [[float(v or 0) for v in line.rstrip("\n").split("\t")] for line in open(os.path.join(out, "samples.tsv")) if line.count("\t") >= 3]
cold, warm = d["cold"], d["warm"]
MIB = 1048576
equal = d["hash_origin"] == d["hash_cold"] == d["hash_warm"]


def share(p):
    both = cold["p1_bytes"] + cold["p2_bytes"]
    return 100 * cold[p] / both if both else 0


rows = [
    ("", "first pass", "second pass"),
    ("seconds", f"{cold['seconds']:.1f}", f"{warm['seconds']:.1f}"),
    ("upcalls", f"{cold['upcalls']}", f"{warm['upcalls']}"),
    ("bytes on the wire", f"{cold['wire_bytes'] / MIB:.1f} MiB", f"{warm['wire_bytes'] / MIB:.3f} MiB"),
    ("share of p1 / p2", f"{share('p1_bytes'):.0f} % / {share('p2_bytes'):.0f} %", ""),
]
print()
print(f"  augurfs on Linux {d['kernel']} (emulated): a real /usr, {d['files']} files, {d['bytes'] / MIB:.0f} MiB, two proxies {d['rtt_ms']} ms away")
print("  each pass reads every byte and all metadata, and hashes them")
print()
for r in rows:
    print(f"    {r[0]:<20}{r[1]:>18}{r[2]:>18}")
print(f"    {'origin, no augurfs':<20}{d['local_seconds']:>16.1f} s")
print()
print(f"  tree hash through the mount: {'equal to' if equal else 'NOT EQUAL to'} the origin's ({d['hash_origin'][:16]})")
print(f"  whole demo: {total:.0f} s; picture: {picture}")

# ---- the picture: MiB per second from each proxy, stacked
W, H, L, B, T = 900, 360, 60, 50, 60
rates = []
for a, b in zip(samples, samples[1:]):
    dt = max(b[0] - a[0], 0.001)
    rates.append((a[0], b[0], (b[1] - a[1]) / dt / MIB, (b[2] - a[2]) / dt / MIB))
end = max([r[1] for r in rates] + [1])
top = max([r[2] + r[3] for r in rates] + [0.1]) * 1.1


def x(t):
    return L + (W - L - 20) * t / end


def y(v):
    return H - B - (H - B - T) * v / top


s = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" font-family="sans-serif" font-size="13">',
     f'<rect width="{W}" height="{H}" fill="white"/>',
     f'<text x="{L}" y="22" font-size="16">/usr ({d["files"]} files, {d["bytes"] / MIB:.0f} MiB) read twice through augurfs, two proxies {d["rtt_ms"]} ms away</text>',
     f'<text x="{L}" y="42" fill="#555">first pass {cold["seconds"]:.0f} s, {cold["upcalls"]} upcalls, {cold["wire_bytes"] / MIB:.0f} MiB on the wire;'
     f' second pass {warm["seconds"]:.0f} s, {warm["upcalls"]} upcalls, {warm["wire_bytes"]} bytes; tree hash {"equal" if equal else "NOT equal"}</text>']
for a, b, p1, p2 in rates:
    w = max(x(b) - x(a) - 0.5, 0.5)
    s.append(f'<rect x="{x(a):.1f}" y="{y(p1):.1f}" width="{w:.1f}" height="{y(0) - y(p1):.1f}" fill="#3b6ea5"/>')
    s.append(f'<rect x="{x(a):.1f}" y="{y(p1 + p2):.1f}" width="{w:.1f}" height="{y(p1) - y(p1 + p2):.1f}" fill="#e08e45"/>')
m = x(d["second_pass_at"])
s.append(f'<line x1="{m:.1f}" x2="{m:.1f}" y1="{T}" y2="{H - B}" stroke="#888" stroke-dasharray="4 3"/>')
s.append(f'<text x="{m + 6:.1f}" y="{T + 14}" fill="#555">second pass</text>')
s.append(f'<line x1="{L}" x2="{W - 20}" y1="{y(0)}" y2="{y(0)}" stroke="black"/>')
for i in range(6):
    s.append(f'<text x="{x(end * i / 5):.0f}" y="{H - B + 18}" text-anchor="middle">{end * i / 5:.0f} s</text>')
    s.append(f'<text x="{L - 6}" y="{y(top * i / 5) + 4:.0f}" text-anchor="end">{top * i / 5:.1f}</text>')
s.append(f'<text x="{L}" y="{H - 8}" fill="#555">MiB/s from the proxies</text>')
for i, (name, colour) in enumerate((("p1", "#3b6ea5"), ("p2", "#e08e45"))):
    s.append(f'<rect x="{L + 180 + i * 130}" y="{H - 19}" width="12" height="12" fill="{colour}"/>')
    s.append(f'<text x="{L + 198 + i * 130}" y="{H - 8}">{name}: {share(name + "_bytes"):.0f} % of bytes</text>')
s.append("</svg>")
with open(picture, "w") as f:
    f.write("\n".join(s) + "\n")
sys.exit(0 if equal else 1)
