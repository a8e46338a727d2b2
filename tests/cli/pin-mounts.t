# paths of two mounts, mixed: each mount is asked for its own
mountinfo 36 25 0:45 / /mnt ro,relatime shared:1 - augurfs p1:/home ro,cache=/c
mountinfo 37 25 0:46 / /other ro,relatime shared:1 - augurfs p1:/other ro,cache=/d
answer {"schema":"augur.pin/1","ok":true,"files":1,"bytes":1024,"errors":0}

answer {"schema":"augur.pin/1","ok":true,"files":2,"bytes":1024,"errors":0}
request {"verb":"pin","paths":["/mnt/a","/mnt/c"]}
request {"verb":"pin","paths":["/other/b","/other/d"]}
$ augur pin /mnt/a /other/b /mnt/c /other/d
3 files pinned, 2.0 KiB of them here
