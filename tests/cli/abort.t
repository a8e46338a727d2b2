# works with augurd down; writes sysfs
sysfs 3/source p1,p2:/home
sysfs 3/cache /c/home
sysfs 3/state orphan
sysfs 3/daemon_pid 4711
sysfs 3/stats/opens 120
sysfs 3/stats/read_bytes 5242880
sysfs 3/stats/miss_bytes 1048576
sysfs 3/stats/upcalls 17
sysfs 3/stats/upcalls_timeout 0
sysfs 3/abort 0
mountinfo 36 25 0:45 / /mnt/home ro,nosuid,nodev,relatime shared:1 - augurfs p1,p2:/home ro,cache=/c/home
$ augur abort /mnt/home/sub
augur abort: /mnt/home/sub is neither the mount point nor the id of an augurfs mount (AUGUR_E_NOT_MOUNTED)
  try: see the mounts with: augur status
? 1
$ cat sysfs/3/abort; augur abort /mnt/home; cat sysfs/3/abort
0
mount 3 (/mnt/home) is aborted: waiting calls fail, and so will new ones that need augurd.
next: umount /mnt/home
1
$ augur abort --json 3
{"schema":"augur.abort/1","ok":true,"mount":3,"mount_point":"/mnt/home"}
$ augur abort 9
augur abort: 9 is neither the mount point nor the id of an augurfs mount (AUGUR_E_NOT_MOUNTED)
  try: see the mounts with: augur status
? 1
$ augur abort
augur abort: which mount? give its mount point or its id (AUGUR_E_USAGE)
  try: augur abort --help
? 2
