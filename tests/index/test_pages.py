"""Memory for tables: zeros, on boundaries, in huge pages where the system has them."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import numpy as np
import pytest

from acumen import _native

HUGE = 2 << 20


@pytest.mark.parametrize("nbytes", [0, 1, 100, HUGE - 1, HUGE, 3 * HUGE + 5])
def test_zeros_on_a_boundary(nbytes: int) -> None:
    block = _native.aligned_zeros(nbytes)
    assert (block.nbytes, block.dtype) == (nbytes, np.uint8)
    assert block.ctypes.data % (HUGE if nbytes >= HUGE else 64) == 0
    assert not block.any()
    block[:] = 7
    part = block[nbytes // 2 :]
    del block
    gc.collect()
    assert (part == 7).all()  # a view keeps the memory


@pytest.mark.parametrize("nbytes", [1 << 62, 2**63 - 1, 2**64 - 1])
def test_more_than_there_is(nbytes: int) -> None:
    with pytest.raises(MemoryError):
        _native.aligned_zeros(nbytes)


def test_large_tables_ask_for_huge_pages() -> None:
    block = _native.aligned_zeros(32 * HUGE)
    assert "hg" in flags_at(block.ctypes.data)


def flags_at(address: int) -> list[str]:
    """The kernel's flags of the mapping in which an address lies."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        span = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if span:
            inside = int(span[1], 16) <= address < int(span[2], 16)
        elif inside and line.startswith("VmFlags:"):
            return line.split()[1:]
    pytest.skip("the kernel does not say")
