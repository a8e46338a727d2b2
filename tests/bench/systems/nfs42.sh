# SPDX-License-Identifier: GPL-2.0-or-later
# nfs42: NFS 4.2 with the defaults of both sides.
NFS_OPTS=vers=4.2
. "$B/bench/systems/nfs.inc"
