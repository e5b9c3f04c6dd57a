"""Which elements a register tile may keep in variables while a loop runs.

Those that nothing else in the loop can touch under another name. At one place of the loops around,
the elements that a statement writes and all others that the loop's statements read or write are
compared as sets: they must have none in common.
"""

from __future__ import annotations

from typing import Any

from acumen.compilers.loop_nests.dependences import Model, elements
from acumen.compilers.loop_nests.isl import load
from acumen.compilers.loop_nests.scop import Access
from acumen.compilers.loop_nests.transform import KERNEL, WHOLE


def keepable(model: Model, schedule: Any) -> dict[str, bool]:
    """Statements whose target nothing else in the register tile's loops can be.

    At one place of the loops above the tile's own, the elements that the statements write and
    those that they read beside are compared: they must have none in common.
    """
    found: dict[str, bool] = {}

    def see(node: Any) -> Any:
        isl = load()
        if node.get_type() == isl.schedule_node_type.mark and node.mark_get_id().name == KERNEL:
            _see_kernel(model, node.copy(), found)
        return node

    schedule.map_schedule_node_bottom_up(see)
    return found


def _see_kernel(model: Model, node: Any, found: dict[str, bool]) -> None:
    isl = load()
    strips = node.child(0)
    places = strips.get_prefix_schedule_union_map()
    while strips.get_type() in (isl.schedule_node_type.band, isl.schedule_node_type.mark):
        if (
            strips.get_type() == isl.schedule_node_type.mark
            and strips.mark_get_id().name.startswith(WHOLE)
        ):
            break
        last = strips
        strips = strips.child(0)
    # All loops above the tile but the innermost, along which it accumulates.
    if last.get_type() == isl.schedule_node_type.band:
        size = last.band_get_space().dim(isl.dim_type.set)
        places = last.get_prefix_schedule_union_map()
        if size > 1:
            upper = last.band_split(size - 1).child(0)
            places = upper.get_prefix_schedule_union_map()
    domain = node.get_domain()
    names: list[str] = []
    domain.foreach_set(lambda each: names.append(each.get_tuple_name()))
    places = places.intersect_domain(domain).reverse()
    for name in names:
        written = elements(model.scop.statement(name), model.scop.statement(name).written)
        safe = True
        for other in names:
            statement = model.scop.statement(other)
            for access in statement.reads + ((statement.written,) if other != name else ()):
                if other == name and _same(access, statement.written):
                    continue
                touched = elements(statement, access)
                both = places.apply_range(written).intersect(places.apply_range(touched))
                safe = safe and bool(both.is_empty())
        found[name] = safe


def _same(one: Access, two: Access) -> bool:
    return one.array == two.array and one.subscripts == two.subscripts
