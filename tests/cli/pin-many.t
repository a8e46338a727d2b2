# more paths than one request takes, of two mounts: a request is of one mount, and the sums are of all
sysfs 3/source p1:/home
sysfs 3/cache /c
sysfs 3/state live
sysfs 4/source p1:/other
sysfs 4/cache /d
sysfs 4/state live
mountinfo 36 25 0:45 / /mnt ro,relatime shared:1 - augurfs p1:/home ro,cache=/c
mountinfo 37 25 0:46 / /other ro,relatime shared:1 - augurfs p1:/other ro,cache=/d
answer {"schema":"augur.pin/1","ok":true,"files":1,"bytes":1024,"errors":0}

answer {"schema":"augur.pin/1","ok":true,"files":2,"bytes":1024,"errors":0}

answer {"schema":"augur.unpin/1","ok":true,"files":100,"bytes":1,"errors":0}

answer {"schema":"augur.unpin/1","ok":true,"files":200,"bytes":1,"errors":0}

answer {"schema":"augur.unpin/1","ok":true,"files":1,"bytes":1,"errors":0}

answer {"schema":"augur.evict/1","ok":true,"evicted":2,"bytes":512,"refused":{"open":1,"pinned":1},"errors":0}

answer {"schema":"augur.evict/1","ok":true,"evicted":3,"bytes":512,"refused":{"open":2},"errors":0}

answer {"schema":"augur.warm/1","ok":true,"files":1,"bytes":2,"errors":0}

answer {"schema":"augur.warm/1","ok":true,"files":3,"bytes":4,"errors":0}
$ augur pin /mnt/a /other/b /mnt/c
3 files pinned, 2.0 KiB of them here
$ augur unpin $(seq -f "/mnt/a-name-of-some-length/%06.0f" 0 999)
301 files unpinned, 3 B of them here
$ augur evict /mnt/a /other/b
5 objects evicted, 1.0 KiB freed; stay: 3 open 1 pinned
? 2
$ augur warm /mnt/a /other/b
4 files, 6 B, 0 not fetched
$ augur evict --bytes 1K /mnt/a /other/b
augur evict: --bytes takes one path, or none (AUGUR_E_USAGE)
  try: augur evict --help
? 2
