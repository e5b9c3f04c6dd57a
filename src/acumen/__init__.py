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

from typing import TYPE_CHECKING, Any

from acumen import learners
from acumen.core import (
    Candidates,
    Category,
    Choice,
    Comparison,
    Decision,
    Decisions,
    Episode,
    ModelError,
    Objective,
    Range,
    at_least,
    at_most,
    maximize,
    minimize,
    observe,
)
from acumen.core.lazy import attributes

if TYPE_CHECKING:
    from acumen.core.apprenticeship import apprentice
    from acumen.core.drift_watch import DriftWatch
    from acumen.core.following import follow
    from acumen.core.journal import Journal
    from acumen.core.journal_format import JournalError
    from acumen.core.replay import ReplayReport
    from acumen.evaluation.promotion import Promotion
    from acumen.operating_systems.caching.cache import Cache
    from acumen.operating_systems.caching.cached import cached

__all__ = [
    "Cache",
    "Candidates",
    "Category",
    "Choice",
    "Comparison",
    "Decision",
    "Decisions",
    "DriftWatch",
    "Episode",
    "Journal",
    "JournalError",
    "ModelError",
    "Objective",
    "Promotion",
    "Range",
    "ReplayReport",
    "apprentice",
    "at_least",
    "at_most",
    "cached",
    "follow",
    "learners",
    "maximize",
    "minimize",
    "observe",
]

__version__ = "0.1.0"

# The core knows no algorithm; this is where a choice without a learner of its own gets one.
Choice.default_learner = learners.BinnedAdditive()


def _search(choice: Choice, metric: Objective | None = None, **settings: Any) -> Any:
    from acumen.learners.search.choice_search import ChoiceSearch

    return ChoiceSearch(choice, metric, **settings)


Choice.default_search = _search

# What not everybody needs is imported when it is first asked for, so that the others do not wait.
__getattr__ = attributes(
    __name__,
    {
        "Cache": "acumen.operating_systems.caching.cache",
        "cached": "acumen.operating_systems.caching.cached",
        "DriftWatch": "acumen.core.drift_watch",
        "follow": "acumen.core.following",
        "Journal": "acumen.core.journal",
        "JournalError": "acumen.core.journal_format",
        "Promotion": "acumen.evaluation.promotion",
        "apprentice": "acumen.core.apprenticeship",
        "ReplayReport": "acumen.core.replay",
    },
)
