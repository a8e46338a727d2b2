# SPDX-License-Identifier: GPL-2.0-or-later
# line: cp, tar, rsync, find, grep, python3, gcc, git on absent and half-present trees are byte-exact; stat never changes
# bug: inject unstable_ino
build_all
for k in 6.1 6.12; do guest programs -k "$k"; done
