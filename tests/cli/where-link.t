# links are followed up to the mount, which is not touched
mountinfo 36 25 0:45 / TMP/mnt ro - augurfs p1:/v ro,cache=/c
answer {"schema":"augur.where/1","ok":true}
request {"verb":"where","path":"TMP/mnt/x/y"}
$ mkdir mnt && ln -s mnt l && ln -s ../l/x mnt/../m
$ ln -sfn $TMP/l/x m; augur where --json m/y | jq -r .path
TMP/mnt/x/y
