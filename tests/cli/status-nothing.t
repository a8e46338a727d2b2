$ augur status
the augurfs module is not loaded, and augurd does not answer at TMP/ctl
? 1
