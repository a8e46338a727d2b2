sysfs 3/source p1:/home
sysfs 3/cache /c
sysfs 3/state live
mountinfo 36 25 0:45 / /mnt ro,relatime shared:1 - augurfs p1:/home ro,cache=/c
answer {"schema":"augur.evict/1","ok":true,"evicted":2,"bytes":4096,"refused":{},"errors":0}

answer {"schema":"augur.evict/1","ok":true,"evicted":0,"bytes":0,"refused":{"open":1,"pinned":2},"errors":0}

answer {"schema":"augur.evict/1","ok":true,"evicted":5,"bytes":2147483648,"refused":{},"errors":0}

answer {"schema":"augur.evict/1","ok":true,"evicted":5,"bytes":10,"refused":{"mapped":1},"errors":0}
request {"verb":"evict","paths":["/mnt/a"]}
request {"verb":"evict","paths":["/mnt/a"]}
request {"verb":"evict","paths":["/mnt"],"bytes":2147483648}
request {"verb":"evict","paths":["/mnt"]}
$ augur evict /mnt/a
2 objects evicted, 4.0 KiB freed
$ augur evict /mnt/a
0 objects evicted, 0 B freed; stay: 1 open 2 pinned
? 2
$ augur evict --bytes 2G
5 objects evicted, 2.0 GiB freed
$ augur --json evict --all
{"schema":"augur.evict/1","ok":true,"evicted":5,"bytes":10,"refused":{"mapped":1},"errors":0}
? 2
$ augur evict
augur evict: which paths? or --all, or --bytes N (AUGUR_E_USAGE)
  try: augur evict --help
? 2
$ augur evict --bytes 12Q
augur evict: --bytes is a number, with K, M, G or T if you like (AUGUR_E_USAGE)
  try: augur evict --help
? 2
$ augur evict --bytes 99999999T /mnt
augur evict: --bytes is a number, with K, M, G or T if you like (AUGUR_E_USAGE)
  try: augur evict --help
? 2
$ augur evict --all /mnt
augur evict: --all takes no paths (AUGUR_E_USAGE)
  try: augur evict --help
? 2
