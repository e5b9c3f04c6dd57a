"""Operators by the names of modules: patterns that mean an operator, or a module and all in it.

Captures call operators after the module that they belong to: "decoder.3.again/mm#36",
"decoder.3.again/backward/mm", "decoder.3.again.weight/update/add_", "variable/decoder.3.weight".
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

import numpy as np

from acumen.placement.graph import Bools

_VARIABLE = "variable/"


def module_paths(operator: str) -> list[str]:
    """The modules around an operator, by its name, the outermost first; then its parameter, if any.

    >>> module_paths("decoder.3.again/mm#36")
    ['decoder', 'decoder.3', 'decoder.3.again']
    >>> module_paths("variable/head.weight"), module_paths("node7")
    (['head', 'head.weight'], [])
    """
    is_variable = operator.startswith(_VARIABLE)
    path, slash, _ = operator.removeprefix(_VARIABLE).partition("/")
    parts = path.split(".") if path and (slash or is_variable) else []
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def outermost(operators: Sequence[str], pattern: str) -> list[str]:
    """For each operator the outermost module around it that a pattern means; "": none.

    Args:
        operators: names.
        pattern: a name, or one with * ? [abc], which stand for dots too.
    """
    means = re.compile(fnmatch.translate(pattern)).match
    known: dict[str, str] = {}
    found = []
    for name in operators:
        around = name.rpartition("/")[0] or name
        if around not in known:
            paths = module_paths(name)
            known[around] = next((one for one in paths if one == pattern or means(one)), "")
        found.append(known[around])
    return found


def meant(operators: Sequence[str], pattern: str) -> Bools:
    """Which operators a pattern means: by their own name or by that of a module around them.

    Args:
        operators: names; n of them.
        pattern: as for `outermost`.

    Returns:
        Shape (n,).
    """
    means = re.compile(fnmatch.translate(pattern)).match
    modules = outermost(operators, pattern)
    return np.array(
        [
            bool(module) or name == pattern or means(name) is not None
            for name, module in zip(operators, modules, strict=True)
        ],
        np.bool_,
    )
