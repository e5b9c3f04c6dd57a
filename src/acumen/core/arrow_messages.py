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
# Of all dictionaries of a stream or file, which Arrow keeps; those of a journal are a few labels.
DICTIONARIES_BYTES_MAX = 1 << 20
_HEAD_BYTES_MAX = 1 << 20

# Fields of Message: its version, the kind of its head, the head. Of a batch's head: its buffers,
# and how they are compressed; of a dictionary's: the batch in it. Of Footer: where messages are.
_VERSION, _KIND, _HEAD = 0, 1, 2
_BUFFERS, _COMPRESSION, _DICTIONARY_BATCH = 2, 3, 1
_DICTIONARIES, _BATCHES = 2, 3
_V5, _DICTIONARY = 4, 2
_BUFFER, _BLOCK = struct.Struct("<qq"), struct.Struct("<qi4xq")
_CONTINUATION = 0xFFFFFFFF
_TAIL = struct.Struct("<i6s")
_END = struct.pack("<II", 0xFFFFFFFF, 0)  # of a stream, and of a file's messages
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


def check_inflated(message: Any, bytes_max: int = INFLATED_BYTES_MAX) -> int:
    """Refuses a `pyarrow.ipc.Message` whose buffers would become larger than that together.

    Returns:
        How many bytes they will have; 0: it holds none.

    Raises:
        InflationError: they would, or it cannot be told.
    """
    if message.type not in ("dictionary", "record batch"):
        return 0
    body = memoryview(message.body)
    head = bytes(message.metadata)
    return _check(head, lambda at, size: bytes(body[at : at + size]), len(body), bytes_max)


def checked_stream(data: pa.Buffer) -> Iterator[None]:
    """Moves from batch to batch of a stream, ahead of whoever reads it, and checks all between.

    Raises:
        InflationError: what comes next must not be read.
        ArrowException, OSError: it is damaged.
    """
    left = DICTIONARIES_BYTES_MAX
    for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(data)):
        if message.type == "dictionary":
            left -= check_inflated(message, left)
        else:
            check_inflated(message)
        if message.type == "record batch":
            yield


def check_file(read: Bytes, size: int, bytes_max: int = INFLATED_BYTES_MAX) -> None:
    """Checks every message that the footer of an Arrow file names, each once.

    Args:
        read: the file's bytes.
        size: of the file.
        bytes_max: that a batch may become.

    Raises:
        InflationError: one becomes larger, or it cannot be told.
        OSError: the file cannot be read.
    """
    try:
        left, end = DICTIONARIES_BYTES_MAX, 0
        dictionaries, batches = _blocks(read, size)
        # Messages lie one after the other: named twice, one would be looked at, and kept, twice.
        for at, head_bytes, body_bytes in sorted(dictionaries + batches):
            body = at + head_bytes
            if not end <= at <= body - 8 <= body + body_bytes - 8 <= size - 8:
                raise InflationError("messages that overlap, or lie outside the file")
            if head_bytes > _HEAD_BYTES_MAX:
                raise InflationError(f"a head larger than {_HEAD_BYTES_MAX} bytes")
            end = body + body_bytes
            (word,) = struct.unpack("<I", read(at, 4))
            start = at + (8 if word == _CONTINUATION else 4)
            head, contents = read(start, body - start), partial(_read_in, read, body)
            if (at, head_bytes, body_bytes) in dictionaries:
                left -= _check(head, contents, body_bytes, left)
            else:
                _check(head, contents, body_bytes, bytes_max)
        # A footer may be damaged so that it is whole and names fewer.
        footer = size - _TAIL.size - _TAIL.unpack(read(size - _TAIL.size, _TAIL.size))[0]
        if read(end, footer - end) != _END:
            raise InflationError("a footer that does not name all messages")
    except InflationError:
        raise
    except _ERRORS as error:
        raise InflationError(f"its footer makes no sense: {error}") from None


def _blocks(read: Bytes, size: int) -> list[list[tuple[int, int, int]]]:
    """Offset, bytes of the head and bytes of the body: of the dictionaries, and of the batches."""
    length, magic = _TAIL.unpack(read(size - _TAIL.size, _TAIL.size))
    if magic != b"ARROW1" or not 0 < length <= size - _TAIL.size:
        raise InflationError("no footer")
    footer = read(size - _TAIL.size - length, length)
    (root,) = struct.unpack_from("<I", footer)
    found = []
    for field in (_DICTIONARIES, _BATCHES):
        start, count = _vector(footer, root, field, _BLOCK.size)
        found.append([_BLOCK.unpack_from(footer, start + _BLOCK.size * i) for i in range(count)])
    return found


def _read_in(read: Bytes, body: int, at: int, size: int) -> bytes:
    return read(body + at, size)


def _check(head: bytes, body: Bytes, body_bytes: int, bytes_max: int) -> int:
    """How large a message becomes; refused if it is more than that."""
    try:
        batch = _batch(head)
        if batch is None:
            raise InflationError("a message of an older kind, or of none")
        if _place(head, batch, _COMPRESSION) == 0:
            return body_bytes
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
        return bytes_max - left
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
