"""Model files that are whole, with checksums that are right, and say what nobody would."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np

from acumen.core import model_file

VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    1 << 40,
    1 << 63,
    1 << 70,
    -(1 << 80),
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    "000000000000-000000",
    [],
    [[]],
    [1, "x"],
    [[1 << 50, -5]],
    {},
    {"x": 1},
    {"": {}},
]
NUMBERS = [0.0, -1.0, 1.0, 1e300, -1e300, np.nan, np.inf, -np.inf, 5e-324, 2.0**63, 2.0**40]


def forge(header: dict[str, Any], arrays: model_file.Arrays, rng: random.Random) -> bytes:
    """A file like this one, in which one to three things are others."""
    header, arrays = copy.deepcopy(header), {n: np.array(a) for n, a in arrays.items()}
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.5:
            _change_value(header, rng)
        elif arrays:
            with np.errstate(all="ignore"):
                _change_array(arrays, rng)
    return model_file.encode(header, arrays)


def _change_value(node: Any, rng: random.Random) -> None:
    while True:
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        if not (isinstance(node[key], dict | list) and node[key] and rng.random() < 0.8):
            break
        node = node[key]
    how = rng.random()
    if how < 0.1:
        del node[key]
    elif how < 0.2 and isinstance(node, dict):
        node[rng.choice(["x", "y", str(key) + "0"])] = node.pop(key)
    elif how < 0.4 and isinstance(node[key], int):
        node[key] += rng.choice([-1, 1, 7, -100])
    else:
        node[key] = rng.choice(VALUES)


def _change_array(arrays: dict[str, Any], rng: random.Random) -> None:
    name = rng.choice(list(arrays))
    array, how = arrays[name], rng.random()
    if how < 0.1:
        del arrays[name]
    elif how < 0.2:
        arrays[rng.choice(["x", "lessons", "sums", "history:ids", name + "x"])] = arrays.pop(name)
    elif how < 0.3:
        arrays[name] = array[: rng.randrange(len(array) + 1)]
    elif how < 0.4:
        arrays[name] = np.concatenate([array, array[:3]])
    elif how < 0.5:
        arrays[name] = array.astype(rng.choice([np.float32, np.float64, np.uint64]))
    elif len(array):
        for _ in range(rng.choice([1, 1, 5])):
            at = rng.randrange(len(array))
            if array.dtype == np.uint64:
                array[at] = rng.choice([0, 1, 255, 1 << 31, 1 << 40, (1 << 64) - 1])
            else:
                array[at] = np.array(rng.choice(NUMBERS)).astype(array.dtype)
