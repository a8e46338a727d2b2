raw \x00\x01\xff\n
$ augur status
augur status: the answer is not JSON: ...
  try: install the same version of augur and augurd, then see the daemon's log
? 1
