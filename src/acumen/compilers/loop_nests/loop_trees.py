"""isl's tree of loops, as far as printing needs it."""

from __future__ import annotations

import re
from typing import Any

from acumen.compilers.loop_nests.isl import load

MACROS = """#define acumen_min(a, b) ((a) < (b) ? (a) : (b))
#define acumen_max(a, b) ((a) > (b) ? (a) : (b))
#define acumen_floord(n, d) ((n) < 0 ? -((-(n) + (d) - 1) / (d)) : (n) / (d))
"""
_ISL_MACRO = re.compile(r"\b(min|max|floord)\(")


class PlainError(Exception):
    """This register tile cannot be written out; it stays a nest of loops."""


def c_text(expression: Any) -> str:
    """An expression as C, with macros of our own names."""
    return _ISL_MACRO.sub(r"acumen_\1(", expression.to_C_str())


def is_loop(node: Any) -> bool:
    """Whether a node is a loop that runs more than once."""
    isl = load()
    return bool(node.get_type() == isl.ast_node_type.for_) and not node.for_is_degenerate()


def is_mark(node: Any, name: str) -> bool:
    """Whether a node is a mark whose name begins so."""
    isl = load()
    return bool(node.get_type() == isl.ast_node_type.mark) and node.mark_get_id().name.startswith(
        name
    )


def constant_loop(node: Any) -> tuple[str, range]:
    """The variable of a loop whose bounds are numbers, and its values.

    Raises:
        PlainError: it is not a loop, or its bounds are not numbers.
    """
    if not is_loop(node):
        raise PlainError
    name = c_text(node.for_get_iterator())
    bound = re.fullmatch(rf"{name} (<=?) (-?\d+)", c_text(node.for_get_cond()))
    init, step = c_text(node.for_get_init()), c_text(node.for_get_inc())
    if bound is None or not re.fullmatch(r"-?\d+", init) or not step.isdigit():
        raise PlainError
    return name, range(int(init), int(bound[2]) + (bound[1] == "<="), int(step))


def slope_of(value: Any, dims: int) -> int | None:
    """By how much an iterator moves with the last dimension of the schedule."""
    isl = load()
    pieces: list[Any] = []
    value.foreach_piece(lambda _, piece: pieces.append(piece))
    if len(pieces) != 1 or not dims:
        return None
    aff = pieces[0]
    for i in range(aff.dim(isl.dim_type.div)):
        if not aff.get_coefficient_val(isl.dim_type.div, i).is_zero():
            return None
    slope = aff.get_coefficient_val(isl.dim_type.in_, dims - 1)
    return int(slope.to_python()) if slope.is_int() else None
