# what is asked for goes to augurd as it was said; a path in the mount becomes one of the volume
sysfs 3/source p1:/home
sysfs 3/cache /c/home
sysfs 3/state live
mountinfo 36 25 0:45 / /mnt/home ro - augurfs p1:/home ro,cache=/c/home
answer {"progress":{"history":{"accepted":990,"dropped":10,"drops":{"ring":7,"lost":1,"queue":2,"write":0}}}}
answer {"row":{"time":0,"session":"00000000deadbeef","op":"readdir","path":"/src","off":3,"len":120,"comm":"find","pid":9,"scanner":true}}
answer {"schema":"augur.log/1","ok":true,"rows":1}

answer {"schema":"augur.log/1","ok":true,"rows":0}
request {"verb":"log","limit":5,"follow":false,"mount":3,"session":"00000000deadbeef","program":"find","kinds":["open","readdir"],"since":1700000000000000000,"until":1700000100000000000,"scanners":"only","path":"/src"}
request {"verb":"log","limit":20,"follow":false,"mount":3,"scanners":"not","path":"/etc"}
$ TZ=UTC augur log -n 5 --session deadbeef --program find --kind open,readdir --since @1700000000 --until '2023-11-14 22:15:00' --scanners --path /mnt/home/src
dropped: 10 of 1000 records: 7 by the module's ring, 1 on the way, 2 by the queue, 0 by the file
1970-01-01 00:00:00.000  00000000deadbeef readdir  120 names                 -  /src  (find 9)  scanner
$ augur log --no-scanners --path etc
no accesses are recorded that fit; the mount option log= says which are recorded
