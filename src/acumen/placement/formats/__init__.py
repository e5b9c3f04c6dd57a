"""Graph files: each format one file, recognised by what a file holds; and Acumen's own."""

from __future__ import annotations

from pathlib import Path

from acumen.placement.files import stem_of, text_of
from acumen.placement.formats import captured_step, doppler, msr, own, pipedream, piper
from acumen.placement.formats.loaded import Loaded
from acumen.placement.formats.own import save_graph
from acumen.placement.graph import GraphError

__all__ = ["Loaded", "load_graph", "parse_graph", "save_graph"]

_FORMATS = (own, captured_step, msr, piper, pipedream, doppler)


def load_graph(path: str | Path) -> Loaded:
    """Reads a graph, as text or packed (.zst, .gz).

    Formats: Acumen's own (`save_graph`), captured steps of PyTorch modules
    (`acumen.placement.pytorch.save`), Microsoft's and Piper's JSON, PipeDream's profiles, Doppler's
    compute graphs.

    Raises:
        GraphError: the file cannot be read, has no known format, or is damaged; the message is one
            line with its name, and the node's.
    """
    path = Path(path)
    text = text_of(path)
    try:
        return parse_graph(text, stem_of(path))
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from None


def parse_graph(text: str, name: str) -> Loaded:
    """Reads the text of a graph file; see `load_graph`.

    Args:
        text: of the file.
        name: of the graph, where the text names none.

    Raises:
        GraphError: it has no known format, or is damaged; the message is one line.
    """
    for format_ in _FORMATS:
        if format_.recognises(text):
            loaded: Loaded = format_.read(text, name)
            return loaded
    if msr.is_split(text):
        raise GraphError("is a split of a graph over devices, not a graph")
    raise GraphError("has no known format")
