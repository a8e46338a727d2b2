hang
$ augur --timeout 1 status
augur status: augurd said nothing for 1 s (AUGUR_E_TIMEOUT)
  try: see what it waits for: augur status, augur doctor
? 1
