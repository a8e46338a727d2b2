# a cache that does not exist, a proxy that is not there, and the daemon's own checks
answer {"schema":"augur.doctor/1","ok":true,"checks":[{"name":"ring","state":"ok","detail":"io_uring works","fix":""},{"name":"store","state":"warn","detail":"late","fix":"wait"}]}

answer {"schema":"augur.doctor/1","ok":true,"checks":[]}
sysfs features/read 1
$ augur doctor --json --cache $TMP/none --source 127.0.0.1:1:/v | jq -c '.checks[]|select(.name=="ring" or .name=="store" or .name=="cache" or .name=="proxy" or .name=="augurd")|[.name,.state,.detail]'
["augurd","ok","answers at TMP/ctl"]
["ring","ok","io_uring works"]
["store","warn","late"]
["cache","fail","TMP/none: No such file or directory"]
["proxy","fail","127.0.0.1 port 1: Connection refused"]
$ augur doctor --cache /proc >out; echo $?; grep -A1 cache out
1
fail  cache      /proc is not on ext4, xfs or btrfs (type 0x9fa0)
                 try: choose a directory on a local ext4, xfs or btrfs filesystem
