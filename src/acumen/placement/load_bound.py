"""What no plan of a pipeline can beat: lower bounds of the largest load.

`throughput_bound` is work alone and takes no time. `Certificate` asks whether a load T can be
reached at all, and knows about copies, memory and that operators are not divisible: if prices of
items can be found at which all devices together, each within T, cannot carry as much as all items
cost, then T cannot be reached by any plan. The best prices are the dual of a linear program with a
column for every set of items that a device can bear (Gilmore & Gomory, "A linear programming
approach to the cutting-stock problem", Operations Research 1961). The sets are found one by one:
the dearest one of a single device, by dynamic programming where the graph is narrow
(`dearest_set.hpp`), by a mixed-integer program elsewhere; neither knows the symmetry that makes the
mixed-integer program of all devices hopeless.

With few sets the program's own prices are extreme, so they stay in a box around the best ones met
(Marsten, Hogan & Blankenship, "The boxstep method for large-scale optimization", Operations
Research 1975). `certified_bounds` bisects between what is excluded and what has been reached; what
is left of the time goes to the dual bound of the program of all devices, where that is small.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from acumen import _native
from acumen.placement.graph import Bools, Floats, Indices, Ints
from acumen.placement.load_items import (
    Items,
    condense,
    grouped,
    merge,
    merge_heavy,
    only_neighbours,
)
from acumen.placement.load_program import add_nets, program_of, variables
from acumen.placement.plan import Deadline, Task
from acumen.placement.solver import Program, available, solve

SAFETY = 1e-6
"""Relative: solvers work with tolerances, bounds are lowered by as much."""
WEIGHT_TURNS = 300
GAP, GAP_MAX = 1e-3, 0.2
"""How far from the dearest set the search for it may end, in the end and at first."""
WIDTH, WIDTH_MAX = 2.0, 1e6
"""By which factor prices may leave the best ones met; it grows where that is too little."""
CLIMBS = 5
SHORTEST = 0.3
"""Seconds that a question has at least, if there are as many."""
STATES_MAX, NODES_MAX = 1_000_000, 50
"""Of the dynamic program, 60 bytes each; and how often it branches."""
PRICED_MAX = 20_000
"""Items and pins for which a mixed-integer program is asked where dynamic programming cannot be."""
EXACT_MAX = 5_000
"""Variables of the program of all devices, whose dual bound is of use while it is small."""


def throughput_bound(task: Task) -> float:
    """Seconds that the busiest device is busy at least, whatever the plan, from work alone.

    The longest group; and, as the largest load is at least any weighted mean of the loads, the
    work with every group where it weighs least, for the best weights found.

    Raises:
        PlanError: an operator runs on none of the devices.
    """
    task.seconds()
    return work_bound(condense(task, grouped(task.graph)).seconds)


def work_bound(seconds: Floats) -> float:
    """The same, of items that take so long on each device; shape (d, q)."""
    longest = float(seconds.min(axis=0).max())
    if not np.isfinite(longest):
        return np.inf
    rows, number = np.unique(seconds, axis=0, return_inverse=True)
    number = number.reshape(-1)
    count = np.bincount(number).astype(np.float64)
    finite = np.where(np.isfinite(rows), rows, 0.0)
    weight = np.ones(len(rows)) / count.sum()
    best = longest
    for turn in range(WEIGHT_TURNS):
        # weight 0 times infinity: who cannot run an item never carries it
        priced = np.where(np.isfinite(rows), weight[:, None] * finite, np.inf)
        where = priced.argmin(axis=0)
        columns = np.arange(len(where))
        best = max(best, float(priced[where, columns].sum()))
        load = np.bincount(where, finite[where, columns], minlength=len(rows)) / count
        weight *= np.exp(load / max(load.max(), 1e-300) / np.sqrt(1 + turn))
        weight /= (weight * count).sum()
    return best * (1 - SAFETY)


def relaxed(task: Task, bound: float) -> Items:
    """Items on which every plan of a load below `bound` is worth at least as little as it was.

    Besides what is never apart in such a plan, an item of one neighbour is merged with it if a
    copy between them takes longer than the item does on any device that pays. Where nobody pays
    for copies the item is free from then on, and it needs no memory: so whoever had the two apart
    loses nothing by having them together where the neighbour was.
    """
    items = merge_heavy(condense(task, grouped(task.graph)), bound)
    while True:
        leaf, neighbour, takes = only_neighbours(items)
        payers = items.pays > 0
        cheap = items.seconds[:, leaf][payers].max(axis=0, initial=0.0) <= takes
        if not cheap.any():
            return items
        seconds, kept = items.seconds.copy(), items.resident_bytes.copy()
        seconds[np.ix_(~payers, leaf[cheap])] = 0.0
        kept[leaf[cheap]] = 0.0
        label = np.arange(len(items))
        label[leaf[cheap]] = neighbour[cheap]
        items = merge_heavy(
            merge(replace(items, seconds=seconds, resident_bytes=kept), label), bound
        )


@dataclass
class _Kind:
    """Devices that are alike: one of them, how many there are, and sets that one can bear."""

    device: int
    pricing: _native.DearestSet
    count: int = 0
    sets: dict[bytes, Floats] = field(default_factory=dict)
    _branching_seconds: float = 0.01

    def dearest(
        self, prices: Floats, load: float, gap: float, nodes: int, deadline: Deadline
    ) -> tuple[float, Floats]:
        """By dynamic programming, with as many branchings as there is time for."""
        began = time.monotonic()
        affordable = int(deadline.left / self._branching_seconds)
        most = self.pricing.search(prices, load, gap, min(nodes, affordable))
        took = (time.monotonic() - began) / (self.pricing.branchings + 1)
        self._branching_seconds = max(took, 0.9 * self._branching_seconds)
        return min(most, 1.0), self.pricing.chosen().astype(np.float64)

    def learn(self, chosen: Floats) -> bool:
        """Remembers a set, 1 for each item in it; whether it is new."""
        before = len(self.sets)
        self.sets.setdefault(np.packbits(chosen > 0.5).tobytes(), (chosen > 0.5).astype(np.float64))
        return len(self.sets) > before


class Certificate:
    """Whether some largest load can be reached; see the module. Loads are in seconds."""

    def __init__(self, task: Task, reached: float, known: Iterable[Indices] = ()) -> None:
        """Gets ready to ask about loads below what is reached already.

        Args:
            task: what is placed.
            reached: the largest load of some plan.
            known: devices of operators, of plans whose sets are worth remembering; shape (n,) each.

        Raises:
            PlanError: an operator runs on none of the devices.
        """
        self.items = relaxed(task, reached)
        self.work = throughput_bound(task)
        # What must be together to be better than what is reached, and cannot be, is a proof.
        self.is_best = bool(np.isinf(self.items.seconds.min(axis=0)).any())
        rows = np.column_stack([self.items.seconds, self.items.limit, self.items.pays])
        kinds: dict[bytes, _Kind] = {}
        each = []
        for device, row in enumerate(rows):
            if row.tobytes() not in kinds:
                pricing = _native.DearestSet(self.items.model_of(device), STATES_MAX)
                kinds[row.tobytes()] = _Kind(device, pricing)
            each.append(kinds[row.tobytes()])
            each[-1].count += 1
        self._kinds = list(kinds.values())
        self._plans: list[tuple[_Kind, Floats]] = []
        for where in known:
            at = np.empty(len(self.items), np.int64)
            at[self.items.item] = where
            self._plans += [(kind, (at == d).astype(np.float64)) for d, kind in enumerate(each)]
        for kind, inside in self._plans:
            kind.learn(inside)
        if self.is_best:
            return
        work = self.items.seconds.min(axis=0) + work_bound(self.items.seconds) * SAFETY
        self._best_prices: Floats = work / work.sum() if work.sum() > 0 else work + 1 / len(work)

    @property
    def can_price(self) -> bool:
        """Whether dearest sets can be found at all: the items are few, or the graph is narrow."""
        few = len(self.items) + len(self.items.pins) <= PRICED_MAX
        return few or all(kind.pricing.small for kind in self._kinds)

    def excludes(self, load: float, deadline: Deadline) -> bool:
        """True if no plan has a largest load of `load` or less; False if that is not known.

        Only of loads below the one that has been reached.

        Raises:
            ImportError: HiGHS is not installed.
        """
        if load < self.work or self.is_best:
            return True
        self._trim(load)
        centre, lowest, carried, width = self._best_prices, np.inf, 0.0, WIDTH
        prices = centre
        while deadline:
            gap = min(max(GAP, (lowest - carried) / 4), GAP_MAX)
            most, new = self._most(prices, load, gap, deadline)
            if most < 1 - SAFETY:
                self._best_prices = prices
                return True
            if most < lowest:
                centre, lowest = prices, most
            elif not new or lowest - carried < GAP:
                if width > WIDTH_MAX:
                    return False
                width *= WIDTH
            prices, carried = self._prices(load, deadline, centre, width)
            if carried >= 1 and self._prices(load, deadline, centre, np.inf)[1] >= 1 - SAFETY:
                return False  # as far as is known, all can be carried
        return False

    def climb(self, load: float, asked: float, deadline: Deadline) -> float:
        """The highest load below `asked`, nearly, that the prices which exclude `load` exclude."""
        for _ in range(CLIMBS):
            middle = (load + asked) / 2
            if not deadline:
                break
            if self._most(self._best_prices, middle, GAP, deadline)[0] < 1 - SAFETY:
                load = middle
            else:
                asked = middle
        return load

    def _most(
        self, prices: Floats, load: float, gap: float, deadline: Deadline
    ) -> tuple[float, bool]:
        """What all devices together carry at these prices, at most; whether a new set was found."""
        most, found, new = 0.0, 0.0, False
        for nodes in (NODES_MAX, 20 * NODES_MAX):
            most = found = 0.0
            for kind in self._kinds:
                best, chosen = self._dearest(kind, prices, load, gap, nodes, deadline)
                most += kind.count * best
                if chosen is not None:
                    found += kind.count * float(prices @ chosen)
                    new |= kind.learn(chosen)
            if most < 1 - SAFETY or found >= 1 - SAFETY or not deadline:
                break
            gap = GAP  # as far as is known these prices exclude the load: it pays to be certain
        return most, new

    def _trim(self, load: float) -> None:
        """Of each set in a plan that is too much, the most of its first and of its last items."""
        for kind, whole in self._plans:
            if self._bearable(kind, whole, load):
                continue
            members = np.flatnonzero(whole)
            for order in (members, members[::-1]):
                bearable = np.flatnonzero(self._beginnings(kind, order, load))
                if len(bearable):
                    part = np.zeros(len(whole))
                    part[order[: bearable[-1] + 1]] = 1.0
                    kind.learn(part)

    def _beginnings(self, kind: _Kind, order: Ints, load: float) -> Bools:
        """Whether such a device can bear the first 1, 2, … items of these; shape (len(order),)."""
        items, many = self.items, len(order)
        busy = np.cumsum(items.seconds[kind.device][order])
        if items.pays[kind.device] and len(items.copy):
            rank = np.full(len(items), many)
            rank[order] = np.arange(many)
            # A net is cut from its first pin on, and no longer from its last one on.
            begins = items.start[:-1].astype(np.int64)
            for pins, sign in ((np.minimum, 1.0), (np.maximum, -1.0)):
                at = pins.reduceat(rank[items.pins], begins)
                busy += sign * np.cumsum(np.bincount(at, items.copy, many + 1)[:many])
        held = np.cumsum(items.resident_bytes[order])
        return np.asarray((busy <= load) & (held <= items.limit[kind.device]))

    def _bearable(self, kind: _Kind, chosen: Floats, load: float) -> bool:
        items = self.items
        with np.errstate(invalid="ignore"):
            busy = float(items.seconds[kind.device][chosen > 0].sum())
        if items.pays[kind.device]:
            inside = np.bincount(items.nets, chosen[items.pins], minlength=len(items.copy))
            cut = (inside > 0) & (inside < np.diff(items.start.astype(np.int64)))
            busy += float(items.copy[cut].sum())
        return busy <= load and float(items.resident_bytes @ chosen) <= items.limit[kind.device]

    def _prices(
        self, load: float, deadline: Deadline, centre: Floats, width: float
    ) -> tuple[Floats, float]:
        """Prices that add up to 1 at which the known sets carry least, and how much that is.

        No price is below `centre` / width; nor above `centre` x width, and some more where that is
        next to nothing.
        """
        q = len(self.items)
        program = Program()
        highest = np.minimum(width * (centre + 0.1 / q), 1.0)
        for low, high in zip((centre / width).tolist(), highest.tolist(), strict=True):
            program.add(0.0, high, lower=low)
        program.row(1.0, range(q), [1.0] * q, 1.0)
        for kind in self._kinds:
            most = program.add(float(kind.count))
            for chosen in kind.sets.values():
                if self._bearable(kind, chosen, load):
                    inside = np.flatnonzero(chosen).tolist()
                    program.row(0.0, [most, *inside], [1.0] + [-1.0] * len(inside), np.inf)
        solution = solve(program, deadline.left)
        if solution.x is None:
            return centre, 1.0
        prices = np.maximum(solution.x[:q], 0.0)
        return prices / prices.sum(), solution.value

    def _dearest(
        self,
        kind: _Kind,
        prices: Floats,
        load: float,
        gap: float,
        nodes: int,
        deadline: Deadline,
    ) -> tuple[float, Floats | None]:
        """What the dearest set costs that a device of this kind can bear, at most; and one."""
        if kind.pricing.small:
            return kind.dearest(prices, load, gap, nodes, deadline)
        items, q = self.items, len(self.items)
        seconds = items.seconds[kind.device]
        program = Program()
        for i in range(q):
            program.add(-float(prices[i]), 1.0 if seconds[i] <= load else 0.0, whole=True)
        can = np.flatnonzero(seconds <= load)
        busy = dict(zip(can.tolist(), (seconds[can] / load).tolist(), strict=True))
        if items.pays[kind.device]:
            add_nets(program, items, range(q), busy, load)
        program.row(-np.inf, list(busy), list(busy.values()), 1.0)
        limit = items.limit[kind.device]
        if np.isfinite(limit) and items.resident_bytes.sum() > limit:
            shares = items.resident_bytes / max(limit, 1.0)
            program.row(-np.inf, range(q), shares.tolist(), limit / max(limit, 1.0))
        solution = solve(program, deadline.left, gap=gap)
        chosen = None if solution.x is None else np.round(solution.x[:q])
        return min(-solution.bound, 1.0), chosen


def certified_bound(
    task: Task, reached: float, known: Iterable[Indices], deadline: Deadline
) -> float:
    """The last, and highest, of `certified_bounds`."""
    *_, last = certified_bounds(task, reached, known, deadline)
    return last


def certified_bounds(
    task: Task, reached: float, known: Iterable[Indices], deadline: Deadline
) -> Iterator[float]:
    """Ever higher loads in seconds that no plan is below, as close to `reached` as time allows.

    Args:
        task: what is placed.
        reached: the largest load of the best plan known.
        known: the devices of good plans' operators, which help to find prices; shape (n,) each.
        deadline: until when to look. With HiGHS missing, or no time, the bound is work alone.

    Raises:
        PlanError: an operator runs on none of the devices.
    """
    best = min(throughput_bound(task), reached)
    yield best
    if not available() or not np.isfinite(reached) or not deadline or best >= reached:
        return
    certificate = Certificate(task, reached, known)
    if certificate.is_best:
        yield reached * (1 - SAFETY)
        return
    asked = limit = reached if certificate.can_price else best
    while deadline and limit - best > GAP * reached:
        if asked - best <= GAP * reached:
            asked = limit  # what there was no time for is asked again
        # From below, and not too much at once: sets found for a load are of use for higher ones.
        load = best + (asked - best) / 3
        mine = Deadline.after(max(deadline.left / 3, min(deadline.left, SHORTEST)))
        if certificate.excludes(load, mine):
            best = certificate.climb(load, asked, deadline) * (1 - SAFETY)
            yield best
        else:
            asked = load
            if mine:  # not for lack of time
                limit = load
    if deadline and reached - best > GAP * reached:
        yield max(best, _exact_bound(task, reached, deadline))


def _exact_bound(task: Task, reached: float, deadline: Deadline) -> float:
    """The dual bound of the program of all devices; 0 where it is too large to be of use."""
    items = merge_heavy(condense(task, grouped(task.graph)), reached)
    if variables(items) > EXACT_MAX:
        return 0.0
    # It is of plans that are better than what is reached; there may be none.
    dual = solve(program_of(items, reached), deadline.left, gap=GAP / 10).bound
    return min(dual * (1 - 10 * SAFETY), 1 - SAFETY) * reached
