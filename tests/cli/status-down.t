# augurd is gone: what the kernel knows, and what to do
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
$ augur status
    fs: home                 state: DEGRADED
 mount: p1,p2:/home on /mnt/home   (id 3)
status: no augurd serves the mount; present bytes are served while the lease holds, absent ones wait up to timeout_ms.
action: start it: 'systemctl start augurd'; to let waiting calls fail: 'augur abort'.
   see: augurd(8)

 kernel    120 opens, 5.0 MiB read, 1.0 MiB of it waited for; 17 upcalls, 0 timed out
? 2
$ augur status --json | jq -c '[.ok,.health,.daemon.up,.daemon.error,.mounts[0].kernel_state]'
[true,"DEGRADED",false,"AUGUR_E_DAEMON_DOWN","orphan"]
