"""Contracts that anyone's learner can be held to: inherit, name your class, run pytest."""

from acumen.testing.learners import LearnerContract, LearnerSpec, discover_learners

__all__ = ["LearnerContract", "LearnerSpec", "discover_learners"]
