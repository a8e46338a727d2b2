# works with augurd down; writes sysfs
mount orphan
sysfs 3/abort 0
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
