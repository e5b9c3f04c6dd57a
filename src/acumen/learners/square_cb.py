"""SquareCB: inverse gap weighting over ridge regression."""

from dataclasses import dataclass

from acumen import _native
from acumen.learners._parameters import check_between, check_linear


@dataclass(frozen=True)
class SquareCB:
    """Explore in inverse proportion to how much worse an arm looks.

    When to use it: on the hottest paths, for it needs no uncertainty and is the cheapest to ask;
    and where the model may be wrong, since its guarantee asks only for a good regression.

    Args:
        gamma: How sharply worse arms are avoided, per standard deviation of the rewards; larger
            explores less.
        exponent: Growth of gamma with experience, ``gamma * lessons ** exponent``.
        ridge: Prior of the regression, in lessons' worth of "the context does not matter".
        half_life: Lessons after which a lesson counts half; 0 never forgets.

    Raises:
        ValueError: A parameter is out of range.

    Example:
        >>> import numpy as np
        >>> learner = SquareCB().build(dimension=1, arms=2, features=0)
        >>> bias = np.ones(1, np.float32)
        >>> for _ in range(100):
        ...     taken = learner.learn(bias, arm=0, propensity=0.5, reward=1.0)
        ...     taken = learner.learn(bias, arm=1, propensity=0.5, reward=3.0)
        >>> bool(learner.distribution(bias)[1] > 0.95)
        True

    References:
        Foster & Rakhlin, "Beyond UCB: optimal and efficient contextual bandits with regression
        oracles", ICML 2020; Abe & Long, "Associative reinforcement learning using linear
        probabilistic concepts", ICML 1999.
    """

    gamma: float = 10.0
    exponent: float = 0.5
    ridge: float = 1.0
    half_life: float = 0.0

    def __post_init__(self) -> None:
        check_between("gamma", self.gamma, 1e-6, 1e9)
        check_between("exponent", self.exponent, 0.0, 1.0)
        check_linear(self.ridge, self.half_life)

    def build(self, dimension: int, arms: int, features: int) -> _native.Learner:
        """Build the native learner for contexts of ``dimension`` values, the bias included."""
        return _native.square_cb(
            dimension,
            arms,
            features,
            ridge=self.ridge,
            half_life=self.half_life,
            gamma=self.gamma,
            exponent=self.exponent,
        )
