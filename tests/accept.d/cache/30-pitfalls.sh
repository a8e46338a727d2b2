# SPDX-License-Identifier: GPL-2.0-or-later
# line: fsfreeze with an absent mapped buffer finishes; pitfalls 1-6 each have a test that fails when the cure is out
# bug: each cure is taken out in turn, and each test with one has to notice
build_all
for k in 6.1 6.12; do guest pitfalls -k "$k"; done
