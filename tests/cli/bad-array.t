answer [1,2]
$ augur status
augur status: the answer is not JSON: not an object (AUGUR_E_ANSWER)
  try: install the same version of augur and augurd, then see the daemon's log
? 1
