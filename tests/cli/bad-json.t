answer {"schema":"augur.status/1","ok":tru
$ augur status
augur status: the answer is not JSON: ...
  try: install the same version of augur and augurd, then see the daemon's log
? 1
