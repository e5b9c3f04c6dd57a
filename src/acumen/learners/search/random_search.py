"""Random search: the control that every other one is held against."""

from dataclasses import dataclass

import numpy as np

from acumen.learners.search.searcher import Suggestion
from acumen.learners.search.space import Space


@dataclass(frozen=True)
class RandomSearch:
    """Draw every setting anew, every value as likely as the others.

    When to use it: as a control, and where an evaluation is so cheap that nothing is to be gained
    by thinking. It beats a grid wherever few of the parameters matter.

    Example:
        >>> from acumen.learners.search import Flag, RandomSearch, Space
        >>> searcher = RandomSearch().build(Space({"fast": Flag()}), seed=1)
        >>> sorted({searcher.ask().setting["fast"] for _ in range(20)})
        [False, True]

    References:
        Bergstra & Bengio, "Random search for hyper-parameter optimization", JMLR 13, 2012.
    """

    def build(self, space: Space, seed: int) -> "RandomSearcher":
        """Build the searcher."""
        return RandomSearcher(space, seed)


class RandomSearcher:
    """Draws; see `RandomSearch`."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._rng = np.random.default_rng(seed)

    def ask(self) -> Suggestion:
        """A setting, drawn anew."""
        return Suggestion(self._space.sample(self._rng), "random")

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """Nothing is learned."""
