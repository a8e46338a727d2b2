sysfs features/read 1
$ augur status
no augurfs volume is mounted here; augurd does not answer
