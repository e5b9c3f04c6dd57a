"""Where a hub keeps what it has learned: any path that fsspec knows."""

from __future__ import annotations

import re
import time
from typing import Any

from acumen.core import model_file
from acumen.core.model_file import ModelError
from acumen.core.published import NONE, Published, Stamp
from acumen.fleet.stream_table import folded, unfolded

PROBLEMS_MAX = 100
KEEP = 3
_NAME = re.compile(r"checkpoint-([0-9]{8})-([0-9]{10})\.acumen")


class Checkpoints:
    """A hub's checkpoints under one path; each is a file of its own, with a checksum.

    On a local disk a file is synced and renamed into place; in an object store it appears whole.
    Either way one that is torn is passed over for the one before it.

    Args:
        url: a folder, such as ``/var/lib/acumen`` or ``s3://bucket/acumen``.

    Attributes:
        url: as given.
        problems: what could not be read, in words.
        written: stamp of the last one written here, and when, in seconds since 1970.

    Raises:
        ImportError: fsspec, or what it needs for this kind of path, is not installed.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self._files, self._root = fsspec.core.url_to_fs(url)
        self.url = url
        self.problems: list[str] = []
        self.written: tuple[Stamp, float] = (NONE, 0.0)

    def names(self) -> list[tuple[Stamp, str]]:
        """All of them, the newest first.

        Raises:
            OSError: the path cannot be read.
        """
        try:
            self._files.invalidate_cache(self._root)
            listed: list[Any] = self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            return []
        found = [(_NAME.fullmatch(str(name).rpartition("/")[2]), str(name)) for name in listed]
        return sorted(
            (((int(m[1]), int(m[2])), name) for m, name in found if m is not None), reverse=True
        )

    def write(self, published: Published) -> None:
        """Keeps a checkpoint, and lets the oldest go, if they will; durable on return.

        Raises:
            ModelError: it is larger than a model may be.
            OSError: it cannot be written.
        """
        term, version = published.stamp
        published = folded(published)
        self._files.makedirs(self._root, exist_ok=True)
        path = f"{self._root}/checkpoint-{term:08d}-{version:010d}.acumen"
        if "file" in _protocols(self._files):
            model_file.write(path, published.header, published.arrays)
        else:
            self._files.pipe_file(path, model_file.encode(published.header, published.arrays))
        self.written = (published.stamp, time.time())
        try:
            for _, name in [n for n in self.names() if n[0] <= published.stamp][KEEP:]:
                self._files.rm_file(name)
        except Exception as error:  # file systems of fsspec raise whatever their libraries do
            self.problems = [*self.problems, f"old checkpoints stay: {error}"][-PROBLEMS_MAX:]

    def newest(self, before: Stamp = (1 << 62, 0)) -> Published | None:
        """The newest that can be read, of those before a stamp; None if there is none.

        Raises:
            OSError: the path cannot be read.
        """
        for stamp, name in self.names():
            if stamp >= before:
                continue
            try:
                size = self._files.size(name)
                if size is not None and size > model_file.BYTES_MAX:
                    raise ModelError(f"{size} bytes are more than a model may have")
                found = Published(stamp, *model_file.decode(self._files.cat_file(name)))
                return unfolded(found)
            except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError) as error:
                self.problems.append(f"{name}: {error}")
        return None

    def term(self) -> int:
        """The highest term that any of them bears."""
        names = self.names()
        return names[0][0][0] if names else NONE[0]


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)
