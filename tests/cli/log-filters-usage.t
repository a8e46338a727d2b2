$ augur log --kind open,shut
augur log: --kind takes open, read, miss, fault, close, lookup or readdir, separated by commas (AUGUR_E_USAGE)
  try: augur log --help
? 2
$ augur log --since yesterday
augur log: a time is '10m' (ago; s, m, h, d), 'HH:MM', 'YYYY-MM-DD HH:MM' or '@SECONDS' (AUGUR_E_USAGE)
  try: augur log --help
? 2
$ augur log --session 0x12g
augur log: --session takes a key as the rows show it: 16 hexadecimal digits (AUGUR_E_USAGE)
  try: augur log --help
? 2
$ augur log --file log.db --follow
augur log: --file goes with neither --follow nor a mount (AUGUR_E_USAGE)
  try: augur log --help
? 2
