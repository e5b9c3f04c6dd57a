"""How a learned filter divides its keys: the partitions, and the rate of each.

Scores are first cut into some hundred segments. A partition of them into regions with rates of
false positives f_i costs Σ g_i log₂(1/f_i) bits a key and lets Σ h_i f_i absent keys pass, g_i and
h_i being the shares of keys and of negatives in region i. Where no f_i would exceed 1,
f_i ∝ g_i / h_i is best, and the best regions are those whose Kullback-Leibler divergence is
greatest. Only in the region of the highest scores need f = 1 be. So one table of the best
divergence of the first j segments in q regions, filled once, serves every beginning of that last
region and every rate, and what comes out is the best of all: O(N² k) for N segments, exact where
g/h rises with the score.

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


class Segments:
    """Segments of the scores' range, and the best ways to make regions of them.

    Args:
        inside: of each segment, by rising score, the share of the keys. Sums to 1.
        outside: of each, the share of the negatives, positive. Sums to 1.
        regions_max: at least 2.
    """

    def __init__(self, inside: Floats, outside: Floats, regions_max: int) -> None:
        self._g = np.concatenate([[0.0], np.cumsum(inside)])
        self._h = np.concatenate([[0.0], np.cumsum(outside)])
        n = len(inside)
        gains = _divergences(self._g, self._h)
        reach = np.full(n + 1, -np.inf)
        reach[0] = 0.0
        # By number of regions and of segments in them: the best divergence, where the last begins.
        self._reaches, self._choices = [reach], list[NDArray[np.intp]]()
        for _ in range(min(regions_max, n)):
            best = self._reaches[-1][:, None] + gains
            self._choices.append(np.argmax(best, axis=0))
            self._reaches.append(np.max(best, axis=0))

    def partitions(self, fpr: float) -> Iterator[Division]:
        """The best division into each number of regions, from 2 up."""
        for regions in range(2, len(self._reaches)):
            division = self._best(fpr, regions)
            if division:
                yield division

    def _best(self, fpr: float, regions: int) -> Division | None:
        """The best one of this many regions.

        For each beginning of the last region, the others are those of the greatest divergence. Were
        rates allowed to exceed 1 (in all regions, or in all but the last where that has to be
        limited), the divergence alone would say what this costs: a bound, in whose order they are
        tried, until it says that no better one follows.
        """
        n = len(self._g) - 1
        g, h = 1.0 - self._g[:n], 1.0 - self._h[:n]  # of the last region
        with np.errstate(divide="ignore", invalid="ignore"):
            bound = -self._reaches[regions - 1][:n] - g * np.log2(g / h) - np.log2(fpr)
            limited = -self._reaches[regions - 1][:n] - (1 - g) * np.log2((fpr - h) / (1 - g))
        bound = np.where((fpr * g > h) & np.isfinite(limited), limited, bound)
        best: Division | None = None
        for last in np.argsort(bound):
            if not np.isfinite(bound[last]) or (best and bound[last] >= best.bits):
                break
            bounds = np.array([*self._traced(regions - 1, int(last)), n])
            shares = np.diff(self._g[bounds]), np.diff(self._h[bounds])
            division = _with_rates(*shares, fpr, tuple(bounds[1:-1].tolist()))
            if best is None or division.bits < best.bits:
                best = division
        return best

    def _traced(self, regions: int, end: int) -> list[int]:
        """Where the best regions of the first `end` segments begin, and where they end."""
        cuts = [end]
        for choice in reversed(self._choices[:regions]):
            cuts.append(int(choice[cuts[-1]]))
        return cuts[::-1]


def _divergences(g: Floats, h: Floats) -> Floats:
    """[i, j] → what a region of segments i … j - 1 adds; -∞ where j ≤ i."""
    keys = g[None, :] - g[:, None]
    others = h[None, :] - h[:, None]
    valid = np.triu(np.ones_like(keys, dtype=bool), 1)
    gains = np.where(valid, 0.0, -np.inf)
    some = valid & (keys > 0) & (others > 0)
    gains[some] = keys[some] * np.log2(keys[some] / others[some])
    return gains


def _with_rates(inside: Floats, outside: Floats, fpr: float, edges: tuple[int, ...]) -> Division:
    rates = best_rates(inside, outside, fpr)
    some = inside > 0
    bits = float(-(inside[some] * np.log2(rates[some])).sum())
    return Division(edges, tuple(rates.tolist()), 1.0, bits)


def sandwiches(inside: Floats, outside: Floats, fpr: float) -> Iterator[Division]:
    """The best rates of front and back filter for every threshold.

    With FN the share of keys below and FP that of negatives above it, the back filter's best rate
    is FP · FN / ((1 - FP) (1 - FN)), whatever the front does.
    """
    below, above = np.cumsum(inside), 1.0 - np.cumsum(outside)
    for edge in range(1, len(inside)):
        missed, passed = float(below[edge - 1]), max(float(above[edge - 1]), 0.0)
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
