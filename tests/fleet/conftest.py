import sys
from pathlib import Path

# What the tests of journals and of the page share.
sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("core", "watch")]
