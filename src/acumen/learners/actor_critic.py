"""Actor-critic: policy gradient over whole episodes, with a learned baseline."""

from dataclasses import dataclass

from acumen import _native
from acumen.learners._parameters import check_between, check_half_life


@dataclass(frozen=True)
class ActorCritic:
    """Learn a policy for sequences of choices, from how much better they went than expected.

    When to use it: with `Choice.episode`, where smooth, slowly moving probabilities are wanted,
    or where which arm is better is simpler than what is still to come. It takes fixed arms only,
    because each step moves the arms that were not taken, too. Like every policy gradient it may
    settle for the nearer of two rewards: see docs/sequences.md.

    Args:
        rate: Step size of a whole episode; advantages are measured in standard deviations of the
            critic's error.
        trace: λ. 1: an arm is judged by all that came after it; 0: by the next reward and what
            the critic expects then.
        exploration: Share of uniformly drawn arms, so that every propensity is positive.
        half_life: Steps after which what the critic has seen counts half: what is still to come
            changes with the policy. 0 never forgets.

    Raises:
        ValueError: A parameter is out of range, or the arms have features.

    Example:
        >>> import numpy as np
        >>> learner = ActorCritic().build(dimension=1, arms=2, features=0)
        >>> twice = np.ones((2, 1), np.float32), np.array([0, 1], np.uint32)
        >>> half = np.full(2, 0.5, np.float32)
        >>> for _ in range(100):
        ...     for last in (0, 1):  # only the last of two choices matters
        ...         arms = np.array([0, last], np.uint32)
        ...         rewards = np.array([0.0, last], np.float32)
        ...         taken = learner.learn_episode(twice[0], arms, half, rewards, 1.0, True)
        >>> bool(learner.distribution(np.ones(1, np.float32))[1] > 0.6)
        True

    References:
        Williams, "Simple statistical gradient-following algorithms for connectionist
        reinforcement learning", Machine Learning 1992; Sutton & Barto, "Reinforcement Learning",
        2nd ed., 2018, ch. 13.
    """

    rate: float = 0.15
    trace: float = 0.9
    exploration: float = 0.02
    half_life: float = 2000.0

    def __post_init__(self) -> None:
        check_between("rate", self.rate, 1e-6, 100.0)
        check_between("trace", self.trace, 0.0, 1.0)
        check_between("exploration", self.exploration, 0.0, 1.0)
        check_half_life(self.half_life)

    def build(self, dimension: int, arms: int, features: int) -> _native.SequenceLearner:
        """Build the native learner for contexts of ``dimension`` values, the bias included."""
        return _native.actor_critic(
            dimension,
            arms,
            features,
            rate=self.rate,
            trace=self.trace,
            exploration=self.exploration,
            half_life=self.half_life,
        )
