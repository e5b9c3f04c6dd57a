"""Which instance must come before which, exactly; and the proof that a new order keeps to it.

Two instances depend on each other when both touch one element and one of them writes it. Whatever
order keeps all such pairs computes what the original does, bit for bit (nothing is reassociated).
Proofs compare all such pairs, each by the definition. The scheduler is given the direct ones alone
(Feautrier's array data flow), whose transitive closure covers all: it needs less time for them, and
no proof rests on them (isl 0.27 finds too few where a loop in steps starts at the iterator of
another one).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from acumen.compilers.loop_nests.errors import RegionError
from acumen.compilers.loop_nests.isl import load
from acumen.compilers.loop_nests.scop import Access, Loop, Scop, Statement


@dataclass(frozen=True)
class Model:
    """A region as isl's objects.

    Attributes:
        scop: the region.
        domain: all instances (a union set).
        reads, writes: instances to elements (union maps).
        original: the order as written (a schedule tree).
        every: instance to instance that must come later: all dependences.
        direct: the direct ones, which the scheduler starts from.
    """

    scop: Scop
    domain: Any
    reads: Any
    writes: Any
    original: Any
    every: Any
    direct: Any


def model_of(scop: Scop) -> Model:
    """Domains, accesses, order and dependences of a region.

    Raises:
        RegionError: a loop has no bound, or runs nowhere.
    """
    isl = load()
    domain = isl.UnionSet("{ }")
    reads = writes = isl.UnionMap("{ }")
    for statement in scop.statements:
        instances = isl.Set(statement.domain)
        if not instances.is_bounded():
            raise RegionError("a loop around this has no bound", statement.line)
        domain = domain.union(isl.UnionSet.from_set(instances))
        first, *others = statement.accesses()
        writes = writes.union(elements(statement, first))
        for other in others:
            reads = reads.union(elements(statement, other))
    if domain.is_empty():
        raise RegionError("no statement of the region ever runs")
    reads, writes = reads.intersect_domain(domain), writes.intersect_domain(domain)
    original = _ordered(scop, scop.body)
    flow = _must(reads, writes, original, None)
    # What is overwritten, and what is read before it is: of both the last before a write.
    anti = _must(writes, writes, original, None).union(_must(writes, writes, original, reads))
    every = _every(reads, writes, original)
    return Model(scop, domain, reads, writes, original, every, flow.union(anti).coalesce())


def _every(reads: Any, writes: Any, order: Any) -> Any:
    """All pairs that touch one element, one of them writing, the earlier one first."""
    by_element = writes.reverse()
    pairs = writes.union(reads).apply_range(by_element).union(writes.apply_range(reads.reverse()))
    places = order.get_map()
    return pairs.intersect(places.lex_lt_union_map(places)).coalesce()


def elements(statement: Statement, access: Access) -> Any:
    """From each instance of a statement to the element that it accesses (a union map)."""
    source = f"{statement.name}[{', '.join(statement.iterators)}]"
    target = f"{element_name(access.array)}[{', '.join(map(str, access.subscripts))}]"
    return load().UnionMap(f"{{ {source} -> {target} }}")


def element_name(array: str) -> str:
    """An array's name for isl, which has words of its own (`min`, `and`)."""
    return f"array_{array}"


def _must(sink: Any, source: Any, order: Any, before: Any) -> Any:
    """Direct dependences of `sink` on the last of `source`, or on all of `before` since then."""
    isl = load()
    info = isl.UnionAccessInfo.from_sink(sink).set_schedule(order)
    if before is None:
        return info.set_must_source(source).compute_flow().get_may_dependence()
    found = info.set_kill(source).set_may_source(before).compute_flow()
    return found.get_may_dependence()


def _ordered(scop: Scop, body: tuple[Loop | Statement, ...]) -> Any:
    """The schedule tree of loops and statements as they are written."""
    isl = load()
    whole = None
    for part in body:
        if isinstance(part, Statement):
            if isl.Set(part.domain).is_empty():
                continue
            piece = isl.Schedule.from_domain(isl.UnionSet(part.domain))
        else:
            piece = _looped(scop, part)
        if piece is None:
            continue
        whole = piece if whole is None else whole.sequence(piece)
    return whole


def _looped(scop: Scop, loop: Loop) -> Any:
    isl = load()
    inner = _ordered(scop, loop.body)
    if inner is None:
        return None
    sign = "" if loop.step > 0 else "-"
    members = "; ".join(
        f"{s.name}[{', '.join(s.iterators)}] -> [({sign}{loop.iterator})]"
        for s in scop.statements
        if loop.iterator in s.iterators
    )
    partial = isl.MultiUnionPwAff(f"[{{ {members} }}]")
    return inner.insert_partial_schedule(partial.intersect_domain(inner.get_domain()))


def respects(model: Model, schedule: Any) -> bool:
    """Whether a schedule tree runs every instance once and keeps all dependences: a proof."""
    order = schedule.get_map()
    if not schedule.get_domain().is_equal(model.domain):
        return False
    order = order.intersect_domain(model.domain)
    # No pair may be at the same time, or reversed.
    wrong = order.lex_ge_union_map(order)
    return bool(model.every.intersect(wrong).is_empty())


def carried(model: Model, prefix: Any) -> Any:
    """The dependences whose both ends have the same place in `prefix` (a union map)."""
    return model.every.intersect(prefix.apply_range(prefix.reverse()))


def distances(dependences: Any, member: Any) -> Any:
    """By how much a band's member (a union map to one dimension) moves along dependences."""
    isl = load()
    ends = dependences.apply_domain(member).apply_range(member)
    return isl.UnionSet("{ }") if ends.is_empty() else ends.deltas()


def is_parallel(dependences: Any, member: Any) -> bool:
    """Whether no dependence has a distance along the member: its iterations may run at once."""
    isl = load()
    return bool(distances(dependences, member).is_subset(isl.UnionSet("{ [0] }")))


def never_back(dependences: Any, member: Any) -> bool:
    """Whether no dependence points backwards along the member."""
    isl = load()
    return bool(distances(dependences, member).is_subset(isl.UnionSet("{ [d] : d >= 0 }")))
