# a healthy mount: both halves of the screen
mount live
answer {"schema":"augur.status/1","ok":true,"role":"agent","pid":4711,"version":"0.1","uptime_s":60,"io":"io_uring","io_why":"the default","mounts":[{"id":3,"source":"p1,p2:/home","cache":{"state":"culling","objects":210,"present_bytes":73400320,"total_bytes":21474836480,"used_bytes":10737418240,"free_bytes":10737418240,"evicted_bytes":1048576,"evicted_objects":3,"streamed_bytes":0,"pins":2,"pinned_bytes":2048,"watermarks":{"run":10,"cull":7,"stop":3}},"state":"live","proxies":[{"id":"p1","addr":"10.0.0.1:7433","up":true,"rtt_ms":10.2,"shards":32,"rx_bytes":41943040,"tx_bytes":20480,"share":0.571},{"id":"p2","addr":"10.0.0.2:7433","up":true,"rtt_ms":10.4,"shards":32,"rx_bytes":31457280,"tx_bytes":15360,"share":0.429}],"history":{"accepted":500,"dropped":0,"rows":512},"pending":0,"map_version":1,"counters":{"ahead_bytes":31457280,"ahead_used":30408704,"ahead_unused":1048576}}]}
request {"verb":"status"}
$ augur status
    fs: home                 state: ONLINE
 mount: p1,p2:/home on /mnt/home   (id 3)

 PROXY  STATE  SHARDS  SHARE      RTT        IN       OUT  ADDRESS
 p1     up         32    57%  10.2 ms  40.0 MiB  20.0 KiB  10.0.0.1:7433
 p2     up         32    43%  10.4 ms  30.0 MiB  15.0 KiB  10.0.0.2:7433

 cache     70.0 MiB present in 210 objects, 10.0 GiB free of 20.0 GiB
 room      culling; evicts below 7 %, up to 10 %; fetches nothing ahead below 3 %
 evicted   1.0 MiB of 3 objects; 2.0 KiB pinned by 2 pins
 ahead     30.0 MiB brought unasked, 1.0 MiB of it not used so far
 history   512 rows, 500 accepted, 0 dropped
 requests  0 pending; map version 1
 augurd    process 4711, on io_uring (the default)

 kernel    120 opens, 5.0 MiB read, 1.0 MiB of it waited for; 17 upcalls, 0 timed out
