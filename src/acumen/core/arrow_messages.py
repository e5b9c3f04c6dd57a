"""What Arrow's messages say of their buffers, before Arrow inflates any of them.

A compressed buffer begins with the length that it will have, and Arrow makes room for as much
before anything can be checked: a message of a few bytes can ask for gigabytes. So heads are read
here first: FlatBuffers, of a message as of a file's footer (Message.fbs and File.fbs of the Arrow
project). A buffer can then become no larger than it has said: its codec gets no more room.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa

INFLATED_BYTES_MAX = 256 << 20  # of one batch; the largest that is made is a few commits

# Fields of Message: its version, the kind of its head, the head. Of a batch's head: its buffers,
# and how they are compressed; of a dictionary's: the batch in it. Of Footer: where messages are.
_VERSION, _KIND, _HEAD = 0, 1, 2
_BUFFERS, _COMPRESSION, _DICTIONARY_BATCH = 2, 3, 1
_DICTIONARIES, _BATCHES = 2, 3
_V5, _DICTIONARY = 4, 2
_BUFFER, _BLOCK = struct.Struct("<qq"), struct.Struct("<qi4xq")
_CONTINUATION = 0xFFFFFFFF
_TAIL = struct.Struct("<i6s")
_PLAIN = -1
_ERRORS = (struct.error, IndexError, ValueError, OverflowError)

Bytes = Callable[[int, int], bytes]  # from an offset, so many


class InflationError(ValueError):
    """A message that would become too large, or does not say how large."""


def is_plain(head: bytes) -> bool:
    """Whether a message says of itself, in a way that is understood, that nothing is compressed."""
    try:
        batch = _batch(head)
        return batch is not None and _place(head, batch, _COMPRESSION) == 0
    except _ERRORS:
        return False


def check_inflated(message: Any, bytes_max: int = INFLATED_BYTES_MAX) -> None:
    """Refuses a `pyarrow.ipc.Message` whose buffers would become larger than that together.

    Raises:
        InflationError: they would, or it cannot be told.
    """
    if message.type in ("dictionary", "record batch"):
        body = memoryview(message.body)
        _check(bytes(message.metadata), lambda at, size: bytes(body[at : at + size]), bytes_max)


def checked_stream(data: pa.Buffer) -> Iterator[None]:
    """Moves from batch to batch of a stream, ahead of whoever reads it, and checks all between.

    Raises:
        InflationError: what comes next must not be read.
        ArrowException, OSError: it is damaged.
    """
    for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(data)):
        check_inflated(message)
        if message.type == "record batch":
            yield


def check_file(read: Bytes, size: int, bytes_max: int = INFLATED_BYTES_MAX) -> None:
    """Checks every message that the footer of an Arrow file names, each by itself.

    Args:
        read: the file's bytes.
        size: of the file.
        bytes_max: that a message may become.

    Raises:
        InflationError: one becomes larger, or it cannot be told.
        OSError: the file cannot be read.
    """
    try:
        for at, head_bytes, body_bytes in _blocks(read, size):
            body = at + head_bytes
            if not 0 <= at <= body - 8 <= body + body_bytes - 8 <= size - 8:
                raise InflationError("a message lies outside the file")
            (word,) = struct.unpack("<I", read(at, 4))
            start = at + (8 if word == _CONTINUATION else 4)
            _check(read(start, body - start), partial(_read_in, read, body), bytes_max)
    except InflationError:
        raise
    except _ERRORS as error:
        raise InflationError(f"its footer makes no sense: {error}") from None


def _blocks(read: Bytes, size: int) -> list[tuple[int, int, int]]:
    """Offset, bytes of the head and bytes of the body of every dictionary and batch."""
    length, magic = _TAIL.unpack(read(size - _TAIL.size, _TAIL.size))
    if magic != b"ARROW1" or not 0 < length <= size - _TAIL.size:
        raise InflationError("no footer")
    footer = read(size - _TAIL.size - length, length)
    (root,) = struct.unpack_from("<I", footer)
    found: list[tuple[int, int, int]] = []
    for field in (_DICTIONARIES, _BATCHES):
        start, count = _vector(footer, root, field, _BLOCK.size)
        found += (_BLOCK.unpack_from(footer, start + _BLOCK.size * i) for i in range(count))
    return found


def _read_in(read: Bytes, body: int, at: int, size: int) -> bytes:
    return read(body + at, size)


def _check(head: bytes, body: Bytes, bytes_max: int) -> None:
    try:
        batch = _batch(head)
        if batch is None:
            raise InflationError("a message of an older kind, or of none")
        if _place(head, batch, _COMPRESSION) == 0:
            return  # as large as its body is
        start, count = _vector(head, batch, _BUFFERS, _BUFFER.size)
        left = bytes_max
        for i in range(count):
            at, length = _BUFFER.unpack_from(head, start + _BUFFER.size * i)
            if length == 0:
                continue
            (inflated,) = struct.unpack("<q", body(at, 8))
            inflated = length if inflated == _PLAIN else inflated
            if not 0 <= inflated <= left:
                raise InflationError(f"a batch that would become larger than {bytes_max} bytes")
            left -= inflated
    except InflationError:
        raise
    except _ERRORS as error:
        raise InflationError(f"a message that makes no sense: {error}") from None


def _batch(head: bytes) -> int | None:
    """Where the record batch of a message is described; None: of its version it is not known."""
    (root,) = struct.unpack_from("<I", head)
    version, kind = _place(head, root, _VERSION), _place(head, root, _KIND)
    # Version 4 had other ways to say that something is compressed.
    if not (version and struct.unpack_from("<h", head, version)[0] == _V5 and kind):
        return None
    table = _follow(head, _place(head, root, _HEAD))
    if head[kind] == _DICTIONARY:
        table = _follow(head, _place(head, table, _DICTIONARY_BATCH))
    return table


def _vector(head: bytes, table: int, field: int, item_bytes: int) -> tuple[int, int]:
    """Where a table's vector of structs begins, and how many there are."""
    place = _place(head, table, field)
    if not place:
        return 0, 0
    at = _follow(head, place)
    (count,) = struct.unpack_from("<I", head, at)
    if at + 4 + item_bytes * count > len(head):
        raise InflationError("a list longer than what it is in")
    return at + 4, count


def _place(head: bytes, table: int, field: int) -> int:
    """Where a table has a field; 0: it has none."""
    vtable = table - int(struct.unpack_from("<i", head, table)[0])
    (size,) = struct.unpack_from("<H", head, vtable)
    slot = 4 + 2 * field
    (offset,) = struct.unpack_from("<H", head, vtable + slot) if slot < size else (0,)
    return table + int(offset) if offset else 0


def _follow(head: bytes, place: int) -> int:
    return place + int(struct.unpack_from("<I", head, place)[0])
