"""Affine expressions of loop iterators and parameters, read off C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acumen.compilers.loop_nests.errors import RegionError


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

    def fix(self, values: Mapping[str, int]) -> Affine:
        """With numbers in the place of some names."""
        fixed = Affine({}, self.constant)
        for name, factor in self.terms.items():
            known = Affine({}, values[name]) if name in values else Affine({name: 1})
            fixed = fixed.plus(known, factor)
        return fixed

    def __str__(self) -> str:
        parts = [f"{factor}*{name}" for name, factor in self.terms.items()]
        return " + ".join([*parts, str(self.constant)])


def affine(node: Any) -> Affine:
    """An expression of C (pycparser's) as an affine one; division of constants only.

    Raises:
        RegionError: it is not affine.
    """
    kind = type(node).__name__
    if kind == "ID":
        return Affine({node.name: 1})
    if kind == "Constant" and "int" in node.type:
        return Affine({}, int(node.value.rstrip("uUlL"), 0))
    if kind == "Cast":
        return affine(node.expr)
    if kind == "UnaryOp" and node.op in ("-", "+"):
        return Affine().plus(affine(node.expr), -1 if node.op == "-" else 1)
    if kind == "BinaryOp":
        return _binary(node)
    raise RegionError("this subscript, bound or condition is not affine", line_of(node))


def _binary(node: Any) -> Affine:
    left, right = affine(node.left), affine(node.right)
    if node.op in ("+", "-"):
        return left.plus(right, -1 if node.op == "-" else 1)
    if node.op == "*" and (not left.terms or not right.terms):
        factor, other = (left, right) if not left.terms else (right, left)
        return Affine().plus(other, factor.constant)
    if node.op in ("/", "%") and not left.terms and not right.terms and right.constant:
        quotient = int(left.constant / right.constant)
        rest = left.constant - quotient * right.constant
        return Affine({}, quotient if node.op == "/" else rest)
    raise RegionError(f"an operand of {node.op} keeps this from being affine", line_of(node))


def line_of(node: Any) -> int:
    """The line of the file where a node begins."""
    return int(node.coord.line) if node.coord else 0
