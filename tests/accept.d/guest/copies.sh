# SPDX-License-Identifier: GPL-2.0-or-later
#
# copies.sh: random reads of a large file move little; tools that look for holes copy half-present files byte by byte;
# fio verifies what every kind of read returns.
. /payload/tests/lib/guest.sh
requires module daemon tools fio qemu-img rsync jq
PROXIES="p1 p2"
scratch origin 1600
head -c 1073741824 /dev/zero | openssl enc -aes-128-ctr -K 00000000000000000000000000000001 -iv 0 -nosalt > /origin/one 2> /dev/null
python3 - <<'PY'
import os, random
rnd = random.Random(3)
for n, sparse in (("plain", False), ("holes", True)):
    with open(f"/origin/{n}", "wb") as f:
        f.truncate(24 << 20)
        for i in range(96):
            if not sparse or i % 3 == 0:
                f.seek(i << 18)
                f.write(rnd.randbytes(1 << 18))
PY
vol_up 1
figure "size of the file read at random (MiB)" "$(($(stat -c %s "$MNT/one") >> 20))" = 1024
moved() { echo $(($(stat_of grant_bytes) + $(stat_of miss_bytes))); }	# what was asked for and what was granted beside it
w=$(wire_bytes); b=$(moved)
python3 - "$MNT/one" /origin/one <<'PY'
import os, random, sys
a, b = (os.open(p, os.O_RDONLY) for p in sys.argv[1:])
for i in random.Random(5).sample(range(262144), 10):
    assert os.pread(a, 4096, i << 12) == os.pread(b, 4096, i << 12)
PY
figure "10 random reads of 4 KiB: chunks of 64 KiB moved" "$((($(moved) - b + 65535) / 65536))" '<=' 20
figure "10 random reads of 4 KiB: KiB on the wire" "$((($(wire_bytes) - w) / 1024))" '<=' 1400

OUT=/cache/copies; mkdir -p $OUT
# Half there: every other MiB, the last one first. So few reads, and none that follows another, have nothing else brought.
half() { local f i; for f in "$@"; do for ((i = 23; i > 0; i -= 2)); do dd if="$MNT/$f" of=/dev/null bs=1M skip=$i count=1 status=none; done; done; }
# What is here of each file at this moment, in MiB of 24.
here() { augur --ctl /run/augur/agent.sock --json where "${@/#/$MNT/}" | jq -rs '[.[] | if type == "array" then .[] else . end | .present_bytes / 1048576] | join(" ")'; }
c_tar() { tar -cSf - -C "$MNT" plain holes | tar -xf - -C $OUT; }
c_rsync() { rsync -S "$MNT/plain" "$MNT/holes" $OUT/; }
c_cp() { cp --sparse=always "$MNT/plain" "$MNT/holes" $OUT/; }
c_cpauto() { cp --sparse=auto "$MNT/plain" "$MNT/holes" $OUT/; }
c_reflink() { cp --reflink=auto "$MNT/plain" "$MNT/holes" $OUT/; }
c_qemu() { local f; for f in plain holes; do qemu-img convert -f raw -O raw "$MNT/$f" "$OUT/$f"; done; }
for how in tar rsync cp cpauto reflink qemu; do
	for state in absent half; do
		vol_fresh > /dev/null; rm -rf $OUT; mkdir $OUT
		if [ $state = half ]; then
			half plain holes
			figure "$how of two half files: MiB of 24 here before it" "$(here plain holes)" = "12 12"
		fi
		c_$how || :
		if cmp -s $OUT/plain /origin/plain && cmp -s $OUT/holes /origin/holes; then v=yes; else v=no; fi
		figure "$how of a file that is $state: byte-exact" "$v" = yes
	done
done

# What was a hole at the origin is one in the cache, and seen as one when all of the file is here.
vol_fresh > /dev/null; cat "$MNT/holes" > /dev/null
figure "a file of 24 MiB with 8 MiB of data, read whole: KiB in the cache" "$(du -k "$(ls -d /cache/fresh* | sort -V | tail -n 1)/root/holes" | cut -f1)" '<=' 8400
figure "its runs of data by SEEK_DATA" "$(PYTHONPATH=$T/lib python3 -c 'import os, sys, rawio; print(len(rawio.data_runs(os.open(sys.argv[1], 0))))' "$MNT/holes")" = 32

# fio writes a pattern with checksums at the origin and verifies it through the mount.
fio --name=w --filename=/origin/fio --size=24m --bs=4k --rw=write --verify=crc32c --do_verify=0 --ioengine=psync --output=/dev/null
wait_until 10 test -e "$MNT/fio"
for engine in psync libaio io_uring mmap; do
	for direct in 0 1; do
		[ "$engine$direct" != mmap1 ] || continue
		vol_fresh > /dev/null; half fio
		figure "fio $engine direct=$direct: MiB here before it, of 24" "$(here fio)" = 12
		if fio --name=v --filename="$MNT/fio" --size=24m --bs=4k --rw=randread --verify=crc32c --verify_only --ioengine=$engine --direct=$direct --iodepth=8 --readonly > "$RUN/fio.out" 2>&1; then v=yes; else v=no; tail -n 3 "$RUN/fio.out"; fi
		figure "fio $engine direct=$direct: verifies" "$v" = yes
	done
done
