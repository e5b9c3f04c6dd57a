"""What every estimator is given, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from acumen.core.learner import LearnerSpec
from acumen.evaluation.off_policy.log import DecisionLog
from acumen.evaluation.off_policy.policies import PolicyError, Target
from acumen.evaluation.off_policy.reward_model import expected_rewards
from acumen.evaluation.off_policy.weights import Weights, weigh

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Modelling:
    """How rewards are modelled; see `expected_rewards`."""

    learner: LearnerSpec | None = None
    folds: int | None = None
    seed: int = 0


class Case:
    """A policy, and a log in which every row has a reward; what is costly is computed once.

    Args:
        log: the log; at least one row.
        target: the policy in these rows.
        modelling: how rewards are modelled.
        predictions: what another case of the same log has modelled already.
    """

    def __init__(
        self,
        log: DecisionLog,
        target: Target,
        modelling: Modelling | None = None,
        predictions: Floats | None = None,
    ) -> None:
        self.log = log
        self.target = target
        self.modelling = modelling or Modelling()
        if predictions is not None:
            self.__dict__["predictions"] = predictions

    @cached_property
    def weights(self) -> Weights:
        """Importance weights and what they say."""
        return weigh(self.log, self.target)

    @cached_property
    def predictions(self) -> Floats:
        """float64[n, arms], expected rewards, each without its own.

        A row's error enters the variance of a doubly robust estimate with the square of its weight.
        """
        how, weight = self.modelling, self.weights.values**2
        return expected_rewards(
            self.log, how.learner, folds=how.folds, seed=how.seed, weight=weight
        )

    @property
    def matrix(self) -> Floats:
        """float64[n, arms], the policy's probabilities.

        Raises:
            PolicyError: only those of the arms that were taken are known.
        """
        if self.target.matrix is None:
            raise PolicyError(
                "this estimator needs the policy's probabilities of all arms, not only of those "
                "that were taken"
            )
        return self.target.matrix

    @cached_property
    def modelled(self) -> Floats:
        """float64[n], the reward that the model expects of the policy in each row."""
        return np.asarray((self.matrix * self.predictions).sum(1))

    @cached_property
    def residuals(self) -> Floats:
        """float64[n], rewards minus what the model expected of the arms that were taken."""
        return self.log.reward - self.predictions[np.arange(len(self.log)), self.log.arm]


@dataclass(frozen=True)
class Scores:
    """An estimate as a sum over records.

    Attributes:
        value: the estimate.
        influence: float64[n], by how much each record moves n times the estimate; about 0 on
            average. Its spread is the estimate's.
        bias_max: how far the estimate may be off beside all chance.
        unbiased: whether an interval of this spread means anything.
    """

    value: float
    influence: Floats
    bias_max: float = 0.0
    unbiased: bool = True


class Estimator(Protocol):
    """Estimates the mean reward of a policy from a log of another."""

    @property
    def name(self) -> str:
        """Short, as in a table."""
        ...

    def scores(self, case: Case) -> Scores:
        """The estimate.

        Raises:
            PolicyError: the policy does not tell enough.
            LogError: no reward model can be taught from the log.
        """
        ...


def mean_scores(contributions: Floats) -> Scores:
    """The scores of a plain mean."""
    value = float(contributions.mean())
    return Scores(value, contributions - value)
