"""How a journal's events stand in Arrow: columns, what a file says of itself, checksums.

Every event is one row. A column that does not concern an event's kind is null in it:

========================  ==================================================================
`sequence`, `time`        the event's number in its stream, from 1; when, UTC
`kind`                    decision, feedback, timeout …: see `KINDS`
`replica`                 of the process that wrote the stream
`id`                      of the decision (decision, feedback, timeout)
`arm`, `suggested`,       indices: what was served, what the learned policy drew, what the default
`default_arm`             would have been
`propensity`              probability with which `arm` was sampled
`learned_share`           probability with which the learned policy was in charge
`reason`                  why this arm was served
`model_version`           lessons that the model had taken
`usable`                  whether the context was good: whether there is something to learn
`fate`                    what became of a feedback: see `FATES`
`episode`, `step`         the sequence of decisions that this one belongs to, and its place there
`field`, `number`,        of other kinds: a context field's index, a category's code or the count
`text`                    of events that a gap lost, and words
`context.*`               the row as the model saw it; categories as codes, see `names`
`feature.*`               features of the arm that was taken, where candidates have some
`metric.*`                what feedback brought
========================  ==================================================================

A file's schema says, as JSON under the metadata key ``acumen``, whose journal it is. A batch's
own metadata holds the first and the last number of its events and a CRC-32 of these, of the
number of rows, and of every column's bitmap (if something is null) and values, in order; equal
rows have equal checksums, compressed or not. Nothing read from a file is used before it is checked.
"""

from __future__ import annotations

import functools
import json
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from acumen import _native

FORMAT = 1
KINDS = (
    "decision",
    "feedback",
    "timeout",
    "candidate",
    "seen",
    "name",
    "objective",
    "mode",
    "start",
    "load",
    "replay",
    "note",
    "gap",
    "episode",
)
FATES = ("learned", "recorded", "duplicate", "unknown", "bad")
KIND_CODES = {name: code for code, name in enumerate(KINDS)}
INFO_BYTES_MAX = 1 << 22
STREAM = re.compile("[0-9a-f]{12}-[0-9a-f]{6}")
_KEY, _CHECKSUM_KEY = b"acumen", b"acumen.crc32"
_HEAD = struct.Struct("<QQQQ")


class JournalError(ValueError):
    """A journal, or a part of it, that is damaged, foreign or made for another choice."""


@dataclass(frozen=True)
class JournalInfo:
    """Whose journal a segment belongs to.

    Attributes:
        choice: the choice's name.
        stream: names the process's stream of events: start in milliseconds and replica, in hex.
        segment: the file's place in its stream, from 0.
        fields: the context's names, in order.
        kinds: 0 number, 1 flag, 2 category; one a field.
        schema: the context schema's version, spelled out.
        arms: how the arms are written; of candidates one line for all.
        features: of a candidate; 0 where arms are fixed.
        metrics: names, in order.
        objective: terms as JSON values; see `objective_terms`.
        settings: what a replay has to agree with: learner, ring size, time-outs.
        names: names of categories known when the segment began: field → code → names.
    """

    choice: str
    stream: str
    segment: int
    fields: tuple[str, ...]
    kinds: tuple[int, ...]
    schema: str
    arms: tuple[str, ...]
    features: int
    metrics: tuple[str, ...]
    objective: tuple[dict[str, Any], ...]
    settings: dict[str, Any]
    names: dict[str, dict[str, list[str]]]

    @classmethod
    def from_json(cls, text: bytes | str) -> JournalInfo:
        """What `to_json` has written.

        Raises:
            JournalError: it makes no sense, or is of a later format.
        """
        try:
            values = json.loads(text)
            version = values.pop("format")
            if version != FORMAT:
                raise JournalError(
                    f"format {version}; this version of Acumen reads format {FORMAT}"
                )
            for name in ("fields", "kinds", "arms", "metrics", "objective"):
                values[name] = tuple(values[name])
            info = cls(**values)
            info._check()
        except JournalError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise JournalError(f"what it says of itself makes no sense: {error}") from None
        return info

    def to_json(self) -> bytes:
        """As a file's schema has it."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True).encode()

    def _check(self) -> None:
        texts = (self.choice, self.stream, self.schema, *self.fields, *self.arms, *self.metrics)
        numbers = (self.segment, self.features, *self.kinds)
        named = [n for codes in self.names.values() for code in codes for n in (code, *codes[code])]
        if not (
            STREAM.fullmatch(self.stream)
            and all(isinstance(text, str) for text in (*texts, *self.names, *named))
            and all(isinstance(number, int) and number >= 0 for number in numbers)
            and all(isinstance(term, dict) for term in self.objective)
            and all(code.isdecimal() for codes in self.names.values() for code in codes)
            and isinstance(self.settings, dict)
            and len(self.kinds) == len(self.fields)
        ):
            raise JournalError("what it says of itself makes no sense")


@functools.cache
def _labels(values: tuple[str, ...]) -> pa.Array:
    # Of buffers, as all that writers do: pa.array() and to_numpy() import pandas, where there is
    # one. That takes seconds, and a program that ends has none.
    texts = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(pa.utf8(), len(texts), buffers)


_LABELLED = pa.dictionary(pa.int8(), pa.utf8())
_VALUES = {"kind": KINDS, "reason": _native.REASONS, "fate": FATES}
FIXED: tuple[tuple[str, Any], ...] = (
    ("sequence", pa.uint64()),
    ("time", pa.timestamp("us", "UTC")),
    ("kind", _LABELLED),
    ("replica", pa.uint32()),
    ("id", pa.uint64()),
    ("arm", pa.int32()),
    ("suggested", pa.int32()),
    ("default_arm", pa.int32()),
    ("propensity", pa.float32()),
    ("learned_share", pa.float32()),
    ("reason", _LABELLED),
    ("model_version", pa.uint64()),
    ("usable", pa.bool_()),
    ("fate", _LABELLED),
    ("episode", pa.uint64()),
    ("step", pa.uint32()),
    ("field", pa.int32()),
    ("number", pa.int64()),
    ("text", pa.utf8()),
)


def columns_of(info: JournalInfo) -> list[tuple[str, Any]]:
    """Names and Arrow types of all columns, in order."""
    return [
        *FIXED,
        *((f"context.{name}", pa.float64()) for name in info.fields),
        *((f"feature.{i}", pa.float32()) for i in range(info.features)),
        *((f"metric.{name}", pa.float64()) for name in info.metrics),
    ]


def schema_of(info: JournalInfo) -> pa.Schema:
    """The Arrow schema of a segment, with what it says of itself."""
    columns = columns_of(info)
    text = info.to_json()
    checksum = b"%08x" % _info_checksum(text, columns)
    return pa.schema(columns, metadata={_KEY: text, _CHECKSUM_KEY: checksum})


def read_info(schema: pa.Schema) -> JournalInfo:
    """What a segment's schema says of itself.

    Raises:
        JournalError: damaged, foreign, or of a later format.
    """
    metadata = schema.metadata or {}
    text = metadata.get(_KEY)
    if text is None or len(text) > INFO_BYTES_MAX:
        raise JournalError("not a segment of a journal")
    columns = list(zip(schema.names, schema.types, strict=True))
    if metadata.get(_CHECKSUM_KEY) != b"%08x" % _info_checksum(text, columns):
        raise JournalError("altered: the checksum of its schema does not match")
    info = JournalInfo.from_json(text)
    if columns_of(info) != columns:
        raise JournalError("its columns are not those that its schema speaks of")
    return info


def _info_checksum(text: bytes, columns: Sequence[tuple[str, Any]]) -> int:
    return zlib.crc32(
        repr([(name, str(kind)) for name, kind in columns]).encode(), zlib.crc32(text)
    )


def native_batch(schema: pa.Schema, memory: Any, places: Any, rows: int) -> pa.RecordBatch:
    """A record batch over the memory that the native side has laid out."""
    whole = pa.py_buffer(memory)
    arrays = []
    for field, (valid, nulls, data, size, text, text_size) in zip(schema, places, strict=True):
        buffers = [whole.slice(valid, (rows + 7) // 8) if nulls else None, whole.slice(data, size)]
        kind = field.type
        if pa.types.is_dictionary(kind):
            indices = pa.Array.from_buffers(kind.index_type, rows, buffers, nulls)
            labels = _labels(_VALUES[field.name])
            arrays.append(pa.DictionaryArray.from_arrays(indices, labels, safe=False))
            continue
        if kind == pa.utf8():
            buffers.append(whole.slice(text, text_size))
        arrays.append(pa.Array.from_buffers(kind, rows, buffers, nulls))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def batch_metadata(first: int, last: int, checksum: int) -> dict[bytes, bytes]:
    """A batch's own metadata."""
    return {b"first": b"%d" % first, b"last": b"%d" % last, b"crc32": b"%08x" % checksum}


def batch_checksum(batch: pa.RecordBatch, first: int, last: int) -> int:
    """CRC-32 of a batch, as the native side computes it too."""
    rows = batch.num_rows
    parts = [_part(_HEAD.pack(first, last, rows, 0), 8 * _HEAD.size)]
    for column in batch.columns:
        kind = column.type
        array = column.indices if pa.types.is_dictionary(kind) else column
        valid, *rest = array.buffers()
        if array.null_count:
            parts.append(_part(valid, rows))
        if kind == pa.utf8():
            parts.append(_part(rest[0], 32 * (rows + 1)))
            end = np.frombuffer(rest[0], np.int32, rows + 1)[-1]
            if end:
                parts.append(_part(rest[1], 8 * int(end)))
        else:
            parts.append(_part(rest[0], array.type.bit_width * rows))
    return _native.crc32(parts)


def _part(data: Any, bits: int) -> tuple[Any, int]:
    return np.frombuffer(data, np.uint8), bits


def check_batch(batch: pa.RecordBatch, metadata: Mapping[Any, Any] | None) -> tuple[int, int]:
    """First and last number of a batch that was read.

    Raises:
        JournalError: it is damaged.
    """
    try:
        batch.validate(full=True)
        said = dict(metadata or {})
        first, last, checksum = int(said[b"first"]), int(said[b"last"]), int(said[b"crc32"], 16)
        if not 0 < first <= last < 1 << 62 or batch.num_rows == 0:
            raise JournalError("numbers out of order")
        for name, values in _VALUES.items():
            if batch.column(name).dictionary != _labels(values):
                raise JournalError(f"unknown labels of {name!r}")
        if batch.column("sequence").offset or batch_checksum(batch, first, last) != checksum:
            raise JournalError("the checksum does not match")
        if batch.column("sequence").null_count:
            raise JournalError("an event without a number")
        numbers = np.frombuffer(batch.column("sequence").buffers()[1], np.uint64, batch.num_rows)
        if not (first <= numbers[0] and numbers[-1] <= last and (numbers[1:] > numbers[:-1]).all()):
            raise JournalError("numbers out of order")
        if batch.column("kind").null_count:
            raise JournalError("an event of no kind")
    except (pa.ArrowException, ValueError, TypeError, KeyError, IndexError, MemoryError) as error:
        raise JournalError(str(error) or type(error).__name__) from None
    return first, last
