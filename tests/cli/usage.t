$ augur statsu
augur: there is no verb 'statsu'; did you mean 'status'? (AUGUR_E_USAGE)
  try: augur --help
? 2
$ augur xyzzyxyz
augur: there is no verb 'xyzzyxyz' (AUGUR_E_USAGE)
  try: augur --help
? 2
$ augur status --nonsense
augur status: unknown option (AUGUR_E_USAGE)
  try: augur status --help
? 2
$ augur status more
augur status: status takes no argument (AUGUR_E_USAGE)
  try: augur status --help
? 2
$ augur --json where
{"schema":"augur.where/1","ok":false,"error":"AUGUR_E_USAGE","errno":22,"message":"which path?","hint":"augur where --help"}
? 2
$ augur --ctl
augur: --ctl needs a path (AUGUR_E_USAGE)
  try: augur --help
? 2
$ augur --timeout x status
augur: --timeout is a number of seconds up to 86400 (AUGUR_E_USAGE)
  try: augur --help
? 2
