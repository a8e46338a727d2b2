sysfs 3/source p1,p2:/home
sysfs 3/cache /c/home
sysfs 3/state aborted
sysfs 3/daemon_pid 4711
sysfs 3/stats/opens 120
sysfs 3/stats/read_bytes 5242880
sysfs 3/stats/miss_bytes 1048576
sysfs 3/stats/upcalls 17
sysfs 3/stats/upcalls_timeout 0
mountinfo 36 25 0:45 / /mnt/home ro,nosuid,nodev,relatime shared:1 - augurfs p1,p2:/home ro,cache=/c/home
$ augur status -x
    fs: home                 state: FAILED
 mount: p1,p2:/home on /mnt/home   (id 3)
status: the mount was aborted; calls that need augurd fail.
action: unmount it and mount it again.
   see: augur-abort(8)

 kernel    120 opens, 5.0 MiB read, 1.0 MiB of it waited for; 17 upcalls, 0 timed out
? 2
