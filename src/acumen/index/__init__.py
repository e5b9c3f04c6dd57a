"""Learned index structures over sorted keys: faster than a binary search, and smaller than a tree.

>>> import numpy as np
>>> from acumen.index import RangeIndex
>>> RangeIndex(np.arange(0, 1000, 10)).searchsorted([15, 20])
array([2, 2])
"""

from acumen.index.range import RangeIndex
from acumen.index.storage import IndexFileError

__all__ = ["IndexFileError", "RangeIndex"]
