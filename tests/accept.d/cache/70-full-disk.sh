# SPDX-License-Identifier: GPL-2.0-or-later
# line: a full disk and the watermarks: reads go on, nothing dirty or pinned is dropped, the state is shown
# bug: inject evict_pinned
build_all
for k in 6.1 6.12; do guest fulldisk -k "$k"; done
