import sys
from pathlib import Path

# What the tests of journals share.
sys.path.append(str(Path(__file__).parents[1] / "core"))
