answer {"progress":{"files":1,"bytes":1024,"total_files":2,"total_bytes":2048,"eta_s":1}}
answer {"schema":"augur.warm/1","ok":true,"files":2,"bytes":2048}
request {"verb":"warm","paths":["/mnt/a","/mnt/b"],"depth":2}
$ augur warm --depth 2 /mnt/a /mnt/b
2 files, 2.0 KiB, 0 not fetched
