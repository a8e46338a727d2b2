# SPDX-License-Identifier: GPL-2.0-or-later
# line: 10 random reads of 1 GiB move <= 20 chunks; tar -S, rsync -S, cp --sparse, qemu-img and fio are byte-exact on half-present files
# bug: inject show_holes
build_all
for k in 6.1 6.12; do guest copies -k "$k" -r more; done
