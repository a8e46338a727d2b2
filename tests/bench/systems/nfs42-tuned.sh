# SPDX-License-Identifier: GPL-2.0-or-later
# nfs42-tuned: NFS 4.2 as one tunes it for a tree that is mostly read: attributes believed for an hour, no close-to-open
# check, four connections. Not coherent.
NFS_OPTS=vers=4.2,nconnect=4,actimeo=3600,nocto,noatime,rsize=1048576,wsize=1048576
. "$B/bench/systems/nfs.inc"
