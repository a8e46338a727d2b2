sysfs 3/source p1,p2:/home
sysfs 3/cache /c/home
sysfs 3/state orphan
sysfs 3/daemon_pid 4711
sysfs 3/stats/opens 120
sysfs 3/stats/read_bytes 5242880
sysfs 3/stats/miss_bytes 1048576
sysfs 3/stats/upcalls 17
sysfs 3/stats/upcalls_timeout 0
mountinfo 36 25 0:45 / /mnt/home ro,nosuid,nodev,relatime shared:1 - augurfs p1,p2:/home ro,cache=/c/home
$ augur where /mnt/home/a/b
  mount: p1,p2:/home on /mnt/home, state orphan
augur where: augurd does not answer at TMP/ctl: No such file or directory (AUGUR_E_DAEMON_DOWN)
  try: start it: systemctl start augurd; why it ended: journalctl -u augurd
? 1
$ augur where /etc
augur where: the path is not in a mounted augurfs volume (AUGUR_E_NOT_MOUNTED)
  try: see the mounts with: augur status
? 1
