"""The core: choices, their context, arms and objectives, the files of models, and journals."""

from acumen.core.arms import Candidates, Range
from acumen.core.choice import Choice, Decision, Decisions
from acumen.core.comparison import Comparison
from acumen.core.context import Category, Schema
from acumen.core.drift import Drift, DriftDetector, DriftMonitor
from acumen.core.drift_watch import DriftAlarm, DriftWatch
from acumen.core.episode import Episode
from acumen.core.learner import Learner, LearnerSpec, Policy, SequenceLearner
from acumen.core.model_file import ModelError
from acumen.core.objective import Objective, at_least, at_most, maximize, minimize, observe

__all__ = [
    "Candidates",
    "Category",
    "Choice",
    "Comparison",
    "Decision",
    "Decisions",
    "Drift",
    "DriftAlarm",
    "DriftDetector",
    "DriftMonitor",
    "DriftWatch",
    "Episode",
    "Learner",
    "LearnerSpec",
    "ModelError",
    "Objective",
    "Policy",
    "Range",
    "Schema",
    "SequenceLearner",
    "at_least",
    "at_most",
    "maximize",
    "minimize",
    "observe",
]
