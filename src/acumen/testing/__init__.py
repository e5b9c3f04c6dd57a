"""Contracts for anyone's learner or race: inherit, name yours, run pytest."""

from acumen.core import LearnerSpec
from acumen.testing.learners import LearnerContract, discover_learners
from acumen.testing.logged_worlds import LoggedWorld
from acumen.testing.races import RaceContract, discover_races

__all__ = [
    "LearnerContract",
    "LearnerSpec",
    "LoggedWorld",
    "RaceContract",
    "discover_learners",
    "discover_races",
]
