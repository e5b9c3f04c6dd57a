"""What a checkpoint says of each stream, as arrays: a model's header has no room for all of them.

A hub's checkpoint has positions of every stream that its fleet ever had (but for those that were
forgotten). As JSON they are 52 bytes each, in a header of 16 MiB; as arrays 40, in a file of 1 GiB.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from acumen.core.journal_format import STREAM
from acumen.core.published import Published

_PREFIX = "streams:"
_NONE = (1 << 64) - 1
_COLUMNS = ("positions", "lessons")


def folded(published: Published) -> Published:
    """A checkpoint whose streams are in arrays."""
    header, trainer = published.header, published.header["trainer"]
    said = (header["journal"]["positions"], trainer["lessons"])
    streams = sorted({stream for numbers in said for stream in numbers})
    if not all(STREAM.fullmatch(stream) for stream in streams):
        return published  # these are no journal's; they may stay where they are
    columns = {
        "started": [int(stream[:12], 16) for stream in streams],
        "replica": [int(stream[13:], 16) for stream in streams],
    }
    for name, numbers in zip(_COLUMNS, said, strict=True):
        columns[name] = [numbers.get(stream, _NONE) for stream in streams]
    arrays = {f"{_PREFIX}{name}": np.array(v, np.uint64) for name, v in columns.items()}
    header = header | {
        "journal": header["journal"] | {"positions": {}},
        "trainer": trainer | {"lessons": {}},
    }
    return Published(published.stamp, header, dict(published.arrays) | arrays)


def unfolded(published: Published) -> Published:
    """The checkpoint that was folded; another one as it is.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it makes no sense.
    """
    arrays = {n: a for n, a in published.arrays.items() if not n.startswith(_PREFIX)}
    if len(arrays) == len(published.arrays):
        return published
    names = ("started", "replica", *_COLUMNS)
    started, replica, *numbers = (published.arrays[f"{_PREFIX}{name}"] for name in names)
    columns = (started, replica, *numbers)
    if {a.dtype for a in columns} != {np.dtype(np.uint64)} or len({len(a) for a in columns}) != 1:
        raise ValueError("a table of streams that is none")
    if len(started) and (started.max() >= 1 << 48 or replica.max() >= 1 << 24):
        raise ValueError("streams that cannot be")
    streams = [
        f"{ms:012x}-{number:06x}"
        for ms, number in zip(started.tolist(), replica.tolist(), strict=True)
    ]
    if len(set(streams)) < len(streams):
        raise ValueError("a stream that is there twice")
    said: list[dict[str, int]] = [
        {s: n for s, n in zip(streams, column.tolist(), strict=True) if n != _NONE}
        for column in numbers
    ]
    header: dict[str, Any] = dict(published.header)
    header["journal"] = header["journal"] | {"positions": said[0]}
    header["trainer"] = header["trainer"] | {"lessons": said[1]}
    return Published(published.stamp, header, arrays)
