"""What a race leaves behind: rows under a header, in a file that is never half written."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from acumen.evaluation.race import Metric, Row

# Extras that hold rivals.
RACED = {"race", "vw", "placement", "compilers", "search", "tuners"}


@dataclass(slots=True)
class Result:
    """A race's rows, and what they mean. Rows are added while the race runs.

    `context` holds further keys of the JSON: how the race was asked for, and what a reader must
    know to compare it with another one. `judged` names the learned contender that is compared with
    the heuristics (None: the best one in each cell), `control` the one that is the same once more.
    """

    domain: str
    metric: Metric
    seed: int
    machine: str
    rows: list[Row] = field(default_factory=list)
    context: dict[str, Any] = field(default_factory=dict)
    judged: str | None = None
    control: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The JSON of a race: numbers are finite, or null."""
        return {
            "domain": self.domain,
            "metric": self.metric.name,
            "goal": self.metric.goal,
            "seed": self.seed,
            "machine": self.machine,
            **self.context,
            "rows": [self._row(row) for row in self.rows],
        }

    def _row(self, row: Row) -> dict[str, Any]:
        plain = _finite(dataclasses.asdict(row))
        price = plain.pop("price")
        return plain if self.metric.price is None else {**plain, self.metric.price: price}

    def save(self, path: Path) -> None:
        """Writes the JSON, whole or not at all.

        Raises:
            OSError: the folder is missing or may not be written to.
        """
        write_atomically(path, [json.dumps(self.as_dict(), indent=1), "\n"])


def write_atomically(path: Path, parts: Iterable[str | bytes]) -> None:
    """Replaces `path` in one step: a reader, or a crash, sees the old file or the new one.

    Text is written as UTF-8.

    A link stays a link, to the new file. What is no file (a pipe, a device) is written to.

    Raises:
        OSError: the folder is missing or may not be written to.
    """
    data = (part.encode() if isinstance(part, str) else part for part in parts)
    if is_special(path):
        with open(path, "wb") as file:
            file.writelines(data)
        return
    path = Path(os.path.realpath(path))
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:
            file.writelines(data)
            # mkstemp keeps others out; a result is an ordinary file.
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def is_special(path: Path) -> bool:
    """Whether there is something at `path` that is no file: a pipe, a device."""
    return path.exists() and not path.is_file()


def describe_machine() -> str:
    """Processor, cores, memory, system and Python, in one line.

    >>> "Python 3" in describe_machine()
    True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [_processor(), f"{cores} cores"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        parts.append(f"{memory / 2**30:.0f} GiB")
    parts += [f"{platform.system()} {platform.release()}", f"Python {platform.python_version()}"]
    return ", ".join(parts)


def describe_versions() -> dict[str, str]:
    """Versions of Acumen and of what it measures with, as far as that is installed.

    >>> {"acumen", "numpy", "scipy"} <= describe_versions().keys()
    True
    """
    required = [
        found[0]
        for line in metadata.requires("acumen") or []
        if (found := re.match(r"[\w.-]+", line))
        and RACED.issuperset(re.findall(r"extra == .(\w+)", line))
    ]
    versions = {}
    for name in ("acumen", *required):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # Not Linux: the platform module knows less, but something.
    return platform.processor() or platform.machine()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    # JSON has no NaN: most readers would refuse the whole file for one bad number.
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
