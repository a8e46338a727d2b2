# mounted in another mount namespace, and a path with a space
sysfs 3/source p1:/v
sysfs 3/cache /c/one
sysfs 3/state live
sysfs 4/source p1:/w
sysfs 4/cache /c/two words
sysfs 4/state live
mountinfo 36 25 0:45 / /mnt/a\040b ro - augurfs p1:/w ro,cache=/c/two\040words
$ augur status --json | jq -c '.mounts[]|[.id,.mount_point]'
[4,"/mnt/a b"]
[3,""]
