# every verb has help with three examples and its manual page
$ for v in $(augur --list-verbs); do augur $v --help | grep -c "^  augur\|^  git" | tr '\n' ' '; done; echo
3 3 3 3 3 3 3 3 3 3 3 3 
$ for v in $(augur --list-verbs); do augur help $v | tail -n 1; done | head -n 2
manual: augur-status(8)
manual: augur-where(8)
