"""Linear Thompson sampling."""

from dataclasses import dataclass

from acumen import _native
from acumen.learners._parameters import check_between, check_linear


@dataclass(frozen=True)
class LinearThompson:
    """Take every arm as often as it is believed to be the best.

    When to use it: where rewards are about linear in the context, above all with late or batched
    feedback, since it spreads its choices by itself. Its propensities are computed, not estimated:
    the probability that an arm wins is integrated over the posterior and then drawn from.

    Args:
        spread: Factor on the posterior's standard deviations; above 1 explores more.
        exploration: Share of uniformly drawn arms, so that every propensity is positive.
        ridge: Prior of the regression, in lessons' worth of "the context does not matter".
        half_life: Lessons after which a lesson counts half; 0 never forgets.

    Raises:
        ValueError: A parameter is out of range.

    Example:
        >>> import numpy as np
        >>> learner = LinearThompson().build(dimension=1, arms=2, features=0)
        >>> bias = np.ones(1, np.float32)
        >>> learner.distribution(bias).tolist()
        [0.5, 0.5]

    References:
        Thompson, "On the likelihood that one unknown probability exceeds another", Biometrika
        1933; Agrawal & Goyal, "Thompson sampling for contextual bandits with linear payoffs",
        ICML 2013.
    """

    spread: float = 1.0
    exploration: float = 0.01
    ridge: float = 1.0
    half_life: float = 0.0

    def __post_init__(self) -> None:
        check_between("spread", self.spread, 1e-6, 1e6)
        check_between("exploration", self.exploration, 0.0, 1.0)
        check_linear(self.ridge, self.half_life)

    def build(self, dimension: int, arms: int, features: int) -> _native.Learner:
        """Build the native learner for contexts of ``dimension`` values, the bias included."""
        return _native.thompson(
            dimension,
            arms,
            features,
            ridge=self.ridge,
            half_life=self.half_life,
            spread=self.spread,
            exploration=self.exploration,
        )
