answer {"schema":"augur.status/1","ok":true,"role":"proxy","id":"p1","volume":"/home","origin":"/srv/home","peers":[],"map_version":1,"shards":32,"served_bytes":1073741824,"requests":999,"origin_changes_seen":4}
$ augur status
 proxy: p1                   volume: /home
origin: /srv/home
  work: 999 requests, 1.0 GiB served; 32 of the map's shards, map version 1
        4 changes seen at the origin
