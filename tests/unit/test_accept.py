#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What counts as an acceptance line that holds, and what as a seeded bug that was noticed."""
import os
import shutil
import subprocess
import tempfile
import unittest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def accept(line, *args):
    """tests/accept with one line, in a tree of its own; its output and exit status."""
    with tempfile.TemporaryDirectory() as top:
        os.makedirs(f"{top}/tests/accept.d/list")
        shutil.copy(f"{TESTS}/accept", f"{top}/tests/accept")
        shutil.copy(f"{TESTS}/accept.d/lib.sh", f"{top}/tests/accept.d/lib.sh")
        with open(f"{top}/tests/accept.d/list/1-line.sh", "w", encoding="utf-8") as f:
            f.write("# line: a line\n# bug: a bug\n" + line)
        subprocess.run(["git", "init", "-q", top], check=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith("AUGUR_")}
        r = subprocess.run([f"{top}/tests/accept", "list", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, check=False)
        return r.stdout.decode(), r.returncode


class Lines(unittest.TestCase):
    def holds(self, line, status, *args):
        out, rc = accept(line, *args)
        self.assertEqual(rc, status, out)
        return out

    def test_verdicts(self):
        self.holds("figure a 1 '>=' 1\n", 0)
        self.holds("figure a 0 '>=' 1\nfigure b 1 = 1\n", 1)
        self.holds("figure a '' '>=' 0\n", 1)
        self.holds("figure a none '<=' 1\n", 1)
        self.holds("figure a 0.5 '<=' 1\nfigure b -3 '<' 1e-3\nfigure c 1.5e+08 '>' 1\n", 0)
        self.holds("", 1)                                     # no figure at all
        self.holds("figure a 1 = 1\nfalse\n", 1)
        self.holds("not_here no such disk\n", 2)

    def test_a_bug_that_is_noticed(self):
        self.assertIn("proved", self.holds("figure lost 3 = 0\n", 0, "--prove"))
        self.assertIn("proved", self.holds("figure builds yes = yes\nfigure lost 3 = 0\n", 0, "--prove"))

    def test_what_proves_nothing(self):
        for line in ("figure lost 0 = 0\n", "false\n", "figure builds no = yes\n", "figure 'tests/x: built' no = yes\n",
                     "figure 'x: parts are built' no = yes\n", "figure \"the benchmark's status\" 1 = 0\n", "figure lost '' = 0\n", ""):
            self.assertIn("unproved", self.holds(line, 1, "--prove"), line)


if __name__ == "__main__":
    unittest.main()
