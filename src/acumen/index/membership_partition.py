"""How a learned filter divides its keys: the partitions, and the rate of each.

Scores are first cut into a few hundred segments. A partition of them into regions with false-positive
rates f_i costs Σ g_i log₂(1/f_i) bits a key and lets Σ h_i f_i absent keys pass, g_i and h_i being
the shares of keys and of negatives in region i. Where no f_i would exceed 1, f_i ∝ g_i / h_i is best,
and the best regions are those whose Kullback-Leibler divergence is greatest. Only the region of the
highest scores may have f = 1. So one table of the best divergence of the first j segments in q
regions, filled once, serves every beginning of that last region, and what comes out is the best of
all: O(N² k) for N segments, exact where g/h rises with the score.

References:
    Vaidya, Knorr, Mitzenmacher & Kraska, "Partitioned learned Bloom filters", ICLR 2021;
    Sato & Matsui, "Fast partitioned learned Bloom filter", NeurIPS 2023;
    Mitzenmacher, "A model for learned Bloom filters and optimizing by sandwiching", NeurIPS 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Division:
    """Regions of consecutive segments, and the rate of false positives in each.

    Attributes:
        edges: the segments at which the second, third, … region begin, rising.
        rates: one more; 1: every key passes, 0: none does.
        front: the rate of a filter that all keys are in, before the regions; 1: there is none.
        bits: what all keys together cost in bits a key, were filters without overhead.
    """

    edges: tuple[int, ...]
    rates: tuple[float, ...]
    front: float
    bits: float


def best_rates(inside: Floats, outside: Floats, fpr: float) -> Floats:
    """Rates f ≤ 1 that minimise Σ inside · log(1/f) where Σ outside · f ≤ fpr.

    They are min(1, c · inside / outside), with c by filling up, the cheapest regions first.
    """
    rates = np.where(inside > 0, 1.0, 0.0)
    costly = (inside > 0) & (outside > 0)
    g, h = inside[costly], outside[costly]
    if h.sum() <= fpr:
        return rates
    order = np.argsort(h / g)  # c at which each reaches 1
    g, h = g[order], h[order]
    full = np.concatenate([[0.0], np.cumsum(h)[:-1]])
    rest = np.cumsum(g[::-1])[::-1]
    c = (fpr - full) / rest  # were exactly the first i regions full
    first = int(np.argmax(c <= h / g))
    values = np.minimum(1.0, c[first] * g / h)
    values[:first] = 1.0
    back = np.empty_like(values)
    back[order] = values
    rates[costly] = back
    return rates


def partitions(inside: Floats, outside: Floats, fpr: float, regions_max: int) -> list[Division]:
    """The best division into each number of regions, from 2 to `regions_max`.

    Args:
        inside: of each segment, by rising score, the share of the keys. Sums to 1.
        outside: of each, the share of the negatives, positive. Sums to 1.
        fpr: the rate of false positives over all.
        regions_max: at least 2.
    """
    n = len(inside)
    g, h = (np.concatenate([[0.0], np.cumsum(values)]) for values in (inside, outside))
    gains = _divergences(g, h)
    reach = np.full(n + 1, -np.inf)
    reach[0] = 0.0
    choices: list[NDArray[np.intp]] = []
    found: dict[int, Division] = {}
    for regions in range(1, min(regions_max, n) + 1):
        # Before this round, `reach` is of regions - 1 regions; the last one begins at every j.
        for last in range(regions - 1, n):
            if not np.isfinite(reach[last]):
                continue
            cuts = _traced(choices, last)
            bounds = np.array([*cuts, n])
            division = _with_rates(np.diff(g[bounds]), np.diff(h[bounds]), fpr, cuts[1:])
            if len(cuts) not in found or division.bits < found[len(cuts)].bits:
                found[len(cuts)] = division
        best = reach[:, None] + gains
        choices.append(np.argmax(best, axis=0))
        reach = np.max(best, axis=0)
    return [found[count] for count in sorted(found) if count > 1]


def _divergences(g: Floats, h: Floats) -> Floats:
    """[i, j] → what a region of segments i … j - 1 adds; -∞ where j ≤ i."""
    keys = g[None, :] - g[:, None]
    others = h[None, :] - h[:, None]
    valid = np.triu(np.ones_like(keys, dtype=bool), 1)
    gains = np.where(valid, 0.0, -np.inf)
    some = valid & (keys > 0) & (others > 0)
    gains[some] = keys[some] * np.log2(keys[some] / others[some])
    return gains


def _traced(choices: list[NDArray[np.intp]], last: int) -> tuple[int, ...]:
    """Where the regions begin, given where the last one does."""
    cuts = [last]
    for choice in reversed(choices):
        cuts.append(int(choice[cuts[-1]]))
    return tuple(reversed(cuts))


def _with_rates(inside: Floats, outside: Floats, fpr: float, edges: tuple[int, ...]) -> Division:
    rates = best_rates(inside, outside, fpr)
    some = inside > 0
    bits = float(-(inside[some] * np.log2(rates[some])).sum())
    return Division(edges, tuple(rates.tolist()), 1.0, bits)


def sandwiches(inside: Floats, outside: Floats, fpr: float) -> Iterator[Division]:
    """The best rates of front and back filter for every threshold.

    With FN the share of keys below and FP that of negatives above it, the back filter's best rate is
    FP · FN / ((1 - FP) (1 - FN)), whatever the front does.
    """
    for edge in range(1, len(inside)):
        missed, passed = float(inside[:edge].sum()), float(outside[edge:].sum())
        if missed <= 0 or missed >= 1 or passed >= 1:
            continue
        back = min(1.0, passed * missed / ((1 - passed) * (1 - missed)))
        front = fpr / (passed + (1 - passed) * back) if passed + back > 0 else 1.0
        if front >= 1.0:
            front, back = 1.0, (fpr - passed) / (1 - passed)
        if back >= 1.0 or back <= 0.0:
            continue  # a filter in front, or none at all
        bits = -float(np.log2(front)) - missed * float(np.log2(back))
        yield Division((edge,), (back, 1.0), front, bits)
