#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/bench/bars.py: a figure is ok only if all its rows are there, good, and within the bar."""
import os
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BARS = os.path.join(TOP, "tests/bench/bars.py")
PEERS = ["nfs42", "nfs42-tuned", "nfs-fsc", "sshfs"]
WORK = ["grep", "pystart", "gitstatus", "find", "walk1000", "replay500", "seq128M", "rand1000"]


def row(system, rtt, workload, phase, seconds, remarks=""):
    return f"{system}\t{rtt}\t{workload}\t{phase}\t1\t{seconds}\t{seconds}\t200000000\t{remarks}\n"


def bars(kind, rows):
    """{what: (verdict, value)}, and the exit status."""
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as f:
        f.writelines(rows)
        f.flush()
        p = subprocess.run([sys.executable, BARS, kind, f.name], capture_output=True, text=True, check=False)
    out = {}
    for line in p.stdout.splitlines():
        word, verdict, what, value, _ = line.split("\t")
        assert word == "figure" and verdict in ("ok", "short", "not run"), line
        out[what] = verdict, value
    return out, p.returncode


def find(out, part):
    got = [v for k, v in out.items() if part in k]
    assert len(got) == 1, (part, list(out))
    return got[0]


def warm_rows(**ours):
    ops = {"stat": 100, "fstat": 100, "pread4k": 100, "mmap-touch-page": 100, "mmap-fault": 100, "getdents200": 40,
           "open+read4k+close": 130, "stat-enoent": 100}
    ops.update(ours)
    rows = []
    for op, ns in ops.items():
        rows += [row("ext4", 0, op, "op", 100e-9), row("overlay", 0, op, "op", 150e-9)]
        if ns is not None:
            rows.append(row("augurfs", 1, op, "op", ns * 1e-9, "upcalls=0"))
    return rows


def cold_rows(rtt=10, remarks=""):
    rows = []
    for w in WORK:
        rows += [row(p, rtt, w, "cold", 100 + i) for i, p in enumerate(PEERS)]
        rows += [row("ext4", 0, w, "cold", 1), row("augurfs", rtt, w, "cold", 2, remarks), row("augurfs", rtt, w, "disk", 1.12)]
    return rows + [row("augurfs", rtt, "seq128M-100m", "cold", 11.5)]


class Bars(unittest.TestCase):
    def verdicts(self, out):
        return {v for v, _ in out.values()}

    def test_warm_within(self):
        out, rc = bars("warm", warm_rows())
        self.assertEqual((self.verdicts(out), rc, len(out)), ({"ok"}, 0, 17))

    def test_warm_beyond(self):
        out, _ = bars("warm", warm_rows(stat=111, getdents200=51))
        self.assertEqual(find(out, "stat: x ext4 (augurfs 111")[0], "short")
        self.assertEqual(find(out, "getdents200: x ext4")[0], "short")
        self.assertEqual(find(out, "pread4k: x ext4")[0], "ok")

    def test_warm_not_below_overlay(self):
        out, _ = bars("warm", warm_rows(stat=150))
        self.assertEqual([v for k, (v, _) in out.items() if k.startswith("stat: x overlayfs")], ["short"])

    def test_warm_upcalls(self):
        out, _ = bars("warm", [r.replace("upcalls=0", "upcalls=1") if "\tfstat\t" in r else r for r in warm_rows()])
        self.assertEqual(find(out, "upcalls in all"), ("short", "1.000"))
        out, _ = bars("warm", [r.replace("upcalls=0", "") if "\tfstat\t" in r else r for r in warm_rows()])
        self.assertEqual(find(out, "upcalls of fstat")[0], "not run")

    def test_warm_is_the_threads_own(self):
        rows = [r for r in warm_rows() if "augurfs\t1\topen" not in r]
        rows.append("augurfs\t1\topen+read4k+close\top\t1\t3e-7\t1.3e-7\t0\tupcalls=0\n")
        verdict, value = find(bars("warm", rows)[0], "open+read4k+close: x ext4 (augurfs 130 ns, ext4 100 ns; 300 ns with")
        self.assertEqual((verdict, value), ("ok", "1.300"))

    def test_missing_row(self):
        out, _ = bars("warm", warm_rows(fstat=None))
        self.assertEqual([v for k, (v, _) in out.items() if k.startswith("fstat:")], ["not run"] * 2)

    def test_missing_system(self):
        out, _ = bars("warm", [r for r in warm_rows() if not r.startswith("overlay")])
        self.assertEqual({v for k, (v, _) in out.items() if "overlayfs" in k}, {"not run"})

    def test_failed_row(self):
        rows = [r for r in warm_rows() if not r.startswith("augurfs\t1\tstat\t")]
        out, _ = bars("warm", rows + [row("augurfs", 1, "stat", "op", 100e-9, "rc=1 no such file")])
        self.assertEqual({v for k, (v, _) in out.items() if k.startswith("stat:")}, {"short"})

    def test_no_rows(self):
        for kind in ("warm", "cold", "far", "nfs"):
            out, rc = bars(kind, [])
            self.assertEqual((self.verdicts(out), rc), ({"not run"}, 1), kind)

    def test_cold_within(self):
        out, rc = bars("cold", cold_rows(remarks="ahead_bytes=100 ahead_unused=25"))
        self.assertEqual((self.verdicts(out), rc, len(out)), ({"ok"}, 0, 26))

    def test_cold_only_at_10_against_nfs(self):
        out, _ = bars("cold", cold_rows(1))
        self.assertEqual([k for k in out if "NFS 4.2" in k or "of the link" in k], [])

    def test_cold_peer_missing(self):
        out, _ = bars("cold", [r for r in cold_rows() if not r.startswith("sshfs")])
        self.assertEqual({v for k, (v, _) in out.items() if "best peer" in k}, {"not run"})
        self.assertEqual({v for k, (v, _) in out.items() if "NFS 4.2" in k}, {"ok"})

    def test_cold_slower_than_best(self):
        out, _ = bars("cold", cold_rows() + [row("nfs42-tuned", 10, "find", "cold", 0.5)] * 2)
        self.assertEqual(find(out, "find -ls at 10 ms: times as fast as the best")[0], "short")

    def test_remount(self):
        rows = [r for r in cold_rows() if "\tgrep\tdisk" not in r]
        self.assertEqual(find(bars("cold", rows)[0], "grep of the tree at 10 ms: after a remount")[0], "not run")
        rows.append(row("augurfs", 10, "grep", "disk", 1.14))
        self.assertEqual(find(bars("cold", rows)[0], "grep of the tree at 10 ms: after a remount")[0], "short")

    def test_link(self):
        rows = [r for r in cold_rows() if "-100m" not in r] + [row("augurfs", 10, "seq128M-100m", "cold", 11.9)]
        self.assertEqual(find(bars("cold", rows)[0], "part of the link")[0], "short")

    def test_unused(self):
        out, _ = bars("cold", cold_rows(remarks="ahead_bytes=100 ahead_unused=26"))
        self.assertEqual(find(out, "was not used"), ("short", "0.260"))
        self.assertIn("find 0 of 0", " ".join(out))            # each that wasted something is named

    def test_unused_not_counted(self):
        out, _ = bars("cold", cold_rows())
        self.assertEqual(find(out, "was not used")[0], "not run")

    def test_not_cold(self):
        rows = [r for r in cold_rows() if "augurfs\t10\tgrep\tcold" not in r]
        rows.append(row("augurfs", 10, "grep", "cold", 2).replace("\t200000000\t", "\t5000\t"))
        self.assertEqual(find(bars("cold", rows)[0], "so all were cold (grep)"), ("short", "4.883"))

    def test_far(self):
        rows = [row("augurfs", rtt, w, "warm", 1 if w != "find" or rtt == 1 else 1.2) for w in WORK for rtt in (1, 40)]
        out, _ = bars("far", rows)
        self.assertEqual(find(out, "find -ls")[0], "short")
        self.assertEqual(find(out, "git status")[0], "ok")
        out, _ = bars("far", [r for r in rows if "\t1\tgrep" not in r])
        self.assertEqual(find(out, "grep")[0], "not run")


if __name__ == "__main__":
    unittest.main()
