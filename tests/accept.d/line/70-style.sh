# SPDX-License-Identifier: GPL-2.0-or-later
# line: `make style` is clean; the module builds for 6.1 and 6.12 without a warning, and the guest tests pass on both
# bug: a line of 200 columns in the module (kmod/zz_seeded.h)
# limit: 3000
b=$build/accept-style; rm -rf "$b"
if [ -n "$BUG" ]; then
	printf '/* SPDX-License-Identifier: GPL-2.0-only */\n/* %0200d */\n' 0 > kmod/zz_seeded.h; trap 'rm -f kmod/zz_seeded.h' EXIT
fi
rc=0; make style || rc=$?
figure "make style: status" "$rc" = 0
[ -z "$BUG" ] || exit 0
for k in $(tools/dev/kernels all); do
	rc=0; make --no-print-directory BUILD="$b" "module-$k" > "$b.log" 2>&1 || rc=$?
	cat "$b.log"
	figure "module for $k: builds" "$rc" = 0
	figure "module for $k: warnings" "$(grep -c 'warning:' "$b.log" || :)" = 0
done
build_all
for k in 6.1 6.12; do
	tests/run -k "$k" --vm > "$b.log" 2>&1 || :
	cat "$b.log"
	figure "guest tests on $k that failed" "$(tail -n 1 "$b.log" | sed -n 's/.*passed, \([0-9]*\) failed.*/\1/p')" = 0
	figure "guest tests on $k that passed" "$(tail -n 1 "$b.log" | cut -d' ' -f1)" '>=' 5
done
