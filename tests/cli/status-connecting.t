# a proxy whose first dial has not ended is neither up nor down, and nothing is wrong yet
mount live
answer {"schema":"augur.status/1","ok":true,"role":"agent","pid":4711,"version":"0.1","uptime_s":60,"mounts":[{"id":3,"source":"p1,p2:/home","cache":{"objects":0,"present_bytes":0,"free_bytes":10737418240},"state":"live","proxies":[{"id":"p1","addr":"10.0.0.1:7433","state":"up","up":true,"rtt_ms":10.2,"shards":32,"rx_bytes":1024,"tx_bytes":0,"share":1.0},{"id":"p2","addr":"10.0.0.2:7433","state":"connecting","up":false,"rtt_ms":0,"shards":32,"rx_bytes":0,"tx_bytes":0,"share":0}],"history":{"accepted":0,"dropped":0,"rows":0},"pending":0,"map_version":1}]}

answer {"schema":"augur.status/1","ok":true,"role":"agent","pid":4711,"version":"0.1","uptime_s":60,"mounts":[{"id":3,"source":"p1,p2:/home","cache":{"objects":0,"present_bytes":0,"free_bytes":10737418240},"state":"live","proxies":[{"id":"p1","addr":"10.0.0.1:7433","state":"up","up":true,"rtt_ms":10.2,"shards":32,"rx_bytes":1024,"tx_bytes":0,"share":1.0},{"id":"p2","addr":"10.0.0.2:7433","state":"connecting","up":false,"rtt_ms":0,"shards":32,"rx_bytes":0,"tx_bytes":0,"share":0}],"history":{"accepted":0,"dropped":0,"rows":0},"pending":0,"map_version":1}]}

answer {"schema":"augur.status/1","ok":true,"role":"agent","pid":4711,"version":"0.1","uptime_s":60,"mounts":[{"id":3,"source":"p1,p2:/home","cache":{"objects":0,"present_bytes":0,"free_bytes":10737418240},"state":"live","proxies":[{"id":"p1","addr":"10.0.0.1:7433","state":"up","up":true,"rtt_ms":10.2,"shards":32,"rx_bytes":1024,"tx_bytes":0,"share":1.0},{"id":"p2","addr":"10.0.0.2:7433","state":"connecting","up":false,"rtt_ms":0,"shards":32,"rx_bytes":0,"tx_bytes":0,"share":0}],"history":{"accepted":0,"dropped":0,"rows":0},"pending":0,"map_version":1}]}

answer {"schema":"augur.status/1","ok":true,"role":"agent","pid":4711,"version":"0.1","uptime_s":60,"mounts":[{"id":3,"source":"p1,p2:/home","cache":{"objects":0,"present_bytes":0,"free_bytes":10737418240},"state":"live","proxies":[{"id":"p1","addr":"10.0.0.1:7433","state":"up","up":true,"rtt_ms":10.2,"shards":32,"rx_bytes":1024,"tx_bytes":0,"share":1.0},{"id":"p2","addr":"10.0.0.2:7433","state":"down","up":false,"rtt_ms":0,"shards":32,"rx_bytes":0,"tx_bytes":0,"share":0},{"id":"p3","addr":"10.0.0.3:7433","state":"connecting","up":false,"rtt_ms":0,"shards":32,"rx_bytes":0,"tx_bytes":0,"share":0}],"history":{"accepted":0,"dropped":0,"rows":0},"pending":0,"map_version":1}]}

answer {"schema":"augur.status/1","ok":true,"role":"agent","pid":4711,"version":"0.1","uptime_s":60,"mounts":[{"id":3,"source":"p1,p2:/home","cache":{"objects":0,"present_bytes":0,"free_bytes":10737418240},"state":"live","proxies":[{"id":"10.0.0.1","addr":"10.0.0.1","state":"connecting","up":false,"rtt_ms":0,"shards":32,"rx_bytes":0,"tx_bytes":0,"share":0},{"id":"10.0.0.2","addr":"10.0.0.2","state":"connecting","up":false,"rtt_ms":0,"shards":32,"rx_bytes":0,"tx_bytes":0,"share":0}],"history":{"accepted":0,"dropped":0,"rows":0},"pending":0,"map_version":1}]}

answer {"schema":"augur.status/1","ok":true,"role":"agent","pid":4711,"version":"0.1","uptime_s":60,"mounts":[{"id":3,"source":"p1,p2:/home","cache":{"objects":0,"present_bytes":0,"free_bytes":10737418240},"state":"live","proxies":[{"id":"10.0.0.1","addr":"10.0.0.1","state":"down","up":false,"rtt_ms":0,"shards":32,"rx_bytes":0,"tx_bytes":0,"share":0},{"id":"10.0.0.2","addr":"10.0.0.2","state":"connecting","up":false,"rtt_ms":0,"shards":32,"rx_bytes":0,"tx_bytes":0,"share":0}],"history":{"accepted":0,"dropped":0,"rows":0},"pending":0,"map_version":1}]}
$ augur status
    fs: home                 state: ONLINE
 mount: p1,p2:/home on /mnt/home   (id 3)
status: connecting to proxy p2; 1 of 2 are up.

 PROXY  STATE       SHARDS  SHARE      RTT       IN  OUT  ADDRESS
 p1     up              32   100%  10.2 ms  1.0 KiB  0 B  10.0.0.1:7433
 p2     connecting      32     0%        -      0 B  0 B  10.0.0.2:7433

 cache     0 B present in 0 objects, 10.0 GiB free
 history   0 rows, 0 accepted, 0 dropped
 requests  0 pending; map version 1

 kernel    120 opens, 5.0 MiB read, 1.0 MiB of it waited for; 17 upcalls, 0 timed out
$ augur status -x
everything is fine
$ augur status --json | jq -c '[.health,.mounts[0].health,.mounts[0].status,.mounts[0].action,.mounts[0].daemon.proxies[1].state,.mounts[0].daemon.proxies[1].up]'
["ONLINE","ONLINE","connecting to proxy p2; 1 of 2 are up.","","connecting",false]
$ augur status -x | grep -e state -e status
    fs: home                 state: DEGRADED
status: proxy p2 does not answer; 1 of 3 do (1 still connecting).
$ augur status | grep -e fs: -e status
    fs: home                 state: ONLINE
status: connecting to proxy 10.0.0.2; 0 of 2 are up.
$ augur status | grep -e fs: -e status
    fs: home                 state: DEGRADED
status: proxy 10.0.0.1 does not answer; 0 of 2 do (1 still connecting).
