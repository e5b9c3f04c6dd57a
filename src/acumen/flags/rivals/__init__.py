"""Other people's tuners, each through its own interface, as its authors advise: one a file."""
