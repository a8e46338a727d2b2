# more paths than fit one request are sent in several
answer {"schema":"augur.warm/1","ok":true,"files":100,"bytes":1}

answer {"schema":"augur.warm/1","ok":true,"files":200,"bytes":1}

answer {"schema":"augur.warm/1","ok":true,"files":1,"bytes":1}
$ seq -f "/mnt/a-name-of-some-length/%06.0f" 0 999 | augur warm -f -
301 files, 3 B, 0 not fetched
