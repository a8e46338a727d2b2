#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# style.sh: `make style`. Six checks, each with one line at its end: the kernel's checkpatch over the module, sparse over
# the module, the direction of includes (layers.sh), sizes (sizes.sh), the pages made from tables, the
# manual pages. Exits 1 if one of them found something.
# checkpatch comes from the linux-source package of this Debian: an installed one if there is, else it is fetched once
# into .cache/style (the package is large; nothing else needs it).
set -uo pipefail
cd "$(dirname "$0")/../.."
tools/dev/setup style || exit 1
cache=${AUGUR_CACHE:-.cache}/style; mkdir -p "$cache"
build=${BUILD:-build}; rc=0

find_checkpatch() {
	local f tarball work name
	for f in "$cache/scripts/checkpatch.pl" /usr/src/linux-source-*/scripts/checkpatch.pl /usr/src/linux-*/scripts/checkpatch.pl; do
		[ ! -f "$f" ] || { echo "$f"; return; }
	done
	work=$(mktemp -d "$cache/XXXXXX")
	tarball=$(ls /usr/src/linux-source-*.tar.xz 2> /dev/null | sort -V | tail -n 1)
	if [ -z "$tarball" ]; then
		echo "style: fetching linux-source for its checkpatch (once)" >&2
		name=$(apt-cache depends linux-source 2> /dev/null | awk '/Depends: linux-source-/ { print $2; exit }')
		(cd "$work" && chmod 755 . && apt-get -q -o APT::Sandbox::User=root download "${name:-linux-source-6.1}" > log 2>&1) &&
			dpkg-deb --fsys-tarfile "$work"/linux-source-*.deb | tar -x -C "$work" --wildcards '*/linux-source-*.tar.xz' --transform 's|.*/||'
		tarball=$(ls "$work"/linux-source-*.tar.xz 2> /dev/null)
	fi
	[ -n "$tarball" ] && tar -xf "$tarball" -C "$work" --wildcards --strip-components=1 '*/scripts/checkpatch.pl' '*/scripts/spelling.txt' '*/scripts/const_structs.checkpatch' &&
		mv "$work/scripts" "$cache/scripts"
	rm -rf "$work"
	[ -f "$cache/scripts/checkpatch.pl" ] && echo "$cache/scripts/checkpatch.pl"
}

# What is switched off, and why: MACRO_ARG_REUSE and COMPLEX_MACRO and MULTISTATEMENT (tables of one row an entry), the
# version rules (DKMS supports several kernels; layers.sh keeps them in compat), file-path notes (not a patch), __packed
# (the ABI header is for userspace too), CONST_STRUCT (a copied table of operations has to be filled in).
ignore=MACRO_ARG_REUSE,COMPLEX_MACRO,MULTISTATEMENT_MACRO_USE_DO_WHILE,LINUX_VERSION_CODE,FILE_PATH_CHANGES,SPDX_LICENSE_TAG,SPLIT_STRING,TRAILING_SEMICOLON,MACRO_WITH_FLOW_CONTROL,PREFER_DEFINED_ATTRIBUTE_MACRO,CONST_STRUCT
mapfile -t kfiles < <(find kmod -name '*.c' -o -name '*.h' | sort)
if cp_pl=$(find_checkpatch) && [ ${#kfiles[@]} -gt 0 ]; then
	out=$(perl "$cp_pl" --no-tree --terse --no-summary --show-types --max-line-length=100 --ignore "$ignore" -f "${kfiles[@]}" 2>&1)
	if [ -n "$out" ]; then echo "$out"; echo "checkpatch: $(wc -l <<< "$out") findings"; rc=1; else echo "checkpatch: ok (${#kfiles[@]} files)"; fi
else
	echo "checkpatch: not to be had on this machine (package linux-source)"; rc=1
fi

ver=$(tools/dev/kernels all | head -n 1)
d=$PWD/$build/sparse; rm -rf "$d"; mkdir -p "$d"; cp -rs "$PWD/Kbuild" "$PWD/kmod" "$d/"
# C=2 asks sparse about every file again. What the kernel's own headers are told is not ours.
out=$(make -s -C "/lib/modules/$ver/build" M="$d" C=2 CF="-Wno-sparse-error" modules 2>&1); made=$?
found=$(grep -E 'warning:|error:' <<< "$out" | grep -E "kmod/" | sort -u)
if [ $made != 0 ]; then tail -n 20 <<< "$out"; echo "sparse: the module does not build"; rc=1
elif [ -n "$found" ]; then echo "$found"; echo "sparse: $(wc -l <<< "$found") findings"; rc=1
else echo "sparse: ok"; fi

tools/dev/layers.sh || rc=1
tools/dev/sizes.sh || rc=1
tools/dev/gen-tunables --check || rc=1
tools/dev/check-docs || rc=1
exit $rc
