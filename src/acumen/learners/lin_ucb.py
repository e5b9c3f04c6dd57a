"""LinUCB: optimism over ridge regression."""

from dataclasses import dataclass

from acumen import _native
from acumen.learners._parameters import check_between, check_linear


@dataclass(frozen=True)
class LinUCB:
    """Take the arm that could be best: expected reward plus ``alpha`` standard deviations.

    When to use it: where rewards are about linear in the context and randomness is unwelcome; the
    same context gives the same arm until something is learned. With feedback that comes late it
    repeats one arm until the first lesson arrives; `LinearThompson` spreads then.

    Args:
        alpha: Optimism, in standard deviations of the expected reward; 0 is greedy.
        exploration: Share of uniformly drawn arms, so that every propensity is positive; 0 is the
            paper's rule, whose choices cannot be evaluated for other policies afterwards.
        ridge: Prior of the regression, in lessons' worth of "the context does not matter".
        half_life: Lessons after which a lesson counts half; 0 never forgets.

    Raises:
        ValueError: A parameter is out of range.

    Example:
        >>> import numpy as np
        >>> learner = LinUCB(exploration=0.0).build(dimension=1, arms=2, features=0)
        >>> bias = np.ones(1, np.float32)
        >>> taken = learner.learn(bias, arm=0, propensity=0.5, reward=1.0)
        >>> learner.distribution(bias).tolist()  # the arm that is still unknown
        [0.0, 1.0]

    References:
        Li, Chu, Langford & Schapire, "A contextual-bandit approach to personalized news article
        recommendation", WWW 2010.
    """

    alpha: float = 1.0
    exploration: float = 0.01
    ridge: float = 1.0
    half_life: float = 0.0

    def __post_init__(self) -> None:
        check_between("alpha", self.alpha, 0.0, 1e6)
        check_between("exploration", self.exploration, 0.0, 1.0)
        check_linear(self.ridge, self.half_life)

    def build(self, dimension: int, arms: int, features: int) -> _native.Learner:
        """Build the native learner for contexts of ``dimension`` values, the bias included."""
        return _native.lin_ucb(
            dimension,
            arms,
            features,
            ridge=self.ridge,
            half_life=self.half_life,
            alpha=self.alpha,
            exploration=self.exploration,
        )
