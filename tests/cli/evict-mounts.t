# each line says which mount it is of
sysfs 3/source p1:/v
sysfs 3/cache /c/one
sysfs 4/source p1:/w
sysfs 4/cache /c/two
mountinfo 36 25 0:45 / /mnt/v ro - augurfs p1:/v ro,cache=/c/one
mountinfo 37 25 0:46 / /mnt/w ro - augurfs p1:/w ro,cache=/c/two
answer {"schema":"augur.evict/1","ok":true,"evicted":2,"bytes":4096,"refused":{"open":1},"errors":0}

answer {"schema":"augur.evict/1","ok":true,"evicted":3,"bytes":1024,"refused":{},"errors":0}

answer {"schema":"augur.evict/1","ok":true,"evicted":2,"bytes":1,"refused":{},"errors":0}

answer {"schema":"augur.evict/1","ok":true,"evicted":3,"bytes":1,"refused":{},"errors":0}
request {"verb":"evict","paths":["/mnt/v"]}
request {"verb":"evict","paths":["/mnt/w"]}
request {"verb":"evict","bytes":1024,"paths":["/mnt/v"]}
request {"verb":"evict","bytes":1024,"paths":["/mnt/w"]}
$ augur evict --all
/mnt/v: 2 objects evicted, 4.0 KiB freed; stay: 1 open
/mnt/w: 3 objects evicted, 1.0 KiB freed
? 2
$ augur --json evict --bytes 1K
{"schema":"augur.evict/1","ok":true,"evicted":2,"bytes":1,"refused":{},"errors":0,"mount":"/mnt/v"}
{"schema":"augur.evict/1","ok":true,"evicted":3,"bytes":1,"refused":{},"errors":0,"mount":"/mnt/w"}
