# two volumes are mounted: which is meant must be said
sysfs 3/source p1:/v
sysfs 3/cache /c/one
sysfs 4/source p1:/w
sysfs 4/cache /c/two
mountinfo 36 25 0:45 / /mnt/v ro - augurfs p1:/v ro,cache=/c/one
mountinfo 37 25 0:46 / /mnt/w ro - augurfs p1:/w ro,cache=/c/two
answer {"row":{"time":0,"session":"1","op":"close","path":"/a","off":4096,"len":2,"comm":"","pid":0}}
answer {"row":{"time":0,"session":"1","op":"open","path":"/a","off":0,"len":2048,"comm":"cat","pid":5}}
answer {"schema":"augur.log/1","ok":true,"rows":2}
request {"verb":"log","limit":20,"follow":false,"mount":4}
$ augur log
augur log: several volumes are mounted (/mnt/v, /mnt/w): name one (AUGUR_E_USAGE)
  try: augur log --help
? 2
$ augur top --once
augur top: several volumes are mounted: name one (AUGUR_E_USAGE)
  try: augur top --help
? 2
$ augur log /mnt/w/below
1970-01-01 00:00:00.000  1                close    4.0 KiB in 2              -  /a
1970-01-01 00:00:00.000  1                open     2.0 KiB                   -  /a  (cat 5)
