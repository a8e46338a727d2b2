mount live
answer {"schema":"augur.status/1","ok":true,"role":"agent","pid":4711,"version":"0.1","uptime_s":60,"mounts":[{"id":3,"source":"p1,p2:/home","cache":{"objects":210,"present_bytes":73400320,"free_bytes":10737418240},"state":"live","proxies":[{"id":"p1","addr":"10.0.0.1:7433","up":true,"rtt_ms":10.2,"shards":32,"rx_bytes":41943040,"tx_bytes":20480,"share":0.571},{"id":"p2","addr":"10.0.0.2:7433","up":true,"rtt_ms":10.4,"shards":32,"rx_bytes":31457280,"tx_bytes":15360,"share":0.429}],"history":{"accepted":500,"dropped":0,"rows":512},"pending":0,"map_version":1}]}
$ augur status -x
everything is fine
