"""The learned choice of this domain, as the race runs it: `RangeIndex` as everybody gets it.

The package is the learned thing; what learns is in `candidates.py` (which structure) and in
`native/include/acumen/index/range.hpp` (the cells, which are a model of where keys lie).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa

from acumen.evaluation import BrokenError, Contender
from acumen.index.candidates import LINEAR, LOGARITHMIC
from acumen.index.measuring import Lookup, contender, keys_bytes
from acumen.index.mutable import MutableRangeIndex
from acumen.index.range import RangeIndex
from acumen.index.workloads import Keys

CELLS = (LINEAR, LOGARITHMIC)


def learned_contenders(repeats: int) -> list[Contender]:
    """The builder's choice, the same again, always the learned cells, and one that changes."""
    usual = functools.partial(contender, kind="learned", repeats=repeats, cost=0.1)
    return [
        usual(
            "acumen",
            build_index,
            "learned: RangeIndex by default, which measures its structures and keeps the best",
        ),
        usual("again", build_index, "acumen once more: what differs is noise", control=True),
        usual("cells", build_cells, "always learned cells, of the kind that the builder prefers"),
        usual("mutable", build_mutable, "MutableRangeIndex: numbers that may come and go"),
    ]


def build_index(keys: Keys, structure: str | None = None) -> Lookup:
    """A RangeIndex, of the fastest structure unless one is named.

    Raises:
        BrokenError: that structure cannot be built over these keys.
    """
    column = as_column(keys)
    try:
        index = RangeIndex(column, structure=structure)
    except ValueError as error:
        raise BrokenError(str(error)) from error
    return Lookup(index.searchsorted, index.nbytes, as_column)


def build_cells(keys: Keys) -> Lookup:
    """Learned cells: linear or logarithmic ones, whichever are filled more evenly."""
    tried = [one.structure for one in RangeIndex(as_column(keys)).chosen.candidates]
    cells = [structure for structure in tried if structure in CELLS]
    if not cells:
        raise BrokenError("cells cannot be built over these keys")
    return build_index(keys, cells[0])


def build_mutable(keys: Keys) -> Lookup:
    """A MutableRangeIndex with the keys' ranks as values.

    Raises:
        BrokenError: keys are texts, or are there twice, which a dictionary has not.
    """
    if keys.dtype.kind == "O":
        raise BrokenError("texts cannot be written")
    index = MutableRangeIndex(keys, np.arange(len(keys)))
    if len(index) < len(keys):
        raise BrokenError("keys are there twice: a dictionary has each once")
    return Lookup(index.searchsorted, index.nbytes - keys_bytes(keys))  # it has them itself


def as_column(keys: Keys) -> Any:
    """Texts as Arrow has them, which is what an index reads in place; numbers as they are."""
    if keys.dtype.kind != "O":
        return keys
    return pa.array(keys, pa.large_string() if isinstance(keys[0], str) else pa.large_binary())
