"""Readers of graph files: each format one file, recognised by what a file holds."""

from __future__ import annotations

from pathlib import Path

from acumen.placement.formats import msr, pipedream
from acumen.placement.formats.loaded import Loaded
from acumen.placement.formats.reading import text_of
from acumen.placement.graph import GraphError

__all__ = ["Loaded", "load_graph", "stem_of"]

_FORMATS = (msr, pipedream)


def stem_of(path: Path) -> str:
    """A file's name without what says how it is written.

    >>> stem_of(Path("graphs/gnmt.txt.zst"))
    'gnmt'
    """
    return path.name.removesuffix(".zst").rpartition(".")[0] or path.name


def load_graph(path: str | Path) -> Loaded:
    """Reads a graph: MSR's JSON or a PipeDream profile, as text or packed (.zst).

    Raises:
        GraphError: the file cannot be read, has no known format, or is damaged; the message is one
            line with its name, and the node's.
    """
    path = Path(path)
    text = text_of(path)
    for format_ in _FORMATS:
        if format_.recognises(text):
            try:
                loaded: Loaded = format_.read(text, stem_of(path))
                return loaded
            except GraphError as error:
                raise GraphError(f"{path}: {error}") from None
    raise GraphError(f"{path}: has no known format")
