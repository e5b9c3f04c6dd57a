"""What part each loop of a band is fit for: lanes of a vector, rows of a register tile, the rest.

    lanes   neighbouring iterations touch neighbouring elements, and do not depend on each other
    rows    iterations write different elements and share what they read
    rest    what accumulates into the same elements, or carries time

This is the rule of thumb that a search starts from; that the result is legal is proved elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from acumen.compilers.loop_nests.dependences import Model, carried, is_parallel
from acumen.compilers.loop_nests.isl import load
from acumen.compilers.loop_nests.scop import Access, Statement
from acumen.compilers.loop_nests.transform import has_band


@dataclass(frozen=True)
class Band:
    """A band of a schedule tree, as far as choices need it.

    Attributes:
        number: among the tree's bands, what is inside first.
        members: how many loops it has.
        statements: names of those in it.
        instances: how many of them run, all together.
        innermost: whether no loop is in it.
        tileable: whether its loops may be tiled and interchanged.
        lanes: members fit for lanes, the fittest first.
        contiguous: whether the fittest moves along neighbouring elements everywhere.
        gathered: whether it does at least where it writes.
        rows: members fit for rows, the fittest first.
        extents: of each member, how far it runs.
    """

    number: int
    members: int
    statements: tuple[str, ...]
    instances: int
    innermost: bool
    tileable: bool
    lanes: tuple[int, ...]
    contiguous: bool
    gathered: bool
    rows: tuple[int, ...]
    extents: tuple[int, ...]


def describe(node: Any, number: int, model: Model) -> Band:
    """What there is to know about a band node."""
    isl = load()
    partial = node.band_get_partial_schedule()
    size = partial.dim(isl.dim_type.out)
    members = [partial.get_union_pw_aff(i) for i in range(size)]
    maps = [isl.UnionMap.from_union_pw_aff(member) for member in members]
    left = carried(model, node.get_prefix_schedule_union_map())
    domain = node.get_domain()
    statements = [model.scop.statement(name) for name in names_of(domain)]
    moves = {s.name: _moves(node, members, s) for s in statements}
    scores = []
    for m in range(size):
        others = left
        for other in range(size):
            if other != m:
                others = others.intersect(maps[other].apply_range(maps[other].reverse()))
        score, every = _lane_score(statements, moves, m, model.scop.locals)
        scores.append((is_parallel(others, maps[m]), score, every))
    lanes = sorted((m for m in range(size) if scores[m][0]), key=lambda m: (-scores[m][1], -m))
    rows = [m for m in range(size) if _writes_move(statements, moves, m)]
    rows.sort(key=lambda m: -_shared(statements, moves, m))
    return Band(
        number=number,
        members=size,
        statements=tuple(s.name for s in statements),
        instances=sum(_count(each) for each in _sets(domain)),
        innermost=not has_band(node.child(0)),
        tileable=bool(node.band_get_permutable()) or size == 1,
        lanes=tuple(lanes),
        contiguous=bool(lanes) and scores[lanes[0]][2],
        gathered=bool(lanes) and _writes_side_by_side(statements, moves, lanes[0]),
        rows=tuple(rows),
        extents=tuple(_extent(each, domain) for each in maps),
    )


def names_of(domain: Any) -> list[str]:
    """Of the statements in a union set, in the order of the text."""
    return sorted((s.get_tuple_name() for s in _sets(domain)), key=lambda name: int(name[1:]))


def _sets(domain: Any) -> list[Any]:
    found: list[Any] = []
    domain.foreach_set(found.append)
    return found


def _count(instances: Any) -> int:
    """How many there are, or at most."""
    isl = load()
    total = 1
    for i in range(instances.dim(isl.dim_type.set)):
        low, high = instances.dim_min_val(i), instances.dim_max_val(i)
        total *= int(high.to_python()) - int(low.to_python()) + 1
    return total


def _extent(member: Any, domain: Any) -> int:
    places = load().Set.from_union_set(member.intersect_domain(domain).range())
    return int(places.dim_max_val(0).to_python()) - int(places.dim_min_val(0).to_python()) + 1


def _moves(node: Any, members: list[Any], statement: Statement) -> list[dict[str, int] | None]:
    """How the iterators move with each member while all loops around and beside it stand still."""
    isl = load()
    prefix = node.get_prefix_schedule_multi_union_pw_aff()
    outer = [prefix.get_union_pw_aff(i) for i in range(prefix.dim(isl.dim_type.out))]
    rows = [row for each in outer if (row := _row(each, statement)) is not None]
    own = [_row(each, statement) for each in members]
    if not statement.iterators or any(row is None for row in own):
        return [None] * len(members)
    matrix = np.array([*rows, *own], float)
    found: list[dict[str, int] | None] = []
    for m in range(len(members)):
        target = np.zeros(len(matrix))
        target[len(rows) + m] = 1
        step = np.linalg.lstsq(matrix, target, rcond=None)[0]
        rounded = np.asarray(np.round(step))
        fits = np.allclose(matrix @ rounded, target)
        moved = dict(zip(statement.iterators, rounded.astype(int).tolist(), strict=True))
        found.append(moved if fits else None)
    return found


def _row(member: Any, statement: Statement) -> list[int] | None:
    """Coefficients of a member in a statement's iterators; None: not linear (a tile's)."""
    isl = load()
    parts: list[Any] = []
    pieces: list[Any] = []
    member.foreach_pw_aff(parts.append)
    for part in parts:
        if part.get_space().get_tuple_name(isl.dim_type.in_) == statement.name:
            part.foreach_piece(lambda _, aff: pieces.append(aff))
    if len(pieces) != 1:
        return None
    aff = pieces[0]
    if any(
        not aff.get_coefficient_val(isl.dim_type.div, i).is_zero()
        for i in range(aff.dim(isl.dim_type.div))
    ):
        return None
    values = (aff.get_coefficient_val(isl.dim_type.in_, i) for i in range(len(statement.iterators)))
    return [int(value.to_python()) for value in values]


def _strides(access: Access, move: dict[str, int]) -> list[int]:
    return [
        sum(factor * move.get(name, 0) for name, factor in each.terms.items())
        for each in access.subscripts
    ]


def _lane_score(
    statements: list[Statement],
    moves: dict[str, list[dict[str, int] | None]],
    m: int,
    locals_: Collection[str],
) -> tuple[float, bool]:
    """How well a member's neighbours lie side by side; and whether they do so everywhere.

    The region's own scalars do not count: mostly they lie nowhere.
    """
    score, every = 0.0, True
    for statement in statements:
        move = moves[statement.name][m]
        if move is None:
            continue
        for access in statement.accesses():
            if access.array in locals_:
                continue
            strides = _strides(access, move)
            weight = 3.0 if access is statement.written else 1.0
            if not any(strides):
                score += weight if access is not statement.written else -weight
            elif not any(strides[:-1]) and strides[-1] == 1:
                score += 2 * weight
            else:
                score -= 3 * weight
                every = False
    return score, every


def _writes_side_by_side(
    statements: list[Statement], moves: dict[str, list[dict[str, int] | None]], m: int
) -> bool:
    """Whether neighbouring iterations write neighbouring elements."""
    for statement in statements:
        move = moves[statement.name][m]
        strides = [] if move is None else _strides(statement.written, move)
        if not strides or any(strides[:-1]) or strides[-1] != 1:
            return False
    return True


def _writes_move(
    statements: list[Statement], moves: dict[str, list[dict[str, int] | None]], m: int
) -> bool:
    """Whether each iteration writes elements of its own."""
    for statement in statements:
        move = moves[statement.name][m]
        if move is not None and any(move.values()) and not any(_strides(statement.written, move)):
            return False
    return True


def _shared(
    statements: list[Statement], moves: dict[str, list[dict[str, int] | None]], m: int
) -> int:
    """How many reads are the same for neighbouring iterations: they are loaded once."""
    count = 0
    for statement in statements:
        move = moves[statement.name][m]
        if move is not None:
            count += sum(not any(_strides(read, move)) for read in statement.reads)
    return count
