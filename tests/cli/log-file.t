# augurd is down: the file of the mount's cache directory is read, or the one that is named, and its faults are told
sysfs 3/source p1:/home
sysfs 3/cache /nowhere/home
mountinfo 36 25 0:45 / /mnt/home ro - augurfs p1:/home ro,cache=/nowhere/home
$ augur log
augur log: augurd does not answer; from /nowhere/home/.augur/log.db, which it may not have finished
augur log: /nowhere/home/.augur/log.db: No such file or directory (AUGUR_E_NO_HISTORY)
  try: name the log of a cache directory: --file CACHE/.augur/log.db
? 1
$ echo 'this is not a database, and it is long enough to be taken for one, if one does not look' > log.db; augur log --file log.db
augur log: log.db: damaged, or no access log (AUGUR_E_NO_HISTORY)
  try: name the log of a cache directory: --file CACHE/.augur/log.db
? 1
$ augur log --json -n 1 --file /nowhere/log.db
{"schema":"augur.log/1","ok":false,"error":"AUGUR_E_NO_HISTORY","errno":2,"message":"/nowhere/log.db: No such file or directory","hint":"name the log of a cache directory: --file CACHE/.augur/log.db"}
? 1
