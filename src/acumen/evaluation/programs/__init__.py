"""Other people's programs: run, measured from outside, and compared without being fooled."""
