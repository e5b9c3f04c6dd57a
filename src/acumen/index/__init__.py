"""Learned index structures: ranks among sorted keys, positions of keys, membership in sets.

>>> import numpy as np
>>> from acumen.index import MembershipFilter, PointIndex, RangeIndex
>>> RangeIndex(np.arange(0, 1000, 10)).searchsorted([15, 20])
array([2, 2])
>>> PointIndex([30, 10, 20]).get_indexer([10, 11])
array([ 1, -1])
>>> "evil.example/login" in MembershipFilter(["evil.example/login", "bad.example/pay"])
True
"""

from acumen.index.membership import MembershipFilter
from acumen.index.mutable import MutableRangeIndex
from acumen.index.mutable_reading import RangeSnapshot
from acumen.index.point import PointIndex
from acumen.index.point_structures import DuplicateKeyError
from acumen.index.range import RangeIndex
from acumen.index.storage import IndexFileError

__all__ = [
    "DuplicateKeyError",
    "IndexFileError",
    "MembershipFilter",
    "MutableRangeIndex",
    "PointIndex",
    "RangeIndex",
    "RangeSnapshot",
]
