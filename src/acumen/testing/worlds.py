"""Small worlds with known expected rewards, in which learners can be compared exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acumen.core import Learner

Array = NDArray[np.float32]
Rewards = Callable[[Array, Array | None, float], NDArray[np.float64]]
"""(x without bias, arm features or None, share of the run that has passed) -> expected rewards."""


def probabilities(learner: Learner, x: Array, features: Array | None = None) -> NDArray[np.float64]:
    """Return a learner's distribution as a choice draws from it: normalised, in float64."""
    p = np.asarray(learner.distribution(x, features), dtype=np.float64)
    assert p.ndim == 1
    total = p.sum()
    assert 0 < total < np.inf  # nor is any of them NaN
    assert p.min() >= 0
    normalised: NDArray[np.float64] = p / total
    return normalised


@dataclass(frozen=True)
class World:
    """A contextual problem: contexts are standard normal, rewards have a known expectation.

    Args:
        inputs: Values of the context, the bias not counted.
        arms: Number of arms, or of candidates a call.
        features: Features of an arm, drawn anew for every call; 0: fixed arms.
        rewards: The expected reward of every arm.
        noise: Standard deviation of the noise on an observed reward.
    """

    inputs: int
    arms: int
    features: int
    rewards: Rewards
    noise: float = 0.3

    def run(
        self, learner: Learner, steps: int, seed: int, inputs: int | None = None
    ) -> NDArray[np.float64]:
        """Let a learner act; return the expected regret of its distribution at every step.

        The learner sees the first ``inputs`` values of the context after the bias: all of them,
        unless told otherwise.
        """
        rng = np.random.default_rng(seed)
        contexts = np.ones((steps, 1 + self.inputs), np.float32)
        contexts[:, 1:] = rng.standard_normal((steps, self.inputs))
        draws, noises = rng.random(steps), self.noise * rng.standard_normal(steps)
        dimension = 1 + (self.inputs if inputs is None else inputs)
        regrets = np.empty(steps)
        for step in range(steps):
            features = self._features(rng)
            expected = self.rewards(contexts[step, 1:], features, step / steps)
            x = contexts[step, :dimension]
            p = probabilities(learner, x, features)
            arm = min(int(np.searchsorted(np.cumsum(p), draws[step])), self.arms - 1)
            reward = float(expected[arm] + noises[step])
            row = None if features is None else features[arm]
            learner.learn(x, arm, float(p[arm]), reward, row)
            regrets[step] = expected.max() - p @ expected
        return regrets

    def single_arm_regrets(self, steps: int, seed: int) -> NDArray[np.float64]:
        """Mean regret of always taking one arm, for every arm; the contexts are those of run()."""
        rng = np.random.default_rng(seed)
        contexts = rng.standard_normal((steps, self.inputs)).astype(np.float32)
        expected = np.array(
            [self.rewards(x, self._features(rng), i / steps) for i, x in enumerate(contexts)]
        )
        regrets: NDArray[np.float64] = (expected.max(1, keepdims=True) - expected).mean(0)
        return regrets

    def _features(self, rng: np.random.Generator) -> Array | None:
        if self.features == 0:
            return None
        return rng.standard_normal((self.arms, self.features)).astype(np.float32)


def linear_world(seed: int, spread: float = 1.0) -> World:
    """Four arms, each with a linear reward of its own over four inputs.

    Args:
        seed: Draws the world.
        spread: Standard deviation of the arms' rewards in the mean context; with 0 no arm alone
            is better than another, and every single arm is as bad as chance.
    """
    rng = np.random.default_rng(seed)
    weights, means = rng.standard_normal((4, 4)), spread * rng.standard_normal(4)
    return World(4, 4, 0, lambda x, features, time: means + weights @ x)


def candidate_world(seed: int, spread: float = 0.0) -> World:
    """Six candidates a call; what their three features are worth depends on the context.

    Args:
        seed: Draws the world.
        spread: Standard deviation of what the features are worth in the mean context; with 0
            who does not look at the context learns nothing.
    """
    rng = np.random.default_rng(seed)
    weights, means = rng.standard_normal((3, 3)), spread * rng.standard_normal(3)

    def rewards(x: Array, features: Array | None, time: float) -> NDArray[np.float64]:
        assert features is not None
        worth: NDArray[np.float64] = features @ (means + weights @ x)
        return worth

    return World(3, 6, 3, rewards)


def drifting_world(seed: int, spread: float = 0.0) -> World:
    """As linear_world, with three arms, whose rewards change places after half of the run."""
    rng = np.random.default_rng(seed)
    weights, means = rng.standard_normal((3, 3)), spread * rng.standard_normal(3)

    def rewards(x: Array, features: Array | None, time: float) -> NDArray[np.float64]:
        worth: NDArray[np.float64] = means + weights @ x
        return worth if time < 0.5 else worth[[1, 2, 0]]

    return World(3, 3, 0, rewards)


def bent_world(seed: int) -> World:
    """Three arms, each best around its own sweet spots: no line can tell them apart."""
    centres = np.random.default_rng(seed).uniform(-1.5, 1.5, (3, 3))

    def rewards(x: Array, features: Array | None, time: float) -> NDArray[np.float64]:
        worth: NDArray[np.float64] = np.exp(-((x - centres) ** 2)).sum(1)
        return worth

    return World(3, 3, 0, rewards, noise=0.1)
