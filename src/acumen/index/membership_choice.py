"""Which membership filter is best: the candidates beside each other, and the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen.index import membership_build as build
from acumen.index.membership_keys import KeyBatch
from acumen.index.membership_rates import MeasuredRate, measured
from acumen.index.membership_scorer import GivenScorer, Scorer, built_in_scorers

RANDOM_HASHES = 1 << 17


@dataclass(frozen=True)
class FilterCandidate:
    """One filter that was considered.

    Attributes:
        name: its structure, and its scorer if it has one.
        model_bytes: of scorer and thresholds.
        filter_bytes: of the tables.
        measured: its rate of false positives.
        regions: how many the scores are cut into; 1 without a scorer.
    """

    name: str
    model_bytes: int
    filter_bytes: int
    measured: MeasuredRate
    regions: int

    @property
    def total_bytes(self) -> int:
        """What candidates are compared by."""
        return self.model_bytes + self.filter_bytes


@dataclass(frozen=True)
class FilterExplanation:
    """What `MembershipFilter.explain` gives; its text is a table.

    Attributes:
        chosen: the name of the candidate that was taken.
        reason: why, in a sentence.
        candidates: all that were built.
    """

    chosen: str
    reason: str
    candidates: tuple[FilterCandidate, ...]

    def __str__(self) -> str:
        width = max(len(candidate.name) for candidate in self.candidates)
        lines = [
            f"{'candidate':{width + 2}}{'model':>9}{'filter':>11}{'total':>11}  false positives"
        ]
        for candidate in self.candidates:
            mark = "*" if candidate.name == self.chosen else " "
            rate = candidate.measured
            lines.append(
                f"{mark} {candidate.name:{width}}{candidate.model_bytes:>9}"
                f"{candidate.filter_bytes:>11}{candidate.total_bytes:>11}  "
                f"{rate.rate:.4%} [{rate.low:.4%}, {rate.high:.4%}] of {rate.trials} {rate.source}"
            )
        return "\n".join([*lines, self.reason])

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FilterExplanation:
        """The inverse. Raises TypeError, KeyError or ValueError on anything else."""
        candidates = tuple(
            FilterCandidate(
                **{**entry, "measured": MeasuredRate(*entry["measured"])},
            )
            for entry in values["candidates"]
        )
        return cls(str(values["chosen"]), str(values["reason"]), candidates)


@dataclass(frozen=True)
class Negatives:
    """Absent keys in three parts that have none in common, whole groups in the same one."""

    training: build.Sample
    choosing: build.Sample
    judging: build.Sample


def split(
    batch: KeyBatch,
    original: object,
    groups: NDArray[np.int64] | None,
    hashes: NDArray[np.uint64],
    shares: tuple[float, float],
    rng: np.random.Generator,
) -> Negatives:
    """Three parts at random; negatives that are keys or were there before are left out.

    Args:
        batch: all of them.
        original: the container they came in.
        groups: of each, which it belongs to; None: each is a group.
        hashes: of the keys.
        shares: of the first and the second part.
        rng: draws.
    """
    own = batch.hashes()
    _, first = np.unique(own, return_index=True)
    rows = first[~np.isin(own[first], hashes)]
    if groups is None:
        place = rng.permutation(len(rows)) / max(len(rows), 1)
    else:
        _, numbers, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
        order = rng.permutation(len(sizes))
        ends = np.cumsum(sizes[order])
        middle = np.empty(len(sizes))
        middle[order] = (ends - sizes[order] / 2) / max(len(rows), 1)
        place = middle[numbers]
    parts = np.searchsorted(np.cumsum(shares), place, side="right")
    samples = []
    for part in range(3):
        chosen = np.sort(rows[parts == part])
        within = None
        if groups is not None:
            _, within = np.unique(groups[chosen], return_inverse=True)
        samples.append(build.Sample(batch.take(chosen), taken(original, chosen), within))
    return Negatives(*samples)


def taken(original: Any, rows: NDArray[np.int64]) -> Any:
    """Elements of a user's container, in one of the same type where it can be indexed so."""
    if isinstance(original, list | tuple):
        return [original[row] for row in rows.tolist()]
    for method in ("take", "gather"):  # NumPy, Arrow and pandas; Polars
        if hasattr(original, method):
            return getattr(original, method)(rows)
    return [original[row] for row in rows.tolist()]


def choose(
    keys: build.Sample,
    fpr: float,
    negatives: Negatives | None,
    given: GivenScorer | None,
    rng: np.random.Generator,
) -> tuple[build.FilterArrays, FilterExplanation]:
    """Builds the candidates, verifies each over every key, and takes the smallest."""
    hashes = keys.keys.hashes()
    simple, distinct = build.plain(hashes, fpr, rng)
    entries = [_entry("binary fuse", simple, keys, negatives, rng)]
    filters = [simple]
    reason = _why_plain(len(keys.keys), simple, fpr, negatives, given is None)
    if not reason and negatives is not None:
        scorers: Iterable[Scorer] = (
            [given]
            if given
            else built_in_scorers(keys.keys, negatives.training.keys, simple.nbytes / 4, rng)
        )
        found = build.designs(keys, negatives.choosing, negatives.judging, fpr, scorers)
        for design in found:
            arrays = build.build(design, keys, hashes, fpr, rng)
            filters.append(arrays)
            name = f"{design.family}, {design.scorer.name}"
            entries.append(_entry(name, arrays, keys, negatives, rng))
        reason = "No learned candidate kept the rate on the negatives that judge." * (not found)
    best = min(range(len(filters)), key=lambda i: entries[i].total_bytes)
    if not reason:
        reason = _comparison(entries, best, distinct)
    return filters[best], FilterExplanation(entries[best].name, reason, tuple(entries))


def _why_plain(
    count: int, simple: build.FilterArrays, fpr: float, negatives: Negatives | None, trains: bool
) -> str:
    """Why nothing else is tried; empty if it is."""
    if negatives is None:
        return "Without negatives there is nothing to learn from: binary fuse."
    if simple.nbytes < build.LEARNED_BYTES_MIN:
        return f"{count} keys take {simple.nbytes} bytes: no model is worth its own."
    needed, judges = build.judges_needed(fpr), len(negatives.judging.keys)
    if judges < needed:
        return (
            f"{judges} negatives were held out to judge by, which cannot vouch for a rate of "
            f"{fpr:g} even if none of them passes; {needed} could."
        )
    if not len(negatives.choosing.keys) or (trains and not len(negatives.training.keys)):
        return "The groups of negatives are too few to be split in three."
    return ""


def _comparison(entries: Sequence[FilterCandidate], best: int, distinct: int) -> str:
    simple = entries[0]
    if best == 0:
        rival = min(entries[1:], key=lambda entry: entry.total_bytes)
        return (
            f"Learning does not pay here: {rival.name} would take {rival.total_bytes} bytes, "
            f"binary fuse {simple.total_bytes}."
        )
    saved = 1 - entries[best].total_bytes / simple.total_bytes
    return (
        f"{saved:.1%} fewer bytes than binary fuse, the model's included: "
        f"{8 * entries[best].total_bytes / distinct:.2f} bits a key instead of "
        f"{8 * simple.total_bytes / distinct:.2f}."
    )


def _entry(
    name: str,
    arrays: build.FilterArrays,
    keys: build.Sample,
    negatives: Negatives | None,
    rng: np.random.Generator,
) -> FilterCandidate:
    inside = answers(arrays, keys)
    if not inside.all():  # the law that everything else here may be wrong without breaking
        raise AssertionError(f"{name} misses {int((~inside).sum())} of its own keys")
    if negatives is not None and len(negatives.judging.keys):
        passed = answers(arrays, negatives.judging)
        rate = measured(passed.astype(float), "held-out negatives", negatives.judging.groups)
    else:
        words = rng.integers(0, 1 << 64, RANDOM_HASHES, np.uint64)
        # Only the plain filter is built without negatives, and it sees nothing but hashes.
        passed = answers(arrays, build.Sample(KeyBatch("integer", words), None))
        rate = measured(passed.astype(float), "random hashes")
    return FilterCandidate(
        name, arrays.model_bytes, arrays.filter_bytes, rate, len(arrays.shapes) - 1
    )


def answers(
    arrays: build.FilterArrays, sample: build.Sample, threads: int = 1
) -> NDArray[np.bool_]:
    """Whether each is inside."""
    out = np.empty(len(sample.keys), np.bool_)
    scores = sample.scores(arrays.scorer) if isinstance(arrays.scorer, GivenScorer) else None
    if len(out):
        arrays.core().contains(sample.keys.native, out, threads, scores)
    return out
