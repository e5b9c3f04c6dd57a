"""Other people's tuners, each through its own interface and as its authors advise: one file each."""
