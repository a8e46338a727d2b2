answer {"schema":"augur.where/1","ok":true,"oid":"00112233445566778899aabbccddeeff","version":0,"pu":17,"shard":4,"proxy":"p2","addr":"10.0.0.2:7433","state":"partial","ino":12345678901234567890}

answer {"schema":"augur.where/1","ok":true,"oid":"00112233445566778899aabbccddeeff","version":0,"pu":17,"shard":4,"proxy":"p2","addr":"10.0.0.2:7433","state":"partial","ino":42}

answer {"schema":"augur.where/1","ok":true,"ino":-2}
request {"verb":"where","path":"/x/y z"}
request {"verb":"where","path":"TMP/b"}
request {"verb":"where","path":"/big"}
$ augur where '/x/./y z'
augur where: the answer is not JSON: ...
  try: install the same version of augur and augurd, then see the daemon's log
? 1
$ augur where a/../b
   path: TMP/b
  state: partial
  proxy: p2 (10.0.0.2:7433)
  shard: 4, placement unit 17
 object: 00112233445566778899aabbccddeeff, version 0, inode 42
$ augur where --json /big
{"schema":"augur.where/1","ok":true,"ino":"18446744073709551614","path":"/big"}
