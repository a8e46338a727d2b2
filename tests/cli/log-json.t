answer {"row":{"time":0,"session":"1","op":"open","path":"/a"}}
answer {"schema":"augur.log/1","ok":true}
$ augur log --json -f
{"row":{"time":0,"session":"1","op":"open","path":"/a"}}
{"schema":"augur.log/1","ok":true,"rows":1}
