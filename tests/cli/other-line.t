answer {"what":1}
$ augur status
augur status: a line of the answer is neither progress, row nor result (AUGUR_E_ANSWER)
  try: install the same version of augur and augurd, then see the daemon's log
? 1
