# a name that JSON cannot carry is refused by the command, and says so
mountinfo 36 25 0:45 / /mnt ro - augurfs p1:/v ro,cache=/c
$ for v in pin unpin evict warm where; do augur $v "$(printf '/mnt/bad\377')" || echo $?; done
augur pin: /mnt/bad?: the name is not UTF-8, so augurd cannot be asked for it; name a directory above (AUGUR_E_USAGE)
  try: augur pin --help
1
augur unpin: /mnt/bad?: the name is not UTF-8, so augurd cannot be asked for it; name a directory above (AUGUR_E_USAGE)
  try: augur unpin --help
1
augur evict: /mnt/bad?: the name is not UTF-8, so augurd cannot be asked for it; name a directory above (AUGUR_E_USAGE)
  try: augur evict --help
1
augur warm: /mnt/bad?: the name is not UTF-8, so augurd cannot be asked for it; name a directory above (AUGUR_E_USAGE)
  try: augur warm --help
1
augur where: /mnt/bad?: the name is not UTF-8, so augurd cannot be asked for it; name a directory above (AUGUR_E_USAGE)
  try: augur where --help
1
$ printf '/mnt/x\200\n' | augur --json warm -f - | jq -c '[.error, .errno]'
["AUGUR_E_USAGE",84]
