# the module's counters alone, when augurd is down; wrong usage
sysfs 3/source p1:/home
sysfs 3/cache /c/home
sysfs 3/state live
sysfs 3/stats/opens 120
sysfs 3/stats/read_bytes 5242880
mountinfo 36 25 0:45 / /mnt/home ro - augurfs p1:/home ro,cache=/c/home
$ augur top --once | cut -c1-8,10- | sed 's/^..:..:../hh:mm:ss/'
    TIME OPENS/s  READS/s     READ/s   HIT%  MISS/s  WAIT/miss    WIRE IN   WIRE OUT  DROPPED
hh:mm:ss       0        0        0 B  100.0       0      0.0ms        0 B        0 B        0
 augurd oes not answer: no bytes on the wire and no paths
$ augur top --once --json /mnt/home
{"row":{"opens_s":0.0,"reads_s":0.0,"read_bytes_s":0.0,"hit_percent":100.0,"misses_s":0.0,"wait_ms":0.0,"rx_bytes_s":0.0,"tx_bytes_s":0.0,"dropped":0,"daemon":false,"paths":[]}}
{"schema":"augur.top/1","ok":true}
$ augur top -i 0
augur top: -i takes seconds, from 1 to 3600 (AUGUR_E_USAGE)
  try: augur top --help
? 2
$ augur top /nowhere
augur top: /nowhere is neither in an augurfs mount nor the id of one (AUGUR_E_NOT_MOUNTED)
  try: see the mounts with: augur status
? 1
