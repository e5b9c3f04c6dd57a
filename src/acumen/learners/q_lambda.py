"""Watkins's Q(λ), with linear action values or a hidden layer."""

from dataclasses import dataclass

from acumen import _native
from acumen.learners.sarsa_lambda import SarsaLambda


@dataclass(frozen=True)
class QLambda(SarsaLambda):
    """Learn what is still to come after each arm, if one goes on with the best.

    When to use it: with `Choice.episode`, where much is served that is not the best (a large
    share of the default, much exploration), and the best is to be learned all the same. What
    follows an arm that is not the best teaches nothing about the arms before it, so that credit
    reaches back less far than in `SarsaLambda`. With contexts that tell little apart it may
    diverge where `SarsaLambda` does not; its values stay finite then, and useless.

    Args:
        rate: As in `SarsaLambda`, like all others.
        trace: λ.
        epsilon: Share of uniformly drawn arms at the beginning.
        decay: How epsilon falls.
        temperature: Of the softmax; 0: the best arm.
        bonus: For arms rarely tried in such a context.
        settling: How the step falls.
        hidden: Units of a hidden layer; 0: values are linear.
        seed: Of its first weights.

    Raises:
        ValueError: A parameter is out of range, or the arms have features: what else was on offer
            at the next step, the best of which counts, is not known afterwards.

    Example:
        >>> import numpy as np
        >>> learner = QLambda().build(dimension=2, arms=2, features=0)
        >>> xs = np.array([[1, 0], [1, 1]], np.float32)  # before and after the first choice
        >>> half = np.full(2, 0.5, np.float32)
        >>> for _ in range(50):
        ...     for first in (0, 1):  # the first choice decides, the reward comes later
        ...         arms = np.array([first, 0], np.uint32)
        ...         rewards = np.array([0.0, first], np.float32)
        ...         taken = learner.learn_episode(xs, arms, half, rewards, 1.0, True)
        >>> int(learner.distribution(xs[0]).argmax())
        1

    References:
        Watkins, "Learning from delayed rewards", PhD thesis, Cambridge 1989; Sutton & Barto,
        "Reinforcement Learning", 2nd ed., 2018, ch. 12.10.
    """

    def build(self, dimension: int, arms: int, features: int) -> _native.SequenceLearner:
        """Build the native learner for contexts of ``dimension`` values, the bias included."""
        return _native.temporal_difference(
            dimension,
            arms,
            features,
            best_next=True,
            rate=self.rate,
            trace=self.trace,
            epsilon=self.epsilon,
            decay=self.decay,
            temperature=self.temperature,
            bonus=self.bonus,
            settling=self.settling,
            hidden=self.hidden,
            seed=self.seed,
        )
