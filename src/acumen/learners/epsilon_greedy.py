"""Epsilon-greedy over ridge regression."""

from dataclasses import dataclass

from acumen import _native
from acumen.learners._parameters import check_between, check_linear


@dataclass(frozen=True)
class EpsilonGreedy:
    """Take the arm with the largest expected reward, and any arm now and then.

    When to use it: as the plain baseline, and where a known, constant share of random choices is
    wanted, for instance to evaluate other policies on the journal later. The other learners
    explore less where they are already sure.

    Args:
        epsilon: Probability of a uniformly drawn arm, 0 … 1.
        decay: Exponent with which epsilon falls, ``epsilon * (1 + lessons / arms) ** -decay``;
            0 keeps it constant, 1/3 is epoch-greedy's.
        ridge: Prior of the regression, in lessons' worth of "the context does not matter".
        half_life: Lessons after which a lesson counts half; 0 never forgets.

    Raises:
        ValueError: A parameter is out of range.

    Example:
        >>> import numpy as np
        >>> learner = EpsilonGreedy(epsilon=0.2).build(dimension=1, arms=2, features=0)
        >>> bias = np.ones(1, np.float32)
        >>> for _ in range(10):
        ...     taken = learner.learn(bias, arm=0, propensity=0.5, reward=1.0)
        ...     taken = learner.learn(bias, arm=1, propensity=0.5, reward=3.0)
        >>> [f"{p:.2f}" for p in learner.distribution(bias)]
        ['0.10', '0.90']

    References:
        Sutton & Barto, "Reinforcement Learning", 2nd edition, 2018, chapter 2; Langford & Zhang,
        "The epoch-greedy algorithm for contextual multi-armed bandits", NIPS 2007.
    """

    epsilon: float = 0.1
    decay: float = 0.0
    ridge: float = 1.0
    half_life: float = 0.0

    def __post_init__(self) -> None:
        check_between("epsilon", self.epsilon, 0.0, 1.0)
        check_between("decay", self.decay, 0.0, 2.0)
        check_linear(self.ridge, self.half_life)

    def build(self, dimension: int, arms: int, features: int) -> _native.Learner:
        """Build the native learner for contexts of ``dimension`` values, the bias included."""
        return _native.epsilon_greedy(
            dimension,
            arms,
            features,
            ridge=self.ridge,
            half_life=self.half_life,
            epsilon=self.epsilon,
            decay=self.decay,
        )
