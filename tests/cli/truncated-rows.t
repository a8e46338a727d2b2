# rows came, the last line did not: never taken for the whole
answer {"row":{"time":0,"session":"1f","op":"open","path":"/a"}}
$ augur log
1970-01-01 00:00:00.000  1f               open     -                         -  /a
augur log: augurd closed the connection without an answer (AUGUR_E_ANSWER)
  try: install the same version of augur and augurd, then see the daemon's log
? 1
