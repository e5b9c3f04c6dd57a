"""Large arrays in large pages.

A table that is read at random spends as much time on the addresses of its pages as on the memory
itself; pages of 2 MiB instead of 4 KiB make that vanish. Linux gives them to who asks.
"""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

_PAGE_BYTES = 2 << 20
_LINE_BYTES = 64


def aligned_zeros(nbytes: int) -> NDArray[np.uint8]:
    """So many zero bytes, on a 64-byte boundary; in huge pages where there are some.

    >>> block = aligned_zeros(100)
    >>> block.nbytes, block.ctypes.data % 64
    (100, 0)
    """
    if nbytes < 2 * _PAGE_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
        block = np.zeros(nbytes + _LINE_BYTES, np.uint8)
        boundary = _LINE_BYTES
    else:
        # Private: what is shared between processes has other, smaller pages.
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        memory = mmap.mmap(-1, nbytes + _PAGE_BYTES, flags=flags)
        memory.madvise(mmap.MADV_HUGEPAGE)
        block = np.frombuffer(memory, np.uint8)
        boundary = _PAGE_BYTES
    skip = -block.ctypes.data % boundary
    return block[skip : skip + nbytes]


def aligned_copy(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes of an array where aligned_zeros() would have put them."""
    copy = aligned_zeros(array.nbytes)
    copy[:] = array
    return copy
