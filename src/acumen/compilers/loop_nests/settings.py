"""What can be chosen about a region's loops, and the schedule tree that a choice stands for.

A setting speaks of roles (`roles.py`), not of loops, so that it means the same for every kernel:
what was good for one is tried first for others like it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acumen.compilers.loop_nests.dependences import Model, respects
from acumen.compilers.loop_nests.errors import LoopNestError
from acumen.compilers.loop_nests.isl import load
from acumen.compilers.loop_nests.privacy import housed
from acumen.compilers.loop_nests.roles import Band, describe
from acumen.compilers.loop_nests.transform import (
    Shape,
    bands_of,
    hinted,
    isolated,
    merged,
    parallelised,
    shaped,
    vectors_are_legal,
)
from acumen.learners.search import Categorical, Flag, Space, When

ORIGINAL = "original"
SCHEDULES = ("split", "fused", "deep", "written")
TILES = (0, 16, 32, 64, 128, 256, 512)
# Bands with fewer of all instances are left as they are.
_HEAVY = 0.05
# About ten seconds of isl's; nearly all trees need less than a hundredth.
_OPERATIONS_MAX = 20_000_000
# For deeper bands isl solves programs whose numbers grow with the dependences, uncounted.
_DEEP_PARTS_MAX = 20


class IllegalError(LoopNestError):
    """This choice would change what the program computes, or means nothing here."""


def space_of(threads: int) -> Space:
    """All choices; the default leaves the program as it is.

    Args:
        threads: how many the machine has to give.
    """
    parameters = {
        "schedule": Categorical((ORIGINAL, *SCHEDULES)),
        "style": Categorical(("registers", "loops")),
        "rows": Categorical((1, 2, 3, 4, 6, 8, 12), default=4),
        "vectors": Categorical((1, 2, 3, 4, 6), default=2),
        "bits": Categorical((256, 512), default=512),
        "tile_rows": Categorical(TILES, default=0),
        "tile_lanes": Categorical(TILES, default=0),
        "tile_rest": Categorical(TILES, default=0),
        "sink": Categorical((0, 1, 2)),
        "wavefront": Flag(),
        "other_lanes": Flag(),
        "other_rows": Flag(),
        "gather": Flag(default=True),
        "hints": Flag(),
        "threads": Categorical(tuple(dict.fromkeys((1, threads)))),
    }
    made = When("schedule", *SCHEDULES)
    conditions = {name: made for name in parameters if name != "schedule"}
    conditions |= {
        name: When("style", "registers") for name in ("rows", "vectors", "other_rows", "gather")
    }
    conditions |= {name: When("style", "loops") for name in ("sink", "wavefront")}
    return Space(parameters, conditions)


@dataclass
class Choices:
    """Schedule trees of one region; what is dear to compute is computed once."""

    model: Model
    types: Mapping[str, str]
    _bases: dict[str, tuple[Any, list[Band]]] = field(default_factory=dict)
    _given_up: set[str] = field(default_factory=set)

    def base(self, schedule: str) -> tuple[Any, list[Band]]:
        """A tree without tiles, and its bands.

        Raises:
            IllegalError: isl needs too long for it.
        """
        if schedule in self._given_up:
            raise IllegalError("isl gave up before")
        if schedule not in self._bases:
            self._given_up.add(schedule)
            if schedule == "deep" and not self._may_be_deeper():
                raise IllegalError("no deeper bands are looked for here")
            tree = _base(self.model, schedule)
            nodes = bands_of(tree)
            bands = [describe(node, i, self.model) for i, node in enumerate(nodes)]
            self._bases[schedule] = tree, bands
            self._given_up.remove(schedule)
        return self._bases[schedule]

    def _may_be_deeper(self) -> bool:
        parts: list[int] = []
        self.model.direct.foreach_map(lambda each: parts.append(each.n_basic_map()))
        nested = not all(band.innermost for band in self.base("fused")[1])
        return nested and sum(parts) <= _DEEP_PARTS_MAX

    def tree(self, setting: Mapping[str, Any]) -> Any:
        """The schedule tree of a setting (not of the original's), proved to be legal.

        Raises:
            IllegalError: it would not be, or that cannot be proved in reasonable time.
        """
        isl = load()
        context = self.model.domain.get_ctx()
        context.reset_operations()
        context.set_max_operations(_OPERATIONS_MAX)
        try:
            return self._tree(setting)
        except isl.Error as error:
            raise IllegalError(f"isl gives up: {error}") from error
        finally:
            context.set_max_operations(0)

    def _tree(self, setting: Mapping[str, Any]) -> Any:
        base, bands = self.base(setting["schedule"])
        total = sum(band.instances for band in bands if band.innermost)
        shapes = {}
        for band in bands:
            if not band.innermost:
                if setting["style"] == "loops" and band.contiguous and band.tileable:
                    shapes[band.number] = Shape(_lanes_last(band, setting))
            else:
                heavy = band.instances >= _HEAVY * total
                shapes[band.number] = self._shape(band, setting if heavy else _LIGHT)
        tree = shaped(base, shapes)
        if not respects(self.model, tree):
            raise IllegalError("an instance would run before another that it depends on")
        if not vectors_are_legal(tree, self.model):
            raise IllegalError("lanes of a vector would depend on each other")
        if setting["threads"] > 1:
            tree = parallelised(tree, self.model)
        if setting["hints"]:
            tree = hinted(tree, self.model)
        return isolated(housed(tree, self.model))

    def _shape(self, band: Band, setting: Mapping[str, Any]) -> Shape:
        other = bool(setting.get("other_lanes")) and len(band.lanes) > 1
        lanes = band.lanes[int(other)] if band.lanes else -1
        fit = band.contiguous or (setting.get("gather") and band.gathered)
        if setting["style"] == "registers" and (other or not fit):
            # Lanes that do not lie side by side are of more use as rows.
            lanes = -1
        rows = [m for m in band.rows if m != lanes]
        row = rows[int(bool(setting.get("other_rows")) and len(rows) > 1)] if rows else -1
        if not band.tileable:
            return Shape(tuple(range(band.members)))
        rest = [m for m in range(band.members) if m not in (lanes, row)]
        tiles = [0] * band.members
        for members, key in (([row], "tile_rows"), ([lanes], "tile_lanes"), (rest, "tile_rest")):
            for m in members:
                if m >= 0 and setting.get(key, 0) < band.extents[m]:
                    tiles[m] = setting.get(key, 0)
        if setting["style"] == "loops":
            return Shape(
                _lanes_last(band, setting),
                tuple(tiles),
                sink=setting["sink"],
                wavefront=setting["wavefront"],
            )
        size = {"float": 32, "double": 64}.get(self._type(band), 0)
        usable = lanes >= 0 and size > 0
        unroll = [1] * band.members
        if row >= 0:
            unroll[row] = min(setting["rows"], band.extents[row])
        if usable:
            unroll[lanes] = setting["vectors"]
        for m in (row, lanes):
            if m >= 0:
                # A tile's border is slow: none within tiles.
                width = unroll[m] * (setting["bits"] // size if m == lanes and usable else 1)
                tiles[m] = -(-tiles[m] // width) * width
        order = [m for m in (row, lanes) if m >= 0] + rest
        return Shape(
            tuple(order),
            tuple(tiles),
            tuple(unroll),
            lanes if usable else -1,
            setting["bits"] // size if size else 8,
        )

    def _type(self, band: Band) -> str:
        return self.types.get(self.model.scop.statement(band.statements[0]).written.array, "")


def _lanes_last(band: Band, setting: Mapping[str, Any]) -> tuple[int, ...]:
    """A band's members with the one in which neighbours lie side by side innermost."""
    other = bool(setting.get("other_lanes")) and len(band.lanes) > 1
    lanes = band.lanes[int(other) : int(other) + 1]
    return (*(m for m in range(band.members) if m not in lanes), *lanes)


_LIGHT = {"style": "loops", "sink": 1, "wavefront": False}


def _base(model: Model, schedule: str) -> Any:
    isl = load()
    if schedule == "written":
        return merged(model)
    # What the domains say already only burdens the scheduler's programs, at times by minutes; at
    # others it cannot do without.
    short = model.direct.gist_domain(model.domain).gist_range(model.domain)
    context = model.domain.get_ctx()
    context.set_schedule_serialize_sccs(int(schedule == "split"))
    context.set_schedule_maximize_band_depth(int(schedule == "deep"))
    try:
        try:
            tree = _scheduled(model, model.direct if schedule == "deep" else short)
        except isl.Error:
            tree = _scheduled(model, model.direct)
        return tree if respects(model, tree) else _scheduled(model, model.every)
    finally:
        context.set_schedule_serialize_sccs(0)
        context.set_schedule_maximize_band_depth(0)


def _scheduled(model: Model, direct: Any) -> Any:
    isl = load()
    wanted = isl.ScheduleConstraints.on_domain(model.domain).set_validity(direct)
    return wanted.set_coincidence(direct).set_proximity(direct).compute_schedule()
