# augurd is gone: what the kernel knows, and what to do
mount orphan
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
