"""CSV traces: finds out from the first lines which column is the key, then streams that column.

There is no standard, so the common layouts are told apart by what they look like:

    with a header     the column named key, obj_id, object_id, ..., in any order
    1 column          key
    2 columns         time,key if the first never falls, else key,size
    3 and more        time,key,size,...  (libCacheSim, webcachesim, Twitter)
    7, 4th read/write MSR Cambridge: the key is the 4 KiB block of the offset
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from acumen.evaluation import WorkloadError
from acumen.operating_systems.caching.trace_files import (
    Keys,
    keys_of_column,
    open_bytes,
    read_fully,
)

_KEY_NAMES = (
    "key", "obj_id", "object_id", "objid", "obj", "object", "id", "lbn", "lba", "block",
    "block_id", "page", "page_id", "address", "addr", "offset", "url",
)  # fmt: skip
_PEEK_BYTES = 1 << 16
_PEEK_LINES = 1000
_BLOCK_BYTES = 1 << 24
_MSR_BLOCK_BYTES = 4096
_INTEGER = re.compile(r"[+-]?\d{1,20}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the key stands, counted from 0, and how the file is to be cut.

    `skipped` counts the lines above the first request: empty ones and the header.
    """

    delimiter: str
    columns: int
    key: int
    header: bool
    skipped: int
    divisor: int = 1

    def __str__(self) -> str:
        """What was found out, for people: they know whether it is right."""
        place = f"CSV {'with' if self.header else 'without'} a header: the key is column"
        place += f" {self.key + 1} of {self.columns}"
        return place + (f", in blocks of {self.divisor} bytes" if self.divisor > 1 else "")


def read_csv(path: Path) -> Iterator[Keys]:
    """The keys of a CSV trace in batches; raises what `workloads.read_trace` turns into a line."""
    rows, layout = _look(_head(path))
    kind = _key_type([row[layout.key] for row in rows])
    names = [f"column_{number}" for number in range(layout.columns)]
    with open_bytes(path) as file:
        reader = pa_csv.open_csv(
            file,
            read_options=pa_csv.ReadOptions(
                column_names=names,
                skip_rows=layout.skipped,
                block_size=_BLOCK_BYTES,
                use_threads=False,
            ),
            parse_options=pa_csv.ParseOptions(delimiter=layout.delimiter),
            convert_options=pa_csv.ConvertOptions(
                include_columns=[names[layout.key]],
                column_types={names[layout.key]: kind},
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        for batch in reader:
            keys = keys_of_column(batch.column(0))
            yield keys // np.uint64(layout.divisor) if layout.divisor > 1 else keys


def describe_csv(path: Path) -> str:
    """How `read_csv` reads the file, in a few words; raises what it raises."""
    return str(_look(_head(path))[1])


def looks_like_a_table(path: Path) -> bool:
    """Whether it may be meant as a trace: not if it is prose, as in a README.txt.

    Prose has lines of many lengths, or no number in its first line.
    """
    head = _head(path)
    if b"\0" in head or not head.strip():
        return True  # Whoever reads it will say what is wrong.
    try:
        rows, layout = _look(head)
    except WorkloadError:
        return False
    lines = [line for line in _lines(head) if line.strip()][:_PEEK_LINES]
    numbers = any(_NUMBER.fullmatch(cell) for cell in rows[0])
    return len(rows) + layout.header >= 0.9 * len(lines) and (numbers or layout.header)


def _head(path: Path) -> bytes:
    with open_bytes(path) as file:
        return read_fully(file, _PEEK_BYTES)


def _lines(head: bytes) -> list[str]:
    # The same line ends as pyarrow's, so that counts of lines are the same; utf-8-sig: without
    # the mark that some editors put before the first line.
    text = head.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if len(lines) > 1 and (len(head) == _PEEK_BYTES or not lines[-1]):
        lines.pop()  # Cut off in the middle, or nothing behind the last line end.
    return lines


def _look(head: bytes) -> tuple[list[list[str]], Layout]:
    if b"\0" in head:
        raise WorkloadError("is not text, so not CSV")
    lines = _lines(head)
    above = next((number for number, line in enumerate(lines) if line.strip()), 0)
    lines = [line for line in lines if line.strip()][:_PEEK_LINES]
    if not lines:
        raise WorkloadError("is empty")
    delimiter = next((mark for mark in (",", "\t", ";", " ") if mark in lines[-1].strip()), ",")
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    header, rows = _split_header(rows)
    if not rows:
        raise WorkloadError("holds no requests, only a header")
    columns = len(rows[0])
    rows = [row for row in rows if len(row) == columns]
    if header:
        if len(header) != columns:
            raise WorkloadError(f"its header has {len(header)} columns, its first row {columns}")
        key = _named_key(header)
        return rows, Layout(delimiter, columns, key, header=True, skipped=above + 1)
    key, divisor = _placed_key(rows)
    return rows, Layout(delimiter, columns, key, False, skipped=above, divisor=divisor)


def _split_header(rows: list[list[str]]) -> tuple[list[str] | None, list[list[str]]]:
    """The first row is a header if it holds no number, and names the key or stands over numbers."""
    first = rows[0]
    if any(_NUMBER.fullmatch(cell) for cell in first):
        return None, rows
    named = any(_plain(cell) in _KEY_NAMES for cell in first)
    over_numbers = len(rows) > 1 and any(_NUMBER.fullmatch(cell) for cell in rows[1])
    return (first, rows[1:]) if named or over_numbers else (None, rows)


def _plain(name: str) -> str:
    return name.strip("\ufeff #\"'").lower().replace(" ", "_").replace("-", "_")


def _named_key(header: Sequence[str]) -> int:
    plain = [_plain(name) for name in header]
    for name in _KEY_NAMES:
        if name in plain:
            return plain.index(name)
    if len(header) == 1:
        return 0
    raise WorkloadError(f"no column is named `key`; its columns are {', '.join(header)[:200]}")


def _placed_key(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    columns = len(rows[0])
    if columns == 7 and all(row[3].lower() in ("read", "write") for row in rows):
        return 4, _MSR_BLOCK_BYTES
    if columns == 1:
        if not any(_INTEGER.fullmatch(row[0]) for row in rows):
            raise WorkloadError("is one column of text without a header: not a trace")
        return 0, 1
    if columns == 2 and not _never_falls([row[0] for row in rows]):
        return 0, 1
    return 1, 1


def _never_falls(cells: Sequence[str]) -> bool:
    if not all(_NUMBER.fullmatch(cell) for cell in cells):
        return False
    values = [float(cell) for cell in cells]
    return all(a <= b for a, b in itertools.pairwise(values))


def _key_type(cells: Sequence[str]) -> Any:
    if not all(_INTEGER.fullmatch(cell) for cell in cells):
        return pa.string()
    return pa.int64() if any(cell.startswith("-") for cell in cells) else pa.uint64()
