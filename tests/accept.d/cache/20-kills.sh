# SPDX-License-Identifier: GPL-2.0-or-later
# line: 32 readers missing while augurd is killed and restarted 50 times: no EIO, no wrong byte
# bug: inject drop_resend
build_all
for k in 6.1 6.12; do guest kills -k "$k"; done
