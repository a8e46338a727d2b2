# SPDX-License-Identifier: GPL-2.0-or-later
# line: fsfreeze with an absent mapped buffer finishes; pitfalls 1-6 each have a test that fails when the cure is out
# bug: none of the cures is taken out (the tests with the fault points pass, so each is unproved)
build_all
for k in 6.1 6.12; do guest pitfalls -k "$k"; done
