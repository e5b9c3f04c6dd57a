"""Racing: measure again what may be the best, as long as noise could have made it so."""

import math
from dataclasses import dataclass, field

from acumen.learners._parameters import check_between
from acumen.learners.search.evolution import RegularizedEvolution
from acumen.learners.search.observations import Observations
from acumen.learners.search.searcher import Searcher, SearchLearner, Suggestion
from acumen.learners.search.space import Space

NOISE_AFTER = 10  # settings after which the default is measured a second time
FEW = 6


@dataclass(frozen=True)
class Racing:
    """Let another learner suggest, and spend a share of the trials on measuring contenders again.

    When to use it: where measurements are noisy. The best of many single measurements is mostly the
    luckiest one; here the leaders are repeated until they are told apart or the share is spent.
    After ten settings the default is measured a second time; if both measurements are equal, there
    is no noise, and nothing is ever repeated.

    Args:
        inner: The learner that suggests.
        share: Largest share of trials that are repetitions.
        repeats: Measurements after which a setting is known well enough.

    Raises:
        ValueError: A parameter is out of range.

    References:
        Birattari, Stützle, Paquete & Varrentrapp, "A racing algorithm for configuring
        metaheuristics", GECCO 2002.
    """

    inner: SearchLearner = field(default_factory=RegularizedEvolution)
    share: float = 0.15
    repeats: int = 8

    def __post_init__(self) -> None:
        check_between("share", self.share, 0.0, 0.9)
        check_between("repeats", self.repeats, 1, 1e6)

    def build(self, space: Space, seed: int) -> "RacingSearcher":
        """Build the searcher."""
        return RacingSearcher(self, space, seed)


class RacingSearcher:
    """Asks the inner one, or for a repetition; see `Racing`."""

    def __init__(self, spec: Racing, space: Space, seed: int) -> None:
        self._inner: Searcher = spec.inner.build(space, seed)
        self._seen = Observations(space)
        self._referee = Referee(self._seen, spec.share, spec.repeats)

    def ask(self) -> Suggestion:
        """A contender once more, or what the inner learner suggests."""
        row = self._referee.again()
        if row is None:
            return self._inner.ask()
        return Suggestion(self._seen.setting(row), "racing")

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """Told to the inner learner, too."""
        self._seen.add(suggestion.setting, value)
        self._inner.tell(suggestion, value)


class Referee:
    """Says which setting should be measured again, if any.

    Args:
        seen: what was measured; somebody else adds to it.
        share: of all measurements, the largest share of repetitions.
        repeats: measurements after which a setting is known well enough.
    """

    def __init__(self, seen: Observations, share: float, repeats: int) -> None:
        self._seen, self._share, self._repeats = seen, share, repeats
        self._checked = False

    def again(self) -> int | None:
        """Row of the setting; None: none."""
        seen = self._seen
        if not self._share or len(seen) < NOISE_AFTER:
            return None
        noise = seen.noise()
        if noise is None:
            row = seen.row_of.get(seen.space.key(seen.space.default))
            if self._checked or row is None or not seen.counts[row]:
                return None
            self._checked = True
            return row
        if not noise or seen.total - len(seen) >= self._share * seen.total:
            return None
        means = seen.robust_means()
        leaders = means.argsort(kind="stable")[:FEW]
        leaders = leaders[[math.isfinite(means[row]) for row in leaders]]
        if not len(leaders):
            return None
        first, counts = leaders[0], seen.counts
        for row in leaders:
            apart = means[row] - means[first]
            error = noise * math.sqrt(1.0 / counts[row] + 1.0 / counts[first])
            if counts[row] < self._repeats and (row == first or apart < error):
                return int(row)
        return None
