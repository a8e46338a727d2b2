# the daemon's own error, with bytes that would steer a terminal
answer {"schema":"augur.where/1","ok":false,"error":"AUGUR_E_NOT_MOUNTED","errno":2,"message":"the path is not in a mounted augurfs volume: /x\u001b[31m","hint":"see the mounts with: augur status"}

answer {"schema":"augur.where/1","ok":false,"error":"AUGUR_E_NOT_MOUNTED","errno":2,"message":"m","hint":"h"}
$ augur where /x
augur where: the path is not in a mounted augurfs volume: /x?[31m (AUGUR_E_NOT_MOUNTED)
  try: see the mounts with: augur status
? 1
$ augur where --json /x
{"schema":"augur.where/1","ok":false,"error":"AUGUR_E_NOT_MOUNTED","errno":2,"message":"m","hint":"h"}
? 1
