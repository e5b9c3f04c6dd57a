"""Learned index structures over sorted keys: faster than a binary search, and smaller than a tree.

>>> import numpy as np
>>> from acumen.index import MembershipFilter, RangeIndex
>>> RangeIndex(np.arange(0, 1000, 10)).searchsorted([15, 20])
array([2, 2])
>>> "evil.example/login" in MembershipFilter(["evil.example/login", "bad.example/pay"])
True
"""

from acumen.index.membership import MembershipFilter
from acumen.index.range import RangeIndex
from acumen.index.storage import IndexFileError

__all__ = ["IndexFileError", "MembershipFilter", "RangeIndex"]
