# the mounts of this machine are not the proxy's affair
sysfs 3/source p1:/home
sysfs 3/cache /c/home
sysfs 3/state live
answer {"schema":"augur.status/1","ok":true,"role":"proxy","id":"p1","listen":"10.0.0.1:7433","store":"here","connections":3,"uptime_s":3700,"io":"epoll","io_why":"io_uring is forbidden: by test","volumes":[{"volume":"home","joined":true,"watch":"fanotify","origin":"/srv/home","map_version":1,"shards":32,"served_bytes":1073741824,"requests":999,"origin_changes_seen":4,"peers":[{"id":"p1","addr":"10.0.0.1:7433","state":"up","shards":32},{"id":"p2","addr":"10.0.0.2:7433","state":"up","shards":32}]}]}

answer {"schema":"augur.status/1","ok":true,"role":"proxy","id":"p1","volumes":[{"volume":"home","joined":false}]}
$ augur status
 proxy: p1                   state: ONLINE
listen: 10.0.0.1:7433, 3 connections, up 1h01m; the store is here
    io: epoll (io_uring is forbidden: by test)

 VOLUME  STATE   SHARDS  MAP  REQUESTS   SERVED  CHANGES  WATCH     ORIGIN
 home    joined      32    1       999  1.0 GiB        4  fanotify  /srv/home

 PROXY  STATE  SHARDS  ADDRESS
 p1     up         32  10.0.0.1:7433
 p2     up         32  10.0.0.2:7433
$ augur status -x
 proxy: p1                   state: DEGRADED
listen: ?, 0 connections, up 0s; the store is ?

status: a volume is not joined, or a proxy of it never has.
action: see 'augur doctor' with the same --ctl.

 VOLUME  STATE       SHARDS  MAP  REQUESTS  SERVED  CHANGES  WATCH  ORIGIN
 home    not joined       0    0         0     0 B        0  -      -
? 2
