mountinfo 36 25 0:45 / /mnt ro,relatime shared:1 - augurfs p1:/home ro,cache=/c
answer {"progress":{"files":10,"bytes":1024,"total_files":10,"total_bytes":1024,"eta_s":0}}
answer {"schema":"augur.pin/1","ok":true,"files":12,"bytes":2048,"errors":0}

answer {"schema":"augur.unpin/1","ok":true,"files":12,"bytes":2048,"errors":1}

answer {"schema":"augur.unpin/1","ok":true,"files":0,"bytes":0,"kept":1,"above":"/mnt","errors":0}

answer {"row":{"path":"/mnt/a","volume":"home","here":true}}
answer {"row":{"path":"/mnt/b","volume":"home","here":false}}
answer {"row":{"path":"/mnt/d","volume":"home","here":true,"named":"/mnt/c"}}
answer {"schema":"augur.pins/1","ok":true,"pins":3}

answer {"row":{"path":"/mnt/d","volume":"home","here":true,"named":"/mnt/c"}}
answer {"schema":"augur.pins/1","ok":true,"pins":1}

answer {"schema":"augur.pins/1","ok":true,"pins":0}

answer {"schema":"augur.unpin/1","ok":true,"files":1,"bytes":0,"errors":0}
request {"verb":"pin","paths":["/mnt/a","/mnt/b"]}
request {"verb":"unpin","paths":["/mnt/a"]}
request {"verb":"unpin","paths":["/mnt/a"]}
request {"verb":"pins"}
request {"verb":"pins"}
request {"verb":"pins"}
request {"verb":"unpin","paths":["/mnt/a"]}
$ augur pin /mnt/a /mnt/b
12 files pinned, 2.0 KiB of them here
$ augur unpin /mnt/a
12 files unpinned, 2.0 KiB of them here, 1 could not be changed
? 2
$ augur unpin /mnt/a
0 files unpinned, 0 B of them here
1 of the paths stay pinned by what is above them: /mnt
? 2
$ augur pin --list
home                 /mnt/a
home                 /mnt/b   (not known here any more)
home                 /mnt/d   (pinned as /mnt/c)
$ augur --json pin --list
{"row":{"path":"/mnt/d","volume":"home","here":true,"named":"/mnt/c"}}
{"schema":"augur.pin/1","ok":true,"pins":1}
$ augur pin --list
nothing is pinned
$ augur --json pin --remove /mnt/a
{"schema":"augur.pin/1","ok":true,"files":1,"bytes":0,"kept":0,"errors":0}
$ augur pin
augur pin: which paths? (AUGUR_E_USAGE)
  try: augur pin --help
? 2
$ augur pin --list /mnt
augur pin: --list takes no paths (AUGUR_E_USAGE)
  try: augur pin --help
? 2
