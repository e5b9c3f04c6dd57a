"""Decisions with a coin, added up as they come: what `compare` says of rows, in bounded memory.

Learned minus default by self-normalised importance weights needs of every decision its weights and
its weighted rewards, and of these their sums. Each decision is kept by itself, as a row of sums of
one; where there are more than `GROUPS_MAX`, neighbours are added up, two and two, and from then on
every row is the sum of twice as many decisions. The estimate stays what it is to the last decision;
its spread is then that of the grouped jackknife, which leaves a whole row out instead of one
decision: no narrower on average, and right for neighbours that hang together, too. What is told of
the weights' sizes is summed decision by decision.

References:
    Quenouille, "Notes on bias in estimation", Biometrika 1956. Efron, "The Jackknife, the
    Bootstrap and Other Resampling Plans", SIAM 1982.
"""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from acumen.evaluation.off_policy import DecisionLog, Difference, Limits
from acumen.evaluation.off_policy.compare import difference_of
from acumen.evaluation.off_policy.estimate import Judge, missing_z
from acumen.evaluation.off_policy.snips import self_normalised
from acumen.evaluation.off_policy.weights import WeightSums

Floats = NDArray[np.float64]

GROUPS_MAX = 1 << 16
# Columns: decisions, those without a reward; then of each policy the weights of all, those of the
# answered, and the latter times rewards.
_ROWS, _MISSING, _POLICIES = 0, 1, (2, 5)
_COLUMNS = 8


class Pooled:
    """Learned against default.

    Args:
        groups_max: rows that are kept; even.

    Attributes:
        rows: decisions with a reward.
        group: decisions that each row is of.
        duplicates: rows left out because their id had been met.
        excluded: rows left out because no coin decided there.
    """

    def __init__(self, groups_max: int = GROUPS_MAX) -> None:
        self.rows = self.duplicates = self.excluded = 0
        self.group = 1
        self._sums = np.zeros((groups_max, _COLUMNS))
        self._count = self._decisions = 0
        self._every = [WeightSums(), WeightSums()]
        self._answered = [WeightSums(), WeightSums()]

    def add(self, log: DecisionLog, learned: Floats) -> None:
        """Adds decisions.

        Args:
            log: which tells what the default would have taken.
            learned: float64[n], the learned policy's probability of the arm that was taken.
        """
        assert log.default is not None
        known = ~np.isnan(log.reward)
        columns = [np.ones(len(log)), (~known).astype(np.float64)]
        for i, taken in enumerate((learned, (log.arm == log.default).astype(np.float64))):
            weight = taken / log.propensity
            answered = np.where(known, weight, 0.0)
            columns += [weight, answered, answered * np.where(known, log.reward, 0.0)]
            self._every[i] += WeightSums.of(taken, log.propensity)
            self._answered[i] += WeightSums.of(taken[known], log.propensity[known])
        self.rows += int(known.sum())
        self.duplicates += log.duplicates
        self.excluded += sum(log.excluded.values())
        self._append(np.column_stack(columns))

    def plus(self, log: DecisionLog, learned: Floats) -> Pooled:
        """The same with more decisions; this one stays what it is."""
        other = copy(self)
        other._sums = self._sums.copy()
        other._every, other._answered = [*self._every], [*self._answered]
        other.add(log, learned)
        return other

    def __len__(self) -> int:
        """Decisions, those without a reward included."""
        return self._decisions

    def compare(self, confidence: float, limits: Limits | None = None) -> Difference:
        """Learned minus default, as `off_policy.compare` has it of rows; at least one decision.

        Args:
            confidence: of the interval, in (0, 1).
            limits: what is refused.
        """
        sums, name = self._sums[: self._count], "snips"
        decisions, missing = sums[:, _ROWS], sums[:, _MISSING]
        judges, answers, scores, refused = [], [], [], False
        for i, at in enumerate(_POLICIES):
            every, answered, earned = sums[:, at], sums[:, at + 1], sums[:, at + 2]
            judge = Judge(
                every=self._every[i].weights(every / decisions),
                missing=int(missing.sum()),
                missing_z=missing_z(every, every - answered, missing, decisions),
                duplicates=self.duplicates,
                excluded=self.excluded,
                confidence=confidence,
                limits=limits or Limits(),
            )
            judges.append(judge)
            if not self.rows:
                answers.append(judge.told(name, 0, None, None, "not enough data: no rewards"))
                continue
            weights = self._answered[i].weights(answered)
            refusal = judge.refusal(weights)
            refused |= bool(refusal)
            known = missing < decisions  # what nothing is known of is no record
            scores.append(self_normalised(answered[known], earned[known]))
            scored = None if refusal else scores[-1]
            answers.append(judge.told(name, self.rows, weights, scored, refusal))
        told = None if refused or not self.rows else scores
        return difference_of(name, answers, told, judges[0])

    def _append(self, rows: Floats) -> None:
        while len(rows):
            lacks = -self._decisions % self.group
            if lacks:
                taken = rows[:lacks]
                self._sums[self._count - 1] += taken.sum(0)
            elif self._count == len(self._sums):
                half = self._count // 2
                self._sums[:half] = self._sums[0::2] + self._sums[1::2]
                self._count, self.group = half, 2 * self.group
                continue
            else:
                taken = rows[: (len(self._sums) - self._count) * self.group]
                added = np.add.reduceat(taken, np.arange(0, len(taken), self.group))
                self._sums[self._count : self._count + len(added)] = added
                self._count += len(added)
            self._decisions += len(taken)
            rows = rows[len(taken) :]
