"""Which settings are tried first: those of the nearest nests that were tuned before, then a rule.

Nests are compared by features of what dominates them, not by name or size. What was learned from a
program is never used for the program itself when it is raced (`without`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acumen.compilers.loop_nests.settings import Choices
from acumen.learners.search import Setting, Space

EXPERIENCE = Path(__file__).with_name("experience.json")
_NEAREST = 4

# The rule: register tiles in one thread and in all, with and without tiles for the caches; then
# plain loops in other orders, and time-tiled ones.
_RULE: tuple[dict[str, Any], ...] = (
    {"schedule": "split", "rows": 8, "vectors": 2, "tile_rest": 256},
    {"schedule": "fused", "style": "loops", "sink": 1, "tile_rows": 64, "tile_lanes": 256,
     "tile_rest": 16},
    {"schedule": "split", "rows": 4, "vectors": 4, "tile_rest": 256, "tile_lanes": 512},
    {"schedule": "split", "rows": 12, "vectors": 6},
    {"schedule": "split", "style": "loops", "sink": 1},
    {"schedule": "deep", "rows": 8, "gather": False},
    {"schedule": "split", "rows": 8, "vectors": 2, "tile_rest": 256, "threads": "all"},
    {"schedule": "written", "rows": 4, "vectors": 2},
    {"schedule": "fused", "rows": 4, "vectors": 2},
    {"schedule": "written", "style": "loops", "hints": True},
    {"schedule": "fused", "style": "loops", "sink": 1, "tile_rows": 64, "tile_lanes": 256,
     "tile_rest": 16, "threads": "all", "wavefront": True},
    {"schedule": "split", "style": "loops", "sink": 1, "threads": "all"},
)  # fmt: skip


def features_of(choices: Choices) -> dict[str, float]:
    """What a nest is like: each feature between about 0 and 2."""
    _, bands = choices.base("split")
    inner = [band for band in bands if band.innermost]
    total = sum(band.instances for band in inner)
    heavy = max(inner, key=lambda band: band.instances)
    scop = choices.model.scop
    deepest = max(len(scop.statement(name).iterators) for name in heavy.statements)
    reads = max(len(scop.statement(name).reads) for name in heavy.statements)
    elements = sum(
        math.prod(heavy.extents[m] for m in range(heavy.members) if m in part)
        for part in ((*heavy.rows,), (*heavy.lanes,))
    )
    return {
        "depth": deepest / 2,
        "members": heavy.members / 2,
        "around": (deepest - heavy.members) / 2,
        "statements": math.log2(len(heavy.statements)) / 2,
        "lanes": float(bool(heavy.lanes)),
        "contiguous": float(heavy.contiguous),
        "rows": float(bool(heavy.rows)),
        "rest": (heavy.members - len({*heavy.rows, *heavy.lanes})) / 2,
        "tileable": float(heavy.tileable),
        "reads": min(reads, 8) / 4,
        "share": heavy.instances / total,
        "size": math.log10(max(heavy.instances, 10)) / 8,
        "reuse": math.log10(max(heavy.instances / max(elements, 1), 1)) / 4,
        "known": float(choices.types.get(scop.statement(heavy.statements[0]).written.array, "")
                       in ("double", "float")),
    }  # fmt: skip


@dataclass(frozen=True)
class Lesson:
    """What was best for one program.

    Attributes:
        program: its name.
        features: see `features_of`.
        settings: the best ones, the best first; threads are "all" or 1.
    """

    program: str
    features: Mapping[str, float]
    settings: tuple[dict[str, Any], ...]


def read_lessons(path: Path = EXPERIENCE) -> list[Lesson]:
    """What was learned so far; nothing where there is no such file."""
    if not path.is_file():
        return []
    return [
        Lesson(each["program"], each["features"], tuple(each["settings"]))
        for each in json.loads(path.read_text())
    ]


def first_settings(
    choices: Choices,
    space: Space,
    threads: int,
    lessons: Collection[Lesson],
    without: str = "",
) -> list[Setting]:
    """Settings to try first, the most promising first.

    Args:
        choices: of the nest.
        space: all that may be chosen.
        threads: how many there are.
        lessons: of other programs.
        without: the program whose own lesson does not count.
    """
    here = features_of(choices)
    others = [lesson for lesson in lessons if lesson.program != without]
    others.sort(key=lambda lesson: _distance(here, lesson.features))
    # The best of each of the nearest, then their second best, between what the rule says.
    learned = [
        lesson.settings[rank]
        for rank in range(2)
        for lesson in others[:_NEAREST]
        if rank < len(lesson.settings)
    ]
    ordered = [*learned[:_NEAREST], *_RULE[:4], *learned[_NEAREST:], *_RULE[4:]]
    return [_completed(space, setting, threads) for setting in ordered]


def _completed(space: Space, setting: Mapping[str, Any], threads: int) -> Setting:
    """With defaults for what it does not say, and without what has no meaning beside the rest."""
    wanted = {**setting, "threads": threads if setting.get("threads") == "all" else 1}
    kept: dict[str, Any] = {"schedule": wanted["schedule"]}
    style = wanted.get("style", "registers")
    for name, value in wanted.items():
        when = space.conditions.get(name)
        if when is None or when.parameter != "style" or style in when.values:
            kept[name] = value
    return space.complete(kept)


def _distance(one: Mapping[str, float], two: Mapping[str, float]) -> float:
    return sum((one.get(name, 0.0) - two.get(name, 0.0)) ** 2 for name in {*one, *two})
