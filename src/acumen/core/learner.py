"""What a policy and a learner are, for those who bring their own.

The engine never asks a policy to draw: it asks for the distribution and samples from it, so that
the recorded propensity is the probability with which the arm was sampled, whoever wrote the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from acumen.core.arms import ArmSet

Features = NDArray[np.float32]


@runtime_checkable
class Policy(Protocol):
    """Picks: maps a context to a probability for every arm."""

    @property
    def version(self) -> int:
        """Lessons behind this policy."""
        ...

    def distribution(
        self, x: Features, features: Features | None = None, /
    ) -> Sequence[float] | Features:
        """Probabilities of the arms in one context.

        Args:
            x: float32[dimension]; x[0] = 1, numbers standardised, categories one-hot.
            features: float32[arms, features] where arms have features, else None.

        Returns:
            One non-negative finite number an arm; they are normalised to sum to 1.
        """
        ...


@runtime_checkable
class Learner(Policy, Protocol):
    """A policy that gets better: it is always its own newest version."""

    def learn(
        self,
        x: Features,
        arm: int,
        propensity: float,
        reward: float,
        features: Features | None = None,
        /,
    ) -> object:
        """Takes one lesson.

        Args:
            x: float32[dimension], as in `distribution`.
            arm: index of the arm that was taken.
            propensity: probability with which it was taken, in (0, 1].
            reward: what came of it; more is better.
            features: float32[features] of that arm, or None.

        What it returns is not looked at.
        """
        ...

    def reset(self) -> None:
        """Forgets every lesson: the engine teaches anew, on other scales or another objective."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """An immutable snapshot: named one-dimensional arrays."""
        ...

    def restore(self, arrays: dict[str, NDArray[Any]], /) -> None:
        """Becomes the snapshot; ValueError if it does not fit."""
        ...


@runtime_checkable
class SequenceLearner(Learner, Protocol):
    """A learner that takes whole episodes; `learn` takes lone steps, whose reward is the return."""

    def learn_episode(
        self,
        xs: Features,
        arms: NDArray[np.uint32],
        propensities: Features,
        rewards: Features,
        discount: float,
        ended: bool,
        features: Features | None = None,
        /,
    ) -> object:
        """Takes one episode.

        Args:
            xs: float32[steps, dimension], in the order of time; rows as in `distribution`.
            arms: uint32[steps], what was taken.
            propensities: float32[steps], in (0, 1].
            rewards: float32[steps], what came of each step before the next.
            discount: what a reward one step later is worth, in [0, 1].
            ended: False: cut off after the last step, whose outcome is unknown.
            features: float32[steps, features] of the arms that were taken; handed over only where
                arms have features. What else was on offer is not kept.

        What it returns is not looked at.
        """
        ...


class LearnerSpec(Protocol):
    """A learner's parameters; builds the learner once the choice knows its sizes."""

    def build(self, dimension: int, arms: int, features: int) -> Learner:
        """Makes a learner.

        Args:
            dimension: values of x, the bias included.
            arms: fixed arms, or the most candidates a call may bring.
            features: features of an arm; 0 where arms are known by their index alone.
        """
        ...


def build(spec: LearnerSpec, dimension: int, arms: ArmSet) -> Learner:
    """A choice's learner.

    A spec that has `build_fixed(dimension, table)` is told the features of arms that have some and
    are the same in every call, those of a `Range`: float32[arms, features].
    """
    if arms.arm_features and (build_fixed := getattr(spec, "build_fixed", None)):
        table = np.array(arms.arm_features, np.float32).reshape(-1, arms.features)
        made: Learner = build_fixed(dimension, table)
        return made
    return spec.build(dimension, len(arms.arms), arms.features)


def name_of(spec: LearnerSpec) -> str:
    """Names a learner in files: a dataclass spells its parameters out, others have a name only."""
    return repr(spec) if is_dataclass(spec) else type(spec).__name__
