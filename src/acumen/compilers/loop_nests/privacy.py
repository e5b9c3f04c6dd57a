"""Where a scalar that the region declares lives, when other loops run: as far inside as may be.

A scalar of a loop's body is a new one in every iteration. For the schedule it is therefore an array
with an element for each, so that nothing orders iterations but what they compute. Written out like
that it would cost memory traffic for what was a register. So its home in the tree of loops is the
innermost place at which all uses of any one element still come together:

    for (i …) {               for (j0 …) {
      for (j …) {               double t[8];            one for each j in the tile
        t[i][j] = 0;    →       for (j in j0 … j0 + 7)
        … t[i][j] …               t[j - j0] = 0; … t[j - j0] …

There it needs room only for the elements of that place; where it is one, it is a scalar again. What
comes together is computed exactly. Elements of other places are not touched meanwhile: places that
differ run one after the other, or, in threads, with a home of their own each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from acumen.compilers.loop_nests.dependences import Model, elements
from acumen.compilers.loop_nests.isl import load
from acumen.compilers.loop_nests.loop_trees import c_text
from acumen.compilers.loop_nests.transform import WHOLE, is_band, is_mark

HOME = "home "


def touches(model: Model, name: str) -> Any:
    """From instances to the elements of a scalar of the region's that they touch (a union map)."""
    found = load().UnionMap("{ }")
    for statement in model.scop.statements:
        for access in statement.accesses():
            if access.array == name:
                found = found.union(elements(statement, access))
    return found.intersect_domain(model.domain)


def housed(schedule: Any, model: Model) -> Any:
    """The tree with a mark for each of the region's own scalars where it is to be declared."""
    used = {name: touches(model, name) for name in model.scop.locals}
    used = {name: pairs for name, pairs in used.items() if not pairs.is_empty()}
    if used:
        schedule = _one_by_one(schedule.get_root()).get_schedule()
    for name, pairs in used.items():
        schedule = _housed(schedule.get_root(), name, pairs)
    return schedule


def _one_by_one(node: Any) -> Any:
    """Bands with one member each, that there be places between them; not in a register tile."""
    if is_mark(node, WHOLE):
        return node
    if is_band(node) and node.band_get_space().dim(load().dim_type.set) > 1:
        node = node.band_split(1)
    for i in range(node.n_children()):
        node = _one_by_one(node.child(i)).parent()
    return node


def _housed(node: Any, name: str, pairs: Any) -> Any:
    isl = load()
    users, together = pairs.domain(), pairs.apply_range(pairs.reverse())
    while not is_mark(node, WHOLE):
        children = [_below_filter(node.child(i)) for i in range(node.n_children())]
        inner = next((each for each in children if users.is_subset(each.get_domain())), None)
        if inner is None or (is_band(node) and not _meet(together, inner)):
            break
        node = inner
    # Other marks speak of the loop right below them.
    while node.has_parent() and is_mark(node.parent(), "") and not is_mark(node.parent(), HOME):
        node = node.parent()
    if node.get_type() == isl.schedule_node_type.domain:
        node = node.child(0)
    return node.insert_mark(isl.Id(HOME + name)).get_schedule()


def _below_filter(node: Any) -> Any:
    return node.child(0) if node.get_type() == load().schedule_node_type.filter else node


def _meet(together: Any, node: Any) -> bool:
    """Whether all instances that use the same element have one place in the loops above a node."""
    places = node.get_prefix_schedule_union_map()
    return bool(together.is_subset(places.apply_range(places.reverse())))


@dataclass(frozen=True)
class Home:
    """A scalar's array at its home.

    Attributes:
        name: of the scalar.
        sizes: of each dimension.
        lows: as C, the least of each dimension's subscripts.
    """

    name: str
    sizes: tuple[int, ...]
    lows: tuple[str, ...]

    def index(self, subscripts: list[str]) -> str:
        """An element, by its subscripts in the array that has one for each iteration."""
        used = [
            f"[{text} - {self.name}_low{i}]"
            for i, (text, size) in enumerate(zip(subscripts, self.sizes, strict=True))
            if size > 1
        ]
        return self.name + "".join(used)


def home_of(name: str, pairs: Any, build: Any) -> Home:
    """The home of a scalar where isl's builder of loops stands at its mark.

    Args:
        name: of the scalar.
        pairs: see `touches`.
        build: isl's.
    """
    isl = load()
    places = isl.Map.from_union_map(build.get_schedule().reverse().apply_range(pairs))
    sizes, lows = [], []
    for i in range(places.dim(isl.dim_type.out)):
        low, high = places.dim_min(i), places.dim_max(i)
        sizes.append(int(high.sub(low).max_val().to_python()) + 1)
        lows.append(c_text(build.expr_from_pw_aff(low)) if sizes[-1] > 1 else "")
    return Home(name, tuple(sizes), tuple(lows))
