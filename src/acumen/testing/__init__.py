"""Contracts for anyone's learner or race: inherit, name yours, run pytest."""

from acumen.core import LearnerSpec
from acumen.testing.learners import LearnerContract, discover_learners
from acumen.testing.logged_worlds import LoggedWorld
from acumen.testing.races import RaceContract, discover_races
from acumen.testing.sequences import SequenceLearnerContract, discover_sequence_learners

__all__ = [
    "LearnerContract",
    "LearnerSpec",
    "LoggedWorld",
    "RaceContract",
    "SequenceLearnerContract",
    "discover_learners",
    "discover_races",
    "discover_sequence_learners",
]
