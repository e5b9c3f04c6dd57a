"""Flags that are described in a file: TOML, one line a flag, in the words of `template`.

::

    about = "What sqlite3 can be told about files and memory"
    join = "; "

    [flags]
    journal = "PRAGMA journal_mode=[delete*,wal,memory,off]"
    cache = "PRAGMA cache_size=-[500..500000 log=2000]"
    checkpoint = "PRAGMA wal_autocheckpoint=[100..10000 log=1000]"

    [when]                       # it has a meaning only then
    checkpoint = { journal = "wal" }

    constraints = ["..."]        # at the top: expressions over flags' names
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from acumen.flags.template import Piece, TemplateError, parse_piece
from acumen.learners.search import Categorical, Integer, Real, When

BYTES_MAX = 1 << 20


@dataclass(frozen=True)
class SpaceFile:
    """What a space file says.

    Attributes:
        about: what its flags are, in a line.
        pieces: the flags, by their names.
        join: what stands between them where they become one text.
        conditions: flags that have a meaning only with a value of another one.
        constraints: expressions that must hold.
    """

    about: str
    pieces: dict[str, Piece]
    join: str = " "
    conditions: dict[str, When] = field(default_factory=dict)
    constraints: tuple[str, ...] = ()


def shipped() -> dict[str, str]:
    """The spaces that come with the package: what each is about, by its name."""
    folder = resources.files(__package__).joinpath("spaces")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".toml"))
    return {name.removesuffix(".toml"): load_space(name[:-5]).about for name in names}


def load_space(source: str | Path) -> SpaceFile:
    """Reads a space file, or one that comes with the package.

    Args:
        source: a path, or the name of one of `shipped`.

    Raises:
        TemplateError: there is none, or it cannot be understood.
    """
    path = Path(source)
    own = resources.files(__package__).joinpath("spaces", f"{source}.toml")
    try:
        if path.suffix == "" and not path.exists() and path.name == str(source) and own.is_file():
            text = own.read_text("utf-8")
        else:
            with path.open("rb") as file:
                raw = file.read(BYTES_MAX + 1)
            if len(raw) > BYTES_MAX:
                raise TemplateError(f"{source}: a space file has at most {BYTES_MAX} bytes")
            text = raw.decode("utf-8")
        return read_space(tomllib.loads(text), str(source))
    except FileNotFoundError:
        known = ", ".join(shipped())
        raise TemplateError(f"there is no space file {source}; shipped are {known}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TemplateError(f"{source}: {error}") from None


def read_space(content: Mapping[str, Any], where: str) -> SpaceFile:
    """A space from what its file says.

    Raises:
        TemplateError: something in it cannot be understood.
    """
    if unknown := set(content) - {"about", "join", "flags", "when", "constraints"}:
        raise TemplateError(f"{where}: unknown: {', '.join(sorted(unknown))}")
    about, join = content.get("about", ""), content.get("join", " ")
    flags, when = content.get("flags", {}), content.get("when", {})
    constraints = content.get("constraints", [])
    if not (
        isinstance(about, str)
        and isinstance(join, str)
        and _is_table(flags, str)
        and _is_table(when, dict)
        and isinstance(constraints, list)
        and all(isinstance(one, str) for one in constraints)
    ):
        raise TemplateError(f"{where}: about and join are texts, flags a table of texts, when a"
                            " table of tables, constraints a list of texts")  # fmt: skip
    if not flags:
        raise TemplateError(f"{where}: there are no [flags]")
    pieces = {
        name: parse_piece(name, text, f"{where}: {name} = {text!r}") for name, text in flags.items()
    }
    conditions = dict(
        _condition(name, table, pieces, f"{where}: when {name}") for name, table in when.items()
    )
    return SpaceFile(about, pieces, join, conditions, tuple(constraints))


def _is_table(value: object, kind: type) -> bool:
    return isinstance(value, dict) and all(isinstance(one, kind) for one in value.values())


def _condition(
    name: str, table: Mapping[str, Any], pieces: Mapping[str, Piece], where: str
) -> tuple[str, When]:
    if name not in pieces or len(table) != 1:
        raise TemplateError(f"{where}: needs a flag, and one other flag with its value or values")
    other, value = next(iter(table.items()))
    if other not in pieces:
        raise TemplateError(f"{where}: there is no flag {other}")
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    parent = pieces[other]
    switched = parent.optional and isinstance(parent.parameter, Integer | Real)
    asked = parent.switch if switched and all(isinstance(one, bool) for one in values) else other
    if isinstance(parent.parameter, Categorical):
        values = [one if one is None else str(one) for one in values]
    child = pieces[name]
    split = child.optional and isinstance(child.parameter, Integer | Real)
    return (child.switch if split else name), When(asked, *values)
