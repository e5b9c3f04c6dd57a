"""The context schema: names and types of what is known when a choice is made."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass

from acumen import _native

_NUMBER, _FLAG, _CATEGORY = 0, 1, 2


@dataclass(frozen=True)
class Category:
    """A string field, hashed into buckets.

    Args:
        buckets: places in the model; two names may share one. More buckets tell more names apart
            and cost time: a linear model of dimension d takes O(d²) a choice.
        optional: whether the value may be missing.
    """

    buckets: int = 16
    optional: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.buckets <= 4096:
            raise ValueError(f"buckets must be between 1 and 4096, not {self.buckets}")


@dataclass(frozen=True)
class Field:
    """One field of a schema, as the native core takes it."""

    name: str
    kind: int
    optional: bool
    buckets: int

    @property
    def signature(self) -> str:
        """Kind, bucket count and optionality in a few characters, for versions and messages."""
        kind = ("number", "flag", f"category[{self.buckets}]")[self.kind]
        return f"{self.name}:{kind}{'?' if self.optional else ''}"


class Schema:
    """Names and types of a context, in order.

    Types are `float`, `int`, `bool`, `str` (a hashed category) or `Category(...)`. A type with
    `| None` may be missing (None, NaN or left out) and gets an indicator of its own; any other
    missing value makes the choice serve its default, with the reason ``bad_context``.

    Args:
        fields: name → type.

    Raises:
        TypeError: a type that is none of these.
        ValueError: more fields than the core takes, or a reserved name.

    >>> schema = Schema({"size": float, "kind": str, "depth": int | None})
    >>> schema.names
    ('size', 'kind', 'depth')
    >>> schema.version
    'size:number,kind:category[16],depth:number?'
    """

    def __init__(self, fields: Mapping[str, object]) -> None:
        if len(fields) > _native.FIELDS_MAX:
            raise ValueError(f"a context has at most {_native.FIELDS_MAX} fields")
        self.fields = tuple(_field(name, kind) for name, kind in fields.items())

    @classmethod
    def parse(cls, version: str) -> Schema:
        """The schema that a `version` spells out.

        Raises:
            ValueError: this is no schema's version.

        >>> Schema.parse("size:number,kind:category[16],depth:number?").names
        ('size', 'kind', 'depth')
        """
        return cls(dict(_parsed(part) for part in version.split(",") if version))

    @property
    def names(self) -> tuple[str, ...]:
        """The fields' names, in schema order: the order of a row."""
        return tuple(field.name for field in self.fields)

    @property
    def version(self) -> str:
        """Spells the schema out; two schemas are interchangeable if their versions are equal."""
        return ",".join(field.signature for field in self.fields)


def _field(name: str, declared: object) -> Field:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"a context name must be an identifier, not {name!r}")
    if name == "candidates":
        raise ValueError("'candidates' is the name of choose()'s own argument")
    kind, optional = _without_none(declared)
    if isinstance(kind, Category):
        return Field(name, _CATEGORY, optional or kind.optional, kind.buckets)
    if kind is str:
        return Field(name, _CATEGORY, optional, Category().buckets)
    if kind is bool:
        return Field(name, _FLAG, optional, 0)
    if kind in (float, int):
        return Field(name, _NUMBER, optional, 0)
    raise TypeError(
        f"context field {name!r}: expected float, int, bool, str or Category(...), "
        f"possibly with '| None', not {declared!r}"
    )


def _parsed(signature: str) -> tuple[str, object]:
    found = re.fullmatch(r"(\w+):(?:(number)|(flag)|category\[(\d{1,4})\])(\?)?", signature)
    if found is None:
        raise ValueError(f"{signature!r} is no field of a schema")
    name, number, _, buckets, optional = found.groups()
    if buckets:
        return name, Category(int(buckets), optional is not None)
    kind: type = float if number else bool
    return name, kind | None if optional else kind


def _without_none(declared: object) -> tuple[object, bool]:
    """Splits `T | None` into T and True; anything else is itself and False."""
    if typing.get_origin(declared) not in (types.UnionType, typing.Union):
        return declared, False
    members = [m for m in typing.get_args(declared) if m is not type(None)]
    if len(members) == 1 and len(members) < len(typing.get_args(declared)):
        return members[0], True
    return declared, False
