$ augur warm
augur warm: which paths? (AUGUR_E_USAGE)
  try: augur warm --help
? 2
$ augur warm --depth x /a
augur warm: --depth is a number from 0 to 1000 (AUGUR_E_USAGE)
  try: augur warm --help
? 2
$ augur warm -f nolist
augur warm: nolist: No such file or directory (AUGUR_E_USAGE)
  try: augur warm --help
? 1
$ augur warm -f /
augur warm: /: Is a directory (AUGUR_E_USAGE)
  try: augur warm --help
? 1
$ augur warm /a
augur warm: augurd does not answer at TMP/ctl: No such file or directory (AUGUR_E_DAEMON_DOWN)
  try: start it: systemctl start augurd; why it ended: journalctl -u augurd
? 1
