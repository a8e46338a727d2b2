# what is, the mark, and what changes; augurd's end is an error
answer {"row":{"event":"is","kind":"daemon","state":"up","pid":4711,"module":true}}
answer {"row":{"event":"is","kind":"proxy","name":"p1","addr":"10.0.0.1:7433","state":"up","mount":3,"cache":"/c"}}
answer {"row":{"event":"now"}}
answer {"schema":"augur.events/1","ok":true}

answer {"row":{"event":"now"}}
answer {"row":{"event":"change","kind":"proxy","name":"p1\u0007","state":"down","error":"Connection refused"}}
answer {"row":{"event":"dropped","count":3}}

answer {"row":{"event":"now"}}
answer {"schema":"augur.events/1","ok":true}
request {"verb":"events","follow":false}
request {"verb":"events","follow":true}
request {"verb":"events","follow":false}
$ augur events | cut -c15-
is      daemon    up          - pid=4711 module=yes
is      proxy     up          p1 addr=10.0.0.1:7433
-- so far; what follows is new
$ augur events -f > out; echo $?; cut -c15- out
augur events: augurd closed the connection without an answer (AUGUR_E_ANSWER)
  try: install the same version of augur and augurd, then see the daemon's log
1
-- so far; what follows is new
change  proxy     down        p1? error=Connection refused
-- 3 events were dropped: this reader was too slow
$ augur events --json
{"row":{"event":"now"}}
{"schema":"augur.events/1","ok":true}
$ augur events now
augur events: events takes no argument (AUGUR_E_USAGE)
  try: augur events --help
? 2
