mount aborted
$ augur status -x
    fs: home                 state: FAILED
 mount: p1,p2:/home on /mnt/home   (id 3)
status: the mount was aborted; calls that need augurd fail.
action: unmount it and mount it again.
   see: augur-abort(8)

 kernel    120 opens, 5.0 MiB read, 1.0 MiB of it waited for; 17 upcalls, 0 timed out
? 2
