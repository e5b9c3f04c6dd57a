"""Construction of a membership filter: candidates, what they weigh, and whether they keep the rate.

The plain filter is built first. With negatives, scorers of several sizes are tried: the negatives
are split into those that train a scorer, those that choose regions and rates, and those that judge.
A learned candidate counts only if, on the negatives that judge, its false-positive rate is at most
what was asked for with 95 % confidence. (A negative of score s passes with a known chance p(s),
whose mean is bounded: it varies less than the number of those that passed.)
Where it is not, the candidate is designed anew for a smaller rate. The fewest bytes win.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.index.membership_keys import KeyBatch
from acumen.index.membership_partition import Division, Segments, sandwiches
from acumen.index.membership_rates import ONE_SIDED_95, upper_bound
from acumen.index.membership_scorer import BuiltInScorer, Scorer

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

REGIONS_MAX = 6
SEGMENTS_MAX = 128
SAMPLES_MAX = 100_000
SHAPE_BYTES = 48
# Attempts at smaller tables: with few keys they cost nothing, with many there is little to gain.
TRIES_MAX = 160
TRIED_KEYS_MAX = 2_000_000
MARGINS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
LEARNED_BYTES_MIN = 512  # a plain filter smaller than that is not worth a model


@dataclass(frozen=True)
class FilterArrays:
    """All that a filter looks at, and no more: what `nbytes` counts and a file holds.

    Attributes:
        shapes: uint64, a row a table: the front's, then the regions'.
        tables: uint8, the tables one after the other.
        thresholds: float64, rising: where the regions but the first begin.
        scorer: what gives the scores; None if there is one region.
    """

    shapes: Words
    tables: NDArray[np.uint8]
    thresholds: Floats
    scorer: Scorer | None = None

    @property
    def model_bytes(self) -> int:
        """The scorer's and the thresholds' bytes."""
        return self.thresholds.nbytes + (self.scorer.nbytes if self.scorer else 0)

    @property
    def filter_bytes(self) -> int:
        """The tables' bytes, with what describes them."""
        return self.tables.nbytes + self.shapes.nbytes

    @property
    def nbytes(self) -> int:
        """All bytes."""
        return self.model_bytes + self.filter_bytes

    def core(self) -> _native.MembershipCore:
        """The native filter over these arrays."""
        own = self.scorer if isinstance(self.scorer, BuiltInScorer) else None
        weights = own.weights if own else np.zeros(0, np.int8)
        bits, grams = (own.bucket_bits, own.grams) if own else (0, 0)
        return _native.MembershipCore(
            self.shapes, self.tables, self.thresholds, weights, bits, grams
        )


@dataclass(frozen=True)
class Sample:
    """Keys or negatives, with the container that they came in (for a user's scorer) and groups."""

    keys: KeyBatch
    original: object
    groups: NDArray[np.int64] | None = None

    def scores(self, scorer: Scorer) -> Floats:
        """One score a key."""
        return scorer.scores(self.keys, self.original)


@dataclass(frozen=True)
class Design:
    """A learned candidate on paper: scorer, where its regions begin, and the rates.

    Attributes:
        family: "partitioned" or "sandwiched".
        bytes_expected: by a rule of thumb for the tables' overhead.
        rate_bound: what the false-positive rate is below, on the negatives that judge.
    """

    family: str
    scorer: Scorer
    thresholds: Floats
    division: Division
    bytes_expected: float
    rate_bound: float


def table_bytes(keys: float, rate: float) -> float:
    """About what a table of so many keys takes."""
    if rate >= 1.0 or keys <= 0:
        return SHAPE_BYTES
    overhead = 1.04 + 0.8 * max(keys, 1.0) ** -0.2
    return float(SHAPE_BYTES + 8 - keys * overhead * np.log2(max(rate, 2.0**-31)) / 8)


class TableMaker:
    """Builds tables one after the other, each with a seed of its own."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.shapes: list[Words] = []
        self.tables: list[NDArray[np.uint8]] = []
        self.distinct = 0

    def add(self, hashes: Words, rate: float) -> None:
        """A table of these; at rate 1 none, and all are inside."""
        tries = min(TRIES_MAX, TRIED_KEYS_MAX // max(len(hashes), 1))
        shape, table, self.distinct, _ = _native.fuse_build(
            hashes, max(rate, 2.0**-31), tries, int(self.rng.integers(1 << 63))
        )
        self.shapes.append(shape)
        self.tables.append(table)

    def arrays(self, thresholds: Floats, scorer: Scorer | None) -> FilterArrays:
        """What was built."""
        return FilterArrays(np.stack(self.shapes), np.concatenate(self.tables), thresholds, scorer)


def plain(hashes: Words, fpr: float, rng: np.random.Generator) -> tuple[FilterArrays, int]:
    """The filter without a model, and how many different keys it holds."""
    maker = TableMaker(rng)
    maker.add(np.zeros(0, np.uint64), 1.0)
    maker.add(hashes, fpr)
    return maker.arrays(np.zeros(0), None), maker.distinct


def build(
    design: Design, keys: Sample, hashes: Words, fpr: float, rng: np.random.Generator
) -> FilterArrays:
    """The tables of a learned candidate, with every key in the one of its score."""
    scores = keys.scores(design.scorer)
    tolerance = design.scorer.tolerance
    lowest, highest = (
        np.searchsorted(design.thresholds, scores + shift, side="right")
        for shift in (-tolerance, tolerance)
    )
    maker = TableMaker(rng)
    maker.add(hashes if design.division.front < 1.0 else hashes[:0], design.division.front)
    for region, rate in enumerate(design.division.rates):
        # Where no key was expected a few may lie, within the tolerance or unlike the sample's.
        least = min(2.0**-16, 0.01 * fpr)
        maker.add(hashes[(lowest <= region) & (region <= highest)], max(rate, least))
    return maker.arrays(design.thresholds, design.scorer)


def designs(
    keys: Sample, choosing: Sample, judging: Sample, fpr: float, scorers: Iterable[Scorer]
) -> list[Design]:
    """The best candidate of each family that keeps the rate; none where learning does not pay."""
    promising: list[tuple[float, str, _Scored]] = []
    for scorer in scorers:
        if promising and scorer.nbytes >= min(entry[0] for entry in promising):
            break  # scorers come by size: from here on the model alone weighs more
        scored = _Scored(scorer, keys, choosing, judging)
        promising += [
            (design.bytes_expected, design.family, scored) for design in scored.propose(fpr * 0.8)
        ]
    promising.sort(key=lambda entry: entry[0])
    best: dict[str, Design] = {}
    for family in ("partitioned", "sandwiched"):
        for _, _, scored in [entry for entry in promising if entry[1] == family][:3]:
            design = scored.keeping(fpr, family)
            if design and (
                family not in best or design.bytes_expected < best[family].bytes_expected
            ):
                best[family] = design
    return list(best.values())


def judges_needed(fpr: float) -> int:
    """Held-out negatives without which nobody can vouch for this rate, even were none to pass."""
    return int(np.ceil(ONE_SIDED_95**2 * (1 / fpr - 1)))


class _Scored:
    """One scorer with the scores of all three samples."""

    def __init__(self, scorer: Scorer, keys: Sample, choosing: Sample, judging: Sample) -> None:
        self.scorer = scorer
        self.count = len(keys.keys)
        self.judging = judging
        self.judged = judging.scores(scorer)
        if isinstance(scorer, BuiltInScorer) and self.count > SAMPLES_MAX:
            rows = np.linspace(0, self.count - 1, SAMPLES_MAX).astype(np.int64)
            inside = scorer.scores(keys.keys.take(rows))
        else:
            inside = keys.scores(scorer)
        outside = choosing.scores(scorer)
        pooled = np.concatenate([_quantiles(inside), _quantiles(outside)])
        values = np.unique(pooled[np.isfinite(pooled)])
        # Between scores that occur, or many keys would lie within a tolerance of an edge.
        self.edges = (values[:-1] + values[1:]) / 2
        self.inside = self._shares(inside, 0.0)
        self.outside = self._shares(outside, 1.0)
        self.segments = Segments(self.inside, self.outside, REGIONS_MAX)

    def _shares(self, scores: Floats, prior: float) -> Floats:
        """Of each segment; as if `prior` more had been seen, spread over all."""
        segments = np.searchsorted(self.edges, scores, side="right")
        counts = np.bincount(segments, minlength=len(self.edges) + 1) + prior / (
            len(self.edges) + 1
        )
        return np.asarray(counts / counts.sum(), np.float64)

    def propose(self, fpr: float) -> Iterator[Design]:
        """The best division of each family for this rate on the negatives that choose."""
        if not len(self.edges):
            return
        for family, found in (
            ("partitioned", list(self.segments.partitions(fpr))),
            ("sandwiched", list(sandwiches(self.inside, self.outside, fpr))),
        ):
            sized = [(self._bytes(division), division) for division in found]
            if sized:
                expected, division = min(sized, key=lambda pair: pair[0])
                thresholds = self.edges[np.array(division.edges, int) - 1]
                yield Design(
                    family, self.scorer, thresholds, division, expected, self._bound(division)
                )

    def keeping(self, fpr: float, family: str) -> Design | None:
        """The first of this family, designed for less and less, that keeps the rate."""
        for margin in MARGINS:
            for design in self.propose(fpr * margin):
                if design.family == family and design.rate_bound <= fpr:
                    return design
        return None

    def _bytes(self, division: Division) -> float:
        sums = np.add.reduceat(self.inside, (0, *division.edges)) * self.count
        tables = sum(table_bytes(n, f) for n, f in zip(sums, division.rates, strict=True))
        front = table_bytes(self.count, division.front)
        return float(tables + front + 8 * len(division.edges) + self.scorer.nbytes)

    def _bound(self, division: Division) -> float:
        thresholds = self.edges[np.array(division.edges, int) - 1]
        regions = np.searchsorted(thresholds, self.judged, side="right")
        chances = division.front * np.array(division.rates)[regions]
        return upper_bound(chances, self.judging.groups)


def _quantiles(scores: Floats) -> Floats:
    ranks = np.linspace(0, len(scores) - 1, min(SEGMENTS_MAX // 2, len(scores))).astype(np.int64)
    return np.sort(scores)[ranks]
