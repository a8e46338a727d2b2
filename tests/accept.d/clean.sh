# SPDX-License-Identifier: GPL-2.0-or-later
#
# clean.sh: a Debian 12 with nothing installed but make, in a folder, with a copy of the tree at /src. clean_root makes
# it (from this machine's apt configuration) and names it in $clean; in_clean runs a command in /src there.
clean_root() {
	local w
	[ "$(id -u)" = 0 ] || not_here "needs root for a chroot"
	tools/dev/setup vm > /dev/null
	clean=$(mktemp -d -p "${TMPDIR:-/var/tmp}" augur-clean.XXXXXX)
	trap clean_end EXIT
	chmod 755 "$clean"
	w=$clean.apt; apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' |
		awk -F'|' '$1 == "Debian" { print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] " $2 " " $3 " " $4 }' | sort -u > "$w"
	[ -s "$w" ] || not_here "this machine's apt knows no Debian archive"
	mmdebstrap --quiet --variant=apt --format=directory --include=make,ca-certificates --aptopt='APT::Sandbox::User "root"' bookworm "$clean" "$w" || not_here "no clean system can be made here"
	rm -f "$w" "$clean"/var/lib/apt/lists/*Packages*
	apt-config dump | grep -E '^Acquire::(http|https)' > "$clean/etc/apt/apt.conf.d/90host" || :
	cp -L /etc/resolv.conf "$clean/etc/resolv.conf" 2> /dev/null || :
	mkdir -p "$clean/src"
	git ls-files -co --exclude-standard -z | xargs -0 cp --parents -t "$clean/src" 2> /dev/null || :
	mount -t proc proc "$clean/proc"; mount -t sysfs -o ro sys "$clean/sys"; mount --rbind /dev "$clean/dev"; mount --make-rslave "$clean/dev"
}
in_clean() { chroot "$clean" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 ${BUG:+BUG="$BUG"} sh -c 'cd /src && exec "$@"' sh "$@"; }
clean_end() {
	local m
	for m in "$clean/dev" "$clean/sys" "$clean/proc"; do umount -R "$m" 2> /dev/null || umount -l "$m" 2> /dev/null || :; done
	if grep -q " $clean" /proc/mounts; then echo "clean.sh: still mounted below $clean, left there"; else rm -rf --one-file-system "$clean"; fi
}
