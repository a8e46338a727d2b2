# SPDX-License-Identifier: GPL-2.0-or-later
# line: the tree through the mount is the origin's; two proxies share the bytes for three seeds; a second pass asks nobody
# bug: inject unstable_ino
build_all
for k in 6.1 6.12; do guest tree -k "$k"; done
