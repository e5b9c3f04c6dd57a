"""A search learner for few, dear trials: what was good elsewhere, then steps from the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acumen.learners.search import Setting, Space, Suggestion

_FROM_BEST = 0.7
_TRIES = 50


@dataclass(frozen=True)
class Guided:
    """Settings to begin with, in order; then neighbours of the best two.

    Attributes:
        first: settings; those that the space does not have are passed over.
    """

    first: Sequence[Setting] = ()

    def build(self, space: Space, seed: int) -> GuidedSearcher:
        """The searcher."""
        return GuidedSearcher(space, seed, self.first)


class GuidedSearcher:
    """See `Guided`."""

    def __init__(self, space: Space, seed: int, first: Sequence[Setting]) -> None:
        self._space = space
        self._rng = np.random.default_rng(seed)
        self._first = [setting for setting in first if space.valid(setting)]
        self._known: dict[str, tuple[float, Setting]] = {}

    def ask(self) -> Suggestion:
        """The next of the first settings, or a step from the best."""
        while self._first:
            setting = self._first.pop(0)
            if self._take(setting):
                return Suggestion(setting, "first")
        best = sorted(self._known.values(), key=lambda pair: pair[0])[:2]
        for _ in range(_TRIES if best and math.isfinite(best[0][0]) else 0):
            from_best = self._rng.random() < _FROM_BEST or len(best) < 2
            setting = best[0 if from_best else 1][1]
            for _ in range(1 + int(self._rng.integers(2))):
                setting = self._space.neighbour(setting, self._rng)
            if self._take(setting):
                return Suggestion(setting, "step")
        return Suggestion(self._space.sample(self._rng), "drawn")

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """What came of it; of several values of a setting the last one counts."""
        key = self._space.key(suggestion.setting)
        self._known[key] = (math.inf if value is None else value, suggestion.setting)

    def _take(self, setting: Setting) -> bool:
        key = self._space.key(setting)
        if key in self._known:
            return False
        self._known[key] = (math.inf, setting)
        return True
