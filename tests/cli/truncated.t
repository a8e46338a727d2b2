raw {"schema":"augur.status/1","ok":true,"mou
$ augur status
augur status: the answer is cut short (AUGUR_E_ANSWER)
  try: install the same version of augur and augurd, then see the daemon's log
? 1
