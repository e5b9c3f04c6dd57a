"""Softmax policy gradient (REINFORCE with a baseline)."""

from dataclasses import dataclass

from acumen import _native
from acumen.learners._parameters import check_between, check_half_life


@dataclass(frozen=True)
class SoftmaxGradient:
    """Learn the probabilities of the arms directly, by gradient steps on the reward.

    When to use it: where which arm is better is simpler than what reward it brings, and where
    smooth, slowly moving probabilities are wanted. It learns more slowly than the learners that
    model the reward, and follows drift by itself.

    Args:
        rate: Step size; advantages are measured in standard deviations of the noise.
        exploration: Share of uniformly drawn arms, so that every propensity is positive.
        half_life: Lessons after which a lesson counts half; 0 never forgets.

    Raises:
        ValueError: A parameter is out of range.

    Example:
        >>> import numpy as np
        >>> learner = SoftmaxGradient().build(dimension=1, arms=2, features=0)
        >>> bias = np.ones(1, np.float32)
        >>> for _ in range(100):
        ...     taken = learner.learn(bias, arm=0, propensity=0.5, reward=1.0)
        ...     taken = learner.learn(bias, arm=1, propensity=0.5, reward=3.0)
        >>> bool(learner.distribution(bias)[1] > 0.9)
        True

    References:
        Williams, "Simple statistical gradient-following algorithms for connectionist
        reinforcement learning", Machine Learning 1992.
    """

    rate: float = 1.0
    exploration: float = 0.02
    half_life: float = 0.0

    def __post_init__(self) -> None:
        check_between("rate", self.rate, 1e-6, 100.0)
        check_between("exploration", self.exploration, 0.0, 1.0)
        check_half_life(self.half_life)

    def build(self, dimension: int, arms: int, features: int) -> _native.Learner:
        """Build the native learner for contexts of ``dimension`` values, the bias included."""
        return _native.softmax_gradient(
            dimension,
            arms,
            features,
            rate=self.rate,
            exploration=self.exploration,
            half_life=self.half_life,
        )
