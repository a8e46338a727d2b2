answer {"schema":"augur.status/2","ok":true}
$ augur status
augur status: augurd answers in schema 'augur.status/2', this command knows 'augur.status/1' (AUGUR_E_PROTO)
  try: install the same augurd version on both sides
? 1
