"""Affine expressions of loop iterators, read off C; parameters have their values already.

A bound may also be the least or the largest of several: `a < b ? a : b`, which is what the macros
`min` and `max` of C programs become. Then it is affine in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from acumen.compilers.loop_nests.errors import RegionError

# What a name stands for: an iterator, or the number of a parameter.
Lookup = Callable[[str], "Affine"]
# Casts to other types may change a value.
_WIDE = ("int", "long", "size_t", "ssize_t", "ptrdiff_t", "int32_t", "int64_t", "uint64_t")
_OTHER = ("short", "char", "double")


@dataclass(frozen=True)
class Affine:
    """`constant` + the sum of `terms[name]` · name, all of them integers."""

    terms: Mapping[str, int] = field(default_factory=dict)
    constant: int = 0

    def plus(self, other: Affine, times: int = 1) -> Affine:
        """This, and so many times the other."""
        terms = dict(self.terms)
        for name, factor in other.terms.items():
            terms[name] = terms.get(name, 0) + times * factor
        kept = {name: factor for name, factor in terms.items() if factor}
        return Affine(kept, self.constant + times * other.constant)

    def __str__(self) -> str:
        parts = [f"{factor}*{name}" for name, factor in self.terms.items()]
        return " + ".join([*parts, str(self.constant)])


@dataclass(frozen=True)
class Pieces:
    """An expression that is one of several affine ones: as isl's text, and all of them."""

    text: str
    parts: tuple[Affine, ...]


def affine(node: Any, lookup: Lookup) -> Affine:
    """An expression of C (pycparser's) as an affine one; division of constants only.

    Raises:
        RegionError: it is not affine.
    """
    kind = type(node).__name__
    if kind == "ID":
        return lookup(node.name)
    if kind == "Constant" and "int" in node.type:
        return Affine({}, _number(node.value))
    if kind == "Cast" and _keeps_values(node.to_type.type):
        return affine(node.expr, lookup)
    if kind == "UnaryOp" and node.op in ("-", "+"):
        return Affine().plus(affine(node.expr, lookup), -1 if node.op == "-" else 1)
    if kind == "BinaryOp":
        return _binary(node, lookup)
    raise RegionError("this subscript, bound or condition is not affine", line_of(node))


def pieces(node: Any, lookup: Lookup) -> Pieces:
    """An expression that is affine, or the least or largest of such, or sums of them.

    Raises:
        RegionError: it is not affine in pieces.
    """
    kind = type(node).__name__
    if kind == "TernaryOp":
        name = _least_or_largest(node)
        both = [pieces(each, lookup) for each in (node.iftrue, node.iffalse)]
        text = f"{name}({both[0].text}, {both[1].text})"
        return Pieces(text, both[0].parts + both[1].parts)
    if kind == "BinaryOp" and node.op in ("+", "-"):
        left, right = pieces(node.left, lookup), pieces(node.right, lookup)
        times = -1 if node.op == "-" else 1
        sums = tuple(a.plus(b, times) for a in left.parts for b in right.parts)
        if len(sums) > 1:
            return Pieces(f"({left.text}) {node.op} ({right.text})", sums)
    found = affine(node, lookup)
    return Pieces(str(found), (found,))


def operands(node: Any) -> Iterator[Any]:
    """An expression and all that it is computed from, names and numbers included."""
    yield node
    for _, child in node.children():
        if type(child).__name__ != "Typename":
            yield from operands(child)


def line_of(node: Any) -> int:
    """The line of the file where a node begins."""
    return int(node.coord.line) if node.coord else 0


def _number(text: str) -> int:
    digits = text.rstrip("uUlL")
    octal = digits.startswith("0") and digits.isdigit()
    return int(digits, 8 if octal else 0)


def _keeps_values(kind: Any) -> bool:
    names = getattr(getattr(kind, "type", None), "names", ())
    unsigned = "unsigned" in names and "long" not in names
    return any(n in _WIDE for n in names) and not unsigned and not any(n in _OTHER for n in names)


def _binary(node: Any, lookup: Lookup) -> Affine:
    left, right = affine(node.left, lookup), affine(node.right, lookup)
    if node.op in ("+", "-"):
        return left.plus(right, -1 if node.op == "-" else 1)
    if node.op == "*" and (not left.terms or not right.terms):
        factor, other = (left, right) if not left.terms else (right, left)
        return Affine().plus(other, factor.constant)
    if node.op in ("/", "%") and not left.terms and not right.terms and right.constant:
        quotient = abs(left.constant) // abs(right.constant)
        if (left.constant < 0) != (right.constant < 0):
            quotient = -quotient
        rest = left.constant - quotient * right.constant
        return Affine({}, quotient if node.op == "/" else rest)
    raise RegionError(f"an operand of {node.op} keeps this from being affine", line_of(node))


def _least_or_largest(node: Any) -> str:
    """`min` or `max` of an expression such as `a < b ? a : b`.

    Raises:
        RegionError: it is neither.
    """
    test = node.cond
    if type(test).__name__ == "BinaryOp" and test.op in ("<", "<=", ">", ">="):
        compared = [_shown(test.left), _shown(test.right)]
        chosen = [_shown(node.iftrue), _shown(node.iffalse)]
        if chosen in (compared, compared[::-1]):
            return "min" if (test.op[0] == "<") == (chosen == compared) else "max"
    raise RegionError("this subscript, bound or condition is not affine", line_of(node))


def _shown(node: Any) -> str:
    """An expression as a text that only equal ones have."""
    own = [str(getattr(node, name)) for name in node.attr_names]
    return f"{type(node).__name__}{own}({', '.join(_shown(c) for _, c in node.children())})"
