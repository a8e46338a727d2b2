# a cache without room is told
sysfs 3/source p1:/home
sysfs 3/cache /c/home
sysfs 3/state live
sysfs 3/daemon_pid 4711
mountinfo 36 25 0:45 / /mnt/home ro,nosuid,nodev,relatime shared:1 - augurfs p1:/home ro,cache=/c/home
answer {"schema":"augur.status/1","ok":true,"role":"agent","pid":4711,"mounts":[{"id":3,"source":"p1:/home","cache":{"state":"streaming","objects":1,"present_bytes":0,"total_bytes":1048576,"free_bytes":0,"watermarks":{"run":10,"cull":7,"stop":3}},"state":"live","proxies":[{"id":"p1","addr":"10.0.0.1:7433","up":true,"shards":64}],"pending":0,"map_version":1}]}
request {"verb":"status"}
$ augur status
    fs: home                 state: DEGRADED
 mount: p1:/home on /mnt/home   (id 3)
status: the cache's filesystem is full of what may not be evicted; absent bytes are read through a few chunks and not kept.
action: make room on it, 'augur unpin', or close files.
   see: augur-evict(8)

 PROXY  STATE  SHARDS  SHARE  RTT   IN  OUT  ADDRESS
 p1     up         64      -    -  0 B  0 B  10.0.0.1:7433

 cache     0 B present in 1 objects, 0 B free of 1.0 MiB
 room      streaming; evicts below 7 %, up to 10 %; fetches nothing ahead below 3 %
 evicted   0 B of 0 objects; 0 B pinned by 0 pins
 requests  0 pending; map version 1
? 2
