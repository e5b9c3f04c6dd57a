"""Loop nests: schedules of a marked region that are proved legal, chosen by measuring.

See docs/loop_nests.md.
"""

from acumen.compilers.loop_nests.errors import LoopNestError, MissingError, RegionError
from acumen.compilers.loop_nests.optimise import Optimised, optimise

__all__ = ["LoopNestError", "MissingError", "Optimised", "RegionError", "optimise"]
