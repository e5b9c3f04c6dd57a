"""Recorded objectives: what real programs took under every setting of a small space of flags.

A table holds each of a space's settings, so that a look-up is exact and needs no model. Settings
that a compiler turns into the same program share one row of times; which row is a setting's is
all that is kept of it:

    NAME/space         the space as JSON, UTF-8, uint8[bytes]
    NAME/program       uint16[settings], row of times, in the order of `every_setting`
    NAME/microseconds  uint32[programs, rounds], 0 where the program failed or was wrong
    about              how it was recorded, as JSON: machine, compilers, date, ...

Each round ran every program once, in an order drawn anew. Searches see the even rounds; what
they chose is worth what it took at least in the odd ones, which no search has seen.
"""

from __future__ import annotations

import itertools
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen.evaluation import WorkloadError
from acumen.learners.search import Categorical, Setting, Space

SHIPPED = Path(__file__).with_name("measurements") / "polybench.npz"
SETTINGS_MAX = 65_536
MICROSECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class Table:
    """Times of every setting of a space.

    Attributes:
        space: of categorical parameters only.
        program: uint16[settings], which row of `seconds` is a setting's.
        seconds: float64[programs, rounds]; NaN where the program failed.
    """

    space: Space
    program: NDArray[np.uint16]
    seconds: NDArray[np.float64]

    def rows(self) -> dict[str, int]:
        """Key of each setting → row of its program."""
        keys = map(self.space.key, every_setting(self.space))
        return dict(zip(keys, self.program.tolist(), strict=True))


def every_setting(space: Space) -> Iterator[Setting]:
    """All settings of a space of categorical parameters, in the order of its parameters.

    Raises:
        ValueError: a parameter is of another kind, or there are too many settings.

    >>> from acumen.learners.search import Flag, Integer, When
    >>> space = Space({"a": Flag(), "b": Flag()}, conditions={"b": When("a", True)})
    >>> list(every_setting(space))
    [{'a': False}, {'a': True, 'b': False}, {'a': True, 'b': True}]
    """
    lists = []
    for name, parameter in space.parameters.items():
        if not isinstance(parameter, Categorical):
            raise ValueError(f"{name!r} is not categorical: its values cannot be listed")
        lists.append([(name, value) for value in parameter.values])
    if space.size() > SETTINGS_MAX:
        raise ValueError(f"{space.size():g} settings are too many for a table")
    seen = set()
    for pairs in itertools.product(*lists):
        chosen = dict(pairs)
        setting: Setting = {}
        for name in space.parents_first:
            if space.active_in(name, setting):
                setting[name] = chosen[name]
        setting = {name: setting[name] for name in space.parameters if name in setting}
        key = space.key(setting)
        if key not in seen and space.valid(setting):
            seen.add(key)
            yield setting


def save_tables(path: Path, tables: Mapping[str, Table], about: Mapping[str, Any]) -> None:
    """Writes tables to a compressed file.

    Raises:
        OSError: it cannot be written.
        TypeError: a space has a constraint that is a function.
    """
    arrays: dict[str, Any] = {"about": _bytes(about)}
    for name, table in tables.items():
        micros = np.nan_to_num(table.seconds / MICROSECONDS)
        arrays[f"{name}/space"] = _bytes(table.space.describe())
        arrays[f"{name}/program"] = table.program
        arrays[f"{name}/microseconds"] = np.round(micros).astype(np.uint32)
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def table_names(path: Path) -> list[str]:
    """Which tables a file holds.

    Raises:
        WorkloadError: it holds none, or is no such file.
    """
    arrays = _load(path, None)
    names = [name.removesuffix("/program") for name in arrays if name.endswith("/program")]
    if not names:
        raise WorkloadError("there is no table of measurements in it")
    return names


def read_table(path: Path, name: str) -> Table:
    """One table of a file.

    Raises:
        WorkloadError: it is damaged, or not there.
    """
    arrays = _load(path, name)
    try:
        space = Space.from_description(json.loads(arrays[f"{name}/space"].tobytes()))
        settings = sum(1 for _ in every_setting(space))
        program, micros = arrays[f"{name}/program"], arrays[f"{name}/microseconds"]
    except (KeyError, ValueError) as error:
        raise WorkloadError(f"the table {name!r} cannot be read: {error}") from error
    if program.dtype != np.uint16 or program.shape != (settings,):
        raise WorkloadError(f"{name}: a program for each of {settings} settings is needed")
    if micros.dtype != np.uint32 or micros.ndim != 2 or micros.shape[1] < 2:
        raise WorkloadError(f"{name}: times must be whole microseconds of at least two rounds")
    if program.max() >= len(micros):
        raise WorkloadError(f"{name}: a setting names a program that is not there")
    seconds = np.where(micros > 0, micros * MICROSECONDS, np.nan)
    table = Table(space, program, seconds)
    if not np.isfinite(seconds[table.rows()[space.key(space.default)]]).all():
        raise WorkloadError(f"{name}: the default failed")
    return table


def about_tables(path: Path) -> dict[str, Any]:
    """How a file was recorded; empty where it does not say."""
    found = _load(path, "")
    return dict(json.loads(found["about"].tobytes())) if "about" in found else {}


def _load(path: Path, name: str | None) -> dict[str, NDArray[Any]]:
    """Arrays of one table, or of no table ("": what is said of all), or all names (None)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if name is None:
                return {key: np.empty(0) for key in file.files}
            wanted = [key for key in file.files if key.startswith(f"{name}/") or not name]
            return {key: file[key] for key in wanted if name or "/" not in key}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise WorkloadError(f"it cannot be read: {error}") from error


def _bytes(said: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(said).encode(), np.uint8)
