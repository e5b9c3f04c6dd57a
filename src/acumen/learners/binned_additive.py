"""Binned additive features: a non-linear learner for hot paths."""

from dataclasses import dataclass

from acumen import _native
from acumen.learners._parameters import check_between, check_linear


@dataclass(frozen=True)
class BinnedAdditive:
    """One curve for each input and arm, a line plus bins that follow the data.

    When to use it: where the reward bends: thresholds, sweet spots, saturation. It costs about
    as much as `SquareCB`. What it cannot see are effects of two inputs together, unless the arms
    have features: then context and arm features act together.

    Args:
        gamma: How sharply worse arms are avoided, per standard deviation of the rewards; larger
            explores less.
        exponent: Growth of gamma with experience, ``gamma * lessons ** exponent``.
        epsilon: Above 0, explore by epsilon-greedy instead.
        prior: Variance of a curve's point before any lesson, in units of the noise's.
        ridge: Prior of the regression, in lessons' worth of "the context does not matter".
        half_life: Lessons after which a lesson counts about half; 0 forgets very slowly.

    Raises:
        ValueError: A parameter is out of range.

    Example:
        >>> import numpy as np
        >>> learner = BinnedAdditive().build(dimension=2, arms=2, features=0)
        >>> for i in range(400):  # arm 1 is good near 0 only: no line can say so
        ...     x = np.array([1.0, i % 41 / 10 - 2], np.float32)
        ...     taken = learner.learn(x, arm=0, propensity=0.5, reward=0.5)
        ...     taken = learner.learn(x, arm=1, propensity=0.5, reward=float(abs(x[1]) < 1))
        >>> [
        ...     int(learner.distribution(np.array([1.0, v], np.float32)).argmax())
        ...     for v in (-1.5, 0.0, 1.5)
        ... ]
        [0, 1, 0]

    References:
        Graepel, Quiñonero Candela, Borchert & Herbrich, "Web-scale Bayesian click-through rate
        prediction for sponsored search advertising", ICML 2010; Foster & Rakhlin, "Beyond UCB",
        ICML 2020.
    """

    gamma: float = 10.0
    exponent: float = 0.5
    epsilon: float = 0.0
    prior: float = 0.3
    ridge: float = 1.0
    half_life: float = 0.0

    def __post_init__(self) -> None:
        check_between("gamma", self.gamma, 1e-6, 1e9)
        check_between("exponent", self.exponent, 0.0, 1.0)
        check_between("epsilon", self.epsilon, 0.0, 1.0)
        check_between("prior", self.prior, 1e-3, 1e6)
        check_linear(self.ridge, self.half_life)

    def build(self, dimension: int, arms: int, features: int) -> _native.Learner:
        """Build the native learner for contexts of ``dimension`` values, the bias included."""
        return _native.binned_additive(
            dimension,
            arms,
            features,
            ridge=self.ridge,
            half_life=self.half_life,
            gamma=self.gamma,
            exponent=self.exponent,
            epsilon=self.epsilon,
            prior=self.prior,
        )
