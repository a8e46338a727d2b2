mount live
answer {"row":{"time":1700000000123000000,"session":"00000000deadbeef","op":"open","path":"/bin/sh","latency_us":0,"pid":77,"comm":"make"}}
answer {"row":{"time":1700000001000000000,"session":"00000000deadbeef","op":"miss","path":"/bin/sh","off":0,"len":65536,"latency_us":10400}}
answer {"schema":"augur.log/1","ok":true}
request {"verb":"log","limit":2,"follow":false,"mount":3}
$ augur log -n 2 /mnt/home
2023-11-14 22:13:20.123  00000000deadbeef open     -                         -  /bin/sh  (make 77)
2023-11-14 22:13:21.000  00000000deadbeef miss     0+65536              10.4ms  /bin/sh
