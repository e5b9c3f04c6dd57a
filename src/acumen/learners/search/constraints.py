"""Constraints as text: ``"width * height <= 4096"``, checked when read, without `eval` of anything.

A constraint over parameters is an expression of names, numbers, text, comparisons, arithmetic,
``and``, ``or``, ``not``, ``in`` and conditional expressions; nothing else gets through, so that one
from a file can do no harm.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping
from typing import Any

TEXT_MAX = 1000  # characters
_ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Compare, ast.Eq,
    ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot, ast.IfExp,
    ast.Name, ast.Load, ast.Constant, ast.Tuple, ast.List,
)  # fmt: skip


def parse(text: str, names: Collection[str]) -> Callable[[Mapping[str, Any]], bool]:
    """A constraint that holds or does not hold for a setting.

    Where a parameter that it mentions is not active, it holds.

    Args:
        text: see above, at most 1,000 characters.
        names: of the parameters; all must be identifiers to be mentioned.

    Raises:
        ValueError: it is no such expression, or mentions another name.

    >>> fits = parse("width * height <= 64", ["width", "height"])
    >>> fits({"width": 8, "height": 8}), fits({"width": 8, "height": 9}), fits({"width": 80})
    (True, False, True)
    """
    if len(text) > TEXT_MAX:
        raise ValueError(f"a constraint has at most {TEXT_MAX} characters, not {len(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"constraint {text!r}: {error}") from None
    mentioned = []
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise ValueError(f"constraint {text!r}: {type(node).__name__} is not allowed")
        if isinstance(node, ast.Name):
            mentioned.append(node.id)
            if node.id not in names:
                raise ValueError(f"constraint {text!r}: there is no parameter {node.id!r}")
    numbers = _numbers_only(tree, text)
    code = compile(tree, "<constraint>", "eval")

    def holds(setting: Mapping[str, Any]) -> bool:
        if any(name not in setting for name in mentioned):
            return True
        if any(not isinstance(setting[name], int | float) for name in numbers):
            return False
        try:
            return bool(eval(code, {"__builtins__": {}}, dict(setting)))
        except (ArithmeticError, TypeError, ValueError):
            return False

    return holds


def _numbers_only(tree: ast.AST, text: str) -> set[str]:
    """Names that are calculated with, which text and lists are not.

    A few letters times a number, or a format with a width, would fill the memory.
    """
    names: set[str] = set()
    for sum_ in ast.walk(tree):
        for node in ast.walk(sum_) if isinstance(sum_, ast.BinOp) else ():
            words = isinstance(node, ast.Constant) and not isinstance(node.value, int | float)
            if words or isinstance(node, ast.Tuple | ast.List):
                raise ValueError(f"constraint {text!r}: only numbers can be calculated with")
            if isinstance(node, ast.Name):
                names.add(node.id)
    return names
