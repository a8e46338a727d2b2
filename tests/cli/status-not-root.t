# a socket that only root may use is no fault of the mount
mount live
$ mkdir closed && chmod 0 closed && chmod 755 . && cp "$(command -v augur)" a
$ printf '%s\n' '[ "$(id -u)" != 0 ] || set -- setpriv --reuid 1234 --clear-groups "$@"' 'exec "$@"' > as
$ sh as ./a --ctl closed/ctl status
    fs: home                 state: ONLINE
 mount: p1,p2:/home on /mnt/home   (id 3)
status: this is what the kernel knows: a daemon serves the mount, and only root may ask it more.

 kernel    120 opens, 5.0 MiB read, 1.0 MiB of it waited for; 17 upcalls, 0 timed out
$ sh as ./a --ctl closed/ctl status --json | jq -c '[.ok,.health,.daemon.up,.daemon.error,.mounts[0].health]'
[true,"ONLINE",false,"AUGUR_E_PERMISSION","ONLINE"]
$ sh as ./a --ctl closed/ctl status -x
everything is fine
$ chmod 755 closed
