"""Text files, packed where their names end in .zst or .gz; what one may hold has a limit."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa

from acumen.evaluation import write_atomically
from acumen.placement.graph import GraphError

__all__ = ["TEXT_MAX", "save_text", "stem_of", "text_of"]

# What a file may hold once it is unpacked: a graph of a million operators takes some 250 MB.
TEXT_MAX = 1 << 30
_AT_ONCE = 1 << 24
_PACKED = {".zst": "zstd", ".gz": "gzip"}


def stem_of(path: Path) -> str:
    """A file's name without what says how it is written.

    >>> stem_of(Path("graphs/gnmt.txt.zst"))
    'gnmt'
    """
    name = path.name.removesuffix(path.suffix) if path.suffix in _PACKED else path.name
    return name.rpartition(".")[0] or name


def text_of(path: Path) -> str:
    """The text of a file, unpacked if its name ends in .zst or .gz.

    Raises:
        GraphError: it cannot be read, is no text, is damaged, or is larger than `TEXT_MAX` bytes;
            one line with the file's name.
    """
    parts: list[bytes] = []
    size = 0
    codec = _PACKED.get(path.suffix)
    try:
        with pa.OSFile(str(path)) as file:
            source = pa.CompressedInputStream(file, codec) if codec else file
            while (part := source.read(_AT_ONCE)) and size <= TEXT_MAX:
                parts.append(bytes(part))
                size += len(part)
    except (OSError, pa.ArrowException) as error:
        raise GraphError(f"{path}: cannot be read: {str(error).partition(chr(10))[0]}") from None
    if size > TEXT_MAX:
        raise GraphError(f"{path}: holds more than {TEXT_MAX:,} bytes")
    try:
        return b"".join(parts).decode("utf-8")
    except UnicodeDecodeError as error:
        raise GraphError(f"{path}: is no text: {error}") from None


def save_text(path: Path, text: str) -> None:
    """Writes a text, packed if the name ends in .zst or .gz; the whole file or none of it.

    Raises:
        OSError: the folder is missing, read-only or full; an old file is then untouched.
    """
    data = text.encode("utf-8")
    if path.suffix == ".gz":
        data = gzip.compress(data, 3, mtime=0)  # without the time: equal texts, equal files
    elif path.suffix == ".zst":
        data = _zstd(data)
    write_atomically(path, [data])


def _zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packed:
        packed.write(data)
    return bytes(sink.getvalue().to_pybytes())
