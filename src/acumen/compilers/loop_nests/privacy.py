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

One thing is only known when the loops are there: isl may take the last iteration of a loop apart,
and then part of a place is in the loop and part behind it. Where two pieces of code for one home
have an element in common, the home is moved out of that loop.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    if node.get_type() == isl.schedule_node_type.domain:
        node = node.child(0)
    node = _above_marks(node)
    return node.insert_mark(isl.Id(HOME + name)).get_schedule()


def moved_out(schedule: Any, name: str) -> Any:
    """The tree with the home of a scalar one loop further out."""
    node = _marked(schedule.get_root(), HOME + name).delete()
    node = _above_marks(node)
    while not is_band(node.parent()) and node.get_tree_depth() > 1:
        node = node.parent()
    if node.get_tree_depth() > 1:
        node = _above_marks(node.parent())
    return node.insert_mark(load().Id(HOME + name)).get_schedule()


def _marked(node: Any, mark: str) -> Any:
    """The node with a mark; None if there is none at or below this one."""
    if is_mark(node, "") and node.mark_get_id().name == mark:
        return node
    found = (_marked(node.child(i), mark) for i in range(node.n_children()))
    return next((each for each in found if each is not None), None)


def _above_marks(node: Any) -> Any:
    """Other marks speak of the loop right below them."""
    while is_mark(node.parent(), "") and not is_mark(node.parent(), HOME):
        node = node.parent()
    return node


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
        held: the elements that this piece of code has to do with (isl's set).
    """

    name: str
    sizes: tuple[int, ...]
    lows: tuple[str, ...]
    held: Any

    def index(self, subscripts: list[str]) -> str:
        """An element, by its subscripts in the array that has one for each iteration."""
        used = [
            f"[{text} - {self.name}_low{i}]"
            for i, (text, size) in enumerate(zip(subscripts, self.sizes, strict=True))
            if size > 1
        ]
        return self.name + "".join(used)


def home_of(name: str, pairs: Any, build: Any) -> Home | None:
    """The home of a scalar where isl's builder of loops stands at its mark; None: of no use here.

    Args:
        name: of the scalar.
        pairs: see `touches`.
        build: isl's.
    """
    isl = load()
    used = build.get_schedule().reverse().apply_range(pairs)
    if used.is_empty():
        return None
    places = isl.Map.from_union_map(used)
    apart = places.reverse().apply_range(places).deltas()
    sizes, lows = [], []
    for i in range(places.dim(isl.dim_type.out)):
        sizes.append(int(apart.dim_max_val(i).to_python()) + 1)
        lows.append(c_text(build.expr_from_pw_aff(places.dim_min(i))) if sizes[-1] > 1 else "")
    return Home(name, tuple(sizes), tuple(lows), places.range())


def torn(homes: Iterable[Home]) -> str:
    """A scalar with an element in two pieces of code, which is lost between them; or nothing."""
    held: dict[str, Any] = {}
    for home in homes:
        before = held.get(home.name)
        if before is not None and not before.is_disjoint(home.held):
            return home.name
        held[home.name] = home.held if before is None else before.union(home.held)
    return ""
