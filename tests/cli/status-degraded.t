# one proxy of two does not answer
mount live
answer {"schema":"augur.status/1","ok":true,"role":"agent","pid":4711,"version":"0.1","uptime_s":60,"mounts":[{"id":3,"source":"p1,p2:/home","cache":{"objects":210,"present_bytes":73400320,"free_bytes":10737418240},"state":"live","proxies":[{"id":"p1","addr":"10.0.0.1:7433","up":true,"rtt_ms":10.2,"shards":32,"rx_bytes":41943040,"tx_bytes":20480,"share":0.571},{"id":"p2","addr":"10.0.0.2:7433","up":false,"rtt_ms":10.4,"shards":32,"rx_bytes":31457280,"tx_bytes":15360,"share":0.429}],"history":{"accepted":500,"dropped":0,"rows":512},"pending":0,"map_version":1}]}
$ augur
    fs: home                 state: DEGRADED
 mount: p1,p2:/home on /mnt/home   (id 3)
status: proxy p2 does not answer; 1 of 2 do.
action: check that augurd --role proxy runs there: 'augur doctor'.
   see: augur-doctor(8)

 PROXY  STATE  SHARDS  SHARE      RTT        IN       OUT  ADDRESS
 p1     up         32    57%  10.2 ms  40.0 MiB  20.0 KiB  10.0.0.1:7433
 p2     down       32    43%  10.4 ms  30.0 MiB  15.0 KiB  10.0.0.2:7433

 cache     70.0 MiB present in 210 objects, 10.0 GiB free
 history   512 rows, 500 accepted, 0 dropped
 requests  0 pending; map version 1

 kernel    120 opens, 5.0 MiB read, 1.0 MiB of it waited for; 17 upcalls, 0 timed out
? 2
