$ augur log -n x
augur log: -n takes a number from 1 to 10000 (AUGUR_E_USAGE)
  try: augur log --help
? 2
$ augur log /nowhere
augur log: /nowhere is neither in an augurfs mount nor the id of one (AUGUR_E_NOT_MOUNTED)
  try: see the mounts with: augur status
? 1
