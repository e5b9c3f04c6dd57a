"""What a search learner is: a description that builds a searcher, which is asked and told.

Anyone's searcher that keeps to this can be given to `Search`; nothing is to be inherited.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from acumen.learners.search.space import Setting, Space


class Suggestion(NamedTuple):
    """What is to be measured next.

    Attributes:
        setting: a valid setting.
        learner: who suggests it.
        propensity: with which probability this learner was asked, where several could have been.
        fidelity: share of a full measurement that is wanted, in (0, 1].
    """

    setting: Setting
    learner: str = ""
    propensity: float = 1.0
    fidelity: float = 1.0


@runtime_checkable
class Searcher(Protocol):
    """Suggests settings and is told what came of them.

    Several suggestions may wait at once, results come in any order and some never; results of
    settings that it never suggested come, too (the default, other searchers', earlier runs').
    """

    def ask(self) -> Suggestion:
        """A setting to measure next."""
        ...

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """What came of one.

        Args:
            suggestion: what was measured.
            value: finite, less is better; None: it failed, and that teaches, too.
        """
        ...


class SearchLearner(Protocol):
    """A search learner's parameters; builds the searcher once space and seed are known."""

    def build(self, space: Space, seed: int) -> Searcher:
        """Makes a searcher; the same seed and the same results give the same suggestions."""
        ...
