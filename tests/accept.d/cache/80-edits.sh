# SPDX-License-Identifier: GPL-2.0-or-later
# line: edits at the origin during 10^4 reads: every open sees one whole state, seen <= 1 s with fanotify, <= 60 s by rescan
# bug: inject ignore_lease
build_all
for k in 6.1 6.12; do guest edits -k "$k"; done
