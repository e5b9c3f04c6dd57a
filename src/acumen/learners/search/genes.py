"""Genes: settings as rows of numbers, drawn and changed many at a time.

Three kinds of columns stand for every kind of parameter:

- ``code``: 0, 1, … k - 1, a value without order; a flag, and each item of a subset, has k = 2;
- ``place``: in [0, 1], a number's place in its range; whole numbers stand on a grid;
- ``rank``: in [0, 1], an item's place in a permutation.

Searches make hundreds of candidates a suggestion, so everything here works on whole matrices.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acumen.learners.search.parameters import (
    Categorical,
    Integer,
    Parameter,
    Permutation,
    Real,
    Subset,
)

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
PAIRS_OF_MAX = 20  # items; more pairs would take too long to look at
STEPS = np.array([0.005, 0.03, 0.1, 0.3])  # of a number's range


class Genes:
    """How the genes of a list of parameters are laid out.

    Attributes:
        count: columns of genes.
        width: columns of `encode`.
        columns: for each parameter the slice of its genes.
        encoded: for each column of genes the slice of its columns in `encode`.
        cardinality: int[count], values of a code; 0 where the column is no code.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.columns: list[slice] = []
        cardinality: list[int] = []
        numeric: list[Integer | Real | None] = []
        self.permutations: list[slice] = []
        for parameter in parameters:
            start = len(cardinality)
            if isinstance(parameter, Categorical):
                cardinality.append(len(parameter.values))
                numeric.append(None)
            elif isinstance(parameter, Subset):
                cardinality += [2] * len(parameter.items)
                numeric += [None] * len(parameter.items)
            elif isinstance(parameter, Permutation):
                cardinality += [0] * len(parameter.items)
                numeric += [None] * len(parameter.items)
                self.permutations.append(slice(start, len(cardinality)))
            else:
                cardinality.append(0)
                numeric.append(parameter)
            self.columns.append(slice(start, len(cardinality)))
        self.count = len(cardinality)
        self.cardinality = np.array(cardinality, np.int64)
        self._codes = np.flatnonzero(self.cardinality)
        self._places = np.array([i for i, p in enumerate(numeric) if p is not None], np.int64)
        self._all = np.arange(len(self._places))
        self._place_of = np.full(self.count, -1, np.int64)
        self._place_of[self._places] = self._all
        numbers = [p for p in numeric if p is not None]
        self._lay_out_numbers(numbers)
        self._lay_out_encoding()

    def _lay_out_numbers(self, numbers: list[Integer | Real]) -> None:
        logs = np.array([p.log for p in numbers], bool)
        whole = np.array([isinstance(p, Integer) for p in numbers], bool)
        low = np.array([p.low for p in numbers], np.float64)
        high = np.array([p.high for p in numbers], np.float64)
        self._log, self._whole, self._low, self._high = logs, whole, low, high
        with np.errstate(all="ignore"):
            self._from = np.where(logs, np.log(np.where(logs, low, 1.0)), low)
            self._to = np.where(logs, np.log(np.where(logs, high, 1.0)), high)
            # Whole numbers at both ends are as likely as those between.
            half = np.where(whole, 0.5, 0.0)
            start = np.where(logs, np.log(np.where(logs, low - half * (low > 1), 1.0)), low - half)
            end = np.where(logs, np.log(np.where(logs, high + half, 1.0)), high + half)
        self._span = self._to - self._from
        self._draw_low = (start - self._from) / self._span
        self._draw_high = (end - self._from) / self._span
        self._grid = bool(whole.any())

    def _lay_out_encoding(self) -> None:
        rivals = self._rivals()
        self.encoded: list[slice] = []
        width = 0
        for gene, k in enumerate(self.cardinality):
            columns = (int(k) if k > 2 else 1) + len(rivals.get(gene, ()))
            self.encoded.append(slice(width, width + columns))
            width += columns
        self.width = width
        self._many = np.flatnonzero(self.cardinality > 2)
        self._plain = np.flatnonzero(self.cardinality <= 2)
        starts = np.array([s.start for s in self.encoded], np.int64)
        self._many_start, self._plain_start = starts[self._many], starts[self._plain]
        pairs = [
            (gene, other, starts[gene] + 1 + number)
            for gene, others in rivals.items()
            for number, other in enumerate(others)
        ]
        self._one, self._other, self._pair = np.array(pairs, np.int64).reshape(-1, 3).T

    def _rivals(self) -> dict[int, list[int]]:
        """For each item of a permutation those that it is compared with: each pair once.

        An item with the next ones, in a circle, so that all have as many columns.
        """
        found: dict[int, list[int]] = {}
        for block in self.permutations:
            n = block.stop - block.start
            for i in range(n if n <= PAIRS_OF_MAX else 0):
                reach = (n - 1) // 2 + (n % 2 == 0 and i < n // 2)
                found[block.start + i] = [block.start + (i + j + 1) % n for j in range(reach)]
        return found

    def draw(self, rows: int, rng: np.random.Generator) -> Matrix:
        """Uniformly drawn genes, float64[rows, count]."""
        return self.spread(rng.random((rows, self.count)))

    def spread(self, uniform: Matrix) -> Matrix:
        """Numbers in [0, 1), float64[rows, count], made into genes: every value equally wide."""
        genes = uniform.copy()
        top = self.cardinality[self._codes]
        genes[:, self._codes] = np.minimum(np.floor(uniform[:, self._codes] * top), top - 1)
        if len(self._places):
            span = self._draw_high - self._draw_low
            drawn = self._draw_low + uniform[:, self._places] * span
            genes[:, self._places] = self._snapped(drawn, self._all)
        for block in self.permutations:
            genes[:, block] = ranks(uniform[:, block])
        return genes

    def mutate(
        self, genes: Matrix, rows: Indices, columns: Indices, rng: np.random.Generator
    ) -> Matrix:
        """Changes some genes: codes to another one, numbers by a step, items by their places.

        Two items are exchanged, or one is moved and those between make room.

        Args:
            genes: float64[n, count]; not changed.
            rows: int64[changes].
            columns: int64[changes]; a pair that appears twice is changed once.
            rng: source of chance.
        """
        changed = genes.copy()
        cardinality = self.cardinality[columns]
        code = cardinality > 0
        if code.any():
            at, k = (rows[code], columns[code]), cardinality[code]
            step = 1.0 + np.floor(rng.random(len(k)) * np.maximum(k - 1, 0))
            changed[at] = (genes[at] + step) % k
        if not code.all():
            at = rows[~code], columns[~code]
            which = self._place_of[at[1]]
            number = which >= 0
            at_number = at[0][number], at[1][number]
            changed[at_number] = self._stepped(genes[at_number], which[number], rng)
            for row, column in zip(at[0][~number], at[1][~number], strict=True):
                block = next(b for b in self.permutations if b.start <= column < b.stop)
                other = int(rng.integers(block.start, block.stop))
                if rng.random() < 0.5:
                    changed[row, [column, other]] = changed[row, [other, column]]
                else:
                    item, to = column - block.start, other - block.start
                    changed[row, block] = moved(changed[row, block], item, to)
        return changed

    def _stepped(self, before: Vector, which: Indices, rng: np.random.Generator) -> Vector:
        step = STEPS[rng.integers(len(STEPS), size=len(which))]
        step *= rng.standard_normal(len(which))
        after: Vector = 1.0 - np.abs(1.0 - np.abs(before + step))  # reflected
        after = np.minimum(np.maximum(after, 0.0), 1.0)
        if not self._grid:
            return after
        # A step that was too small for the grid goes to the next number.
        was, becomes = self._numbers(np.stack([before, after]), which)
        sign = np.where(before <= 0.0, 1.0, np.where(before >= 1.0, -1.0, np.sign(step)))
        becomes = np.where(becomes == was, was + sign, becomes)
        found: Vector = np.where(self._whole[which], self._units(becomes, which), after)
        return found

    def _numbers(self, units: Matrix, which: Indices) -> Matrix:
        """What stands at places of the parameters `which`, whose axis is the last."""
        values = self._from[which] + units * self._span[which]
        if self._log.any():
            log = self._log[which]
            values = np.where(log, np.exp(np.where(log, values, 0.0)), values)
        found: Matrix = np.where(self._whole[which], np.rint(values), values)
        return np.minimum(np.maximum(found, self._low[which]), self._high[which])

    def _units(self, values: Matrix, which: Indices) -> Matrix:
        values = np.minimum(np.maximum(values, self._low[which]), self._high[which])
        if self._log.any():
            log = self._log[which]
            values = np.where(log, np.log(np.where(log, values, 1.0)), values)
        found: Matrix = (values - self._from[which]) / self._span[which]
        return found

    def _snapped(self, units: Matrix, which: Indices) -> Matrix:
        units = np.minimum(np.maximum(units, 0.0), 1.0)
        if not self._grid:
            return units
        return np.where(self._whole[which], self._units(self._numbers(units, which), which), units)

    def snap(self, genes: Matrix) -> Matrix:
        """Any numbers made into genes: codes and grids rounded to, permutations ranked."""
        clean = genes.copy()
        top = np.maximum(self.cardinality[self._codes] - 1, 0)
        clean[:, self._codes] = np.clip(np.rint(genes[:, self._codes]), 0, top)
        if len(self._places):
            clean[:, self._places] = self._snapped(genes[:, self._places], self._all)
        for block in self.permutations:
            clean[:, block] = ranks(genes[:, block])
        return clean

    def encode(self, genes: Matrix) -> Matrix:
        """Features for models, float64[rows, width] in [0, 1].

        Codes of more than two values are one-hot. Of a permutation there are the items' places
        and, of few items, of each pair which one comes first: distances between orders then count
        pairs that are the other way round (Kendall's) beside steps (Spearman's).
        """
        features = np.zeros((len(genes), self.width))
        features[:, self._plain_start] = genes[:, self._plain]
        if len(self._pair):
            features[:, self._pair] = genes[:, self._one] < genes[:, self._other]
        if len(self._many):
            columns = self._many_start + genes[:, self._many].astype(np.int64)
            features[np.arange(len(genes))[:, None], columns] = 1.0
        return features

    def neighbours(self, row: Matrix) -> Matrix:
        """All rows one code, one number (half a step, a step) or one exchange away.

        Args:
            row: float64[count].

        Returns:
            float64[n, count], without the row itself.
        """
        found = []
        for column in self._codes:
            for code in range(self.cardinality[column]):
                if code != row[column]:
                    found.append(_with(row, column, float(code)))
        for column in self._places:
            for step in (-0.5, -0.15, -0.03, 0.03, 0.15, 0.5):
                if 0.0 <= row[column] + step <= 1.0:
                    found.append(_with(row, column, row[column] + step))
        for block in self.permutations:
            order = np.argsort(row[block]) + block.start
            for one, two in itertools.pairwise(order):
                new = row.copy()
                new[one], new[two] = row[two], row[one]
                found.append(new)
        if not found:
            return np.empty((0, self.count))
        return self.snap(np.array(found))


def moved(places: Vector, item: int, to: int) -> Vector:
    """Places after one item has taken another's; those between make room."""
    last = max(1, len(places) - 1)
    before = np.rint(places * last)
    start, end = before[item], before[to]
    after = before - ((before > start) & (before <= end)) + ((before >= end) & (before < start))
    after[item] = end
    found: Vector = after / last
    return found


def ranks(values: Matrix) -> Matrix:
    """Each row's ranks, divided by the largest: float64[rows, items] in [0, 1]."""
    order = np.argsort(np.argsort(values, axis=1, kind="stable"), axis=1, kind="stable")
    found: Matrix = order / max(1, values.shape[1] - 1)
    return found


def _with(row: Matrix, column: Any, value: float) -> Matrix:
    new = row.copy()
    new[column] = value
    return new
