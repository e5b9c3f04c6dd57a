"""The core: choices, their context, arms and objectives, and the files that models live in."""

from acumen.core.arms import Candidates, Range
from acumen.core.choice import Choice, Comparison, Decision, Decisions
from acumen.core.context import Category, Schema
from acumen.core.drift import Drift, DriftDetector, DriftMonitor
from acumen.core.learner import Learner, LearnerSpec, Policy
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
    "DriftDetector",
    "DriftMonitor",
    "Learner",
    "LearnerSpec",
    "ModelError",
    "Objective",
    "Policy",
    "Range",
    "Schema",
    "at_least",
    "at_most",
    "maximize",
    "minimize",
    "observe",
]
