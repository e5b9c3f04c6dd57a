"""Contracts for anyone's learner or race: inherit, name yours, run pytest."""

from acumen.core import LearnerSpec
from acumen.testing.learners import LearnerContract, discover_learners
from acumen.testing.races import RaceContract, discover_races

__all__ = [
    "LearnerContract",
    "LearnerSpec",
    "RaceContract",
    "discover_learners",
    "discover_races",
]
