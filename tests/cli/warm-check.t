answer {"schema":"augur.where/1","ok":true,"state":"present"}

answer {"schema":"augur.where/1","ok":true,"state":"absent"}
$ augur warm --check /mnt/a /mnt/b
absent    /mnt/b
1 present, 0 partial, 1 absent
? 2
