"""Tiling, interchange, register tiling, vectors and threads, as edits of a schedule tree.

A band of a schedule tree is a nest of loops, its members from outside in. The shape of a band says
what becomes of it (with T a tile size, F a factor, W the elements of a vector):

    tiles     T·⌊m/T⌋ of each tiled member: which part of the caches' worth of work
    strips    F·⌊m/F⌋ of each member that the register tile has
    rest      the other members, which run along the register tile
    unrolled  the members of the register tile, written out
    vector    W iterations of one member at once

Nothing here knows whether the result is legal: `dependences.respects` proves it afterwards, and
what it cannot prove is never compiled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acumen.compilers.loop_nests.dependences import Model, carried, is_parallel, never_back
from acumen.compilers.loop_nests.isl import load

VECTOR, PARALLEL, KERNEL, WHOLE = "vector", "parallel", "kernel", "whole"
# A loop without dependences between its iterations, which the compiler need not prove again.
FREE = "free"


@dataclass(frozen=True)
class Shape:
    """What becomes of one band.

    Attributes:
        order: its members from outside in, by their old numbers.
        tiles: sizes by old numbers; 0: not tiled.
        unroll: factors of the register tile by old numbers; 1: not in it.
        vector: the member whose iterations are a vector's lanes; -1: none.
        lanes: of a vector.
        wavefront: tiles of the first two members run along their diagonals.
        sink: how many of the innermost loops each statement has for itself.
    """

    order: tuple[int, ...]
    tiles: tuple[int, ...] = ()
    unroll: tuple[int, ...] = ()
    vector: int = -1
    lanes: int = 8
    wavefront: bool = False
    sink: int = 0


def is_mark(node: Any, name: str) -> bool:
    """Whether a node of a schedule tree is a mark whose name begins so."""
    kind = load().schedule_node_type.mark
    return bool(node.get_type() == kind) and node.mark_get_id().name.startswith(name)


def bands_of(schedule: Any) -> list[Any]:
    """The band nodes of a tree, what is inside first: their order numbers them."""
    found: list[Any] = []

    def see(node: Any) -> Any:
        if is_band(node):
            found.append(node.copy())
        return node

    schedule.map_schedule_node_bottom_up(see)
    return found


def is_band(node: Any) -> bool:
    """Whether a node of a schedule tree is a band with members."""
    isl = load()
    return node.get_type() == isl.schedule_node_type.band and bool(
        node.band_get_space().dim(isl.dim_type.set)
    )


def shaped(schedule: Any, shapes: Mapping[int, Shape]) -> Any:
    """The tree with each band of a number in `shapes` made over."""
    number = -1

    def make(node: Any) -> Any:
        nonlocal number
        if not is_band(node):
            return node
        number += 1
        return _made(node, shapes[number]) if number in shapes else node

    return schedule.map_schedule_node_bottom_up(make)


def _made(node: Any, shape: Shape) -> Any:
    isl = load()
    partial = node.band_get_partial_schedule()
    members = [partial.get_union_pw_aff(i) for i in range(partial.dim(isl.dim_type.out))]
    unroll = shape.unroll or (1,) * len(members)
    tiles = shape.tiles or (0,) * len(members)
    kernel = [m for m in shape.order if unroll[m] > 1 or m == shape.vector]
    rest = [m for m in shape.order if m not in kernel]
    widths = {m: unroll[m] * (shape.lanes if m == shape.vector else 1) for m in kernel}
    strip = {m: _tile(members[m], widths[m]) for m in kernel}
    node = node.delete()
    unrolled: list[Any] = []
    if shape.vector >= 0:
        chunk = _tile(members[shape.vector], shape.lanes)
        node = _insert(node, [members[shape.vector].sub(chunk)], permutable=True)
        node = node.insert_mark(isl.Id(f"{VECTOR}{shape.lanes}"))
        if unroll[shape.vector] > 1:
            unrolled = [chunk.sub(strip[shape.vector])]
    plain = [members[m].sub(strip[m]) for m in kernel if m != shape.vector]
    if plain + unrolled:
        node = _insert(node, plain + unrolled, permutable=True)
        kind = isl.ast_loop_type.unroll
        for i in range(len(plain + unrolled)):
            node = node.band_member_set_isolate_ast_loop_type(i, kind)
    if kernel:
        node = node.insert_mark(isl.Id(f"{WHOLE}{_box(shape, kernel, unroll)}"))
    apart = min(shape.sink, len(rest)) if not kernel and _has_sequence(node) else 0
    if apart:
        node = _insert(node, [members[m] for m in rest[-apart:]], permutable=True).band_sink()
        rest = rest[:-apart]
    node = _insert(node, [members[m] for m in rest], permutable=True)
    if kernel:
        node = _insert(node, [strip[m] for m in kernel], permutable=True)
        node = node.insert_mark(isl.Id(KERNEL))
    sized = [(m, tiles[m]) for m in shape.order if tiles[m]]
    if sized:
        outer = [_tile(members[m], size) for m, size in sized]
        if shape.wavefront and len(outer) > 1:
            (_, first), (_, second) = sized[:2]
            diagonal = _number(members[sized[0][0]], first).add(
                _number(members[sized[1][0]], second)
            )
            outer = [diagonal, *outer[1:]]
        node = _insert(node, outer, permutable=True)
    return node


def _has_sequence(node: Any) -> bool:
    return bool(node.get_type() == load().schedule_node_type.sequence)


def _box(shape: Shape, kernel: Sequence[int], unroll: Sequence[int]) -> str:
    """The places of a whole register tile, as isl's text, in the order of the bands in it."""
    bounds = [f"0 <= m{m} < {unroll[m]}" for m in kernel if m != shape.vector]
    names = [f"m{m}" for m in kernel if m != shape.vector]
    if shape.vector >= 0:
        if unroll[shape.vector] > 1:
            width = unroll[shape.vector] * shape.lanes
            names.append("chunk")
            bounds.append(f"0 <= chunk < {width} and chunk mod {shape.lanes} = 0")
        names.append("lane")
        bounds.append(f"0 <= lane < {shape.lanes}")
    return f"{{ [{', '.join(names)}] : {' and '.join(bounds)} }}"


def _number(member: Any, size: int) -> Any:
    isl = load()
    return member.scale_down_val(isl.Val(size)).floor()


def _tile(member: Any, size: int) -> Any:
    isl = load()
    return _number(member, size).scale_val(isl.Val(size))


def _insert(node: Any, members: Sequence[Any], permutable: bool) -> Any:
    if not members:
        return node
    isl = load()
    space = isl.Space.set_alloc(node.get_ctx(), 0, len(members))
    listed = isl.UnionPwAffList.alloc(node.get_ctx(), 0)
    for member in members:
        listed = listed.add(member)
    partial = isl.MultiUnionPwAff.from_union_pw_aff_list(space, listed)
    return node.insert_partial_schedule(partial).band_set_permutable(int(permutable))


def merged(model: Model) -> Any:
    """The original tree, with loops that may be interchanged as one band."""
    isl = load()

    def join(node: Any) -> Any:
        if not is_band(node) or not is_band(node.child(0)):
            return node
        left = carried(model, node.get_prefix_schedule_union_map())
        below = node.child(0)
        parts = [each.band_get_partial_schedule() for each in (node, below)]
        members = [p.get_union_pw_aff(i) for p in parts for i in range(p.dim(isl.dim_type.out))]
        if not all(never_back(left, isl.UnionMap.from_union_pw_aff(m)) for m in members):
            return node
        return _insert(node.delete().delete(), members, permutable=True)

    return model.original.map_schedule_node_bottom_up(join)


def parallelised(schedule: Any, model: Model) -> Any:
    """The tree with a mark above the outermost loops whose iterations are independent."""

    def down(node: Any) -> Any:
        if is_band(node):
            own, node = _first_apart(node)
            if _is_free(node, own, model):
                # With its depth: where a loop runs but once isl leaves it out, and the next one
                # below the mark is another loop.
                depth = node.get_schedule_depth()
                return node.insert_mark(load().Id(f"{PARALLEL}{depth}"))
        for i in range(node.n_children()):
            node = down(node.child(i)).parent()
        return node

    return down(schedule.get_root()).get_schedule()


def hinted(schedule: Any, model: Model) -> Any:
    """The tree with a mark above the innermost loops whose iterations are independent."""

    def down(node: Any) -> Any:
        if is_band(node) and not any(has_band(node.child(i)) for i in range(node.n_children())):
            depth = node.get_tree_depth()
            size = node.band_get_space().dim(load().dim_type.set)
            if size > 1:
                node = node.band_split(size - 1).child(0)
            partial = node.band_get_partial_schedule().get_union_pw_aff(0)
            if _is_free(node, partial, model):
                node = node.insert_mark(load().Id(FREE))
            return node.ancestor(node.get_tree_depth() - depth)
        if is_mark(node, KERNEL):
            return node
        for i in range(node.n_children()):
            node = down(node.child(i)).parent()
        return node

    return down(schedule.get_root()).get_schedule()


def vectors_are_legal(schedule: Any, model: Model) -> bool:
    """Whether the lanes of all vectors are independent: a proof, like `dependences.respects`."""
    legal = True

    def see(node: Any) -> Any:
        nonlocal legal
        if is_mark(node, VECTOR):
            band = node.copy().child(0)
            member = band.band_get_partial_schedule().get_union_pw_aff(0)
            legal = legal and _is_free(band, member, model)
        return node

    schedule.map_schedule_node_bottom_up(see)
    return legal


def has_band(node: Any) -> bool:
    """Whether there is a loop at or below a node."""
    return is_band(node) or any(has_band(node.child(i)) for i in range(node.n_children()))


def _first_apart(node: Any) -> tuple[Any, Any]:
    """The first member of a band, and the band with nothing else in it."""
    partial = node.band_get_partial_schedule()
    if partial.dim(load().dim_type.out) > 1:
        node = node.band_split(1)
    return partial.get_union_pw_aff(0), node


def _is_free(node: Any, member: Any, model: Model) -> bool:
    isl = load()
    left = carried(model, node.get_prefix_schedule_union_map())
    return is_parallel(left, isl.UnionMap.from_union_pw_aff(member))


def isolated(schedule: Any) -> Any:
    """The tree with register tiles that are whole told apart from those at the borders.

    Whole ones are written out and have vectors; the others stay plain loops.
    """

    def find(node: Any) -> Any:
        isl = load()
        if node.get_type() == isl.schedule_node_type.mark:
            name = node.mark_get_id().name
            if name.startswith(WHOLE):
                return _isolate(node, isl.Set(name.removeprefix(WHOLE)))
        for i in range(node.n_children()):
            node = find(node.child(i)).parent()
        return node

    return find(schedule.get_root()).get_schedule()


def _isolate(node: Any, box: Any) -> Any:
    """Sets the option on all bands between the marks KERNEL and WHOLE, where `node` is."""
    isl = load()
    whole = _whole(node, box)
    depth = node.get_tree_depth()
    while not (
        node.get_type() == isl.schedule_node_type.mark and node.mark_get_id().name == KERNEL
    ):
        node = node.parent()
        if not is_band(node):
            continue
        outer, own = node.get_schedule_depth(), node.band_get_space().dim(isl.dim_type.set)
        dims = whole.dim(isl.dim_type.set)
        here = whole.project_out(isl.dim_type.set, outer + own, dims - outer - own)
        pairs = isl.Map.from_range(here).move_dims(isl.dim_type.in_, 0, isl.dim_type.out, 0, outer)
        option = pairs.wrap().set_tuple_name("isolate")
        node = node.band_set_ast_build_options(isl.UnionSet.from_set(option))
    while node.get_tree_depth() < depth:
        node = node.child(0)
    return node


def _whole(node: Any, box: Any) -> Any:
    """The places of the loops above where each statement fills the box, or has no instance."""
    isl = load()
    places = node.get_prefix_schedule_union_map()
    inside = None
    at = node.child(0)
    while at.get_type() in (isl.schedule_node_type.band, isl.schedule_node_type.mark):
        if is_band(at):
            own = isl.UnionMap.from_multi_union_pw_aff(at.band_get_partial_schedule())
            inside = own if inside is None else inside.flat_range_product(own)
        at = at.child(0)
    both = places.flat_range_product(inside).intersect_domain(node.get_domain())
    size = box.dim(isl.dim_type.set)
    some: Any = None
    missing: Any = None
    for points in _sets(both):
        dims = points.dim(isl.dim_type.set)
        here = points.project_out(isl.dim_type.set, dims - size, size)
        gaps = here.flat_product(box).subtract(points)
        gaps = gaps.project_out(isl.dim_type.set, dims - size, size)
        some = here if some is None else some.union(here)
        missing = gaps if missing is None else missing.union(gaps)
    return some.subtract(missing).coalesce()


def _sets(pairs: Any) -> list[Any]:
    """The ranges of a union map, one for each of the statements in it."""
    found: list[Any] = []
    pairs.foreach_map(lambda each: found.append(each.range()))
    return found
