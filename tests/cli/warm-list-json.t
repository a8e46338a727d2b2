answer {"progress":{"files":1,"bytes":1024,"total_files":2,"total_bytes":2048,"eta_s":1}}
answer {"schema":"augur.warm/1","ok":true,"files":2,"bytes":2048,"errors":1}
request {"verb":"warm","paths":["/mnt/a","/mnt/b c"]}
$ printf '/mnt/a\n\n/mnt/b c\n' | augur --json warm -f -
{"progress":{"files":1,"bytes":1024,"total_files":2,"total_bytes":2048,"eta_s":1}}
{"schema":"augur.warm/1","ok":true,"files":2,"bytes":2048,"errors":1}
? 2
