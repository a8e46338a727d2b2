mount orphan
$ augur where /mnt/home/a/b
  mount: p1,p2:/home on /mnt/home, state orphan
augur where: augurd does not answer at TMP/ctl: No such file or directory (AUGUR_E_DAEMON_DOWN)
  try: start it: systemctl start augurd; why it ended: journalctl -u augurd
? 1
$ augur where /etc
augur where: the path is not in a mounted augurfs volume (AUGUR_E_NOT_MOUNTED)
  try: see the mounts with: augur status
? 1
