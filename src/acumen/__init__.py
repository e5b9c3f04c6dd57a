"""Learned choices for systems software: choose, report what came of it, get better.

>>> import acumen
>>> codec = acumen.Choice(
...     "codec",
...     arms=["none", "lz4", "zstd-3", "zstd-19"],
...     context={"size": float, "entropy": float, "kind": str},
...     default="zstd-3",
...     metric=acumen.minimize("seconds"),
... )
>>> decision = codec.choose(size=81_920, entropy=0.41, kind="json")
>>> decision.feedback(seconds=0.012)
True
"""

from acumen import learners
from acumen.core import (
    Candidates,
    Category,
    Choice,
    Comparison,
    Decision,
    Decisions,
    ModelError,
    Objective,
    Range,
    at_least,
    at_most,
    maximize,
    minimize,
    observe,
)

__all__ = [
    "Candidates",
    "Category",
    "Choice",
    "Comparison",
    "Decision",
    "Decisions",
    "ModelError",
    "Objective",
    "Range",
    "at_least",
    "at_most",
    "learners",
    "maximize",
    "minimize",
    "observe",
]

__version__ = "0.1.0"

# The core knows no algorithm; this is where a choice without a learner of its own gets one.
Choice.default_learner = learners.SquareCB()
