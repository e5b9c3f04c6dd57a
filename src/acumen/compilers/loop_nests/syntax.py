"""C as a tree: parsing a region with pycparser, and printing expressions back."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from acumen.compilers.loop_nests.affine import line_of
from acumen.compilers.loop_nests.errors import MissingError, RegionError

# Of the C library: their value depends on the arguments alone, and nothing else is changed
# (rounding modes and errno apart, which no numerical kernel reads).
_PURE = """
    acos asin atan atan2 cbrt ceil copysign cos cosh erf exp exp2 expm1 fabs floor fma fmax fmin
    fmod hypot log log10 log1p log2 pow round sin sinh sqrt tan tanh trunc
""".split()  # noqa: SIM905 - a table of names reads better so
PURE = frozenset([*_PURE, *(f"{name}f" for name in _PURE), "abs", "labs"])
_TYPES = "size_t ssize_t int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t"
# Tighter ones have larger numbers; what binds as tightly on the right gets parentheses.
_BINDING = {
    **dict.fromkeys(["||"], 1),
    **dict.fromkeys(["&&"], 2),
    **dict.fromkeys(["|"], 3),
    **dict.fromkeys(["^"], 4),
    **dict.fromkeys(["&"], 5),
    **dict.fromkeys(["==", "!="], 6),
    **dict.fromkeys(["<", ">", "<=", ">="], 7),
    **dict.fromkeys(["<<", ">>"], 8),
    **dict.fromkeys(["+", "-"], 9),
    **dict.fromkeys(["*", "/", "%"], 10),
}


def parse_region(expanded: str, types: Collection[str] = ()) -> Any:
    """A preprocessed region as pycparser's compound statement.

    Args:
        expanded: its text.
        types: names that the file defines as types.

    Raises:
        MissingError: pycparser is not installed.
        RegionError: it is no C that pycparser knows.
    """
    try:
        from pycparser import c_parser
    except ImportError as error:
        raise MissingError(
            "loop nests need isl and a parser of C: pip install 'acumen[compilers]'"
        ) from error
    typedefs = "".join(f"typedef long {name};" for name in {*_TYPES.split(), *types})
    text = f"{typedefs}\nvoid region(void)\n{{\n{expanded}\n}}\n"
    try:
        unit = c_parser.CParser().parse(text, "region")
    except Exception as error:  # It has several kinds of its own.
        found = re.search(r":(\d+):(?:\d+:)? *(.*)", str(error))
        line, what = (int(found[1]), found[2]) if found else (0, str(error))
        raise RegionError(f"the region cannot be parsed: {what}", line) from error
    return unit.ext[-1].body


def is_kind(node: Any, *kinds: str) -> bool:
    """Whether a node is of one of pycparser's classes, by name."""
    return type(node).__name__ in kinds


def children_of(node: Any) -> list[Any]:
    """The nodes right below."""
    return [child for _, child in node.children()]


def element(node: Any) -> tuple[str, list[Any]]:
    """The array and the subscripts of `a[i][j]`; of a name alone, no subscripts.

    Raises:
        RegionError: it is something else: a pointer, a member, a subscript of a call.
    """
    nodes: list[Any] = []
    at = node
    while is_kind(at, "ArrayRef"):
        nodes.append(at.subscript)
        at = at.name
    if not is_kind(at, "ID"):
        raise RegionError("only named arrays and scalars can be read and written", line_of(node))
    return at.name, nodes[::-1]


def elements_in(node: Any) -> Iterator[Any]:
    """Elements and names that an expression reads; what their subscripts read is no memory.

    Raises:
        RegionError: it has side effects, calls what is not known to be pure, or uses pointers.
    """
    if is_kind(node, "ID", "ArrayRef"):
        yield node
    elif is_kind(node, "FuncCall"):
        if not is_kind(node.name, "ID") or node.name.name not in PURE:
            name = getattr(node.name, "name", "something")
            raise RegionError(f"{name}() is not known to be free of side effects", line_of(node))
        for argument in children_of(node.args) if node.args else ():
            yield from elements_in(argument)
    elif is_kind(node, "Cast"):
        type_text(node.to_type)
        yield from elements_in(node.expr)
    elif is_kind(node, "Constant"):
        return
    elif is_kind(node, "BinaryOp", "TernaryOp") or (
        is_kind(node, "UnaryOp") and node.op in ("-", "+", "!", "~")
    ):
        for child in children_of(node):
            yield from elements_in(child)
    else:
        raise RegionError("an expression with pointers, members or side effects", line_of(node))


class Assignment:
    """`target op value`, whichever way it was written.

    Attributes:
        target: what is written.
        op: `=`, `+=` and so on.
        value: the right-hand side.
        coord: where it stands in the file, as pycparser's nodes say it.
    """

    def __init__(self, target: Any, op: str, value: Any, coord: Any) -> None:
        self.target, self.op, self.value, self.coord = target, op, value, coord


def as_assignment(node: Any) -> Assignment:
    """An assignment, or `x++` and `--x` as one.

    Raises:
        RegionError: it is an assignment of an assignment.
    """
    if is_kind(node, "UnaryOp"):
        from pycparser import c_ast

        one = c_ast.Constant("int", "1", node.coord)
        return Assignment(node.expr, "+=" if "+" in node.op else "-=", one, node.coord)
    return Assignment(node.lvalue, node.op, node.rvalue, node.coord)


def name_node(name: str, coord: Any) -> Any:
    """A name as an expression."""
    from pycparser import c_ast

    return c_ast.ID(name, coord)


def type_text(declaration: Any) -> str:
    """The type of a scalar's declaration, or of a cast.

    Raises:
        RegionError: it is a pointer, an array or a function, or outlives the region.
    """
    if not is_kind(declaration.type, "TypeDecl") or not is_kind(
        declaration.type.type, "IdentifierType"
    ):
        raise RegionError("only scalars can be declared or cast here", line_of(declaration))
    if {"static", "extern"} & {*(getattr(declaration, "storage", None) or ())}:
        raise RegionError("what outlives the region is declared in it", line_of(declaration))
    return " ".join(declaration.type.type.names)


def print_expression(node: Any, leaf: Callable[[Any], str], binding: int = 0) -> str:
    """An expression as C; `leaf` prints names and elements, with parentheses of its own."""
    kind = type(node).__name__
    if kind in ("ID", "ArrayRef"):
        return leaf(node)
    if kind == "Constant":
        return str(node.value)
    if kind == "BinaryOp":
        own = _BINDING[node.op]
        left = print_expression(node.left, leaf, own)
        right = print_expression(node.right, leaf, own + 1)
        return _wrapped(f"{left} {node.op} {right}", own < binding)
    if kind == "UnaryOp":
        return f"{node.op}({print_expression(node.expr, leaf)})"
    if kind == "Cast":
        return f"({type_text(node.to_type)})({print_expression(node.expr, leaf)})"
    if kind == "TernaryOp":
        parts = (print_expression(child, leaf, 1) for child in children_of(node))
        return "({} ? {} : {})".format(*parts)
    arguments = children_of(node.args) if node.args else []
    return f"{node.name.name}({', '.join(print_expression(a, leaf) for a in arguments)})"


def _wrapped(text: str, needed: bool) -> str:
    return f"({text})" if needed else text
