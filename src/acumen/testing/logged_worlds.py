"""Worlds in which the value of every policy is known exactly, and logs that are drawn from them.

A classification data set becomes a bandit: the arms are the classes, and the reward of an arm is
known for every row, taken or not. The value of a policy is then a sum, against which estimates and
intervals from logs can be held.

References:
    Dudík, Langford & Li, "Doubly robust policy evaluation and learning", ICML 2011, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acumen.evaluation.off_policy import DecisionLog

Floats = NDArray[np.float64]
Noise = Callable[[np.random.Generator, Floats], Floats]


def no_noise(rng: np.random.Generator, mean: Floats) -> Floats:
    """Rewards are what they are."""
    return mean


def lognormal(sigma: float) -> Noise:
    """Rewards vary by a lognormal factor of mean 1, as latencies do."""
    return lambda rng, mean: mean * np.exp(sigma * rng.standard_normal(len(mean)) - sigma**2 / 2)


def coins(rng: np.random.Generator, mean: Floats) -> Floats:
    """Rewards are 1 with the probability that is their mean, else 0: clicks."""
    return (rng.random(len(mean)) < mean).astype(np.float64)


@dataclass(frozen=True)
class LoggedWorld:
    """A population of contexts, with two policies and the rewards of all arms.

    Attributes:
        context: float64[m, fields].
        mean: float64[m, arms], mean rewards.
        candidate: float64[m, arms], the policy to be evaluated.
        logging: float64[m, arms], the policy that writes logs.
        noise: draws rewards around their means.
        later: the logging policy at the end of the log, if it changes in its course.
    """

    context: Floats
    mean: Floats
    candidate: Floats
    logging: Floats
    noise: Noise = no_noise
    later: Floats | None = None

    @property
    def truth(self) -> float:
        """The candidate's value."""
        return float((self.candidate * self.mean).sum(1).mean())

    def draw(self, rows: int, seed: int, *, logging: bool = True) -> tuple[DecisionLog, Floats]:
        """A log of independent decisions, and the candidate's probabilities in its rows.

        Args:
            rows: how many decisions.
            seed: of all chance.
            logging: whether the log tells the whole distribution of its policy.
        """
        rng = np.random.default_rng(seed)
        row = rng.integers(len(self.context), size=rows)
        chances = self.logging[row]
        if self.later is not None:
            time = np.linspace(0, 1, rows)[:, None]
            chances = (1 - time) * chances + time * self.later[row]
        # As a choice records them.
        chances = chances.astype(np.float32).astype(np.float64)
        arm = (chances.cumsum(1) > rng.random((rows, 1)) * chances.sum(1)[:, None]).argmax(1)
        log = DecisionLog.of(
            arm,
            chances[np.arange(rows), arm],
            self.noise(rng, self.mean[row, arm]),
            arms=chances.shape[1],
            context=self.context[row],
            logging=chances if logging else None,
        )
        return log, self.candidate[row]


def linear_scores(context: Floats, labels: NDArray[np.int64], rows: NDArray[np.int64]) -> Floats:
    """float64[m, classes]: a ridge classifier's scores, taught with some of the rows."""
    x = np.c_[np.ones(len(context)), standardised(context)]
    hot = np.eye(int(labels.max()) + 1)[labels[rows]]
    gram = x[rows].T @ x[rows] + 10.0 * np.eye(x.shape[1])
    return np.asarray(x @ np.linalg.solve(gram, x[rows].T @ hot))


def standardised(context: Floats) -> Floats:
    """Columns of mean 0 and deviation 1; constant ones become 0."""
    return np.asarray((context - context.mean(0)) / np.maximum(context.std(0), 1e-9))


def softmax(scores: Floats, sharpness: float = 1.0) -> Floats:
    """Probabilities that grow with the scores."""
    powers = np.exp(sharpness * (scores - scores.max(1, keepdims=True)))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def greedy(scores: Floats) -> Floats:
    """All probability on the largest score."""
    return np.asarray(np.eye(scores.shape[1])[scores.argmax(1)])


def mixed(policy: Floats, share: float) -> Floats:
    """The policy, with a share of uniform choices."""
    return np.asarray((1 - share) * policy + share / policy.shape[1])
