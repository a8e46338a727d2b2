# what augurd does not know yet is looked up by the command, which then asks again; what is not there is said as it is
mountinfo 36 25 0:45 / TMP/mnt ro - augurfs p1:/v ro,cache=/c
answer {"schema":"augur.pin/1","ok":false,"error":"AUGUR_E_NOT_MOUNTED","errno":2,"message":"not looked up","hint":"h"}

answer {"schema":"augur.pin/1","ok":true,"files":1,"bytes":0,"errors":0}

answer {"schema":"augur.warm/1","ok":false,"error":"AUGUR_E_NOT_MOUNTED","errno":2,"message":"not looked up","hint":"h"}

answer {"schema":"augur.where/1","ok":false,"error":"AUGUR_E_NOT_MOUNTED","errno":2,"message":"not looked up","hint":"h"}

answer {"schema":"augur.where/1","ok":true,"state":"present","ino":1}

answer {"schema":"augur.where/1","ok":false,"error":"AUGUR_E_NOT_MOUNTED","errno":2,"message":"not looked up","hint":"h"}

answer {"schema":"augur.where/1","ok":true,"state":"present"}

answer {"schema":"augur.evict/1","ok":false,"error":"AUGUR_E_NOT_MOUNTED","errno":2,"message":"elsewhere","hint":"h"}
request {"verb":"pin","paths":["TMP/mnt/a"]}
request {"verb":"pin","paths":["TMP/mnt/a"]}
request {"verb":"warm","paths":["TMP/mnt/none"]}
request {"verb":"where","path":"TMP/mnt/a"}
request {"verb":"where","path":"TMP/mnt/a"}
request {"verb":"where","path":"TMP/mnt/a"}
request {"verb":"where","path":"TMP/mnt/a"}
request {"verb":"evict","paths":["TMP"]}
$ mkdir mnt && touch mnt/a && augur pin mnt/a
1 files pinned, 0 B of them here
$ augur warm mnt/none
augur warm: TMP/mnt/none: No such file or directory (AUGUR_E_PATH)
  try: ls -ld says the same of it; if the mount hangs: augur doctor
? 1
$ augur --json where mnt/a | jq -r .state
present
$ augur warm --check mnt/a
1 present, 0 partial, 0 absent
$ augur evict .
augur evict: elsewhere (AUGUR_E_NOT_MOUNTED)
  try: h
? 1
